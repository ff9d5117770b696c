from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from conftest import ROWS, make_table

import floodwall


def rows_of(path: Path) -> dict[object, dict[str, object]]:
    rows = ds.dataset(path).to_table().to_pylist()
    by_id = {row["id"]: row for row in rows}
    assert len(by_id) == len(rows)
    return by_id


def changes() -> pa.Table:
    """Two updates in the first file, one in the last, two new rows, one duplicate."""
    return pa.table(
        {
            "id": [3, 2600, 29_999, 40_000, 40_001, 3],
            "name": ["a", None, "c", "d", None, "last"],
            "text": ["x", "y", None, "u", "v", "w"],
            "price": [1.0, 2.0, None, 4.0, 5.0, 6.0],
            "flag": [True, None, False, True, False, None],
        }
    )


def state(root: Path) -> dict[str, tuple[int, int]]:
    return {p.name: (p.stat().st_mtime_ns, p.stat().st_ino) for p in sorted(root.glob("*.parquet"))}


@pytest.mark.parametrize("strategy", ["upsert", "insert", "update"])
@pytest.mark.parametrize("kind", ["table", "stream", "parquet"])
def test_strategies_equal_a_dictionary(
    dataset: Path, tmp_path: Path, strategy: str, kind: str
) -> None:
    source = changes()
    expected = rows_of(dataset)
    for row in source.to_pylist():
        known = row["id"] < ROWS
        if (known and strategy != "insert") or (not known and strategy != "update"):
            expected[row["id"]] = row
    data: object = source
    if kind == "stream":
        data = source.to_reader(max_chunksize=2)
    elif kind == "parquet":
        pq.write_table(source, tmp_path / "s.parquet", row_group_size=2)
        data = tmp_path / "s.parquet"
    result = floodwall.merge(data, dataset, strategy, "id", max_memory="64MiB")
    assert rows_of(dataset) == expected
    assert result.source_count == 5
    assert result.duplicates_dropped == 1
    assert result.inserted == (0 if strategy == "update" else 2)
    assert result.updated == (0 if strategy == "insert" else 3)
    assert result.target_count_before == ROWS
    assert result.target_count_after == len(expected)
    assert result.peak_memory_bytes <= 64 << 20


def test_untouched_files_and_row_groups_are_kept_as_bytes(dataset: Path) -> None:
    before = state(dataset)
    old = (dataset / "f0.parquet").read_bytes()
    result = floodwall.merge(changes(), dataset, "update", "id", max_memory="64MiB")
    after = state(dataset)
    assert after["f1.parquet"] == before["f1.parquet"]
    assert after["f0.parquet"] != before["f0.parquet"]
    assert [Path(p).name for p in result.preserved_files] == ["f1.parquet"]
    # The third row group holds no source key: its bytes stand in the new file as they were.
    chunk = pq.ParquetFile(dataset / "f0.parquet").metadata.row_group(3).column(2)
    start, size = (
        chunk.dictionary_page_offset or chunk.data_page_offset,
        chunk.total_compressed_size,
    )
    assert (dataset / "f0.parquet").read_bytes()[start : start + size] in old
    assert result.bytes_copied > result.bytes_encoded


def test_rows_keep_their_position(dataset: Path) -> None:
    floodwall.merge(changes(), dataset, "update", "id", max_memory="64MiB")
    ids = pq.read_table(dataset / "f0.parquet").column("id").to_pylist()
    assert ids == list(range(ROWS // 3))


def test_an_identical_merge_writes_nothing(dataset: Path) -> None:
    floodwall.merge(changes(), dataset, "upsert", "id", max_memory="64MiB")
    before = state(dataset)
    result = floodwall.merge(changes(), dataset, "upsert", "id", max_memory="64MiB")
    assert state(dataset) == before
    assert result.bytes_written == 0
    assert result.updated == result.unchanged == 5


def test_threads_do_not_change_the_bytes(tmp_path: Path) -> None:
    outputs = []
    for threads in (1, 2, 4):
        root = tmp_path / str(threads)
        root.mkdir()
        for i in range(4):
            pq.write_table(make_table(i * 5000, 5000), root / f"{i}.parquet", row_group_size=1000)
        floodwall.merge(changes(), root, "update", "id", max_memory="128MiB", threads=threads)
        outputs.append([p.read_bytes() for p in sorted(root.glob("*.parquet"))])
    assert outputs[0] == outputs[1] == outputs[2]


def test_a_missing_target_is_created(tmp_path: Path) -> None:
    root = tmp_path / "a" / "new"
    result = floodwall.merge(changes(), root, "upsert", "id", max_memory="64MiB")
    assert result.inserted == 5
    assert rows_of(root)[3]["name"] == "last"


def test_missing_columns_keep_or_null(dataset: Path) -> None:
    partial = pa.table({"id": [1], "price": [99.0]})
    floodwall.merge(partial, dataset, "update", "id", max_memory="64MiB")
    assert rows_of(dataset)[1]["text"] == "unique text 1"
    assert rows_of(dataset)[1]["price"] == 99.0
    floodwall.merge(partial, dataset, "update", "id", max_memory="64MiB", missing_columns="null")
    assert rows_of(dataset)[1]["text"] is None


@pytest.mark.parametrize(
    ("type_", "values", "other"),
    [
        (pa.int32(), [1, 2, None], pa.int64()),
        (pa.uint64(), [1, 2**64 - 1, None], pa.uint64()),
        (pa.string(), ["", "a", None], pa.dictionary(pa.int8(), pa.string())),
        (pa.string(), ["x" * 300, "a", None], pa.large_string()),
        (pa.binary(), [b"", b"\0", None], pa.binary()),
        (pa.bool_(), [True, False, None], pa.bool_()),
        (pa.float64(), [float("nan"), -0.0, None], pa.float64()),
        (pa.date32(), [0, 1, None], pa.date32()),
        (pa.timestamp("ms"), [0, 10_001, None], pa.timestamp("us")),
        (pa.decimal128(10, 2), ["1.10", "-2.00", None], pa.decimal128(12, 3)),
    ],
    ids=str,
)
def test_keys_match_by_value(
    tmp_path: Path, type_: pa.DataType, values: list[object], other: pa.DataType
) -> None:
    def array(target: pa.DataType) -> pa.Array:
        if pa.types.is_decimal(type_):
            return pa.array(values).cast(target)
        return pa.array(values, type_).cast(target) if target != type_ else pa.array(values, type_)

    pq.write_table(pa.table({"k": array(type_), "v": [0, 0, 0]}), tmp_path / "f.parquet")
    if pa.types.is_floating(type_):
        values[1] = 0.0
    source = pa.table({"k": array(other), "v": [1, 2, 3]})
    result = floodwall.merge(source, tmp_path, "upsert", "k", max_memory="64MiB")
    assert (result.updated, result.inserted) == (3, 0)
    assert pq.read_table(tmp_path / "f.parquet").column("v").to_pylist() == [1, 2, 3]


def test_null_keys_never_match_as_in_sql(tmp_path: Path) -> None:
    pq.write_table(pa.table({"k": [1, None], "v": [0, 0]}), tmp_path / "f.parquet")
    source = pa.table({"k": pa.array([1, None, None], pa.int64()), "v": [5, 6, 7]})
    result = floodwall.merge(source, tmp_path, "upsert", "k", max_memory="64MiB", null_keys="never")
    assert (result.updated, result.inserted, result.target_count_after) == (1, 2, 4)


def test_composite_keys_do_not_collide(tmp_path: Path) -> None:
    target = pa.table({"a": ["x", "xy"], "b": ["yz", "z"], "v": [0, 0]})
    pq.write_table(target, tmp_path / "f.parquet")
    source = pa.table({"a": ["xy"], "b": ["z"], "v": [1]})
    floodwall.merge(source, tmp_path, "update", ["a", "b"], max_memory="64MiB")
    assert pq.read_table(tmp_path / "f.parquet").column("v").to_pylist() == [0, 1]


def test_source_duplicates_policies(dataset: Path) -> None:
    floodwall.merge(
        changes(), dataset, "update", "id", max_memory="64MiB", source_duplicates="first"
    )
    assert rows_of(dataset)[3]["name"] == "a"
    with pytest.raises(floodwall.DuplicateKeyError) as error:
        floodwall.merge(changes(), dataset, "update", "id", source_duplicates="error")
    assert error.value.examples == ["(id=3)"]


def test_progress_reports_and_a_raising_callback_stops_the_merge(dataset: Path) -> None:
    seen: list[floodwall.MergeProgress] = []
    floodwall.merge(changes(), dataset, "update", "id", max_memory="64MiB", progress=seen.append)
    assert seen[-1].phase == "done"
    before = state(dataset)

    def stop(_: floodwall.MergeProgress) -> None:
        raise KeyboardInterrupt

    newer = changes().set_column(3, "price", pa.array([7.0] * 6))
    with pytest.raises(KeyboardInterrupt):
        floodwall.merge(newer, dataset, "update", "id", max_memory="64MiB", progress=stop)
    # Either it was stopped in time, or it had finished: never something between.
    changed = [name for name, value in state(dataset).items() if before[name] != value]
    assert changed in ([], ["f0.parquet", "f2.parquet"])


def test_the_result_is_json_ready(dataset: Path) -> None:
    import json

    result = floodwall.merge(changes(), dataset, "upsert", "id", max_memory="64MiB")
    loaded = json.loads(json.dumps(result.to_dict()))
    assert loaded["inserted"] == 2
    assert {Path(p).name for p in loaded["rewritten_files"]} == {
        "f0.parquet",
        "f2.parquet",
    }


def test_files_without_rows_are_part_of_a_dataset(dataset: Path) -> None:
    # pyarrow gives a file without rows one row group, whose data page offset is 0. Written last,
    # it is also the newest file, whose style new files take.
    pq.write_table(make_table(1, 1).slice(0, 0), dataset / "empty.parquet")
    before = state(dataset)["empty.parquet"]
    result = floodwall.merge(changes(), dataset, "upsert", "id", max_memory="64MiB")
    assert (result.updated, result.inserted) == (3, 2)
    assert result.target_count_after == ROWS + 2
    assert state(dataset)["empty.parquet"] == before
    assert rows_of(dataset)[3]["name"] == "last"


def test_a_row_group_without_rows_survives_a_rewrite(tmp_path: Path) -> None:
    file = tmp_path / "f.parquet"
    schema = make_table(0, 10).schema
    with pq.ParquetWriter(file, schema) as writer:
        for first, count in ((0, 10), (10, 0), (10, 10)):
            table = make_table(first, 10).slice(0, count)
            writer.write_table(table.cast(schema))
    floodwall.merge(
        pa.table({"id": [15], "price": [9.0]}), tmp_path, "update", "id", max_memory="64MiB"
    )
    assert pq.read_table(file).column("id").to_pylist() == list(range(20))
    assert pq.read_table(file).column("price")[15].as_py() == 9.0
