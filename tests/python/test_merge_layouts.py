"""Layouts of files that are hard to bound, merged inside 64 MiB or a minimum that works."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
import test_merge_bounds as bounds

FEW = """
table = pa.table({{"k": pa.array(range(0, {rows}, {step}), pa.int64()), "v": ["new"] * {count}}})
source = lambda: table
"""


def few(rows: int, count: int) -> str:
    return FEW.format(rows=rows, step=rows // count, count=count)


@pytest.mark.long
def test_a_row_group_of_two_gigabytes(tmp_path: Path) -> None:
    rows = 8_000_000
    values = pa.DictionaryArray.from_arrays(
        pa.array([i // 1000 % 64 for i in range(rows)], pa.int32()),
        pa.array([f"{i:03}" * 85 for i in range(64)]),
    )
    table = pa.table({"k": pa.array(range(rows), pa.int64()), "v": values})
    bounds.write(tmp_path, table, row_group_size=rows, store_schema=False)
    assert pq.read_metadata(tmp_path / "f.parquet").num_row_groups == 1
    result = bounds.merge(tmp_path, few(rows, 1000), 64)
    assert (result["updated"], result["refused"]) == (1000, False)
    column = pq.read_table(tmp_path / "f.parquet", read_dictionary=["v"])["v"]
    assert sum(c.dictionary.index("new").as_py() >= 0 for c in column.chunks) > 0
    assert column.slice(0, 2).to_pylist() == ["new", "000" * 85]


@pytest.mark.long
def test_a_dictionary_of_a_quarter_gigabyte(tmp_path: Path) -> None:
    rows = 1_000_000
    table = pa.table({"k": range(rows), "v": [f"{i:032}" * 8 for i in range(rows)]})
    limit = {"dictionary_pagesize_limit": 1 << 30, "row_group_size": rows}
    bounds.write(tmp_path, table, compression="zstd", **limit)
    result = bounds.merge(tmp_path, few(rows, 1000), 64)
    assert result["updated"] == 1000
    after = pq.read_table(tmp_path / "f.parquet")["v"]
    assert after.slice(999, 3).to_pylist() == [f"{999:032}" * 8, "new", f"{1001:032}" * 8]


@pytest.mark.long
def test_ten_thousand_files(tmp_path: Path) -> None:
    for i in range(10_000):
        table = pa.table({"k": [i, i + 10_000], "v": ["a", "b"]})
        pq.write_table(table, tmp_path / f"f{i:05}.parquet")
    result = bounds.merge(tmp_path, few(20_100, 201), 64)
    assert (result["updated"], result["inserted"], result["refused"]) == (200, 1, False)
    assert result["target_count_after"] == 20_001


_PARTITIONED = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
table = pa.table({"k": range(10000), "p": [i // 2 for i in range(10000)], "v": ["x"] * 10000})
source = lambda: table
"""


@pytest.mark.long
def test_thousands_of_partitions_with_few_descriptors(tmp_path: Path) -> None:
    root = tmp_path / "new"
    root.mkdir()
    for strategy, inserted in [("upsert", 10000), ("upsert", 0), ("delete", 0)]:
        options = {"strategy": strategy, "partition_columns": ["p"]}
        result = bounds.merge(root, _PARTITIONED, 64, **options)
        assert (result["inserted"], result["refused"]) == (inserted, False)
        if strategy == "upsert":
            assert ds.dataset(root, partitioning="hive").count_rows() == 10000
    assert not list(root.rglob("*.parquet"))


_SKEWED = """
import pathlib
path = str(pathlib.Path(target).parent / "source.parquet")
source = lambda: path
"""


@pytest.mark.parametrize("mib", [32, 96])
def test_a_source_whose_later_rows_are_long(tmp_path: Path, mib: int) -> None:
    rows = 20_000
    values = ["s"] * (rows - 30) + [chr(97 + i) * 3_000_000 for i in range(26)] + ["t"] * 4
    table = pa.table({"k": range(rows), "v": values})
    pq.write_table(table, tmp_path / "source.parquet", row_group_size=5000)
    root = tmp_path / "target"
    target = pa.table({"k": range(0, rows, 2), "v": ["a"] * (rows // 2)})
    bounds.write(root, target, row_group_size=2000)
    result = bounds.merge(root, _SKEWED, mib)
    assert (result["updated"], result["inserted"]) == (rows // 2, rows // 2)
    after = dict(zip(*(pq.read_table(root)[c].to_pylist() for c in "kv"), strict=True))
    assert after == dict(enumerate(values))


_LONG_STREAM = """
schema = pa.schema([("k", pa.int64()), ("v", pa.string())])
def rows():
    for i in range(6):
        yield pa.record_batch([[i], ["x" * (40_000_000 if i == 4 else 10)]], schema)
source = lambda: pa.RecordBatchReader.from_batches(schema, rows())
"""


@pytest.mark.parametrize("strategy", ["upsert", "insert"])
def test_a_stream_with_one_cell_of_forty_megabytes(tmp_path: Path, strategy: str) -> None:
    bounds.write(tmp_path, pa.table({"k": range(0, 6, 2), "v": ["a"] * 3}))
    result = bounds.merge(tmp_path, _LONG_STREAM, 64, strategy=strategy)
    assert result["inserted"] == 3


@pytest.mark.parametrize("mib", [40, 128])
def test_new_rows_of_megabytes(tmp_path: Path, mib: int) -> None:
    bounds.write(tmp_path, pa.table({"k": [-1], "v": ["a"]}))
    sizes = [3_000_000] * 20 + [10] * 1000
    result = bounds.merge(tmp_path, bounds._CELLS.format(sizes=sizes), mib, strategy="insert")
    assert result["inserted"] == len(sizes)
    lengths = [len(v) for v in pq.read_table(tmp_path)["v"].to_pylist()]
    assert sorted(lengths) == sorted([*sizes, 1])
