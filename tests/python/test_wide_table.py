"""A table whose footer alone would fill the budget: 1,500 columns in 100 row groups."""

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import floodwall
import memory_child

COLUMNS = 1500
ROW_GROUPS = 100
ROWS = 10
OVERHEAD = 16 << 20


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The dataset, one file of 1,000 rows, and a source that updates two of its columns."""
    root = tmp_path_factory.mktemp("wide")
    ids = pa.array(range(ROW_GROUPS * ROWS), pa.int64())
    columns = {"id": ids}
    for i in range(1, COLUMNS):
        column = pc.multiply(ids, i) if i % 3 else pc.cast(pc.multiply(ids, i), pa.string())
        columns[f"column_number_{i}"] = column
    (root / "data").mkdir()
    path = root / "data" / "wide.parquet"
    pq.write_table(pa.table(columns), path, row_group_size=ROWS, write_page_index=True)
    source = pa.table({"id": [5, 505], "column_number_1": [-1, -2], "column_number_3": ["a", "b"]})
    pq.write_table(source, root / "source.parquet")
    return root / "data", root / "source.parquet"


def test_update_of_a_wide_table_fits_64_mib(
    wide: tuple[Path, Path],
) -> None:
    dataset, source = wide
    before = pq.read_table(dataset / "wide.parquet")
    limit = 64 * memory_child.MIB
    arguments = ["merge", str(dataset), str(source), "--on", "id", "--strategy", "update"]
    arguments += ["--max-memory", str(limit), "--json", "--no-progress", "--threads", "1"]
    outcome = memory_child.run_cli(arguments, limit + OVERHEAD)
    assert outcome.exit_code == 0
    assert outcome.growth_bytes <= limit + OVERHEAD
    result = json.loads(outcome.stdout)
    assert result["updated"] == 2
    # 17 of 18 MB of footer are never in memory at once.
    assert result["peak_memory_bytes"] < 24 * memory_child.MIB

    after = pq.ParquetFile(dataset / "wide.parquet")
    assert after.metadata.num_row_groups == ROW_GROUPS
    assert after.metadata.row_group(99).column(COLUMNS - 1).has_offset_index
    rows = {5: (-1, "a"), 505: (-2, "b")}
    table = after.read()
    assert table.num_rows == before.num_rows
    for name in before.column_names:
        expected = before.column(name).to_pylist()
        if name in ("column_number_1", "column_number_3"):
            for row, values in rows.items():
                expected[row] = values[0 if name == "column_number_1" else 1]
        assert table.column(name).to_pylist() == expected, name


@pytest.mark.parametrize("mib", [2, 4, 6, 8, 10])
def test_a_smaller_budget_is_refused_with_a_minimum_that_works(
    wide: tuple[Path, Path], tmp_path: Path, mib: int
) -> None:
    dataset, source = wide
    target = tmp_path / "data"
    shutil.copytree(dataset, target)
    before = (target / "wide.parquet").stat().st_mtime_ns
    with pytest.raises(floodwall.MemoryLimitTooSmall) as refused:
        floodwall.merge(source, target, "update", "id", max_memory=mib << 20)
    assert (target / "wide.parquet").stat().st_mtime_ns == before
    minimum = refused.value.minimum_bytes
    # What may follow is counted as if every row matched: more than is then used, yet no multiple.
    assert minimum < 48 << 20
    result = floodwall.merge(source, target, "update", "id", max_memory=minimum)
    assert result.updated == 2
    assert result.peak_memory_bytes <= minimum
