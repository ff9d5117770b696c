"""``floodwall plot``: a picture of a recording."""

from __future__ import annotations

import argparse
from pathlib import Path

from floodwall.cli.options import Commands, add_command
from floodwall.plots import plot_recording

_EXAMPLES = """
  floodwall run --limit 2GiB --record job.flood -- python job.py
  floodwall plot job.flood                 # job.png
  floodwall plot job.flood -o job.html     # with the figures under the pointer
"""
_MORE = """
needs matplotlib: pip install 'floodwall[plot]'
"""


def add_parser(commands: Commands) -> None:
    """Add the command to the ``floodwall`` parser."""
    parser = add_command(
        commands,
        "plot",
        help="draw what a recording holds",
        description="Draw what a recorded process held over time, against its limits.",
        usage="plot FILE [options]",
        more=_MORE,
        examples=_EXAMPLES,
    )
    parser.add_argument("recording", metavar="FILE", help="made by run --record or Watch.record")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="PICTURE",
        help="a .png, .svg or .html file (default: FILE with the ending .png)",
    )  # fmt: skip
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Draw, and say where the picture is."""
    output = args.output or Path(args.recording).with_suffix(".png")
    plot_recording(args.recording, output)
    print(output)
    return 0
