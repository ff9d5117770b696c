"""The C++ examples find floodwall in the installed wheel, build against it and run."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import floodwall

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "cpp"


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cmake_dir = subprocess.check_output(
        [sys.executable, "-m", "floodwall", "--cmake-dir"], text=True
    ).strip()
    tools = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}
    build = tmp_path_factory.mktemp("build")
    subprocess.run(
        ["cmake", "-S", EXAMPLE, "-B", build, f"-Dfloodwall_DIR={cmake_dir}"],
        check=True, env=environment,
    )  # fmt: skip
    subprocess.run(["cmake", "--build", build, "-j2"], check=True, env=environment)
    return build


def test_upsert_merges(build: Path, dataset: Path, tmp_path: Path) -> None:
    source = tmp_path / "changes.parquet"
    pq.write_table(pa.table({"id": [1, 99_999], "price": [7.5, 8.5]}), source)
    out = subprocess.check_output([build / "upsert", dataset, source, "id", "64MiB"], text=True)
    assert out.startswith("1 inserted, 1 updated")
    assert floodwall.recover(dataset).action == "none"
    assert pq.read_table(dataset / "f0.parquet").column("price")[1].as_py() == 7.5
    bad = subprocess.run([build / "upsert", dataset, source, "nope"], check=False)
    assert bad.returncode == 1


def test_guarded_names_the_holder(build: Path) -> None:
    out = subprocess.check_output([build / "guarded"], text=True)
    assert out == "32.0 MiB refused, limit 64.0 MiB\n  cache holds 40.0 MiB\n"


def test_watch_records(build: Path, tmp_path: Path) -> None:
    out = subprocess.check_output([build / "watch", tmp_path / "a.flood"], text=True)
    assert re.search(r"^[1-9]\d* samples recorded$", out, re.M)
