# ruff: noqa: E501 - one type a line
"""Every column type as a value, every flat type as a key."""

import datetime
import decimal
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import floodwall

MEMORY = "64MiB"
D = decimal.Decimal


def dictionary(values: list[Any]) -> pa.Array:
    return pa.array(values).dictionary_encode()


def extension(kind: pa.DataType, storage: pa.Array) -> pa.Array:
    return pa.ExtensionArray.from_storage(kind, storage)


UUIDS = [uuid.UUID(int=i * 7919 + 1).bytes for i in range(6)]
FLAT = {
    "bool": pa.array([True, False, None, True, False, True]),
    "int8": pa.array([1, -128, None, 127, 0, 5], pa.int8()),
    "uint8": pa.array([1, 255, None, 127, 0, 5], pa.uint8()),
    "int16": pa.array([1, -300, None, 300, 0, 5], pa.int16()),
    "uint16": pa.array([1, 65_535, None, 300, 0, 5], pa.uint16()),
    "int32": pa.array([1, -70_000, None, 70_000, 0, 5], pa.int32()),
    "uint32": pa.array([1, 2**32 - 1, None, 70_000, 0, 5], pa.uint32()),
    "int64": pa.array([1, -(2**63), None, 2**63 - 1, 0, 5], pa.int64()),
    "uint64": pa.array([1, 2**64 - 1, None, 2**63, 0, 5], pa.uint64()),
    "float16": pa.array([np.float16(v) for v in (1.5, -2.0)] + [None] + [np.float16(v) for v in (np.nan, 0.0, 9.0)], pa.float16()),
    "float32": pa.array([1.5, -2.0, None, float("nan"), 0.0, float("inf")], pa.float32()),
    "float64": pa.array([1.5, -2.0, None, float("nan"), 0.0, float("-inf")], pa.float64()),
    "string": pa.array(["a", "", None, "ä" * 30, "b\0c", "z"]),
    "large_string": pa.array(["a", "", None, "ä" * 30, "b\0c", "z"], pa.large_string()),
    "string_view": pa.array(["a", "", None, "ä" * 30, "b\0c", "z"], pa.string_view()),
    "binary": pa.array([b"a", b"", None, b"\xff" * 30, b"b\0c", b"z"]),
    "large_binary": pa.array([b"a", b"", None, b"\xff" * 30, b"b", b"z"], pa.large_binary()),
    "binary_view": pa.array([b"a", b"", None, b"\xff" * 30, b"b", b"z"], pa.binary_view()),
    "fixed_binary": pa.array([b"aaa", b"\0\0\0", None, b"\xff\xff\xff", b"b\0c", b"zzz"], pa.binary(3)),
    "fixed_binary_long": pa.array([bytes([i]) * 40 if i != 2 else None for i in range(6)], pa.binary(40)),
    "date32": pa.array([0, -1, None, 20_000, 5, 6], pa.date32()),
    "date64": pa.array([0, -86_400_000, None, 86_400_000 * 20_000, 86_400_000, 86_400_000 * 2], pa.date64()),
    "time32_s": pa.array([0, 1, None, 86_399, 5, 6], pa.time32("s")),
    "time32_ms": pa.array([0, 1, None, 86_399_999, 5, 6], pa.time32("ms")),
    "time64_us": pa.array([0, 1, None, 86_399_999_999, 5, 6], pa.time64("us")),
    "time64_ns": pa.array([0, 1, None, 86_399_999_999_999, 5, 6], pa.time64("ns")),
    "timestamp_s": pa.array([0, -1, None, 4_000_000_000, 5, 6], pa.timestamp("s")),
    "timestamp_ms": pa.array([0, -1, None, 4_000_000_000_123, 5, 6], pa.timestamp("ms")),
    "timestamp_us_utc": pa.array([0, -1, None, 4_000_000_000_123_456, 5, 6], pa.timestamp("us", "UTC")),
    "timestamp_ns_zone": pa.array([0, -1, None, 10**18 + 1, 5, 6], pa.timestamp("ns", "Europe/Berlin")),
    "duration_s": pa.array([0, -1, None, 10**9, 5, 6], pa.duration("s")),
    "duration_ns": pa.array([0, -1, None, 10**18, 5, 6], pa.duration("ns")),
    "decimal32": pa.array([D("1.5"), D("-2.5"), None, D("9999.9"), D("0"), D("3")], pa.decimal32(5, 1)),
    "decimal64": pa.array([D("1.5"), D("-2.5"), None, D("99999999.9"), D("0"), D("3")], pa.decimal64(15, 1)),
    "decimal128": pa.array([D("1.5"), D("-2.5"), None, D(10) ** 30, D("0"), D("3")], pa.decimal128(38, 2)),
    "decimal256": pa.array([D("1.5"), D("-2.5"), None, D(10) ** 60, D("0"), D("3")], pa.decimal256(76, 2)),
    "dictionary_string": dictionary(["a", "b", None, "a\0", "", "long" * 20]),
    "dictionary_int": dictionary([5, 6, None, -7, 0, 9]),
    "uuid": extension(pa.uuid(), pa.array([UUIDS[0], UUIDS[1], None, *UUIDS[3:]], pa.binary(16))),
    "json": extension(pa.json_(), pa.array(["{}", "[1]", None, '{"a": 1}', "2", "3"])),
    "null": pa.nulls(6),
}  # fmt: skip
NESTED = {
    "list": pa.array([[1, None], [], None, [3, 4, 5], [6], [7]]),
    "large_list": pa.array([["a"], [], None, [None, "b"], ["c"], ["d"]], pa.large_list(pa.string())),
    "fixed_list": pa.array([[1, 2], [3, None], None, [5, 6], [7, 8], [9, 9]], pa.list_(pa.int32(), 2)),
    "struct": pa.array([{"x": 1, "y": "a"}, {"x": None, "y": None}, None, {"x": 2, "y": "b"}, {"x": 3, "y": ""}, {"x": 4, "y": "d"}]),
    "map": pa.array([[("a", 1)], [], None, [("b", None), ("c", 2)], [("d", 4)], [("e", 5)]], pa.map_(pa.string(), pa.int64())),
    "list_struct": pa.array([[{"a": [1]}, {"a": None}], [], None, [None], [{"a": []}], [{"a": [2, 3]}]], pa.list_(pa.struct({"a": pa.list_(pa.int16())}))),
    "struct_map": pa.array([{"m": [("k", [1.0])], "d": datetime.date(2024, 1, 1)}, {"m": [], "d": None}, None, {"m": None, "d": None}, {"m": [("a", [])], "d": None}, {"m": [("b", None)], "d": None}], pa.struct({"m": pa.map_(pa.string(), pa.list_(pa.float64())), "d": pa.date32()})),
    "tensor": extension(pa.fixed_shape_tensor(pa.int32(), [2]), pa.array([[1, 2], [3, 4], None, [5, 6], [7, 8], [9, 10]], pa.list_(pa.int32(), 2))),
}  # fmt: skip
VALUES = FLAT | NESTED


def write(path: Path, table: pa.Table, **options: Any) -> None:
    pq.write_table(table, path, row_group_size=3, **options)


def texts(values: pa.ChunkedArray | pa.Array) -> list[str]:
    """Values as texts: NaN equals NaN, 1.0 is not 1, nanoseconds are kept."""
    if pa.types.is_temporal(values.type) and getattr(values.type, "unit", "") == "ns":
        values = values.cast(pa.int64())
    if pa.types.is_list(values.type) and values.type.value_type == pa.timestamp("ns"):
        values = values.cast(pa.list_(pa.int64()))
    return [repr(v) for v in values.to_pylist()]


def same(a: pa.ChunkedArray | pa.Array, b: pa.ChunkedArray | pa.Array) -> bool:
    return texts(a) == texts(b)


def pick(values: pa.Array, positions: list[int]) -> pa.Array:
    """As take, which has no kernel for views."""
    return pa.concat_arrays([values[i : i + 1] for i in positions])


WRITERS = [
    {},
    {"use_dictionary": False, "data_page_version": "2.0", "compression": "zstd"},
    {"store_decimal_as_integer": True, "write_page_index": True, "compression": "none"},
]


@pytest.mark.parametrize("writer", range(len(WRITERS)))
@pytest.mark.parametrize("name", VALUES)
def test_a_value_of_every_type_is_replaced_removed_and_added(
    tmp_path: Path, name: str, writer: int
) -> None:
    values = VALUES[name]
    target = pa.table({"k": range(6), "v": values, "w": list("abcdef")})
    root = tmp_path / "d"
    root.mkdir()
    write(root / "a.parquet", target, **WRITERS[writer])
    first = pq.read_table(root / "a.parquet")
    # Row 0 takes the values of row 3, row 4 becomes null, row 5 takes those of row 1.
    new = pick(values, [3, 2, 1, 0])
    source = pa.table({"k": [0, 4, 5, 9], "v": new, "w": list("xyzn")})
    result = floodwall.merge(source, root, "upsert", "k", max_memory=MEMORY)
    assert (result.updated, result.inserted) == (3, 1)
    merged = pq.read_table(root / "a.parquet")
    assert same(merged["v"], pick(values, [3, 1, 2, 3, 2, 1]))
    assert merged.schema.equals(first.schema)
    (inserted,) = result.inserted_files
    added = pq.ParquetFile(inserted).read()
    assert same(added["v"], pick(values, [0]))
    assert added.schema.field("v").equals(first.schema.field("v"))
    again = floodwall.merge(source, root, "upsert", "k", max_memory=MEMORY)
    assert (again.bytes_written, again.unchanged) == (0, 4)

    floodwall.merge(pa.table({"k": [1, 4]}), root, "delete", "k", max_memory=MEMORY)
    merged = pq.read_table(root / "a.parquet")
    assert merged["k"].to_pylist() == [0, 2, 3, 5]
    assert same(merged["v"], pick(values, [3, 2, 3, 1]))
    assert same(merged["w"], pa.array(list("xcdz")))


@pytest.mark.parametrize("kind", ["table", "parquet"])
@pytest.mark.parametrize("name", FLAT)
def test_a_key_of_every_flat_type(tmp_path: Path, name: str, kind: str) -> None:
    keys = FLAT[name]
    root = tmp_path / "d"
    root.mkdir()
    distinct = len(set(texts(keys)))
    write(root / "a.parquet", pa.table({"k": keys, "v": range(6)}))
    source = pa.table({"k": pick(keys, [1, 2, 3]), "v": [100, 200, 300]})
    data: Any = source
    if kind == "parquet":
        data = tmp_path / "s.parquet"
        write(data, source)
    result = floodwall.merge(data, root, "upsert", "k", max_memory=MEMORY)
    wanted = dict(zip(texts(source["k"]), [100, 200, 300], strict=True))
    expected = [wanted.get(k, i) for i, k in enumerate(texts(keys))]
    merged = pq.read_table(root / "a.parquet")
    assert merged["v"].to_pylist() == expected
    assert same(merged["k"], keys)
    assert (result.updated, result.inserted) == (len(wanted), 0)
    kept = floodwall.deduplicate(root, "k", max_memory=MEMORY)
    assert kept.target_count_after == distinct
    gone = floodwall.merge(data, root, "delete", "k", max_memory=MEMORY)
    assert gone.deleted == len(wanted)


@pytest.mark.parametrize("name", NESTED)
def test_nested_columns_cannot_be_keys(tmp_path: Path, name: str) -> None:
    write(tmp_path / "a.parquet", pa.table({"k": NESTED[name], "v": range(6)}))
    with pytest.raises(floodwall.SchemaMismatchError, match="cannot be a key"):
        floodwall.merge(pa.table({"k": NESTED[name], "v": range(6)}), tmp_path, "upsert", "k")


def test_int96_values_and_keys(tmp_path: Path) -> None:
    stamps = pa.array([0, -1, None, 10**18, 5000, 6000], pa.timestamp("ns"))
    lists = pa.ListArray.from_arrays(pa.array(range(7), pa.int32()), stamps)
    table = pa.table({"k": stamps, "v": stamps, "l": lists})
    write(tmp_path / "a.parquet", table, use_deprecated_int96_timestamps=True)
    source = pa.table({"k": pick(stamps, [3, 1]), "v": stamps[:2], "l": lists[2:4]})
    result = floodwall.merge(source, tmp_path, "update", "k", max_memory=MEMORY)
    assert result.updated == 2
    merged = pq.read_table(tmp_path / "a.parquet")
    assert same(merged["v"], pick(stamps, [0, 1, 2, 0, 4, 5]))
    assert same(merged["l"], pick(lists, [0, 3, 2, 2, 4, 5]))
    assert pq.ParquetFile(tmp_path / "a.parquet").schema.column(1).physical_type == "INT96"


def test_nested_values_keep_their_layout_and_untouched_chunks(tmp_path: Path) -> None:
    rows = 5000
    table = pa.table(
        {
            "k": range(rows),
            "l": pa.array([[i, i + 1] if i % 5 else None for i in range(rows)]),
            "s": pa.array([{"a": i, "b": f"t{i}"} for i in range(rows)]),
            "v": range(rows),
        }
    )
    file = tmp_path / "a.parquet"
    pq.write_table(table, file, row_group_size=1000, compression="zstd", write_page_index=True)
    source = pa.table({"k": [1500], "l": pa.array([[7, 7, 7]])})
    result = floodwall.merge(source, file, "update", "k", max_memory=MEMORY)
    assert result.bytes_encoded < result.bytes_copied
    metadata = pq.ParquetFile(file).metadata
    assert metadata.num_row_groups == 5
    for leaf in range(metadata.num_columns):
        chunk = metadata.row_group(1).column(leaf)
        assert (chunk.compression, chunk.has_offset_index) == ("ZSTD", True)
    expected = table["l"].to_pylist()
    expected[1500] = [7, 7, 7]
    merged = pq.read_table(file)
    assert merged["l"].to_pylist() == expected
    assert merged.drop_columns("l").equals(table.drop_columns("l"))


def test_nested_values_are_fitted_child_by_child(tmp_path: Path) -> None:
    required = pa.struct([pa.field("a", pa.int32(), nullable=False), pa.field("b", pa.string())])
    table = pa.table({"k": [1, 2], "s": pa.array([{"a": 1, "b": "x"}, None], required)})
    file = tmp_path / "a.parquet"
    write(file, table)
    wide = pa.table({"k": [1, 2], "s": pa.array([None, {"b": "y", "a": 2**31 - 1}])})
    floodwall.merge(wide, file, "update", "k", max_memory=MEMORY)
    assert pq.read_table(file)["s"].to_pylist() == [None, {"a": 2**31 - 1, "b": "y"}]
    before = file.read_bytes()
    for bad, text in [
        ([{"a": 2**31, "b": "y"}], "not in range"),
        ([{"a": None, "b": "y"}], "'a' is required"),
        ([{"a": 1, "b": "y", "c": 1}], "no field 'c'"),
        ([[1]], "column 's'"),
    ]:
        with pytest.raises(floodwall.SchemaMismatchError, match=text):
            floodwall.merge(pa.table({"k": [1], "s": bad}), file, "update", "k", max_memory=MEMORY)
        assert file.read_bytes() == before


def test_nested_columns_of_other_writers(tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    polars = pytest.importorskip("polars")
    file = tmp_path / "d.parquet"
    duckdb.sql(
        "copy (select i as k, case when i % 7 > 0 then [i, null, i + 1] end as l, "
        "case when i % 5 > 0 then {'a': i, 'b': [{'c': 'x' || i}]} end as s, "
        f"map {{i: 'v'}} as m from range(5000) t(i)) to '{file}' (format parquet, row_group_size 2048)"
    )
    source = pa.table(
        {
            "k": [10, 4000],
            "l": pa.array([None, [1]], pa.list_(pa.int64())),
            "s": pa.array([{"a": 5, "b": None}, None], pa.struct({"a": pa.int64(), "b": pa.list_(pa.struct({"c": pa.string()}))})),
            "m": pa.array([[(1, "n")], []], pa.map_(pa.int64(), pa.string())),
        }
    )  # fmt: skip
    before = pq.read_table(file).to_pylist()
    floodwall.merge(source, file, "update", "k", max_memory=MEMORY)
    floodwall.merge(pa.table({"k": [0, 4999]}), file, "delete", "k", max_memory=MEMORY)
    before[10] = source.to_pylist()[0]
    before[4000] = source.to_pylist()[1]
    assert pq.read_table(file).to_pylist() == before[1:-1]
    found = duckdb.sql(
        f"select l, s, len(map_keys(m)) from '{file}' where k in (10, 4000)"
    ).fetchall()
    assert found == [(None, {"a": 5, "b": None}, 1), ([1], None, 0)]

    file = tmp_path / "p.parquet"
    polars.DataFrame({"k": range(100), "l": [[{"a": [i]}] for i in range(100)]}).write_parquet(file)
    nested = polars.DataFrame({"k": [5, 200], "l": [[{"a": [None, 1]}], [{"a": None}]]})
    floodwall.merge(nested, file, "update", "k", max_memory=MEMORY)
    assert polars.read_parquet(file)["l"].to_list()[5] == [{"a": [None, 1]}]
