"""
Fail on an include against the modules' direction, on files too long, on empty names.

Order: merge -> dataset -> spill -> pool -> monitor -> probe -> base. A module includes its own
headers, public headers, and private headers of modules to its right.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ORDER = ["merge", "dataset", "spill", "pool", "monitor", "probe", "base"]
MAX_LINES = 400
MAX_PUBLIC_LINES = 250
EMPTY_NAMES = re.compile(r"(util|helper|common|manager|misc|impl)", re.IGNORECASE)
INCLUDE = re.compile(r'#include\s+["<]([^">]+)[">]')


def check(root: Path) -> list[str]:
    """Return one line a fault, ``path:line: message``."""
    faults: list[str] = []
    patterns = ("src/**/*", "include/**/*", "python/**/*", "tests/**/*", "tools/*", "benchmarks/*")
    files = sorted(
        path
        for pattern in patterns
        for path in root.glob(pattern)
        if path.suffix in {".cc", ".h", ".py"} and "__pycache__" not in path.parts
    )
    for path in files:
        relative = path.relative_to(root)
        lines = path.read_text().splitlines()
        limit = MAX_PUBLIC_LINES if relative.parts[0] == "include" else MAX_LINES
        if len(lines) > limit:
            faults.append(f"{relative}:{len(lines)}: more than {limit} lines")
        if EMPTY_NAMES.search(path.stem):
            faults.append(f"{relative}:1: the name says nothing")
        if path.suffix == ".py":
            continue
        for number, line in enumerate(lines, 1):
            if found := INCLUDE.match(line):
                faults += [f"{relative}:{number}: {why}" for why in _faults_of(relative, found[1])]
    return faults + _unlisted(root)


def _faults_of(file: Path, include: str) -> list[str]:
    top, module = file.parts[0], file.parts[1]
    first = include.split("/")[0]
    out = []
    if first == "parquet" and (
        top == "include" or (top == "src" and module not in ("merge", "dataset"))
    ):
        out.append(f"only dataset and merge know Parquet: {include}")
    if first in ("nanobind", "Python.h") and top != "python":
        out.append(f"only the bindings know Python: {include}")
    if first in ORDER:
        if top == "include":
            out.append(f"a public header includes a private one: {include}")
        if top == "src" and ORDER.index(first) < ORDER.index(module):
            out.append(f"{module} lies to the right of {first}: {include}")
    return out


def _unlisted(root: Path) -> list[str]:
    faults = []
    for module in ORDER:
        listing = root / "src" / module / "sources.cmake"
        listed = listing.read_text() if listing.exists() else ""
        faults += [
            f"{path.relative_to(root)}:1: not listed in sources.cmake"
            for path in sorted((root / "src" / module).rglob("*.cc"))
            if not re.search(rf"\b{re.escape(path.name)}\b", listed)
        ]
    return faults


if __name__ == "__main__":
    found = check(Path(__file__).resolve().parent.parent)
    print("\n".join(found) if found else "includes, lengths and names are fine")
    sys.exit(bool(found))
