import datetime
import logging
import math
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

import floodwall
from floodwall import MemoryMonitor, MemoryPressureLevel, chunks, process_in_chunks
from floodwall.parquet_files import parquet_files


def judge(level: MemoryPressureLevel) -> Mock:
    monitor = Mock(spec=MemoryMonitor)
    monitor.check_memory_pressure.return_value = level
    monitor.get_detailed_status.return_value = "the detailed status"
    return monitor


def sizes(chunks: Iterator[pa.Table]) -> list[int]:
    return [chunk.num_rows for chunk in chunks]


def test_slices_a_table_without_copies() -> None:
    table = pa.table({"a": range(25), "b": [str(i) for i in range(25)]})
    calls: list[tuple[int, int]] = []
    before = pa.total_allocated_bytes()
    chunks = list(process_in_chunks(table, 10, progress_callback=lambda *args: calls.append(args)))
    assert pa.total_allocated_bytes() == before
    assert sizes(iter(chunks)) == [10, 10, 5]
    assert calls == [(10, 25), (20, 25), (25, 25)]
    assert pa.concat_tables(chunks).equals(table)


def test_is_lazy_and_reports_after_the_consumer_resumes() -> None:
    calls: list[tuple[int, int]] = []
    chunks = process_in_chunks(
        pa.table({"a": range(30)}), 10, progress_callback=lambda *args: calls.append(args)
    )
    assert calls == []
    next(chunks)
    assert calls == []
    next(chunks)
    assert calls == [(10, 30)]
    chunks.close()
    assert calls == [(10, 30)]


def test_no_report_when_progress_is_off() -> None:
    callback = Mock()
    table = pa.table({"a": range(30)})
    assert sizes(process_in_chunks(table, 10, enable_progress=False, progress_callback=callback))
    callback.assert_not_called()


def test_logs_progress_without_a_callback(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="floodwall"):
        list(process_in_chunks(pa.table({"a": range(3)}), 2))
    assert "Processed 2 of 3 rows" in caplog.text


@pytest.mark.parametrize("rows", [0, -1])
def test_refuses_sizes_below_one(rows: int) -> None:
    chunks = process_in_chunks(pa.table({"a": [1]}), rows)
    with pytest.raises(ValueError, match="chunk_size_rows"):
        next(chunks)


def test_refuses_other_kinds() -> None:
    with pytest.raises(TypeError, match="chunk_size_rows"):
        next(process_in_chunks(pa.table({"a": [1]}), 1.5))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="dataset must be"):
        next(process_in_chunks([1, 2]))  # type: ignore[arg-type]


def test_an_empty_table_yields_nothing() -> None:
    assert list(process_in_chunks(pa.table({"a": pa.array([], pa.int64())}))) == []


def test_small_limit_is_enough_for_small_data(tmp_path: Path) -> None:
    table = pa.table({"a": pa.array(range(1000), pa.int64())})
    pq.write_table(table, tmp_path / "a.parquet")
    # The limit is the process's: tests before this one may hold Arrow memory still.
    limit = 1 + math.ceil(pa.total_allocated_bytes() / (1 << 20))
    chunks = process_in_chunks(ds.dataset(tmp_path), 300, max_memory_mb=limit)
    assert sizes(chunks) == [300] * 3 + [100]
    assert sizes(process_in_chunks(table, 300, max_memory_mb=limit)) == [300, 300, 300, 100]


def test_emergency_raises_with_the_status(caplog: pytest.LogCaptureFixture) -> None:
    chunks = process_in_chunks(
        pa.table({"a": range(9)}), 3, memory_monitor=judge(MemoryPressureLevel.EMERGENCY)
    )
    with pytest.raises(MemoryError, match="the detailed status"):
        next(chunks)
    assert any(record.levelname == "ERROR" for record in caplog.records)


@pytest.mark.parametrize("level", [MemoryPressureLevel.WARNING, MemoryPressureLevel.CRITICAL])
def test_keeps_the_size_below_emergency_unless_allowed(
    dataset: Path, level: MemoryPressureLevel
) -> None:
    data = ds.dataset(dataset)
    assert sizes(process_in_chunks(data, 9000, memory_monitor=judge(level))) == [9000] * 3 + [3000]
    smaller = sizes(
        process_in_chunks(data, 9000, memory_monitor=judge(level), allow_smaller_chunks=True)
    )
    assert smaller[1] == 9000 >> level.severity
    assert sum(smaller) == 30_000


def test_exact_chunks_across_row_groups_and_files(dataset: Path) -> None:
    expected = ds.dataset(dataset).to_table()
    for source in (dataset, str(dataset), ds.dataset(dataset)):
        calls: list[tuple[int, int]] = []
        chunks = list(
            process_in_chunks(
                source, 7001, progress_callback=lambda *args, calls=calls: calls.append(args)
            )
        )
        assert sizes(iter(chunks)) == [7001] * 4 + [1996]
        assert calls[-1] == (30_000, 30_000)
        assert pa.concat_tables(chunks).equals(expected)
        assert chunks[0].schema.equals(expected.schema, check_metadata=True)


def test_keeps_types_and_partition_columns(tmp_path: Path) -> None:
    day = datetime.date(2026, 1, 1)
    table = pa.table(
        {
            "i32": pa.array([1, 2, None], pa.int32()),
            "f32": pa.array([1.5, None, 2], pa.float32()),
            "text": pa.array(["a", None, "c"]),
            "view": pa.array(["a", None, "c"], pa.string_view()),
            "flag": [True, False, None],
            "day": pa.array([day, None, day]),
            "at": pa.array([1, 2, 3], pa.timestamp("ms", "UTC")),
            "dict": pa.array(["x", "y", None]).dictionary_encode(),
            "list": pa.array([[1], [], None], pa.list_(pa.int64())),
            "struct": pa.array([{"a": 1}, None, {"a": 3}]),
            "price": pa.array([1, 2, 3]).cast(pa.decimal128(30, 2)),
        }
    )
    for row, part in enumerate(["p", "q", "__HIVE_DEFAULT_PARTITION__"]):
        directory = tmp_path / f"part={part}"
        directory.mkdir()
        pq.write_table(table.slice(row, 1), directory / "a.parquet")
    for infer_dictionary in (False, True):
        partitioning = ds.HivePartitioning.discover(infer_dictionary=infer_dictionary)
        data = ds.dataset(tmp_path, partitioning=partitioning)
        assert parquet_files(data) is not None
        got = pa.concat_tables(process_in_chunks(data, 2)).combine_chunks()
        assert got.schema.equals(data.schema, check_metadata=True)
        assert got.to_pylist() == data.to_table().to_pylist()


def test_follows_the_schema_of_the_dataset(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": pa.array([1, 2], pa.int32())}), tmp_path / "1.parquet")
    pq.write_table(pa.table({"b": ["x"], "a": pa.array([3], pa.int64())}), tmp_path / "2.parquet")
    schema = pa.schema([("a", pa.int64()), ("b", pa.string())])
    got = pa.concat_tables(process_in_chunks(ds.dataset(tmp_path, schema=schema), 2))
    assert got.to_pydict() == {"a": [1, 2, 3], "b": [None, None, "x"]}
    narrow = ds.dataset(tmp_path, schema=pa.schema([("a", pa.int8()), ("b", pa.int8())]))
    with pytest.raises(floodwall.SchemaMismatchError, match=r"'b' of .*2\.parquet"):
        list(process_in_chunks(narrow, 2))


def test_reads_the_row_groups_a_fragment_views(dataset: Path) -> None:
    data = ds.dataset(dataset)
    parts = [next(iter(data.get_fragments())).subset(row_group_ids=[1, 3])]
    some = ds.FileSystemDataset(parts, data.schema, data.format, data.filesystem)
    assert parquet_files(some) is not None
    got = pa.concat_tables(process_in_chunks(some, 4000))
    assert got.equals(some.to_table())
    assert got.num_rows == 5000


def test_finished_calls_leave_their_pool_to_the_next(dataset: Path) -> None:
    def pools() -> int:
        return sum(len(pools) for pools in chunks._finished_pools.values())

    for _ in range(3):
        list(process_in_chunks(dataset, 9999, max_memory_mb=777))
    before = pools()
    kept = list(process_in_chunks(dataset, 9999, max_memory_mb=777))
    assert pools() == before
    list(process_in_chunks(dataset, 9999, max_memory_mb=777))
    assert pools() == before + 1  # the other's chunks still live
    del kept


def test_filters_and_other_formats_go_through_the_scanner(dataset: Path, tmp_path: Path) -> None:
    filtered = ds.dataset(dataset).filter(pc.field("id") >= 100)
    assert parquet_files(filtered) is None
    assert sizes(process_in_chunks(filtered, 10_000)) == [10_000, 10_000, 9_900]
    pyarrow.csv.write_csv(pa.table({"a": range(100)}), tmp_path / "a.csv")
    data = ds.dataset(tmp_path / "a.csv", format="csv")
    assert sizes(process_in_chunks(data, 33)) == [33, 33, 33, 1]
    in_memory = ds.dataset(pa.table({"a": range(10)}))
    assert sizes(process_in_chunks(in_memory, 4)) == [4, 4, 2]


def test_dictionary_options_go_through_the_scanner(dataset: Path) -> None:
    parquet = ds.ParquetFileFormat(dictionary_columns=["name"])
    data = ds.dataset(dataset, format=parquet)
    assert parquet_files(data) is None
    got = pa.concat_tables(process_in_chunks(data, 9999))
    assert got.schema.equals(data.schema)
    assert got.num_rows == 30_000


def test_a_refused_pool_raises_facts_or_yields_less(tmp_path: Path) -> None:
    rows = 400_000
    table = pa.table({"a": [f"{i:050d}" for i in range(rows)]})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=100_000)
    del table
    data = ds.dataset(tmp_path)
    monitor = MemoryMonitor(max_pyarrow_mb=12, min_system_available_mb=0)
    monitor.max_pyarrow_mb = pa.total_allocated_bytes() / (1 << 20) + 12
    pool_limit = int(monitor.max_pyarrow_mb * (1 << 20))
    with pytest.raises(floodwall.MemoryLimitExceeded, match="PyArrow: ") as caught:
        list(process_in_chunks(data, rows, memory_monitor=monitor))
    assert caught.value.limit_bytes == pool_limit
    assert caught.value.requested_bytes > 0
    monitor.check_memory_pressure = lambda: MemoryPressureLevel.NORMAL  # type: ignore[method-assign]
    seen = 0
    chunks = []
    for chunk in process_in_chunks(data, rows, memory_monitor=monitor, allow_smaller_chunks=True):
        chunks.append(chunk.num_rows)
        seen += chunk["a"][0].as_py() == f"{sum(chunks[:-1]):050d}"
        del chunk
    assert sum(chunks) == rows
    assert seen == len(chunks) > 1
