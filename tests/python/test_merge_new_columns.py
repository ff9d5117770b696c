"""new_columns="add": columns that the target does not have yet."""

from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from conftest import ROWS

import floodwall

MEMORY = "64MiB"


def source() -> pa.Table:
    return pa.table(
        {
            "id": [25_000, 25_001, 40_000],
            "price": [1.0, 2.0, 3.0],
            "note": ["first", None, "third"],
            "tags": pa.array([["a", None], [], None]),
        }
    )


@pytest.mark.parametrize("strategy", ["upsert", "update", "full_merge"])
def test_columns_are_added(dataset: Path, strategy: str) -> None:
    before = ds.dataset(dataset).to_table()
    stamps = {p.name: p.stat().st_mtime_ns for p in dataset.glob("*.parquet")}
    result = floodwall.merge(
        source(), dataset, strategy, "id", max_memory=MEMORY, new_columns="add"
    )
    # Whoever takes the first file's schema for the dataset's sees the columns.
    after = ds.dataset(dataset).to_table().sort_by("id")
    assert after.schema.names == [*before.schema.names, "note", "tags"]
    by_id = {row["id"]: row for row in after.to_pylist()}
    assert (by_id[25_000]["note"], by_id[25_000]["tags"]) == ("first", ["a", None])
    assert (by_id[25_001]["note"], by_id[25_001]["tags"]) == (None, [])
    if strategy != "update":
        assert (by_id[40_000]["note"], by_id[40_000]["tags"]) == ("third", None)
        assert pq.read_schema(result.inserted_files[0]).names == after.schema.names
    if strategy == "full_merge":
        assert len(by_id) == 3
        return
    for name in ("id", "name", "text", "flag"):
        assert after[name][:ROWS].equals(before[name])
    assert after["note"].null_count == after.num_rows - (2 if strategy == "upsert" else 1)
    assert [Path(p).name for p in result.preserved_files] == ["f1.parquet"]
    assert (dataset / "f1.parquet").stat().st_mtime_ns == stamps["f1.parquet"]
    groups = pq.ParquetFile(dataset / "f2.parquet").metadata
    assert (groups.num_row_groups, groups.row_group(0).num_columns) == (4, 7)
    again = floodwall.merge(source(), dataset, strategy, "id", max_memory=MEMORY)
    assert again.bytes_written == 0


def test_a_known_column_reaches_files_that_lack_it(dataset: Path) -> None:
    floodwall.merge(source(), dataset, "upsert", "id", max_memory=MEMORY, new_columns="add")
    # f1 does not have the column; a value for one of its rows brings it, without the option.
    more = pa.table({"id": [15_000], "note": ["second"]})
    result = floodwall.merge(more, dataset, "update", "id", max_memory=MEMORY)
    assert [Path(p).name for p in result.rewritten_files] == ["f1.parquet"]
    table = ds.dataset(dataset).to_table(filter=ds.field("id") == 15_000)
    assert table["note"].to_pylist() == ["second"]
    # A null brings nothing: the file reads as null already.
    nothing = pa.table({"id": [5], "note": pa.array([None], pa.string())})
    assert floodwall.merge(nothing, dataset, "update", "id").bytes_written == 0


def test_insert_touches_no_file(dataset: Path) -> None:
    stamps = {p: p.stat().st_mtime_ns for p in dataset.glob("*.parquet")}
    result = floodwall.merge(source(), dataset, "insert", "id", new_columns="add")
    assert (result.inserted, {p: p.stat().st_mtime_ns for p in stamps}) == (1, stamps)
    files = [ds.dataset(p).schema for p in sorted(dataset.glob("*.parquet"))]
    unified = ds.dataset(dataset, schema=pa.unify_schemas(files)).to_table()
    assert unified["note"].null_count == ROWS
    duckdb = pytest.importorskip("duckdb")
    pattern = f"{dataset}/*.parquet"
    found = duckdb.sql(
        f"select count(*), count(note) from read_parquet('{pattern}', union_by_name=true)"
    ).fetchall()
    assert found == [(ROWS + 1, 1)]


def test_other_engines_read_the_added_columns(dataset: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    polars = pytest.importorskip("polars")
    floodwall.merge(source(), dataset, "upsert", "id", max_memory=MEMORY, new_columns="add")
    pattern = f"{dataset}/*.parquet"
    found = duckdb.sql(
        "select id, note, tags from "
        f"read_parquet('{pattern}', union_by_name=true) where tags is not null or note is not null"
        " order by id"
    ).fetchall()
    assert found == [(25_000, "first", ["a", None]), (25_001, None, []), (40_000, "third", None)]
    frame = polars.read_parquet(dataset / "f2.parquet")
    assert frame["note"].drop_nulls().to_list() == ["first"]


def test_deleting_from_a_file_with_added_columns(dataset: Path) -> None:
    floodwall.merge(source(), dataset, "upsert", "id", max_memory=MEMORY, new_columns="add")
    gone = pa.table({"id": [25_000, 0]})
    result = floodwall.merge(gone, dataset, "delete", "id", max_memory=MEMORY)
    assert result.deleted == 2
    after = ds.dataset(dataset).to_table()
    assert [v for v in after["tags"].to_pylist() if v is not None] == [[]]


def test_files_of_a_dataset_may_differ(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": [1], "a": [1]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"id": [2], "b": [2]}), tmp_path / "b.parquet")
    both = pa.table({"id": [1, 2, 3], "a": [10, 20, 30], "b": [11, 21, 31]})
    floodwall.merge(both, tmp_path, "upsert", "id", max_memory=MEMORY)
    assert ds.dataset(tmp_path).to_table(columns=["id", "a"]).sort_by("id")["a"].to_pylist() == [
        10, 20, 30
    ]  # fmt: skip
    for name in ("a.parquet", "b.parquet"):
        assert set(pq.read_schema(tmp_path / name).names) == {"id", "a", "b"}
    with pytest.raises(floodwall.SchemaMismatchError, match="'c' does not exist"):
        floodwall.merge(both.append_column("c", both["a"]), tmp_path, "upsert", "id")
