import glob
import signal
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

# A shell that starts the tests in the background has them ignore Ctrl-C, and with them every
# program they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROWS = 30_000


def make_table(first: int, count: int) -> pa.Table:
    ids = range(first, first + count)
    return pa.table(
        {
            "id": pa.array(ids, pa.int64()),
            "name": pa.array([f"n{i % 100}" if i % 7 else None for i in ids]),
            "text": pa.array([f"unique text {i}" for i in ids]),
            "price": pa.array([i / 2 for i in ids], pa.float64()),
            "flag": pa.array([i % 3 == 0 for i in ids]),
        }
    )


def parquet_files(root: Path) -> dict[str, bytes]:
    """Contents of all that the pattern ``**/*.parquet`` finds, hidden directories included."""
    names = glob.glob("**/*.parquet", root_dir=root, recursive=True, include_hidden=True)  # noqa: PTH207
    return {name: (root / name).read_bytes() for name in names}


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Three files of 10,000 rows in row groups of 2,500."""
    root = tmp_path / "dataset"
    root.mkdir()
    for i in range(3):
        table = make_table(i * ROWS // 3, ROWS // 3)
        pq.write_table(table, root / f"f{i}.parquet", row_group_size=2500, write_page_index=True)
    return root
