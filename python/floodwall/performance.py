"""Time named operations and keep the peaks and pressure counts of a job."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

from floodwall import _core
from floodwall.monitor import BYTES_IN_MB, MemoryMonitor

__all__ = ["PerformanceMonitor"]


class PerformanceMonitor:
    """
    Measure a job: seconds by operation, peaks of memory, how often which pressure was seen.

    Operations do not nest: starting one ends the running one, names that repeat add up. Memory
    is sampled when an operation starts or ends and in ``track_memory``, at most ten times a
    second. Arrow's peak is the pool's own high-water mark, so a peak between samples is seen.

    Not thread-safe: one job, one monitor. The arguments are those of ``MemoryMonitor``.
    """

    _monitor_class: type[MemoryMonitor] = MemoryMonitor

    def __init__(
        self,
        max_pyarrow_mb: float = 2048,
        max_process_memory_mb: float | None = None,
        min_system_available_mb: float = 512,
    ) -> None:
        """Start the clock."""
        self._memory_monitor = self._monitor_class(
            max_pyarrow_mb, max_process_memory_mb, min_system_available_mb
        )
        self._native = _core.PerformanceMonitor()
        self._sampled_at = 0.0
        self.start_time = time.time()
        self.op_start_time: float | None = None
        self.files_processed = 0
        """Counters for the caller to raise; ``get_metrics`` passes them on."""
        self.chunks_processed = 0
        self.total_rows_processed = 0
        self.total_bytes_processed = 0

    def start_op(self, name: str) -> None:
        """Start the operation ``name``, ending the running one."""
        self._native.start_op(name)
        self.op_start_time = time.time()
        self.track_memory()

    def end_op(self) -> None:
        """End the running operation and add its time to its name; nothing without one."""
        self._native.end_op()
        self.op_start_time = None
        self.track_memory()

    @contextlib.contextmanager
    def op(self, name: str) -> Iterator[None]:
        """Run the body of a ``with`` as the operation ``name``."""
        self.start_op(name)
        try:
            yield
        finally:
            self.end_op()

    def track_memory(self) -> None:
        """Sample memory and count the level, unless the last sample is under 0.1 s old."""
        if not self._native.sample_due():
            return
        status = self._memory_monitor.get_memory_status()
        level = self._memory_monitor.check_memory_pressure()
        self._native.observe(status, level.severity)
        self._sampled_at = time.time()

    def get_memory_status(self) -> dict[str, float]:
        """Return current figures in MB, as ``MemoryMonitor.get_memory_status``."""
        return self._memory_monitor.get_memory_status()

    def get_metrics(
        self, total_rows_before: int, total_rows_after: int, total_bytes: int
    ) -> dict[str, Any]:
        """
        Return the metrics of the job so far, after a last sample.

        Seconds, MB of 1048576 bytes, rows a second (of the rows before).
        ``dedup_efficiency`` is the share of the rows that is gone, negative on growth.
        ``memory_pressure_stats`` counts samples by level, all four. ``system_available_mb`` is
        there where the system tells it.
        """
        self._last_status_time = 0.0
        self.track_memory()
        metrics = self._native.metrics(total_rows_before, total_rows_after, total_bytes)
        metrics["memory_peak_mb"] = self.memory_peak_mb
        metrics["process_memory_peak_mb"] = self.process_memory_peak_mb
        metrics["files_processed"] = self.files_processed
        metrics["chunks_processed"] = self.chunks_processed
        available = self._memory_monitor.get_memory_status().get("system_available_mb")
        if available is not None:
            metrics["system_available_mb"] = available
        return metrics

    @property
    def current_op(self) -> str | None:
        """The running operation."""
        return self._native.current_op or None

    @property
    def operation_breakdown(self) -> dict[str, float]:
        """Seconds by name, of the operations that have ended."""
        return self._native.operation_breakdown

    @property
    def memory_peak_mb(self) -> float:
        """The most MB that pyarrow's pool held at once during this job."""
        return self._native.arrow_peak_bytes / BYTES_IN_MB

    @property
    def process_memory_peak_mb(self) -> float:
        """The largest resident set seen, in MB."""
        return self._native.rss_peak_bytes / BYTES_IN_MB

    @property
    def pressure_counts(self) -> dict[str, int]:
        """Samples by level."""
        return self._native.pressure_counts

    @property
    def _last_status_time(self) -> float:
        return self._sampled_at

    @_last_status_time.setter
    def _last_status_time(self, value: float) -> None:
        # 0.0 asks for a sample at the next opportunity.
        self._sampled_at = value
        if value <= 0:
            self._native.force_next_sample()
