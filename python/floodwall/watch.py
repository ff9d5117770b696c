"""Watch memory from a thread, and be called when the level changes."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import types
import weakref
from collections.abc import Callable
from typing import Any

from floodwall import _core
from floodwall.monitor import MemoryMonitor, MemoryPressureLevel, Verdict

__all__ = ["Watch"]

_MIN_SECONDS, _MAX_SECONDS = 0.01, 1.0
_watches: weakref.WeakSet[Watch] = weakref.WeakSet()


class Watch:
    """
    Samples a monitor until stopped; made by ``MemoryMonitor.watch``.

    The core's thread samples and never touches Python; a daemon thread calls back. Changes that
    come while a callback runs are told as one. What a callback raises goes to
    ``sys.unraisablehook``, and the watch goes on. A forked child has no watch: ``running`` is
    ``False`` there. Watches that still run when the interpreter exits are stopped.

    Thread-safe. A context manager: leaving the block stops it.
    """

    def __init__(
        self,
        monitor: MemoryMonitor,
        callback: Callable[[Verdict], object] | None,
        at: MemoryPressureLevel,
        interval_s: float | None,
    ) -> None:
        """Start sampling."""
        if callback is not None and not callable(callback):
            raise TypeError(f"callback must be callable or None, got {callback!r}")
        if not isinstance(at, MemoryPressureLevel):
            raise TypeError(f"at must be a MemoryPressureLevel, got {at!r}")
        low, high = (_MIN_SECONDS, _MAX_SECONDS) if interval_s is None else (interval_s,) * 2
        self._native = _core.MemoryWatch(monitor, at.severity, low, high)
        self._thread: threading.Thread | None = None
        if callback is not None:
            self._thread = threading.Thread(
                target=_deliver, args=(self._native, callback), name="floodwall-watch", daemon=True
            )
            self._thread.start()
        _watches.add(self)

    def stop(self) -> None:
        """End sampling; returns when a running callback has, unless that is what calls it."""
        self._native.stop()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread() and thread.is_alive():
            thread.join()

    def record(self, path: str | os.PathLike[str]) -> None:
        """
        Write every sample into a recording at ``path`` from now on.

        The file survives a kill of the process. Raises ``OSError`` when it cannot be made,
        ``ValueError`` when the watch records already.
        """
        self._native.record(os.fspath(path))

    @property
    def level(self) -> MemoryPressureLevel:
        """The level that was told last; ``NORMAL`` before the first sample."""
        level: MemoryPressureLevel = self._native.level
        return level

    @property
    def running(self) -> bool:
        """Whether this process samples."""
        return self._native.running

    def stats(self) -> dict[str, Any]:
        """Return samples so far, those that a kernel event caused, and the fastest growth seen."""
        return self._native.stats()

    def __enter__(self) -> Watch:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.stop()


def _deliver(native: _core.MemoryWatch, callback: Callable[[Verdict], object]) -> None:
    while (verdict := native.next()) is not None:
        try:
            callback(Verdict(*verdict))
        except Exception as error:  # a callback's failure must not end the watch
            sys.unraisablehook(
                types.SimpleNamespace(
                    exc_type=type(error), exc_value=error, exc_traceback=error.__traceback__,
                    err_msg="Exception ignored in a memory watch's callback", object=callback,
                )
            )  # fmt: skip


@atexit.register
def _stop_all() -> None:
    for watch in list(_watches):
        watch.stop()
