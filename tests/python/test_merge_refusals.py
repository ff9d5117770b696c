"""Bad input: a clear typed error, and the dataset as it was."""

import errno
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest

import floodwall

GOOD = pa.table({"id": [1, 2], "price": [1.0, 2.0]})


def contents(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*.parquet"))}


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda d: floodwall.merge(GOOD, d, "upsert", "nope"), floodwall.MergeError, "nope"),
        (lambda d: floodwall.merge(GOOD, d, "upsert", []), floodwall.MergeError, "key_columns"),
        (lambda d: floodwall.merge(GOOD, d, "replace", "id"), floodwall.MergeError, "strategy"),
        (lambda d: floodwall.merge(GOOD, "", "upsert", "id"), floodwall.MergeError, "path"),
        (lambda d: floodwall.merge(GOOD, "  ", "upsert", "id"), floodwall.MergeError, "path"),
        (lambda d: floodwall.merge(GOOD, d, "upsert", "id", max_memory=-1), ValueError, "-1"),
        (lambda d: floodwall.merge(GOOD, d, "upsert", "id", max_memory=0), ValueError, "0"),
        (lambda d: floodwall.merge(GOOD, d, "upsert", "id", max_memory="x"), ValueError, "'x'"),
        (lambda d: floodwall.merge(GOOD, d, "upsert", "id", max_memory=True), TypeError, "True"),
        (lambda d: floodwall.merge(GOOD, d, "upsert", "id", threads=-1), ValueError, "threads"),
        (lambda d: floodwall.merge(GOOD, d, "upsert", "id", compression="q"), ValueError, "'q'"),
        (lambda d: floodwall.merge(42, d, "upsert", "id"), TypeError, "data"),
        (lambda d: floodwall.merge("no*.parquet", d, "upsert", "id"), ValueError, "no*.parquet"),
        (
            lambda d: floodwall.merge(pa.table({"id": ["1"], "price": [1.0]}), d, "upsert", "id"),
            floodwall.SchemaMismatchError,
            "id",
        ),
        (
            lambda d: floodwall.merge(pa.table({"id": [1], "new": [1.0]}), d, "upsert", "id"),
            floodwall.SchemaMismatchError,
            "new",
        ),
        (
            lambda d: floodwall.merge(pa.table({"id": [1], "price": ["abc"]}), d, "update", "id"),
            floodwall.SchemaMismatchError,
            "price",
        ),
    ],
)
def test_bad_arguments(
    dataset: Path, call: Callable[[Path], object], error: type[Exception], text: str
) -> None:
    before = contents(dataset)
    with pytest.raises(error, match=text.replace("*", r"\*")):
        call(dataset)
    assert contents(dataset) == before


def test_update_needs_a_target(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="non-existent target"):
        floodwall.merge(GOOD.slice(0, 0), tmp_path / "none", "update", "id")
    assert not (tmp_path / "none").exists()


def test_a_source_without_rows_changes_nothing(dataset: Path) -> None:
    before = contents(dataset)
    result = floodwall.merge(GOOD.slice(0, 0), dataset, "upsert", "id")
    assert contents(dataset) == before
    assert result.target_count_after == 30_000
    assert len(result.preserved_files) == 3


@pytest.mark.parametrize("damage", ["truncated", "footer", "empty", "text"])
def test_corrupt_target_file(dataset: Path, damage: str) -> None:
    victim = dataset / "f1.parquet"
    data = victim.read_bytes()
    victim.write_bytes(
        {
            "truncated": data[: len(data) // 2],
            "footer": data[:-200] + bytes(192) + data[-8:],
            "empty": b"",
            "text": b"not parquet at all, just text that is long enough",
        }[damage]
    )
    before = contents(dataset)
    with pytest.raises(floodwall.UnsupportedFileError, match=r"f1\.parquet"):
        floodwall.merge(GOOD, dataset, "upsert", "id")
    assert contents(dataset) == before
    assert [p.name for p in (dataset / "_floodwall").iterdir()] == ["lock"]


def test_read_only_directory(dataset: Path) -> None:
    # root may write everywhere, so the child gives up its rights once it has imported.
    code = (
        "import os, sys, floodwall, pyarrow as pa\n"
        "if os.getuid() == 0: os.setuid(65534)\n"
        "try:\n"
        "    floodwall.merge(pa.table({'id': [1], 'price': [9.0]}), sys.argv[1], 'update', 'id')\n"
        "except floodwall.CommitError as error:\n"
        "    sys.exit(7 if error.errno == 13 else 1)\n"
    )
    before = contents(dataset)
    for parent in dataset.parents[:3]:
        parent.chmod(0o755)
    dataset.chmod(0o555)
    done = subprocess.run([sys.executable, "-c", code, str(dataset)], check=False)
    dataset.chmod(0o755)
    assert done.returncode == 7
    assert contents(dataset) == before


def test_a_limit_too_small_names_the_minimum_that_works(dataset: Path) -> None:
    source = pa.table({"id": list(range(0, 30_000, 3)), "price": [0.5] * 10_000})
    before = contents(dataset)
    with pytest.raises(floodwall.MemoryLimitTooSmall) as error:
        floodwall.merge(source, dataset, "update", "id", max_memory="2MiB")
    assert contents(dataset) == before
    minimum = error.value.minimum_bytes
    assert minimum > 2 << 20
    result = floodwall.merge(source, dataset, "update", "id", max_memory=minimum)
    assert result.updated == 10_000
    assert result.peak_memory_bytes <= minimum


def large_stream() -> pa.RecordBatchReader:
    """50 MB for keys that are not in the dataset."""
    schema = pa.schema([("id", pa.int64()), ("text", pa.string())])

    def batches() -> Iterator[pa.RecordBatch]:
        for i in range(5):
            ids = range(100_000 + i * 1000, 101_000 + i * 1000)
            text = [secrets.token_hex(5_000) for _ in ids]
            yield pa.record_batch([list(ids), text], schema=schema)

    return pa.RecordBatchReader.from_batches(schema, batches())


def test_a_full_spill_quota_is_a_spill_error(dataset: Path) -> None:
    before = contents(dataset)
    with pytest.raises(floodwall.SpillError, match="max_spill") as error:
        floodwall.merge(
            large_stream(), dataset, "update", "id", max_memory="24MiB", max_spill="1MiB"
        )
    assert error.value.errno == errno.EDQUOT
    assert contents(dataset) == before


def test_a_spill_directory_that_cannot_be_made_is_named(dataset: Path) -> None:
    before = contents(dataset)
    missing = dataset / "no" / "such"
    with pytest.raises(floodwall.SpillError, match="no/such") as error:
        floodwall.merge(
            large_stream(), dataset, "update", "id", max_memory="24MiB", spill_directory=missing
        )
    assert error.value.errno == errno.ENOENT
    assert contents(dataset) == before
    with pytest.raises(ValueError, match="spill_directory"):
        floodwall.merge(large_stream(), dataset, "update", "id", spill_directory="")
    with pytest.raises(ValueError, match="max_spill"):
        floodwall.merge(large_stream(), dataset, "update", "id", max_spill=-5)


def test_spill_files_leave_nothing(dataset: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    result = floodwall.merge(
        large_stream(), dataset, "update", "id", max_memory="24MiB", spill_directory=elsewhere
    )
    assert result.source_count == 5000
    assert result.bytes_spilled > 20_000_000
    assert list(elsewhere.iterdir()) == []
    result = floodwall.merge(large_stream(), dataset, "update", "id", max_memory="24MiB")
    assert result.bytes_spilled > 20_000_000
    assert [path.name for path in (dataset / "_floodwall").iterdir()] == ["lock"]


def test_two_merges_at_once_conflict(dataset: Path) -> None:
    import fcntl

    (dataset / "_floodwall").mkdir()
    with (dataset / "_floodwall" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(floodwall.ConflictError):
            floodwall.merge(GOOD, dataset, "upsert", "id")
        with pytest.raises(floodwall.ConflictError):
            floodwall.recover(dataset)


class _Alarm(floodwall.MemoryMonitor):
    """Calls an emergency from the given check on."""

    def __init__(self, calm_checks: int) -> None:
        super().__init__()
        self.calm_checks = calm_checks

    def get_memory_status(self) -> dict[str, float]:
        self.calm_checks -= 1
        return {"pyarrow_allocated_mb": 0.0 if self.calm_checks >= 0 else 1e9}


def test_an_emergency_stops_the_merge_and_keeps_the_dataset(dataset: Path) -> None:
    before = contents(dataset)
    with pytest.raises(MemoryError, match=r"stopped by its memory monitor.*PyArrow"):
        floodwall.merge(GOOD, dataset, "upsert", "id", memory_monitor=_Alarm(0))
    # A stream that is slow enough for the monitor to be asked while the merge runs.
    asked = _Alarm(3)

    def batches() -> Iterator[pa.RecordBatch]:
        for first in range(2000):
            time.sleep(0.01)
            yield pa.record_batch({"id": [first], "price": [1.0]})

    stream = pa.RecordBatchReader.from_batches(GOOD.schema, batches())
    with pytest.raises(MemoryError, match="stopped by its memory monitor"):
        floodwall.merge(stream, dataset, "upsert", "id", memory_monitor=asked)
    assert asked.calm_checks < 0
    assert contents(dataset) == before
    assert not list((dataset / "_floodwall").glob("stage-*"))
    calm = floodwall.MemoryMonitor(max_pyarrow_mb=1e6, min_system_available_mb=0)
    assert floodwall.merge(GOOD, dataset, "upsert", "id", memory_monitor=calm).updated == 2
