"""``floodwall status --watch`` in pipes and on a pseudo-terminal, ``--pid``."""

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from floodwall.cli import main

COMMAND = [sys.executable, "-m", "floodwall", "status"]
HOLDS = "import sys; held = bytearray(64 << 20); print('ready', flush=True); sys.stdin.read()"


@contextmanager
def other_process() -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDS], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout is not None and child.stdin is not None
    with child:
        child.stdout.readline()
        try:
            yield child
        finally:
            child.kill()


def test_another_process_and_its_container(capsys: pytest.CaptureFixture[str]) -> None:
    with other_process() as child:
        assert main(["status", "--pid", str(child.pid), "--json"]) == 0
        seen = json.loads(capsys.readouterr().out)
        assert seen["rss_anon_bytes"] > 64 << 20
        assert seen["sources"]["rss_bytes"] == f"/proc/{child.pid}/status"
        assert seen["arrow_bytes"] is None
        assert seen["errors"]["arrow_bytes"] == "only the process itself knows it"
        assert seen["limit_bytes"] > 0
        assert main(["status", "--pid", str(child.pid), "--min-available", "1e9"]) == 0
        assert capsys.readouterr().out.startswith("EMERGENCY  ")
        assert main(["status", "--pid", str(child.pid), "--min-available", "0"]) == 0
        assert capsys.readouterr().out.startswith("NORMAL  No minimum is set.")
    assert main(["status", "--pid", str(child.pid)]) == 1
    assert f"there is no process {child.pid}" in capsys.readouterr().err


def test_a_pipe_gets_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--watch", "--interval", "0.05", "--count", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    for line in lines:
        assert re.match(r"\d\d:\d\d:\d\d normal +available [\d.]+ [KMGT]iB  used ", line)
        assert "\x1b" not in line
    arguments = ["status", "--watch", "--interval", "0.05", "--count", "2", "--json"]
    assert main(arguments) == 0
    seen = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(seen) == 2 and seen[0]["taken_at_ns"] < seen[1]["taken_at_ns"]


def test_it_ends_with_the_process(capsys: pytest.CaptureFixture[str]) -> None:
    with other_process() as child:
        watch = subprocess.Popen(
            [*COMMAND, "--watch", "--interval", "0.05", "--pid", str(child.pid)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert watch.stdout is not None
        watch.stdout.readline()
        child.kill()
        errors = watch.communicate(timeout=60)[1]
    assert watch.returncode == 0
    assert "has ended" in errors


def test_a_closed_pipe_ends_it_quietly() -> None:
    watch = subprocess.Popen(
        [*COMMAND, "--watch", "--interval", "0.05"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert watch.stdout is not None and watch.stderr is not None
    with watch:
        watch.stdout.readline()
        watch.stdout.close()
        assert watch.wait(60) == 141
        assert watch.stderr.read() == b""


class _Terminal:
    """The command on a pseudo-terminal of 80 by 24."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        pid, self.fd = pty.fork()
        if pid == 0:
            os.execve(sys.executable, [*COMMAND, *arguments], os.environ | environment)
        self.pid = pid
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.seen = ""

    def read_until(self, text: str) -> None:
        while text not in self.seen:
            self.seen += os.read(self.fd, 4096).decode()

    def finish(self) -> int:
        try:
            while data := os.read(self.fd, 4096):
                self.seen += data.decode()
        except OSError:  # how Linux says that the other side is closed
            pass
        os.close(self.fd)
        return os.waitpid(self.pid, 0)[1]


def test_live_until_ctrl_c_and_the_screen_is_given_back() -> None:
    terminal = _Terminal(
        "--watch", "--interval", "0.05", TERM="xterm", NO_COLOR="", PYTHONIOENCODING="utf-8"
    )
    terminal.read_until("Ctrl-C ends")
    terminal.read_until("\x1b[J\x1b[H")  # drawn over once
    os.write(terminal.fd, b"\x03")
    assert terminal.finish() == 0
    seen = terminal.seen
    assert seen.index("\x1b[?1049h") < seen.index("Ctrl-C ends") < seen.index("\x1b[?1049l")
    assert seen.count("\x1b[?25h") == 1
    assert "Traceback" not in seen
    frame = seen[seen.index("\x1b[H") : seen.index("\x1b[J")]
    assert "\x1b[32mNORMAL\x1b[0m" in frame and "█" in frame
    for line in frame.split("\n"):
        assert len(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line).rstrip("\r")) <= 80
    # The last figures stay on the screen.
    assert "available" in seen[seen.index("\x1b[?1049l") :]


def test_no_colour_where_none_is_wanted_and_sigterm_gives_the_screen_back() -> None:
    terminal = _Terminal(
        "--watch", "--interval", "0.05", TERM="xterm", NO_COLOR="1", PYTHONIOENCODING="ascii"
    )
    terminal.read_until("Ctrl-C ends")
    os.kill(terminal.pid, signal.SIGTERM)
    assert os.waitstatus_to_exitcode(terminal.finish()) == 128 + signal.SIGTERM
    assert "\x1b[?1049l" in terminal.seen
    assert not re.search(r"\x1b\[3\dm", terminal.seen)
    assert terminal.seen.isascii()


def test_a_dumb_terminal_gets_lines() -> None:
    terminal = _Terminal("--watch", "--interval", "0.05", "--count", "2", TERM="dumb")
    assert terminal.finish() == 0
    assert "\x1b" not in terminal.seen
    assert len(terminal.seen.splitlines()) == 2


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--pid", "0"], "must be the number of a process, got '0'"),
        (["--pid", "me"], "must be the number of a process, got 'me'"),
        (["--interval", "0"], "must be seconds, at least 0.05, got '0'"),
        (["--interval", "nan"], "must be seconds, at least 0.05, got 'nan'"),
        (["--count", "0"], "must be a whole number of at least 1, got '0'"),
    ],
)
def test_refusals(arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as usage:
        main(["status", "--watch", *arguments])
    assert usage.value.code == 2
    assert text in capsys.readouterr().err


def test_a_number_that_another_process_has_by_now_is_no_figure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from floodwall.cli import status

    with other_process() as child:
        figures = status._ProcessFigures(child.pid, 512)
        assert figures.look() is not None
        monkeypatch.setattr(status, "_start_of", lambda pid: "later")
        assert figures.look() is None
    assert status._stat_of(os.getpid()) == status._stat_of(int(Path("/proc/self").readlink().name))
