"""``floodwall deduplicate``: remove duplicate keys inside a dataset."""

from __future__ import annotations

import argparse
import json

from floodwall.cli.merge import describe
from floodwall.merge import deduplicate


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the ``floodwall`` parser."""
    parser = commands.add_parser("deduplicate", help="keep one row of each key of a dataset")
    parser.add_argument("target", metavar="TARGET", help="dataset directory or Parquet file")
    parser.add_argument("--on", required=True, metavar="COLUMN[,COLUMN]", help="key columns")
    parser.add_argument(
        "--order-by", metavar="COLUMN[,COLUMN]", help="columns that decide which row stays"
    )
    parser.add_argument(
        "--keep", default="last", choices=["last", "first"],
        help="greatest or least row, else by position (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--max-memory", default="auto", metavar="SIZE",
        help="such as 128MiB, or 40%% of what is available (default: half of it)",
    )  # fmt: skip
    parser.add_argument(
        "--null-keys", default="match", choices=["match", "never"],
        help="whether a null key equals a null key (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--threads", type=int, metavar="N", help="default: the usable CPUs")
    parser.add_argument("--json", action="store_true", help="print the result as JSON on stdout")
    parser.add_argument("--no-progress", action="store_true", help="no progress on stderr")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Remove duplicates and print the result."""
    result = deduplicate(
        args.target,
        args.on.split(","),
        order_by=args.order_by.split(",") if args.order_by else None,
        keep=args.keep,
        max_memory=args.max_memory,
        null_keys=args.null_keys,
        threads=args.threads,
        progress=not args.no_progress,
    )
    print(json.dumps(result.to_dict()) if args.json else describe(result))
    return 0
