import asyncio
import gc
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

import floodwall

MIB = 1 << 20


def test_guards_the_default_pool_and_restores_it() -> None:
    before = pa.default_memory_pool().backend_name
    with floodwall.limit("8MiB", name="job") as job:
        kept = pc.add(pa.array(np.arange(100_000)), 1)
        assert 800_000 <= job.used_bytes <= 2 * MIB
    assert pa.default_memory_pool().backend_name == before
    assert not floodwall._core.routing_pool_is_installed()
    assert job.used_bytes >= 800_000  # charged until freed, after the block too
    del kept
    gc.collect()
    assert job.used_bytes == 0
    assert job.denied_count == 0
    assert job.peak_bytes >= 800_000


@pytest.mark.parametrize("call", ["join", "aggregate", "read", "write", "write_dataset"])
def test_holds_what_asks_for_arrows_own_pool(call: str, tmp_path: Path) -> None:
    rows = 200_000
    random = np.random.default_rng(1)
    table = pa.table({"k": random.permutation(rows), "v": random.random(rows)})
    pq.write_table(table, tmp_path / "a.parquet")
    work = {
        "join": lambda: table.join(table, "k", right_suffix="_r"),
        "aggregate": lambda: table.group_by("k").aggregate([("v", "sum")]),
        "read": lambda: pq.read_table(tmp_path / "a.parquet"),
        "write": lambda: pq.write_table(table, tmp_path / "b.parquet"),
        "write_dataset": lambda: ds.write_dataset(
            table, tmp_path / "d", format="parquet", existing_data_behavior="overwrite_or_ignore"
        ),
    }[call]
    with pytest.raises(floodwall.MemoryLimitExceeded), floodwall.limit(MIB) as job:
        work()
    # Parquet's encoders cannot be refused: the block is, at its end.
    assert (job.denied_count == 0) == call.startswith("write")
    arrow = pa.default_memory_pool()
    before = arrow.total_bytes_allocated()
    work()  # nothing holds it any more
    assert arrow.total_bytes_allocated() > before


def test_a_denial_leaves_the_block_with_its_facts() -> None:
    small = floodwall.limit(MIB, name="small")
    with pytest.raises(floodwall.MemoryLimitExceeded, match="'small'") as caught, small:
        pa.allocate_buffer(4 * MIB)
    assert caught.value.limit_bytes == MIB
    assert caught.value.requested_bytes >= 4 * MIB
    assert isinstance(caught.value.__cause__, pa.ArrowMemoryError)
    assert small.denied_count == 1
    assert not floodwall._core.routing_pool_is_installed()


def test_other_errors_pass() -> None:
    with pytest.raises(KeyError), floodwall.limit(MIB):
        raise KeyError("x")
    # A denial that was handled inside is no error of the block.
    with floodwall.limit(MIB) as job, pytest.raises(pa.ArrowMemoryError):
        pa.allocate_buffer(4 * MIB)
    assert job.denied_count == 1


def test_record_serves_and_counts() -> None:
    with floodwall.limit(MIB, on_exceed="record") as job:
        assert pa.allocate_buffer(4 * MIB).size == 4 * MIB
    assert (job.denied_count, job.overdraft_count) == (0, 1)
    assert job.peak_bytes > 4 * MIB


def test_blocks_nest() -> None:
    with floodwall.limit("8MiB", name="outer") as outer:
        first = pa.allocate_buffer(3 * MIB)
        with floodwall.limit("16MiB", name="inner") as inner:
            second = pa.allocate_buffer(3 * MIB)
            assert outer.used_bytes >= 6 * MIB
            with pytest.raises(pa.ArrowMemoryError, match="'outer'"):
                pa.allocate_buffer(3 * MIB)
        third = pa.allocate_buffer(MIB)
        assert 3 * MIB <= inner.used_bytes < 4 * MIB
        del first, second, third
    assert (outer.used_bytes, inner.used_bytes) == (0, 0)


def test_refuses_what_it_does_not_know() -> None:
    with pytest.raises(ValueError, match="on_exceed"):
        floodwall.limit(1, on_exceed="ignore")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="limit"):
        floodwall.limit(-1)
    once = floodwall.limit(MIB)
    with pytest.raises(RuntimeError, match="not been entered"):
        _ = once.used_bytes
    with once:
        pass
    with pytest.raises(RuntimeError, match="once"):
        once.__enter__()


def test_keeps_a_pool_that_was_set_inside() -> None:
    system = pa.system_memory_pool()
    default = pa.default_memory_pool()
    try:
        with floodwall.limit(MIB):
            pa.set_memory_pool(system)
        assert pa.default_memory_pool().backend_name == "system"
        with floodwall.limit(MIB) as job:  # and takes memory from what is the default now
            kept = pa.allocate_buffer(1000)
            assert pa.default_memory_pool().backend_name == "system"
            assert job.used_bytes >= 1000
    finally:
        pa.set_memory_pool(default)
    del kept


def test_threads_are_charged_for_themselves() -> None:
    barrier = threading.Barrier(3)
    used: dict[int, tuple[int, int]] = {}

    def work(mib: int) -> None:
        barrier.wait()
        with floodwall.limit("64MiB", name=str(mib)) as job:
            barrier.wait()
            buffers = [pa.allocate_buffer(MIB) for _ in range(mib)]
            barrier.wait()
            inside = job.used_bytes
            barrier.wait()
            del buffers
        used[mib] = (inside // MIB, job.used_bytes)

    threads = [threading.Thread(target=work, args=(mib,)) for mib in (1, 5, 20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert used == {1: (1, 0), 5: (5, 0), 20: (20, 0)}
    assert not floodwall._core.routing_pool_is_installed()


def test_arrow_workers_are_charged_to_the_only_thread() -> None:
    table = pa.table({f"c{i}": np.random.default_rng(i).random(200_000) for i in range(8)})
    with floodwall.limit("256MiB") as job:
        taken = table.take(pa.array(np.arange(200_000)[::-1]))
        assert job.used_bytes >= taken.nbytes


def test_tasks_may_leave_in_any_order() -> None:
    async def hold(name: str, first: asyncio.Event, then: asyncio.Event) -> int:
        with floodwall.limit("64MiB", name=name) as job:
            kept = pa.allocate_buffer(MIB)
            first.set()
            await then.wait()
            used = job.used_bytes
            del kept
        return used

    async def main() -> list[int]:
        entered, other, done = asyncio.Event(), asyncio.Event(), asyncio.Event()
        outer = asyncio.create_task(hold("a", entered, other))
        await entered.wait()
        inner = asyncio.create_task(hold("b", other, done))
        used = [await outer]  # leaves before the block entered later
        done.set()
        return [*used, await inner]

    assert all(used >= MIB for used in asyncio.run(main()))
    assert not floodwall._core.routing_pool_is_installed()


@pytest.mark.parametrize("reader", ["read_csv", "open_csv", "dataset"])
@pytest.mark.parametrize("kib", [200, 500, 1000, 2000, 6000, 9000])
def test_the_csv_reader_does_not_abort(tmp_path: Path, reader: str, kib: int) -> None:
    path = tmp_path / "a.csv"
    random = np.random.default_rng(1)
    columns = {f"c{i}": random.integers(0, 1 << 40, 60_000) for i in range(6)}
    columns["t"] = np.array([f"text {i}" for i in range(60_000)])
    pyarrow.csv.write_csv(pa.table(columns), path)
    work = {
        "read_csv": "pyarrow.csv.read_csv(path)",
        "open_csv": "pyarrow.csv.open_csv(path).read_all()",
        "dataset": "pyarrow.dataset.dataset(path, format='csv').to_table()",
    }[reader]
    code = f"""
import sys, pyarrow.csv, pyarrow.dataset, floodwall
path = sys.argv[1]
try:
    with floodwall.limit("{kib}KiB") as job:
        table = {work}
    assert job.peak_bytes <= {kib} << 10
    print("fitted")
except floodwall.MemoryLimitExceeded as error:
    assert error.limit_bytes == {kib} << 10
    print("refused", job.denied_count, job.overdraft_count)
"""
    child = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False
    )
    assert child.returncode == 0, child.stderr[-500:]
    assert child.stdout.startswith("refused" if kib <= 1000 else ("refused", "fitted"))
