"""The drop-in without fsspeckit; tools/fsspeckit_suite.py runs the tests of fsspeckit itself."""

import gc
import importlib
import inspect
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import pytest

import floodwall
import floodwall.fsspeckit as drop_in


@pytest.fixture
def installed() -> Iterator[None]:
    drop_in.install()
    yield
    drop_in.uninstall()


def module(name: str) -> types.ModuleType:
    return importlib.import_module(f"fsspeckit.datasets.pyarrow{name}")


def test_install_and_uninstall_leave_nothing_behind() -> None:
    before = {name for name in sys.modules if name.startswith("fsspeckit")}
    drop_in.install()
    drop_in.install()
    assert module(".memory").MemoryMonitor.__module__ == "floodwall.fsspeckit.memory"
    drop_in.uninstall()
    drop_in.uninstall()
    assert {name for name in sys.modules if name.startswith("fsspeckit")} == before


@pytest.mark.usefixtures("installed")
def test_names_are_where_they_are_expected() -> None:
    memory, dataset, io, package = (module(name) for name in (".memory", ".dataset", ".io", ""))
    assert memory.BYTES_IN_MB == 1048576
    assert memory.bytes_to_mb(1048576) == 1.0
    assert memory.mb_to_bytes(1.5) == 1572864
    level = memory.MemoryPressureLevel
    assert memory.max_pressure(level.WARNING, level.CRITICAL) is level.CRITICAL
    assert package.MemoryMonitor is memory.MemoryMonitor is dataset.MemoryMonitor
    assert package.PyarrowDatasetIO is io.PyarrowDatasetIO
    assert callable(dataset.process_in_chunks)
    parameters = inspect.signature(io.PyarrowDatasetIO.merge).parameters
    assert parameters["merge_max_memory_mb"].default == 1024
    assert parameters["merge_max_process_memory_mb"].default is None
    assert parameters["merge_min_system_available_mb"].default == 512


@pytest.mark.usefixtures("installed")
def test_monitoring_as_documented() -> None:
    from fsspeckit.datasets.pyarrow.dataset import PerformanceMonitor, process_in_chunks
    from fsspeckit.datasets.pyarrow.memory import MemoryMonitor, MemoryPressureLevel

    monitor = MemoryMonitor(
        max_pyarrow_mb=4096, max_process_memory_mb=6144, min_system_available_mb=1
    )
    status = monitor.get_memory_status()
    assert set(status) == {"pyarrow_allocated_mb", "process_rss_mb", "system_available_mb"}
    seen = 0
    for chunk in process_in_chunks(
        pa.table({"x": range(25)}), chunk_size_rows=10, memory_monitor=monitor
    ):
        seen += chunk.num_rows
        if monitor.should_check_memory(seen // 10, check_interval=1):
            pressure = monitor.check_memory_pressure()
            if pressure == MemoryPressureLevel.WARNING:
                gc.collect()
            elif pressure == MemoryPressureLevel.EMERGENCY:
                raise MemoryError(monitor.get_detailed_status())
    assert seen == 25
    performance = PerformanceMonitor(
        max_pyarrow_mb=1024, max_process_memory_mb=2048, min_system_available_mb=1
    )
    performance.start_op("large_processing")
    performance.end_op()
    metrics = performance.get_metrics(1000, 900, 1024 * 1024)
    for name in ("memory_peak_mb", "process_memory_peak_mb", "system_available_mb"):
        assert f"{metrics[name]:.1f}"
    assert sum(metrics["memory_pressure_stats"].values()) >= 1
    assert "large_processing" in metrics["operation_breakdown"]


@pytest.mark.usefixtures("installed")
def test_psutil_is_a_switch(caplog: pytest.LogCaptureFixture) -> None:
    from fsspeckit.datasets.pyarrow.memory import MemoryMonitor, MemoryPressureLevel

    monitor = MemoryMonitor(max_process_memory_mb=1, min_system_available_mb=0)
    assert monitor.check_memory_pressure() is MemoryPressureLevel.EMERGENCY
    with (
        caplog.at_level("INFO", "floodwall"),
        mock.patch("fsspeckit.datasets.pyarrow.memory.psutil", None),
    ):
        assert set(MemoryMonitor(max_process_memory_mb=1).get_memory_status()) == {
            "pyarrow_allocated_mb"
        }
        assert monitor.check_memory_pressure() is MemoryPressureLevel.NORMAL
        assert monitor._process is None
    assert "psutil not available; system memory thresholds will be ignored." in caplog.text
    fake = mock.Mock()
    fake.Process.return_value.memory_info.return_value.rss = 7 << 20
    fake.virtual_memory.return_value.available = 9 << 20
    with mock.patch("fsspeckit.datasets.pyarrow.memory.psutil", fake):
        status = monitor.get_memory_status()
        assert (status["process_rss_mb"], status["system_available_mb"]) == (7.0, 9.0)
        fake.virtual_memory.side_effect = PermissionError("no")
        assert set(monitor.get_memory_status()) == {"pyarrow_allocated_mb", "process_rss_mb"}
    assert monitor.get_memory_status()["process_rss_mb"] > 10
    rss = module(".memory").psutil.Process().memory_info().rss
    assert rss > 10 << 20


@pytest.mark.usefixtures("installed")
def test_merge_with_the_seeds_limits(dataset: Path) -> None:
    from fsspeckit.datasets.pyarrow.io import PyarrowDatasetIO

    seen: list[tuple[int, int]] = []
    with PyarrowDatasetIO() as handler:
        result = handler.merge(
            data=[pa.table({"id": [1, 2]}), pa.table({"id": [99_999], "price": [1.5]})],
            path=str(dataset),
            strategy="upsert",
            key_columns=["id"],
            merge_max_memory_mb=64,
            merge_max_process_memory_mb=8192,
            merge_min_system_available_mb=1,
            merge_progress_callback=lambda done, total: seen.append((done, total)),
        )
        assert (result.source_count, result.inserted, result.updated) == (3, 1, 2)
        assert result.target_count_before + result.inserted == result.target_count_after
        assert len(result.rewritten_files) == 1 and len(result.preserved_files) == 2
        assert [file.operation for file in result.files] == [
            "rewritten", "inserted", "preserved", "preserved",
        ]  # fmt: skip
        assert {"memory_pressure_stats", "operation_breakdown"} <= set(result.metrics)
        rows = handler.read_parquet(str(dataset), filters=[("id", "in", [1, 99_999])])
        prices = dict(zip(*(rows.column(n).to_pylist() for n in ("id", "price")), strict=True))
        assert prices == {1: None, 99_999: 1.5}  # columns that the source lacks become null
        with pytest.raises(MemoryError, match="stopped by its memory monitor"):
            handler.merge(
                pa.table({"id": [1]}), str(dataset), "update", "id", merge_max_process_memory_mb=1
            )


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"strategy": "replace"}, "strategy must be one of"),
        ({"path": " "}, "Path cannot be empty"),
        ({"path": "a\nb"}, "control character"),
        ({"compression": "rar"}, "compression must be one of"),
        ({"max_rows_per_file": 0}, "max_rows_per_file"),
        ({"row_group_size": -1}, "row_group_size"),
        ({"key_columns": []}, "key_columns must name"),
        ({"key_columns": ["nope"]}, "key column missing from the source"),
        ({"partition_columns": ["nope"]}, "partition column missing from the source"),
        ({"path": "does-not-exist", "strategy": "update"}, "non-existent target"),
    ],
)
def test_bad_arguments(dataset: Path, arguments: dict[str, Any], text: str) -> None:
    from fsspeckit.datasets.pyarrow.io import PyarrowDatasetIO

    call: dict[str, Any] = {
        "data": pa.table({"id": [1]}), "path": str(dataset), "strategy": "upsert",
        "key_columns": ["id"],
    }  # fmt: skip
    with pytest.raises(ValueError, match=text):
        PyarrowDatasetIO().merge(**(call | arguments))


@pytest.mark.usefixtures("installed")
def test_a_merge_by_exchange(dataset: Path) -> None:
    from floodwall.fsspeckit.io import make_merge

    handler = module(".io").PyarrowDatasetIO()
    inode = dataset.stat().st_ino
    rows = pq.read_table(dataset / "f0.parquet").slice(0, 3)
    rows = rows.set_column(3, "price", pa.array([-1.0] * 3))
    merged = handler.merge(rows, str(dataset), "upsert", "id", snapshot="exchange")
    assert (merged.updated, dataset.stat().st_ino != inode) == (3, True)
    with pytest.raises(ValueError, match="'exchange', 'in_place'; got 'swap'"):
        handler.merge(rows, str(dataset), "upsert", "id", snapshot="swap")
    elsewhere = types.SimpleNamespace(_filesystem=types.SimpleNamespace(protocol="memory"))
    merge = make_merge(lambda *_, **__: pytest.fail("the argument was dropped"))
    with pytest.raises(ValueError, match="snapshot must be 'in_place' where 'x' lies"):
        merge(elsewhere, rows, "x", "upsert", "id", snapshot="exchange")


@pytest.mark.usefixtures("installed")
def test_partitioned_inserts_and_refused_moves(tmp_path: Path) -> None:
    from fsspeckit.datasets.pyarrow.io import PyarrowDatasetIO

    handler = PyarrowDatasetIO()
    table = pa.table({"id": [1, 2], "day": ["01", "a b"], "v": [1, 2]})
    path = str(tmp_path / "data")
    handler.write_dataset(table, path, partition_by="day")
    source = pa.table({"id": [3], "day": ["01"], "v": [3]})
    result = handler.merge(source, path, "upsert", "id", partition_columns=["day"])
    assert "/day=01/" in result.inserted_files[0]
    with pytest.raises(ValueError, match="partition column"):
        handler.merge(
            pa.table({"id": [1], "day": ["02"], "v": [9]}), path, "upsert", "id",
            partition_columns=["day"],
        )  # fmt: skip


@pytest.mark.usefixtures("installed")
def test_table_merges_keep_order_types_and_last_row(tmp_path: Path) -> None:
    from fsspeckit.datasets.pyarrow.dataset import merge_update_pyarrow, merge_upsert_pyarrow

    existing = pa.table({"id": pa.array([1, 2, None], pa.int32()), "v": ["a", "b", "n"]})
    source = pa.table({"id": pa.array([2, None, 4, 4]), "x": [0, 0, 0, 0], "v": list("BNXY")})
    upserted = merge_upsert_pyarrow(existing, source, ["id"])
    assert upserted.schema == existing.schema
    assert upserted.to_pydict() == {"id": [1, 2, None, 4], "v": ["a", "B", "N", "Y"]}
    updated = merge_update_pyarrow(existing, source, ["id"])
    assert updated.to_pydict() == {"id": [1, 2, None], "v": ["a", "B", "N"]}
    assert merge_update_pyarrow(existing, source.slice(2), ["id"]).equals(existing)
    # A dataset goes through a writer chunk by chunk.
    pq.write_table(existing, tmp_path / "existing.parquet")
    with pq.ParquetWriter(tmp_path / "out.parquet", existing.schema) as writer:
        merged = merge_upsert_pyarrow(
            pads.dataset(tmp_path / "existing.parquet"), source, ["id"], chunk_size=2, writer=writer
        )
    assert merged is None
    assert pq.read_table(tmp_path / "out.parquet").to_pydict() == upserted.to_pydict()


def test_key_matcher_compares_as_a_merge_does() -> None:
    from floodwall import _core

    kept = pa.table({"k": pa.array([1.0, float("nan"), -0.0, None]), "s": ["a", "a", "a", None]})
    other = pa.table(
        {"k": pa.array([0.0, float("nan"), None, 5.0], pa.float64()),
         "s": pa.array(["a", "a", None, "a"]).dictionary_encode()}
    )  # fmt: skip
    matcher = _core.KeyMatcher.make(kept, other.slice(0, 0), ["k", "s"])
    assert matcher.find(other).to_pylist() == [2, 1, 3, None]
    assert matcher.winners().to_pylist() == [0, 1, 2, 3]
    with pytest.raises(floodwall.SchemaMismatchError, match="missing"):
        _core.KeyMatcher.make(kept, other, ["nope"])
    with pytest.raises(floodwall.SchemaMismatchError):
        matcher.find(pa.table({"k": ["x"], "s": ["a"]}))
