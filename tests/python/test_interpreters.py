"""Imports in subinterpreters, each in a process of its own."""

import subprocess
import sys

import pytest

from floodwall import interpreters

# Runs argv[2] in a new interpreter: one that shares the GIL, or one of its own where there is one.
_SCRIPT = """
import sys
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
if sys.version_info >= (3, 13):
    new = interpreters.create("isolated" if sys.argv[1] == "isolated" else "legacy")
else:
    new = interpreters.create(isolated=sys.argv[1] == "isolated")
if sys.argv[3] == "main-first":
    import floodwall
failed = interpreters.run_string(new, sys.argv[2])  # an exception itself, or what was raised
assert failed is None, failed
import floodwall
print("main:", floodwall.MemoryMonitor().check_memory_pressure().value)
"""
_IMPORT = """
try:
    import floodwall
except ImportError as error:
    print("refused:", error, flush=True)
else:
    print("imported", flush=True)
"""


@pytest.mark.parametrize("order", ["main-first", "subinterpreter-first"])
@pytest.mark.parametrize("kind", ["legacy", "isolated"])
def test_a_subinterpreter_is_refused_in_one_sentence(kind: str, order: str) -> None:
    child = subprocess.run(
        [sys.executable, "-c", _SCRIPT, kind, _IMPORT, order],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert child.returncode == 0, child.stderr
    lines = child.stdout.splitlines()
    assert len(lines) == 2, child.stdout
    assert lines[0].startswith("refused: floodwall works in the main interpreter only")
    assert lines[1] == "main: normal"


def test_what_cannot_be_told_is_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "_interpreters", None)
    monkeypatch.setitem(sys.modules, "_xxsubinterpreters", None)
    assert not interpreters.in_subinterpreter()
