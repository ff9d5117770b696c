"""What commands do on a terminal: colours, bars, and a view that is drawn again in place."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import TextIO

from floodwall.monitor import MemoryPressureLevel

__all__ = ["Line", "bar", "draw", "is_terminal", "live_view", "paint", "style_of", "trend"]

Line = Sequence[tuple[str, str]]
"""Pieces of text, each with a style: ``""``, ``"bold"``, ``"dim"`` or a colour."""

_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "magenta": "35"}
_LEVELS = {
    MemoryPressureLevel.NORMAL: "green",
    MemoryPressureLevel.WARNING: "yellow",
    MemoryPressureLevel.CRITICAL: "magenta",
    MemoryPressureLevel.EMERGENCY: "red",
}
_BLOCKS = "▁▂▃▄▅▆▇█"


def style_of(level: MemoryPressureLevel) -> str:
    """Return the colour of a level."""
    return _LEVELS[level]


def is_terminal(stream: TextIO) -> bool:
    """Return whether cursor movements mean something there."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def paint(text: str, style: str, stream: TextIO) -> str:
    """Return ``text`` in a style, plain where colours do not belong: a pipe, or ``NO_COLOR``."""
    if style not in _CODES or not is_terminal(stream):
        return text
    if os.environ.get("NO_COLOR") and style not in ("bold", "dim"):
        return text
    return f"\x1b[{_CODES[style]}m{text}\x1b[0m"


def _has_blocks(stream: TextIO) -> bool:
    try:
        _BLOCKS.encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def bar(share: float, width: int, stream: TextIO) -> str:
    """Return a bar of ``width`` characters, filled to ``share`` of 1."""
    filled = round(min(1.0, max(0.0, share)) * width)
    full, empty = ("█", "░") if _has_blocks(stream) else ("#", ".")
    return full * filled + empty * (width - filled)


def trend(values: Sequence[float], most: float, stream: TextIO) -> str:
    """Return one character a value, as high as its share of ``most``."""
    marks = _BLOCKS if _has_blocks(stream) else "_.-=+*#@"
    top = len(marks) - 1
    return "".join(
        marks[round(min(1.0, max(0.0, value / most)) * top) if most > 0 else 0] for value in values
    )


def _clip(line: Line, width: int, stream: TextIO) -> str:
    out = []
    for text, style in line:
        out.append(paint(text[:width], style, stream))
        width -= len(text)
        if width <= 0:
            break
    return "".join(out)


def draw(lines: Sequence[Line], stream: TextIO) -> None:
    """Draw ``lines`` from the top left corner, cut to the terminal's size, over what was there."""
    size = shutil.get_terminal_size()
    shown = [_clip(line, size.columns, stream) for line in lines[: size.lines]]
    # One write, and no newline after the last line: it would scroll a full screen.
    stream.write("\x1b[H" + "\x1b[K\n".join(shown) + "\x1b[K\x1b[J")
    stream.flush()


@contextlib.contextmanager
def live_view(stream: TextIO | None = None) -> Iterator[None]:
    """Give the screen to a view, and give it back as it was, whatever ends the view."""
    out = sys.stdout if stream is None else stream

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    out.write("\x1b[?1049h\x1b[?25l")
    out.flush()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # the terminal may be gone
            out.write("\x1b[?25h\x1b[?1049l")
            out.flush()
        for number, handler in before.items():
            signal.signal(number, handler)
