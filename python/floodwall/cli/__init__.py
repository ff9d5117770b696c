"""
The ``floodwall`` command.

Exit codes: 0 done, 1 failure, 2 usage, 3 refused (limit too small, duplicates, conflict ...).
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import floodwall
from floodwall.cli import completion as completion_command
from floodwall.cli import deduplicate as deduplicate_command
from floodwall.cli import doctor as doctor_command
from floodwall.cli import explain as explain_command
from floodwall.cli import inspect as inspect_command
from floodwall.cli import merge as merge_command
from floodwall.cli import plot as plot_command
from floodwall.cli import recover as recover_command
from floodwall.cli import run as run_command
from floodwall.cli import status as status_command
from floodwall.cli.options import Parser
from floodwall.cli.terminal import paint

_CHANGING = ("merge", "deduplicate", "recover")
_REFUSALS = (
    floodwall.MemoryLimitExceeded,
    floodwall.MergeError,
    floodwall.ConflictError,
)


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of every command; the documentation and shell completion read it too."""
    parser: argparse.ArgumentParser = Parser(
        prog="floodwall", usage="floodwall COMMAND ...", description=floodwall.__doc__,
        epilog="floodwall COMMAND --help has the options of a command, with examples.",
    )  # fmt: skip
    parser.add_argument("--version", action="version", version=f"floodwall {floodwall.__version__}")
    parser.add_argument(
        "--cmake-dir", action="store_true", help="print where find_package(floodwall) finds it"
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", prog="floodwall")
    merge_command.add_parser(commands)
    deduplicate_command.add_parser(commands)
    recover_command.add_parser(commands)
    inspect_command.add_parser(commands)
    run_command.add_parser(commands)
    explain_command.add_parser(commands)
    plot_command.add_parser(commands)
    status_command.add_parser(commands)
    doctor_command.add_parser(commands)
    completion_command.add_parser(commands)
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
        whole = "; the dataset is whole, old or new" if args.command in _CHANGING else ""
        print(f"floodwall: interrupted{whole}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader has what it wanted. What is still buffered must not be written at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except _REFUSALS as error:
        _complain("refused", error)
        return 3
    except (OSError, ValueError, TypeError, RuntimeError, MemoryError) as error:
        _complain("failed", error)
        return 1


def _complain(label: str, error: BaseException) -> None:
    # The number behind "[Errno" says nothing that the words after it do not.
    sentence = re.sub(r"^\[Errno \d+\] ", "", str(error))
    print(f"floodwall: {paint(label, 'red', sys.stderr)}: {sentence}", file=sys.stderr)
    if hint := _hint(error):
        print(f"hint: {hint}", file=sys.stderr)


def _hint(error: BaseException) -> str:
    """Return what a person could do next, where that is known."""
    if isinstance(error, floodwall.MemoryLimitTooSmall) and error.minimum_bytes > 0:
        enough = f"--max-memory {-(-error.minimum_bytes // (1 << 20))}MiB"
        return f"{enough} would do; less may: merge --plan {enough} counts what is needed"
    if isinstance(error, floodwall.ConflictError):
        return "nothing has changed; try again when the other one is done"
    if isinstance(error, floodwall.SpillError):
        return (
            "--spill-directory and --max-spill say where and how much; a larger limit spills less"
        )
    if isinstance(error, floodwall.CommitError):
        return (
            "once the cause is gone, floodwall recover TARGET or the next merge puts things right"
        )
    return ""
