"""``floodwall merge``: a merge from the command line."""

from __future__ import annotations

import argparse
import json
from typing import Any

from floodwall._core import format_bytes
from floodwall.cli.options import (
    Commands,
    add_bounds,
    add_command,
    add_keys,
    add_output,
    add_snapshot,
    columns,
    positive,
    size,
)
from floodwall.merge import MergeResult, merge
from floodwall.plan import plan_merge


def add_parser(commands: Commands) -> None:
    """Add the command to the ``floodwall`` parser."""
    parser = add_command(
        commands, "merge", help="merge Parquet files into a dataset by key, within a memory limit",
        usage="merge TARGET SOURCE... --on COLUMN[,COLUMN] [options]",
        examples="""
          floodwall merge sales/ changes.parquet --on order_id,line --max-memory 128MiB
          floodwall merge sales/ 'inbox/*.parquet' --on id --order-by updated_at
          floodwall merge sales/ gone.parquet --on id --strategy delete --plan --json
        """,
    )  # fmt: skip
    parser.add_argument("target", metavar="TARGET", help="dataset directory or Parquet file")
    parser.add_argument("source", metavar="SOURCE", nargs="+", help="Parquet files to merge in")
    parser.add_argument(
        "--strategy", default="upsert",
        choices=["upsert", "insert", "update", "delete", "full_merge", "deduplicate"],
        help="default: %(default)s",
    )  # fmt: skip
    parser.add_argument(
        "--allow-delete-all", action="store_true",
        help="let full_merge with a source without rows empty the target",
    )  # fmt: skip
    keys = add_keys(parser)
    keys.add_argument(
        "--source-duplicates", default="last", choices=["last", "first", "error"],
        help="which of several source rows with one key counts (default: %(default)s)",
    )  # fmt: skip
    keys.add_argument(
        "--order-by", type=columns, metavar="COLUMN[,COLUMN]",
        help="columns that decide which duplicate source row counts, instead of its position",
    )  # fmt: skip
    keys.add_argument(
        "--target-duplicates", default="all", choices=["all", "collapse", "error"],
        help="several target rows with one source key (default: %(default)s)",
    )  # fmt: skip
    others = parser.add_argument_group("columns and files")
    others.add_argument(
        "--missing-columns", default="keep", choices=["keep", "null"],
        help="target columns absent from the source, in matched rows (default: %(default)s)",
    )  # fmt: skip
    others.add_argument(
        "--new-columns", default="error", choices=["error", "ignore", "add"],
        help="source columns absent from the target (default: %(default)s)",
    )  # fmt: skip
    others.add_argument(
        "--partition-by", type=columns, metavar="COLUMN[,COLUMN]",
        help="columns that are directories (default: as the target has them)",
    )  # fmt: skip
    others.add_argument(
        "--partition-moves", default="move", choices=["move", "error"],
        help="matched rows whose partition value changes (default: %(default)s)",
    )  # fmt: skip
    others.add_argument("--compression", metavar="CODEC", help="codec of new files")
    others.add_argument(
        "--max-rows-per-file", type=positive, default=5_000_000, metavar="N",
        help="new files are split here (default: %(default)s)",
    )  # fmt: skip
    others.add_argument(
        "--row-group-bytes", type=size, default="64MiB", metavar="SIZE",
        help="encoded size at which new files start a row group (default: %(default)s)",
    )  # fmt: skip
    bounds = add_bounds(parser)
    bounds.add_argument(
        "--spill-directory", metavar="DIR", help="default: _floodwall inside the dataset"
    )
    bounds.add_argument(
        "--max-spill", type=size, metavar="SIZE",
        help="most bytes on disk there (default: 90 %% of free)",
    )  # fmt: skip
    add_snapshot(others)
    others.add_argument(
        "--idempotency-token", metavar="TEXT",
        help="do nothing if a merge with this name was committed already",
    )  # fmt: skip
    parser.add_argument(
        "--plan", action="store_true",
        help="print what the merge would do, need and cost, and do nothing",
    )  # fmt: skip
    add_output(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Merge and print the result, or plan and print the plan."""
    arguments: dict[str, Any] = {
        "data": args.source,
        "path": args.target,
        "strategy": args.strategy,
        "key_columns": args.on,
        "max_memory": args.max_memory,
        "source_duplicates": args.source_duplicates,
        "order_by": args.order_by,
        "target_duplicates": args.target_duplicates,
        "allow_delete_all": args.allow_delete_all,
        "null_keys": args.null_keys,
        "missing_columns": args.missing_columns,
        "new_columns": args.new_columns,
        "partition_columns": args.partition_by,
        "partition_moves": args.partition_moves,
        "compression": args.compression,
        "max_rows_per_file": args.max_rows_per_file,
        "row_group_bytes": args.row_group_bytes,
        "spill_directory": args.spill_directory,
        "max_spill": args.max_spill,
        "threads": args.threads,
        "snapshot": args.snapshot,
        "idempotency_token": args.idempotency_token,
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
            *(["already committed, nothing was done; then:"] if result.already_committed else []),
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
