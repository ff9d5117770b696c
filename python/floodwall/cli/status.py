"""``floodwall status``: what memory this container leaves, and what binds."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from floodwall import _core
from floodwall._core import format_bytes
from floodwall.cli.options import Commands, add_command
from floodwall.cli.terminal import paint, style_of
from floodwall.cli.watching import Sample, Subject, watch_on
from floodwall.monitor import MemoryMonitor, MemoryPressureLevel, MemorySnapshot, Verdict

_EXAMPLES = """
  floodwall status                          # every figure, with the file it comes from
  floodwall status --watch                  # live on a terminal; Ctrl-C ends it
  floodwall status --pid 4711 --watch       # another process, and the container it is in
  floodwall status --watch | tee memory.log # one line a second where there is no terminal
  floodwall status --min-available 1024 --json
"""
_MORE = """
--json prints one object (with --watch: one a line): level, constraint, verdict, and every figure of
MemoryMonitor.snapshot() by name, in bytes; null is unknown, "sources" and "errors" say why.
NO_COLOR in the environment turns colours off.
"""


def add_parser(commands: Commands) -> None:
    """Add the command to the ``floodwall`` parser."""
    parser = add_command(
        commands,
        "status",
        help="show what memory can still be allocated here, and why",
        description="Show what memory can still be allocated in this container, and why.",
        usage="status [options]",
        more=_MORE,
        examples=_EXAMPLES,
    )
    parser.add_argument(
        "--min-available", type=float, default=512, metavar="MB",
        help="what must stay available (default: %(default)g)",
    )  # fmt: skip
    parser.add_argument(
        "--pid", type=_process, metavar="PID", help="a process other than this command"
    )
    parser.add_argument("--watch", action="store_true", help="go on until Ctrl-C")
    parser.add_argument(
        "--interval", type=_interval, default=1.0, metavar="SECONDS",
        help="between two looks of --watch (default: %(default)g)",
    )  # fmt: skip
    parser.add_argument("--count", type=_count, metavar="N", help="end --watch after so many looks")
    parser.add_argument("--json", action="store_true", help="print every figure as JSON on stdout")
    parser.set_defaults(run=run)


def _number(text: str, kind: Callable[[str], float], low: float, allowed: str) -> float:
    try:
        value = kind(text)
    except ValueError:
        value = low - 1
    if not low <= value <= 1e9:
        raise argparse.ArgumentTypeError(f"must be {allowed}, got '{text}'")
    return value


def _process(text: str) -> int:
    return int(_number(text, int, 1, "the number of a process"))


def _interval(text: str) -> float:
    return _number(text, float, 0.05, "seconds, at least 0.05")


def _count(text: str) -> int:
    return int(_number(text, int, 1, "a whole number of at least 1"))


class _OwnFigures:
    """The command's own process and its container."""

    name = "this command"

    def __init__(self, min_available: float) -> None:
        self._monitor = MemoryMonitor(min_system_available_mb=min_available)

    def look(self) -> Sample | None:
        return Sample(self._monitor.snapshot(), self._monitor.verdict())


class _ProcessFigures:
    """Another process and its container."""

    def __init__(self, pid: int, min_available: float) -> None:
        # Checks the minimum as for this process.
        MemoryMonitor(min_system_available_mb=min_available)
        self._pid = pid
        self._started = _start_of(pid)
        if self._started is None:
            raise ProcessLookupError(f"there is no process {pid}, or it may not be looked at")
        self._view = _core.ProcessView(pid, min_available)
        self._judged = min_available > 0
        self.name = f"process {pid} ({_name_of(pid)})"

    def look(self) -> Sample | None:
        verdict = (
            Verdict(*self._view.verdict())
            if self._judged
            else Verdict(MemoryPressureLevel.NORMAL, "none", "No minimum is set.")
        )
        sample = Sample(MemorySnapshot(**self._view.snapshot()), verdict)
        # A process that ended, or whose number is another's by now, has no figures.
        return sample if _start_of(self._pid) == self._started else None


class _Stat(NamedTuple):
    state: str
    started: str


def _stat_of(pid: int) -> _Stat | None:
    try:
        # The name, in parentheses, may hold anything.
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        return None
    return _Stat(fields[0], fields[19])


def _start_of(pid: int) -> str | None:
    """Return when the process began, which tells it from others of its number; None when ended."""
    stat = _stat_of(pid)
    return None if stat is None or stat.state in "ZX" else stat.started


def _name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return "?"


def run(args: argparse.Namespace) -> int:
    """Read and print, once or until interrupted."""
    subject: Subject = (
        _OwnFigures(args.min_available)
        if args.pid is None
        else _ProcessFigures(args.pid, args.min_available)
    )
    if args.watch:
        return watch_on(subject, args.interval, args.count, to_json if args.json else None)
    sample = subject.look()
    if sample is None:
        raise ProcessLookupError(f"{subject.name} has ended")
    if args.json:
        print(json.dumps(to_json(sample)))
    else:
        print(describe(sample.snapshot, sample.verdict))
    return 0


def to_json(sample: Sample) -> dict[str, Any]:
    """Return what ``--json`` prints."""
    verdict = sample.verdict
    level = {"level": verdict.level.value, "constraint": verdict.constraint}
    return {**level, "verdict": verdict.sentence, **sample.snapshot.to_dict()}


_LINES = (
    ("available", "available_bytes"),
    ("limit", "limit_bytes"),
    ("used", "used_bytes"),
    ("soft limit", "soft_limit_bytes"),
    ("host available", "host_available_bytes"),
    ("host total", "host_total_bytes"),
    ("swap free", "swap_free_bytes"),
    ("process resident", "rss_bytes"),
    ("  anonymous", "rss_anon_bytes"),
    ("  peak", "rss_peak_bytes"),
    ("arrow", "arrow_bytes"),
)


def describe(snapshot: MemorySnapshot, verdict: Verdict) -> str:
    """Return the figures as lines with their sources; what is unknown says why."""
    level = paint(verdict.level.value.upper(), style_of(verdict.level), sys.stdout)
    rows = [f"{level}  {verdict.sentence}", ""]
    for label, field in _LINES:
        value = getattr(snapshot, field)
        if value is not None:
            source = snapshot.sources.get(field, "")
            rows.append(f"{label:<18}{format_bytes(value):>12}  {source}")
        elif field in snapshot.errors:
            rows.append(f"{label:<18}{'unknown':>12}  {snapshot.errors[field]}")
    if snapshot.psi_some_avg10 is not None:
        source = snapshot.sources.get("psi_some_avg10", "")
        rows.append(f"{'stalled (10 s)':<18}{snapshot.psi_some_avg10:>10.2f} %  {source}")
    if snapshot.oom_kill_count is not None:
        source = snapshot.sources.get("oom_kill_count", "")
        rows.append(f"{'kernel kills':<18}{snapshot.oom_kill_count:>12}  {source}")
    return "\n".join(rows)
