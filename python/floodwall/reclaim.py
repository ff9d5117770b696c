"""Give freed memory back to the operating system."""

from __future__ import annotations

import dataclasses

from floodwall import _core

__all__ = ["TrimResult", "trim"]


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
