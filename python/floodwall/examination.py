"""
Look at everything the monitor depends on here: sources, limits, allocator, versions.

``floodwall doctor`` prints it. Findings are facts with what follows from them: a ``problem`` means
that a figure is unknown or cannot be trusted, an ``advice`` is worth knowing.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import platform
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from floodwall import _core
from floodwall._core import format_bytes
from floodwall.launch import can_launch
from floodwall.monitor import MemoryMonitor, MemorySnapshot

__all__ = ["Finding", "examine"]

_EXTRAS = {
    "rich": "progress",
    "matplotlib": "plot",
    "prometheus-client": "prometheus",
    "opentelemetry-api": "opentelemetry",
}
_VARIABLES = (
    "ARROW_DEFAULT_MEMORY_POOL",
    "MALLOC_ARENA_MAX",
    "MALLOC_TRIM_THRESHOLD_",
    "MIMALLOC_PURGE_DELAY",
    "MEMORY_PRESSURE_WATCH",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "SLURM_MEM_PER_NODE",
    "LD_PRELOAD",
)
_NOT_THERE = {"", "No such file or directory"}


@dataclasses.dataclass(frozen=True)
class Finding:
    """Something to know."""

    severity: str
    """``"problem"`` or ``"advice"``."""
    text: str


def examine() -> dict[str, Any]:
    """
    Read everything now and return it as JSON-ready values.

    Keys: ``versions``, ``probe`` (every file with its errno, the container's levels, hints),
    ``snapshot``, ``process``, ``allocator``, ``environment``, ``packages``, ``can_run`` and
    ``findings``.
    """
    snapshot = MemoryMonitor().snapshot()
    out: dict[str, Any] = {
        "versions": _versions(),
        "probe": _core.diagnose(),
        "snapshot": snapshot.to_dict(),
        "process": _process(),
        "allocator": {
            "backend": pa.default_memory_pool().backend_name,
            "backends": list(pa.supported_memory_backends()),
            "allocated_bytes": snapshot.arrow_bytes,
            "peak_bytes": snapshot.arrow_peak_bytes,
        },
        "environment": {name: os.environ[name] for name in _VARIABLES if name in os.environ},
        "packages": {name: _version_of(name) for name in _EXTRAS},
        "can_run": can_launch(),
    }
    findings = [*_problems(out, snapshot), *_advice(out, snapshot)]
    out["findings"] = [dataclasses.asdict(finding) for finding in findings]
    return out


def _versions() -> dict[str, str]:
    free_threaded = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
    return {
        "floodwall": _core.version(),
        "pyarrow": pa.__version__,
        "libarrow": pa.cpp_build_info.version,
        "python": platform.python_version() + (" (free-threaded)" if free_threaded else ""),
        "system": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "libc": " ".join(platform.libc_ver()).strip(),
    }


def _version_of(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _text_of(path: str) -> str | None:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return None


def _process() -> dict[str, Any]:
    """Return what bounds this process beside its cgroup; ``None`` is no limit, or unknown."""
    out: dict[str, Any] = {
        "pid": os.getpid(),
        "cpus": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count(),
        "oom_score_adj": _text_of("/proc/self/oom_score_adj"),
        "overcommit_memory": _text_of("/proc/sys/vm/overcommit_memory"),
        "transparent_hugepage": None,
    }
    if (pages := _text_of("/sys/kernel/mm/transparent_hugepage/enabled")) is not None:
        # "always [madvise] never"
        out["transparent_hugepage"] = pages.partition("[")[2].partition("]")[0] or pages
    try:
        import resource
    except ImportError:  # not on Windows
        return out
    for name in ("RLIMIT_AS", "RLIMIT_DATA"):
        soft = resource.getrlimit(getattr(resource, name))[0]
        out[name.lower()] = None if soft == resource.RLIM_INFINITY else soft
    return out


def _problem(text: str) -> Finding:
    return Finding("problem", text)


def _blind_to_cgroups(seen: dict[str, Any]) -> str | None:
    """Return what keeps the container's limits out of sight."""
    for source in seen["probe"]["sources"]:
        if source["name"] in ("/proc/self/cgroup", "/proc/self/mountinfo") and source["errno"]:
            return f"{source['name']}: {source['error']}"
    return None


def _problems(seen: dict[str, Any], snapshot: MemorySnapshot) -> Iterator[Finding]:
    for field, text in (
        ("rss_bytes", "The resident set cannot be read, so process limits are not judged"),
        ("available_bytes", "What is available cannot be read, so the system is not judged"),
    ):
        if getattr(snapshot, field) is None:
            yield _problem(f"{text}: {snapshot.errors.get(field, 'no source')}.")
    if (why := _blind_to_cgroups(seen)) is not None:
        yield _problem(f"The container's limits are unknown, they may bind unseen: {why}.")
    for level in seen["probe"]["levels"]:
        if level["limit_error"] not in _NOT_THERE:
            yield _problem(
                f"The limit of {level['directory']} cannot be read ({level['limit_error']}): it "
                "may bind unseen."
            )
    if not seen["probe"]["confident"]:
        yield _problem(
            "This process's own cgroup is not mounted where it can be seen; the mount point stands "
            "in for it. A limit of its own may bind unseen."
        )


def _advice(seen: dict[str, Any], snapshot: MemorySnapshot) -> Iterator[Finding]:
    texts = [*_advice_on_limits(seen, snapshot), *_advice_on_process(seen, snapshot)]
    return (Finding("advice", text) for text in texts)


def _advice_on_limits(seen: dict[str, Any], snapshot: MemorySnapshot) -> Iterator[str]:
    probe = seen["probe"]
    total = snapshot.host_total_bytes
    if total is not None and snapshot.limit_bytes == total and _blind_to_cgroups(seen) is None:
        yield (
            f"No container limit: all of the machine's {format_bytes(total)} may be used, beside "
            "whatever else runs on it."
        )
    if snapshot.sources.get("host_available_bytes") == "sysinfo":
        yield (
            "/proc/meminfo is hidden: the machine's free memory stands for what is available, "
            "without the page cache."
        )
    if probe["has_hidden_ancestors"]:
        yield (
            "Cgroups above the mounted part of the hierarchy are out of sight: v1 tells their "
            "least limit (hierarchical_memory_limit), v2 does not."
        )
    if snapshot.soft_available_bytes == 0:
        source = snapshot.sources["soft_limit_bytes"]
        yield f"The kernel throttles this container: it is above {source}."
    if snapshot.oom_kill_count:
        yield f"The kernel has killed {snapshot.oom_kill_count} processes of this container so far."
    if snapshot.psi_some_avg10 is None:
        reason = snapshot.errors.get("psi_some_avg10", "no source")
        yield f"Nothing tells how long tasks wait for memory ({reason}); Linux needs psi=1 for it."
    if not probe["hints"]:
        yield "Nothing wakes a watch early here: it samples by time alone."
    if snapshot.swap_free_bytes:
        yield (
            f"{format_bytes(snapshot.swap_free_bytes)} of swap are free; they are not counted as "
            "available."
        )


def _advice_on_process(seen: dict[str, Any], snapshot: MemorySnapshot) -> Iterator[str]:
    process, backend = seen["process"], seen["allocator"]["backend"]
    for name in ("rlimit_as", "rlimit_data"):
        if process.get(name) is not None:
            yield (
                f"{name.upper()} is {format_bytes(process[name])}: allocations fail there, "
                "whatever is available."
            )
    if process["overcommit_memory"] == "2":
        yield "The kernel does not overcommit: allocations can fail although memory is available."
    if process["transparent_hugepage"] == "always":
        yield (
            "Transparent huge pages are 'always': resident memory may exceed what was asked for by "
            "up to 2 MiB a block."
        )
    if backend != "mimalloc":
        yield f"pyarrow allocates from '{backend}': floodwall run counts only mimalloc's blocks."
    if backend == "system" and "MALLOC_ARENA_MAX" not in seen["environment"]:
        yield "With the system allocator and many threads, MALLOC_ARENA_MAX=2 holds less memory."
    if not seen["can_run"]:
        yield "floodwall run is not part of this build."
