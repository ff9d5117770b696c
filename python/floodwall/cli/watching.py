"""The live view of ``floodwall status --watch``, and its lines where there is no terminal."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import json
import shutil
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from floodwall._core import format_bytes
from floodwall.cli.terminal import Line, bar, draw, is_terminal, live_view, paint, style_of, trend
from floodwall.monitor import MemorySnapshot, Verdict

__all__ = ["Sample", "Subject", "watch_on"]

_LABEL = 12
_KEPT = 1000
"""Samples for the curve: more than a terminal is wide."""


@dataclasses.dataclass(frozen=True)
class Sample:
    """One look."""

    snapshot: MemorySnapshot
    verdict: Verdict


class _EndedError(Exception):
    """The process that was watched has ended."""


class Subject(Protocol):
    """Whose memory is looked at."""

    name: str

    def look(self) -> Sample | None:
        """Read now; ``None`` when the process has ended."""


def watch_on(
    subject: Subject,
    interval: float,
    count: int | None,
    to_json: Callable[[Sample], dict[str, Any]] | None,
) -> int:
    """Show ``subject`` until Ctrl-C, until it ends or ``count`` times; return the exit code."""
    samples = _samples(subject, interval, count)
    try:
        if to_json is not None:
            for sample in samples:
                print(json.dumps(to_json(sample)), flush=True)
        elif is_terminal(sys.stdout):
            _show_live(subject, samples, interval)
        else:
            for sample in samples:
                print(_line(sample), flush=True)
    except _EndedError:
        print(f"floodwall: {subject.name} has ended", file=sys.stderr)
    except KeyboardInterrupt:
        pass  # the way to end it
    return 0


def _samples(subject: Subject, interval: float, count: int | None) -> Iterator[Sample]:
    due = time.monotonic()
    left = count
    while True:
        sample = subject.look()
        if sample is None:
            raise _EndedError
        yield sample
        if left is not None:
            left -= 1
            if left == 0:
                return
        # A stopped and continued view goes on from now, without making up for what it missed.
        due = max(due + interval, time.monotonic())
        time.sleep(max(0.0, due - time.monotonic()))


def _size(value: int | None) -> str:
    return "unknown" if value is None else format_bytes(value)


def _time_of(sample: Sample) -> str:
    taken = datetime.datetime.fromtimestamp(sample.snapshot.taken_at_ns / 1e9)
    return f"{taken:%H:%M:%S}"


def _line(sample: Sample) -> str:
    snapshot = sample.snapshot
    parts = [
        f"{_time_of(sample)} {sample.verdict.level.value:<9}",
        f"available {_size(snapshot.available_bytes)}",
        f"used {_size(snapshot.used_bytes)} of {_size(snapshot.limit_bytes)}",
        f"resident {_size(snapshot.rss_bytes)}",
        f"anonymous {_size(snapshot.rss_anon_bytes)}",
    ]
    if snapshot.psi_some_avg10 is not None:
        parts.append(f"stalled {snapshot.psi_some_avg10:.2f} %")
    return "  ".join(parts)


def _show_live(subject: Subject, samples: Iterator[Sample], interval: float) -> None:
    view = _View(subject.name, interval)
    last: list[Line] = []
    try:
        with live_view():
            for sample in samples:
                last = view.lines(sample, shutil.get_terminal_size().columns)
                draw(last, sys.stdout)
    finally:
        # The screen is as it was before: leave the last figures on it.
        for line in last[:-1]:
            print("".join(paint(text, style, sys.stdout) for text, style in line))


def _row(label: str, value: str, rest: str) -> Line:
    return [(f"{label:<{_LABEL}}", "dim"), (f"{value:>10}", "bold"), (rest, "")]


class _View:
    def __init__(self, name: str, interval: float) -> None:
        self._name = name
        self._interval = interval
        self._available: collections.deque[int] = collections.deque(maxlen=_KEPT)
        self._least: int | None = None

    def lines(self, sample: Sample, width: int) -> list[Line]:
        """Return the view of one sample; the last line is the help."""
        snapshot, verdict = sample.snapshot, sample.verdict
        if snapshot.available_bytes is not None:
            self._available.append(snapshot.available_bytes)
            if self._least is None or snapshot.available_bytes < self._least:
                self._least = snapshot.available_bytes
        level = verdict.level.value.upper()
        head, *rest = textwrap.wrap(f"{level}  {verdict.sentence}", max(20, width - 1)) or [level]
        lines: list[Line] = [
            [("floodwall status", "bold"), (f"  {self._name}  {_time_of(sample)}", "dim")],
            [],
            [(level, style_of(verdict.level)), (head[len(level) :], "")],
            *([(text, "")] for text in rest),
            [],
            self._container(sample, width),
            _row(
                "available", _size(snapshot.available_bytes),
                f" least seen {_size(self._least)}  {snapshot.sources.get('available_bytes', '')}",
            ),
            [(" " * _LABEL, ""), (self._curve(sample, width), style_of(verdict.level))],
            _row(
                "process", _size(snapshot.rss_bytes),
                f" resident  {_size(snapshot.rss_anon_bytes)} anonymous"
                f"  peak {_size(snapshot.rss_peak_bytes)}",
            ),
        ]  # fmt: skip
        if snapshot.soft_limit_bytes is not None:
            left = f" {_size(snapshot.soft_available_bytes)} are left below it"
            lines.append(_row("soft limit", _size(snapshot.soft_limit_bytes), left))
        lines += [self._pressure(snapshot), []]
        lines.append([(f"every {self._interval:g} s; Ctrl-C ends", "dim")])
        return lines

    def _container(self, sample: Sample, width: int) -> Line:
        snapshot = sample.snapshot
        label = f"{'container':<{_LABEL}}"
        if snapshot.used_bytes is None or not snapshot.limit_bytes:
            return [(label, "dim"), ("limit unknown", "")]
        share = snapshot.used_bytes / snapshot.limit_bytes
        sizes = f"{_size(snapshot.used_bytes)} of {_size(snapshot.limit_bytes)}"
        text = f" {share:4.0%}  {sizes} cannot be reclaimed"
        room = max(10, min(40, width - _LABEL - len(text)))
        return [
            (label, "dim"),
            (bar(share, room, sys.stdout), style_of(sample.verdict.level)),
            (text, ""),
        ]

    def _curve(self, sample: Sample, width: int) -> str:
        room = max(10, width - _LABEL - 1)
        most = float(sample.snapshot.limit_bytes or max(self._available, default=0))
        return trend(list(self._available)[-room:], most, sys.stdout)

    def _pressure(self, snapshot: MemorySnapshot) -> Line:
        stalled = (
            "unknown" if snapshot.psi_some_avg10 is None else f"{snapshot.psi_some_avg10:.2f} %"
        )
        kills = "unknown" if snapshot.oom_kill_count is None else f"{snapshot.oom_kill_count}"
        return _row("stalled", stalled, f" of the last 10 s  kernel kills {kills}")
