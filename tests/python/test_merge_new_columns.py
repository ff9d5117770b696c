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


def _many(count: int, ids: list[int], filled: set[tuple[int, int]]) -> pa.Table:
    """New columns n0, n1, ..., every fourth nested; `filled` names (row, column) with a value."""
    columns: dict[str, pa.Array] = {"id": pa.array(ids, pa.int64())}
    for c in range(count):
        cells = [i * 100 + c if (i, c) in filled else None for i in ids]
        if c % 4 == 1:
            nested = [None if v is None else [v, None] for v in cells]
            columns[f"n{c}"] = pa.array(nested, pa.list_(pa.int64()))
        elif c % 4 == 2:
            nested = [None if v is None else {"x": v, "y": [str(v)]} for v in cells]
            type_ = pa.struct([("x", pa.int64()), ("y", pa.list_(pa.string()))])
            columns[f"n{c}"] = pa.array(nested, type_)
        else:
            columns[f"n{c}"] = pa.array(cells, pa.int64())
    return pa.table(columns)


@pytest.mark.parametrize("strategy", ["upsert", "update", "full_merge"])
@pytest.mark.parametrize("count", [2, 3, 40])
@pytest.mark.parametrize("first", ["none", "last", "middle", "all", "other groups"])
def test_many_columns_at_once(tmp_path: Path, count: int, strategy: str, first: str) -> None:
    """Row groups start with any of the new columns, with none, or are not touched at all."""
    rows = 1000
    base = pa.table(
        {
            "id": pa.array(range(rows), pa.int64()),
            "v": [float(i) for i in range(rows)],
            "l": pa.array([[i] * (i % 3) for i in range(rows)]),
        }
    )
    for name, start in (("a", 0), ("b", rows // 2)):
        part = base.slice(start, rows // 2)
        pq.write_table(part, tmp_path / f"{name}.parquet", row_group_size=100)
    ids = [150, 151, 420, 777] + ([] if strategy == "update" else [rows + 1])
    filled = {
        "none": set(),
        "last": {(i, count - 1) for i in ids},
        "middle": {(i, count // 2) for i in ids},
        "all": {(i, c) for i in ids for c in range(count)},
        "other groups": {(150, count - 1), (420, 0), (777, 1)},
    }[first]
    source = _many(count, ids, filled)
    if count == 3:
        source = source.append_column("v", pa.array([float(i) for i in ids[:-1]] + [-1.0]))
    floodwall.merge(source, tmp_path, strategy, "id", max_memory=MEMORY, new_columns="add")

    names = [f"n{c}" for c in range(count)]
    fresh = {row["id"]: row for row in source.to_pylist()}
    expected = {}
    for row in base.to_pylist():
        if strategy == "full_merge" and row["id"] not in fresh:
            continue
        expected[row["id"]] = {**row, **dict.fromkeys(names), **fresh.get(row["id"], {})}
    for key, row in fresh.items():
        expected.setdefault(key, {"v": None, "l": None, **row})
    found: dict[int, dict[str, object]] = {}
    for path in sorted(tmp_path.glob("*.parquet")):
        file = pq.ParquetFile(path)
        assert file.schema_arrow.names == file.read().schema.names
        for row in file.read().to_pylist():
            found[row["id"]] = {**dict.fromkeys(names), **row}
    assert found == expected
    assert ds.dataset(tmp_path).schema.names == ["id", "v", "l", *names]


@pytest.mark.parametrize("groups", [0, 1])
def test_a_file_without_rows_stays_as_it_is(tmp_path: Path, groups: int) -> None:
    path = tmp_path / "empty.parquet"
    schema = pa.schema({"id": pa.int64(), "v": pa.float64()})
    with pq.ParquetWriter(path, schema) as writer:
        if groups:
            writer.write_table(schema.empty_table())
    before = path.read_bytes()
    floodwall.merge(_many(2, [1], {(1, 0)}), path, "update", "id", new_columns="add")
    assert path.read_bytes() == before


def test_no_row_is_left_beside_new_columns(tmp_path: Path) -> None:
    path = tmp_path / "f.parquet"
    pq.write_table(pa.table({"id": [1, 2], "v": [1.0, 2.0]}), path)
    options = {"new_columns": "add", "allow_delete_all": True}
    result = floodwall.merge(_many(2, [], set()), path, "full_merge", "id", **options)
    assert result.deleted == 2
    assert pq.read_table(path).num_rows == 0
