"""kill -9 at random moments: after recovery the dataset is the old one or the new one."""

import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from conftest import parquet_files

import floodwall

_CHILD = """
import sys, floodwall, pyarrow.parquet as pq
source = pq.read_table(sys.argv[2])
print("ready", flush=True)
floodwall.merge(source, sys.argv[1], "upsert", "id", max_memory="64MiB")
"""


def start(root: Path, source: Path) -> subprocess.Popen[bytes]:
    """Return a child that begins to merge now."""
    child = subprocess.Popen(
        [sys.executable, "-c", _CHILD, str(root), str(source)], stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    child.stdout.readline()
    return child


@pytest.mark.parametrize("kills", [50, pytest.param(500, marks=pytest.mark.long)])
def test_kill_at_random_moments(dataset: Path, tmp_path: Path, kills: int) -> None:
    import pyarrow.parquet as pq

    ids = list(range(0, 33_000, 3))
    source = pa.table({"id": ids, "price": [-1.0] * len(ids), "text": ["new"] * len(ids)})
    pq.write_table(source, tmp_path / "source.parquet")

    def read(root: Path) -> list[dict[str, object]]:
        return ds.dataset(root).to_table().sort_by("id").to_pylist()

    old = read(dataset)
    whole = tmp_path / "whole"
    shutil.copytree(dataset, whole)
    # How long a child's merge takes here and now, so that kills fall all over it.
    child = start(whole, tmp_path / "source.parquet")
    started = time.monotonic()
    assert child.wait() == 0
    duration = time.monotonic() - started
    child.stdout.close()
    new = read(whole)
    assert old != new

    files = {*parquet_files(dataset).values(), *parquet_files(whole).values()}
    seed = random.Random(7)
    outcomes = []
    for i in range(kills):
        root = tmp_path / f"run{i}"
        shutil.copytree(dataset, root)
        child = start(root, tmp_path / "source.parquet")
        time.sleep(seed.uniform(0, 1.2 * duration))
        child.kill()
        child.wait()
        child.stdout.close()
        # No pattern finds a staged file, and no reader that discovers files does.
        assert set(parquet_files(root).values()) <= files
        assert all(Path(name).read_bytes() in files for name in ds.dataset(root).files)
        floodwall.recover(root)
        assert floodwall.recover(root).action == "none"
        found = read(root)
        assert found in (old, new)
        outcomes.append(found == new)
        shutil.rmtree(root)
    assert True in outcomes
    assert False in outcomes
