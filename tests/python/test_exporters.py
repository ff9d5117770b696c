"""The exporters against the real clients: a scrape over HTTP, the real SDK with a reader."""

import re
import urllib.request
from unittest import mock

import pyarrow as pa
import pytest

import floodwall
from floodwall.exporters.figures import FIGURES

prometheus_client = pytest.importorskip("prometheus_client")
sdk = pytest.importorskip("opentelemetry.sdk.metrics")


def scrape(collector: object) -> dict[str, float]:
    registry = prometheus_client.CollectorRegistry()
    registry.register(collector)
    server, thread = prometheus_client.start_http_server(0, "127.0.0.1", registry)
    try:
        url = f"http://127.0.0.1:{server.server_address[1]}/metrics"
        with urllib.request.urlopen(url, timeout=10) as answer:
            text = answer.read().decode()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    return {name: float(value) for name, value in re.findall(r"^([^#\s]\S*) (\S+)$", text, re.M)}


def test_prometheus_scrapes_figures_pressure_and_budgets() -> None:
    from floodwall.exporters.prometheus import MemoryCollector

    budget = floodwall.Budget("8MiB", name="join")
    pool = floodwall.GuardedPool(budget)
    held = pa.allocate_buffer(1 << 20, memory_pool=pool.arrow_pool)
    monitor = floodwall.MemoryMonitor(min_system_available_mb=1e9)
    seen = scrape(MemoryCollector(monitor, [budget, floodwall.Budget(None, name="open")]))
    assert seen["process_memory_usage_bytes"] > 1 << 20
    assert seen["floodwall_container_memory_available_bytes"] > 0
    limit = seen["floodwall_container_memory_limit_bytes"]
    assert limit >= seen["floodwall_container_memory_available_bytes"]
    assert seen["floodwall_memory_pressure"] == 3
    assert seen['floodwall_budget_used_bytes{budget="join"}'] == pool.bytes_allocated
    assert seen['floodwall_budget_limit_bytes{budget="join"}'] == 8 << 20
    assert 'floodwall_budget_limit_bytes{budget="open"}' not in seen
    del held


def test_prometheus_leaves_out_what_is_unknown_and_reads_nothing_to_register() -> None:
    from floodwall.exporters.prometheus import MemoryCollector

    monitor = floodwall.MemoryMonitor()
    snapshot = monitor.snapshot().__class__(
        **{**monitor.snapshot().__dict__, "oom_kill_count": None, "available_bytes": None}
    )
    with mock.patch.object(monitor, "snapshot", return_value=snapshot) as taken:
        registry = prometheus_client.CollectorRegistry()
        registry.register(MemoryCollector(monitor))
        assert taken.call_count == 0
        names = {family.name for family in registry.collect()}
    assert "process_memory_usage_bytes" in names
    assert not any("oom_kills" in name or "available" in name for name in names)


def test_opentelemetry_reads_the_same_figures_in_one_snapshot() -> None:
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    from floodwall.exporters.opentelemetry import instrument

    reader = InMemoryMetricReader()
    provider = sdk.MeterProvider(metric_readers=[reader])
    monitor = floodwall.MemoryMonitor()
    instrument(provider.get_meter("test"), monitor)
    real = monitor.snapshot
    with mock.patch.object(monitor, "snapshot", side_effect=real) as taken:
        data = reader.get_metrics_data()
        assert taken.call_count == 1
    metrics = {
        metric.name: metric
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }
    snapshot = monitor.snapshot()
    known = {figure.name for figure in FIGURES if figure.read(snapshot) is not None}
    assert set(metrics) == known | {"floodwall.memory.pressure"}
    usage = metrics["process.memory.usage"]
    assert usage.unit == "By"
    assert usage.data.data_points[0].value > 1 << 20
    assert metrics["floodwall.memory.pressure"].data.data_points[0].value == 0
    provider.shutdown()
