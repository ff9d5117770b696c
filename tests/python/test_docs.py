"""Every Python block of the documentation runs, in order, page by page."""

import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_blocks_run(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dataset: Path
) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(), re.M | re.S)
    # What the pages call by name lies here.
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sales").mkdir()
    rows = {"order_id": [1, 2], "line": [1, 1], "price": [1.0, 2.0]}
    pq.write_table(pa.table(rows), "sales/a.parquet")
    pq.write_table(pa.table(rows | {"price": [3.0, 2.0]}), "changes.parquet")
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(page), "exec"), names)
    assert blocks or page.name != "README.md"
