"""A service that merges all day: what one merge leaves behind in the process."""

import subprocess
import sys
from pathlib import Path

import pytest

MERGES = 200

_CHILD = """
import sys
import pyarrow as pa
import floodwall
import memory_child
import os

table = pa.table({"id": [1, 2, 3], "name": ["a", "b", "c"]})


def merge(times):
    for i in range(times):
        changed = table.set_column(1, "name", pa.array([f"v{i}", "b", "c"]))
        floodwall.merge(changed, sys.argv[1], "upsert", ["id"], threads=1)


merge(100)  # allocators and lazy tables settle
before = memory_child.anonymous_bytes(os.getpid())
merge(int(sys.argv[2]))
print(memory_child.anonymous_bytes(os.getpid()) - before)
"""


def test_merges_leave_next_to_nothing_behind(dataset: Path, tmp_path: Path) -> None:
    tools = Path(__file__).resolve().parents[2] / "tools"
    target = tmp_path / "small"
    run = subprocess.run(
        [sys.executable, "-c", _CHILD, str(target), str(MERGES)],
        check=True, capture_output=True, text=True, env={"PYTHONPATH": str(tools)},
    )  # fmt: skip
    assert int(run.stdout) < MERGES * 1024


_AT_THE_MINIMUM = """
import sys
import pyarrow as pa
import pyarrow.parquet as pq
import floodwall

target, times = sys.argv[1], int(sys.argv[2])
rows = 40_000
for f in range(4):
    columns = {"id": range(f, 4 * rows, 4), "name": [f"value {i % 97}" for i in range(rows)]}
    pq.write_table(pa.table(columns), f"{target}/f{f}.parquet", row_group_size=5000)
source = pa.table({"id": range(0, 4 * rows, 3), "name": ["a"] * len(range(0, 4 * rows, 3))})
limit = 1 << 20
for i in range(times):
    changed = source.set_column(1, "name", pa.array([f"{i} {k % 13}" for k in range(len(source))]))
    data = changed.to_reader(max_chunksize=4096) if i % 2 else changed
    while True:
        try:
            result = floodwall.merge(
                data, target, "upsert", ["id"], threads=1 + i % 8, max_memory=limit
            )
            break
        except floodwall.MemoryLimitTooSmall as e:
            limit = e.minimum_bytes
            data = changed.to_reader(max_chunksize=4096) if i % 2 else changed
    assert result.updated == len(source), result
print(limit)
"""


@pytest.mark.long
def test_merges_at_the_minimum_do_not_hang(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", _AT_THE_MINIMUM, str(tmp_path), "500"],
        check=True, capture_output=True, text=True, timeout=3000,
    )  # fmt: skip
    assert 0 < int(run.stdout) < 64 << 20
