"""Ctrl-C in every phase of a merge: the dataset is as it was, and nothing is left behind."""

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import parquet_files

import floodwall

# What every child begins with. A merge that does not stop is ended by the test's time limit.
_START = """
import os, signal, sys, threading, time
import pyarrow as pa, pyarrow.parquet as pq
import floodwall

sys.modules["floodwall.merge"]._POLL_SECONDS = 0.001
root, source = sys.argv[1:3]

def interrupt():
    os.kill(os.getpid(), signal.SIGINT)

def stop_in(phase):
    def report(progress):
        seen.append(progress.phase)
        # Once: the second would interrupt the cleaning.
        if progress.phase == phase and seen.count(phase) == 1:
            interrupt()
    return report

seen = []
try:
{work}
except KeyboardInterrupt:
    print("interrupted", *dict.fromkeys(seen))
else:
    print("done", *dict.fromkeys(seen))
"""


def run(work: str, root: Path, source: Path | str = "") -> list[str]:
    """Return whether a child was interrupted, and which phases it saw."""
    code = _START.format(work=textwrap.indent(textwrap.dedent(work), "    "))
    child = subprocess.run(
        [sys.executable, "-c", code, str(root), str(source)],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert child.returncode == 0, child.stderr
    return child.stdout.split()


def expect_nothing_left(root: Path) -> None:
    assert [path.name for path in root.parent.iterdir() if path.name.startswith(".")] == []
    control = root / "_floodwall"
    assert not control.exists() or [path.name for path in control.iterdir()] == ["lock"]
    assert floodwall.recover(root).action == "none"


def make_rows(first: int, count: int, text: str) -> pa.Table:
    ids = np.arange(first, first + count)
    texts = np.char.add(np.char.add(f"{text} that takes some room ", ids.astype(str)), text)
    return pa.table({"id": ids, "text": texts})


# A producer that waits for ever, before its first batch or after it. Nobody wakes it.
_BLOCKED = """
def batches(whole):
    for _ in range(whole):
        yield batch
    interrupt()
    threading.Event().wait()

class Source:
    def __arrow_c_stream__(self, requested_schema=None):
        reader = pa.RecordBatchReader.from_batches(batch.schema, batches({whole}))
        return reader.__arrow_c_stream__(requested_schema)

batch = pq.read_table(source).to_batches()[0]
floodwall.{call}(Source(), root, "upsert", "id", max_memory="64MiB")
"""


@pytest.mark.parametrize("call", ["merge", "plan_merge"])
@pytest.mark.parametrize("whole", [0, 1, 3])
def test_a_stream_that_has_nothing_to_give(
    dataset: Path, tmp_path: Path, call: str, whole: int
) -> None:
    pq.write_table(pq.read_table(dataset / "f0.parquet"), tmp_path / "source.parquet")
    before = parquet_files(dataset)
    told = run(_BLOCKED.format(call=call, whole=whole), dataset, tmp_path / "source.parquet")
    assert told[0] == "interrupted"
    assert parquet_files(dataset) == before
    expect_nothing_left(dataset)


_ENDLESS = """
def batches():
    while True:
        yield batch
        rows.append(len(batch))
        if len(rows) > 40 and "spool" in seen and not told:
            told.append(len(rows))
            interrupt()

rows, told = [], []
batch = pq.read_table(source).to_batches()[0]
stream = pa.RecordBatchReader.from_batches(batch.schema, batches())
floodwall.merge(stream, root, "upsert", "id", max_memory="24MiB", progress=stop_in("none"))
"""


def test_a_stream_without_end_that_is_spilled(dataset: Path, tmp_path: Path) -> None:
    pq.write_table(make_rows(0, 30_000, "new"), tmp_path / "source.parquet")
    wide = pq.read_table(dataset / "f0.parquet").select(["id", "text"])
    pq.write_table(wide, dataset / "f0.parquet")
    for name in ("f1.parquet", "f2.parquet"):
        (dataset / name).unlink()
    before = parquet_files(dataset)
    told = run(_ENDLESS, dataset, tmp_path / "source.parquet")
    assert told[0] == "interrupted"
    assert "spool" in told
    assert parquet_files(dataset) == before
    expect_nothing_left(dataset)


_IN_PHASE = """
data = source
if {stream}:
    file = pq.ParquetFile(source)
    data = pa.RecordBatchReader.from_batches(file.schema_arrow, file.iter_batches(20_000))
floodwall.merge(data, root, "upsert", "id", max_memory="{memory}", threads=1,
                snapshot="{snapshot}", progress=stop_in("{phase}"))
"""


@pytest.mark.parametrize(
    ("phase", "stream", "memory", "snapshot"),
    [
        ("ingest", False, "64MiB", "in_place"),
        ("match", False, "64MiB", "in_place"),
        ("spool", True, "24MiB", "in_place"),
        ("match", True, "24MiB", "in_place"),
        ("route", True, "24MiB", "in_place"),
        ("rewrite", False, "64MiB", "in_place"),
        ("rewrite", True, "24MiB", "in_place"),
        ("insert", False, "64MiB", "in_place"),
        ("insert", True, "24MiB", "exchange"),
        ("commit", False, "64MiB", "exchange"),
    ],
)
def test_every_phase(tmp_path: Path, phase: str, stream: bool, memory: str, snapshot: str) -> None:
    # A phase that was over before it was stopped is tried again with more work in it.
    for attempt in range(5):
        rows = 150_000 * 2**attempt
        root = tmp_path / str(attempt) / "set"
        root.mkdir(parents=True)
        pq.write_table(make_rows(0, rows, "old"), root / "f.parquet", row_group_size=10_000)
        source = tmp_path / "source.parquet"
        pq.write_table(make_rows(rows // 2, rows, "new"), source)
        if phase == "commit":
            (root / "_many").mkdir()
            for i in range(2000 * 2**attempt):
                (root / "_many" / str(i)).touch()
        before = parquet_files(root)
        work = _IN_PHASE.format(phase=phase, stream=stream, memory=memory, snapshot=snapshot)
        told = run(work, root, source)
        expect_nothing_left(root)
        if told[0] == "interrupted" and parquet_files(root) == before:
            assert told[-1] == phase or phase in told
            return
        assert phase not in told or len(parquet_files(root)) == 2, "old or new"
    pytest.fail(f"{phase} was never seen in time")
