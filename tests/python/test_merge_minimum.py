"""However small the limit: the first minimum that a refusal names is enough."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import floodwall

KIB = 1 << 10
LIMITS = [KIB, 16 * KIB, 100 * KIB, 512 * KIB, 1 << 20, 3 << 20, 6 << 20, 12 << 20]


def rows(first: int, count: int, step: int = 1) -> pa.Table:
    ids = range(first, first + count * step, step)
    return pa.table(
        {
            "id": pa.array(ids, pa.int64()),
            "name": [f"name {i} " + "x" * (i % 90) for i in ids],
            "value": [i / 7 for i in ids],
        }
    )


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("base")
    for part in range(3):
        table = rows(part * 40_000, 40_000)
        pq.write_table(table, root / f"{part}.parquet", row_group_size=20_000)
    return root


def as_file(table: pa.Table, directory: Path) -> Path:
    pq.write_table(table, directory / "source.parquet")
    return directory / "source.parquet"


SOURCES: dict[str, Callable[[pa.Table, Path], object]] = {
    "table": lambda table, _: table,
    "stream": lambda table, _: table.to_reader(500),
    "file": as_file,
}

# Sources differ in what is loaded and added, not in what is found.
CASES = [("file", s) for s in ("upsert", "insert", "update", "delete", "full_merge")]
CASES += [(source, s) for source in ("table", "stream") for s in ("upsert", "full_merge")]


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize(("source", "strategy"), CASES)
def test_the_first_minimum_works(
    base: Path, tmp_path: Path, source: str, strategy: str, limit: int
) -> None:
    # Half of the keys are new.
    changes = rows(100_001, 8_000, 5)
    target = tmp_path / "target"
    shutil.copytree(base, target)
    before = {path.name: path.stat().st_mtime_ns for path in target.glob("*.parquet")}
    refused = None
    try:
        result = floodwall.merge(
            SOURCES[source](changes, tmp_path), target, strategy, "id", max_memory=limit
        )
    except floodwall.MemoryLimitTooSmall as error:
        refused = error
    if refused is not None:
        assert refused.minimum_bytes > limit
        assert str(refused).count("nothing was written") == 1
        assert {path.name: path.stat().st_mtime_ns for path in target.glob("*.parquet")} == before
        limit = refused.minimum_bytes
        result = floodwall.merge(
            SOURCES[source](changes, tmp_path), target, strategy, "id", max_memory=limit
        )
    assert result.peak_memory_bytes <= limit
    assert result.inserted == (4_000 if strategy in ("upsert", "insert", "full_merge") else 0)


@pytest.mark.parametrize("limit", LIMITS)
def test_a_new_dataset_has_a_minimum_too(tmp_path: Path, limit: int) -> None:
    changes = rows(0, 3_000)
    try:
        floodwall.merge(changes, tmp_path / "new", "insert", "id", max_memory=limit)
    except floodwall.MemoryLimitTooSmall as error:
        refused = error
    else:
        return
    assert not list(tmp_path.rglob("*.parquet"))
    result = floodwall.merge(
        changes, tmp_path / "new", "insert", "id", max_memory=refused.minimum_bytes
    )
    assert result.inserted == 3_000
