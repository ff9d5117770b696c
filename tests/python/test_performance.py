import time
from unittest import mock

import pyarrow as pa
import pytest

from floodwall import MemoryPressureLevel, PerformanceMonitor


def test_operations_add_up_and_do_not_nest() -> None:
    monitor = PerformanceMonitor()
    assert monitor.current_op is None
    monitor.start_op("read")
    time.sleep(0.02)
    monitor.start_op("write")  # ends "read"
    assert monitor.current_op == "write"
    time.sleep(0.01)
    monitor.end_op()
    monitor.end_op()  # nothing runs
    with monitor.op("read"):
        time.sleep(0.01)
    with pytest.raises(RuntimeError), monitor.op("fails"):
        raise RuntimeError
    monitor.start_op("unfinished")
    breakdown = monitor.get_metrics(1, 1, 1)["operation_breakdown"]
    assert set(breakdown) == {"read", "write", "fails"}
    assert breakdown["read"] >= 0.03
    assert breakdown["write"] >= 0.01


def test_metrics_have_exactly_these_keys() -> None:
    monitor = PerformanceMonitor(max_pyarrow_mb=1024, min_system_available_mb=1)
    monitor.files_processed += 2
    monitor.chunks_processed += 3
    time.sleep(0.01)
    metrics = monitor.get_metrics(1000, 900, 1024 * 1024)
    assert set(metrics) == {
        "total_process_time_sec", "memory_peak_mb", "process_memory_peak_mb", "throughput_mb_sec",
        "rows_per_sec", "files_processed", "chunks_processed", "dedup_efficiency",
        "operation_breakdown", "memory_pressure_stats", "system_available_mb",
    }  # fmt: skip
    assert metrics["files_processed"] == 2
    assert metrics["chunks_processed"] == 3
    assert metrics["dedup_efficiency"] == pytest.approx(0.1)
    seconds = metrics["total_process_time_sec"]
    assert seconds >= 0.01
    assert metrics["throughput_mb_sec"] == pytest.approx(1 / seconds)
    assert metrics["rows_per_sec"] == pytest.approx(1000 / seconds)
    assert set(metrics["memory_pressure_stats"]) == {level.value for level in MemoryPressureLevel}
    assert sum(metrics["memory_pressure_stats"].values()) >= 1
    assert metrics["process_memory_peak_mb"] > 10
    assert monitor.get_metrics(0, 5, 0)["dedup_efficiency"] == 0.0
    assert monitor.get_metrics(10, 15, 0)["dedup_efficiency"] == -0.5


def test_an_arrow_peak_between_two_samples_is_seen() -> None:
    pool = pa.default_memory_pool()
    size = pool.max_memory() + (64 << 20)
    monitor = PerformanceMonitor()
    monitor.track_memory()
    buffer = pa.allocate_buffer(size)
    del buffer
    assert monitor.get_metrics(0, 0, 0)["memory_peak_mb"] * 1048576 >= size
    # It was that job's peak: the next one starts from nothing.
    assert PerformanceMonitor().get_metrics(0, 0, 0)["memory_peak_mb"] * 1048576 < size


def test_samples_are_throttled_and_counted_by_level() -> None:
    monitor = PerformanceMonitor()
    levels = iter([MemoryPressureLevel.WARNING, MemoryPressureLevel.EMERGENCY])
    with mock.patch.object(
        monitor._memory_monitor, "check_memory_pressure", side_effect=lambda: next(levels)
    ):
        for _ in range(100):
            monitor.track_memory()
        monitor._last_status_time = 0.0
        monitor.track_memory()
    counts = {"normal": 0, "warning": 1, "critical": 0, "emergency": 1}
    assert monitor.pressure_counts == counts
    assert monitor.get_memory_status()["process_rss_mb"] > 1


def test_limits_are_checked() -> None:
    with pytest.raises(ValueError, match="max_process_memory_mb"):
        PerformanceMonitor(max_process_memory_mb=-1)
