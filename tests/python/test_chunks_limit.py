"""The promise: a chunk and a page of each column, in a child whose cgroup allows little more."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import memory_child

COLUMNS = 24
GROUP_ROWS = 1 << 20
FILES = 2
CHUNK_ROWS = 100_000
LIMIT = 112 * memory_child.MIB

_IMPORTS = """
import pyarrow.dataset as ds, pyarrow.compute as pc
import floodwall
"""
_WORK = """
data = ds.dataset(sys.argv[3])
rows = total = 0
for chunk in floodwall.process_in_chunks(data, int(sys.argv[4]), max_memory_mb=80):
    assert chunk.num_rows == int(sys.argv[4]) or rows + chunk.num_rows == int(sys.argv[5])
    rows += chunk.num_rows
    total += pc.sum(chunk["c0"]).as_py()
    del chunk
print(rows, total)
"""


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two files of one row group of 1 Mi rows and 24 columns: 8 bytes a value decoded."""
    root = tmp_path_factory.mktemp("wide")
    random = np.random.default_rng(7)
    for part in range(FILES):
        columns = {
            f"c{i}": np.arange(GROUP_ROWS) + part
            if i == 0
            else random.integers(0, 1 << 40, GROUP_ROWS)
            for i in range(COLUMNS)
        }
        pq.write_table(pa.table(columns), root / f"{part}.parquet", row_group_size=GROUP_ROWS)
    return root


def test_stays_inside_where_row_groups_do_not_fit(wide: Path) -> None:
    rows = FILES * GROUP_ROWS
    total = sum(GROUP_ROWS * (GROUP_ROWS - 1) // 2 + part * GROUP_ROWS for part in range(FILES))
    arguments = [str(wide), str(CHUNK_ROWS), str(rows)]
    outcome = memory_child.run_code(_IMPORTS, _WORK, arguments, LIMIT)
    assert outcome.exit_code == 0
    assert outcome.stdout.split() == [str(rows), str(total)]
    assert outcome.growth_bytes <= LIMIT
    # One decoded row group would not have fitted.
    assert GROUP_ROWS * COLUMNS * 8 > LIMIT
