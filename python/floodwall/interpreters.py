"""
Tell whether this is a subinterpreter, where pyarrow cannot work.

pyarrow's extension modules serve one interpreter a process. In another one their import fails with
a sentence about Cython or, where it comes first, waits for ever for a lock.
"""

from __future__ import annotations

import importlib
from types import ModuleType

__all__ = ["in_subinterpreter"]


def _interpreters() -> ModuleType | None:
    # CPython's own module, under the name it has since 3.13 and the one before.
    for name in ("_interpreters", "_xxsubinterpreters"):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return None


def in_subinterpreter() -> bool:
    """Return whether this is surely not the main interpreter."""
    interpreters = _interpreters()
    return interpreters is not None and bool(interpreters.get_current() != interpreters.get_main())
