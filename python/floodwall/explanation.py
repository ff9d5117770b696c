"""The story that a recording tells: how a process ended, what it held, which limit was nearest."""

from __future__ import annotations

from typing import Any

from floodwall._core import format_bytes
from floodwall.monitor import MemoryMonitor

__all__ = ["explain"]


def _peak(records: list[dict[str, Any]], field: str) -> int | None:
    known = [record[field] for record in records if record[field] is not None]
    return max(known) if known else None


def _size(value: int | None) -> str:
    return "unknown" if value is None else format_bytes(value)


def explain(recording: dict[str, Any]) -> str:
    """Return the story in lines: how it ended, what was held, which limit was nearest."""
    records = recording["records"]
    if not records:
        return "The recording holds no sample: the process ended before the first."
    last = records[-1]
    seconds = (last["time_ns"] - recording["started_ns"]) / 1e9
    lines = []
    if recording["header_intact"]:
        lines.append(f"process {recording['pid']}: {recording['command_line']}")
    ended = (
        "closed its recording in good order"
        if recording["finished_ns"] is not None
        else "was killed, or still runs: the recording has no end"
    )
    told = recording["ending"] or f"it {ended}"
    lines.append(
        f"{told[0].upper()}{told[1:]}. {len(records)} samples, the last after {seconds:.1f} s."
    )
    lines += _kills(recording)
    lines.append("")
    lines.append(f"{'':<22}{'last':>12}{'peak':>12}")
    for label, field in (
        ("anonymous memory", "rss_anon_bytes"),
        ("resident set", "rss_bytes"),
        ("held by Arrow", "arrow_bytes"),
    ):
        lines.append(f"{label:<22}{_size(last[field]):>12}{_size(_peak(records, field)):>12}")
    known = [r["available_bytes"] for r in records if r["available_bytes"] is not None]
    if known:
        lines.append(
            f"{'available':<22}{_size(last['available_bytes']):>12}  least {_size(min(known))}"
        )
    for name, held in last["holders"]:
        lines.append(f"  held by {name}: {format_bytes(held)}")
    lines.append("")
    lines += _limits(recording, records)
    if recording["damaged_records"]:
        lines.append(f"{recording['damaged_records']} damaged records were left out.")
    return "\n".join(lines)


def _processes(count: int) -> str:
    return f"{count} process{'es' if count != 1 else ''}"


def _kills(recording: dict[str, Any]) -> list[str]:
    before = recording["oom_kill_count"]
    now = MemoryMonitor().snapshot().oom_kill_count
    seen = _peak(recording["records"], "oom_kill_count")
    if before is None or recording["finished_ns"] is not None:
        return []
    if seen is not None and seen > before:
        return [
            f"The kernel killed {_processes(seen - before)} of its container for memory meanwhile."
        ]
    if now is not None and now > before:
        return [
            f"The kernel has killed {_processes(now - before)} for memory since, if this is still "
            "its container."
        ]
    return ["No kill for memory was counted in its container."]


def _limits(recording: dict[str, Any], records: list[dict[str, Any]]) -> list[str]:
    """Return which limit was nearest at the peak, and what would have been enough."""
    shares = []
    for name, limit, field in (
        ("Arrow's limit", recording["max_arrow_bytes"], "arrow_peak_bytes"),
        ("the process limit", recording["max_process_bytes"], "rss_bytes"),
        ("the limit of its processes", recording["max_anonymous_bytes"], "rss_anon_bytes"),
        (f"the container's limit ({recording['limit_source']})", recording["limit_bytes"],
         "rss_anon_bytes"),
    ):  # fmt: skip
        peak = _peak(records, field)
        if limit and peak is not None:
            shares.append((peak / limit, name, int(limit), peak))
    if not shares:
        return ["No limit was set."]
    share, name, limit, peak = max(shares)
    lines = [f"Nearest: {name}, {format_bytes(peak)} of {format_bytes(limit)} ({share:.0%})."]
    held = [_peak(records, field) for field in ("rss_anon_bytes", "arrow_peak_bytes")]
    most = max((bytes_held for bytes_held in held if bytes_held is not None), default=None)
    if most is not None:
        # Arrow counts what it was asked for, the kernel what was touched. Growth between the last
        # sample and the end is in neither.
        enough = most + most // 4
        lines.append(
            f"A limit of {format_bytes(enough)} would have held what was seen, "
            "with a quarter to spare."
        )
    return lines
