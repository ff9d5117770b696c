"""
Compare what monitors call available with what a process can really allocate.

For each content a memory cgroup of 400 MiB holds 200 MiB of it. A child inside reads every
monitor's figure; then another child in the same cgroup touches anonymous memory until the kernel
kills it. Needs root or a delegated cgroup:

    .venv/bin/python benchmarks/available.py [--json]
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import mmap
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MIB = 1 << 20
LIMIT_MIB = 400
CONTENT_MIB = 200
FLOOR_MIB = 128  # the monitor's minimum: EMERGENCY below, NORMAL from twice as much
CONTENTS = {
    "nothing": "nothing",
    "clean": "file read once",
    "active": "file read twice",
    "dirty": "dirty file",
    "mapped": "mmapped file",
    "tmpfs": "tmpfs",
    "full": "page cache up to the limit",
    "tmpfs_full": "tmpfs, 300 MiB",
}
_V1 = Path("/sys/fs/cgroup/memory")
_V2 = Path("/sys/fs/cgroup")

# Touches 256 KiB at a time and says so, until it is killed. Says first what it is itself.
_ALLOCATOR = """
import mmap, os, sys
own = next(int(line.split()[1]) * 1024 for line in open("/proc/self/status")
           if line.startswith("RssAnon"))
step = 256 << 10
os.write(1, (own // step).to_bytes(4, "little"))
memory, filled = mmap.mmap(-1, 1 << 30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS), b"x" * step
for n in range((1 << 30) // step):
    memory[n * step:(n + 1) * step] = filled
    os.write(1, (1).to_bytes(4, "little"))
"""


class NoCgroupError(Exception):
    """No memory cgroup can be made here; the text says why."""


@dataclasses.dataclass
class Group:
    """A fresh memory cgroup."""

    path: Path
    version: int

    def enter(self, pid: int) -> None:
        """Move a process into it."""
        (self.path / "cgroup.procs").write_text(str(pid))

    def figures(self) -> dict[str, int]:
        """Limit, usage and the file lists, as other monitors use them."""
        read = lambda name: int((self.path / name).read_text())  # noqa: E731
        stat = dict(line.split() for line in (self.path / "memory.stat").read_text().splitlines())
        if self.version == 1:
            return {
                "limit": read("memory.limit_in_bytes"), "usage": read("memory.usage_in_bytes"),
                "inactive_file": int(stat["total_inactive_file"]),
            }  # fmt: skip
        return {
            "limit": read("memory.max"), "usage": read("memory.current"),
            "inactive_file": int(stat["inactive_file"]),
        }  # fmt: skip


@contextlib.contextmanager
def make_group(limit_bytes: int) -> Iterator[Group]:
    """Make a cgroup with a hard limit; it is removed at the end."""
    why = []
    for version, root, limit in ((1, _V1, "memory.limit_in_bytes"), (2, _V2, "memory.max")):
        path = root / f"floodwall-available-{os.getpid()}-{time.monotonic_ns()}"
        try:
            path.mkdir()
        except OSError as error:
            why.append(f"{path.parent}: {error.strerror}")
            continue
        try:
            if not (path / limit).exists():
                why.append(f"{root}: memory is not controlled there")
                continue
            (path / limit).write_text(str(limit_bytes))
            yield Group(path, version)
            return
        finally:
            for _ in range(100):  # the kernel lets go of killed members a little later
                with contextlib.suppress(OSError):
                    path.rmdir()
                    break
                time.sleep(0.02)
    raise NoCgroupError("; ".join(why))


def fill(content: str, directory: Path) -> Any:
    """Put the content into this process's cgroup; what must stay alive is returned."""
    prepared = directory / "prepared"
    if content in ("clean", "active", "full"):
        for _ in range(2 if content == "active" else 1):
            with prepared.open("rb", buffering=0) as file:
                while file.read(MIB):
                    pass
    elif content == "dirty":
        with (directory / "dirty").open("wb", buffering=0) as file:
            for _ in range(CONTENT_MIB):
                file.write(b"d" * MIB)
    elif content == "mapped":
        with prepared.open("rb") as file:
            view = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        for at in range(0, len(view), mmap.PAGESIZE):
            view[at]
        return view
    elif content.startswith("tmpfs"):
        file = tempfile.TemporaryFile(dir="/dev/shm", buffering=0)  # noqa: SIM115
        for _ in range(300 if content == "tmpfs_full" else CONTENT_MIB):
            file.write(b"t" * MIB)
        return file
    return None


def hold(content: str, directory: Path) -> None:
    """Fill the cgroup, print every monitor's figures in MiB, and stay until killed."""
    import psutil

    import floodwall

    kept = fill(content, directory)
    monitor = floodwall.MemoryMonitor(max_pyarrow_mb=LIMIT_MIB, min_system_available_mb=FLOOR_MIB)
    figures: dict[str, Any] = {"psutil": psutil.virtual_memory().available / MIB}
    try:
        from fsspeckit.datasets.pyarrow.memory import MemoryMonitor as Theirs
    except ImportError:
        pass
    else:
        theirs = Theirs(min_system_available_mb=FLOOR_MIB)
        figures["fsspeckit"] = theirs.get_memory_status()["system_available_mb"]
        figures["fsspeckit_level"] = theirs.check_memory_pressure().value
    snapshot = monitor.snapshot()
    figures["floodwall"] = (snapshot.available_bytes or 0) / MIB
    figures["source"] = snapshot.sources["available_bytes"]
    figures["level"] = monitor.check_memory_pressure().value
    print(json.dumps(figures), flush=True)
    signal.pause()
    del kept


def _prepare(content: str, directory: Path) -> None:
    """Write the file that will be read, on disk and out of the cache."""
    size = LIMIT_MIB * 2 if content == "full" else CONTENT_MIB
    with (directory / "prepared").open("wb", buffering=0) as file:
        for _ in range(size):
            file.write(os.urandom(16) * (MIB // 16))
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _start_in(group: Group, command: list[str], oom_score: int) -> subprocess.Popen[bytes]:
    def enter() -> None:
        group.enter(os.getpid())
        Path("/proc/self/oom_score_adj").write_text(str(oom_score))

    return subprocess.Popen(command, stdout=subprocess.PIPE, preexec_fn=enter)


def _allocate_until_killed(group: Group) -> float:
    child = _start_in(group, [sys.executable, "-I", "-S", "-c", _ALLOCATOR], 1000)
    assert child.stdout is not None
    said = child.stdout.read()
    child.stdout.close()
    if child.wait() != -signal.SIGKILL:
        raise RuntimeError(f"the allocating child ended with {child.returncode}, not by the kernel")
    counts = [int.from_bytes(said[at : at + 4], "little") for at in range(0, len(said), 4)]
    return sum(counts) * (256 << 10) / MIB


def measure(content: str) -> dict[str, Any]:
    """Every monitor's figure for one content, and the truth, in MiB."""
    with (
        tempfile.TemporaryDirectory(dir=os.environ.get("FLOODWALL_BENCH_DIR", "/var/tmp")) as name,
        make_group(LIMIT_MIB * MIB) as group,
    ):
        directory = Path(name)
        if content in ("clean", "active", "mapped", "full"):
            _prepare(content, directory)
        holder = _start_in(group, [sys.executable, __file__, "--hold", content, name], 0)
        try:
            assert holder.stdout is not None
            line = holder.stdout.readline()
            if not line:
                raise RuntimeError(f"the holding child ended with {holder.wait()}")
            out: dict[str, Any] = json.loads(line)
            now = group.figures()
            out["limit_minus_usage"] = (now["limit"] - now["usage"]) / MIB
            out["working_set"] = (now["limit"] - now["usage"] + now["inactive_file"]) / MIB
            out["really"] = _allocate_until_killed(group)
            if holder.poll() is not None:
                raise RuntimeError("the kernel killed the child that holds the content")
            return out
        finally:
            holder.kill()
            holder.wait()
            if holder.stdout is not None:
                holder.stdout.close()


def main() -> int:
    """Measure every content and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one object a content")
    parser.add_argument("--hold", nargs=2, metavar=("CONTENT", "DIR"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.hold:
        hold(arguments.hold[0], Path(arguments.hold[1]))
        return 0
    columns = ("psutil", "fsspeckit", "limit_minus_usage", "working_set", "floodwall", "really")
    if not arguments.json:
        print(f"MiB available in a cgroup of {LIMIT_MIB} MiB holding {CONTENT_MIB} MiB")
        print("| content | " + " | ".join(columns) + " | off by | level |")
        print("|---" * (len(columns) + 3) + "|")
    for content, title in CONTENTS.items():
        try:
            row = measure(content)
        except NoCgroupError as error:
            print(f"no memory cgroup can be made: {error}", file=sys.stderr)
            return 1
        if arguments.json:
            print(json.dumps({"content": content, **row}), flush=True)
            continue
        off = (row["floodwall"] - row["really"]) / row["really"]
        cells = [f"{row[name]:,.0f}" if name in row else "-" for name in columns]
        print(f"| {title} | {' | '.join(cells)} | {off:+.1%} | {row['level']} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
