"""Judge memory use against limits: Arrow's, the process's, and what the system has left."""

from __future__ import annotations

import dataclasses
import enum
import functools
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa

from floodwall import _core

if TYPE_CHECKING:
    from floodwall.watch import Watch

__all__ = [
    "MemoryMonitor",
    "MemoryPressureLevel",
    "MemorySnapshot",
    "Verdict",
    "bytes_to_mb",
    "max_pressure",
    "mb_to_bytes",
]

BYTES_IN_MB = 1024 * 1024

logger = logging.getLogger("floodwall")


class MemoryPressureLevel(enum.Enum):
    """How severe the use of memory is; levels compare by severity (``NORMAL < WARNING``)."""

    NORMAL = "normal"
    """Below 70 % of every limit."""
    WARNING = "warning"
    """From 70 % to 90 % of a limit, or less than twice the system minimum is left."""
    CRITICAL = "critical"
    """Above 90 % of a limit, or less than 1.5 times the system minimum is left."""
    EMERGENCY = "emergency"
    """Above a limit, or less than the system minimum is left."""

    @property
    def severity(self) -> int:
        """0 for ``NORMAL`` to 3 for ``EMERGENCY``."""
        return _SEVERITY[self]

    def __lt__(self, other: object) -> bool:
        """Compare by severity."""
        if not isinstance(other, MemoryPressureLevel):
            return NotImplemented
        return self.severity < other.severity

    def __le__(self, other: object) -> bool:
        """Compare by severity."""
        if not isinstance(other, MemoryPressureLevel):
            return NotImplemented
        return self.severity <= other.severity

    def __gt__(self, other: object) -> bool:
        """Compare by severity."""
        if not isinstance(other, MemoryPressureLevel):
            return NotImplemented
        return self.severity > other.severity

    def __ge__(self, other: object) -> bool:
        """Compare by severity."""
        if not isinstance(other, MemoryPressureLevel):
            return NotImplemented
        return self.severity >= other.severity


_SEVERITY = {level: rank for rank, level in enumerate(MemoryPressureLevel)}
_core.set_pressure_levels(*MemoryPressureLevel)

# pyarrow's Python side has a current pool of its own, which pa.set_memory_pool() replaces.
for _library in sorted(Path(pa.__file__).parent.glob("*arrow_python.*")):
    if _core.follow_pyarrow(str(_library)):
        break


def max_pressure(p1: MemoryPressureLevel, p2: MemoryPressureLevel) -> MemoryPressureLevel:
    """Return the more severe of two levels, ``p1`` when they are equal."""
    return p2 if _SEVERITY[p2] > _SEVERITY[p1] else p1


def bytes_to_mb(b: int) -> float:
    """Convert bytes to MB of 1048576 bytes."""
    return b / BYTES_IN_MB


def mb_to_bytes(mb: float) -> int:
    """Convert MB of 1048576 bytes to bytes, truncating toward zero."""
    return int(mb * BYTES_IN_MB)


@dataclasses.dataclass(frozen=True)
class MemorySnapshot:
    """
    Every memory figure of one moment, in bytes; ``None`` is unknown, never 0.

    ``sources`` names the kernel file or call behind each known field, ``errors`` says why a
    field is unknown. Pressure stall averages are percent of time, ``taken_at_ns`` is nanoseconds
    since the epoch.
    """

    arrow_bytes: int | None
    """Allocated from pyarrow's current pool."""
    arrow_all_pools_bytes: int | None
    """Allocated from every allocator of libarrow."""
    arrow_peak_bytes: int | None
    """The most the current pool ever held at once, exact."""
    rss_bytes: int | None
    """Resident set of this process."""
    rss_anon_bytes: int | None
    """Its anonymous part: what no file backs."""
    rss_file_bytes: int | None
    """Its file-backed part, shared memory included."""
    rss_peak_bytes: int | None
    limit_bytes: int | None
    """The least of the machine's memory and every limit of this container and its ancestors."""
    limit_source: str | None
    used_bytes: int | None
    """What counts against that limit and cannot be reclaimed."""
    available_bytes: int | None
    """What can still be allocated before the kernel kills."""
    host_available_bytes: int | None
    host_total_bytes: int | None
    swap_free_bytes: int | None
    soft_limit_bytes: int | None
    """The least ``memory.high``: passing it throttles, it does not kill."""
    soft_available_bytes: int | None
    psi_some_avg10: float | None
    """Share of the last 10 s in which some task waited for memory, in percent."""
    psi_full_avg10: float | None
    oom_kill_count: int | None
    """Kills in this container so far."""
    unmanaged_bytes: int | None
    """Anonymous memory that no Arrow allocator holds: Python objects, other libraries."""
    taken_at_ns: int
    sources: dict[str, str]
    errors: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON-ready values."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class Verdict:
    """A level with what made it so."""

    level: MemoryPressureLevel
    constraint: str
    """The limit that binds: ``"arrow"``, ``"process"``, ``"system"`` or ``"none"``."""
    sentence: str
    """For a person."""

    def __str__(self) -> str:
        """Return level and sentence."""
        return f"{self.level.value}: {self.sentence}"


class MemoryMonitor(_core.MemoryMonitor):
    """
    Judge Arrow's allocations, the process's resident set and the memory that is left.

    System figures know the container: what is available is the least headroom of the machine and
    every cgroup above this process, without the page cache that the kernel gives back. They are
    read at most once in ``cache_seconds``; Arrow's figure is always live. A cached check costs
    about as much as any call into C.

    The three limits are attributes that may be changed at any time. A subclass or a patch that
    replaces ``get_memory_status`` is judged by what it returns.

    Thread-safe; survives ``fork`` and pickles as its limits.

    Args:
        max_pyarrow_mb: MB that pyarrow may have allocated; 0 allows none.
        max_process_memory_mb: MB of resident set; ``None`` or 0 judges none.
        min_system_available_mb: MB that must stay available; 0 judges none.
        cache_seconds: How old system figures may be; 0 reads at each call.

    Raises:
        ValueError: A limit is negative or not finite.
        TypeError: A limit is not a number.
    """

    def __init__(
        self,
        max_pyarrow_mb: float = 2048,
        max_process_memory_mb: float | None = None,
        min_system_available_mb: float = 512,
        *,
        cache_seconds: float = 0.1,
    ) -> None:
        """Keep the limits; reads nothing yet."""
        super().__init__(
            max_pyarrow_mb, max_process_memory_mb, min_system_available_mb, cache_seconds
        )
        if max_process_memory_mb or min_system_available_mb:
            _say_when_blind()

    if TYPE_CHECKING:
        # The core's own method: a Python frame around it would triple what a cached check costs.
        def check_memory_pressure(self) -> MemoryPressureLevel: ...

    def should_check_memory(self, chunks_processed: int, check_interval: int = 10) -> bool:
        """
        Return whether this chunk is one to check at: each ``check_interval``-th, and the first.

        Raises ``ValueError`` for an interval below 1.
        """
        if check_interval < 1:
            raise ValueError(f"check_interval must be at least 1, got {check_interval}")
        return chunks_processed % check_interval == 0

    def get_detailed_status(self) -> str:
        """Return the figures and limits in one line for a log; unknown figures are left out."""
        status = self.get_memory_status()
        parts = [f"PyArrow: {status['pyarrow_allocated_mb']:.1f}/{self.max_pyarrow_mb} MB"]
        rss = status.get("process_rss_mb")
        if rss is not None:
            limit = f"/{self.max_process_memory_mb}" if self.max_process_memory_mb else ""
            parts.append(f"Process RSS: {rss:.1f}{limit} MB")
        available = status.get("system_available_mb")
        if available is not None:
            minimum = self.min_system_available_mb
            parts.append(f"System Available: {available:.1f} MB (min: {minimum} MB)")
        return " | ".join(parts)

    def snapshot(self) -> MemorySnapshot:
        """Read every figure now, each with its source."""
        return MemorySnapshot(**_core.take_snapshot(self))

    def verdict(self) -> Verdict:
        """Judge fresh figures and say which limit binds."""
        return Verdict(*_core.give_verdict(self))

    def watch(
        self,
        callback: Callable[[Verdict], object] | None = None,
        *,
        at: MemoryPressureLevel = MemoryPressureLevel.WARNING,
        interval_s: float | None = None,
    ) -> Watch:
        """
        Sample on a thread and call ``callback(verdict)`` when the level changes.

        Args:
            callback: Called in a thread of its own for each change from or to a level of at least
                ``at``: a worse one at once, a milder one when it has lasted for a second.
            at: The mildest level of interest.
            interval_s: Seconds between samples, at least 0.001. By default the next sample is due
                after the headroom divided by the fastest growth seen, from 10 ms to 1 s, so that
                no level is missed; the kernel's hints wake it earlier.

        Returns a ``Watch``, a context manager that stops it. Raises ``ValueError`` for an interval
        out of range.
        """
        from floodwall.watch import Watch

        return Watch(self, callback, at, interval_s)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as the limits: figures belong to a process."""
        limits = (self.max_pyarrow_mb, self.max_process_memory_mb, self.min_system_available_mb)
        return (type(self), limits)

    def __repr__(self) -> str:
        """Return the limits."""
        return (
            f"{type(self).__name__}(max_pyarrow_mb={self.max_pyarrow_mb}, "
            f"max_process_memory_mb={self.max_process_memory_mb}, "
            f"min_system_available_mb={self.min_system_available_mb})"
        )

    def _check_replaced(self) -> MemoryPressureLevel:
        level = cast(MemoryPressureLevel, _core.judge_status(self, self.get_memory_status()))
        if level is not MemoryPressureLevel.NORMAL and _core.log_due(self, level.severity):
            self._log_pressure(level)
        return level

    def _log_pressure(self, level: MemoryPressureLevel) -> None:
        logger.warning("Memory pressure detected: %s. %s", level.value, self.get_detailed_status())


@functools.cache
def _say_when_blind() -> None:
    """Say once a process that no system figure can be read here."""
    if not _core.has_memory_sources():
        logger.info("psutil not available; system memory thresholds will be ignored.")
