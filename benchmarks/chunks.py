"""
Walk a dataset larger than memory in chunks: process_in_chunks against its peers in one cgroup.

Every tool runs in a child of its own whose cgroup allows the stated memory above what its imports
took; beyond it the kernel kills. Reported are the outcome, the growth of anonymous memory (sampled
every 2 ms), and rows a second. Each tool sums one column and counts rows, which is checked.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import os
import platform
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))

import memory_child
from merge_peers import PEERS, newer_python, python_for

GROUP_ROWS = 1 << 20
_INTEGERS, _FLOATS, _TEXTS = 12, 6, 5


@dataclasses.dataclass(frozen=True)
class Tool:
    """How one tool walks: ``chunks`` is an expression giving tables or batches."""

    imports: str
    chunks: str
    package: str = "pyarrow"


_DATASET = "import pyarrow.dataset as ds"
_ITERATE = (
    "(b for f in sorted(pathlib.Path(D).glob('*.parquet')) "
    "for b in pq.ParquetFile(f{open}).iter_batches(ROWS{options}))"
)
TOOLS = {
    "floodwall process_in_chunks": Tool(
        f"{_DATASET}\nimport floodwall",
        "floodwall.process_in_chunks(ds.dataset(D), ROWS, max_memory_mb=MB * 0.75)",
        "floodwall",
    ),
    "pyarrow iter_batches": Tool(
        "import pathlib, pyarrow.parquet as pq", _ITERATE.format(open="", options="")
    ),
    "pyarrow iter_batches, streamed": Tool(
        "import pathlib, pyarrow.parquet as pq",
        _ITERATE.format(open=", pre_buffer=False, buffer_size=65536", options=""),
    ),
    "pyarrow dataset scanner": Tool(_DATASET, "ds.dataset(D).to_batches(batch_size=ROWS)"),
    "pyarrow dataset scanner, no read-ahead": Tool(
        _DATASET,
        "ds.dataset(D).to_batches(batch_size=ROWS, batch_readahead=1, fragment_readahead=1, "
        "use_threads=False, fragment_scan_options=ds.ParquetFragmentScanOptions("
        "use_buffered_stream=True, pre_buffer=False))",
    ),
    "polars collect_batches": Tool(
        "import polars as pl",
        "(f.to_arrow() for f in "
        "pl.scan_parquet(D + '/*.parquet').collect_batches(chunk_size=ROWS))",
        "polars",
    ),
    "duckdb to_arrow_reader": Tool(
        "import duckdb\nduckdb.sql('set enable_progress_bar = false')",
        "(duckdb.sql(f\"set memory_limit = '{int(MB * 0.75)}MiB'\"), "
        "duckdb.sql(f\"from '{D}/*.parquet'\").to_arrow_reader(ROWS))[1]",
        "duckdb",
    ),
    "fsspeckit process_in_chunks": Tool(
        f"{_DATASET}\nfrom fsspeckit.datasets.pyarrow.dataset import process_in_chunks",
        "process_in_chunks(ds.dataset(D), ROWS, max_memory_mb=MB * 0.75)",
        "fsspeckit",
    ),
}

_WORK = """
D, ROWS, MB = sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
rows = total = 0
for chunk in {chunks}:
    rows += chunk.num_rows
    total += pc.sum(chunk["i0"]).as_py()
    del chunk
print(rows, total)
"""


def generate(root: Path, rows: int) -> None:
    """Write files of four row groups each, one row group in memory at a time."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    root.mkdir(parents=True)
    random = np.random.default_rng(1)
    words = pa.array([f"word number {i:06d}" for i in range(100_000)])
    writer = None
    for group, first in enumerate(range(0, rows, GROUP_ROWS)):
        count = min(GROUP_ROWS, rows - first)
        columns: dict[str, object] = {"i0": np.arange(first, first + count)}
        for i in range(1, _INTEGERS):
            columns[f"i{i}"] = random.integers(0, 10 ** (i + 1), count)
        for i in range(_FLOATS):
            columns[f"f{i}"] = random.integers(0, 10 ** (i + 2), count) / 100
        for i in range(_TEXTS):
            columns[f"t{i}"] = words.take(pa.array(random.integers(0, 10 ** (i + 1), count)))
        table = pa.table(columns)
        if group % 4 == 0:
            if writer is not None:
                writer.close()
            writer = pq.ParquetWriter(root / f"{group // 4:04d}.parquet", table.schema)
        assert writer is not None
        writer.write_table(table, row_group_size=GROUP_ROWS)
    if writer is not None:
        writer.close()


def _measure(name: str, args: argparse.Namespace, data: Path) -> str:
    tool = TOOLS[name]
    python = sys.executable
    if tool.package in PEERS:
        try:
            python = python_for(PEERS[tool.package], newer_python(), args.directory.resolve())
        except (RuntimeError, subprocess.CalledProcessError) as error:
            return f"| {name} | not run: {error} | | |"
    outcome = memory_child.run_code(
        f"import pyarrow.compute as pc\n{tool.imports}",
        _WORK.format(chunks=tool.chunks),
        [str(data), str(args.chunk_rows), str(args.mib)],
        args.mib * memory_child.MIB,
        python,
    )
    expected = f"{args.rows} {args.rows * (args.rows - 1) // 2}"
    if outcome.exit_code == 0:
        result = "correct" if outcome.stdout.strip() == expected else "WRONG"
    elif outcome.exit_code == -9:
        result = "killed by the kernel"
    else:
        result = f"exit {outcome.exit_code}"
    speed = f"{args.rows / outcome.wall_s / 1e6:.2f}" if result == "correct" else ""
    return f"| {name} | {result} | {outcome.growth_bytes / memory_child.MIB:.0f} | {speed} |"


def main() -> int:
    """Run all tools; print and optionally write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", type=Path, default=Path(".demo"), help="where data is kept")
    parser.add_argument("--rows", type=int, default=24 * GROUP_ROWS)
    parser.add_argument("--chunk-rows", type=int, default=100_000)
    parser.add_argument("--mib", type=int, default=256, help="memory above the imports")
    parser.add_argument("--tools", nargs="*", choices=list(TOOLS), default=list(TOOLS))
    parser.add_argument("--output", type=Path, help="write the table here")
    args = parser.parse_args()
    data = args.directory.resolve() / f"chunks-{args.rows}"
    if not data.exists():
        generate(data, args.rows)
    import duckdb
    import polars
    import pyarrow

    import floodwall

    lines = [
        f"{datetime.date.today()}, {args.rows:,} rows of {_INTEGERS + _FLOATS + _TEXTS} columns, "
        f"row groups of {GROUP_ROWS:,} rows, chunks of {args.chunk_rows:,} rows, {args.mib} MiB, "
        f"{os.cpu_count()} cores, Python {platform.python_version()}, floodwall "
        f"{floodwall.__version__}, pyarrow {pyarrow.__version__}, duckdb {duckdb.__version__}, "
        f"polars {polars.__version__}; one run",
        "",
        "| tool | outcome | anonymous MiB | million rows / s |",
        "|---|---|---|---|",
    ]
    for name in args.tools:
        lines.append(_measure(name, args, data))
        print(lines[-1], flush=True)
    table = "\n".join(lines) + "\n"
    print(table)
    if args.output:
        args.output.write_text(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
