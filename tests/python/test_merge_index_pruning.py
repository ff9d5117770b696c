"""Page indexes, dictionaries and bloom filters spare reading and never hide a row that matches."""

from __future__ import annotations

import datetime
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import floodwall

Key = Callable[[int], Any]
START = datetime.datetime(2024, 1, 1)
KINDS: dict[str, tuple[pa.DataType, pa.DataType, Key]] = {
    "int32 beside int64": (pa.int32(), pa.int64(), lambda i: 3 * i - 5_000),
    "uint32": (pa.uint32(), pa.uint32(), lambda i: 2**31 - 3_000 + i),
    "uint64 beside uint8": (pa.uint64(), pa.uint8(), lambda i: i % 256),
    "int64": (pa.int64(), pa.int64(), lambda i: (i - 3_000) * 2**40),
    "date": (pa.date32(), pa.date32(), lambda i: (START + datetime.timedelta(days=i)).date()),
    "milliseconds": (
        pa.timestamp("ms"),
        pa.timestamp("us"),
        lambda i: START + datetime.timedelta(seconds=i),
    ),
    "zoned": (
        pa.timestamp("us", "UTC"),
        pa.timestamp("us", "UTC"),
        lambda i: (START + datetime.timedelta(seconds=i)).replace(tzinfo=datetime.UTC),
    ),
    "text beside views": (pa.string(), pa.string_view(), lambda i: f"käy {i:05}" * (1 + i % 3)),
    "binary": (pa.binary(), pa.large_binary(), lambda i: b"\xff" * (i % 5) + bytes([i % 251])),
    "coded": (pa.string(), pa.dictionary(pa.int32(), pa.string()), lambda i: f"{i:04}"),
    "double": (pa.float64(), pa.float64(), lambda i: float(i - 100)),
    "negative zero": (pa.float64(), pa.float64(), lambda i: -0.0 if i == 0 else float(i)),
    "decimal": (pa.decimal128(9, 2), pa.decimal128(9, 2), lambda i: i),
    "fixed": (pa.binary(5), pa.binary(5), lambda i: f"{i:05}".encode()),
}


def _write(table: pa.Table, path: Path, dice: random.Random, indexed: bool) -> None:
    keys = [name for name in table.column_names if name != "v"]
    options: dict[str, Any] = {"write_statistics": False, "use_dictionary": False}
    if indexed:
        options = {
            "write_page_index": dice.random() < 0.8,
            "write_statistics": dice.choice([True, True, keys[:1]]),
            "use_dictionary": dice.choice([True, False, keys[-1:]]),
            "dictionary_pagesize_limit": dice.choice([100, 1 << 20]),
            "data_page_version": dice.choice(["1.0", "2.0"]),
            "max_rows_per_page": dice.choice([7, 100, 20_000]),
            "compression": dice.choice(["none", "snappy", "zstd"]),
            "bloom_filter_options": {
                key: {"ndv": 500, "fpp": dice.choice([0.5, 0.01])}
                for key in keys
                if dice.random() < 0.6 and not pa.types.is_boolean(table.schema.field(key).type)
            },
        }
    pq.write_table(table, path, row_group_size=dice.choice([500, 5_000]), **options)


def _read(root: Path) -> list[tuple[Any, ...]]:
    paths = sorted(root.glob("*.parquet"), key=lambda p: (p.name.startswith("part-"), p.name))
    rows = []
    for path in paths:
        table = pq.ParquetFile(path).read()
        rows.append(sorted(zip(*[c.to_pylist() for c in table.columns], strict=True), key=repr))
    return rows


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", KINDS)
def test_indexed_and_plain_files_merge_alike(tmp_path: Path, kind: str, seed: int) -> None:
    """The same rows with every index there is, and with nothing that could be asked."""
    dice = random.Random(f"{kind} {seed}")
    stored, given, key = KINDS[kind]
    numbers = list(dict.fromkeys(map(key, range(dice.choice([40, 3_000])))))
    if dice.random() < 0.4:
        dice.shuffle(numbers)
    rows = 3_000
    nulls = dice.choice([0, 0, 3, 400])
    # Of a composite key the second column alone repeats in every row group.
    composite = len(numbers) < rows or dice.random() < 0.5
    first = [numbers[i * len(numbers) // rows] for i in range(rows)]
    for i in dice.sample(range(rows), nulls):
        first[i] = None
    second = [i % 50 for i in range(rows)] if composite else None
    if not composite and nulls:
        first[:] = [v for v in first if v is not None] + [None]
        rows = len(first)

    def table(picked: list[int], type_: pa.DataType, tag: str) -> pa.Table:
        plain = pa.array([first[i] for i in picked], stored)
        keys = plain.dictionary_encode() if pa.types.is_dictionary(type_) else plain.cast(type_)
        columns = {"k": keys, "v": [f"{tag} {i}" for i in picked]}
        if composite:
            columns["n"] = pa.array([second[i] for i in picked], pa.int64())
        return pa.table(columns)

    taken = {(first[i], second[i] if composite else 0): i for i in range(rows)}
    there = [i for i in taken.values() if dice.random() < 0.9]  # the others are new when they come
    start = dice.randrange(len(taken))
    picked = list(taken.values())[start : start + dice.choice([1, 5, 150])]
    picked += dice.sample(list(taken.values()), dice.choice([0, 0, 3]))
    picked = list(dict.fromkeys(picked))
    dice.shuffle(picked)
    strategy = dice.choice(["upsert", "insert", "update", "delete", "full_merge"])
    found = []
    for name, indexed in (("indexed", True), ("plain", False)):
        root = tmp_path / name
        root.mkdir()
        layout = random.Random(seed)
        for part in range(2):
            half = there[part * len(there) // 2 : (part + 1) * len(there) // 2]
            _write(table(half, stored, "old"), root / f"{part}.parquet", layout, indexed)
        for limit in ("96MiB", "10MiB")[: 1 + (seed == 3)]:
            result = floodwall.merge(
                table(picked, given, "new"),
                root,
                strategy,
                ["k", "n"] if composite else "k",
                max_memory=limit,
                threads=1,
            )
            found.append((result.inserted, result.updated, result.deleted))
        found.append(_read(root))
    half = len(found) // 2
    assert found[:half] == found[half:]
    expected = {
        "upsert": (len(set(picked) - set(there)), len(set(picked) & set(there)), 0),
        "insert": (len(set(picked) - set(there)), 0, 0),
        "update": (0, len(set(picked) & set(there)), 0),
        "delete": (0, 0, len(set(picked) & set(there))),
        "full_merge": (
            len(set(picked) - set(there)),
            len(set(picked) & set(there)),
            len(set(there) - set(picked)),
        ),
    }
    assert found[0] == expected[strategy]


ROWS = 200_000


def _bytes_read(
    tmp_path: Path, keys: dict[str, pa.Array], source: dict[str, pa.Array], **options: Any
) -> tuple[int, int]:
    """Bytes read by an insert of `source`, and those of the key columns."""
    root = tmp_path / f"t{len(list(tmp_path.iterdir()))}"
    root.mkdir()
    defaults: dict[str, Any] = {"compression": "none", "use_dictionary": False}
    pq.write_table(pa.table(keys), root / "a.parquet", **(defaults | options))
    group = pq.ParquetFile(root / "a.parquet").metadata.row_group(0)
    stored = sum(group.column(c).total_compressed_size for c in range(len(keys)))
    plan = floodwall.plan_merge(pa.table(source), root, "insert", list(keys))
    result = floodwall.merge(pa.table(source), root, "insert", list(keys))
    assert plan.estimated_bytes_read == result.bytes_read
    assert result.inserted == len(source[next(iter(source))])
    return result.bytes_read, stored


def test_page_index_reads_only_pages_that_meet(tmp_path: Path) -> None:
    keys = {"k": pa.array(range(0, 2 * ROWS, 2))}
    source = {"k": pa.array([1_001, 1_003, 300_001])}
    read, stored = _bytes_read(tmp_path, keys, source)
    assert read >= stored
    read, stored = _bytes_read(tmp_path, keys, source, write_page_index=True)
    assert read < stored / 4
    read, stored = _bytes_read(
        tmp_path, keys, source, write_page_index=True, max_rows_per_page=1_000
    )
    assert read < stored / 50


def test_pages_of_a_composite_key_are_those_that_meet_in_every_column(tmp_path: Path) -> None:
    # Sorted by a; b ascends within each a.
    keys = {
        "a": pa.array([i // 50_000 for i in range(ROWS)]),
        "b": pa.array([i % 50_000 * 2 for i in range(ROWS)]),
    }
    source = {"a": pa.array([2]), "b": pa.array([40_001])}
    read, stored = _bytes_read(tmp_path, keys, source, write_page_index=True, max_rows_per_page=500)
    assert read < stored / 30


def test_an_exact_dictionary_excludes_a_row_group(tmp_path: Path) -> None:
    keys = {
        "a": pa.array([f"group {i % 100 * 2:04}" for i in range(ROWS)]),
        "b": pa.array(range(ROWS)),
    }
    source = {"a": pa.array(["group 0101"]), "b": pa.array([101])}
    read, stored = _bytes_read(tmp_path, keys, source, use_dictionary=["a"])
    assert read < stored / 100
    # Where some page fell back to plain values the dictionary tells nothing.
    read, stored = _bytes_read(
        tmp_path, keys, source, use_dictionary=["a"], dictionary_pagesize_limit=500
    )
    assert read >= stored


@pytest.mark.parametrize("text", [False, True])
def test_a_bloom_filter_excludes_a_row_group(tmp_path: Path, text: bool) -> None:
    dice = random.Random(5)
    numbers = [dice.randrange(1 << 40) * 2 for _ in range(ROWS)]
    new = [dice.randrange(1 << 40) * 2 + 1 for _ in range(20)]
    keys, source = (
        {"k": pa.array([str(n) for n in part] if text else part)} for part in (numbers, new)
    )
    read, stored = _bytes_read(tmp_path, keys, source)
    assert read >= stored
    filters = {"k": {"ndv": ROWS, "fpp": 0.0001}}
    read, stored = _bytes_read(tmp_path, keys, source, bloom_filter_options=filters)
    assert read <= 20 * 32
    # A filter that says little is not worth being asked.
    filters = {"k": {"ndv": 1_000, "fpp": 0.5}}
    read, stored = _bytes_read(tmp_path, keys, source, bloom_filter_options=filters)
    assert read == stored
