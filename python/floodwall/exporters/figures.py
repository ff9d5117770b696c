"""
What is exported, once for every monitoring system.

``process.memory.usage`` is OpenTelemetry's own name. Its ``container.memory.available`` is
defined as limit minus working set, which active page cache makes too small: what floodwall
measures has a name of its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from floodwall.monitor import MemoryPressureLevel, MemorySnapshot

__all__ = ["FIGURES", "Figure", "pressure_of"]


@dataclasses.dataclass(frozen=True)
class Figure:
    """One exported number; ``read`` gives ``None`` for what is unknown."""

    name: str
    unit: str
    """In UCUM, as OpenTelemetry writes units."""
    description: str
    read: Callable[[MemorySnapshot], float | None]
    adds_up: bool = True
    """Whether a sum over processes means something."""
    only_rises: bool = False


FIGURES = (
    Figure("process.memory.usage", "By", "Resident set of the process", lambda s: s.rss_bytes),
    Figure(
        "floodwall.process.memory.anonymous",
        "By",
        "Anonymous part of the resident set: what no file backs",
        lambda s: s.rss_anon_bytes,
    ),
    Figure(
        "floodwall.process.memory.unmanaged",
        "By",
        "Anonymous memory that no Arrow allocator holds",
        lambda s: s.unmanaged_bytes,
    ),
    Figure(
        "floodwall.arrow.memory.allocated",
        "By",
        "Allocated from pyarrow's current pool",
        lambda s: s.arrow_bytes,
    ),
    Figure(
        "floodwall.arrow.memory.peak",
        "By",
        "The most that pool ever held at once",
        lambda s: s.arrow_peak_bytes,
        adds_up=False,
    ),
    Figure(
        "floodwall.container.memory.available",
        "By",
        "What can still be allocated before the kernel kills",
        lambda s: s.available_bytes,
        adds_up=False,
    ),
    Figure(
        "floodwall.container.memory.used",
        "By",
        "What counts against the limit and cannot be reclaimed",
        lambda s: s.used_bytes,
        adds_up=False,
    ),
    Figure(
        "floodwall.container.memory.limit",
        "By",
        "The least limit of the container, its ancestors and the machine",
        lambda s: s.limit_bytes,
        adds_up=False,
    ),
    Figure(
        "floodwall.container.memory.stalled",
        "1",
        "Share of the last 10 s in which some task waited for memory",
        lambda s: None if s.psi_some_avg10 is None else s.psi_some_avg10 / 100,
        adds_up=False,
    ),
    Figure(
        "floodwall.container.memory.oom_kills",
        "{kill}",
        "Processes of the container that the kernel killed for memory",
        lambda s: s.oom_kill_count,
        adds_up=False,
        only_rises=True,
    ),
)

PRESSURE = "floodwall.memory.pressure"
PRESSURE_DESCRIPTION = "Pressure level: 0 normal, 1 warning, 2 critical, 3 emergency"


def pressure_of(level: MemoryPressureLevel) -> int:
    """Return the exported value of a level."""
    return level.severity
