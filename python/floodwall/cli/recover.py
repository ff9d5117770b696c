"""``floodwall recover``: complete or clean away an interrupted merge."""

from __future__ import annotations

import argparse
import dataclasses
import json

from floodwall.merge import recover


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the ``floodwall`` parser."""
    parser = commands.add_parser("recover", help="complete or clean away an interrupted merge")
    parser.add_argument("dataset", metavar="DATASET", help="dataset directory or Parquet file")
    parser.add_argument("--json", action="store_true", help="print the result as JSON on stdout")
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
