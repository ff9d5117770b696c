"""floodwall inspect: the layout as pyarrow reads it, and a memory with which merges work."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import ROWS, make_table

import floodwall


def inspect(path: Path, *more: str, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "floodwall", "inspect", str(path), *more],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return done.stderr if code else done.stdout


def test_it_tells_what_pyarrow_reads(dataset: Path) -> None:
    found = json.loads(inspect(dataset, "--json"))
    files = sorted(dataset.glob("*.parquet"))
    footers = [pq.ParquetFile(path).metadata for path in files]
    assert found["files"] == 3
    assert found["rows"] == ROWS
    assert found["row_groups"] == sum(m.num_row_groups for m in footers) == 12
    assert found["size_bytes"] == sum(path.stat().st_size for path in files)
    groups = [m.row_group(g) for m in footers for g in range(m.num_row_groups)]
    chunks = [[group.column(c) for c in range(group.num_columns)] for group in groups]
    assert found["largest_row_group_rows"] == 2500
    assert found["largest_row_group_bytes"] == max(
        sum(c.total_compressed_size for c in group) for group in chunks
    )
    assert [c["path"] for c in found["columns"]] == ["id", "name", "text", "price", "flag"]
    for i, column in enumerate(found["columns"]):
        own = [group[i] for group in chunks]
        assert column["codecs"] == ["snappy"]
        assert column["files"] == 3
        assert column["compressed_bytes"] == sum(c.total_compressed_size for c in own)
        assert column["uncompressed_bytes"] == sum(c.total_uncompressed_size for c in own)
        assert (column["largest_dictionary_bytes"] > 0) == own[0].has_dictionary_page
    assert found["columns"][1]["type"] == "BYTE_ARRAY String"
    assert (found["recovered"], found["partition_columns"]) == ("none", [])
    assert not (dataset / "_floodwall").exists()


@pytest.mark.parametrize("nested", [False, True])
def test_its_memory_is_enough(tmp_path: Path, nested: bool) -> None:
    rows = 60_000
    table = make_table(0, rows)
    if nested:
        table = table.append_column("parts", pa.array([[i, i] for i in range(rows)]))
    pq.write_table(table, tmp_path / "f.parquet", row_group_size=rows // 2)
    minimum = json.loads(inspect(tmp_path, "--json"))["minimum_merge_bytes"]
    prices = pa.array([-float(i) for i in range(rows)])
    changed = table.set_column(3, "price", prices).slice(rows // 2)
    pq.write_table(changed, tmp_path.parent / f"{tmp_path.name}.source.parquet")
    for source in (changed, str(tmp_path.parent / f"{tmp_path.name}.source.parquet")):
        floodwall.merge(source, tmp_path, "upsert", "id", max_memory=minimum)
    assert (
        pq.read_table(tmp_path / "f.parquet")["price"][rows // 2 :].combine_chunks()
        == (prices[rows // 2 :])
    )


def test_an_interrupted_merge_is_put_right_first(dataset: Path) -> None:
    stage = dataset / "_floodwall" / "stage-0123"
    stage.mkdir(parents=True)
    (stage / "000000.staged").write_bytes(b"half a file")
    text = inspect(dataset)
    assert text.startswith("an interrupted merge was cleaned\n3 files, 12 row groups, 30,000 rows")
    assert not stage.exists()
    assert "interrupted" not in inspect(dataset)


def test_partitions_codecs_and_columns_that_differ(tmp_path: Path) -> None:
    for day, codec in (("a", "zstd"), ("b", "none")):
        (tmp_path / f"day={day}").mkdir()
        table = make_table(0, 10)
        if day == "b":
            table = table.append_column("more", pa.array([[1]] * 10))
        pq.write_table(table, tmp_path / f"day={day}" / "f.parquet", compression=codec)
    found = json.loads(inspect(tmp_path, "--json"))
    assert found["partition_columns"] == ["day"]
    assert found["columns"][0]["codecs"] == ["uncompressed", "zstd"]
    more = found["columns"][-1]
    assert (more["path"], more["files"], more["codecs"]) == (
        "more.list.element",
        1,
        ["uncompressed"],
    )
    text = inspect(tmp_path)
    assert "partitioned by: day" in text
    assert "more.list.element (in 1 files)" in text


def test_what_is_no_dataset_is_refused(tmp_path: Path) -> None:
    assert "no Parquet file" in inspect(tmp_path, code=3)
    (tmp_path / "f.parquet").write_bytes(b"PAR1 but no more")
    assert "f.parquet" in inspect(tmp_path, code=3)
