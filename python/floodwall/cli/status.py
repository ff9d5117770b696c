"""``floodwall status``: what memory this container leaves, and what binds."""

from __future__ import annotations

import argparse
import json

from floodwall._core import format_bytes
from floodwall.monitor import MemoryMonitor, MemorySnapshot, Verdict

_EXAMPLE = """examples:
  floodwall status
  floodwall status --min-available 1024 --json
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the ``floodwall`` parser."""
    parser = commands.add_parser(
        "status",
        help="show what memory can still be allocated here, and why",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--min-available", type=float, default=512, metavar="MB",
        help="what must stay available (default: %(default)g)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print every figure as JSON on stdout")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Read and print."""
    monitor = MemoryMonitor(min_system_available_mb=args.min_available)
    snapshot, verdict = monitor.snapshot(), monitor.verdict()
    if args.json:
        level = {"level": verdict.level.value, "constraint": verdict.constraint}
        print(json.dumps({**level, "verdict": verdict.sentence, **snapshot.to_dict()}))
    else:
        print(describe(snapshot, verdict))
    return 0


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
    rows = [f"{verdict.level.value.upper()}  {verdict.sentence}", ""]
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
        rows.append(f"{'out-of-memory kills':<18}{snapshot.oom_kill_count:>11}  {source}")
    return "\n".join(rows)
