"""``floodwall doctor``: what the monitor reads here, what it cannot read, and what follows."""

from __future__ import annotations

import argparse
import errno
import json
import sys
from collections.abc import Iterator
from typing import Any

from floodwall._core import format_bytes
from floodwall.cli.options import Commands, add_command
from floodwall.cli.terminal import paint
from floodwall.examination import examine

_EXAMPLES = """
  floodwall doctor                      # attach this to a report of a wrong figure
  floodwall doctor --json | jq .findings
"""
_MORE = """
exit code: 0 when every figure that is judged can be read and trusted, 1 when there is a problem.

--json prints one object: versions, probe (sources with errno, the container's levels, hints),
snapshot (as MemoryMonitor.snapshot()), process, allocator, environment, packages, can_run, and
findings: a list of {"severity": "problem" or "advice", "text"}.
"""


def add_parser(commands: Commands) -> None:
    """Add the command to the ``floodwall`` parser."""
    parser = add_command(
        commands,
        "doctor",
        help="check what the monitor can read here, and advise",
        description="Show every source the monitor reads with its errno, the limits that follow, "
        "versions and the allocator, and what to know about them.",
        usage="doctor [options]",
        more=_MORE,
        examples=_EXAMPLES,
    )
    parser.add_argument("--json", action="store_true", help="print everything as JSON on stdout")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Examine and print; 1 when there is a problem."""
    seen = examine()
    print(json.dumps(seen) if args.json else "\n".join(describe(seen)))
    return int(any(finding["severity"] == "problem" for finding in seen["findings"]))


def describe(seen: dict[str, Any]) -> Iterator[str]:
    """Give the examination in lines."""
    yield ", ".join(
        version if name in ("system", "machine", "libc") else f"{name} {version}"
        for name, version in seen["versions"].items()
        if version
    )
    yield from _section("memory", _memory(seen))
    yield from _section("container", _container(seen["probe"]))
    yield from _section("sources", _sources(seen["probe"]))
    yield from _section("process", _process(seen))
    yield from _section("allocator and packages", _software(seen))
    yield from _section("findings", _findings(seen["findings"]))


def _section(title: str, lines: Iterator[str]) -> Iterator[str]:
    yield ""
    yield paint(title, "bold", sys.stdout)
    for line in lines:
        yield f"  {line}"


def _size(value: int | None, none: str = "unknown") -> str:
    return none if value is None else format_bytes(value)


def _memory(seen: dict[str, Any]) -> Iterator[str]:
    snapshot = seen["snapshot"]
    for field, source in snapshot["sources"].items():
        value = snapshot[field]
        if field.endswith("_bytes"):
            text = format_bytes(value)
        elif isinstance(value, float):
            text = f"{value:.2f} %"
        else:
            text = str(value)
        yield f"{field:<22}{text:>12}  {source}"
    for field, why in snapshot["errors"].items():
        yield f"{field:<22}{'unknown':>12}  {why}"


def _container(probe: dict[str, Any]) -> Iterator[str]:
    if not probe["levels"]:
        yield "no memory cgroup is visible: the machine's memory is the limit, or a platform's hint"
    for level in probe["levels"]:
        limit = (
            f"limit {format_bytes(level['limit_bytes'])}"
            if level["limit_bytes"] is not None
            else level["limit_error"] or "no limit"
        )
        yield f"{level['directory']} (cgroup {probe['cgroup_version']})"
        soft = level["soft_limit_bytes"]
        yield (
            f"  {limit}, charged {_size(level['charged_bytes'])}, of which "
            f"{_size(level['used_bytes'])} cannot be reclaimed"
            + (f"; throttled above {format_bytes(soft)}" if soft is not None else "")
        )
    quota = probe["cpu_quota"]
    yield "CPU quota: " + ("none" if quota is None else f"{quota:g} CPUs")
    yield "a watch is woken by: " + (", ".join(probe["hints"]) or "time alone")


def _sources(probe: dict[str, Any]) -> Iterator[str]:
    for source in probe["sources"]:
        code = source["errno"]
        if code == 0:
            yield f"{paint('read    ', 'green', sys.stdout)}  {source['name']}"
        else:
            name = paint(f"{errno.errorcode.get(code, str(code)):<8}", "yellow", sys.stdout)
            yield f"{name}  {source['name']}: {source['error']}"


def _process(seen: dict[str, Any]) -> Iterator[str]:
    process = seen["process"]
    yield f"pid {process['pid']}, {process['cpus']} CPUs may be used"
    for name in ("rlimit_as", "rlimit_data"):
        if name in process:
            yield f"{name.upper()}: {_size(process[name], 'unlimited')}"
    for name in ("oom_score_adj", "overcommit_memory", "transparent_hugepage"):
        if process[name] is not None:
            yield f"{name}: {process[name]}"
    for name, value in seen["environment"].items():
        yield f"${name}={value}"


def _software(seen: dict[str, Any]) -> Iterator[str]:
    allocator = seen["allocator"]
    yield (
        f"pyarrow's pool: {allocator['backend']} of {', '.join(allocator['backends'])}; holds "
        f"{_size(allocator['allocated_bytes'])}, peak {_size(allocator['peak_bytes'])}"
    )
    yield f"floodwall run: {'available' if seen['can_run'] else 'not in this build'}"
    for name, version in seen["packages"].items():
        yield f"{name}: {version or 'not installed'}"


def _findings(findings: list[dict[str, str]]) -> Iterator[str]:
    if not any(finding["severity"] == "problem" for finding in findings):
        yield f"{paint('ok', 'green', sys.stdout)}: every figure that is judged can be read"
    for finding in findings:
        style = "red" if finding["severity"] == "problem" else "yellow"
        yield f"{paint(finding['severity'], style, sys.stdout)}: {finding['text']}"
