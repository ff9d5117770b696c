"""Sizes as users give them: bytes, text such as ``"256MiB"``, a share, or ``"auto"``."""

from __future__ import annotations

from floodwall import _core

__all__ = ["Size", "automatic_limit", "available_bytes", "to_bytes"]

Size = int | str | None

MINIMUM_AUTOMATIC_BYTES = 64 << 20


def available_bytes() -> int | None:
    """Bytes that can still be allocated in this container; ``None`` where nothing tells."""
    mb = _core.MemoryMonitor(0, None, 0, 0.0).get_memory_status().get("system_available_mb")
    return None if mb is None else int(mb * (1 << 20))


def automatic_limit() -> int:
    """Half of what is available now, at least 64 MiB; 256 MiB where nothing tells."""
    available = available_bytes()
    if available is None:
        return 256 << 20
    return max(MINIMUM_AUTOMATIC_BYTES, available // 2)


def to_bytes(argument: str, size: int | str) -> int:
    """
    Turn a size argument into bytes.

    Takes bytes, text such as ``"256MiB"``, ``"auto"`` (half of what is available now, at least
    64 MiB), or a share of what is available now such as ``"40%"``.

    Raises ``TypeError`` or ``ValueError`` naming the argument.
    """
    if isinstance(size, bool) or not isinstance(size, int | str):
        raise TypeError(f"{argument} must be bytes or a text such as '256MiB', got {size!r}")
    if isinstance(size, str):
        text = size.strip()
        if text.lower() == "auto":
            return automatic_limit()
        if text.endswith("%"):
            return _share(argument, text)
        try:
            return _core.parse_byte_size(size)
        except ValueError as error:
            raise ValueError(f"{argument}: {error}") from None
    if size < 0:
        raise ValueError(f"{argument} must not be negative, got {size}")
    return size


def _share(argument: str, text: str) -> int:
    try:
        percent = float(text[:-1])
    except ValueError:
        percent = -1.0
    if not 0 < percent <= 100:
        raise ValueError(f"{argument}: a share must be above 0% and at most 100%, got {text!r}")
    available = available_bytes()
    if available is None:
        raise ValueError(
            f"{argument}: nothing tells what memory is available here, so {text!r} has no meaning; "
            "give bytes"
        )
    return int(available * percent / 100)
