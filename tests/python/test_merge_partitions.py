"""Hive-partitioned targets: values live in directories, exactly, and rows move between them."""

import datetime
import decimal
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

import floodwall
from floodwall.cli import main

MEMORY = "64MiB"


def read(root: Path, **types: pa.DataType) -> list[dict[str, Any]]:
    partitioning = ds.partitioning(pa.schema(types), flavor="hive") if types else "hive"
    table = ds.dataset(root, partitioning=partitioning, exclude_invalid_files=True).to_table()
    return sorted(table.to_pylist(), key=lambda row: (row["id"], str(row)))


def directories(root: Path) -> set[str]:
    return {str(p.parent.relative_to(root)) for p in root.rglob("*.parquet")}


@pytest.fixture
def sales(tmp_path: Path) -> Path:
    """Three days of two regions, 10 rows each, written by pyarrow."""
    root = tmp_path / "sales"
    table = pa.table(
        {
            "id": range(60),
            "day": [f"2024-01-0{i // 20 + 1}" for i in range(60)],
            "region": ["north west" if i % 2 else "süd" for i in range(60)],
            "v": range(60),
        }
    )
    ds.write_dataset(
        table, root, format="parquet", partitioning=["day", "region"], partitioning_flavor="hive"
    )
    return root


def rows(*items: tuple[int, str, str, int]) -> pa.Table:
    names = ["id", "day", "region", "v"]
    return pa.table(dict(zip(names, map(list, zip(*items, strict=True)), strict=True)))


def test_an_upsert_finds_the_layout_by_itself(sales: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in sales.rglob("*.parquet")}
    source = rows(
        (1, "2024-01-01", "north west", -1),
        (100, "2024-01-01", "süd", 100),
        (101, "2024-02-01", "a=b/c %", 101),
    )
    result = floodwall.merge(source, sales, "upsert", "id", max_memory=MEMORY)
    assert (result.updated, result.inserted, result.target_count_after) == (1, 2, 62)
    after = {row["id"]: row for row in read(sales, day=pa.string(), region=pa.string())}
    assert len(after) == 62
    for row in source.to_pylist():
        assert after[row["id"]] == row
    assert {str(Path(p).parent.relative_to(sales)) for p in result.inserted_files} == {
        "day=2024-01-01/region=s%C3%BCd",
        "day=2024-02-01/region=a%3Db%2Fc%20%25",
    }
    changed = [p for p in before if p.stat().st_mtime_ns != before[p]]
    assert [str(p) for p in changed] == result.rewritten_files
    for path in sales.rglob("*.parquet"):
        assert pq.ParquetFile(path).schema_arrow.names == ["id", "v"]


def test_a_row_whose_partition_changes_moves(sales: Path) -> None:
    source = rows((1, "2024-01-03", "süd", -1), (2, "2024-01-01", "süd", -2), (3, "x", "y", -3))
    result = floodwall.merge(source, sales, "update", "id", max_memory=MEMORY)
    assert (result.updated, result.inserted, result.deleted, result.unchanged) == (3, 0, 0, 0)
    assert (result.target_count_before, result.target_count_after) == (60, 60)
    after = {row["id"]: row for row in read(sales, day=pa.string(), region=pa.string())}
    assert len(after) == 60
    for row in source.to_pylist():
        assert after[row["id"]] == row
    again = floodwall.merge(source, sales, "update", "id", max_memory=MEMORY)
    assert (again.bytes_written, again.unchanged) == (0, 3)


def test_moves_can_be_forbidden(sales: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in sales.rglob("*.parquet")}
    source = rows((1, "2024-01-03", "süd", -1))
    with pytest.raises(floodwall.PartitionMoveError, match="partition column") as error:
        floodwall.merge(source, sales, "upsert", "id", partition_moves="error")
    assert error.value.examples == ["(id=1)"]
    assert {p: p.stat().st_mtime_ns for p in sales.rglob("*.parquet")} == before


def test_a_moved_row_loses_no_column(sales: Path) -> None:
    source = rows((1, "2024-01-03", "süd", -1)).drop_columns("v")
    with pytest.raises(floodwall.SchemaMismatchError, match="lacks column 'v'"):
        floodwall.merge(source, sales, "update", "id", max_memory=MEMORY)
    floodwall.merge(source, sales, "update", "id", max_memory=MEMORY, missing_columns="null")
    row = next(row for row in read(sales) if row["id"] == 1)
    assert row["v"] is None


def test_copies_of_a_moving_key_become_one(tmp_path: Path) -> None:
    for part, values in (("p=1", [7, 7]), ("p=2", [7, 8])):
        (tmp_path / part).mkdir()
        pq.write_table(pa.table({"id": values, "v": [0, 0]}), tmp_path / part / "f.parquet")
    source = pa.table({"id": [7, 8], "v": [1, 2], "p": [2, 3]})
    result = floodwall.merge(source, tmp_path, "upsert", "id", max_memory=MEMORY)
    assert [(r["id"], r["v"], r["p"]) for r in read(tmp_path)] == [(7, 1, 2), (8, 2, 3)]
    assert (result.updated, result.deleted, result.inserted) == (2, 2, 0)
    assert result.target_count_after == 2


def test_partition_columns_as_keys_prune_directories(sales: Path) -> None:
    source = rows((1, "2024-01-01", "north west", -1), (1, "2024-01-02", "süd", -2))
    keys = ["day", "region", "id"]
    result = floodwall.merge(source, sales, "upsert", keys, max_memory=MEMORY)
    assert (result.updated, result.inserted) == (1, 1)
    assert result.bytes_read < 3000  # of one directory of six
    full = floodwall.merge(source, sales, "full_merge", keys, max_memory=MEMORY)
    assert (full.deleted, full.target_count_after) == (59, 2)
    assert len(full.deleted_files) == 5
    merged = read(sales, day=pa.string(), region=pa.string())
    assert merged == sorted(source.to_pylist(), key=str)


def test_only_partition_columns_as_keys(sales: Path) -> None:
    gone = pa.table({"region": ["süd"], "day": ["2024-01-02"]})
    result = floodwall.merge(gone, sales, "delete", ["day", "region"], max_memory=MEMORY)
    assert (result.deleted, len(result.deleted_files)) == (10, 1)
    assert len(read(sales)) == 50
    kept = floodwall.deduplicate(sales, "day", keep="first", max_memory=MEMORY)
    assert kept.target_count_after == 3


def test_delete_by_another_key_leaves_the_layout(sales: Path) -> None:
    result = floodwall.merge(pa.table({"id": [0, 59]}), sales, "delete", "id", max_memory=MEMORY)
    assert result.deleted == 2
    assert [row["id"] for row in read(sales)] == list(range(1, 59))


VALUES = [
    pa.array(["01", "1.0", "a=b/c %", "", None, "__HIVE_DEFAULT_PARTITION__", "ä", ".."]),
    pa.array(["01", "1"]).dictionary_encode(),
    pa.array([1, -1, None], pa.int16()),
    pa.array([2**64 - 1, 0], pa.uint64()),
    pa.array([True, False, None]),
    pa.array([1.0, 0.1, float("inf"), None]),
    pa.array([datetime.date(2024, 2, 29), None]),
    pa.array([0, 1_234_567], pa.timestamp("us")),
    pa.array([decimal.Decimal("1.50"), None], pa.decimal128(9, 2)),
    pa.array(["x", "y"], pa.string_view()),
    pa.array([b"\x00\xff", b"a"], pa.binary()),
]


@pytest.mark.parametrize("values", VALUES, ids=lambda v: str(v.type))
@pytest.mark.parametrize("kind", ["table", "parquet"])
def test_values_of_every_type_come_back_exactly(
    tmp_path: Path, values: pa.Array, kind: str
) -> None:
    root = tmp_path / "d"
    count = len(values)
    source = pa.table({"id": range(count), "p": values, "v": range(count)})
    data: Any = source
    if kind == "parquet":
        data = tmp_path / "s.parquet"
        pq.write_table(source, data)
    made = floodwall.merge(data, root, "upsert", "id", partition_columns="p", max_memory=MEMORY)
    assert (made.inserted, len(made.inserted_files)) == (count, count)
    # The same rows again are found, by key alone and by key and partition; nothing moves.
    again = floodwall.merge(data, root, "upsert", "id", max_memory=MEMORY)
    assert (again.unchanged, again.bytes_written) == (count, 0)
    both = floodwall.merge(data, root, "upsert", ["p", "id"], max_memory=MEMORY)
    assert (both.unchanged, both.bytes_written) == (count, 0)
    if pa.types.is_string(values.type):
        # pyarrow takes the mark of null for null before it decodes; floodwall does not.
        found = [row["p"] for row in read(root, p=pa.string())]
        assert [found[i] for i in (0, 1, 2, 4, 6, 7)] == ["01", "1.0", "a=b/c %", None, "ä", ".."]
    elif pa.types.is_integer(values.type) or pa.types.is_date(values.type):
        assert [row["p"] for row in read(root, p=values.type)] == values.to_pylist()


def test_other_engines_read_the_layout(tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    source = pa.table({"id": [1, 2, 3], "p": ["a b", None, "1/2"], "v": [1, 2, 3]})
    floodwall.merge(source, tmp_path, "insert", "id", partition_columns=["p"], max_memory=MEMORY)
    pattern = f"{tmp_path}/**/*.parquet"
    found = duckdb.sql(
        f"select id, p, v from read_parquet('{pattern}', hive_partitioning=true) order by id"
    ).fetchall()
    assert found == [(1, "a b", 1), (2, None, 2), (3, "1/2", 3)]


def test_many_partitions_one_writer_at_a_time(tmp_path: Path) -> None:
    count = 1500
    source = pa.table({"id": range(3 * count), "p": [i % count for i in range(3 * count)]})
    result = floodwall.merge(
        source, tmp_path, "upsert", "id", partition_columns="p", max_memory="32MiB"
    )
    assert (result.inserted, len(result.inserted_files)) == (3 * count, count)
    assert result.peak_memory_bytes <= 32 << 20
    assert all(Path(p).name.startswith("part-") for p in result.inserted_files)
    assert ds.dataset(tmp_path, partitioning="hive").count_rows() == 3 * count


def test_values_are_typed_by_the_source(tmp_path: Path) -> None:
    (tmp_path / "p=01").mkdir()
    pq.write_table(pa.table({"id": [1]}), tmp_path / "p=01" / "f.parquet")
    # As a number, 01 is 1: the row is where it belongs. As text it is not, and moves.
    number = floodwall.merge(pa.table({"id": [1, 2], "p": [1, 1]}), tmp_path, "upsert", "id")
    assert (number.unchanged, number.inserted) == (1, 1)
    assert directories(tmp_path) == {"p=01"}
    text = floodwall.merge(pa.table({"id": [1], "p": ["1"]}), tmp_path, "upsert", "id")
    assert (text.updated, text.unchanged) == (1, 0)
    assert directories(tmp_path) == {"p=01", "p=1"}
    with pytest.raises(floodwall.SchemaMismatchError, match="date32"):
        floodwall.merge(
            pa.table({"id": [1], "p": [datetime.date(2024, 1, 1)]}), tmp_path, "upsert", "id"
        )


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"partition_columns": ["region", "day"]}, floodwall.MergeError, "partitioned by"),
        ({"partition_columns": []}, floodwall.MergeError, "partitioned by"),
        ({"partition_columns": ["day", "day"]}, floodwall.MergeError, "twice"),
        ({"partition_moves": "x"}, floodwall.MergeError, "partition_moves"),
    ],
)
def test_contradictions_are_refused(
    sales: Path, options: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        floodwall.merge(rows((1, "a", "b", 1)), sales, "upsert", "id", **options)


def test_refusals_of_layouts_and_sources(sales: Path, tmp_path: Path) -> None:
    source = rows((1, "a", "b", 1))
    with pytest.raises(floodwall.SchemaMismatchError, match="'region' is missing"):
        floodwall.merge(source.drop_columns("region"), sales, "upsert", "id")
    flat = tmp_path / "flat"
    floodwall.merge(source, flat, "upsert", "id")
    with pytest.raises(floodwall.MergeError, match="not partitioned"):
        floodwall.merge(source, flat, "upsert", "id", partition_columns="day")
    with pytest.raises(floodwall.MergeError, match="_x"):
        floodwall.merge(
            pa.table({"id": [1], "_x": [1]}), tmp_path / "n", "upsert", "id", partition_columns="_x"
        )
    with pytest.raises(floodwall.SchemaMismatchError, match="'nope' is missing"):
        floodwall.merge(source, tmp_path / "n", "upsert", "id", partition_columns="nope")
    assert not list((tmp_path / "n").rglob("*.parquet"))
    with pytest.raises(floodwall.SchemaMismatchError, match="too long"):
        floodwall.merge(
            rows((1, "x" * 300, "b", 1)), tmp_path / "n", "upsert", "id", partition_columns="day"
        )
    pq.write_table(pa.table({"id": [1], "v": [1]}), sales / "at_the_root.parquet")
    with pytest.raises(floodwall.UnsupportedFileError, match="not uniform"):
        floodwall.merge(source, sales, "upsert", "id")


def test_partitions_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pq.write_table(rows((1, "a", "b", 1), (2, "c", "d", 2)), tmp_path / "s.parquet")
    target = tmp_path / "d"
    arguments = ["merge", str(target), str(tmp_path / "s.parquet"), "--on", "id", "--json"]
    assert main([*arguments, "--partition-by", "day,region", "--no-progress"]) == 0
    assert json.loads(capsys.readouterr().out)["inserted"] == 2
    assert directories(target) == {"day=a/region=b", "day=c/region=d"}
    assert main([*arguments, "--partition-moves", "error", "--no-progress"]) == 0
