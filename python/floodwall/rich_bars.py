"""Progress bars, drawn by rich where it is installed and stderr is a terminal."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["open_rich"]


def open_rich() -> tuple[Any, Any] | None:
    """Return ``rich.progress`` and a console on stderr; ``None`` without a terminal or rich."""
    if not sys.stderr.isatty():
        return None
    try:
        import rich.console
        import rich.progress
    except ImportError:
        return None
    return rich.progress, rich.console.Console(stderr=True)
