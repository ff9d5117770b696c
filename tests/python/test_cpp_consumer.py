"""A C++ program finds floodwall in the installed wheel, builds against it and merges."""

import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

import floodwall

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "cpp"


def test_the_example_builds_with_find_package_and_merges(dataset: Path, tmp_path: Path) -> None:
    cmake_dir = subprocess.check_output(
        [sys.executable, "-m", "floodwall", "--cmake-dir"], text=True
    ).strip()
    tools = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}
    build = tmp_path / "build"
    subprocess.run(
        ["cmake", "-S", EXAMPLE, "-B", build, f"-Dfloodwall_DIR={cmake_dir}"],
        check=True, env=environment,
    )  # fmt: skip
    subprocess.run(["cmake", "--build", build], check=True, env=environment)
    source = tmp_path / "changes.parquet"
    pq.write_table(pa.table({"id": [1, 99_999], "price": [7.5, 8.5]}), source)
    out = subprocess.check_output([build / "upsert", dataset, source, "id", "64MiB"], text=True)
    assert out.startswith("1 inserted, 1 updated")
    assert floodwall.recover(dataset).action == "none"
    assert pq.read_table(dataset / "f0.parquet").column("price")[1].as_py() == 7.5
    bad = subprocess.run([build / "upsert", dataset, source, "nope"], check=False)
    assert bad.returncode == 1
