"""
Merge what came in since yesterday into a dataset, in whatever memory the container has.

    nightly_upsert.py DATASET INBOX --on COLUMN[,COLUMN]

Every Parquet file of INBOX is merged in the order of the names, later files win. When the merge is
done they move to INBOX/done. A run that is killed is repeated whole: an upsert may be repeated, and
the dataset is never half of one.

Exit codes: 0 done or nothing to do, 1 failed, try again later, 3 refused, a person must look.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import floodwall


def main() -> int:
    """Merge once; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("inbox", type=Path)
    parser.add_argument("--on", required=True)
    parser.add_argument("--max-memory", default="auto")
    args = parser.parse_args()
    incoming = sorted(args.inbox.glob("*.parquet"))
    if not incoming:
        print("nothing to merge")
        return 0
    try:
        result = floodwall.merge(
            incoming, args.dataset, "upsert", args.on.split(","), max_memory=args.max_memory
        )
    except (floodwall.MemoryLimitExceeded, floodwall.MergeError) as refusal:
        print(f"refused: {refusal}", file=sys.stderr)
        return 3
    except (floodwall.ConflictError, OSError) as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    done = args.inbox / "done"
    done.mkdir(exist_ok=True)
    for file in incoming:
        file.rename(done / file.name)
    print(
        f"{len(incoming)} files: {result.inserted:,} inserted, {result.updated:,} updated, "
        f"{result.target_count_after:,} rows; {result.peak_memory_bytes >> 20} MiB of "
        f"{result.limit_bytes >> 20} in {result.elapsed_s:.1f} s"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
