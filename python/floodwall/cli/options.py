"""Options that several commands share, and how their values are read."""

from __future__ import annotations

import argparse
import sys
from typing import Any, NoReturn, cast

from floodwall.cli.terminal import paint
from floodwall.sizes import to_bytes

Commands = Any
"""argparse's action of sub-commands, a private class."""


class Parser(argparse.ArgumentParser):
    """Says in one sentence what is wrong, and where help is, instead of printing all options."""

    def error(self, message: str) -> NoReturn:
        """Print and exit with 2."""
        label = paint("usage error", "red", sys.stderr)
        print(f"{self.prog}: {label}: {message}", file=sys.stderr)
        print(f"hint: {self.prog} --help lists the options and has examples", file=sys.stderr)
        raise SystemExit(2)


def add_command(
    commands: Commands, name: str, *, help: str, usage: str, examples: str, more: str = "",
    description: str | None = None,
) -> argparse.ArgumentParser:  # fmt: skip
    """Add a command whose help ends with examples, one a line."""
    lines = "".join(f"  {line.strip()}\n" for line in examples.strip().splitlines())
    parser = commands.add_parser(
        name, help=help, description=description or f"{help[0].upper()}{help[1:]}.",
        usage=f"floodwall {usage}",
        epilog=f"{more.strip()}\n\nexamples:\n{lines}".lstrip(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    return cast(argparse.ArgumentParser, parser)


def size(text: str) -> str:
    """Read a size option; what it means in bytes is known when the command begins."""
    try:
        to_bytes("size", text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("size: ")) from None
    return text


def positive(text: str) -> int:
    """Read a number of at least 1."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text!r}")
    return number


def columns(text: str) -> list[str]:
    """Read column names with commas between them."""
    names = text.split(",")
    if not all(names):
        raise argparse.ArgumentTypeError(f"must be column names with commas between, got {text!r}")
    return names


def add_keys(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Add what identifies a row."""
    group = parser.add_argument_group("keys")
    group.add_argument(
        "--on", required=True, type=columns, metavar="COLUMN[,COLUMN]", help="key columns"
    )
    group.add_argument(
        "--null-keys", default="match", choices=["match", "never"],
        help="whether a null key equals a null key (default: %(default)s)",
    )  # fmt: skip
    return group


def add_bounds(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Add what a merge may take."""
    group = parser.add_argument_group("memory and processors")
    group.add_argument(
        "--max-memory", default="auto", type=size, metavar="SIZE",
        help="such as 128MiB, or 40%% of what is available (default: half of it)",
    )  # fmt: skip
    group.add_argument(
        "--threads", type=positive, metavar="N", help="files at a time (default: the usable CPUs)"
    )
    return group


def add_snapshot(container: argparse._ActionsContainer) -> None:
    """Add what readers meet while a dataset changes, to a parser or a group of one."""
    container.add_argument(
        "--snapshot", default="in_place", choices=["in_place", "exchange"],
        help="exchange: readers find the old directory or the new one, never files of both "
        "(default: %(default)s)",
    )  # fmt: skip


def add_output(parser: argparse.ArgumentParser, *, progress: bool = True) -> None:
    """Add how results are shown."""
    group = parser.add_argument_group("output")
    group.add_argument("--json", action="store_true", help="print the result as JSON on stdout")
    if progress:
        group.add_argument("--no-progress", action="store_true", help="no progress on stderr")
