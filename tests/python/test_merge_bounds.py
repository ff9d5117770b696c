"""
Shapes of data that are hard to bound: anonymous memory grows by max_memory + 16 MiB at most, or
the merge refuses before it writes and names a minimum that then works. Each merge runs in a child.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import memory_child

MIB = memory_child.MIB
OVERHEAD = 16 * MIB

_IMPORTS = """
import json, floodwall, pyarrow as pa, pyarrow.parquet as pq
target, limit, options = sys.argv[3], int(sys.argv[4]), json.loads(sys.argv[5])
"""
_WORK = """
try:
    out = floodwall.merge(source(), target, max_memory=limit, **options).to_dict()
    # A list of ten thousand files does not fit in a pipe that nobody reads yet.
    out = {name: value for name, value in out.items() if isinstance(value, int)}
except floodwall.MemoryLimitTooSmall as e:
    out = {"minimum_bytes": e.minimum_bytes}
print(json.dumps(out))
"""


def merge_once(root: Path, source: str, limit: int, options: dict[str, Any]) -> dict[str, Any]:
    """Merge in a child, whose ``source()`` is made before its memory is measured."""
    arguments = [str(root), str(limit), json.dumps(options)]
    outcome = memory_child.run_code(_IMPORTS + source, _WORK, arguments, limit + OVERHEAD)
    assert outcome.exit_code == 0, f"limit {limit}, grew {outcome.growth_bytes}"
    assert outcome.growth_bytes <= limit + OVERHEAD
    return dict(json.loads(outcome.stdout))


def contents(root: Path) -> dict[str, bytes]:
    paths = sorted(p for p in root.rglob("*") if p.is_file() and "_floodwall" not in p.parts)
    return {str(p.relative_to(root)): p.read_bytes() for p in paths}


def merge(root: Path, source: str, mib: float, **options: Any) -> dict[str, Any]:
    """Merge inside the limit, or be refused with nothing written and then inside the minimum."""
    options = {"strategy": "upsert", "key_columns": "k", "threads": 1} | options
    before = contents(root)
    result = merge_once(root, source, int(mib * MIB), options)
    result["refused"] = "minimum_bytes" in result
    if result["refused"]:
        assert contents(root) == before
        assert result["minimum_bytes"] > mib * MIB
        minimum = result["minimum_bytes"]
        result = merge_once(root, source, minimum, options)
        assert "minimum_bytes" not in result, f"refused {minimum}, then asked for more"
        result |= {"refused": True, "minimum_bytes": minimum}
    return result


def write(root: Path, table: pa.Table, **options: Any) -> None:
    root.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, root / "f.parquet", **options)


@pytest.mark.parametrize("chunks", [100, 4096])
def test_a_table_of_many_chunks(tmp_path: Path, chunks: int) -> None:
    target = pa.table({"k": range(200_000), "v": ["q"] * 200_000})
    write(tmp_path, target, row_group_size=20_000)
    source = f"""
one = pa.table({{"k": range(200_000), "v": ["z" * 1000] * 200_000}})
step = 200_000 // {chunks} + 1
table = pa.concat_tables([one.slice(i, step) for i in range(0, 200_000, step)])
source = lambda: table
"""
    result = merge(tmp_path, source, 32, strategy="update")
    assert not result["refused"]
    assert result["updated"] == 200_000
    values = pq.read_table(tmp_path / "f.parquet")["v"]
    assert values.unique().to_pylist() == ["z" * 1000]


def test_rows_of_many_chunks_come_in_the_order_of_the_target(tmp_path: Path) -> None:
    n = 5000
    target = pa.table({"k": range(n), "v": ["old"] * n})
    write(tmp_path, target, row_group_size=700)
    source = f"""
keys = [i * 7 % {n} for i in range({n})]
one = pa.table({{"k": keys, "v": [f"new {{k}}" for k in keys]}})
table = pa.concat_tables([one.slice(i, 13) for i in range(0, {n}, 13)])
source = lambda: table
"""
    merge(tmp_path, source, 64)
    assert pq.read_table(tmp_path)["v"].to_pylist() == [f"new {k}" for k in range(n)]


_CELLS = """
sizes = {sizes}
values = [chr(97 + i % 26) * n for i, n in enumerate(sizes)]
table = pa.table({{"k": range(len(sizes)), "v": values}})
source = lambda: table
"""


@pytest.mark.parametrize(
    ("sizes", "mib", "refused"),
    [([5_000_000] * 40, 40, True), ([5_000_000] * 40, 100, False), ([300_000_000], 64, True)],
    ids=["40x5MB-small", "40x5MB", "300MB"],
)
def test_cells_of_megabytes(tmp_path: Path, sizes: list[int], mib: int, refused: bool) -> None:
    target = pa.table({"k": range(50_000), "v": pa.nulls(50_000, pa.string())})
    write(tmp_path, target, row_group_size=20_000)
    result = merge(tmp_path, _CELLS.format(sizes=sizes), mib)
    assert result["refused"] == refused
    assert result["updated"] == len(sizes)
    found = pq.read_table(tmp_path)["v"].slice(0, len(sizes) + 1).to_pylist()
    assert [v and (v[0], len(v)) for v in found] == [
        *((chr(97 + i % 26), n) for i, n in enumerate(sizes)), None,
    ]  # fmt: skip


def test_values_that_share_long_prefixes(tmp_path: Path) -> None:
    values = ["q" * (2_000_000 + i) for i in range(40)]
    target = pa.table({"k": range(40), "v": values})
    encoding = {"v": "DELTA_BYTE_ARRAY"}
    write(tmp_path, target, row_group_size=20, use_dictionary=False, column_encoding=encoding)
    assert (tmp_path / "f.parquet").stat().st_size < 8 * MIB
    source = 'table = pa.table({"k": [0, 20], "v": ["x", "y"]}); source = lambda: table'
    result = merge(tmp_path, source, 36)
    assert result["refused"]
    values[0], values[20] = "x", "y"
    assert pq.read_table(tmp_path / "f.parquet")["v"].to_pylist() == values


_STREAM = """
schema = pa.schema([("k", pa.int64()), ("v", pa.string()), ("x", pa.float64())])
def batch(b):
    keys = [(b * 4096 + i) * 7 % 2_000_000 for i in range(4096)]
    values = [chr(97 + b % 26) * 300] * 4096
    return pa.record_batch([pa.array(keys), pa.array(values), pa.array([float(b)] * 4096)], schema)
batches = [batch(b) for b in range(100)]
source = lambda: pa.RecordBatchReader.from_batches(schema, iter(batches))
"""


@pytest.mark.parametrize("mib", [32, 64, 128])
def test_a_stream_beside_its_spill(tmp_path: Path, mib: int) -> None:
    n = 1_000_000
    columns = {"k": range(n), "v": pa.nulls(n, pa.string()), "x": pa.array(range(n), pa.float64())}
    write(tmp_path, pa.table(columns), row_group_size=20_000)
    result = merge(tmp_path, _STREAM, mib, threads=2)
    assert not result["refused"]
    assert (result["updated"], result["inserted"]) == (266_743, 142_857)


_REPEATED = """
import pathlib
path = str(pathlib.Path(target).parent / "source.parquet")
source = lambda: path
"""


@pytest.mark.parametrize("strategy", ["insert", "upsert"])
def test_a_source_that_repeats_long_values(tmp_path: Path, strategy: str) -> None:
    rows = 20_000
    repeated = pa.table({"k": range(rows), "v": ["y" * 20_000] * rows})
    pq.write_table(repeated, tmp_path / "source.parquet")
    assert (tmp_path / "source.parquet").stat().st_size < MIB
    root = tmp_path / "target"
    write(root, pa.table({"k": range(50), "v": ["a"] * 50}))
    result = merge(root, _REPEATED, 64, strategy=strategy)
    assert result["inserted"] == rows - 50
    assert pq.ParquetFile(root / "f.parquet").metadata.num_rows == 50


def test_keys_that_repeat_long_values(tmp_path: Path) -> None:
    write(tmp_path, pa.table({"k": ["y" * 20_000] * 20_000}))
    source = 'table = pa.table({"k": ["y" * 19_999 + "z"]}); source = lambda: table'
    result = merge(tmp_path, source, 64)
    assert (result["inserted"], result["target_count_after"]) == (1, 20_001)


_HIVE = """
table = pa.table({
    "k": pa.array(range(0, 4_000_000, 2), pa.int64()),
    "p": pa.array([i % 4 for i in range(2_000_000)], pa.int32()),
    "v": pa.nulls(2_000_000, pa.string()),
})
source = lambda: table
"""


@pytest.mark.parametrize(("mib", "refused"), [(24, True), (48, False), (64, False)])
def test_partitions_whose_keys_do_not_fit(tmp_path: Path, mib: int, refused: bool) -> None:
    for p in range(4):
        keys = pa.array(range(2 * p, 400_000, 8), pa.int64())
        write(tmp_path / f"p={p}", pa.table({"k": keys, "v": ["a"] * len(keys)}))
    result = merge(tmp_path, _HIVE, mib, strategy="update", key_columns=["k", "p"])
    assert (result["refused"], result["updated"]) == (refused, 200_000)
    assert result["bytes_spilled"] > 0


@pytest.mark.parametrize("page_rows", [50, 400])
@pytest.mark.parametrize("mib", [8, 24])
def test_an_index_of_many_pages(tmp_path: Path, page_rows: int, mib: int) -> None:
    """What does not fit of it is not asked; rows are found all the same."""
    n = 400_000
    target = pa.table({"k": range(n), "v": pa.nulls(n, pa.int8())})
    index = {"write_page_index": True, "max_rows_per_page": page_rows}
    write(tmp_path, target, row_group_size=n, use_dictionary=False, **index)
    source = f"""
table = pa.table({{"k": range(7, {n}, {n} // 50), "v": pa.array([1] * 50, pa.int8())}})
source = lambda: table
"""
    result = merge(tmp_path, source, mib)
    assert (result["inserted"], result["updated"]) == (0, 50)
    assert pq.read_table(tmp_path)["v"].drop_null().to_pylist() == [1] * 50


_KEYS = {
    "int64": "pa.array(numbers, pa.int64())",
    "float64": "pa.array(numbers, pa.float64())",
    "string": "pa.array([f'k{i:09}' for i in numbers])",
}


def write_small_pages(root: Path, kind: str, rows: int, page_rows: int, index: bool) -> None:
    keys = eval(_KEYS[kind], {"pa": pa, "numbers": range(rows)})
    table = pa.table({"k": keys, "v": range(rows), "t": ["abc"] * rows})
    pages = {"write_page_index": index, "max_rows_per_page": page_rows}
    batch = min(page_rows, 1000)
    write(root, table, row_group_size=rows, use_dictionary=False, write_batch_size=batch, **pages)


def small_pages_source(kind: str, first: int, rows: int, step: int) -> str:
    """Rows of the target from `first` on, and ten new ones."""
    return f"""
numbers = [*range({first}, {rows}, {step}), *range({rows}, {rows + 10})]
keys = {_KEYS[kind]}
table = pa.table({{"k": keys, "v": [-1] * len(keys), "t": ["xyz"] * len(keys)}})
source = lambda: table
"""


def check_small_pages(root: Path, result: dict[str, Any], strategy: str, rows: int) -> None:
    matched = len(range(1, rows, 3))
    inserted = 10 if strategy in ("upsert", "insert") else 0
    assert result["inserted"] == inserted
    assert result["updated"] == (matched if strategy == "upsert" else 0)
    assert result["deleted"] == (matched if strategy == "delete" else 0)
    values = pq.read_table(root, columns=["v"])["v"].to_pylist()
    expected = [
        -1 if strategy == "upsert" and i % 3 == 1 else i
        for i in range(rows)
        if strategy != "delete" or i % 3 != 1
    ]
    assert sorted(values) == sorted(expected + [-1] * inserted)


@pytest.mark.parametrize("strategy", ["upsert", "delete", "insert"])
@pytest.mark.parametrize("kind", list(_KEYS))
@pytest.mark.parametrize(("rows", "page_rows"), [(250_000, 10), (30_000, 1)])
def test_pages_of_few_rows(
    tmp_path: Path, kind: str, rows: int, page_rows: int, strategy: str
) -> None:
    write_small_pages(tmp_path, kind, rows, page_rows, index=True)
    source = small_pages_source(kind, 1, rows, 3)
    result = merge(tmp_path, source, 4, strategy=strategy)
    assert result["refused"]
    check_small_pages(tmp_path, result, strategy, rows)
    # What is kept of a page is what its index entry takes, not a tree of values.
    assert result["minimum_bytes"] < 64 * MIB
    assert result["peak_memory_bytes"] <= result["minimum_bytes"]


@pytest.mark.parametrize("index", [False, True], ids=["", "index"])
@pytest.mark.parametrize("kind", ["int64", "float64"])
def test_a_hundred_thousand_pages(tmp_path: Path, kind: str, index: bool) -> None:
    """A few rows of a million, in one row group: nothing but its pages takes memory."""
    rows = 1_000_000
    write_small_pages(tmp_path, kind, rows, 10, index)
    result = merge(tmp_path, small_pages_source(kind, 7, rows, rows // 50), 8)
    assert result["refused"]
    assert result["minimum_bytes"] < 96 * MIB
    assert (result["inserted"], result["updated"]) == (10, 50)
    values = pq.read_table(tmp_path, columns=["v"])["v"].to_pylist()
    assert values.count(-1) == 60
