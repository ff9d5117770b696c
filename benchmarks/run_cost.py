"""
What ``floodwall run`` costs a program: the same program bare and under a limit, in turns.

The programs are a pandas script, a Dask DataFrame read on threads and a fsspeckit merge, on TPC-H
lineitem. Each tells how long its work took and how much CPU time its process used; what the
launcher used beside it is measured from outside.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))

import lineitem
from merge_peers import PEERS, newer_python, python_for

_TIMED = """
import os, sys, time
D, S = sys.argv[1:]
{imports}
begin, used = time.perf_counter(), time.process_time()
{work}
print(time.perf_counter() - begin, time.process_time() - used)
os._exit(0)
"""
PROGRAMS = {
    "pandas script": (
        "import pandas as pd",
        "frame = pd.read_parquet(D, columns=['l_orderkey', 'l_suppkey', 'l_extendedprice',"
        " 'l_shipmode'], dtype_backend='pyarrow')\n"
        "frame.groupby('l_shipmode')['l_extendedprice'].sum()\n"
        "frame.sort_values('l_suppkey').to_parquet(D + '.sorted')",
    ),
    "dask.dataframe on threads": (
        "import dask, dask.dataframe as dd",
        "with dask.config.set(scheduler='threads', num_workers=2):\n"
        "    frame = dd.read_parquet(D, split_row_groups=True)\n"
        "    frame.groupby(['l_returnflag', 'l_shipmode'])[['l_extendedprice', 'l_quantity']]"
        ".sum().compute()",
    ),
    "fsspeckit merge": (
        PEERS["fsspeckit"].imports,
        f"K = {list(lineitem.KEY_COLUMNS)}\n{PEERS['fsspeckit'].work['upsert']}",
    ),
}


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _once(command: list[str]) -> tuple[float, float, float]:
    """Return wall and CPU seconds of the work, and CPU seconds of all processes started."""
    before = _children_cpu()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[:3]}: {done.stderr[-500:]}")
    wall, cpu = (float(word) for word in done.stdout.split()[-2:])
    return wall, cpu, _children_cpu() - before


def _measure(name: str, args: argparse.Namespace, dataset: Path, source: Path) -> str:
    imports, work = PROGRAMS[name]
    python = sys.executable
    if name == "fsspeckit merge":
        python = python_for(PEERS["fsspeckit"], args.peer_python, args.directory)
    copy = args.directory / "work" / "lineitem"
    bare = [python, "-c", _TIMED.format(imports=imports, work=work), str(copy), str(source)]
    limited = [sys.executable, "-m", "floodwall", "run", "--limit", args.limit, "--", *bare]
    seconds: dict[bool, list[tuple[float, float, float]]] = {False: [], True: []}
    for _ in range(args.repeat):
        for guarded in (False, True):
            shutil.rmtree(copy.parent, ignore_errors=True)
            shutil.copytree(dataset, copy)
            os.sync()
            seconds[guarded].append(_once(limited if guarded else bare))
    wall, cpu, whole = (
        [statistics.median(run[i] for run in seconds[guarded]) for guarded in (False, True)]
        for i in range(3)
    )
    # Each pair ran side by side: the median of their ratios suffers least from a busy machine.
    pairs = list(zip(seconds[False], seconds[True], strict=True))
    ratios = [statistics.median(b[i] / a[i] for a, b in pairs) for i in (0, 1)]
    return (
        f"| {name} | {wall[0]:.2f} | {ratios[0]:.3f} | {cpu[0]:.2f} | {ratios[1]:.3f} "
        f"| {whole[1] - whole[0] - cpu[1] + cpu[0]:.2f} |"
    )


def main() -> int:
    """Run all programs and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", type=Path, default=Path(".demo"), help="where data is kept")
    parser.add_argument("--repeat", type=int, default=5, help="pairs of runs of each program")
    parser.add_argument("--limit", default="8GiB")
    parser.add_argument("--programs", nargs="*", choices=list(PROGRAMS), default=list(PROGRAMS))
    parser.add_argument(
        "--peer-python", default=newer_python(), metavar="PATH", help="3.12 or newer, for fsspeckit"
    )
    args = parser.parse_args()
    import pyarrow as pa

    args.directory = args.directory.resolve()
    dataset = args.directory / "lineitem-1"
    source = args.directory / "changes-1.parquet"
    if not dataset.exists() or not source.exists():
        args.directory.mkdir(exist_ok=True)
        lineitem.lay_out(lineitem.generate(args.directory, 1), dataset)
        lineitem.make_source(dataset, source)
    print(
        f"{datetime.date.today()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"pyarrow {pa.__version__}; median of {args.repeat} pairs\n\n"
        "| program | wall s, bare | wall under a limit / bare | CPU s, bare | CPU under / bare "
        "| launcher CPU s |\n|---|---|---|---|---|---|"
    )
    for name in args.programs:
        print(_measure(name, args, dataset, source), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
