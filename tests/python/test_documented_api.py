"""
The monitoring API under fsspeckit's names, statement by statement, as its users write it.

Runs here without fsspeckit and, by `make test-fsspeckit`, in an environment that has it.
"""

import gc
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import pytest

import floodwall.fsspeckit as drop_in

MODULE = "fsspeckit.datasets.pyarrow.memory"


@pytest.fixture(autouse=True)
def installed() -> Iterator[None]:
    drop_in.install()
    yield
    drop_in.uninstall()


def test_it_is_floodwalls() -> None:
    from fsspeckit.datasets.pyarrow.dataset import PerformanceMonitor
    from fsspeckit.datasets.pyarrow.memory import MemoryMonitor

    import floodwall

    assert issubclass(MemoryMonitor, floodwall.MemoryMonitor)
    assert issubclass(PerformanceMonitor, floodwall.PerformanceMonitor)


def test_constructor_status_and_detailed_status() -> None:
    from fsspeckit.datasets.pyarrow.memory import MemoryMonitor

    default = MemoryMonitor()
    limits = (default.max_pyarrow_mb, default.max_process_memory_mb)
    assert limits == (2048, None) and default.min_system_available_mb == 512
    by_position = MemoryMonitor(4096, 6144, 1)
    by_name = MemoryMonitor(
        max_pyarrow_mb=4096, max_process_memory_mb=6144, min_system_available_mb=1
    )
    held = pa.allocate_buffer(32 << 20)
    for monitor in (by_position, by_name):
        status = monitor.get_memory_status()
        assert set(status) == {"pyarrow_allocated_mb", "process_rss_mb", "system_available_mb"}
        assert all(isinstance(value, float) for value in status.values())
        assert (
            f"{status['pyarrow_allocated_mb']:.1f}" == f"{pa.total_allocated_bytes() / 2**20:.1f}"
        )
        assert re.fullmatch(
            r"PyArrow: \d+\.\d/4096 MB \| Process RSS: \d+\.\d/6144 MB "
            r"\| System Available: \d+\.\d MB \(min: 1 MB\)",
            monitor.get_detailed_status(),
        )
    del held


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0.5, "NORMAL"), (0.7, "WARNING"), (0.9, "WARNING"), (0.95, "CRITICAL"), (1.01, "EMERGENCY")],
)
def test_levels_as_a_caller_branches_on_them(share: float, expected: str) -> None:
    from fsspeckit.datasets.pyarrow.memory import MemoryMonitor, MemoryPressureLevel

    assert [level.name for level in MemoryPressureLevel] == [
        "NORMAL", "WARNING", "CRITICAL", "EMERGENCY",
    ]  # fmt: skip
    monitor = MemoryMonitor(max_pyarrow_mb=1000)
    status = {"pyarrow_allocated_mb": 1000 * share}
    with mock.patch.object(monitor, "get_memory_status", return_value=status):
        pressure = monitor.check_memory_pressure()
    done = ""
    if pressure == MemoryPressureLevel.WARNING:
        done = "smaller batches"
    elif pressure == MemoryPressureLevel.EMERGENCY:
        with pytest.raises(MemoryError):
            raise MemoryError(monitor.get_detailed_status())
        done = "stopped"
    wanted = {"WARNING": "smaller batches", "EMERGENCY": "stopped"}
    assert pressure is MemoryPressureLevel[expected] and done == wanted.get(expected, "")


def test_utilities() -> None:
    from fsspeckit.datasets.pyarrow.memory import (
        MemoryPressureLevel,
        bytes_to_mb,
        max_pressure,
        mb_to_bytes,
    )

    combined = max_pressure(MemoryPressureLevel.WARNING, MemoryPressureLevel.CRITICAL)
    assert combined == MemoryPressureLevel.CRITICAL
    assert bytes_to_mb(1 << 20) == 1.0 and mb_to_bytes(1.5) == 3 << 19
    assert isinstance(mb_to_bytes(0.1), int)


def test_without_psutil_only_arrow_is_monitored(caplog: pytest.LogCaptureFixture) -> None:
    from fsspeckit.datasets.pyarrow.memory import MemoryMonitor

    with mock.patch(f"{MODULE}.psutil", None), caplog.at_level(logging.INFO):
        monitor = MemoryMonitor(max_process_memory_mb=4096)
        assert set(monitor.get_memory_status()) == {"pyarrow_allocated_mb"}
        assert "Process RSS" not in monitor.get_detailed_status()
    messages = [(record.levelname, record.getMessage()) for record in caplog.records]
    text = "psutil not available; system memory thresholds will be ignored."
    assert ("INFO", text) in messages


def test_denied_access_leaves_what_can_be_read() -> None:
    from fsspeckit.datasets.pyarrow.memory import MemoryMonitor

    denied = mock.Mock()
    denied.Process.side_effect = PermissionError("no")
    with mock.patch(f"{MODULE}.psutil", denied):
        assert set(MemoryMonitor().get_memory_status()) == {"pyarrow_allocated_mb"}


def test_a_loop_over_chunks_checks_now_and_then(tmp_path: Path) -> None:
    from fsspeckit.datasets.pyarrow.dataset import process_in_chunks
    from fsspeckit.datasets.pyarrow.memory import MemoryMonitor, MemoryPressureLevel

    pq.write_table(pa.table({"x": range(250)}), tmp_path / "a.parquet", row_group_size=50)
    dataset = pads.dataset(tmp_path)
    monitor = MemoryMonitor(min_system_available_mb=1)
    chunks_processed = rows = checks = 0
    for chunk in process_in_chunks(dataset, chunk_size_rows=10, memory_monitor=monitor):
        chunks_processed += 1
        rows += chunk.num_rows
        if monitor.should_check_memory(chunks_processed):
            checks += 1
            pressure = monitor.check_memory_pressure()
            if pressure == MemoryPressureLevel.WARNING:
                gc.collect()
            elif pressure == MemoryPressureLevel.EMERGENCY:
                raise MemoryError("memory limit exceeded")
    assert (chunks_processed, rows, checks) == (25, 250, 2)
    assert monitor.should_check_memory(chunks_processed, check_interval=5)


def test_a_jobs_metrics() -> None:
    from fsspeckit.datasets.pyarrow.dataset import PerformanceMonitor

    monitor = PerformanceMonitor(
        max_pyarrow_mb=1024, max_process_memory_mb=2048, min_system_available_mb=1
    )
    monitor.start_op("work")
    held = pa.allocate_buffer(16 << 20)
    monitor.end_op()
    metrics: dict[str, Any] = monitor.get_metrics(
        total_rows_before=1000, total_rows_after=900, total_bytes=1 << 20
    )
    assert metrics["memory_peak_mb"] >= 16
    assert metrics["process_memory_peak_mb"] > 1
    assert metrics["system_available_mb"] > 1
    assert set(metrics["memory_pressure_stats"]) == {"normal", "warning", "critical", "emergency"}
    assert "work" in metrics["operation_breakdown"]
    assert monitor.get_metrics(1000, 900, 1 << 20).keys() == metrics.keys()
    del held


def test_a_merge_with_memory_limits(tmp_path: Path) -> None:
    from fsspeckit.datasets.pyarrow.io import PyarrowDatasetIO

    target = tmp_path / "target"
    target.mkdir()
    pq.write_table(pa.table({"id": [1, 2], "v": ["a", "b"]}), target / "a.parquet")
    result = PyarrowDatasetIO().merge(
        data=pa.table({"id": [2, 3], "v": ["B", "C"]}),
        path=str(target),
        strategy="upsert",
        key_columns=["id"],
        merge_max_memory_mb=2048,
        merge_max_process_memory_mb=4096,
        merge_min_system_available_mb=1,
    )
    assert (result.inserted, result.updated) == (1, 1)
    assert pq.read_table(target).sort_by("id")["v"].to_pylist() == ["a", "B", "C"]
