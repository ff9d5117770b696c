"""``floodwall merge``: a merge from the command line."""

from __future__ import annotations

import argparse
import json
from typing import Any

from floodwall._core import format_bytes
from floodwall.merge import MergeResult, merge
from floodwall.plan import plan_merge

_EXAMPLE = """example:
  floodwall merge sales/ changes.parquet --on order_id,line --max-memory 128MiB
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the ``floodwall`` parser."""
    parser = commands.add_parser(
        "merge",
        help="merge Parquet files into a dataset by key, within a memory limit",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("target", metavar="TARGET", help="dataset directory or Parquet file")
    parser.add_argument("source", metavar="SOURCE", nargs="+", help="Parquet files to merge in")
    parser.add_argument("--on", required=True, metavar="COLUMN[,COLUMN]", help="key columns")
    parser.add_argument(
        "--strategy", default="upsert",
        choices=["upsert", "insert", "update", "delete", "full_merge", "deduplicate"],
        help="default: %(default)s",
    )  # fmt: skip
    parser.add_argument(
        "--max-memory", default="auto", metavar="SIZE",
        help="such as 128MiB, or 40%% of what is available (default: half of it)",
    )  # fmt: skip
    parser.add_argument(
        "--source-duplicates", default="last", choices=["last", "first", "error"],
        help="which of several source rows with one key counts (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--order-by", metavar="COLUMN[,COLUMN]",
        help="columns that decide which duplicate source row counts, instead of its position",
    )  # fmt: skip
    parser.add_argument(
        "--target-duplicates", default="all", choices=["all", "collapse", "error"],
        help="several target rows with one source key (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--allow-delete-all", action="store_true",
        help="let full_merge with a source without rows empty the target",
    )  # fmt: skip
    parser.add_argument(
        "--null-keys", default="match", choices=["match", "never"],
        help="whether a null key equals a null key (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--missing-columns", default="keep", choices=["keep", "null"],
        help="target columns absent from the source, in matched rows (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--new-columns", default="error", choices=["error", "ignore", "add"],
        help="source columns absent from the target (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--partition-by", metavar="COLUMN[,COLUMN]",
        help="columns that are directories (default: as the target has them)",
    )  # fmt: skip
    parser.add_argument(
        "--partition-moves", default="move", choices=["move", "error"],
        help="matched rows whose partition value changes (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--compression", metavar="CODEC", help="codec of new files")
    parser.add_argument(
        "--spill-directory", metavar="DIR", help="default: _floodwall inside the dataset"
    )
    parser.add_argument(
        "--max-spill", metavar="SIZE", help="most bytes on disk there (default: 90 %% of free)"
    )
    parser.add_argument("--threads", type=int, metavar="N", help="default: the usable CPUs")
    parser.add_argument(
        "--plan", action="store_true",
        help="print what the merge would do, need and cost, and do nothing",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print the result as JSON on stdout")
    parser.add_argument("--no-progress", action="store_true", help="no progress on stderr")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Merge and print the result, or plan and print the plan."""
    arguments: dict[str, Any] = {
        "data": args.source,
        "path": args.target,
        "strategy": args.strategy,
        "key_columns": args.on.split(","),
        "max_memory": args.max_memory,
        "source_duplicates": args.source_duplicates,
        "order_by": args.order_by.split(",") if args.order_by else None,
        "target_duplicates": args.target_duplicates,
        "allow_delete_all": args.allow_delete_all,
        "null_keys": args.null_keys,
        "missing_columns": args.missing_columns,
        "new_columns": args.new_columns,
        "partition_columns": args.partition_by.split(",") if args.partition_by else None,
        "partition_moves": args.partition_moves,
        "compression": args.compression,
        "spill_directory": args.spill_directory,
        "max_spill": args.max_spill,
        "threads": args.threads,
    }
    if args.plan:
        plan = plan_merge(**arguments)
        print(json.dumps(plan.to_dict()) if args.json else plan)
        return 0
    result = merge(**arguments, progress=not args.no_progress)
    print(json.dumps(result.to_dict()) if args.json else describe(result))
    return 0


def describe(result: MergeResult) -> str:
    """Return the result as lines for a person."""
    return "\n".join(
        [
            f"{result.strategy}: {result.inserted:,} inserted, {result.updated:,} matched "
            f"({result.unchanged:,} already identical), {result.duplicates_dropped:,} duplicate "
            "source rows dropped",
            f"rows: {result.target_count_before:,} before, {result.deleted:,} deleted, "
            f"{result.target_count_after:,} after",
            f"files: {len(result.rewritten_files)} rewritten, {len(result.inserted_files)} new, "
            f"{len(result.deleted_files)} gone, {len(result.preserved_files)} untouched",
            f"bytes: {format_bytes(result.bytes_written)} written, of these "
            f"{format_bytes(result.bytes_copied)} copied, {format_bytes(result.bytes_encoded)} "
            "encoded",
            f"memory: {format_bytes(result.peak_memory_bytes)} at most, limit "
            f"{format_bytes(result.limit_bytes)}, spilled {format_bytes(result.bytes_spilled)}",
            f"time: {result.elapsed_s:.2f} s",
        ]
    )
