"""
The ``floodwall`` command.

Exit codes: 0 done, 1 failure, 2 usage, 3 refused (limit too small, duplicates, conflict ...).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import floodwall
from floodwall.cli import deduplicate as deduplicate_command
from floodwall.cli import doctor as doctor_command
from floodwall.cli import explain as explain_command
from floodwall.cli import merge as merge_command
from floodwall.cli import plot as plot_command
from floodwall.cli import recover as recover_command
from floodwall.cli import run as run_command
from floodwall.cli import status as status_command

_CHANGING = ("merge", "deduplicate", "recover")
_REFUSALS = (
    floodwall.MemoryLimitExceeded,
    floodwall.MergeError,
    floodwall.ConflictError,
)


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of every command; the documentation and shell completion read it too."""
    parser = argparse.ArgumentParser(prog="floodwall", description=floodwall.__doc__)
    parser.add_argument("--version", action="version", version=f"floodwall {floodwall.__version__}")
    parser.add_argument(
        "--cmake-dir", action="store_true", help="print where find_package(floodwall) finds it"
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    merge_command.add_parser(commands)
    deduplicate_command.add_parser(commands)
    recover_command.add_parser(commands)
    run_command.add_parser(commands)
    explain_command.add_parser(commands)
    plot_command.add_parser(commands)
    status_command.add_parser(commands)
    doctor_command.add_parser(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    parser = make_parser()
    args = parser.parse_args(argv)
    if args.cmake_dir:
        print(Path(floodwall.__file__).parent / "lib" / "cmake" / "floodwall")
        return 0
    if args.command is None:
        parser.print_help()
        return 2
    try:
        return int(args.run(args))
    except KeyboardInterrupt:
        unchanged = "; the dataset is unchanged" if args.command in _CHANGING else ""
        print(f"floodwall: interrupted{unchanged}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader has what it wanted. What is still buffered must not be written at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except _REFUSALS as error:
        print(f"floodwall: refused: {error}", file=sys.stderr)
        return 3
    except (OSError, ValueError, TypeError, RuntimeError, MemoryError) as error:
        print(f"floodwall: {error}", file=sys.stderr)
        return 1
