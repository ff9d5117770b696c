"""``floodwall explain``: what a recording says about the end of a process."""

from __future__ import annotations

import argparse
import json

from floodwall import _core
from floodwall.cli.options import Commands, add_command
from floodwall.explanation import explain

_EXAMPLES = """
  floodwall run --limit 2GiB --record job.flood -- python job.py
  floodwall explain job.flood
  floodwall explain job.flood --json | jq '.records[-1]'
"""
_MORE = """
--json prints one object: the recording's header (pid, command_line, started_ns, limits ...;
finished_ns is null when it was killed or still runs) and "records", oldest first; null is unknown.
"""


def add_parser(commands: Commands) -> None:
    """Add the command to the ``floodwall`` parser."""
    parser = add_command(
        commands,
        "explain",
        help="say from a recording how a process ended and what it held",
        description="Say how a recorded process ended, what it held, which limit was nearest and "
        "what would have been enough.",
        usage="explain FILE [options]",
        more=_MORE,
        examples=_EXAMPLES,
    )
    parser.add_argument("recording", metavar="FILE", help="made by run --record or Watch.record")
    parser.add_argument("--json", action="store_true", help="print every record as JSON on stdout")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Read and print."""
    recording = _core.read_recording(args.recording)
    print(json.dumps(recording) if args.json else explain(recording))
    return 0
