"""Progress of a merge on stderr: a live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

from floodwall._core import format_bytes
from floodwall.merge import MergeProgress
from floodwall.rich_bars import open_rich

_Report = Callable[[MergeProgress], None]


def _fraction(progress: MergeProgress) -> tuple[int, int]:
    if progress.total_bytes:
        return progress.done_bytes, progress.total_bytes
    return progress.done_rows, progress.total_rows


def _memory(progress: MergeProgress) -> str:
    memory = f"{format_bytes(progress.used_bytes)} of {format_bytes(progress.limit_bytes)}"
    if progress.spilled_bytes:
        memory += f", {format_bytes(progress.spilled_bytes)} spilled"
    return memory


@contextlib.contextmanager
def show_progress() -> Iterator[_Report]:
    """Give a function that draws the progress it gets."""
    if (terminal := open_rich()) is not None:
        progress, console = terminal
        columns = (
            progress.TextColumn("{task.description:>8}"),
            progress.BarColumn(),
            progress.TaskProgressColumn(),
            progress.TextColumn("{task.fields[memory]}"),
            progress.TimeElapsedColumn(),
        )
        with progress.Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task("plan", total=None, memory="")

            def draw(now: MergeProgress) -> None:
                done, total = _fraction(now)
                bar.update(
                    task, description=now.phase, completed=done, total=total or None,
                    memory=_memory(now),
                )  # fmt: skip

            yield draw
        return
    phase = ""

    def line(progress: MergeProgress) -> None:
        nonlocal phase
        if progress.phase in (phase, "done"):
            return
        phase = progress.phase
        print(f"{progress.elapsed_s:6.1f} s  {phase}, memory {_memory(progress)}", file=sys.stderr)

    yield line
