import contextlib
import gc
import pickle
import threading

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import floodwall


def test_pool_serves_pyarrow_and_counts() -> None:
    pool = floodwall.GuardedPool("8MiB", name="t")
    array = pa.array(np.arange(10_000), memory_pool=pool.arrow_pool)
    total = pc.add(array, 1, memory_pool=pool.arrow_pool)
    assert pool.bytes_allocated >= 80_000
    assert pool.peak_bytes <= 8 << 20
    del array, total
    gc.collect()
    assert pool.bytes_allocated == 0


def test_denial_is_a_memory_error_with_facts() -> None:
    budget = floodwall.Budget("1MiB", name="job")
    pool = floodwall.GuardedPool(floodwall.Budget(None, name="join", parent=budget))
    held = pa.allocate_buffer(700_000, memory_pool=pool.arrow_pool)
    with pytest.raises(floodwall.MemoryLimitExceeded) as error, pool.translate_denials():
        pa.allocate_buffer(700_000, memory_pool=pool.arrow_pool)
    assert isinstance(error.value, MemoryError)
    assert "join" in str(error.value)
    assert error.value.used_bytes >= 700_000
    assert error.value.limit_bytes == 1 << 20
    assert error.value.holders == [("join", error.value.used_bytes)]
    assert pool.denied_count == 1
    assert "job: used" in budget.report()
    del held


def test_buffers_outlive_the_handle() -> None:
    pool = floodwall.GuardedPool("8MiB")
    buffer = pa.allocate_buffer(100_000, memory_pool=pool.arrow_pool)
    del pool
    gc.collect()
    assert buffer.size == 100_000


def test_eight_threads_never_pass_the_cap() -> None:
    pool = floodwall.GuardedPool("2MiB")

    def work() -> None:
        for size in range(1, 400):
            with contextlib.suppress(pa.ArrowMemoryError):
                pa.allocate_buffer(size * 1000, memory_pool=pool.arrow_pool)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert pool.peak_bytes <= 2 << 20
    assert pool.budget.peak_bytes <= 2 << 20
    assert pool.bytes_allocated == 0


@pytest.mark.parametrize("bad", [-1, "x", True, 1.5])
def test_bad_limits_are_refused(bad: object) -> None:
    with pytest.raises((ValueError, TypeError), match="limit"):
        floodwall.Budget(bad)  # type: ignore[arg-type]


def test_errors_survive_pickling() -> None:
    error = floodwall.MemoryLimitTooSmall("no", 1, 2, 3, [("a", 3)])
    error.minimum_bytes = 9
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.limit_bytes, copy.holders, copy.minimum_bytes) == (2, [("a", 3)], 9)
    duplicate = pickle.loads(pickle.dumps(floodwall.DuplicateKeyError("d", ["(id=1)"])))
    assert duplicate.examples == ["(id=1)"]
