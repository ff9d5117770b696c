"""
Upsert 1 % into TPC-H lineitem: floodwall against the tools of benchmarks/merge_peers.py.

Every tool runs in a child of its own, on a fresh copy of the dataset, one after the other in one
run: wall and CPU seconds after the imports, the growth of anonymous memory (RssAnon sampled every
2 ms) and a row-by-row check by DuckDB. Some tools need Python 3.12 and an environment of their
own, which is made at the first run. A peer that cannot run is listed with the reason.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))

import lineitem
import memory_child
from merge_peers import PEERS, newer_python, python_for, result_of, version_of

_RUNNER = """
import sys
D, S = sys.argv[1], sys.argv[2]
{imports}
print("ready", flush=True)
sys.stdin.readline()
{work}
"""


@dataclasses.dataclass
class Row:
    """One tool's figures; times in seconds, memory in MiB."""

    tool: str
    outcome: str
    wall_s: float = 0
    cpu_s: float = 0
    anonymous_mib: float = 0
    version: str = ""


def _run_once(python: str, peer: str, dataset: Path, source: Path) -> Row:
    code = _RUNNER.format(imports=PEERS[peer].imports, work=PEERS[peer].work)
    child = subprocess.Popen(
        [python, "-c", code, str(dataset), str(source)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert child.stdin is not None and child.stdout is not None and child.stderr is not None
    if child.stdout.readline() != "ready\n":
        lines = child.stderr.read().strip().splitlines()
        child.wait()
        return Row(peer, f"does not start: {lines[-1] if lines else child.returncode}")
    baseline = memory_child.anonymous_bytes(child.pid)
    ticks = os.sysconf("SC_CLK_TCK")
    used = Path(f"/proc/{child.pid}/stat").read_text().rsplit(")", 1)[1].split()
    cpu_before = (int(used[11]) + int(used[12])) / ticks
    child.stdin.write("\n")
    child.stdin.flush()
    watched = memory_child.watch(child)
    lines = child.stderr.read().strip().splitlines()
    for stream in (child.stdin, child.stdout, child.stderr):
        stream.close()
    outcome = "ok" if watched.exit_code == 0 else f"fails: {lines[-1] if lines else ''}"[:120]
    growth = max(watched.peak_bytes, baseline) - baseline
    cpu = watched.cpu_s - cpu_before
    return Row(peer, outcome, watched.wall_s, cpu, growth / memory_child.MIB)


def _prepare(python: str, peer: str, dataset: Path) -> None:
    """Run what a tool needs before the clock starts, in a child so that its memory is gone."""
    if PEERS[peer].prepare:
        code = f"import sys\nD = sys.argv[1]\n{PEERS[peer].prepare}"
        subprocess.run([python, "-c", code, dataset], check=True)
    os.sync()  # else one tool pays for writing back what was copied for it


def _measure(peer: str, args: argparse.Namespace, dataset: Path, source: Path) -> Row:
    try:
        python = python_for(PEERS[peer], args.peer_python, args.directory)
    except (RuntimeError, subprocess.CalledProcessError) as error:
        return Row(peer, f"not run: {error}"[:120])
    rows = []
    for _ in range(args.repeat):
        work = args.directory / "work"
        shutil.rmtree(work, ignore_errors=True)
        copy = work / "lineitem"
        shutil.copytree(dataset, copy)
        try:
            _prepare(python, peer, copy)
        except subprocess.CalledProcessError as error:
            return Row(peer, f"not prepared: {error}"[:120])
        row = _run_once(python, peer, copy, source)
        if row.outcome != "ok":
            return row
        rows.append(row)
    wrong = lineitem.differences(dataset, source, result_of(peer, copy))
    return Row(
        peer,
        "correct" if wrong == 0 else f"WRONG in {wrong} rows",
        statistics.median(row.wall_s for row in rows),
        statistics.median(row.cpu_s for row in rows),
        max(row.anonymous_mib for row in rows),
        version_of(PEERS[peer], python) if PEERS[peer].packages else "",
    )


def _markdown(rows: list[Row], args: argparse.Namespace) -> str:
    import duckdb
    import polars
    import pyarrow as pa

    import floodwall

    base = next((row for row in rows if row.tool == "floodwall 128 MiB" and row.wall_s), None)
    lines = [
        f"{datetime.date.today()}, TPC-H scale {args.scale:g}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}, floodwall {floodwall.__version__}, "
        f"pyarrow {pa.__version__}, duckdb {duckdb.__version__}, polars {polars.__version__}"
        + "".join(f", {row.version}" for row in rows if row.version)
        + f"; median of {args.repeat}",
        "",
        "| tool | outcome | wall s | CPU s | anonymous MiB | wall, floodwall 128 MiB = 1 |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        ratio = f"{row.wall_s / base.wall_s:.2f}" if base and row.wall_s else ""
        lines.append(
            f"| {row.tool} | {row.outcome} | {row.wall_s:.2f} | {row.cpu_s:.2f} "
            f"| {row.anonymous_mib:.0f} | {ratio} |"
        )
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run all peers; print and optionally write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", type=Path, default=Path(".demo"), help="where data is kept")
    parser.add_argument("--scale", type=float, default=1)
    parser.add_argument("--repeat", type=int, default=3, help="runs of each tool")
    parser.add_argument("--peers", nargs="*", choices=list(PEERS), default=list(PEERS))
    parser.add_argument(
        "--peer-python", default=newer_python(), metavar="PATH", help="3.12 or newer, for peers"
    )
    parser.add_argument("--output", type=Path, help="write the table here (and .json beside it)")
    args = parser.parse_args()
    args.directory = args.directory.resolve()
    dataset, source = lineitem.prepare(args.directory, args.scale)
    rows = []
    for peer in args.peers:
        rows.append(_measure(peer, args, dataset, source))
        print(rows[-1], flush=True)
    table = _markdown(rows, args)
    print(table)
    if args.output:
        args.output.write_text(table)
        args.output.with_suffix(".json").write_text(
            json.dumps([dataclasses.asdict(row) for row in rows], indent=1) + "\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
