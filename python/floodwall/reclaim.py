"""Make room: ask caches to shrink, give freed memory back to the operating system."""

from __future__ import annotations

import atexit
import dataclasses
import os
import threading
from collections.abc import Callable
from typing import Self

from floodwall import _core

__all__ = ["Reclaimer", "TrimResult", "register_reclaimer", "trim"]

_EXIT_PATIENCE_S = 5.0

_lock = threading.Lock()
_server: threading.Thread | None = None


@dataclasses.dataclass(frozen=True)
class TrimResult:
    """What one ``trim`` did: anonymous resident bytes of this process before and after."""

    before_bytes: int | None
    after_bytes: int | None
    skipped: bool
    """The calls before gave nothing back, so this one did not try."""

    @property
    def returned_bytes(self) -> int:
        """Bytes that came back, 0 when none or unknown."""
        if self.before_bytes is None or self.after_bytes is None:
            return 0
        return max(0, self.before_bytes - self.after_bytes)


def trim(*, force: bool = False) -> TrimResult:
    """
    Return what Arrow's allocators and glibc's heap keep of freed memory to the system.

    When a call brings back less than 1 MiB, the next ones are skipped for a while (100 ms, then
    twice as long each time, up to 10 s) unless ``force`` is true. Thread-safe.
    """
    before, after, skipped = _core.trim(force)
    return TrimResult(before if before >= 0 else None, after if after >= 0 else None, bool(skipped))


class Reclaimer:
    """A registered callback; ``cancel`` it, or use it as a context manager."""

    def __init__(self, registration: _core.ReclaimerRegistration) -> None:
        """Hold the registration."""
        self._registration: _core.ReclaimerRegistration | None = registration

    def cancel(self) -> None:
        """Call it no more; a call that is running ends by itself."""
        self._registration = None

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Cancel."""
        self.cancel()


def register_reclaimer(callback: Callable[[int], int], *, priority: int = 0) -> Reclaimer:
    """
    Have a cache asked to shrink before a budget, guarded pool or limit refuses a request.

    ``callback(bytes_wanted)`` frees what it can and returns how many bytes that was. The figure is
    not trusted: after each callback the request is tried again, and the next one is asked when it
    still does not fit, those of higher ``priority`` first.

    A callback runs under no lock of floodwall's, on the allocating thread when that holds the GIL
    and else on a thread of floodwall's, for which the request waits at most a second. It is never
    entered twice at once, nor from its own allocations. What it raises goes to
    ``sys.unraisablehook``.

    The callback stays registered until the result is cancelled or no longer referenced.
    """
    if not callable(callback):
        raise TypeError(f"callback must be callable, got {callback!r}")
    registration = _core.register_reclaimer(callback, priority)
    _serve()
    return Reclaimer(registration)


def _serve() -> None:
    """Start the thread that calls for those who do not hold the GIL, once a process."""
    global _server
    with _lock:
        if _server is None:
            _server = threading.Thread(
                target=_core.serve_reclaimers, name="floodwall-reclaimers", daemon=True
            )
            _server.start()


def _after_fork() -> None:
    global _lock, _server
    _lock = threading.Lock()
    _core.renew_reclaimers()
    if _server is not None:
        _server = None
        _serve()


def _at_exit() -> None:
    _core.close_reclaimers()
    if _server is not None:
        # A thread that asks for the GIL of an interpreter that has ended takes the process down.
        _server.join(_EXIT_PATIENCE_S)


os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)
