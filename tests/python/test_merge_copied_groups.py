"""New rows of a Parquet source: copied as they are where whole row groups are new and fit."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import floodwall

TARGET: dict[str, Any] = {"compression": "snappy", "row_group_size": 1000}


def rows(first: int, count: int, tag: str = "old") -> pa.Table:
    ids = range(first, first + count)
    return pa.table(
        {
            "id": pa.array(ids, pa.int64()),
            "name": pa.array([f"{tag} {i % 97}" if i % 11 else None for i in ids]),
            "price": pa.array([i / 4 for i in ids], pa.float64()),
        }
    )


def lay_out(root: Path, **layout: Any) -> Path:
    root.mkdir()
    pq.write_table(rows(0, 3000), root / "a.parquet", **{**TARGET, **layout})
    return root


def write_source(path: Path, table: pa.Table, **layout: Any) -> Path:
    pq.write_table(table, path, **{"compression": "snappy", **layout})
    return path


def contents(root: Path) -> pa.Table:
    return pa.concat_tables(pq.read_table(p) for p in sorted(root.glob("*.parquet"))).sort_by("id")


@pytest.mark.parametrize("strategy", ["insert", "upsert"])
@pytest.mark.parametrize("memory", ["24MiB", "1GiB"])
def test_whole_new_row_groups_are_copied(tmp_path: Path, strategy: str, memory: str) -> None:
    root = lay_out(tmp_path / "d")
    new = rows(10_000, 150_000, "new")
    file = write_source(tmp_path / "s.parquet", new, row_group_size=70_000)
    result = floodwall.merge(file, root, strategy, "id", max_memory=memory)
    assert (result.inserted, result.bytes_encoded) == (150_000, 0)
    assert result.bytes_copied > 0
    (made,) = result.inserted_files
    assert pq.ParquetFile(made).metadata.num_row_groups == 3
    assert pq.read_table(made).equals(new)
    assert contents(root).equals(pa.concat_tables([rows(0, 3000), new]))
    # It is a file as any other for the merges that follow.
    changed = rows(20_000, 5, "changed")
    assert floodwall.merge(changed, root, "update", "id").updated == 5
    assert contents(root).slice(13_000, 5).column("name").equals(changed.column("name"))


def test_only_whole_groups_of_those_that_are_known(tmp_path: Path) -> None:
    root = lay_out(tmp_path / "d")
    known = rows(0, 70_000).slice(0, 3000)
    new = rows(100_000, 140_000, "new")
    # The first row group is there already, the other two are new.
    file = tmp_path / "s.parquet"
    with pq.ParquetWriter(file, new.schema, compression="snappy") as writer:
        writer.write_table(known)
        writer.write_table(new, row_group_size=70_000)
    result = floodwall.merge(file, root, "insert", "id")
    assert (result.inserted, result.bytes_encoded) == (140_000, 0)
    assert pq.read_table(result.inserted_files[0]).equals(new)


def test_files_are_cut_between_row_groups(tmp_path: Path) -> None:
    root = lay_out(tmp_path / "d")
    new = rows(10_000, 210_000, "new")
    file = write_source(tmp_path / "s.parquet", new, row_group_size=70_000)
    result = floodwall.merge(file, root, "insert", "id", max_rows_per_file=150_000)
    assert result.bytes_encoded == 0
    assert [pq.read_metadata(p).num_rows for p in result.inserted_files] == [140_000, 70_000]
    assert pa.concat_tables(pq.read_table(p) for p in result.inserted_files).equals(new)


def test_the_files_metadata_is_the_datasets(tmp_path: Path) -> None:
    root = tmp_path / "d"
    root.mkdir()
    pq.write_table(rows(0, 3000).replace_schema_metadata({"who": "us"}), root / "a.parquet")
    new = rows(10_000, 100, "new").replace_schema_metadata({"who": "them", "x": "y"})
    file = write_source(tmp_path / "s.parquet", new)
    result = floodwall.merge(file, root, "insert", "id")
    assert result.bytes_encoded == 0
    assert pq.read_schema(result.inserted_files[0]).metadata == {b"who": b"us"}


def test_columns_that_come_with_the_rows_are_copied(tmp_path: Path) -> None:
    root = lay_out(tmp_path / "d")
    new = rows(10_000, 1000).append_column("more", pa.array(range(1000)))
    file = write_source(tmp_path / "s.parquet", new)
    result = floodwall.merge(file, root, "insert", "id", new_columns="add")
    (made,) = result.inserted_files
    assert pq.read_table(made).equals(new)
    assert result.bytes_copied >= sum(
        pq.read_metadata(made).row_group(0).column(c).total_compressed_size for c in range(4)
    )


def test_a_first_load_is_copied(tmp_path: Path) -> None:
    new = rows(0, 1000)
    file = write_source(tmp_path / "s.parquet", new, write_page_index=True)
    result = floodwall.merge(file, tmp_path / "d", "upsert", "id")
    assert (result.inserted, result.bytes_encoded) == (1000, 0)
    assert contents(tmp_path / "d").equals(new)


def _cast(name: str, type_: pa.DataType) -> pa.Table:
    table = rows(10_000, 1000, "new")
    return table.set_column(
        table.schema.get_field_index(name), name, table.column(name).cast(type_)
    )


_NEW = rows(10_000, 1000, "new")


@pytest.mark.parametrize(
    ("source", "layout", "target", "options"),
    [
        (_NEW, {"compression": "zstd"}, {}, {}),
        (_NEW, {}, {}, {"compression": "zstd"}),
        (_NEW, {}, {"write_page_index": True}, {}),
        (_NEW, {"write_statistics": False}, {}, {}),
        (_NEW, {"row_group_size": 100}, {}, {}),
        (_NEW, {}, {}, {"row_group_bytes": "4KiB"}),
        (_NEW, {}, {}, {"max_rows_per_file": 300}),
        (_cast("id", pa.int32()), {}, {}, {}),
        (_cast("price", pa.float32()), {}, {}, {}),
        (_NEW.select(["name", "id", "price"]), {}, {}, {}),
        (_NEW.select(["id", "name"]), {}, {}, {}),
        (_NEW.append_column("more", pa.array(range(1000))), {}, {}, {"new_columns": "ignore"}),
        (pa.concat_tables([_NEW, _NEW.slice(0, 1)]), {}, {}, {}),
        (pa.concat_tables([_NEW, rows(5, 1)]), {}, {}, {}),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_encoded(
    tmp_path: Path, source: pa.Table, layout: Any, target: Any, options: Any
) -> None:
    root = lay_out(tmp_path / "d", **target)
    file = write_source(tmp_path / "s.parquet", source, **layout)
    result = floodwall.merge(file, root, "insert", "id", **options)
    assert result.inserted == 1000
    assert result.bytes_encoded > 0
    columns = [n for n in ("id", "name", "price") if n in source.column_names]
    found = pa.concat_tables(pq.read_table(p) for p in result.inserted_files).select(columns)
    assert found.sort_by("id").equals(_NEW.select(columns))


@pytest.mark.parametrize("type_", [pa.dictionary(pa.int32(), pa.string()), pa.large_string()])
def test_texts_come_back_in_the_datasets_type(tmp_path: Path, type_: pa.DataType) -> None:
    root = lay_out(tmp_path / "d")
    file = write_source(tmp_path / "s.parquet", _cast("name", type_))
    result = floodwall.merge(file, root, "insert", "id")
    assert pq.read_table(result.inserted_files[0]).equals(_NEW)


def test_equal_bytes_of_another_type_are_no_equal_values(tmp_path: Path) -> None:
    root = tmp_path / "d"
    root.mkdir()
    pq.write_table(pa.table({"id": [1], "v": pa.array([1], pa.int64())}), root / "a.parquet")
    source = pa.table({"id": [2], "v": pa.array([2], pa.duration("s"))})
    file = write_source(tmp_path / "s.parquet", source)
    result = floodwall.merge(file, root, "insert", "id")
    assert result.bytes_encoded > 0


def test_a_damaged_page_is_refused(tmp_path: Path) -> None:
    root = lay_out(tmp_path / "d")
    # Behind the rows that are sampled.
    new = rows(10_000, 140_000)
    file = write_source(tmp_path / "s.parquet", new, row_group_size=70_000, use_dictionary=False)
    chunk = pq.read_metadata(file).row_group(1).column(1)
    data = bytearray(file.read_bytes())
    middle = chunk.data_page_offset + chunk.total_compressed_size // 2
    data[middle : middle + 64] = b"\xff" * 64
    file.write_bytes(data)
    before = {p.name: hashlib.sha256(p.read_bytes()).digest() for p in root.glob("*.parquet")}
    with pytest.raises(floodwall.UnsupportedFileError, match=str(file)):
        floodwall.merge(file, root, "insert", "id")
    assert before == {
        p.name: hashlib.sha256(p.read_bytes()).digest() for p in root.rglob("*.parq*")
    }
