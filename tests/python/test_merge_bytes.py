"""What each kind of merge reads, copies and encodes, in bytes: the reasons for its speed."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import floodwall

FILES, GROUPS, GROUP_ROWS = 4, 5, 4_000
FILE_ROWS = GROUPS * GROUP_ROWS
ROWS = FILES * FILE_ROWS


def table(ids: list[int], tag: str = "old") -> pa.Table:
    """Return rows of even ids, whose columns take about as much as each other."""
    return pa.table(
        {
            "id": pa.array(ids, pa.int64()),
            "a": pa.array([i * 7919 % 1_000_003 for i in ids], pa.int64()),
            "b": pa.array([i * 104_729 % 1_000_003 / 4 for i in ids], pa.float64()),
            "c": pa.array([f"{tag} {i * 15_485_863 % 1_000_003}" for i in ids]),
        }
    )


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    root = tmp_path / "d"
    root.mkdir()
    for file in range(FILES):
        first = 2 * file * FILE_ROWS
        rows = table(list(range(first, first + 2 * FILE_ROWS, 2)))
        pq.write_table(
            rows, root / f"f{file}.parquet", row_group_size=GROUP_ROWS, use_dictionary=False
        )
    return root


def chunk_bytes(root: Path, columns: set[str]) -> int:
    """Return the encoded bytes of all chunks of these columns."""
    total = 0
    for path in root.glob("*.parquet"):
        metadata = pq.read_metadata(path)
        for g in range(metadata.num_row_groups):
            group = metadata.row_group(g)
            for c in range(group.num_columns):
                if group.column(c).path_in_schema in columns:
                    total += group.column(c).total_compressed_size
    return total


def sizes(root: Path) -> dict[str, tuple[int, int]]:
    found = {path.name: path.stat() for path in root.glob("*.parquet")}
    return {name: (stat.st_mtime_ns, stat.st_ino) for name, stat in found.items()}


def test_an_insert_reads_keys_and_writes_new_rows_only(dataset: Path) -> None:
    before = sizes(dataset)
    new = table(list(range(1, 2 * ROWS, 40)), "new")
    result = floodwall.merge(new, dataset, "insert", "id")
    assert result.inserted == new.num_rows
    assert result.bytes_read == chunk_bytes(dataset, {"id"}) - key_bytes_of(result)
    assert result.bytes_written == sum(Path(path).stat().st_size for path in result.inserted_files)
    assert {name: sizes(dataset)[name] for name in before} == before


def key_bytes_of(result: floodwall.MergeResult) -> int:
    """Return the encoded bytes of the key in the files that the merge added."""
    total = 0
    for path in result.inserted_files:
        metadata = pq.read_metadata(path)
        for g in range(metadata.num_row_groups):
            total += metadata.row_group(g).column(0).total_compressed_size
    return total


def test_an_identical_merge_reads_and_writes_nothing_else(dataset: Path) -> None:
    before = sizes(dataset)
    same = table(list(range(0, 2 * ROWS, 200)))
    result = floodwall.merge(same, dataset, "upsert", "id")
    assert (result.updated, result.unchanged) == (same.num_rows, same.num_rows)
    assert (result.bytes_written, result.bytes_encoded, result.bytes_copied) == (0, 0, 0)
    keys = chunk_bytes(dataset, {"id"})
    assert keys < result.bytes_read <= keys + chunk_bytes(dataset, {"id", "a", "b", "c"})
    assert sizes(dataset) == before


def test_clustered_changes_touch_one_file_and_few_row_groups(dataset: Path) -> None:
    first = 2 * (FILE_ROWS + GROUP_ROWS + 100)
    changed = table(list(range(first, first + 400, 2)), "new")
    group = chunk_bytes(dataset, {"id", "a", "b", "c"}) / FILES / GROUPS
    result = floodwall.merge(changed, dataset, "upsert", "id")
    assert result.rewritten_files == [str(dataset / "f1.parquet")]
    assert result.bytes_read < 1.5 * group
    # One column of one row group differs; the rest of the file is copied.
    assert 0 < result.bytes_encoded < 0.5 * group
    assert result.bytes_copied > (GROUPS - 1) * group
    assert result.bytes_written == (dataset / "f1.parquet").stat().st_size


def test_a_delete_leaves_row_groups_without_a_match_as_they_are(dataset: Path) -> None:
    group = chunk_bytes(dataset, {"id", "a", "b", "c"}) / FILES / GROUPS
    gone = pa.table(
        {"id": list(range(0, 2 * 100, 2)) + list(range(2 * FILE_ROWS, 2 * FILE_ROWS + 200, 2))}
    )
    result = floodwall.merge(gone, dataset, "delete", "id")
    assert result.deleted == 200
    assert result.rewritten_files == [str(dataset / f"f{i}.parquet") for i in (0, 1)]
    assert 0 < result.bytes_encoded < 2.2 * group
    assert result.bytes_copied > 2 * (GROUPS - 1.2) * group


def test_an_update_of_two_columns_encodes_two_columns(tmp_path: Path) -> None:
    root = tmp_path / "d"
    root.mkdir()
    count = 20_000
    columns = {f"c{i}": [j * (i + 7) * 7919 % 1_000_003 for j in range(count)] for i in range(30)}
    rows = pa.table({"id": list(range(count)), **columns})
    pq.write_table(rows, root / "f.parquet", row_group_size=5_000)
    size = (root / "f.parquet").stat().st_size
    ids = list(range(0, count, 9))
    source = pa.table({"id": ids, "c3": [-i for i in ids], "c20": [-2 * i for i in ids]})
    two = chunk_bytes(root, {"c3", "c20"})
    result = floodwall.merge(source, root, "update", "id")
    assert result.updated == len(ids)
    assert 0 < result.bytes_encoded < 1.3 * two
    assert result.bytes_copied > 0.9 * (size - two)
    assert pq.read_table(root).equals(
        rows.set_column(
            4, "c3", pa.array([-j if j % 9 == 0 else v for j, v in enumerate(columns["c3"])])
        ).set_column(
            21, "c20", pa.array([-2 * j if j % 9 == 0 else v for j, v in enumerate(columns["c20"])])
        )
    )
