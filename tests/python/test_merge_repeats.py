"""A service that merges all day: what one merge leaves behind in the process."""

import subprocess
import sys
from pathlib import Path

MERGES = 200

_CHILD = """
import sys
import pyarrow as pa
import floodwall
import memory_child
import os

table = pa.table({"id": [1, 2, 3], "name": ["a", "b", "c"]})


def merge(times):
    for i in range(times):
        changed = table.set_column(1, "name", pa.array([f"v{i}", "b", "c"]))
        floodwall.merge(changed, sys.argv[1], "upsert", ["id"], threads=1)


merge(100)  # allocators and lazy tables settle
before = memory_child.anonymous_bytes(os.getpid())
merge(int(sys.argv[2]))
print(memory_child.anonymous_bytes(os.getpid()) - before)
"""


def test_merges_leave_next_to_nothing_behind(dataset: Path, tmp_path: Path) -> None:
    tools = Path(__file__).resolve().parents[2] / "tools"
    target = tmp_path / "small"
    run = subprocess.run(
        [sys.executable, "-c", _CHILD, str(target), str(MERGES)],
        check=True, capture_output=True, text=True, env={"PYTHONPATH": str(tools)},
    )  # fmt: skip
    assert int(run.stdout) < MERGES * 1024
