"""Sources larger than memory: the same result, and the same bytes, as with memory for all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import floodwall

ROWS = 200_000


def rows(first: int, count: int, step: int = 1, tag: str = "old") -> pa.Table:
    ids = list(range(first, first + count * step, step))
    return pa.table(
        {
            "id": pa.array(ids, pa.int64()),
            "name": pa.array([f"{tag} {i % 1000}" if i % 11 else None for i in ids]),
            "text": pa.array([f"{tag} unique text number {i * 7919 % 1_000_003}" for i in ids]),
            "price": pa.array([i / 4 for i in ids], pa.float64()),
        }
    )


def lay_out(root: Path, total: int = ROWS, files: int = 3, group: int = 20_000) -> Path:
    root.mkdir(parents=True)
    each = total // files
    for i in range(files):
        pq.write_table(rows(i * each, each), root / f"f{i}.parquet", row_group_size=group)
    return root


def parts(root: Path) -> list[bytes]:
    """The data files' bytes; new files by number, since their names hold a random part."""
    files = sorted(root.glob("*.parquet"), key=lambda p: (p.stem.split("-")[-1], p.stem))
    old = [p.read_bytes() for p in files if not p.stem.startswith("part-")]
    return old + [p.read_bytes() for p in files if p.stem.startswith("part-")]


def stream(table: pa.Table, chunk: int = 7_000) -> pa.RecordBatchReader:
    def batches() -> Iterator[pa.RecordBatch]:
        for first in range(0, table.num_rows, chunk):
            # Copies: slices of one table take no memory of their own, and would be held.
            piece = pa.BufferOutputStream()
            with pa.ipc.new_stream(piece, table.schema) as writer:
                writer.write_table(table.slice(first, chunk))
            yield from pa.ipc.open_stream(piece.getvalue())

    return pa.RecordBatchReader.from_batches(table.schema, batches())


@pytest.mark.parametrize("strategy", ["upsert", "insert", "update"])
def test_a_spilled_stream_gives_the_same_bytes(tmp_path: Path, strategy: str) -> None:
    source = rows(100_000, 200_000, tag="new")
    outputs = []
    for memory in ("24MiB", "2GiB"):
        root = lay_out(tmp_path / memory)
        result = floodwall.merge(stream(source), root, strategy, "id", max_memory=memory)
        assert (result.bytes_spilled > 0) == (memory == "24MiB")
        assert result.peak_memory_bytes <= (24 << 20 if memory == "24MiB" else 2 << 30)
        outputs.append(parts(root))
    assert outputs[0] == outputs[1]


@pytest.mark.parametrize("kind", ["dictionary", "view", "nested", "wide"])
def test_spilled_types_come_back(tmp_path: Path, kind: str) -> None:
    n = 60_000
    text = [f"value {i % 50}" if i % 7 else None for i in range(n)]
    columns: dict[str, pa.Array] = {"id": pa.array(range(n), pa.int32())}
    if kind == "dictionary":
        columns["v"] = pa.array(text).dictionary_encode()
    elif kind == "view":
        columns["v"] = pa.array(text, pa.string_view())
    elif kind == "nested":
        columns["v"] = pa.array([[i, i + 1] if i % 3 else None for i in range(n)])
        columns["s"] = pa.array([{"a": i, "b": str(i)} for i in range(n)])
    else:
        columns["v"] = pa.array(["x" * 4_000] * 8_000 + [None] * (n - 8_000))
    columns["pad"] = pa.array([f"{i * 7919:0120d}" for i in range(n)])
    source = pa.table(columns)
    outputs = []
    for memory in ("20MiB", "2GiB"):
        root = tmp_path / memory
        result = floodwall.merge(
            stream(source, 50_000), root, "upsert", "id", max_memory=memory, row_group_bytes="4MiB"
        )
        assert (result.bytes_spilled > 0) == (memory == "20MiB")
        assert result.inserted == n
        outputs.append(parts(root))
    assert outputs[0] == outputs[1]
    found = pq.read_table(next((tmp_path / "20MiB").glob("*.parquet")))
    for name in source.column_names:
        assert found.column(name).to_pylist() == source.column(name).to_pylist()


def parquet(table: pa.Table, path: Path) -> Path:
    pq.write_table(table, path, row_group_size=30_000)
    return path


def shuffled(table: pa.Table) -> pa.Table:
    order = sorted(range(table.num_rows), key=lambda i: i * 7919 % 1_000_003)
    return table.take(pa.array(order))


@pytest.mark.parametrize(
    "strategy", ["upsert", "insert", "update", "delete", "full_merge", "deduplicate"]
)
@pytest.mark.parametrize("kind", ["parquet", "stream", "table"])
def test_keys_beyond_memory_give_the_same_bytes(tmp_path: Path, strategy: str, kind: str) -> None:
    source = shuffled(rows(0, 400_000, step=1, tag="new"))
    source = pa.concat_tables([source, rows(5_000, 5_000, tag="again")])
    file = parquet(source, tmp_path / "source.parquet")
    outputs = []
    for memory in ("24MiB", "2GiB"):
        root = lay_out(tmp_path / memory, total=300_000)
        pq.write_table(rows(1000, 9_000), root / "g.parquet", row_group_size=1000)  # copies
        data = {"parquet": file, "stream": stream(source), "table": source}[kind]
        result = floodwall.merge(data, root, strategy, "id", max_memory=memory)
        assert (result.bytes_spilled > 0) == (memory == "24MiB")
        assert result.peak_memory_bytes <= (24 << 20 if memory == "24MiB" else 2 << 30)
        assert [path.name for path in (root / "_floodwall").iterdir()] == ["lock"]
        outputs.append((parts(root), counts(result)))
    assert outputs[0][1] == outputs[1][1]
    assert outputs[0][0] == outputs[1][0]
    assert outputs[0][1]["duplicates_dropped"] == 5_000


def counts(result: floodwall.MergeResult) -> dict[str, int]:
    names = ("source_count", "inserted", "updated", "unchanged", "deleted", "duplicates_dropped")
    return {name: getattr(result, name) for name in names}


def lay_out_partitions(root: Path) -> Path:
    """Rows 0, 1, 2, ... in the partition of their last digit; every 50th twice, once elsewhere."""
    for p in range(10):
        ids = [i for i in range(ROWS) if i % 10 == p or (i % 50 == 0 and (i + 3) % 10 == p)]
        table = pa.table({"id": ids, "name": [f"old {i}" for i in ids]})
        (root / f"p={p}").mkdir(parents=True)
        pq.write_table(table, root / f"p={p}" / "f.parquet", row_group_size=3000)
    return root


@pytest.mark.parametrize("duplicates", ["all", "collapse"])
@pytest.mark.parametrize("strategy", ["upsert", "update", "delete", "full_merge", "insert"])
def test_partitioned_keys_beyond_memory_give_the_same_bytes(
    tmp_path: Path, strategy: str, duplicates: str
) -> None:
    if (strategy, duplicates) == ("insert", "collapse"):
        pytest.skip("refused")
    ids = list(range(100_000, 500_000))
    # Every seventh row belongs to another partition than the target has it in.
    source = pa.table(
        {
            "id": ids,
            "p": pa.array([(i + (i % 7 == 0)) % 10 for i in ids], pa.int32()),
            "name": [f"new {i}" for i in ids],
        }
    )
    outputs = []
    for memory in ("24MiB", "2GiB"):
        root = lay_out_partitions(tmp_path / memory)
        result = floodwall.merge(
            source, root, strategy, "id", max_memory=memory, target_duplicates=duplicates,
            partition_moves="move",
        )  # fmt: skip
        assert (result.bytes_spilled > 0) == (memory == "24MiB")
        files = sorted(root.rglob("*.parquet"))
        outputs.append(
            (
                {str(f.parent.relative_to(root)): f.read_bytes() for f in files if f.stem == "f"},
                sorted(
                    (str(f.parent.relative_to(root)), f.read_bytes())
                    for f in files
                    if f.stem != "f"
                ),
                (result.inserted, result.updated, result.deleted, result.target_count_after),
            )
        )
    assert outputs[0][2] == outputs[1][2]
    assert outputs[0][0] == outputs[1][0]
    assert outputs[0][1] == outputs[1][1]


def test_partitioned_rows_that_may_not_move(tmp_path: Path) -> None:
    ids = list(range(400_000))
    source = pa.table({"id": ids, "p": pa.array([(i + 1) % 10 for i in ids], pa.int32())})
    messages = []
    for memory in ("24MiB", "2GiB"):
        root = lay_out_partitions(tmp_path / memory)
        with pytest.raises(floodwall.PartitionMoveError) as refused:
            floodwall.merge(
                source, root, "update", "id", max_memory=memory, partition_moves="error"
            )
        messages.append(str(refused.value).split(", such as")[0])
    assert messages[0] == messages[1]


@pytest.mark.parametrize("strategy", ["upsert", "full_merge"])
def test_threads_share_spilled_rows_and_do_not_change_the_bytes(
    tmp_path: Path, strategy: str
) -> None:
    source = rows(100_000, 400_000, tag="a new and somewhat longer")
    source = source.set_column(
        2, "text", [[f"{text} {text}" for text in source["text"].to_pylist()]]
    )
    outputs = []
    for threads in (1, 2, 3):
        root = lay_out(tmp_path / str(threads), total=400_000, files=5)
        options = {"max_memory": "64MiB", "threads": threads}
        result = floodwall.merge(stream(source), root, strategy, "id", **options)
        assert result.bytes_spilled > 0
        assert result.peak_memory_bytes <= 64 << 20
        outputs.append((parts(root), counts(result)))
    assert outputs[1] == outputs[0]
    assert outputs[2] == outputs[0]
