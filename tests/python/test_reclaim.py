import os
import subprocess
import sys
import threading
import time

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import floodwall

MIB = 1 << 20


def test_a_cache_is_asked_before_a_denial() -> None:
    pool = floodwall.GuardedPool(8 * MIB)
    cache = [pa.allocate_buffer(2 * MIB, pool.arrow_pool) for _ in range(3)]
    asked: list[int] = []

    def shrink(wanted: int) -> int:
        asked.append(wanted)
        cache.clear()
        return 6 * MIB

    with floodwall.register_reclaimer(shrink):
        kept = pa.allocate_buffer(6 * MIB, pool.arrow_pool)
        assert pool.denied_count == 0
        assert asked == [6 * MIB]
        with pytest.raises(pa.ArrowMemoryError):
            pa.allocate_buffer(6 * MIB, pool.arrow_pool)
    with pytest.raises(pa.ArrowMemoryError):
        pa.allocate_buffer(6 * MIB, pool.arrow_pool)
    assert len(asked) == 2  # not after it was cancelled
    del kept


def test_is_asked_for_threads_without_the_gil() -> None:
    values = pa.array(np.arange(1_000_000))
    cache: list[pa.Buffer] = []
    threads: list[str] = []

    def shrink(wanted: int) -> int:
        threads.append(threading.current_thread().name)
        cache.clear()
        return 0

    registered = floodwall.register_reclaimer(shrink)
    with floodwall.limit("20MiB") as job:
        cache.append(pa.allocate_buffer(15 * MIB))
        total = pc.add(values, 1)  # the kernel runs without the GIL
    assert job.denied_count == 0
    assert threads == ["floodwall-reclaimers"]
    assert total[-1].as_py() == 1_000_000
    registered.cancel()


def test_the_higher_priority_first_and_errors_go_to_the_hook(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    order: list[str] = []
    unraisable: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: unraisable.append(args.exc_value))

    def broken(wanted: int) -> int:
        order.append("broken")
        raise RuntimeError("cannot shrink")

    def late(wanted: int) -> int:
        order.append("late")
        return None  # type: ignore[return-value]

    registered = [
        floodwall.register_reclaimer(late, priority=-5),
        floodwall.register_reclaimer(broken, priority=5),
    ]
    pool = floodwall.GuardedPool(MIB)
    with pytest.raises(pa.ArrowMemoryError):
        pa.allocate_buffer(2 * MIB, pool.arrow_pool)
    assert order == ["broken", "late"]
    assert [str(error) for error in unraisable] == [
        "cannot shrink", "a reclaimer must return the bytes it freed, as an int",
    ]  # fmt: skip
    for one in registered:
        one.cancel()


def test_refuses_what_cannot_be_called() -> None:
    with pytest.raises(TypeError, match="callback"):
        floodwall.register_reclaimer(3)  # type: ignore[arg-type]


def test_works_in_a_forked_child_and_ends_at_exit() -> None:
    code = f"""
import os, numpy as np, pyarrow as pa, pyarrow.compute as pc, floodwall
cache = []
def shrink(wanted):
    cache.clear()
    return 0
keep = floodwall.register_reclaimer(shrink)
values = pa.array(np.arange(1_000_000))
def work():
    with floodwall.limit("20MiB") as job:
        cache.append(pa.allocate_buffer({15 * MIB}))
        pc.add(values, 1)
    assert job.denied_count == 0
work()
child = os.fork()
work()
if child:
    assert os.waitpid(child, 0)[1] == 0
    print("both")
else:
    os._exit(0)
"""
    child = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=60
    )
    assert child.stdout == "both\n", child.stderr


def test_trim_returns_memory_and_says_how_much() -> None:
    blocks = [bytearray(100_000) for _ in range(400)]
    keep = blocks[-1]
    del blocks
    result = floodwall.trim(force=True)
    assert not result.skipped
    assert result.before_bytes is not None and result.after_bytes is not None
    assert result.returned_bytes == max(0, result.before_bytes - result.after_bytes)
    floodwall.trim(force=True)
    skipped = floodwall.trim()
    assert (skipped.skipped, skipped.returned_bytes, skipped.after_bytes) == (True, 0, None)
    assert len(keep) == 100_000


def test_admission_waits_for_its_turn() -> None:
    budget = floodwall.Budget("10MiB", name="shared")
    first = budget.admit("8MiB", name="first")
    with pytest.raises(floodwall.MemoryLimitExceeded, match=r"'second' needs 4\.0 MiB") as caught:
        budget.admit("4MiB", name="second", timeout_s=0.05)
    assert caught.value.holders == [("first", 8 * MIB)]
    with pytest.raises(floodwall.MemoryLimitTooSmall) as small:
        budget.admit("11MiB")
    assert small.value.minimum_bytes == 11 * MIB
    with pytest.raises(ValueError, match="timeout_s"):
        budget.admit("1MiB", timeout_s=float("inf"))
    threading.Timer(0.1, first.release).start()
    with budget.admit("4MiB", name="second", timeout_s=60) as second:
        assert second.budget.limit_bytes == 4 * MIB
        pool = floodwall.GuardedPool(second.budget)
        assert pa.allocate_buffer(3 * MIB, pool.arrow_pool).size == 3 * MIB
        assert budget.peak_bytes >= 3 * MIB


def test_a_wait_ends_on_ctrl_c() -> None:
    code = """
import floodwall
budget = floodwall.Budget(10)
held = budget.admit(10)
try:
    print("waiting", flush=True)
    budget.admit(1, timeout_s=600)
except KeyboardInterrupt:
    print("interrupted")
"""
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "waiting\n"
    for _ in range(100):  # the wait may not have begun yet
        os.kill(child.pid, 2)
        if child.poll() is not None:
            break
        time.sleep(0.1)
    out, _ = child.communicate(timeout=60)
    assert out == "interrupted\n"
