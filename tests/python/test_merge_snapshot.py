"""snapshot="exchange": a reader finds the old directory or the new one, whatever happens."""

import json
import os
import random
import shutil
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from conftest import parquet_files

import floodwall
from floodwall.cli import main

_CHILD = """
import sys, floodwall
print("ready", flush=True)
floodwall.merge(sys.argv[2], sys.argv[1], "upsert", "id", max_memory="64MiB", snapshot="exchange")
"""


def changes(value: float, count: int = 10_000) -> pa.Table:
    """Rows of all three files, and new ones."""
    ids = [*range(0, 3 * count, 3), 100_000, 100_001]
    return pa.table({"id": ids, "price": [value] * len(ids), "text": ["new"] * len(ids)})


def read(root: Path) -> pa.Table:
    return ds.dataset(root).to_table().sort_by("id")


def beside(root: Path) -> list[str]:
    return sorted(path.name for path in root.parent.iterdir() if path.name.startswith("."))


def test_it_equals_a_merge_in_place(dataset: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(dataset, other)
    (dataset / "_notes").mkdir()
    (dataset / "_notes" / "read.me").write_text("not data")
    first = floodwall.merge(changes(-1.0), other, "upsert", "id", threads=1)
    plan = floodwall.plan_merge(changes(-1.0), dataset, "upsert", "id", snapshot="exchange")
    assert beside(dataset) == []
    second = floodwall.merge(changes(-1.0), dataset, "upsert", "id", threads=1, snapshot="exchange")
    assert read(dataset).equals(read(other))
    counts = ("inserted", "updated", "unchanged", "deleted", "target_count_after")
    assert [getattr(first, name) for name in counts] == [getattr(second, name) for name in counts]
    assert plan.inserted == second.inserted
    for name in ("f0.parquet", "f1.parquet", "f2.parquet"):
        assert (dataset / name).read_bytes() == (other / name).read_bytes()
    assert (dataset / "_notes" / "read.me").read_text() == "not data"
    assert beside(dataset) == []
    assert sorted(path.name for path in (dataset / "_floodwall").iterdir()) == ["lock"]


@pytest.mark.parametrize("strategy", ["insert", "update", "delete", "full_merge", "deduplicate"])
def test_every_strategy(dataset: Path, tmp_path: Path, strategy: str) -> None:
    other = tmp_path / "other"
    shutil.copytree(dataset, other)
    gone = changes(0.0) if strategy != "delete" else pa.table({"id": list(range(10_000, 21_000))})
    floodwall.merge(gone, other, strategy, "id")
    floodwall.merge(gone, dataset, strategy, "id", snapshot="exchange")
    assert read(dataset).equals(read(other))
    assert len(list(dataset.glob("*.parquet"))) == len(list(other.glob("*.parquet")))


def test_deduplicate(dataset: Path, tmp_path: Path) -> None:
    shutil.copy(dataset / "f0.parquet", dataset / "g.parquet")
    other = tmp_path / "other"
    shutil.copytree(dataset, other)
    inode = dataset.stat().st_ino
    result = floodwall.deduplicate(dataset, "id", keep="first", snapshot="exchange")
    assert result.deleted == floodwall.deduplicate(other, "id", keep="first").deleted == 10_000
    assert parquet_files(dataset) == parquet_files(other)
    assert dataset.stat().st_ino != inode
    assert beside(dataset) == []
    with pytest.raises(floodwall.MergeError, match="single file"):
        floodwall.deduplicate(dataset / "f0.parquet", "id", snapshot="exchange")
    with pytest.raises(floodwall.MergeError, match="'exchange', 'in_place'; got 'swap'"):
        floodwall.deduplicate(dataset, "id", snapshot="swap")


def test_a_missing_target_is_created(tmp_path: Path) -> None:
    root = tmp_path / "new" / "set"
    table = pa.table({"id": [1, 2], "day": ["a", "b"]})
    floodwall.merge(table, root, "upsert", "id", partition_columns=["day"], snapshot="exchange")
    assert ds.dataset(root, partitioning="hive").count_rows() == 2
    assert beside(root) == []


def test_a_token_is_remembered_across_exchanges(dataset: Path) -> None:
    options = {"snapshot": "exchange", "idempotency_token": "one"}
    first = floodwall.merge(changes(-1.0), dataset, "upsert", "id", **options)
    floodwall.merge(
        changes(-2.0), dataset, "upsert", "id", snapshot="exchange", idempotency_token="two"
    )
    again = floodwall.merge(changes(-1.0), dataset, "upsert", "id", **options)
    assert again.already_committed
    assert again.inserted == first.inserted == 2
    assert -2.0 in read(dataset)["price"].to_pylist()


def test_a_reader_finds_one_version(dataset: Path) -> None:
    """One that opens the directory once and reads below what it opened."""
    stop = threading.Event()
    seen: list[tuple[set[float], int]] = []
    wrong: list[object] = []

    def look() -> None:
        while not stop.is_set():
            directory = os.open(dataset, os.O_RDONLY | os.O_DIRECTORY)
            try:
                names = [n for n in os.listdir(directory) if n.endswith(".parquet")]  # noqa: PTH208
                ends: set[float] = set()
                for name in names:
                    handle = os.open(name, os.O_RDONLY, dir_fd=directory)
                    with os.fdopen(handle, "rb") as file:
                        table = pq.read_table(file, columns=["id", "price"])
                    # The first row of each old file is changed by every merge.
                    ends.add(table["price"][0].as_py())
                # What became the old version while it was read may have been listed in part.
                whole = os.fstat(directory).st_ino == dataset.stat().st_ino
                seen.append((ends, len(names) if whole else 3))
            except FileNotFoundError:
                continue  # the old version was removed while it was read
            except Exception as error:
                wrong.append(error)
            finally:
                os.close(directory)

    every = pa.table({"id": list(range(30_000))})
    floodwall.merge(
        every.append_column("price", pa.array([0.0] * 30_000)), dataset, "upsert", "id",
        snapshot="exchange",
    )  # fmt: skip
    reader = threading.Thread(target=look)
    reader.start()
    try:
        for value in range(1, 13):
            price = pa.array([float(value)] * 30_000)
            floodwall.merge(
                every.append_column("price", price), dataset, "upsert", "id", snapshot="exchange"
            )
    finally:
        stop.set()
        reader.join()
    assert not wrong
    assert seen
    assert {(len(ends), files) for ends, files in seen} <= {(1, 3), (0, 3)}
    assert max(len(ends) for ends, _ in seen) == 1, "no values of two versions"


@pytest.mark.parametrize("kills", [25, pytest.param(300, marks=pytest.mark.long)])
def test_kill_at_random_moments(dataset: Path, tmp_path: Path, kills: int) -> None:
    source = tmp_path / "source.parquet"
    pq.write_table(changes(-1.0), source)
    work = tmp_path / "work"
    work.mkdir()

    def start(root: Path) -> subprocess.Popen[bytes]:
        child = subprocess.Popen(
            [sys.executable, "-c", _CHILD, str(root), str(source)], stdout=subprocess.PIPE
        )
        assert child.stdout is not None
        with child.stdout as out:
            out.readline()
        return child

    old = read(dataset)
    whole = tmp_path / "whole"
    shutil.copytree(dataset, whole)
    child = start(whole)
    started = time.monotonic()
    assert child.wait() == 0
    duration = time.monotonic() - started
    new = read(whole)
    files = {*parquet_files(dataset).values(), *parquet_files(whole).values()}
    seed = random.Random(11)
    outcomes = set()
    for i in range(kills):
        root = work / f"run{i}"
        shutil.copytree(dataset, root)
        child = start(root)
        time.sleep(seed.uniform(0, 1.2 * duration))
        child.kill()
        child.wait()
        # Without recovery, too: no file but whole ones, wherever a pattern looks.
        assert set(parquet_files(work).values()) <= files
        before = read(root)
        assert before.equals(old) or before.equals(new)
        floodwall.recover(root)
        assert read(root).equals(before), "recovery changes no row"
        assert floodwall.recover(root).action == "none"
        assert beside(root) == []
        outcomes.add(before.equals(new))
        shutil.rmtree(root)
    assert outcomes == {False, True}


def test_refusals_name_the_argument_and_write_nothing(dataset: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(dataset)
    names = sorted(path.name for path in dataset.iterdir())
    for path, why in ((dataset / "f0.parquet", "single file"), (link, "symbolic link")):
        for call in (floodwall.merge, floodwall.plan_merge):
            with pytest.raises(floodwall.errors.MergeError, match=why) as refused:
                call(changes(-1.0), path, "update", "id", snapshot="exchange")
            assert "snapshot='exchange'" in str(refused.value)
            assert "use snapshot='in_place'" in str(refused.value)
    with pytest.raises(floodwall.errors.MergeError, match="'exchange', 'in_place'; got 'swap'"):
        floodwall.merge(changes(-1.0), dataset, "upsert", "id", snapshot="swap")
    assert sorted(path.name for path in dataset.iterdir()) == names


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
@pytest.mark.parametrize("of_root", ["parent", "file", "directory"])
def test_refusals_of_an_unprivileged_user(tmp_path: Path, of_root: str) -> None:
    parent = Path("/tmp") / f"floodwall-{tmp_path.parent.name}-{of_root}-{os.getpid()}"
    root = parent / "set"
    root.mkdir(parents=True)
    try:
        pq.write_table(pa.table({"id": [1], "v": [1]}), root / "a.parquet")
        for path in (parent, root, root / "a.parquet"):
            os.chown(path, 65534, 65534)
        broken = {"parent": parent, "file": root / "a.parquet", "directory": root}[of_root]
        os.chown(broken, 0, 0)
        broken.chmod(0o644 if of_root == "file" else 0o755)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
                table = pa.table({"id": [1], "v": [2]})
                floodwall.merge(table, root, "upsert", "id", snapshot="exchange")
            except floodwall.errors.MergeError as error:
                words = {"parent": "its parent", "file": "cannot be linked", "directory": "owner"}
                status = 0 if words[of_root] in str(error) else 2
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert [path.name for path in root.iterdir()] == ["a.parquet"]
    finally:
        shutil.rmtree(parent)


def test_command_line(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pq.write_table(changes(-1.0), tmp_path / "changes.parquet")
    inode = dataset.stat().st_ino
    command = ["merge", str(dataset), str(tmp_path / "changes.parquet"), "--on", "id", "--json"]
    assert main([*command, "--snapshot", "exchange", "--no-progress"]) == 0
    assert json.loads(capsys.readouterr().out)["inserted"] == 2
    assert dataset.stat().st_ino != inode
    assert main([*command, "--snapshot", "exchange", "--plan"]) == 0
    inode = dataset.stat().st_ino
    shutil.copy(dataset / "f0.parquet", dataset / "g.parquet")
    again = ["deduplicate", str(dataset), "--on", "id", "--keep", "first", "--no-progress"]
    assert main([*again, "--snapshot", "exchange"]) == 0
    assert dataset.stat().st_ino != inode
    one = ["merge", str(dataset / "f0.parquet"), *command[2:]]
    assert main([*one, "--snapshot", "exchange", "--no-progress"]) == 3
    assert "single file" in capsys.readouterr().err


def test_modes_are_kept(dataset: Path) -> None:
    dataset.chmod(0o2750)
    (dataset / "f1.parquet").chmod(0o640)
    floodwall.merge(changes(-1.0), dataset, "upsert", "id", snapshot="exchange")
    assert stat.S_IMODE(dataset.stat().st_mode) == 0o2750
    assert stat.S_IMODE((dataset / "f1.parquet").stat().st_mode) == 0o640
