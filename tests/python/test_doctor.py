import errno
import json
import subprocess
import sys
from typing import Any

import pytest

from floodwall import MemoryMonitor, _core, examination
from floodwall.cli import main
from floodwall.cli.doctor import describe
from floodwall.examination import examine


def test_everything_here_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    seen = json.loads(capsys.readouterr().out)
    read = {source["name"] for source in seen["probe"]["sources"] if source["errno"] == 0}
    assert {"/proc/self/statm", "/proc/self/status", "/proc/meminfo"} <= read
    # Whatever a figure names as its source was really read.
    files = {name for name in seen["snapshot"]["sources"].values() if name.startswith("/")}
    assert files and files <= read
    assert seen["versions"]["floodwall"] == _core.version()
    assert seen["allocator"]["backend"] in seen["allocator"]["backends"]
    assert seen["packages"]["matplotlib"] is not None
    assert not [found for found in seen["findings"] if found["severity"] == "problem"]
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert "ok: every figure that is judged can be read" in text
    for title in ("memory", "container", "sources", "process", "findings"):
        assert f"\n{title}\n" in text


def _altered(
    monkeypatch: pytest.MonkeyPatch, probe: dict[str, Any] | None = None, **figures: Any
) -> dict[str, Any]:
    """Examine with other figures than the real ones."""
    diagnosis = _core.diagnose() | (probe or {})
    fields = MemoryMonitor().snapshot().to_dict() | figures
    monkeypatch.setattr(_core, "diagnose", lambda: diagnosis)
    monkeypatch.setattr(_core, "take_snapshot", lambda monitor: fields)
    return examine()


def _texts(seen: dict[str, Any], severity: str) -> str:
    return "\n".join(f["text"] for f in seen["findings"] if f["severity"] == severity)


def test_what_cannot_be_trusted_is_a_problem(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    denied = {"name": "/proc/self/cgroup", "errno": errno.EACCES, "error": "Permission denied"}
    level = {
        "directory": "/sys/fs/cgroup/job", "limit_bytes": None, "limit_error": "Permission denied",
        "soft_limit_bytes": None, "charged_bytes": None, "used_bytes": None,
    }  # fmt: skip
    seen = _altered(
        monkeypatch,
        {"confident": False, "sources": [denied], "levels": [level], "hints": []},
        rss_bytes=None, available_bytes=None, sources={},
        errors={"rss_bytes": "/proc/self/statm: gone"},
    )  # fmt: skip
    problems = _texts(seen, "problem")
    assert "process limits are not judged: /proc/self/statm: gone." in problems
    assert "the system is not judged: no source." in problems
    assert "may bind unseen: /proc/self/cgroup: Permission denied." in problems
    assert "The limit of /sys/fs/cgroup/job cannot be read (Permission denied)" in problems
    assert "the mount point stands in" in problems
    text = "\n".join(describe(seen))
    assert "EACCES    /proc/self/cgroup: Permission denied" in text
    assert "ok: every figure" not in text
    assert main(["doctor"]) == 1
    assert "problem: " in capsys.readouterr().out


def test_what_is_worth_knowing_is_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examination, "can_launch", lambda: False)
    monkeypatch.setattr(
        examination, "_process",
        lambda: {"rlimit_as": 1 << 30, "overcommit_memory": "2", "transparent_hugepage": "always"},
    )  # fmt: skip
    seen = _altered(
        monkeypatch,
        {"hints": [], "has_hidden_ancestors": True},
        limit_bytes=1 << 34, host_total_bytes=1 << 34, soft_available_bytes=0, swap_free_bytes=5,
        oom_kill_count=3, psi_some_avg10=None, errors={"psi_some_avg10": "/proc/pressure: none"},
        sources={"soft_limit_bytes": "memory.high", "host_available_bytes": "sysinfo"},
    )  # fmt: skip
    advice = _texts(seen, "advice")
    for text in (
        "all of the machine's 16.0 GiB", "/proc/meminfo is hidden", "out of sight",
        "it is above memory.high", "has killed 3 processes", "(/proc/pressure: none)",
        "samples by time alone", "5 B of swap", "RLIMIT_AS is 1.0 GiB", "does not overcommit",
        "'always'", "not part of this build",
    ):  # fmt: skip
        assert text in advice, text
    assert not _texts(seen, "problem")


def test_the_allocator_is_told() -> None:
    child = subprocess.run(
        [sys.executable, "-m", "floodwall", "doctor", "--json"],
        env={"ARROW_DEFAULT_MEMORY_POOL": "system", "PATH": "/usr/bin"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    seen = json.loads(child.stdout)
    assert seen["allocator"]["backend"] == "system"
    assert seen["environment"] == {"ARROW_DEFAULT_MEMORY_POOL": "system"}
    assert "MALLOC_ARENA_MAX" in _texts(seen, "advice")
