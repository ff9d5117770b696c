"""idempotency_token: a merge that was committed is not done again, whoever asks."""

import json
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from conftest import ROWS, make_table, parquet_files

import floodwall

# Null keys that match nothing are added by every merge: twice would show.
NEVER = {"null_keys": "never", "max_memory": "64MiB"}


def source(count: int = 100) -> pa.Table:
    return make_table(ROWS - 50, count).set_column(
        0, "id", pa.array([None if i % 2 else i for i in range(count)], pa.int64())
    )


def contents(root: Path) -> dict[str, tuple[bytes, int]]:
    return {str(p): (p.read_bytes(), p.stat().st_mtime_ns) for p in root.rglob("*.parquet")}


def test_a_retry_does_nothing_and_tells_the_same(dataset: Path) -> None:
    first = floodwall.merge(
        source(), dataset, "upsert", "id", idempotency_token="a b\n\0é", **NEVER
    )
    assert (first.inserted, first.already_committed) == (50, False)
    after = contents(dataset)
    # Not even the source is looked at.
    for data in (source(), source(10), pa.table({"x": [1]})):
        again = floodwall.merge(
            data, dataset, "upsert", "id", idempotency_token="a b\n\0é", **NEVER
        )
        assert again.already_committed
        known, told = first.to_dict(), again.to_dict()
        for late in ("already_committed", "elapsed_s", "metrics", "peak_memory_bytes"):
            known.pop(late)
            told.pop(late)
        assert told == known
        assert again.metrics["threads"] == first.metrics["threads"]
    assert contents(dataset) == after
    # Other tokens and none are other merges.
    for token in ("a b", None):
        more = floodwall.merge(source(), dataset, "upsert", "id", idempotency_token=token, **NEVER)
        assert (more.inserted, more.already_committed) == (50, False)


@pytest.mark.parametrize("strategy", ["insert", "update", "delete", "full_merge"])
def test_every_strategy_remembers(dataset: Path, strategy: str) -> None:
    data = make_table(0, 500)
    first = floodwall.merge(data, dataset, strategy, "id", idempotency_token="t")
    after = contents(dataset)
    again = floodwall.merge(make_table(5, 900), dataset, strategy, "id", idempotency_token="t")
    assert again.already_committed
    assert again.files == first.files
    assert contents(dataset) == after


def test_a_merge_without_changes_counts_too(dataset: Path) -> None:
    same = make_table(0, 10)
    first = floodwall.merge(same, dataset, "upsert", "id", idempotency_token="t")
    assert (first.unchanged, first.bytes_written, first.already_committed) == (10, 0, False)
    changed = make_table(100, 10).set_column(0, "id", same["id"])
    assert floodwall.merge(
        changed, dataset, "upsert", "id", idempotency_token="t"
    ).already_committed


def test_a_dataset_that_is_gone_remembers(dataset: Path) -> None:
    everything = ds.dataset(dataset).to_table()
    first = floodwall.merge(everything, dataset, "delete", "id", idempotency_token="t")
    assert (first.deleted, list(dataset.glob("*.parquet"))) == (ROWS, [])
    again = floodwall.merge(everything, dataset, "delete", "id", idempotency_token="t")
    assert (again.deleted, again.already_committed) == (ROWS, True)


def test_a_moved_dataset_remembers(dataset: Path, tmp_path: Path) -> None:
    floodwall.merge(source(), dataset, "upsert", "id", idempotency_token="t", **NEVER)
    dataset.rename(tmp_path / "moved")
    again = floodwall.merge(source(), tmp_path / "moved", "upsert", "id", idempotency_token="t")
    assert again.already_committed
    assert all(Path(file.path).is_file() for file in again.files)


def test_a_new_dataset_and_single_files(tmp_path: Path) -> None:
    root = tmp_path / "new"
    made = floodwall.merge(make_table(0, 100), root, "upsert", "id", idempotency_token="t")
    again = floodwall.merge(make_table(0, 900), root, "upsert", "id", idempotency_token="t")
    assert (made.inserted, again.inserted, again.already_committed) == (100, 100, True)
    for name in ("a", "b"):
        pq.write_table(make_table(0, 100), tmp_path / f"{name}.parquet")
    gone = make_table(0, 10)
    for done in (False, True):
        for name in ("a", "b"):
            path = tmp_path / f"{name}.parquet"
            result = floodwall.merge(gone, path, "delete", "id", idempotency_token="t")
            assert (result.already_committed, pq.read_table(path).num_rows) == (done, 90)


def test_misuse_is_refused(dataset: Path) -> None:
    floodwall.merge(source(), dataset, "upsert", "id", idempotency_token="t", **NEVER)
    after = contents(dataset)
    with pytest.raises(floodwall.MergeError, match="'t' was used for a merge with another"):
        floodwall.merge(source(), dataset, "insert", "id", idempotency_token="t")
    with pytest.raises(floodwall.MergeError, match="'t' was used for a merge with another"):
        floodwall.merge(source(), dataset, "upsert", ["id", "name"], idempotency_token="t")
    with pytest.raises(floodwall.MergeError, match="must not be empty"):
        floodwall.merge(source(), dataset, "upsert", "id", idempotency_token="")
    with pytest.raises(floodwall.MergeError, match="may have 1024 bytes, got 1025"):
        floodwall.merge(source(), dataset, "upsert", "id", idempotency_token="t" * 1025)
    with pytest.raises(TypeError, match="must be text"):
        floodwall.merge(source(), dataset, "upsert", "id", idempotency_token=7)  # type: ignore[arg-type]
    assert contents(dataset) == after
    # A merge that failed leaves no token.
    with pytest.raises(floodwall.MergeError):
        floodwall.merge(pa.table({"x": [1]}), dataset, "upsert", "id", idempotency_token="u")
    assert not floodwall.merge(
        source(), dataset, "upsert", "id", idempotency_token="u", **NEVER
    ).already_committed


def test_the_plan_of_a_retry_is_empty(dataset: Path) -> None:
    plan = floodwall.plan_merge(source(), dataset, "upsert", "id", idempotency_token="t", **NEVER)
    assert plan.inserted == 50
    floodwall.merge(source(), dataset, "upsert", "id", idempotency_token="t", **NEVER)
    plan = floodwall.plan_merge(source(), dataset, "upsert", "id", idempotency_token="t", **NEVER)
    assert (plan.inserted, plan.updated, plan.estimated_bytes_written) == (0, 0, 0)


def test_the_command(dataset: Path, tmp_path: Path) -> None:
    pq.write_table(source(), tmp_path / "s.parquet")
    command = [
        sys.executable, "-m", "floodwall", "merge", str(dataset), str(tmp_path / "s.parquet"),
        "--on", "id", "--null-keys", "never", "--no-progress", "--idempotency-token", "t",
    ]  # fmt: skip
    told = [
        subprocess.run([*command, *more], capture_output=True, text=True, check=True).stdout
        for more in (["--json"], ["--json"], [])
    ]
    first, second = json.loads(told[0]), json.loads(told[1])
    assert (first["already_committed"], second["already_committed"]) == (False, True)
    assert first["inserted"] == second["inserted"] == 50
    assert told[2].startswith("already committed, nothing was done")


_CHILD = """
import sys, floodwall, pyarrow.parquet as pq
source = pq.read_table(sys.argv[2])
print("ready", flush=True)
floodwall.merge(source, sys.argv[1], "upsert", "id", null_keys="never", max_memory="64MiB",
                idempotency_token="job")
"""


@pytest.mark.parametrize("kills", [20, pytest.param(300, marks=pytest.mark.long)])
def test_killed_and_tried_again_it_is_done_once(dataset: Path, tmp_path: Path, kills: int) -> None:
    count = 3000
    pq.write_table(source(count), tmp_path / "s.parquet")

    def start(root: Path) -> subprocess.Popen[bytes]:
        child = subprocess.Popen(
            [sys.executable, "-c", _CHILD, str(root), str(tmp_path / "s.parquet")],
            stdout=subprocess.PIPE,
        )
        child.stdout.readline()  # type: ignore[union-attr]
        return child

    whole = tmp_path / "whole"
    shutil.copytree(dataset, whole)
    child = start(whole)
    started = time.monotonic()
    assert child.wait() == 0
    duration = time.monotonic() - started
    child.stdout.close()
    files = {*parquet_files(dataset).values(), *parquet_files(whole).values()}
    seed = random.Random(11)
    seen = set()
    for i in range(kills):
        root = tmp_path / f"run{i}"
        shutil.copytree(dataset, root)
        child = start(root)
        # Most of a child's time is its end: early moments are tried as often as late ones.
        time.sleep(duration * 10 ** seed.uniform(-3, 0.1))
        child.kill()
        child.wait()
        child.stdout.close()
        assert set(parquet_files(root).values()) <= files
        result = floodwall.merge(
            source(count), root, "upsert", "id", idempotency_token="job", **NEVER
        )
        assert result.inserted == count // 2
        assert ds.dataset(root).count_rows() == ROWS + count // 2
        seen.add(result.already_committed)
        shutil.rmtree(root)
    assert seen == {False, True}
