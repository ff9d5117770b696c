"""
Run fsspeckit's own examples and merges with and without floodwall's drop-in.

Uses the environment that tools/fsspeckit_suite.py makes (fsspeckit needs Python 3.12). Every case
runs in a child of its own: seconds after the imports, the growth of anonymous memory after them.
After each merge both datasets must hold the same rows. fsspeckit may take 8 GiB, floodwall 128 MiB.
"""

from __future__ import annotations

import argparse
import datetime
import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))

import duckdb

import lineitem
import memory_child
from merge_peers import newer_python

ROOT = Path(__file__).resolve().parents[1]

_INSTALL = "import floodwall.fsspeckit; floodwall.fsspeckit.install()\n"
_IMPORTS = """
import atexit, runpy, time
import pyarrow.parquet as pq
import fsspeckit.datasets.pyarrow
from fsspeckit.datasets.pyarrow.dataset import process_in_chunks
from fsspeckit.datasets.pyarrow.io import PyarrowDatasetIO
began = time.process_time()
atexit.register(lambda: os.write(1, f"\\n{time.process_time() - began}".encode()))
"""
_EXAMPLE = "sys.stdout = open(os.devnull, 'w'); sys.argv = sys.argv[3:]; \
runpy.run_path(sys.argv[0], run_name='__main__')"
_MERGE = f"D, S = sys.argv[3:]; PyarrowDatasetIO().merge(pq.read_table(S), D, '{{}}', \
{list(lineitem.KEY_COLUMNS)}, merge_max_memory_mb={{}})"
_UNBOUNDED = 64 << 30

EXAMPLES = ("datasets/getting_started/04_pyarrow_merges.py", "multi_key_vectorization_demo.py")
STRATEGIES = ("upsert", "update", "insert")


def _run(python: Path, drop_in: bool, work: str, arguments: list[str]) -> memory_child.Outcome:
    imports = (_INSTALL if drop_in else "") + _IMPORTS
    return memory_child.run_code(imports, work, arguments, _UNBOUNDED, str(python))


def _row(name: str, runs: dict[str, list[memory_child.Outcome]]) -> str:
    cells = [name]
    for outcomes in runs.values():
        if any(outcome.exit_code for outcome in outcomes):
            cells += ["fails", "", ""]
            continue
        cells.append(f"{statistics.median(outcome.wall_s for outcome in outcomes):.2f}")
        cpu = (float(outcome.stdout.split()[-1]) for outcome in outcomes)
        cells.append(f"{statistics.median(cpu):.2f}")
        cells.append(f"{max(outcome.growth_bytes for outcome in outcomes) >> 20}")
    return f"| {' | '.join(cells)} |"


def _differences(one: Path, other: Path) -> int:
    """Rows that only one of two datasets has."""
    with duckdb.connect() as db:
        db.execute("SET memory_limit = '2GB'; SET threads = 2")
        a, b = (f"FROM read_parquet('{path}/**/*.parquet')" for path in (one, other))
        counts = [
            db.execute(f"SELECT count(*) FROM (SELECT md5_number(t::VARCHAR) h {x} t EXCEPT ALL "
                       f"SELECT md5_number(t::VARCHAR) h {y} t)").fetchone()
            for x, y in ((a, b), (b, a))
        ]  # fmt: skip
    return sum(count[0] for count in counts if count is not None)


def main() -> int:
    """Prepare, run, print a table; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", type=Path, default=Path(".demo"), help="where data is kept")
    parser.add_argument("--environment", type=Path, default=Path("build/fsspeckit"))
    parser.add_argument("--scale", type=float, default=1, help="TPC-H scale factor")
    parser.add_argument("--repeat", type=int, default=3)
    args = parser.parse_args()
    python = args.environment.resolve() / "venv" / "bin" / "python"
    if not python.exists():
        command = [sys.executable, ROOT / "tools" / "fsspeckit_suite.py"]
        subprocess.run([*command, "--python", newer_python() or sys.executable], check=True)
    sources = next(args.environment.resolve().glob("fsspeckit-*/"))
    dataset, source = lineitem.prepare(args.directory, args.scale)

    wrong = 0
    print(f"{datetime.date.today()}, {sources.name}, TPC-H scale {args.scale:g}, "
          f"{os.cpu_count()} cores; median of {args.repeat}\n")  # fmt: skip
    print("| | fsspeckit: wall s | CPU s | anonymous MiB | with floodwall: wall s | CPU s "
          "| anonymous MiB |")  # fmt: skip
    print("|---|---|---|---|---|---|---|", flush=True)
    for name in EXAMPLES:
        path = str(sources / "examples" / name)
        runs = {
            kind: [_run(python, kind == "with", _EXAMPLE, [path]) for _ in range(args.repeat)]
            for kind in ("without", "with")
        }
        print(_row(f"its example `{Path(name).name}`", runs), flush=True)
    for strategy in STRATEGIES:
        runs = {"without": [], "with": []}
        for kind, outcomes in runs.items():
            work = args.directory / f"drop-in-{kind}"
            code = _MERGE.format(strategy, 8192 if kind == "without" else 128)
            for _ in range(args.repeat):
                shutil.rmtree(work, ignore_errors=True)
                shutil.copytree(dataset, work)
                os.sync()
                outcomes.append(_run(python, kind == "with", code, [str(work), str(source)]))
        both = all(outcome.exit_code == 0 for outcomes in runs.values() for outcome in outcomes)
        different = _differences(args.directory / "drop-in-without", work) if both else 0
        wrong += different
        note = f", DIFFERENT in {different} rows" if different else ""
        print(_row(f"`merge`, {strategy} of 1 %{note}", runs), flush=True)
    runs = {"without": [], "with": []}
    walk = "import pyarrow.dataset as ds; n = sum(t.num_rows for t in process_in_chunks(\
ds.dataset(sys.argv[3]), 100_000, enable_progress=False)); assert n > 0"
    for kind, outcomes in runs.items():
        outcomes += [_run(python, kind == "with", walk, [str(dataset)]) for _ in range(args.repeat)]
    print(_row("`process_in_chunks` over the dataset", runs), flush=True)
    for kind in runs:
        shutil.rmtree(args.directory / f"drop-in-{kind}", ignore_errors=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
