"""``floodwall run``: another program inside a limit."""

from __future__ import annotations

import argparse
import signal
import sys

from floodwall import _core
from floodwall.cli.options import Commands, add_command, size
from floodwall.launch import Figures, Outcome, die_of, launch
from floodwall.sizes import to_bytes

_MORE = """
The limit holds for the anonymous memory of the program and its children together; Arrow may
have all but a thirty-second of it, and all but 8 MiB of a small one. What libarrow's
mimalloc pool (pyarrow 25 and later) would take beyond it is refused, which pyarrow reports as
ArrowMemoryError; Arrow's CSV reader and Parquet's encoders, which crash when refused, are served.
A tree that passes the limit is ended.

Exit code: the program's own; 3 when it was ended here.
"""


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands, "run", help="run a program inside a memory limit", more=_MORE,
        usage="run --limit SIZE [options] -- COMMAND...",
        examples="""
          floodwall run --limit 2GiB -- python job.py
          floodwall run --limit 80% --record job.flood -- python job.py
        """,
    )  # fmt: skip
    parser.add_argument(
        "--limit", required=True, type=size, metavar="SIZE", help="such as 2GiB, 40%% or auto"
    )
    parser.add_argument("--record", metavar="FILE", help="record figures here, for a post-mortem")
    parser.add_argument(
        "--no-inherit", action="store_true", help="count Arrow in the program, not in its children"
    )
    parser.add_argument("argv", nargs=argparse.REMAINDER, metavar="-- COMMAND")
    parser.set_defaults(run=run)


def _ending(outcome: Outcome) -> str:
    if outcome.stopped is not None:
        return f"floodwall ended it: {outcome.stopped}"
    if outcome.exit_code < 0:
        return f"it was ended by {signal.Signals(-outcome.exit_code).name}"
    return f"it exited with code {outcome.exit_code}"


def run(args: argparse.Namespace) -> int:
    """Run the program; return its exit code, or end as it ended."""
    command = args.argv[1:] if args.argv[:1] == ["--"] else args.argv
    if not command:
        print("floodwall: run needs a COMMAND after --", file=sys.stderr)
        return 2
    limit = to_bytes("--limit", args.limit)
    recorder = _core.TreeRecorder.create(args.record, limit) if args.record else None

    def observe(figures: Figures) -> None:
        if recorder is not None:
            recorder.record(
                figures.arrow_bytes, figures.arrow_peak_bytes, figures.anonymous_bytes,
                figures.resident_bytes,
            )  # fmt: skip

    outcome = launch(command, limit, inherit=not args.no_inherit, observe=observe)
    if recorder is not None:
        recorder.close(_ending(outcome))
    if outcome.stopped is not None:
        print(f"floodwall: ended '{command[0]}': {outcome.stopped}", file=sys.stderr)
        return 3
    if outcome.uncounted:
        print(
            "floodwall: this program's libarrow does not allocate through functions that can be "
            "counted (pyarrow before 25, or another ARROW_DEFAULT_MEMORY_POOL); only its process "
            "tree was watched",
            file=sys.stderr,
        )
    if outcome.refused or outcome.overdrafts:
        print(
            f"floodwall: {outcome.refused} Arrow allocations refused, {outcome.overdrafts} served "
            f"beyond the limit; Arrow's peak {_core.format_bytes(outcome.arrow_peak_bytes)}, "
            f"anonymous peak {_core.format_bytes(outcome.anonymous_peak_bytes)}",
            file=sys.stderr,
        )
    if outcome.exit_code < 0:
        die_of(-outcome.exit_code)
    return outcome.exit_code
