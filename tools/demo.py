"""`make demo`: upsert 60,000 rows into 6 million inside 128 MiB, and check the result."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path

import lineitem
import memory_child

OVERHEAD = 16 * memory_child.MIB


def main() -> int:
    """Prepare, merge in a limited child, report, check; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", type=Path, default=Path(".demo"), help="where data is kept")
    parser.add_argument("--scale", type=float, default=1, help="TPC-H scale factor")
    parser.add_argument("--max-memory", type=int, default=128, metavar="MIB")
    args = parser.parse_args()
    directory: Path = args.directory

    print(f"1. TPC-H lineitem at scale {args.scale:g} ...", flush=True)
    dataset, source = lineitem.prepare(directory, args.scale)
    merged = directory / "merged"
    shutil.rmtree(merged, ignore_errors=True)
    shutil.copytree(dataset, merged)

    limit = args.max_memory * memory_child.MIB
    print(f"2. upsert with --max-memory {args.max_memory}MiB ...", flush=True)
    outcome = memory_child.run_cli(
        ["merge", str(merged), str(source), "--on", ",".join(lineitem.KEY_COLUMNS),
         "--max-memory", f"{args.max_memory}MiB", "--json"],
        limit + OVERHEAD,
    )  # fmt: skip
    if outcome.exit_code != 0:
        print(f"the merge failed with exit code {outcome.exit_code}", file=sys.stderr)
        return 1
    result = json.loads(outcome.stdout)
    mib = memory_child.MIB
    judge = "memory cgroup" if outcome.limited_by_cgroup else "samples: no cgroup is writable here"
    print(
        f"   rows        {result['target_count_before']:,} before, "
        f"{result['inserted']:,} inserted, {result['updated']:,} updated, "
        f"{result['target_count_after']:,} after\n"
        f"   time        {outcome.wall_s:.2f} s wall, {outcome.cpu_s:.2f} s CPU with imports\n"
        f"   memory      {outcome.growth_bytes / mib:.1f} MiB growth of anonymous memory, "
        f"allowed {(limit + OVERHEAD) / mib:.0f} MiB ({judge}); budget peak "
        f"{result['peak_memory_bytes'] / mib:.1f} MiB\n"
        f"   bytes       {result['bytes_copied'] / mib:.1f} MiB copied, "
        f"{result['bytes_encoded'] / mib:.1f} MiB encoded, "
        f"{result['bytes_spilled'] / mib:.1f} MiB spilled"
    )
    print("3. DuckDB checks every row ...", flush=True)
    wrong = lineitem.differences(dataset, source, merged)
    ok = wrong == 0 and outcome.growth_bytes <= limit + OVERHEAD
    print("   equal" if wrong == 0 else f"   DIFFERENT in {wrong:,} rows")
    if outcome.growth_bytes > limit + OVERHEAD:
        print("   OVER the limit")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
