"""``floodwall recover``: complete or clean away an interrupted merge."""

from __future__ import annotations

import argparse
import dataclasses
import json

from floodwall.cli.options import Commands, add_command, add_output
from floodwall.merge import recover


def add_parser(commands: Commands) -> None:
    """Add the command to the ``floodwall`` parser."""
    parser = add_command(
        commands, "recover", help="complete or clean away an interrupted merge",
        usage="recover DATASET [options]",
        more="Merges do this by themselves. Run it before reading what a killed merge left.",
        examples="floodwall recover sales/",
    )  # fmt: skip
    parser.add_argument("dataset", metavar="DATASET", help="dataset directory or Parquet file")
    add_output(parser, progress=False)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Recover and print what was done."""
    result = recover(args.dataset)
    if args.json:
        print(json.dumps(dataclasses.asdict(result)))
    elif result.action == "rolled_forward":
        print(f"completed a committed merge: {len(result.published_files)} files published")
    elif result.action == "cleaned":
        print("removed an unfinished merge: the dataset is as it was before it")
    else:
        print("nothing to recover")
    return 0
