"""``floodwall run`` on programs of other people's libraries: pandas, Dask, threads."""

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from floodwall import launch

MIB = 1 << 20

PANDAS = """
    import pandas as pd
    frame = pd.read_parquet(path, dtype_backend="pyarrow")
    total = int(frame["k"].sum())
    frame.sort_values("v").to_parquet(path + ".sorted")
    print(total)
"""
DASK = """
    import dask, dask.dataframe as dd
    with dask.config.set(scheduler="threads", num_workers=4):
        frame = dd.read_parquet(path, split_row_groups=True)
        print(int(frame["k"].sum().compute()))
"""
THREADS = """
    import concurrent.futures, pyarrow.parquet as pq, pyarrow.compute as pc
    file = pq.ParquetFile(path)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        groups = [pool.submit(pq.ParquetFile(path).read_row_group, i)
                  for i in range(file.num_row_groups)]
        print(sum(pc.sum(group.result()["k"]).as_py() for group in groups))
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "a.parquet"
    random = np.random.default_rng(7)
    rows = 1_000_000
    table = pa.table({
        "k": np.arange(rows), "v": random.random(rows),
        "t": pa.array([f"text of row {i % 1000}" for i in range(rows)]),
    })  # fmt: skip
    pq.write_table(table, path, row_group_size=100_000)
    return path


def run(limit: str, code: str, path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "floodwall", "run", "--limit", limit, "--",
         sys.executable, "-c", f"path = {str(path)!r}\n" + textwrap.dedent(code)],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("program", [PANDAS, DASK, THREADS], ids=["pandas", "dask", "threads"])
def test_programs_run_inside_a_limit_that_fits(program: str, data: Path) -> None:
    done = run("2GiB", program, data)
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) == 499_999_500_000


@pytest.mark.parametrize("program", [PANDAS, DASK, THREADS], ids=["pandas", "dask", "threads"])
def test_programs_can_catch_what_does_not_fit(program: str, data: Path) -> None:
    """The limit is what the program needs without Arrow, and next to nothing more."""
    imports = "import pandas, dask.dataframe, pyarrow.parquet, pyarrow.dataset, pyarrow.compute\n"
    bare = launch.launch([sys.executable, "-c", imports], 4 << 30)
    caught = (
        imports
        + "try:\n"
        + textwrap.indent(textwrap.dedent(program), "    ")
        + "\nexcept MemoryError as error:\n    print('caught', type(error).__name__)\n"
    )
    done = run(str(bare.anonymous_peak_bytes + 12 * MIB), caught, data)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("caught ArrowMemoryError")
    assert "Arrow allocations refused" in done.stderr


def test_counts_what_arrow_counts(data: Path, tmp_path: Path) -> None:
    """Blocks that live, were reallocated, freed, and passed between threads."""
    told = tmp_path / "told"
    code = f"""
import pathlib, time, pyarrow as pa, pyarrow.parquet as pq
table = pq.read_table({str(data)!r})
kept = table.filter(pa.compute.greater(table["v"], 0.25)).group_by("t").aggregate([("k", "sum")])
del table
builder = pa.BufferOutputStream()
for _ in range(1000): builder.write(b"x" * 1000)
whole = builder.getvalue()
while (before := pa.total_allocated_bytes()) != (time.sleep(0.3), pa.total_allocated_bytes())[1]:
    pass  # Arrow's workers may still let go of something
pathlib.Path({str(told)!r}).write_text(str(before))
time.sleep(0.6)
import os; os._exit(0)
"""
    figures: list[launch.Figures] = []
    outcome = launch.launch([sys.executable, "-c", code], 2 << 30, observe=figures.append)
    assert (outcome.exit_code, outcome.refused, outcome.stopped) == (0, 0, None)
    assert figures[-3].arrow_bytes == int(told.read_text()) > MIB
