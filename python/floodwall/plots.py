"""
Draw a recording: what a process held over time, against its limits.

Needs matplotlib (``pip install floodwall[plot]``). Nothing of matplotlib's global state is used, so
drawing works in any program and without a display.
"""

from __future__ import annotations

import datetime
import io
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from floodwall import _core
from floodwall._core import format_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["FORMATS", "plot_recording"]

FORMATS = (".png", ".svg", ".html")

_INK, _FAINT = "#1f2430", "#8a919e"
_ANONYMOUS, _ARROW, _RESIDENT, _AVAILABLE = "#2a6fbb", "#e08214", "#8a919e", "#3a8f5c"
_BANDS = {"warning": "#fff3c4", "critical": "#fddcb5", "emergency": "#f9c9c4"}
_LIMIT = "#b3261e"
_HIGHEST_LIMIT = 3.0
"""A limit is drawn up to so many times what was seen: one far away would flatten the curves."""


def plot_recording(recording: str | os.PathLike[str], output: str | os.PathLike[str]) -> None:
    """
    Draw the recording at ``recording`` into ``output``, a ``.png``, ``.svg`` or ``.html`` file.

    The HTML file needs nothing beside itself: it holds the picture, the figures under the pointer
    and what ``floodwall explain`` says.

    Raises ``ValueError`` for another ending and for a file that is no recording, ``RuntimeError``
    without matplotlib, ``OSError`` when a file cannot be read or written.
    """
    target = Path(output)
    ending = target.suffix.lower()
    if ending not in FORMATS:
        raise ValueError(f"output must end in .png, .svg or .html, got '{target}'")
    if target.exists() and target.samefile(recording):
        raise ValueError(f"output '{target}' is the recording itself")
    read = _core.read_recording(os.fspath(recording))
    if not read["records"]:
        raise ValueError(f"'{os.fspath(recording)}' holds no sample, so there is nothing to draw")
    figure = _draw(read)
    if ending == ".html":
        from floodwall.plot_page import make_page

        page = make_page(read, _seconds(read), _svg_of(figure), _frame_of(figure))
        target.write_text(page, encoding="utf-8")
    elif ending == ".svg":
        target.write_text(_svg_of(figure), encoding="utf-8")
    else:
        figure.savefig(target, dpi=150)


def _make_figure() -> Figure:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise RuntimeError("plots need matplotlib: run pip install 'floodwall[plot]'") from None
    return Figure(figsize=(10, 6), facecolor="white")


def _svg_of(figure: Figure) -> str:
    import matplotlib

    text = io.StringIO()
    # Text stays text, and the same recording gives the same file.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "floodwall"}):
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return text.getvalue()


def _frame_of(figure: Figure) -> dict[str, float]:
    """Where the time axis lies in the picture, as shares of its size, and what it spans."""
    upper, lower = figure.axes
    first, last = upper.get_xlim()
    return {
        "left": upper.get_position().x0,
        "right": upper.get_position().x1,
        "top": 1 - upper.get_position().y1,
        "bottom": 1 - lower.get_position().y0,
        "first": first,
        "last": last,
    }


def _seconds(recording: dict[str, Any]) -> list[float]:
    records = recording["records"]
    start = recording["started_ns"] if recording["header_intact"] else records[0]["time_ns"]
    return [(record["time_ns"] - start) / 1e9 for record in records]


def _values(recording: dict[str, Any], field: str) -> list[float]:
    """One figure of every record; what is unknown leaves a gap."""
    return [math.nan if r[field] is None else float(r[field]) for r in recording["records"]]


def _draw(recording: dict[str, Any]) -> Figure:
    figure = _make_figure()
    grid = figure.add_gridspec(
        2, 1, height_ratios=(3, 1), hspace=0.14, left=0.1, right=0.97, top=0.83, bottom=0.09
    )
    upper = figure.add_subplot(grid[0])
    lower = figure.add_subplot(grid[1], sharex=upper)
    times = _seconds(recording)
    for axes in (upper, lower):
        _style(axes)
        _draw_levels(axes, recording, times)
    _draw_held(upper, recording, times)
    _draw_available(lower, recording, times)
    span = max(times[-1] - min(0.0, times[0]), 0.001)
    upper.set_xlim(min(0.0, times[0]), times[-1] + span * 0.02)
    upper.tick_params(labelbottom=False)
    lower.set_xlabel("seconds since the start", color=_INK)
    _draw_title(figure, upper, recording)
    return figure


def _style(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_FAINT)
    axes.tick_params(colors=_INK, labelsize=9)
    axes.grid(axis="y", color="#e4e7ec", linewidth=0.8)
    axes.set_axisbelow(True)


def _set_range(axes: Axes, most: float, ticks: int) -> None:
    """From 0 to a little above ``most``, with ticks at powers of two."""
    step = 1 << max(0, math.ceil(math.log2(most / ticks)))
    sizes = range(0, int(most) + 1, step)
    axes.set_yticks(sizes, [format_bytes(size).replace(".0 ", " ") for size in sizes])
    axes.set_ylim(0, most * 1.12)


def _runs(recording: dict[str, Any], times: list[float]) -> Iterator[tuple[str, float, float]]:
    """Level, begin and end of each stretch on one level."""
    levels = [record["level"] for record in recording["records"]]
    begin = 0
    for at in range(1, len(levels) + 1):
        if at == len(levels) or levels[at] != levels[begin]:
            yield levels[begin], times[begin], times[min(at, len(times) - 1)]
            begin = at


def _draw_levels(axes: Axes, recording: dict[str, Any], times: list[float]) -> None:
    for level, begin, end in _runs(recording, times):
        if level in _BANDS:
            axes.axvspan(begin, end, color=_BANDS[level], linewidth=0, zorder=0)


def _most(values: list[float]) -> float:
    return max((value for value in values if not math.isnan(value)), default=0.0)


def _draw_held(axes: Axes, recording: dict[str, Any], times: list[float]) -> None:
    anonymous = _values(recording, "rss_anon_bytes")
    arrow = _values(recording, "arrow_bytes")
    resident = _values(recording, "rss_bytes")
    axes.fill_between(times, anonymous, color=_ANONYMOUS, alpha=0.18, linewidth=0)
    axes.plot(times, anonymous, color=_ANONYMOUS, linewidth=1.8, label="anonymous memory")
    axes.plot(times, resident, color=_RESIDENT, linewidth=1.0, label="resident set")
    axes.plot(times, arrow, color=_ARROW, linewidth=1.6, label="held by Arrow")
    most = max(_most(anonymous), _most(arrow), _most(resident), 1.0)
    peak = _most(_values(recording, "arrow_peak_bytes"))
    if peak > most:
        # The pool's own mark, which lies between two samples.
        most = peak
    if peak > 0:
        axes.axhline(peak, color=_ARROW, linewidth=1.0, linestyle=(0, (1, 2)), label="Arrow's peak")
    highest = most
    for text, limit in _limits(recording):
        if limit <= most * _HIGHEST_LIMIT:
            _draw_limit(axes, text, limit)
            highest = max(highest, limit)
    _set_range(axes, highest, 6)
    axes.set_ylabel("held", color=_INK)


def _draw_limit(axes: Axes, text: str, limit: float) -> None:
    axes.axhline(limit, color=_LIMIT, linewidth=1.2, linestyle="--")
    axes.annotate(
        f"{text} {format_bytes(int(limit))}", (1, limit), xycoords=("axes fraction", "data"),
        xytext=(-4, 3), textcoords="offset points", ha="right", fontsize=9, color=_LIMIT,
    )  # fmt: skip


def _limits(recording: dict[str, Any]) -> Iterator[tuple[str, float]]:
    arrow, process = recording["max_arrow_bytes"], recording["max_process_bytes"]
    if arrow and arrow == process:
        yield "limit", arrow
    else:
        if arrow:
            yield "Arrow's limit", arrow
        if process:
            yield "process limit", process
    if recording["max_anonymous_bytes"] and recording["max_anonymous_bytes"] != arrow:
        yield "limit of its processes", recording["max_anonymous_bytes"]
    if recording["limit_bytes"]:
        yield "container's limit", float(recording["limit_bytes"])


def _draw_available(axes: Axes, recording: dict[str, Any], times: list[float]) -> None:
    available = _values(recording, "available_bytes")
    axes.fill_between(times, available, color=_AVAILABLE, alpha=0.18, linewidth=0)
    axes.plot(times, available, color=_AVAILABLE, linewidth=1.6, label="available")
    minimum = recording["min_available_bytes"]
    if minimum and minimum <= _most(available):
        _draw_limit(axes, "must stay", minimum)
    kills = _values(recording, "oom_kill_count")
    for at in range(1, len(kills)):
        if kills[at] > kills[at - 1]:
            axes.axvline(times[at], color=_LIMIT, linewidth=1.6)
            axes.annotate("kernel kill", (times[at], 1), xycoords=("data", "axes fraction"),
                          xytext=(-4, -10), textcoords="offset points", ha="right", fontsize=9,
                          color=_LIMIT)  # fmt: skip
    _set_range(axes, max(_most(available), 1.0), 3)
    axes.set_ylabel("available", color=_INK)


def _draw_title(figure: Figure, axes: Axes, recording: dict[str, Any]) -> None:
    # Names of programs and scripts, not their paths.
    words = [word.rsplit("/", 1)[-1] or word for word in recording["command_line"].split()]
    command = " ".join(words) or "a recording"
    if len(command) > 84:
        command = command[:81] + "..."
    command = command.replace("$", r"\$")  # "$" would begin a formula
    figure.text(
        0.02, 0.955, command, fontsize=13, color=_INK, weight="bold", ha="left", va="center"
    )
    if recording["header_intact"]:
        began = datetime.datetime.fromtimestamp(recording["started_ns"] / 1e9).astimezone()
        where = (
            f"process {recording['pid']} on {recording['host_name']}, {began:%Y-%m-%d %H:%M:%S %Z}"
        )
    else:
        where = "its header is damaged"
    closed = recording["finished_ns"] is not None
    ended = recording["ending"] or ("ended in good order" if closed else "killed, or still runs")
    seconds = _seconds(recording)[-1]
    figure.text(
        0.02, 0.912, f"{where}; {ended}, last sample after {seconds:.1f} s", fontsize=9.5,
        color=_FAINT, ha="left", va="center",
    )  # fmt: skip
    from matplotlib.patches import Patch

    handles, labels = axes.get_legend_handles_labels()
    seen = {record["level"] for record in recording["records"]}
    for level, color in _BANDS.items():
        if level in seen:
            handles.append(Patch(color=color))
            labels.append(level)
    figure.legend(
        handles, labels, loc="center left", bbox_to_anchor=(0.093, 0.866), ncols=len(labels),
        frameon=False, fontsize=9, labelcolor=_INK, handlelength=1.6, columnspacing=1.4,
    )  # fmt: skip
