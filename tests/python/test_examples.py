"""The examples that a person would copy run as they are."""

import importlib.util
import json
import re
import subprocess
import sys
import threading
import types
import urllib.error
import urllib.request
from pathlib import Path
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import floodwall
import memory_child

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
NIGHTLY = EXAMPLES / "nightly_upsert" / "nightly_upsert.py"
NOTEBOOK = EXAMPLES / "notebook" / "bounded_upsert.ipynb"


def load(path: Path) -> types.ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_nightly_upsert_in_256_mib(tmp_path: Path) -> None:
    """The whole process, imports and all, in a cgroup of 256 MiB."""
    orders, inbox = tmp_path / "orders", tmp_path / "inbox"
    orders.mkdir(), inbox.mkdir()
    rows = 400_000
    table = pa.table(
        {"order_id": pa.array(range(rows)), "line": pa.repeat(1, rows),
         "text": pa.array([f"unique text {i * 7919}" for i in range(rows)])}
    )  # fmt: skip
    pq.write_table(table, orders / "a.parquet")
    for i in (1, 2):
        change = table.slice(i, rows - 2).set_column(2, "text", pa.repeat(str(i), rows - 2))
        pq.write_table(change, inbox / f"{i}.parquet")
    command = [sys.executable, str(NIGHTLY), str(orders), str(inbox), "--on", "order_id,line"]
    done = memory_child.run_inside(command, 256 * memory_child.MIB)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("2 files: 0 inserted, 399,999 updated, 400,000 rows")
    texts = pq.read_table(orders, columns=["text"]).column(0).to_pylist()
    assert texts[:3] == ["unique text 0", "1", "2"]  # the later file won
    assert sorted(file.name for file in (inbox / "done").iterdir()) == ["1.parquet", "2.parquet"]

    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert again.stdout == "nothing to merge\n"
    pq.write_table(pa.table({"order_id": [1]}), inbox / "3.parquet")
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 3
    assert "line" in refused.stderr
    assert (inbox / "3.parquet").exists()


def test_dockerfile_names_what_exists_and_fits_the_script() -> None:
    text = (NIGHTLY.parent / "Dockerfile").read_text()
    copied = [
        source
        for sources in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.M)
        for source in sources.split()
    ]
    assert len(copied) >= 8
    assert all((ROOT / source).exists() for source in copied), copied
    entry = json.loads(re.search(r"^ENTRYPOINT (.*)$", text, re.M)[1])  # type: ignore[index]
    command = json.loads(re.search(r"^CMD (.*)$", text, re.M)[1])  # type: ignore[index]
    assert Path(entry[1]).name == NIGHTLY.name
    run = subprocess.run(
        [sys.executable, str(NIGHTLY), *entry[2:], *command], capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert run.stdout == "nothing to merge\n"  # understood, and /data is not there


def test_a_service_sheds_load_while_memory_is_short() -> None:
    example = load(EXAMPLES / "service" / "shed_load.py")
    monitor = floodwall.MemoryMonitor(max_pyarrow_mb=16, min_system_available_mb=0)
    application = example.ShedLoad(example.report, monitor)

    class Quiet(WSGIRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    def get(path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}{path}") as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers.get("Retry-After", "")

    with make_server("127.0.0.1", 0, application, handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            assert get("/") == (200, f"{sum(range(100_000))}\n")
            held = pa.allocate_buffer(17 << 20)
            assert get("/") == (503, "2")
            assert json.loads(get("/health")[1])["level"] == "emergency"
            del held
            assert get("/")[0] == 200
            assert application.shed == 1
        finally:
            server.shutdown()
            thread.join()


def test_notebook_cells_run_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {}
    for cell in json.loads(NOTEBOOK.read_text())["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            exec("".join(cell["source"]), names)
    assert "greedy cell" in capsys.readouterr().out


_EXECUTE = """
import sys, nbclient, nbformat
notebook = nbformat.read(sys.argv[1], 4)
nbclient.NotebookClient(notebook, kernel_name="python3", timeout=120).execute()
print(nbformat.writes(notebook))
"""


@pytest.mark.long
def test_notebook_runs_in_a_kernel() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _EXECUTE, NOTEBOOK], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "MergeResult(" in done.stdout and "greedy cell" in done.stdout


@pytest.mark.long
def test_dask_tasks_wait_for_their_budget() -> None:
    example = EXAMPLES / "dask" / "worker_budget.py"
    done = subprocess.run([sys.executable, example], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    peak = re.search(r"peak (\d+) MiB of 64", done.stdout)
    assert peak is not None
    assert 8 <= int(peak[1]) <= 64  # two at a time at most, out of four threads
