"""``floodwall completion``: a script that lets a shell complete commands and options."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from floodwall.cli.options import Commands, add_command

_FILES = {"SOURCE", "FILE", "TARGET", "DATASET"}
_DIRECTORIES = {"DIR"}


def add_parser(commands: Commands) -> None:
    """Add the command to the ``floodwall`` parser."""
    parser = add_command(
        commands, "completion", help="print a completion script for a shell",
        usage="completion {bash,zsh,tcsh}",
        more="Needs shtab: pip install 'floodwall[completion]'",
        examples="""
          eval "$(floodwall completion bash)"
          floodwall completion zsh > ~/.zfunc/_floodwall
        """,
    )  # fmt: skip
    parser.add_argument("shell", choices=["bash", "zsh", "tcsh"], help="whose language")
    parser.set_defaults(run=run)


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from _actions(command)
        yield action


def run(args: argparse.Namespace) -> int:
    """Print the script."""
    try:
        import shtab
    except ImportError:
        raise RuntimeError("completion needs shtab: pip install 'floodwall[completion]'") from None
    from floodwall.cli import make_parser

    parser = make_parser()
    for action in _actions(parser):
        if action.metavar in _FILES:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
        elif action.metavar in _DIRECTORIES:
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
    print(shtab.complete(parser, args.shell))
    return 0
