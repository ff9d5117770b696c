"""``floodwall deduplicate``: remove duplicate keys inside a dataset."""

from __future__ import annotations

import argparse
import json

from floodwall.cli.merge import describe
from floodwall.cli.options import (
    Commands,
    add_bounds,
    add_command,
    add_keys,
    add_output,
    add_snapshot,
    columns,
)
from floodwall.merge import deduplicate


def add_parser(commands: Commands) -> None:
    """Add the command to the ``floodwall`` parser."""
    parser = add_command(
        commands, "deduplicate", help="keep one row of each key of a dataset",
        usage="deduplicate TARGET --on COLUMN[,COLUMN] [options]",
        examples="""
          floodwall deduplicate sales/ --on order_id,line
          floodwall deduplicate sales/ --on order_id --order-by updated_at --max-memory 64MiB
        """,
    )  # fmt: skip
    parser.add_argument("target", metavar="TARGET", help="dataset directory or Parquet file")
    keys = add_keys(parser)
    keys.add_argument(
        "--order-by", type=columns, metavar="COLUMN[,COLUMN]",
        help="columns that decide which row stays",
    )  # fmt: skip
    keys.add_argument(
        "--keep", default="last", choices=["last", "first"],
        help="greatest or least row, else by position (default: %(default)s)",
    )  # fmt: skip
    add_bounds(parser)
    add_snapshot(parser)
    add_output(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Remove duplicates and print the result."""
    result = deduplicate(
        args.target,
        args.on,
        order_by=args.order_by,
        keep=args.keep,
        max_memory=args.max_memory,
        null_keys=args.null_keys,
        threads=args.threads,
        snapshot=args.snapshot,
        progress=not args.no_progress,
    )
    print(json.dumps(result.to_dict()) if args.json else describe(result))
    return 0
