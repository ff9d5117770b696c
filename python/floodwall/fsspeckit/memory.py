"""
What ``fsspeckit.datasets.pyarrow.memory`` offers, on floodwall's monitor.

``psutil`` is a name that callers replace: ``None`` means that only Arrow's memory is judged, any
other object is asked instead of the kernel. What stands there by default answers psutil's two
questions from floodwall's own probe.
"""

from __future__ import annotations

import os
import sys
import types
from typing import Any, Final

import pyarrow as pa

import floodwall
from floodwall.monitor import (
    BYTES_IN_MB,
    MemoryPressureLevel,
    bytes_to_mb,
    logger,
    max_pressure,
    mb_to_bytes,
)

__all__ = [
    "BYTES_IN_MB",
    "MemoryMonitor",
    "MemoryPressureLevel",
    "bytes_to_mb",
    "logger",
    "max_pressure",
    "mb_to_bytes",
    "os",
    "pa",
    "psutil",
]

_NO_PSUTIL: Final = "psutil not available; system memory thresholds will be ignored."


class _Process:
    """``psutil.Process`` of this process, as far as it is asked about memory."""

    def __init__(self, pid: int | None = None) -> None:
        own = os.getpid()
        if pid not in (None, own):
            raise ValueError(f"pid must be this process's ({own}) or None, got {pid}")
        self.pid = own

    def memory_info(self) -> types.SimpleNamespace:
        """Return ``rss`` in bytes."""
        return types.SimpleNamespace(rss=floodwall.MemoryMonitor().snapshot().rss_bytes)


class _NativePsutil:
    """psutil's two memory questions, answered by floodwall's probe."""

    Process = _Process

    @staticmethod
    def virtual_memory() -> types.SimpleNamespace:
        """Return ``available`` and ``total`` of the container, in bytes."""
        snapshot = floodwall.MemoryMonitor().snapshot()
        return types.SimpleNamespace(available=snapshot.available_bytes, total=snapshot.limit_bytes)


_NATIVE = _NativePsutil()
psutil: Any = _NATIVE


class MemoryMonitor(floodwall.MemoryMonitor):
    """``floodwall.MemoryMonitor``, obeying this module's ``psutil``."""

    def __init__(
        self,
        max_pyarrow_mb: float = 2048,
        max_process_memory_mb: float | None = None,
        min_system_available_mb: float = 512,
    ) -> None:
        """Keep the limits; say when they cannot all be judged."""
        super().__init__(max_pyarrow_mb, max_process_memory_mb, min_system_available_mb)
        if psutil is None and (max_process_memory_mb or min_system_available_mb):
            logger.info(_NO_PSUTIL)

    @property
    def _process(self) -> Any:
        return None if psutil is None else psutil.Process(os.getpid())


def _replaced_status(self: MemoryMonitor) -> dict[str, float]:
    """Ask the object that stands for psutil; what it cannot tell is left out."""
    status = {"pyarrow_allocated_mb": bytes_to_mb(pa.total_allocated_bytes())}
    if psutil is None:
        return status
    try:
        status["process_rss_mb"] = bytes_to_mb(psutil.Process(os.getpid()).memory_info().rss)
        status["system_available_mb"] = bytes_to_mb(psutil.virtual_memory().available)
    except Exception as error:  # whatever the replacement raises: Arrow's figure stands
        logger.warning("Failed to get system memory status: %s", error)
    return status


class _Module(types.ModuleType):
    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name == "psutil":
            # The monitor notices a replaced method; without one its checks stay in the core.
            if value is _NATIVE:
                if "get_memory_status" in vars(MemoryMonitor):
                    del MemoryMonitor.get_memory_status
            else:
                MemoryMonitor.get_memory_status = _replaced_status  # type: ignore[method-assign, assignment]


sys.modules[__name__].__class__ = _Module
