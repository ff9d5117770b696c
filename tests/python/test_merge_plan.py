"""plan_merge: counts as the merge has them, bytes close to them, a memory that suffices."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import pytest
from conftest import make_table

import floodwall

ROWS = 120_000
GROUP = 15_000
COUNTS = (
    "source_count", "target_count_before", "target_count_after", "inserted", "updated", "deleted",
    "duplicates_dropped",
)  # fmt: skip
STRATEGIES = ["upsert", "insert", "update", "delete", "full_merge", "deduplicate"]


def rows(ids: list[int], salt: int = 0) -> pa.Table:
    return pa.table(
        {
            "id": pa.array(ids, pa.int64()),
            "text": pa.array([f"text number {(i * 7919 + salt) % 1_000_003}" for i in ids]),
            "price": pa.array([((i + salt) * 31 % 10_007) / 7 for i in ids], pa.float64()),
            "word": pa.array([f"w{(i + salt) % 50}" for i in ids]),
            "parts": pa.array([[i + salt, i] for i in ids], pa.list_(pa.int64())),
        }
    )


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("plan") / "base"
    root.mkdir()
    for i in range(4):
        part = rows(list(range(i * ROWS // 4, (i + 1) * ROWS // 4)))
        pq.write_table(part, root / f"f{i}.parquet", row_group_size=GROUP)
    return root


@pytest.fixture
def target(written: Path, tmp_path: Path) -> Callable[[], Path]:
    """Fresh copies of the dataset."""
    made = 0

    def copy() -> Path:
        nonlocal made
        made += 1
        root = tmp_path / f"d{made}"
        root.mkdir()
        for path in written.glob("*.parquet"):
            (root / path.name).write_bytes(path.read_bytes())
        return root

    return copy


def changes() -> pa.Table:
    """Rows of two files of four, new ones, and some keys twice."""
    ids = [*range(0, ROWS // 4, 40), *range(ROWS // 2, ROWS * 3 // 4, 25)]
    return rows([*ids, *ids[:100], *range(ROWS, ROWS + 9000)], salt=3)


def contents(root: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(p.relative_to(root)): (p.read_bytes(), p.stat().st_mtime_ns)
        for p in root.rglob("*")
        if p.is_file()
    }


def near(estimate: int, actual: int, part: float = 0.35) -> bool:
    return abs(estimate - actual) <= part * max(estimate, actual) + 20_000


@pytest.mark.parametrize("kind", ["table", "parquet"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_plan_tells_what_the_merge_does(
    target: Callable[[], Path], tmp_path: Path, strategy: str, kind: str
) -> None:
    root = target()
    source: object = changes()
    if kind == "parquet":
        pq.write_table(source, tmp_path / "changes.parquet")
        source = str(tmp_path / "changes.parquet")
    before = contents(root)
    plan = floodwall.plan_merge(source, root, strategy, "id", max_memory="128MiB")
    assert contents(root) == before
    assert {p.name for p in root.iterdir()} == {Path(n).name for n in before}
    result = floodwall.merge(source, root, strategy, "id", max_memory="128MiB")
    assert {n: getattr(plan, n) for n in COUNTS} == {n: getattr(result, n) for n in COUNTS}
    assert plan.rewritten_files == result.rewritten_files
    assert plan.preserved_files == result.preserved_files
    assert plan.deleted_files == result.deleted_files
    assert (plan.key_matching, plan.spills_rows) == ("in_memory", False)
    assert plan.estimated_bytes_spilled == result.bytes_spilled == 0
    for name in ("bytes_read", "bytes_written", "bytes_copied", "bytes_encoded"):
        assert near(getattr(plan, f"estimated_{name}"), getattr(result, name)), name
    sizes = {f.path: f.size_bytes for f in result.files}
    for file in plan.files:
        assert near(file.size_bytes, sizes[file.path])
    assert plan.row_groups == 8
    assert (plan.touched_row_groups == 0) == (strategy == "insert")


@pytest.mark.parametrize("kind", ["table", "parquet", "stream"])
@pytest.mark.parametrize("strategy", ["upsert", "delete", "full_merge"])
def test_the_minimum_suffices(
    target: Callable[[], Path], tmp_path: Path, strategy: str, kind: str
) -> None:
    table = rows([*range(0, ROWS, 2), *range(ROWS, ROWS + 50_000)], salt=5)
    pq.write_table(table, tmp_path / "changes.parquet")

    def source() -> object:
        if kind == "parquet":
            return str(tmp_path / "changes.parquet")
        return table if kind == "table" else pads.dataset(tmp_path / "changes.parquet")

    root = target()
    plan = floodwall.plan_merge(source(), root, strategy, "id", max_memory="512MiB")
    minimum = plan.minimum_memory_bytes
    expected = floodwall.merge(source(), root, strategy, "id", max_memory="512MiB")
    small = target()
    again = floodwall.plan_merge(source(), small, strategy, "id", max_memory=minimum)
    result = floodwall.merge(source(), small, strategy, "id", max_memory=minimum)
    assert result.peak_memory_bytes <= minimum
    assert {n: getattr(again, n) for n in COUNTS} == {n: getattr(expected, n) for n in COUNTS}
    assert {n: getattr(result, n) for n in COUNTS} == {n: getattr(expected, n) for n in COUNTS}
    # It is not far above what would just do.
    with pytest.raises(floodwall.MemoryLimitTooSmall):
        floodwall.merge(source(), target(), strategy, "id", max_memory=minimum // 3)


def test_spilling_is_foreseen(target: Callable[[], Path], tmp_path: Path) -> None:
    ids = [i * 7 % ROWS for i in range(ROWS)]
    more = list(range(ROWS, 8 * ROWS))
    source = tmp_path / "changes.parquet"
    with pq.ParquetWriter(source, rows([0]).schema) as writer:
        for first in range(0, len(ids + more), 50_000):
            writer.write_table(rows((ids + more)[first : first + 50_000], salt=1))
    root = target()
    before = contents(root)
    plan = floodwall.plan_merge(source, root, "upsert", "id", max_memory="40MiB")
    assert contents(root) == before
    result = floodwall.merge(source, root, "upsert", "id", max_memory="40MiB")
    assert {n: getattr(plan, n) for n in COUNTS} == {n: getattr(result, n) for n in COUNTS}
    assert plan.key_matching in ("in_passes", "partitioned")
    assert plan.spills_rows
    assert result.bytes_spilled > 1_000_000
    assert near(plan.estimated_bytes_spilled, result.bytes_spilled)
    assert near(plan.estimated_bytes_written, result.bytes_written)
    assert near(plan.estimated_bytes_read, result.bytes_read)


def test_partitions_new_columns_and_missing_targets(tmp_path: Path) -> None:
    days = pa.array([f"d{i % 3}" for i in range(3000)])
    base = rows(list(range(3000))).append_column("day", days)
    root = tmp_path / "parts"
    plan = floodwall.plan_merge(base, root, "upsert", "id", partition_columns="day")
    assert (plan.inserted, plan.target_count_before, root.exists()) == (3000, 0, False)
    floodwall.merge(base, root, "upsert", "id", partition_columns="day")
    moved = rows(list(range(30)), salt=9).append_column("day", pa.array(["d0"] * 30))
    plan = floodwall.plan_merge(moved, root, "upsert", "id")
    result = floodwall.merge(moved, root, "upsert", "id", max_memory=plan.minimum_memory_bytes)
    assert {n: getattr(plan, n) for n in COUNTS} == {n: getattr(result, n) for n in COUNTS}
    assert plan.rewritten_files == result.rewritten_files

    extra = rows([1, 2]).append_column("day", days[1:3]).append_column("new", pa.array([1, None]))
    plan = floodwall.plan_merge(extra, root, "upsert", "id", new_columns="add")
    result = floodwall.merge(
        extra, root, "upsert", "id", new_columns="add", max_memory=plan.minimum_memory_bytes
    )
    assert plan.rewritten_files == result.rewritten_files
    assert near(plan.estimated_bytes_written, result.bytes_written)


@pytest.mark.parametrize("kind", ["table", "parquet"])
def test_long_values_count(tmp_path: Path, kind: str) -> None:
    def cells(ids: range, size: int) -> pa.Table:
        random = Random(size)
        return pa.table({"id": ids, "cell": [random.randbytes(size) for _ in ids]})

    root = tmp_path / "d"
    root.mkdir()
    pq.write_table(cells(range(40), 1_000_000), root / "f.parquet", row_group_size=10)
    source: object = cells(range(20, 44), 1_500_000)
    if kind == "parquet":
        pq.write_table(source, tmp_path / "s.parquet")
        source = tmp_path / "s.parquet"
    plan = floodwall.plan_merge(source, root, "upsert", "id", max_memory="1GiB")
    minimum = plan.minimum_memory_bytes
    result = floodwall.merge(source, root, "upsert", "id", max_memory=minimum)
    assert (result.inserted, result.updated) == (plan.inserted, plan.updated) == (4, 20)
    assert result.peak_memory_bytes <= minimum


def test_what_merge_refuses_the_plan_refuses(target: Callable[[], Path], tmp_path: Path) -> None:
    root = target()
    source = changes()
    with pytest.raises(floodwall.MergeError, match="non-existent"):
        floodwall.plan_merge(source, tmp_path / "none", "update", "id")
    with pytest.raises(floodwall.MergeError, match="allow_delete_all"):
        floodwall.plan_merge(source.slice(0, 0), root, "full_merge", "id")
    with pytest.raises(floodwall.SchemaMismatchError, match="'more'"):
        more = source.append_column("more", source["id"])
        floodwall.plan_merge(more, root, "upsert", "id")
    with pytest.raises(floodwall.DuplicateKeyError):
        floodwall.plan_merge(source, root, "upsert", "id", source_duplicates="error")
    with pytest.raises(floodwall.MergeError, match="single file"):
        floodwall.plan_merge(source, root / "f0.parquet", "upsert", "id")
    with pytest.raises(TypeError, match="read only once"):
        floodwall.plan_merge(source.to_reader(), root, "upsert", "id")
    with pytest.raises(floodwall.MemoryLimitTooSmall) as refused:
        floodwall.plan_merge(source, root, "upsert", "id", max_memory="1MiB")
    assert refused.value.minimum_bytes > 1 << 20
    nothing = floodwall.plan_merge(source.slice(0, 0), root, "upsert", "id")
    assert (nothing.inserted, nothing.estimated_bytes_written) == (0, 0)
    (root / "_floodwall").mkdir()
    (root / "_floodwall" / "committed").write_text("of a merge that was killed")
    with pytest.raises(floodwall.ConflictError, match="recover"):
        floodwall.plan_merge(source, root, "upsert", "id")


def test_the_command_prints_it(target: Callable[[], Path], tmp_path: Path) -> None:
    root = target()
    pq.write_table(changes(), tmp_path / "changes.parquet")
    before = contents(root)

    def run(*more: str) -> str:
        command = [sys.executable, "-m", "floodwall", "merge", root, tmp_path / "changes.parquet"]
        done = subprocess.run(
            [*map(str, command), "--on", "id", "--max-memory", "64MiB", "--plan", *more],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout

    plan = floodwall.plan_merge(changes(), root, "upsert", "id", max_memory="64MiB")
    found = json.loads(run("--json"))
    assert {n: found[n] for n in COUNTS} == {n: getattr(plan, n) for n in COUNTS}
    assert found["minimum_memory_bytes"] > 0
    text = run()
    assert "inserted    9,000" in text
    assert "files       2 rewritten, 0 gone, 2 untouched" in text
    assert contents(root) == before


_PLANNING = """
import sys
import numpy as np
import pyarrow as pa
import floodwall

class Source:
    def __arrow_c_stream__(self, requested_schema=None):
        reader = pa.RecordBatchReader.from_batches(schema, self.batches())
        return reader.__arrow_c_stream__(requested_schema)

    def batches(self):
        for first in range(0, rows, 50_000):
            if first + 50_000 == rows:
                print("spilled", flush=True)
                sys.stdin.readline()
            yield batch(first)

def batch(first):
    numbers = np.arange(first, first + 50_000)
    return pa.record_batch({"id": numbers, "price": numbers * 1.5, "other": numbers * 7})

rows = int(sys.argv[2])
schema = batch(0).schema
plan = floodwall.plan_merge(Source(), sys.argv[1], "upsert", "id", max_memory="24MiB",
                            new_columns="ignore")
print(plan.source_count, plan.estimated_bytes_spilled > 0)
"""


@pytest.mark.parametrize("snapshot", ["in_place", "exchange"])
def test_a_merge_leaves_the_spills_of_a_plan_alone(dataset: Path, snapshot: str) -> None:
    count = 1_500_000
    child = subprocess.Popen(
        [sys.executable, "-c", _PLANNING, str(dataset), str(count)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == "spilled\n"
        spills = list((dataset / "_floodwall").glob("spill-*"))
        assert len(spills) == 1
        # A merge and its recovery take what a killed merge left for their own to remove.
        changes = make_table(0, 10).set_column(3, "price", pa.array([-1.0] * 10))
        floodwall.merge(changes, dataset, "update", "id", snapshot=snapshot)
        assert floodwall.recover(dataset).action == "none"
        assert spills[0].exists() == (snapshot == "in_place"), "the old version goes whole"
        told, _ = child.communicate("\n")
    assert child.returncode == 0
    assert told.split() == [str(count), "True"]
    assert [path.name for path in (dataset / "_floodwall").iterdir()] == ["lock"]
