"""
What asking for memory costs: floodwall's monitor beside psutil and fsspeckit's, in one run.

Every side is asked in turn, in processes of their own, for several rounds; the table has medians of
CPU time, which other work on the machine disturbs less than the clock. fsspeckit needs Python 3.12:

    .venv/bin/python benchmarks/monitor.py [--peer-python PYTHON] [--json]

The bare reads come from build/release/benchmarks/bench_monitor (`make bench` builds it).
"""

from __future__ import annotations

import argparse
import datetime
import gc
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from merge_peers import Peer, newer_python, python_for, version_of

ROOT = Path(__file__).resolve().parent.parent
NATIVE = ROOT / "build/release/benchmarks/bench_monitor"
FSSPECKIT = Peer("", "", ("fsspeckit[datasets]==0.29.0", "pyarrow", "psutil"))
MONITORS = 100_000


def cpu_time(call: Callable[[], object], seconds: float = 0.3) -> float:
    """Nanoseconds of CPU time a call, the loop included: the least of a few batches."""
    count, spent = 1, 0
    while spent < 20_000_000:
        count *= 2
        spent = _batch(call, count)
    batches = max(3, int(seconds * 1e9 / spent))
    return min(_batch(call, count) for _ in range(batches)) / count


def _batch(call: Callable[[], object], count: int) -> int:
    started = time.process_time_ns()
    for _ in range(count):
        call()
    return time.process_time_ns() - started


def measure_floodwall() -> dict[str, float]:
    """Time floodwall's calls and psutil's, in this process."""
    import psutil

    import floodwall

    cached = floodwall.MemoryMonitor(cache_seconds=3600)
    fresh = floodwall.MemoryMonitor(cache_seconds=0)
    process = psutil.Process()
    return {
        "check, cached": cpu_time(cached.check_memory_pressure),
        "status, cached": cpu_time(cached.get_memory_status),
        "check, fresh": cpu_time(fresh.check_memory_pressure),
        "status, fresh": cpu_time(fresh.get_memory_status),
        "snapshot, fresh": cpu_time(fresh.snapshot),
        "psutil, both": cpu_time(lambda: (process.memory_info(), psutil.virtual_memory())),
    }


def measure_fsspeckit() -> dict[str, float]:
    """Time fsspeckit's calls, in this process."""
    from fsspeckit.datasets.pyarrow.memory import MemoryMonitor

    monitor = MemoryMonitor(max_pyarrow_mb=1 << 20, min_system_available_mb=1)
    assert monitor.check_memory_pressure().value == "normal"
    return {
        "check": cpu_time(monitor.check_memory_pressure),
        "status": cpu_time(monitor.get_memory_status),
    }


def measure_sampler(seconds: float) -> dict[str, float]:
    """Share of a core that a watch at 10 Hz takes, beside doing nothing."""
    import floodwall

    def idle() -> float:
        started = time.process_time()
        time.sleep(seconds)
        return (time.process_time() - started) / seconds

    alone = idle()
    with floodwall.MemoryMonitor().watch(None, interval_s=0.1) as watch:
        before = watch.stats()["samples"]
        watched = idle()
        samples = watch.stats()["samples"] - before
    return {"share": watched - alone, "samples_a_second": samples / seconds}


def measure_many() -> dict[str, float]:
    """What 100,000 monitors leave behind, and what as many hold while they live."""
    import floodwall

    def anonymous() -> int:
        gc.collect()
        value = floodwall.MemoryMonitor().snapshot().rss_anon_bytes
        assert value is not None
        return value

    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    for _ in range(1000):
        floodwall.MemoryMonitor().check_memory_pressure()
    memory, files = anonymous(), descriptors()
    for _ in range(MONITORS):
        floodwall.MemoryMonitor().check_memory_pressure()
    left, left_files = anonymous() - memory, descriptors() - files
    alive = [floodwall.MemoryMonitor() for _ in range(MONITORS)]
    held = anonymous() - memory
    held_files = descriptors() - files
    del alive
    return {
        "left_bytes": left, "left_descriptors": left_files,
        "bytes_each": held / MONITORS, "descriptors_while_alive": held_files,
    }  # fmt: skip


_PARTS: dict[str, Callable[[], dict[str, float]]] = {
    "floodwall": measure_floodwall,
    "fsspeckit": measure_fsspeckit,
    "sampler": lambda: measure_sampler(10),
    "many": measure_many,
}


def _part(name: str, python: str) -> dict[str, float]:
    done = subprocess.run(
        [python, __file__, "--part", name], check=True, stdout=subprocess.PIPE, text=True
    )
    out: dict[str, float] = json.loads(done.stdout)
    return out


def _native() -> dict[str, float]:
    """Median CPU time of each benchmark in C++; those that sleep are fewer."""
    out: dict[str, float] = {}
    for names, repetitions in (("-.*AfterSleep.*", 9), (".*AfterSleep.*", 3)):
        done = subprocess.run(
            [NATIVE, "--benchmark_format=json", f"--benchmark_filter={names}",
             f"--benchmark_repetitions={repetitions}", "--benchmark_min_time=0.05",
             "--benchmark_enable_random_interleaving=true"],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        for run in json.loads(done.stdout)["benchmarks"]:
            if run.get("aggregate_name") == "median":
                out[run["run_name"].split("/")[0]] = run["cpu_time"]
    return out


def _medians(rounds: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(r[name] for r in rounds) for name in rounds[0]}


def measure(rounds: int, peer_python: str | None) -> dict[str, Any]:
    """Ask every side in turn."""
    python = python_for(FSSPECKIT, peer_python, ROOT / "build" / "peers")
    sides: dict[str, list[dict[str, float]]] = {"floodwall": [], "fsspeckit": [], "native": []}
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
        sides["floodwall"].append(_part("floodwall", sys.executable))
        sides["fsspeckit"].append(_part("fsspeckit", python))
        sides["native"].append(_native())
    out: dict[str, Any] = {name: _medians(each) for name, each in sides.items()}
    out["sampler"] = _part("sampler", sys.executable)
    out["many"] = _part("many", sys.executable)
    versions = [f"{name} {importlib.metadata.version(name)}" for name in ("floodwall", "psutil")]
    out["header"] = (
        f"{datetime.date.today()}, {os.cpu_count()} cores, Linux {platform.release()}, Python "
        f"{platform.python_version()}, {', '.join(versions)}, {version_of(FSSPECKIT, python)}; "
        f"medians of {rounds} rounds"
    )
    return out


def rows(seen: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """What was asked, what it cost, beside what, and the ratio."""
    ours, theirs, native = seen["floodwall"], seen["fsspeckit"], seen["native"]

    def ns(value: float) -> str:
        return f"{value:,.0f} ns"

    def cheaper(name: str, cost: float, peer: str, other: float) -> tuple[str, str, str, str]:
        return (name, ns(cost), f"{peer}: {ns(other)}", f"{other / cost:,.1f} x cheaper")

    def above(name: str, cost: float, bare: float) -> tuple[str, str, str, str]:
        return (name, ns(cost), f"its bare preads: {ns(bare)}", f"{cost / bare:.2f} x")

    return [
        cheaper("check, cached", ours["check, cached"], "fsspeckit's check", theirs["check"]),
        cheaper("status, cached", ours["status, cached"], "fsspeckit's status", theirs["status"]),
        cheaper("status, fresh", ours["status, fresh"], "fsspeckit's status", theirs["status"]),
        cheaper("status, fresh", ours["status, fresh"], "psutil, both", ours["psutil, both"]),
        cheaper("snapshot, fresh", ours["snapshot, fresh"], "psutil, both", ours["psutil, both"]),
        above("status, fresh, in C++", native["StatusFresh"], native["BareStatus"]),
        above("snapshot, fresh, in C++", native["SnapshotFresh"], native["BareSnapshot"]),
    ]


def main() -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peer-python", default=newer_python(), help="3.12 or newer")
    parser.add_argument("--json", action="store_true", help="print every figure")
    parser.add_argument("--part", choices=list(_PARTS), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.part:
        print(json.dumps(_PARTS[args.part]()))
        return 0
    if not NATIVE.exists():
        print(f"build it first: {NATIVE}", file=sys.stderr)
        return 1
    seen = measure(args.rounds, args.peer_python)
    if args.json:
        print(json.dumps(seen))
        return 0
    print(seen["header"] + "\n")
    print("| call | CPU time | beside | ratio |\n|---|---|---|---|")
    for row in rows(seen):
        print(f"| {' | '.join(row)} |")
    sampler, many, native = seen["sampler"], seen["many"], seen["native"]
    print(
        f"\nA watch at {sampler['samples_a_second']:.0f} Hz took {sampler['share']:.3%} of a core. "
        "At 10 Hz a thread that only sleeps and wakes takes "
        f"{native['NothingAfterSleep'] / 1e8:.3%}, with the bare preads "
        f"{native['BareAfterSleep'] / 1e8:.3%}, with a sample "
        f"{native['SampleAfterSleep'] / 1e8:.3%}; samples without a sleep between them "
        f"{native['SampleOnce'] / 1e8:.4%}.\n\n"
        f"{MONITORS:,} monitors made and dropped left {many['left_bytes'] / 1024:,.0f} KiB and "
        f"{many['left_descriptors']:.0f} descriptors; as many alive hold {many['bytes_each']:,.0f} "
        f"bytes each and {many['descriptors_while_alive']:.0f} descriptors more."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
