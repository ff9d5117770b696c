"""What a person meets at a terminal: help, errors, colours, completion."""

import argparse
import os
import pty
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from floodwall.cli import main, make_parser


def commands() -> dict[str, argparse.ArgumentParser]:
    for action in make_parser()._actions:
        if isinstance(action, argparse._SubParsersAction):
            return action.choices
    raise AssertionError("no commands")


@pytest.mark.parametrize("name", commands())
def test_help_has_examples_that_are_understood(name: str) -> None:
    text = commands()[name].format_help()
    examples = re.findall("^  (.+)$", text.partition("examples:\n")[2].split("\n\n")[0], re.M)
    assert examples, name
    for example in examples:
        words = shlex.split(re.split("[>|]", example)[0], comments=True)
        if words[0] == "eval":
            words = shlex.split(words[1].strip("$()"))
        assert words[0] == "floodwall"
        make_parser().parse_args(words[1:])  # leaves with 2 when it is not


@pytest.mark.parametrize("name", commands())
def test_every_option_says_what_it_is_for(name: str) -> None:
    for action in commands()[name]._actions:
        assert action.help or action.metavar == "-- COMMAND", action


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("merge d s --on id --max-memory 12parsec", "argument --max-memory: not a byte size"),
        ("merge d s --on id --max-memory 150%", "argument --max-memory: a share must be above 0%"),
        ("merge d s --on id, ", "argument --on: must be column names with commas between"),
        ("merge d s --on id --threads 0", "argument --threads: must be a whole number"),
        ("merge d s", "required: --on"),
        ("run --limit x -- true", "argument --limit: not a byte size"),
        ("bogus", "invalid choice: 'bogus'"),
    ],
)
def test_wrong_usage_is_one_sentence_and_a_hint(
    line: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as usage:
        main(line.split())
    assert usage.value.code == 2
    sentence, hint = capsys.readouterr().err.splitlines()
    assert complaint in sentence
    command = line.split()[0] if line != "bogus" else ""
    assert hint.startswith(f"hint: floodwall {command}") and "--help" in hint
    assert "COMMAND" not in hint


def test_a_refusal_names_a_limit_that_would_do(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["deduplicate", str(dataset), "--on", "text", "--order-by", "text", "--no-progress"]
    assert main([*line, "--max-memory", "256KiB"]) == 3
    sentence, hint = capsys.readouterr().err.splitlines()
    assert "minimum" in sentence
    assert hint.startswith("hint: --max-memory ")
    enough = hint.split()[2]
    assert main([*line, "--max-memory", enough]) == 0


def test_what_fails_says_why_without_a_number(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["merge", "d", "nothere.parquet", "--on", "id", "--no-progress"]) == 1
    error = capsys.readouterr().err
    assert "Errno" not in error
    assert "No such file or directory: 'nothere.parquet'" in error


def at_a_terminal(*arguments: str, **variables: str) -> str:
    """Run the command with a terminal as its stderr; return what it shows."""
    master, slave = pty.openpty()
    environment = {k: v for k, v in os.environ.items() if k != "NO_COLOR"}
    command = [sys.executable, "-m", "floodwall", *arguments]
    subprocess.run(command, stderr=slave, env=environment | {"TERM": "xterm"} | variables)
    os.close(slave)
    shown = os.read(master, 65536).decode()
    os.close(master)
    return shown


def test_colours_are_for_terminals_only() -> None:
    line = ("recover", "/no/such/dataset")
    assert "\x1b[31mrefused\x1b[0m" in at_a_terminal(*line)
    for variables in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        shown = at_a_terminal(*line, **variables)
        assert "refused" in shown and "\x1b" not in shown
    piped = subprocess.run(
        [sys.executable, "-m", "floodwall", *line], capture_output=True, text=True
    )
    assert "refused" in piped.stderr and "\x1b" not in piped.stderr


def test_a_closed_pipe_is_no_traceback() -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "floodwall", "status", "--json"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert done.stderr == ""


def test_completion_knows_commands_options_and_files(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for shell in ("zsh", "tcsh", "bash"):
        assert main(["completion", shell]) == 0
        script = capsys.readouterr().out
        assert "deduplicate" in script and "null-keys" in script
    (tmp_path / "changes.parquet").touch()
    ask = '; COMP_CWORD=2; _shtab_floodwall; echo "${COMPREPLY[@]}"\n'
    asking = "".join(f"COMP_WORDS=(floodwall merge {word}){ask}" for word in ("--miss", "ch"))
    answer = subprocess.run(
        ["bash", "-c", script + asking], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert answer.stdout.split() == ["--missing-columns", "changes.parquet"], answer.stderr
