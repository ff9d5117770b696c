"""Row groups whose statistics exclude the source's keys are not read, and nothing is missed."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import floodwall

ROWS = 40_000
GROUP = 2_000


def table(ids: list[int | None], tag: str, kind: str) -> pa.Table:
    keys: pa.Array
    if kind == "integer":
        keys = pa.array(ids, pa.int64())
    elif kind == "text":
        keys = pa.array([None if i is None else f"{i:08}" for i in ids])
    elif kind == "instant":
        keys = pa.array([None if i is None else i * 1_000_000 for i in ids], pa.timestamp("us"))
    elif kind == "coded":
        keys = pa.array([None if i is None else f"{i:08}" for i in ids]).dictionary_encode()
    else:
        keys = pa.array([None if i is None else float(i) for i in ids])
    return pa.table({"k": keys, "v": [f"{tag} {i}" for i in ids]})


def lay_out(root: Path, ids: list[int | None], kind: str) -> Path:
    root.mkdir()
    half = len(ids) // 2
    for name, part in (("a", ids[:half]), ("b", ids[half:])):
        pq.write_table(table(part, "old", kind), root / f"{name}.parquet", row_group_size=GROUP)
    return root


def rows_of(root: Path) -> dict[object, str]:
    read = pa.concat_tables(
        pq.ParquetFile(path).read().cast(pa.schema([("k", pa.string()), ("v", pa.string())]))
        for path in sorted(root.glob("*.parquet"))
    )
    out = dict(zip(read["k"].to_pylist(), read["v"].to_pylist(), strict=True))
    assert len(out) == read.num_rows  # a key that was missed would be there twice
    return out


def texts(t: pa.Table) -> dict[object, str]:
    plain = t.set_column(0, "k", pc.cast(t["k"], pa.string()))
    return dict(zip(plain["k"].to_pylist(), plain["v"].to_pylist(), strict=True))


@pytest.mark.parametrize("kind", ["integer", "text", "instant", "coded", "real"])
@pytest.mark.parametrize("strategy", ["upsert", "insert", "update", "delete", "full_merge"])
def test_clustered_keys_read_few_row_groups(tmp_path: Path, strategy: str, kind: str) -> None:
    root = lay_out(tmp_path / "t", [*range(ROWS)], kind)
    # Two clusters, one of them over the border of two row groups, and new keys behind the last.
    ids = [*range(3_900, 4_100), *range(30_500, 30_600), *range(ROWS + 10, ROWS + 50)]
    before = texts(table([*range(ROWS)], "old", kind))
    source = table(ids, "new", kind)
    given = texts(source)
    result = floodwall.merge(source, root, strategy, "k")
    expected = {
        "upsert": before | given,
        "insert": given | before,
        "update": before | {k: v for k, v in given.items() if k in before},
        "delete": {k: v for k, v in before.items() if k not in given},
        "full_merge": given,
    }[strategy]
    assert rows_of(root) == expected
    if strategy == "insert":
        keys = sum(
            file.metadata.row_group(g).column(0).total_compressed_size
            for path in sorted(root.glob("[ab].parquet"))
            for file in [pq.ParquetFile(path)]
            for g in range(file.num_row_groups)
        )
        if kind in ("integer", "instant"):
            assert result.bytes_read < keys / 4
        elif kind in ("text", "coded"):  # one interval for all texts: what lies before is spared
            assert result.bytes_read < keys
        else:  # reals are not compared
            assert result.bytes_read >= keys


def test_null_keys_are_found(tmp_path: Path) -> None:
    ids: list[int | None] = [*range(10_000)]
    ids[7_777] = None
    root = lay_out(tmp_path / "t", ids, "integer")
    result = floodwall.merge(table([None, 5], "new", "integer"), root, "upsert", "k")
    assert (result.inserted, result.updated) == (0, 2)
    assert rows_of(root)[None] == "new None"


@pytest.mark.parametrize("seed", range(8))
def test_nothing_is_missed(tmp_path: Path, seed: int) -> None:
    """Keys of two columns in runs of random length, in random order, within little memory too."""
    dice = random.Random(seed)
    pairs = sorted({(dice.randrange(-50, 50), dice.randrange(1 << 40)) for _ in range(20_000)})
    if seed % 2:
        dice.shuffle(pairs)

    def pair_table(chosen: list[tuple[int, int]], tag: str) -> pa.Table:
        return pa.table({
            "a": pa.array([a for a, _ in chosen], pa.int32()),
            "b": pa.array([b for _, b in chosen], pa.int64()),
            "v": [f"{tag} {a} {b}" for a, b in chosen],
        })  # fmt: skip

    root = tmp_path / "t"
    root.mkdir()
    pq.write_table(pair_table(pairs, "old"), root / "a.parquet", row_group_size=500)
    first = dice.randrange(len(pairs) - 300)
    chosen = pairs[first : first + 300] + [dice.choice(pairs) for _ in range(seed)]
    fresh = [(dice.randrange(-60, 60), -dice.randrange(1, 1 << 20)) for _ in range(50)]
    source = list(dict.fromkeys(chosen + fresh))
    dice.shuffle(source)
    result = floodwall.merge(pair_table(source, "new"), root, "upsert", ["a", "b"])
    assert result.updated == len(set(chosen))
    assert result.inserted == len(set(fresh))
    read = pa.concat_tables(pq.ParquetFile(path).read() for path in root.glob("*.parquet"))
    assert set(read["v"].to_pylist()) == (
        {f"old {a} {b}" for a, b in pairs if (a, b) not in set(source)}
        | {f"new {a} {b}" for a, b in source}
    )
    assert read.num_rows == len(pairs) + len(set(fresh))
