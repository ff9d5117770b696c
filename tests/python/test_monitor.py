import gc
import logging
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa
import pytest

import floodwall
from floodwall import MemoryMonitor, MemoryPressureLevel
from floodwall.monitor import bytes_to_mb, max_pressure, mb_to_bytes

NORMAL, WARNING, CRITICAL, EMERGENCY = MemoryPressureLevel


def judged(monitor: MemoryMonitor, **status: float) -> MemoryPressureLevel:
    status.setdefault("pyarrow_allocated_mb", 0.0)
    with mock.patch.object(monitor, "get_memory_status", return_value=status):
        return monitor.check_memory_pressure()


@pytest.mark.parametrize(
    ("used", "level"),
    [(0, NORMAL), (716.7, NORMAL), (716.8, WARNING), (921.6, WARNING), (921.7, CRITICAL),
     (1024, CRITICAL), (1024.001, EMERGENCY)],
)  # fmt: skip
def test_arrow_and_process_limits_have_the_same_edges(
    used: float, level: MemoryPressureLevel
) -> None:
    assert judged(MemoryMonitor(1024), pyarrow_allocated_mb=used) is level
    assert judged(MemoryMonitor(9999, 1024), process_rss_mb=used) is level
    assert judged(MemoryMonitor(9999, 0), process_rss_mb=used) is NORMAL
    assert judged(MemoryMonitor(9999), process_rss_mb=used) is NORMAL


@pytest.mark.parametrize(
    ("available", "level"),
    [(2000, NORMAL), (1999, WARNING), (1500, WARNING), (1499, CRITICAL), (1000, CRITICAL),
     (999, EMERGENCY)],
)  # fmt: skip
def test_what_is_available_is_judged_against_the_minimum(
    available: float, level: MemoryPressureLevel
) -> None:
    monitor = MemoryMonitor(min_system_available_mb=1000)
    assert judged(monitor, system_available_mb=available) is level
    assert judged(MemoryMonitor(min_system_available_mb=0), system_available_mb=0.0) is NORMAL


def test_the_worst_judgement_counts() -> None:
    monitor = MemoryMonitor(1000, 1000, 100)
    level = judged(monitor, pyarrow_allocated_mb=750, process_rss_mb=950, system_available_mb=190)
    assert level is CRITICAL


def test_a_limit_of_zero_allows_no_arrow_memory() -> None:
    assert judged(MemoryMonitor(0), pyarrow_allocated_mb=0.0) is NORMAL
    assert judged(MemoryMonitor(0), pyarrow_allocated_mb=0.001) is EMERGENCY


@pytest.mark.parametrize("bad", [-1, -0.5, float("nan"), float("inf"), 10**400])
@pytest.mark.parametrize(
    "name", ["max_pyarrow_mb", "max_process_memory_mb", "min_system_available_mb"]
)
def test_impossible_limits_are_refused(name: str, bad: float) -> None:
    with pytest.raises(ValueError, match=name):
        MemoryMonitor(**{name: bad})
    monitor = MemoryMonitor()
    with pytest.raises(ValueError, match=name):
        setattr(monitor, name, bad)
    assert getattr(monitor, name) in (2048, None, 512)


@pytest.mark.parametrize("bad", ["512", True, [1], {}])
def test_limits_that_are_no_numbers_are_refused(bad: Any) -> None:
    with pytest.raises(TypeError, match="max_pyarrow_mb must be a number"):
        MemoryMonitor(bad)
    with pytest.raises(TypeError, match="min_system_available_mb"):
        MemoryMonitor(min_system_available_mb=None)  # type: ignore[arg-type]


def test_limits_may_change_and_print_as_given() -> None:
    monitor = MemoryMonitor(512, 4096, 256)
    monitor.max_pyarrow_mb = 512.5
    monitor.max_process_memory_mb = None
    status = {"pyarrow_allocated_mb": 10.04, "process_rss_mb": 99.96, "system_available_mb": 7.0}
    with mock.patch.object(monitor, "get_memory_status", return_value=status):
        assert monitor.get_detailed_status() == (
            "PyArrow: 10.0/512.5 MB | Process RSS: 100.0 MB"
            " | System Available: 7.0 MB (min: 256 MB)"
        )
        monitor.max_process_memory_mb = 4096
        assert "Process RSS: 100.0/4096 MB" in monitor.get_detailed_status()
        del status["process_rss_mb"], status["system_available_mb"]
        assert monitor.get_detailed_status() == "PyArrow: 10.0/512.5 MB"


def test_status_follows_pyarrows_current_pool() -> None:
    monitor = MemoryMonitor()
    before = monitor.get_memory_status()
    assert before["process_rss_mb"] > 10
    assert before["system_available_mb"] > 10
    default = pa.default_memory_pool()
    pa.set_memory_pool(pa.system_memory_pool())
    try:
        held = pa.allocate_buffer(32 << 20)
        assert pa.total_allocated_bytes() >= 32 << 20
        assert monitor.get_memory_status()["pyarrow_allocated_mb"] == pytest.approx(
            bytes_to_mb(pa.total_allocated_bytes())
        )
        monitor.max_pyarrow_mb = 16
        assert monitor.check_memory_pressure() is EMERGENCY
        del held
    finally:
        pa.set_memory_pool(default)
    monitor.max_pyarrow_mb = 2048
    assert monitor.check_memory_pressure() is NORMAL


def test_replacing_the_method_on_class_subclass_and_object() -> None:
    fake = {"pyarrow_allocated_mb": 5000.0}
    monitor = MemoryMonitor()
    with mock.patch.object(MemoryMonitor, "get_memory_status", return_value=fake):
        assert monitor.check_memory_pressure() is EMERGENCY
    assert monitor.check_memory_pressure() is NORMAL
    monitor.note = "an attribute of its own changes nothing"  # type: ignore[attr-defined]
    assert monitor.check_memory_pressure() is NORMAL
    monitor.get_memory_status = lambda: fake  # type: ignore[method-assign]
    assert monitor.check_memory_pressure() is EMERGENCY
    del monitor.get_memory_status
    assert monitor.check_memory_pressure() is NORMAL

    class Mine(MemoryMonitor):
        def get_memory_status(self) -> dict[str, float]:
            return super().get_memory_status() | fake

    assert Mine().check_memory_pressure() is EMERGENCY


def test_pressure_is_logged_once_a_second_with_the_status(
    caplog: pytest.LogCaptureFixture,
) -> None:
    monitor = MemoryMonitor(min_system_available_mb=1e9)
    with caplog.at_level(logging.WARNING, "floodwall"):
        for _ in range(1000):
            assert monitor.check_memory_pressure() is EMERGENCY
    messages = [record.getMessage() for record in caplog.records]
    assert 1 <= len(messages) <= 3
    assert messages[0].startswith("Memory pressure detected: emergency. PyArrow: ")


def test_should_check_memory() -> None:
    monitor = MemoryMonitor()
    assert [n for n in range(25) if monitor.should_check_memory(n)] == [0, 10, 20]
    assert monitor.should_check_memory(3, check_interval=3)
    with pytest.raises(ValueError, match="check_interval must be at least 1, got 0"):
        monitor.should_check_memory(1, 0)


def test_snapshot_names_its_sources() -> None:
    snapshot = MemoryMonitor().snapshot()
    assert snapshot.rss_bytes is not None and snapshot.rss_bytes > 1 << 20
    assert snapshot.available_bytes is not None and snapshot.limit_bytes is not None
    assert snapshot.available_bytes <= snapshot.limit_bytes
    known = {name for name, value in snapshot.to_dict().items() if value is not None}
    assert known - {"taken_at_ns", "sources", "errors", "limit_source"} == set(snapshot.sources)
    with pytest.raises(AttributeError):
        snapshot.rss_bytes = 0  # type: ignore[misc]


def test_verdict_says_what_binds() -> None:
    assert MemoryMonitor().verdict().constraint == "none"
    verdict = MemoryMonitor(min_system_available_mb=1e9).verdict()
    assert (verdict.level, verdict.constraint) == (EMERGENCY, "system")
    assert "can still be allocated" in str(verdict)
    assert MemoryMonitor(max_process_memory_mb=1).verdict().constraint == "process"


def test_levels_are_ordered_and_keep_their_values() -> None:
    assert sorted([EMERGENCY, NORMAL, CRITICAL, WARNING]) == list(MemoryPressureLevel)
    assert [level.value for level in MemoryPressureLevel] == [
        "normal", "warning", "critical", "emergency",
    ]  # fmt: skip
    assert NORMAL < WARNING <= WARNING < EMERGENCY > CRITICAL >= CRITICAL
    with pytest.raises(TypeError):
        assert NORMAL < "warning"  # type: ignore[operator]
    assert max_pressure(WARNING, CRITICAL) is CRITICAL
    assert max_pressure(EMERGENCY, NORMAL) is EMERGENCY
    with pytest.raises(KeyError):
        max_pressure("x", NORMAL)  # type: ignore[arg-type]


def test_megabytes_are_of_1048576_bytes() -> None:
    assert bytes_to_mb(3 << 19) == 1.5
    assert mb_to_bytes(1.5) == 3 << 19
    assert mb_to_bytes(-0.0000015) == -1


def test_a_monitor_pickles_as_its_limits() -> None:
    monitor = pickle.loads(pickle.dumps(MemoryMonitor(1, 2.5, 3)))
    assert repr(monitor) == (
        "MemoryMonitor(max_pyarrow_mb=1, max_process_memory_mb=2.5, min_system_available_mb=3)"
    )


def test_a_forked_child_sees_itself() -> None:
    monitor = MemoryMonitor(cache_seconds=3600)
    held = b"x" * (64 << 20)  # touched, so resident
    monitor.get_memory_status()
    del held
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            own = monitor.get_memory_status()["process_rss_mb"]
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            real = bytes_to_mb(pages * os.sysconf("SC_PAGE_SIZE"))
            os.write(writer, b"y" if abs(own - real) < 8 else b"n")
        finally:
            os._exit(0)
    os.close(writer)
    assert os.read(reader, 1) == b"y"
    os.close(reader)
    assert os.waitpid(child, 0)[1] == 0


def test_many_monitors_leave_nothing_behind() -> None:
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(2000):
        MemoryMonitor().check_memory_pressure()
    gc.collect()
    before = MemoryMonitor().snapshot().rss_anon_bytes
    for _ in range(100_000):
        MemoryMonitor().check_memory_pressure()
    gc.collect()
    after = MemoryMonitor().snapshot().rss_anon_bytes
    assert before is not None and after is not None
    assert after - before < 1 << 20
    assert len(list(Path("/proc/self/fd").iterdir())) <= descriptors + 8  # the probe's own


def test_threads_share_one_monitor() -> None:
    monitor = MemoryMonitor(cache_seconds=0)
    seen: list[object] = []

    def work() -> None:
        seen.extend({monitor.check_memory_pressure() for _ in range(300)})
        assert monitor.get_memory_status()["process_rss_mb"] > 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) >= 8


def test_without_any_source_only_arrow_is_judged() -> None:
    script = (
        "import logging\n"
        "logging.basicConfig(level=logging.INFO, format='%(levelname)s: %(message)s')\n"
        "from floodwall import _core, monitor\n"
        "_core.has_memory_sources = lambda: False\n"
        "monitor.MemoryMonitor(max_process_memory_mb=4096)\n"
        "monitor.MemoryMonitor()\n"
    )
    child = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert child.stderr.splitlines() == [
        "INFO: psutil not available; system memory thresholds will be ignored."
    ]
    assert judged(MemoryMonitor(max_process_memory_mb=1)) is NORMAL


def test_automatic_sizes_follow_what_is_available() -> None:
    from floodwall.sizes import available_bytes, to_bytes

    available = available_bytes()
    assert available is not None
    assert to_bytes("max_memory", "auto") == pytest.approx(available / 2, rel=0.2)
    assert to_bytes("max_memory", "25%") == pytest.approx(available / 4, rel=0.2)
    for bad in ("0%", "101%", "x%", "-5%"):
        with pytest.raises(ValueError, match="max_memory: a share must be above 0%"):
            to_bytes("max_memory", bad)
    assert floodwall.Budget("10%", name="b").limit_bytes == pytest.approx(available / 10, rel=0.2)
