"""
Time the monitor's calls and print them as ratios of what they could cost at least.

Runs build/release/benchmarks/bench_monitor (google-benchmark), then psutil in this process:

    .venv/bin/python benchmarks/monitor_cost.py
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

PROGRAM = Path(__file__).resolve().parent.parent / "build/release/benchmarks/bench_monitor"


def native_times() -> dict[str, float]:
    """Median nanoseconds of CPU time by benchmark."""
    done = subprocess.run(
        [PROGRAM, "--benchmark_format=json", "--benchmark_repetitions=15",
         "--benchmark_min_time=0.05", "--benchmark_enable_random_interleaving=true"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    runs = json.loads(done.stdout)["benchmarks"]
    return {r["run_name"]: r["cpu_time"] for r in runs if r.get("aggregate_name") == "median"}


def python_time(call: Callable[[], object]) -> float:
    """Median nanoseconds of a call."""
    times = []
    for _ in range(2000):
        started = time.perf_counter_ns()
        call()
        times.append(time.perf_counter_ns() - started)
    return statistics.median(times)


def main() -> int:
    """Print the times and the ratios."""
    if not PROGRAM.exists():
        print(f"build it first: {PROGRAM}", file=sys.stderr)
        return 1
    times = native_times()
    try:
        import psutil
    except ImportError:
        print("psutil is not installed, its reads are left out", file=sys.stderr)
    else:
        process = psutil.Process()
        times["psutil"] = python_time(process.memory_info) + python_time(psutil.virtual_memory)
    for name, nanoseconds in times.items():
        print(f"{name:14} {nanoseconds:12,.1f} ns")
    for text, ratio in (
        ("fresh status / its bare preads", times["StatusFresh"] / times["BareStatus"]),
        ("fresh readings / their bare preads", times["ReadAllFresh"] / times["BareSnapshot"]),
        ("fresh snapshot / its bare preads", times["SnapshotFresh"] / times["BareSnapshot"]),
        ("bare preads of a status / cached check", times["BareStatus"] / times["CheckCached"]),
    ):
        print(f"{text:40} {ratio:10,.2f}")
    if "psutil" in times:
        ratio = times["psutil"] / times["StatusFresh"]
        print(f"{'psutil, both reads / fresh status':40} {ratio:10,.2f}")
    share = times["SampleOnce"] * 10 / 1e9
    print(f"{'a sampler at 10 Hz, share of a core':40} {share:10.4%}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
