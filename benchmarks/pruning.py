"""
What page index, bloom filters and dictionaries spare a merge's match: bytes read and CPU time.

Each case is matched in a file with and in one without what it is about. Nothing is written: the
keys of an insert are all there, those of an update all absent.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import floodwall

GROUP = 1 << 20


def _file(rows: int, seed: int) -> pa.Table:
    noise = np.random.default_rng(seed)
    ids = np.arange(rows, dtype=np.int64)
    return pa.table(
        {
            "id": ids,
            "token": pa.array([f"{t:016x}" for t in noise.integers(0, 2**63, rows)]),
            "region": pa.array([f"region {2 * i:03}" for i in range(200)]).take(ids % 200),
            "amount": noise.random(rows),
        }
    )


def _cluster(table: pa.Table) -> pa.Table:
    return table.slice(table.num_rows // 3, 1_000)


def _scattered(table: pa.Table) -> pa.Table:
    dice = random.Random(3)
    return table.take([dice.randrange(table.num_rows) for _ in range(30)])


def _absent_tokens(table: pa.Table) -> pa.Table:
    dice = random.Random(5)
    tokens = pa.array([f"{dice.randrange(2**63):016x}" for _ in range(20)])
    return table.slice(0, 20).set_column(1, "token", tokens)


def _absent_region(table: pa.Table) -> pa.Table:
    return _scattered(table).set_column(2, "region", pa.array(["region 051"] * 30))


CASES: list[tuple[str, str, str, list[str], Callable[[pa.Table], pa.Table], dict[str, Any]]] = [
    (
        "1,000 neighbouring ids",
        "page index",
        "insert",
        ["id"],
        _cluster,
        {"write_page_index": True},
    ),
    ("30 scattered ids", "page index", "insert", ["id"], _scattered, {"write_page_index": True}),
    (
        "20 absent tokens",
        "bloom filter",
        "update",
        ["token"],
        _absent_tokens,
        {"bloom_filter_options": {"token": {"ndv": GROUP, "fpp": 0.001}}},
    ),
    (
        "30 keys of an absent region",
        "dictionary",
        "update",
        ["region", "id"],
        _absent_region,
        {"use_dictionary": ["region"]},
    ),
]


def _measure(table: pa.Table, keys: pa.Table, case: Any, indexed: bool, rounds: int) -> list[float]:
    _, _, strategy, key_columns, _, options = case
    plain: dict[str, Any] = {"use_dictionary": False, "write_page_index": False}
    seconds = []
    with tempfile.TemporaryDirectory() as root:
        path = Path(root) / "a.parquet"
        pq.write_table(table, path, row_group_size=GROUP, **(plain | options if indexed else plain))
        for _ in range(rounds):
            start = time.process_time()
            result = floodwall.merge(keys, root, strategy, key_columns, max_memory="128MiB")
            seconds.append(time.process_time() - start)
            assert result.inserted == result.updated == result.bytes_written == 0
    return [result.bytes_read / 2**20, 1_000 * statistics.median(seconds)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5 * GROUP)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    table = _file(options.rows, 1)
    print("| keys | asked | without: MiB read | CPU ms | with: MiB read | CPU ms |")
    print("|---|---|---|---|---|---|")
    for case in CASES:
        keys = case[4](table)
        row = [
            f"{figure:.{2 if i % 2 == 0 else 0}f}"
            for indexed in (False, True)
            for i, figure in enumerate(_measure(table, keys, case, indexed, options.rounds))
        ]
        print(f"| {case[0]} | {case[1]} | {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
