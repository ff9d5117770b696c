"""A disk that is full: a small one is mounted, and a merge runs out of it everywhere."""

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import make_table, parquet_files

import floodwall

ROWS = 60_000
MEMORY = "24MiB"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A mounted tmpfs of 64 MiB."""
    path = tmp_path / "disk"
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(path)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a disk can be mounted by root alone")
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


def resize(disk: Path, size: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", str(disk)], check=True)


def source(stream: bool) -> object:
    table = make_table(ROWS // 2, ROWS).set_column(3, "price", pa.array([-1.0] * ROWS))
    if not stream:
        return table
    pieces = (
        make_table(first, 5000).set_column(3, "price", pa.array([-1.0] * 5000)).to_batches()[0]
        for first in range(ROWS // 2, ROWS // 2 + ROWS, 5000)
    )
    return pa.RecordBatchReader.from_batches(table.schema, pieces)


@pytest.mark.parametrize("stream", [False, True], ids=["table", "stream"])
@pytest.mark.parametrize("snapshot", ["in_place", "exchange"])
def test_a_full_disk(disk: Path, snapshot: str, stream: bool) -> None:
    root = disk / "set"
    root.mkdir()
    for i in range(2):
        table = make_table(i * ROWS // 2, ROWS // 2)
        pq.write_table(table, root / f"f{i}.parquet", row_group_size=5000)
    before = parquet_files(root)
    used = sum(len(text) for text in before.values()) + (64 << 10)
    failed = 0
    room = 0
    while True:
        resize(disk, used + room)
        try:
            result = floodwall.merge(
                source(stream), root, "upsert", "id", max_memory=MEMORY, snapshot=snapshot
            )
        except (floodwall.CommitError, floodwall.SpillError) as error:
            assert error.errno in (errno.ENOSPC, errno.EDQUOT)
            assert "committed" not in str(error)
            failed += 1
        else:
            break
        assert parquet_files(disk) == {f"set/{name}": text for name, text in before.items()}
        assert [path.name for path in disk.iterdir()] == ["set"]
        assert [path.name for path in (root / "_floodwall").iterdir()] in ([], ["lock"])
        assert floodwall.recover(root).action == "none"
        room += 40 << 10
    assert failed > 10
    assert result.target_count_after == ROWS + ROWS // 2
    table = pq.read_table(root)
    assert table.num_rows == ROWS + ROWS // 2
    assert table.filter(pa.compute.field("price") == -1.0).num_rows == ROWS


def test_a_full_disk_for_spills_alone(disk: Path, dataset: Path) -> None:
    before = parquet_files(dataset)
    numbers = np.random.default_rng(1).integers(0, 2**62, 300_000)

    def batches() -> Iterator[pa.RecordBatch]:
        # Each of its own memory: slices of one table would be held, since they cost nothing.
        for first in range(0, len(numbers), 10_000):
            own = numbers[first : first + 10_000]
            yield pa.record_batch({"id": own + 0, **{f"n{i}": own * i for i in range(8)}})

    schema = next(batches()).schema
    for room in (0, 64 << 10, 512 << 10):
        resize(disk, (4 << 10) + room)
        stream = pa.RecordBatchReader.from_batches(schema, batches())
        with pytest.raises(floodwall.SpillError) as refused:
            floodwall.merge(
                stream, dataset, "upsert", "id", max_memory=MEMORY, new_columns="add",
                spill_directory=disk / "spills", max_spill="1GiB",
            )  # fmt: skip
        assert refused.value.errno == errno.ENOSPC
        assert parquet_files(dataset) == before
        assert list(disk.iterdir()) == []
        assert [path.name for path in (dataset / "_floodwall").iterdir()] == ["lock"]
    assert shutil.disk_usage(disk).used == 0
