"""delete, full_merge, deduplicate and the policies for duplicates, against plain Python."""

import datetime
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from conftest import ROWS, make_table

import floodwall
from floodwall.cli import main

MEMORY = "64MiB"


def ids_of(path: Path) -> list[int]:
    return ds.dataset(path).to_table().column("id").to_pylist()


def versions(root: Path) -> dict[str, tuple[int, int]]:
    return {p.name: (p.stat().st_mtime_ns, p.stat().st_ino) for p in sorted(root.glob("*.parquet"))}


def check_counts(result: floodwall.MergeResult, path: Path) -> None:
    assert result.target_count_before + result.inserted - result.deleted == (
        result.target_count_after
    )
    assert result.target_count_after == ds.dataset(path, format="parquet").count_rows()


def test_delete_removes_rows_and_nothing_else(dataset: Path) -> None:
    before = versions(dataset)
    old = ds.dataset(dataset).to_table()
    gone = [0, 7, 2499, 2500, 9_999, 50_000]
    source = pa.table({"id": [*gone, 7], "unknown": ["x"] * 7, "price": ["no number"] * 7})
    result = floodwall.merge(source, dataset, "delete", "id", max_memory=MEMORY)
    kept = [i for i in range(ROWS) if i not in gone]
    assert ds.dataset(dataset).to_table().equals(old.take(kept))
    assert (result.deleted, result.updated, result.inserted, result.source_count) == (5, 0, 0, 6)
    check_counts(result, dataset)
    after = versions(dataset)
    assert after["f1.parquet"] == before["f1.parquet"]
    assert after["f2.parquet"] == before["f2.parquet"]
    groups = pq.ParquetFile(dataset / "f0.parquet").metadata
    assert [groups.row_group(g).num_rows for g in range(4)] == [2497, 2499, 2500, 2499]


@pytest.mark.parametrize("v2", ["1.0", "2.0"])
@pytest.mark.parametrize("index", [False, True])
def test_delete_from_every_layout(tmp_path: Path, v2: str, index: bool) -> None:
    table = make_table(0, 20_000)
    required = table.schema.field("id").with_nullable(False)
    table = table.cast(table.schema.set(0, required))
    pq.write_table(
        table, tmp_path / "f.parquet", row_group_size=6000, data_page_version=v2,
        write_page_index=index, data_page_size=4096, use_dictionary=["name"], compression="zstd",
        sorting_columns=[pq.SortingColumn(0)],
        bloom_filter_options={"id": {"ndv": 20_000}},
    )  # fmt: skip
    gone = [i for i in range(20_000) if i % 3 == 0 or 6000 <= i < 12_000]
    result = floodwall.merge(pa.table({"id": gone}), tmp_path, "delete", "id", max_memory=MEMORY)
    assert result.deleted == len(gone)
    kept = sorted(set(range(20_000)) - set(gone))
    assert pq.read_table(tmp_path / "f.parquet").equals(table.take(kept))
    metadata = pq.ParquetFile(tmp_path / "f.parquet").metadata
    # The second row group has no rows left: it is gone. Fewer rows are still sorted.
    assert metadata.num_row_groups == 3
    assert [c.column_index for c in metadata.row_group(0).sorting_columns] == [0]
    assert metadata.row_group(0).column(0).has_column_index == index


def test_a_file_without_rows_disappears(dataset: Path) -> None:
    source = pa.table({"id": list(range(ROWS // 3, 2 * ROWS // 3))})
    result = floodwall.merge(source, dataset, "delete", "id", max_memory=MEMORY)
    assert [Path(p).name for p in result.deleted_files] == ["f1.parquet"]
    assert result.rewritten_files == []
    assert sorted(versions(dataset)) == ["f0.parquet", "f2.parquet"]
    assert result.bytes_written == 0
    check_counts(result, dataset)


def test_a_single_file_stays_without_rows(dataset: Path) -> None:
    file = dataset / "f0.parquet"
    schema = pq.read_schema(file)
    source = pa.table({"id": list(range(ROWS))})
    result = floodwall.merge(source, file, "delete", "id", max_memory=MEMORY)
    assert (result.deleted, result.target_count_after) == (ROWS // 3, 0)
    assert [Path(p).name for p in result.rewritten_files] == ["f0.parquet"]
    assert pq.read_table(file).num_rows == 0
    assert pq.read_schema(file).equals(schema)
    # And it can be merged into again.
    again = floodwall.merge(source, file, "delete", "id", max_memory=MEMORY)
    assert (again.deleted, again.bytes_written) == (0, 0)


def test_full_merge_makes_the_target_equal_the_source(dataset: Path) -> None:
    source = make_table(9_000, 12_000).slice(0, 11_500)
    changed = source.set_column(3, "price", pa.array([1.5] * 11_500))
    result = floodwall.merge(changed, dataset, "full_merge", "id", max_memory=MEMORY)
    assert ds.dataset(dataset).to_table().sort_by("id").equals(changed)
    assert (result.updated, result.inserted, result.deleted) == (11_500, 0, ROWS - 11_500)
    check_counts(result, dataset)
    fresh = floodwall.merge(make_table(40_000, 3), dataset, "full_merge", "id", max_memory=MEMORY)
    assert ids_of(dataset) == [40_000, 40_001, 40_002]
    assert len(fresh.deleted_files) == 3
    check_counts(fresh, dataset)


def test_full_merge_of_nothing_needs_a_permission(dataset: Path) -> None:
    nothing = make_table(0, 1).slice(0, 0)
    before = versions(dataset)
    with pytest.raises(floodwall.MergeError, match="allow_delete_all"):
        floodwall.merge(nothing, dataset, "full_merge", "id", max_memory=MEMORY)
    assert versions(dataset) == before
    result = floodwall.merge(
        nothing, dataset, "full_merge", "id", max_memory=MEMORY, allow_delete_all=True
    )
    assert (result.deleted, result.target_count_after) == (ROWS, 0)
    assert versions(dataset) == {}


def test_full_merge_removes_null_keys_that_match_nothing(tmp_path: Path) -> None:
    pq.write_table(pa.table({"k": [1, None, 2], "v": [0, 0, 0]}), tmp_path / "f.parquet")
    source = pa.table({"k": pa.array([1, None], pa.int64()), "v": [5, 6]})
    result = floodwall.merge(
        source, tmp_path, "full_merge", "k", max_memory=MEMORY, null_keys="never"
    )
    assert (result.updated, result.inserted, result.deleted) == (1, 1, 2)
    assert ds.dataset(tmp_path).to_table().to_pylist() == source.to_pylist()


@pytest.mark.parametrize("strategy", ["update", "delete"])
def test_a_missing_target_is_refused(tmp_path: Path, strategy: str) -> None:
    with pytest.raises(ValueError, match="non-existent target"):
        floodwall.merge(make_table(0, 1), tmp_path / "none", strategy, "id")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("strategy", ["upsert", "insert", "full_merge", "deduplicate"])
def test_a_missing_target_is_created(tmp_path: Path, strategy: str) -> None:
    result = floodwall.merge(make_table(0, 3), tmp_path / "new", strategy, "id")
    assert (result.inserted, result.target_count_after) == (3, 3)
    assert ids_of(tmp_path / "new") == [0, 1, 2]


@pytest.mark.parametrize("strategy", ["upsert", "insert", "update", "delete", "deduplicate"])
def test_an_empty_source_changes_nothing(dataset: Path, strategy: str) -> None:
    before = versions(dataset)
    result = floodwall.merge(make_table(0, 1).slice(0, 0), dataset, strategy, "id")
    assert versions(dataset) == before
    assert (result.target_count_after, result.deleted) == (ROWS, 0)


@pytest.fixture
def repeated(tmp_path: Path) -> Path:
    """Two files in which keys repeat: 1 five times, 2 twice, 3 once."""
    root = tmp_path / "repeated"
    root.mkdir()
    pq.write_table(
        pa.table({"k": [1, 2, 1, 3], "v": [10, 20, 11, 30]}), root / "a.parquet", row_group_size=2
    )
    pq.write_table(
        pa.table({"k": [1, 1, 2, 1], "v": [12, 13, 21, 14]}), root / "b.parquet", row_group_size=3
    )
    return root


def pairs(root: Path) -> list[tuple[int, int]]:
    return [(row["k"], row["v"]) for row in ds.dataset(root).to_table().to_pylist()]


SOURCE = pa.table({"k": [1, 9], "v": [100, 900]})


@pytest.mark.parametrize("threads", [1, 4])
def test_target_duplicates_all(repeated: Path, threads: int) -> None:
    result = floodwall.merge(SOURCE, repeated, "update", "k", max_memory=MEMORY, threads=threads)
    assert pairs(repeated) == [
        (1, 100), (2, 20), (1, 100), (3, 30), (1, 100), (1, 100), (2, 21), (1, 100)
    ]  # fmt: skip
    assert (result.updated, result.deleted) == (1, 0)


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("strategy", ["upsert", "deduplicate"])
def test_target_duplicates_collapse(repeated: Path, threads: int, strategy: str) -> None:
    policy = "collapse" if strategy == "upsert" else "all"
    result = floodwall.merge(
        SOURCE, repeated, strategy, "k", max_memory=MEMORY, threads=threads,
        target_duplicates=policy,
    )  # fmt: skip
    assert sorted(pairs(repeated)) == [(1, 100), (2, 20), (2, 21), (3, 30), (9, 900)]
    assert pairs(repeated)[0] == (1, 100)
    assert (result.updated, result.deleted, result.inserted) == (1, 4, 1)
    check_counts(result, repeated)


@pytest.mark.parametrize("strategy", ["upsert", "insert", "update", "delete", "full_merge"])
def test_target_duplicates_error(repeated: Path, strategy: str) -> None:
    before = versions(repeated)
    with pytest.raises(floodwall.DuplicateKeyError, match="the target has duplicate keys") as error:
        floodwall.merge(
            SOURCE, repeated, strategy, "k", max_memory=MEMORY, target_duplicates="error"
        )
    assert set(error.value.examples) == {"(k=1)"}
    assert versions(repeated) == before
    # A key that does not repeat in the target is no error.
    only = pa.table({"k": [3], "v": [1]})
    result = floodwall.merge(
        only, repeated, "update", "k", max_memory=MEMORY, target_duplicates="error"
    )
    assert result.updated == 1


def test_insert_cannot_collapse(repeated: Path) -> None:
    with pytest.raises(floodwall.MergeError, match="collapse"):
        floodwall.merge(SOURCE, repeated, "insert", "k", target_duplicates="collapse")


def test_delete_removes_every_copy(repeated: Path) -> None:
    result = floodwall.merge(SOURCE, repeated, "delete", "k", max_memory=MEMORY)
    assert pairs(repeated) == [(2, 20), (3, 30), (2, 21)]
    assert result.deleted == 5


ORDERS = [
    (pa.array([3, 1, None, 3, 2], pa.int32()), 3, 2),
    (pa.array([3, 1, 7, 7, 2], pa.uint64()), 3, 1),
    (pa.array([-3, -1, -7, -7, -2], pa.int8()), 1, 2),
    (pa.array([0.5, -1.0, float("nan"), -0.0, float("-inf")]), 2, 4),
    (pa.array(["b", "", "a\0", "b", "a"]), 3, 1),
    (pa.array([b"\xff", b"\x00", b"\x7f", None, b"\xff\x00"]), 4, 3),
    (pa.array(["b", "a", None, "b", "c"]).dictionary_encode(), 4, 2),
    (pa.array([True, False, None, True, False]), 3, 2),
    (pa.array([datetime.date(2024, 1, d) for d in (3, 1, 4, 4, 2)]), 3, 1),
    (pa.array([5, -5, 9, 9, 0], pa.timestamp("us", "UTC")), 3, 1),
    (pa.array(["1.5", "-2.5", "3.5", "3.5", "0"]).cast(pa.decimal128(5, 1)), 3, 1),
    (pa.array([None] * 5, pa.null()), 4, 0),
    (pa.array(["z", "a", "m", "z", "b"], pa.string_view()), 3, 1),
]


@pytest.mark.parametrize(
    ("order", "last", "first"), ORDERS, ids=lambda v: str(getattr(v, "type", v))
)
@pytest.mark.parametrize("kind", ["table", "parquet"])
def test_order_by_decides_among_source_duplicates(
    tmp_path: Path, order: pa.Array, last: int, first: int, kind: str
) -> None:
    source = pa.table(
        {"k": ["x"] * 5 + ["y"], "v": range(6), "o": pa.concat_arrays([order, order[:1]])}
    )
    data: object = source
    if kind == "parquet":
        data = tmp_path / "s.parquet"
        pq.write_table(source, data, row_group_size=2)
    for policy, expected in (("last", last), ("first", first)):
        result = floodwall.merge(
            data, tmp_path / policy, "upsert", "k", order_by="o", source_duplicates=policy,
            max_memory=MEMORY,
        )  # fmt: skip
        rows = ds.dataset(tmp_path / policy).to_table()
        assert sorted(rows.column("v").to_pylist()) == sorted([expected, 5])
        assert (result.source_count, result.duplicates_dropped) == (2, 4)


def test_order_by_compares_column_after_column(tmp_path: Path) -> None:
    source = pa.table(
        {"k": [1, 1, 1, 1], "a": ["p", "pq", "pq", "p"], "b": [9, 1, 2, 10], "v": [0, 1, 2, 3]}
    )
    floodwall.merge(source, tmp_path / "d", "upsert", "k", order_by=["a", "b"])
    assert ds.dataset(tmp_path / "d").to_table().column("v").to_pylist() == [2]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"order_by": "nope"}, "order_by column is missing from the source: 'nope'"),
        ({"order_by": "price", "source_duplicates": "error"}, "order_by"),
        ({"target_duplicates": "some"}, "target_duplicates"),
        ({"order_by": "nested"}, "order_by cannot use column 'nested'"),
    ],
)
def test_bad_policies(dataset: Path, options: dict[str, str], text: str) -> None:
    before = versions(dataset)
    source = make_table(0, 2).append_column("nested", pa.array([[1], [2]]))
    with pytest.raises(floodwall.MergeError, match=text):
        floodwall.merge(source, dataset, "upsert", "id", new_columns="ignore", **options)
    assert versions(dataset) == before


@pytest.mark.parametrize("keep", ["last", "first"])
@pytest.mark.parametrize("order_by", [None, "v"])
def test_deduplicate_keeps_one_row_of_each_key(
    repeated: Path, keep: str, order_by: str | None
) -> None:
    result = floodwall.deduplicate(repeated, "k", keep=keep, order_by=order_by, max_memory=MEMORY)
    expected = [(3, 30), (2, 21), (1, 14)] if keep == "last" else [(1, 10), (2, 20), (3, 30)]
    assert pairs(repeated) == expected
    assert (result.strategy, result.deleted, result.source_count) == ("deduplicate", 5, 0)
    check_counts(result, repeated)
    again = floodwall.deduplicate(repeated, "k", max_memory=MEMORY)
    assert (again.deleted, again.bytes_written) == (0, 0)


def test_deduplicate_by_another_order(repeated: Path) -> None:
    narrow = pa.schema({"k": pa.int32(), "v": pa.int32()})
    more = pa.table({"k": [1, 2, 3], "v": [-5, None, 99]}, schema=narrow)
    pq.write_table(more, repeated / "c.parquet")
    floodwall.deduplicate(repeated, "k", order_by="v", keep="first", max_memory=MEMORY)
    assert sorted(pairs(repeated), key=str) == [(1, -5), (2, None), (3, 30)]


@pytest.mark.parametrize("text_keys", [False, True])
def test_deduplicate_in_parts_when_keys_do_not_fit(tmp_path: Path, text_keys: bool) -> None:
    rows = 200_000
    numbers = [i * 7 % 150_000 for i in range(rows)]
    keys = pa.array([f"a rather long key number {n}" for n in numbers]) if text_keys else numbers
    table = pa.table({"k": keys, "v": range(rows)})
    pq.write_table(table, tmp_path / "f.parquet", row_group_size=50_000)
    result = floodwall.deduplicate(tmp_path, "k", order_by="v", keep="first", max_memory="24MiB")
    assert result.deleted == 50_000
    assert result.peak_memory_bytes <= 24 << 20
    assert pq.read_table(tmp_path / "f.parquet").column("v").to_pylist() == list(range(150_000))


def test_deduplicate_refuses(repeated: Path, tmp_path: Path) -> None:
    with pytest.raises(floodwall.MergeError, match="keep"):
        floodwall.deduplicate(repeated, "k", keep="error")
    with pytest.raises(ValueError, match="non-existent target"):
        floodwall.deduplicate(tmp_path / "none", "k")
    with pytest.raises(floodwall.SchemaMismatchError, match="nope"):
        floodwall.deduplicate(repeated, "k", order_by="nope")
    with pytest.raises(floodwall.SchemaMismatchError, match="nope"):
        floodwall.deduplicate(repeated, "nope")


def test_strategies_from_the_command_line(
    repeated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "s.parquet"
    pq.write_table(pa.table({"k": [1, 1], "v": [7, 8], "o": [2, 1]}), source)
    base = ["merge", str(repeated), str(source), "--on", "k", "--json", "--no-progress"]
    options = ["--order-by", "o", "--new-columns", "ignore", "--target-duplicates", "collapse"]
    assert main([*base, "--strategy", "full_merge", *options]) == 0
    assert json.loads(capsys.readouterr().out)["deleted"] == 7
    assert pairs(repeated) == [(1, 7)]
    assert main([*base, "--strategy", "delete"]) == 0
    out = json.loads(capsys.readouterr().out)
    assert [Path(p).name for p in out["deleted_files"]] == ["a.parquet"]


def test_deduplicate_from_the_command_line(
    repeated: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["deduplicate", str(repeated), "--on", "k", "--keep", "first", "--no-progress"]
    assert main(arguments) == 0
    assert "5 deleted, 3 after" in capsys.readouterr().out
    assert pairs(repeated) == [(1, 10), (2, 20), (3, 30)]
