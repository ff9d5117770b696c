"""
Runs one merge of benchmarks/merge.py in a child of its own, bounded by a memory cgroup.

The cgroup allows 16 MiB more than the budget above what the imports took; beyond it the kernel
kills (page cache counts, but is reclaimed first). What was read and written is what the kernel
counted for the process, whatever the tool says.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import statistics
import subprocess
from pathlib import Path
from typing import Any

import memory_child
import merge_operations
from merge_peers import Peer, python_for

_OVERHEAD = 16 << 20
_NAMES = """
D, S, O, MB = sys.argv[-4], sys.argv[-3], sys.argv[-2], int(sys.argv[-1])
K = {keys}
ON = ' AND '.join(f't.{{k}} = s.{{k}}' for k in K)
"""
_WORK = """
import json
def _io():
    return [int(line.split()[1]) for line in open('/proc/self/io')][:2]
_before, R = _io(), {{}}
try:
    exec({work!r})
except BaseException as error:
    print(json.dumps({{'error': f'{{type(error).__name__}}: {{error}}'}}))
    sys.stdout.flush()
    os._exit(1)
_after = _io()
_figures = {{k: R[k] for k in ('bytes_copied', 'bytes_encoded') if k in R}}
print(json.dumps({{'read': _after[0] - _before[0], 'written': _after[1] - _before[1], **_figures}}))
sys.stdout.flush()
os._exit(0)
"""


@dataclasses.dataclass
class Row:
    """One tool's figures for one operation and budget: seconds and bytes, medians of the runs."""

    operation: str
    tool: str
    budget_mib: int
    outcome: str = ""
    wall_s: float = 0
    cpu_s: float = 0
    anonymous_bytes: int = 0
    read_bytes: int = 0
    written_bytes: int = 0
    encoded_bytes: int = 0

    @property
    def is_complete(self) -> bool:
        """Whether the figures are those of a merge that ended well."""
        return self.outcome == "correct"


class Bench:
    """One operation on fresh copies of one dataset, for any tools."""

    def __init__(self, operation: str, directory: Path, scale: float, peer_python: str | None):
        """Make dataset and source where they are not there yet."""
        self._name = operation
        self._operation = merge_operations.OPERATIONS[operation]
        self._directory = directory
        self._peer_python = peer_python
        self._dataset, self._source = merge_operations.prepare(operation, directory, scale)

    def measure(self, name: str, peer: Peer, budget_mib: int, check: bool) -> Row:
        """Run a tool once; with ``check``, compare its result with DuckDB's."""
        row = Row(self._name, name, budget_mib)
        strategy = "columns" if self._operation.dataset == "wide" else self._operation.strategy
        if strategy not in peer.work:
            row.outcome = "cannot"
            return row
        try:
            python = python_for(peer, self._peer_python, self._directory)
            copy = self._fresh_copy(name, peer, python)
        except (RuntimeError, subprocess.CalledProcessError) as error:
            row.outcome = f"not run: {error}"[:120]
            return row
        out = copy.with_suffix(".out")
        out.mkdir()
        arguments = [str(copy), str(self._source), str(out), str(budget_mib)]
        names = _NAMES.format(keys=self._operation.keys)
        done = memory_child.run_code(
            f"{peer.imports}\n{names}", _WORK.format(work=peer.work[strategy]), arguments,
            budget_mib * memory_child.MIB + _OVERHEAD, python,
        )  # fmt: skip
        lines = done.stdout.splitlines()
        said: dict[str, Any] = json.loads(lines[-1]) if lines else {}
        row.wall_s = done.wall_s
        row.cpu_s = done.cpu_s - done.baseline_cpu_s
        row.anonymous_bytes = done.growth_bytes
        if done.exit_code == -signal.SIGKILL:
            row.outcome = "killed by the kernel"
        elif done.exit_code:
            row.outcome = "fails: " + str(said.get("error", done.exit_code)).splitlines()[0][:160]
        else:
            row.read_bytes, row.written_bytes = said["read"], said["written"]
            row.encoded_bytes = said.get("bytes_encoded", 0)
            row.outcome = "correct"
            # A copy is no merge: nothing to compare.
            if check and name != "raw copy + key scan":
                row.outcome = self._verdict(peer, python, copy, out)
        shutil.rmtree(copy.parent)
        return row

    def _fresh_copy(self, name: str, peer: Peer, python: str) -> Path:
        """Copy the dataset, in the tool's own form, which is made once and kept."""
        origin = self._dataset
        if peer.prepare:
            tool = "".join(c if c.isalnum() else "-" for c in name)
            origin = self._directory / f"prepared-{tool}" / self._dataset.name
            if not origin.exists():
                part = origin.with_suffix(".part")
                shutil.rmtree(part, ignore_errors=True)
                shutil.copytree(self._dataset, part)
                code = f"import sys\nD = sys.argv[1]\n{peer.prepare}"
                subprocess.run([python, "-c", code, part], check=True)
                part.rename(origin)
        work = self._directory / "work"
        shutil.rmtree(work, ignore_errors=True)
        copy = work / self._dataset.name
        shutil.copytree(origin, copy)
        os.sync()  # else one tool pays for writing back what was copied for it
        return copy

    def _verdict(self, peer: Peer, python: str, copy: Path, out: Path) -> str:
        if peer.export:
            names = _NAMES.format(keys=self._operation.keys)
            code = f"import os, sys\n{names}\n{peer.export}"
            subprocess.run([python, "-c", code, copy, self._source, out, "0"], check=True)
        after = out if any(out.iterdir()) else copy
        right = merge_operations.is_correct(self._name, self._dataset, self._source, after)
        return "correct" if right else "WRONG"


def middle(rows: list[Row]) -> Row:
    """Medians of several runs of one tool, the most memory of them, the worst outcome."""
    bad = next((row for row in rows if not row.is_complete), None)
    if bad is not None:
        return bad
    medians = {
        field.name: statistics.median(getattr(row, field.name) for row in rows)
        for field in dataclasses.fields(Row)
        if field.name.endswith("_s") or field.name.endswith("_bytes")
    }
    medians["anonymous_bytes"] = max(row.anonymous_bytes for row in rows)
    return dataclasses.replace(rows[0], **medians)  # type: ignore[arg-type]
