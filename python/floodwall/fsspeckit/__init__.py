"""
A drop-in for fsspeckit's PyArrow memory and merge layer.

``install()`` puts floodwall's classes where ``fsspeckit.datasets.pyarrow.memory``, ``.dataset`` and
``.io.PyarrowDatasetIO.merge`` are, and makes those module paths when fsspeckit is not installed.
Code that imports them afterwards runs unchanged, inside its limits. Code that imported classes
before keeps the old ones, except for ``PyarrowDatasetIO``, whose ``merge`` is replaced in place.

As a pytest plugin: ``pytest -p floodwall.fsspeckit.pytest_plugin``.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from typing import Any

__all__ = ["install", "uninstall"]

_PACKAGE = "fsspeckit.datasets.pyarrow"
_MISSING = object()

# What to undo, last change first: (owner, attribute, old value) and (None, module name, old).
_changes: list[tuple[Any, str, Any]] = []


def install() -> None:
    """
    Put floodwall's classes in fsspeckit's places; a second call changes nothing.

    Not thread-safe: call it at the start of a program, before fsspeckit's classes are imported.
    """
    if _changes:
        return
    from floodwall.fsspeckit import dataset, io, memory

    if importlib.util.find_spec("fsspeckit") is None:
        _make_packages()
        _set_module(f"{_PACKAGE}.memory", memory)
        _set_module(f"{_PACKAGE}.dataset", dataset)
        _set_module(f"{_PACKAGE}.io", io)
        package = sys.modules[_PACKAGE]
        for name in ("MemoryMonitor", "MemoryPressureLevel"):
            _set(package, name, getattr(memory, name))
        _set(package, "PyarrowDatasetIO", io.PyarrowDatasetIO)
        return
    package = importlib.import_module(_PACKAGE)
    theirs = importlib.import_module(f"{_PACKAGE}.dataset")
    handler = importlib.import_module(f"{_PACKAGE}.io").PyarrowDatasetIO
    _set_module(f"{_PACKAGE}.memory", memory)
    for owner in (package, theirs):
        for name in ("MemoryMonitor", "MemoryPressureLevel"):
            _set(owner, name, getattr(memory, name))
    for name in dataset.__all__:
        _set(theirs, name, getattr(dataset, name))
    _set(handler, "merge", io.make_merge(handler.merge))


def uninstall() -> None:
    """Undo ``install()``; nothing without one."""
    while _changes:
        owner, name, old = _changes.pop()
        if owner is None:
            if old is _MISSING:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = old
        elif old is _MISSING:
            delattr(owner, name)
        else:
            setattr(owner, name, old)


def _set(owner: Any, name: str, value: Any) -> None:
    # A class's own attribute, not what a look-up through the instance would bind.
    old = vars(owner).get(name, _MISSING)
    _changes.append((owner, name, old))
    setattr(owner, name, value)


def _set_module(name: str, module: types.ModuleType) -> None:
    _changes.append((None, name, sys.modules.get(name, _MISSING)))
    sys.modules[name] = module
    parent, _, child = name.rpartition(".")
    _set(sys.modules[parent], child, module)


def _make_packages() -> None:
    parts = _PACKAGE.split(".")
    for depth in range(1, len(parts) + 1):
        name = ".".join(parts[:depth])
        package = types.ModuleType(name, "Made by floodwall.fsspeckit.install().")
        package.__path__ = []
        package.__spec__ = importlib.util.spec_from_loader(name, None, is_package=True)
        if depth == 1:
            _changes.append((None, name, sys.modules.get(name, _MISSING)))
            sys.modules[name] = package
        else:
            _set_module(name, package)
