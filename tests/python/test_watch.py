import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pyarrow as pa
import pytest

import floodwall
from floodwall import MemoryMonitor, MemoryPressureLevel, Verdict, _core
from floodwall.cli import main


def test_told_of_a_rise_and_not_again() -> None:
    told: list[Verdict] = []
    first = threading.Event()

    def callback(verdict: Verdict) -> None:
        told.append(verdict)
        first.set()

    base = pa.total_allocated_bytes() / 1048576
    monitor = MemoryMonitor(max_pyarrow_mb=base + 16, min_system_available_mb=0)
    with monitor.watch(callback, interval_s=0.005) as watch:
        assert watch.running
        held = pa.allocate_buffer(32 << 20)
        assert first.wait(30)
        assert told[0].level is MemoryPressureLevel.EMERGENCY
        assert told[0].constraint == "arrow"
        assert watch.level is MemoryPressureLevel.EMERGENCY
        while watch.stats()["samples"] < 20:
            time.sleep(0.01)
        del held
    assert len(told) == 1
    assert not watch.running
    watch.stop()


def test_a_callback_that_raises_is_reported_and_the_watch_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reported = threading.Event()
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: reported.set())

    def callback(verdict: Verdict) -> None:
        raise RuntimeError(verdict.sentence)

    with MemoryMonitor(min_system_available_mb=1e9).watch(callback) as watch:
        assert reported.wait(30)
        assert watch.running


def test_a_callback_may_stop_its_watch() -> None:
    stopped = threading.Event()
    watches: list[floodwall.Watch] = []
    ready = threading.Event()

    def callback(verdict: Verdict) -> None:
        ready.wait(30)
        watches[0].stop()
        stopped.set()

    watches.append(MemoryMonitor(min_system_available_mb=1e9).watch(callback))
    ready.set()
    assert stopped.wait(30)


def test_bad_arguments() -> None:
    monitor = MemoryMonitor()
    with pytest.raises(TypeError, match="callback must be callable"):
        monitor.watch(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="at must be a MemoryPressureLevel"):
        monitor.watch(print, at="warning")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="seconds"):
        monitor.watch(print, interval_s=0)


def test_a_forked_child_has_no_watch() -> None:
    with MemoryMonitor(min_system_available_mb=0).watch(lambda verdict: None) as watch:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                code = 2 if watch.running else 0
                watch.stop()
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
        assert watch.running


_SUICIDE = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"


@pytest.mark.parametrize("at_exit", ["", _SUICIDE])
def test_recording_and_exit_with_a_running_watch(
    tmp_path: Path, at_exit: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "job.flood"
    script = (
        "import sys, time, floodwall\n"
        "monitor = floodwall.MemoryMonitor(min_system_available_mb=1e9)\n"
        "watch = monitor.watch(lambda verdict: None, interval_s=0.01)\n"
        "watch.record(sys.argv[1])\n"
        "before = watch.stats()['samples']\n"
        "while watch.stats()['samples'] < before + 2: time.sleep(0.01)\n"
    )
    child = subprocess.run([sys.executable, "-c", script + at_exit, str(path)], timeout=60)
    assert child.returncode == (-9 if at_exit else 0)
    recording = _core.read_recording(str(path))
    assert recording["header_intact"]
    # The recording began after the watch: some of its samples are older.
    assert recording["records"]
    assert recording["records"][-1]["level"] == "emergency"
    assert (recording["finished_ns"] is None) == bool(at_exit)
    assert main(["explain", str(path)]) == 0
    story = capsys.readouterr().out
    assert ("was killed" in story) == bool(at_exit)
    assert "anonymous memory" in story and "Nearest: " in story
    assert main(["explain", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["records"] == recording["records"]


def test_a_spike_of_20_ms_between_two_samples_is_in_every_peak(tmp_path: Path) -> None:
    script = (
        "import json, sys, time, floodwall, pyarrow as pa\n"
        "monitor = floodwall.MemoryMonitor(min_system_available_mb=0)\n"
        "performance = floodwall.PerformanceMonitor()\n"
        "watch = monitor.watch(None, interval_s=0.5)\n"
        "watch.record(sys.argv[1])\n"
        "spike = pa.allocate_buffer(800 << 20)\n"
        "time.sleep(0.02)\n"
        "del spike\n"
        "before = watch.stats()['samples']\n"
        "while watch.stats()['samples'] < before + 2: time.sleep(0.05)\n"
        "metrics = performance.get_metrics(0, 0, 0)\n"
        "snapshot = monitor.snapshot()\n"
        "print(json.dumps([snapshot.arrow_bytes, snapshot.arrow_peak_bytes, metrics]))\n"
    )
    path = tmp_path / "job.flood"
    child = subprocess.run(
        [sys.executable, "-c", script, str(path)],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    held, peak, metrics = json.loads(child.stdout)
    assert held < 1 << 20
    assert 800 << 20 <= peak < 801 << 20
    assert 800 <= metrics["memory_peak_mb"] < 801
    assert _core.read_recording(str(path))["records"][-1]["arrow_peak_bytes"] == peak


def test_explain_refuses_what_is_no_recording(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x").write_bytes(b"no recording" * 1000)
    assert main(["explain", str(tmp_path / "x")]) == 1
    assert main(["explain", str(tmp_path / "missing")]) == 1
    assert "missing" in capsys.readouterr().err
