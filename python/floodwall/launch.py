"""
Run another program inside a memory limit: its Arrow allocations and its whole process tree.

A preloaded library counts what libarrow takes from its allocator, from the program's first
instruction on, and refuses what passes the cap. The launcher watches the anonymous memory of the
process tree, lowers the cap by what is not Arrow's, and ends the tree when it passes the limit
all the same or when the container has next to nothing left. Between its looks a process looks
at its own memory before each large block.
"""

from __future__ import annotations

import collections
import contextlib
import ctypes
import mmap
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from floodwall import _core
from floodwall.sizes import available_bytes

__all__ = ["Figures", "Outcome", "can_launch", "die_of", "launch"]

# Layout of RunPage in src/pool/run_page.h.
_CAP, _REAPED, _USED, _PEAK, _REFUSED, _OVERDRAFTS, _REQUESTS, _ROOM = range(0, 64, 8)
_SLOTS_AT, _SLOT_BYTES, _SLOTS = 64, 32, 1000
_PAGE_BYTES = _SLOTS_AT + _SLOTS * _SLOT_BYTES

_INTERVAL_S = 0.03
_INTERVAL_NEAR_S = 0.005
_RESERVE_BYTES = 8 << 20
_CALM_S = 0.15
"""What is not Arrow's is the least seen in this time: untouched pages hide it for a moment."""
_NEAR = 8
"""Processes return freed pages to the system when less than this part of the limit is left."""
_SLIGHT = 32
"""By less than this part a tree may be above its limit at one look, but not at two in a row."""
_PATIENCE_S = 2.0
"""Between asking the tree to end and killing it."""
_LAST_BYTES = 16 << 20
"""Headroom of the container below which the tree is killed at once."""
_FORWARDED = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1,
              signal.SIGUSR2)  # fmt: skip
_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class Figures:
    """Bytes of one moment."""

    arrow_bytes: int
    arrow_peak_bytes: int
    anonymous_bytes: int
    resident_bytes: int


@dataclass(frozen=True)
class Outcome:
    """How the program ended; ``exit_code`` is negative for a signal."""

    exit_code: int
    stopped: str | None
    """Why the launcher ended it, None when it did not."""
    refused: int
    overdrafts: int
    arrow_peak_bytes: int
    anonymous_peak_bytes: int
    uncounted: bool
    """libarrow was loaded, and yet nothing was counted."""


class _Page:
    def __init__(self, path: str, cap: int) -> None:
        with Path(path).open("r+b") as file:
            file.truncate(_PAGE_BYTES)
            self._words = memoryview(mmap.mmap(file.fileno(), _PAGE_BYTES)).cast("q")
        self.write(_CAP, cap)
        self.write(_ROOM, cap)

    def read(self, at: int) -> int:
        return self._words[at // 8]

    def write(self, at: int, value: int) -> None:
        self._words[at // 8] = value

    def _slots(self) -> list[tuple[int, int]]:
        """Return offset and process of each slot that is taken."""
        pids = self._words[_SLOTS_AT // 8 :: _SLOT_BYTES // 8].tolist()
        return [(_SLOTS_AT + i * _SLOT_BYTES, pid) for i, pid in enumerate(pids) if pid]

    @property
    def arrow_bytes(self) -> int:
        return max(0, self.read(_USED) - self.read(_REAPED))

    def reap(self, pids: set[int], with_memory: dict[int, int]) -> None:
        """Take back what ended processes held, zombies too; only we write `reaped`."""
        for slot, pid in self._slots():
            if pid not in with_memory and (pid in pids or not Path(f"/proc/{pid}").exists()):
                self.write(_REAPED, self.read(_REAPED) + self.read(slot + 8))
                self.write(slot + 8, 0)
                self.write(slot + 16, 0)
                self.write(slot, 0)

    def tell(self, anonymous: dict[int, int], limit: int) -> bool:
        """Let each process know what it had, all what was left, and whether that is little."""
        room = limit - sum(anonymous.values())
        near = room < limit // _NEAR
        for slot, pid in self._slots():
            self.write(slot + 16, anonymous.get(pid, 0))
            if near:
                self.write(slot + 24, 1)
        self.write(_ROOM, room)
        return near


def _children(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError, ValueError):
        for task in os.scandir(f"/proc/{pid}/task"):
            found += map(int, Path(task.path, "children").read_text().split())
    return found


def _tree(root: int) -> set[int]:
    """Return the processes below the launcher: orphans come to it, too."""
    if not Path("/proc/thread-self/children").exists():
        return _tree_by_parents(root)
    found: set[int] = set()
    queue = _children(root)
    while queue:
        pid = queue.pop()
        found.add(pid)
        queue += _children(pid)
    return found


def _tree_by_parents(root: int) -> set[int]:
    """Do the same on kernels that list no children: look at every process for its parent."""
    children: dict[int, list[int]] = collections.defaultdict(list)
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                stat = Path(entry.path, "stat").read_text()
                children[int(stat.rsplit(")", 1)[1].split()[1])].append(int(entry.name))
    found: set[int] = set()
    queue = list(children[root])
    while queue:
        pid = queue.pop()
        found.add(pid)
        queue += children[pid]
    return found


def _bury(pids: set[int]) -> None:
    """Wait for orphans that came to us and ended; those of others are not ours to wait for."""
    for pid in pids:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


def _memory_of(pids: set[int]) -> tuple[dict[int, int], int]:
    anonymous: dict[int, int] = {}
    resident = 0
    for pid in pids:
        with contextlib.suppress(OSError, ValueError):
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("RssAnon:"):
                    anonymous[pid] = int(line.split()[1]) << 10
                elif line.startswith("VmRSS:"):
                    resident += int(line.split()[1]) << 10
    return anonymous, resident


def _preload_library() -> Path:
    return Path(_core.__file__).parent / "lib" / "libfloodwall_preload.so"


def can_launch() -> bool:
    """Return whether this build has the library that counts a program's Arrow memory."""
    return _preload_library().exists()


def _environment(page: str, inherit: bool) -> dict[str, str]:
    environment = dict(os.environ)
    before = environment.get("LD_PRELOAD", "")
    library = str(_preload_library())
    environment["LD_PRELOAD"] = f"{library}:{before}" if before else library
    environment["FLOODWALL_RUN_PAGE"] = page
    if not inherit:
        environment["FLOODWALL_RUN_ALONE"] = "1"
        environment["FLOODWALL_RUN_PRELOAD"] = before
    return environment


@contextlib.contextmanager
def _forwarding(child: subprocess.Popen[bytes]) -> Iterator[None]:
    """Pass signals on. Ctrl-C on a terminal reaches the program without us."""

    def forward(number: int, frame: FrameType | None) -> None:
        if number in (signal.SIGINT, signal.SIGQUIT) and _in_foreground():
            return
        with contextlib.suppress(ProcessLookupError):
            child.send_signal(number)

    before = {number: signal.signal(number, forward) for number in _FORWARDED}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _in_foreground() -> bool:
    for fd in (0, 1, 2):
        with contextlib.suppress(OSError):
            return os.tcgetpgrp(fd) == os.getpgrp()
    return False


class _Watch:
    """Sets the cap and decides when the tree must end."""

    def __init__(self, page: _Page, limit: int) -> None:
        self._page = page
        self._limit = limit
        # A part is kept for what cannot be refused: small blocks, stacks, Python's own objects.
        self._refuse_beyond = limit - max(limit // 32, min(_RESERVE_BYTES, limit // 8))
        self._others: collections.deque[tuple[float, int]] = collections.deque()
        self._asked_at: float | None = None
        self._above = False
        self.near = False
        self.anonymous_peak = 0
        self.stopped: str | None = None

    def look(self, pids: set[int]) -> Figures:
        by_process, resident = _memory_of(pids)
        self._page.reap(pids, by_process)
        self.near = self._page.tell(by_process, self._refuse_beyond)
        anonymous = sum(by_process.values())
        arrow = self._page.arrow_bytes
        now = time.monotonic()
        self.anonymous_peak = max(self.anonymous_peak, anonymous)
        self._others.append((now, max(0, anonymous - arrow)))
        while self._others[0][0] < now - _CALM_S:
            self._others.popleft()
        others = min(other for _, other in self._others)
        self._page.write(_CAP, max(0, self._refuse_beyond - others))
        self._judge(pids, anonymous, now)
        return Figures(arrow, self._page.read(_PEAK), anonymous, resident)

    def _judge(self, pids: set[int], anonymous: int, now: float) -> None:
        available = available_bytes()
        if available is not None and available < _LAST_BYTES:
            self._stop(
                pids, signal.SIGKILL,
                f"the container has only {_core.format_bytes(available)} left",
            )  # fmt: skip
        elif anonymous > self._limit and self._asked_at is None:
            # A little above: by the next look freed pages may have gone back.
            if not self._above and anonymous <= self._limit + self._limit // _SLIGHT:
                self._above = True
                return
            self._asked_at = now
            self._stop(
                pids, signal.SIGTERM,
                f"anonymous memory of the program and its children is "
                f"{_core.format_bytes(anonymous)}, limit {_core.format_bytes(self._limit)}",
            )  # fmt: skip
        elif self._asked_at is not None and now > self._asked_at + _PATIENCE_S:
            self._stop(pids, signal.SIGKILL, self.stopped or "")
        self._above = False

    def _stop(self, pids: set[int], number: int, why: str) -> None:
        self.stopped = self.stopped or why
        for pid in pids:
            with contextlib.suppress(OSError):
                os.kill(pid, number)


def launch(
    command: list[str],
    limit_bytes: int,
    *,
    inherit: bool = True,
    observe: Callable[[Figures], None] | None = None,
) -> Outcome:
    """
    Run ``command`` inside ``limit_bytes`` and wait for it.

    Raises ``OSError`` when it cannot be started, or on a system without the preloaded library.
    """
    if not can_launch():
        raise OSError(f"'{_preload_library()}' is missing: this build cannot count Arrow's memory")
    _adopt_orphans(True)
    descriptor, path = tempfile.mkstemp(prefix="floodwall-run-")
    os.close(descriptor)
    try:
        page = _Page(path, limit_bytes)
        watch = _Watch(page, limit_bytes)
        loaded = False
        others = set(_children(os.getpid()))  # whoever else this process has started
        child = subprocess.Popen(command, env=_environment(path, inherit))
        with _forwarding(child):
            while (code := child.poll()) is None:
                pids = _tree(os.getpid())
                _bury(pids - {child.pid} - others)
                figures = watch.look(pids)
                loaded = loaded or _has_arrow(child.pid)
                if observe is not None and figures.resident_bytes:
                    observe(figures)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(_INTERVAL_NEAR_S if watch.near else _INTERVAL_S)
        return Outcome(
            code, watch.stopped, page.read(_REFUSED), page.read(_OVERDRAFTS), page.read(_PEAK),
            watch.anonymous_peak, loaded and page.read(_REQUESTS) == 0,
        )  # fmt: skip
    finally:
        _adopt_orphans(False)
        Path(path).unlink(missing_ok=True)


def _adopt_orphans(adopt: bool) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, int(adopt), 0, 0, 0)


def _has_arrow(pid: int) -> bool:
    try:
        return "/libarrow.so" in Path(f"/proc/{pid}/maps").read_text()
    except OSError:
        return False


def die_of(number: int) -> None:
    """End this process by the signal that ended the program, without a core of its own."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.stdout.flush()
    sys.stderr.flush()
    with contextlib.suppress(OSError, ValueError):
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
