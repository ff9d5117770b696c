"""
Merges into TPC-H lineitem and a wide table: floodwall against the tools of merge_peers.py.

Every run is a child of its own in a memory cgroup (merge_child.py), on a fresh copy of the dataset;
the runs of all tools are interleaved. Reported are wall and CPU seconds after the imports, the
growth of anonymous memory (RssAnon sampled every 2 ms), bytes read and written, and whether the
rows are those that DuckDB makes of the operation (checked in the first run). Some tools need Python
3.12 and an environment of their own, which is made at the first run.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import os
import platform
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))

import floodwall
from merge_child import Bench, Row, middle
from merge_operations import OPERATIONS
from merge_peers import PEERS, newer_python, python_for, version_of

_MIB = 1 << 20
REFERENCES = ("raw copy + key scan", "duckdb COPY")


def _measure(operation: str, args: argparse.Namespace) -> list[Row]:
    bench = Bench(operation, args.directory, args.scale, args.peer_python)
    sides = [
        (peer, budget)
        for peer in args.peers
        for budget in (args.budgets if peer == "floodwall" else args.peer_budgets)
        if PEERS[peer].budgets or budget == max(args.peer_budgets)
    ]
    runs: dict[tuple[str, int], list[Row]] = {side: [] for side in sides}
    for round_ in range(args.repeat):
        for side in sides:
            if round_ and not runs[side][0].is_complete:
                continue
            row = bench.measure(side[0], PEERS[side[0]], side[1], check=round_ == 0)
            runs[side].append(row)
            print(row, file=sys.stderr, flush=True)
    return [middle(rows) for rows in runs.values()]


def _versions(args: argparse.Namespace) -> str:
    import duckdb
    import polars
    import pyarrow as pa

    names = [
        f"{datetime.date.today()}, scale {args.scale:g}, {os.cpu_count()} cores",
        f"Python {platform.python_version()}, floodwall {floodwall.__version__}",
        f"pyarrow {pa.__version__}, duckdb {duckdb.__version__}, polars {polars.__version__}",
    ]
    for peer in (PEERS[name] for name in args.peers if PEERS[name].packages):
        names.append(version_of(peer, python_for(peer, args.peer_python, args.directory)))
    return ", ".join(names) + f"; medians of {args.repeat}"


def _markdown(rows: list[Row], args: argparse.Namespace) -> str:
    lines = [_versions(args)]
    for operation in dict.fromkeys(row.operation for row in rows):
        group = [row for row in rows if row.operation == operation]
        base = {
            name: next((r.cpu_s for r in group if r.tool == name and r.is_complete), 0)
            for name in REFERENCES
        }
        lines += [
            "",
            f"**{operation}**: {OPERATIONS[operation].title}",
            "",
            "| tool | MiB allowed | outcome | wall s | CPU s | of the raw copy's | of duckdb "
            "COPY's | anonymous MiB | MB read | MB written |",
            "|---|---|---|---|---|---|---|---|---|---|",
        ]
        for row in group:
            if not row.is_complete:
                lines.append(f"| {row.tool} | {row.budget_mib} | {row.outcome} |" + " |" * 7)
                continue
            ratios = [f"{row.cpu_s / cpu:.2f}" if cpu else "" for cpu in base.values()]
            lines.append(
                f"| {row.tool} | {row.budget_mib} | {row.outcome} | {row.wall_s:.2f} "
                f"| {row.cpu_s:.2f} | {' | '.join(ratios)} | {row.anonymous_bytes / _MIB:.0f} "
                f"| {row.read_bytes / 1e6:.1f} | {row.written_bytes / 1e6:.1f} |"
            )
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run all peers; print and optionally write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", type=Path, default=Path(".demo"), help="where data is kept")
    parser.add_argument("--scale", type=float, default=1)
    parser.add_argument("--repeat", type=int, default=3, help="runs of each tool")
    parser.add_argument(
        "--operation", nargs="*", choices=list(OPERATIONS), default=list(OPERATIONS)
    )
    parser.add_argument(
        "--budgets", nargs="*", type=int, metavar="MIB",
        default=[2048, 512, 256, 128, 64], help="floodwall's",
    )  # fmt: skip
    parser.add_argument(
        "--peer-budgets", nargs="*", type=int, metavar="MIB",
        default=[2048], help="the others'; those that take no limit run with the largest",
    )  # fmt: skip
    parser.add_argument("--peers", nargs="*", choices=list(PEERS), default=list(PEERS))
    parser.add_argument(
        "--peer-python", default=newer_python(), metavar="PATH", help="3.12 or newer, for peers"
    )
    parser.add_argument("--output", type=Path, help="write the table here (and .json beside it)")
    args = parser.parse_args()
    args.directory = args.directory.resolve()
    args.directory.mkdir(exist_ok=True)
    rows: list[Row] = []
    for operation in args.operation:
        rows += _measure(operation, args)
        table = _markdown(rows, args)
        if args.output:  # after each operation: a long run may be stopped
            args.output.write_text(table)
            args.output.with_suffix(".json").write_text(
                json.dumps([dataclasses.asdict(row) for row in rows], indent=1) + "\n"
            )
    print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
