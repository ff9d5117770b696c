"""
Run a Python function call in a child whose anonymous memory is bounded and measured.

Where a cgroup v1 or v2 memory controller is writable, the child runs inside a fresh cgroup whose
limit is set from the baseline it has reached after its imports: beyond it the kernel kills.
Everywhere, RssAnon is sampled every two milliseconds; a peak shorter than that can be missed,
which is why the cgroup is the judge and the samples are the figure.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

MIB = 1 << 20
_V1 = Path("/sys/fs/cgroup/memory")
_V2 = Path("/sys/fs/cgroup")
_SAMPLE_SECONDS = 0.002


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a child ended and what it took."""

    exit_code: int
    stdout: str
    wall_s: float
    cpu_s: float
    baseline_bytes: int
    growth_bytes: int
    limited_by_cgroup: bool
    baseline_cpu_s: float = 0
    """What the imports took of ``cpu_s``."""


def _make_cgroup() -> tuple[Path, str] | None:
    for root, limit in ((_V1, "memory.limit_in_bytes"), (_V2, "memory.max")):
        group = root / f"floodwall-{os.getpid()}-{time.monotonic_ns()}"
        try:
            group.mkdir()
        except OSError:
            continue
        if (group / limit).exists():
            return group, limit
        group.rmdir()
    return None


def anonymous_bytes(pid: int) -> int:
    """Anonymous resident bytes of a process; 0 when it is gone."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return 0


def cpu_seconds(pid: int) -> float:
    """CPU time of a process so far; 0 when it is gone."""
    try:
        used = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0
    return (int(used[11]) + int(used[12])) / os.sysconf("SC_CLK_TCK")


@dataclasses.dataclass(frozen=True)
class Watched:
    """A child from the call of ``watch`` to its end; CPU time is that of its whole life."""

    exit_code: int
    wall_s: float
    cpu_s: float
    peak_bytes: int


def watch(child: subprocess.Popen[Any]) -> Watched:
    """Sample the anonymous memory of a child until it ends, and reap it."""
    started = time.monotonic()
    peak = 0
    while True:
        peak = max(peak, anonymous_bytes(child.pid))
        # Not Popen.poll: that would reap the child without its CPU time.
        pid, status, usage = os.wait4(child.pid, os.WNOHANG)
        if pid:
            child.returncode = os.waitstatus_to_exitcode(status)
            wall = time.monotonic() - started
            return Watched(child.returncode, wall, usage.ru_utime + usage.ru_stime, peak)
        time.sleep(_SAMPLE_SECONDS)


_RUNNER = """
import os, sys
import floodwall, floodwall.cli, floodwall.cli.progress, json
try:
    import rich.progress, rich.console
except ImportError:
    pass
ready, go = int(sys.argv[1]), int(sys.argv[2])
os.write(ready, b"r")
os.read(go, 1)
sys.exit(floodwall.cli.main(sys.argv[3:]))
"""


def run_cli(arguments: list[str], limit_bytes: int) -> Outcome:
    """
    Run the floodwall command line in a child, ``limit_bytes`` above its own baseline.

    The child imports everything first and waits; then its anonymous memory is the baseline.
    stderr is passed through (live progress), stdout is returned.
    """
    return _run([sys.executable, "-c", _RUNNER], arguments, limit_bytes)


def run_code(
    imports: str,
    work: str,
    arguments: list[str],
    limit_bytes: int,
    python: str = sys.executable,
) -> Outcome:
    """
    Run Python code in a child, ``limit_bytes`` above what ``imports`` took.

    Both are statements; ``sys.argv[3:]`` holds the arguments.
    """
    # With pyarrow.dataset comes pandas, which else the first array of Python values would import.
    code = f"import os, sys, pyarrow.dataset\n{imports}\n{_WAIT}\n{work}\n"
    return _run([python, "-c", code], arguments, limit_bytes)


_WAIT = """
os.write(int(sys.argv[1]), b"r")
os.read(int(sys.argv[2]), 1)
"""


def run_inside(command: list[str], limit_bytes: int) -> subprocess.CompletedProcess[str]:
    """Run a program from its first instruction on inside ``limit_bytes``, where cgroups allow."""
    group = _make_cgroup()
    if group is None:
        return subprocess.run(command, capture_output=True, text=True)
    directory, limit_file = group
    (directory / limit_file).write_text(str(limit_bytes))
    enter = ["sh", "-c", 'echo $$ > "$0" && exec "$@"', str(directory / "cgroup.procs")]
    try:
        return subprocess.run([*enter, *command], capture_output=True, text=True)
    finally:
        with contextlib.suppress(OSError):
            directory.rmdir()


_STREAM_MERGE = """
source, target, keys, limit = sys.argv[3:]
stream = pa.ipc.open_stream(pa.memory_map(source))
result = floodwall.merge(stream, target, "upsert", keys.split(","), max_memory=limit)
print(json.dumps(result.to_dict()))
"""


def run_stream_merge(
    source: Path, target: Path, keys: str, max_memory: str, limit_bytes: int
) -> Outcome:
    """Upsert an Arrow IPC stream that takes no anonymous memory itself."""
    arguments = [str(source), str(target), keys, max_memory]
    imports = "import json, floodwall, pyarrow as pa"
    return run_code(imports, _STREAM_MERGE, arguments, limit_bytes)


def _run(command: list[str], arguments: list[str], limit_bytes: int) -> Outcome:
    ready_read, ready_write = os.pipe()
    go_read, go_write = os.pipe()
    group = _make_cgroup()
    try:
        child = subprocess.Popen(
            [*command, str(ready_write), str(go_read), *arguments],
            stdout=subprocess.PIPE, pass_fds=(ready_write, go_read),
        )  # fmt: skip
        os.close(ready_write)
        os.read(ready_read, 1)
        baseline = anonymous_bytes(child.pid)
        baseline_cpu = cpu_seconds(child.pid)
        if group is not None:
            # The group counts what is charged from now on: the child's growth and page cache,
            # which the kernel reclaims before it kills.
            directory, limit_file = group
            (directory / limit_file).write_text(str(limit_bytes))
            (directory / "cgroup.procs").write_text(str(child.pid))
        os.write(go_write, b"g")
        watched = watch(child)
        assert child.stdout is not None
        stdout = child.stdout.read().decode()
        child.stdout.close()
        return Outcome(
            watched.exit_code, stdout, watched.wall_s, watched.cpu_s, baseline,
            max(watched.peak_bytes, baseline) - baseline, group is not None,
            baseline_cpu,
        )  # fmt: skip
    finally:
        for fd in (ready_read, go_read, go_write):
            with contextlib.suppress(OSError):
                os.close(fd)
        if group is not None:
            with contextlib.suppress(OSError):
                group[0].rmdir()
