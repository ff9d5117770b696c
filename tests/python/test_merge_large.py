"""Sources many times the limit, in a child whose memory is measured; DuckDB is the oracle."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import memory_child

MIB = memory_child.MIB
OVERHEAD = 16 * MIB


def generate(path: Path, rows: int, key: str, tag: int) -> None:
    """Write ``rows`` rows whose key is an expression of the row number ``i``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Connections of their own: the default one is every test's.
    with duckdb.connect() as db:
        db.execute(
            f"copy (select ({key})::bigint as id, ((i * 2654435761 + {tag}) % 1000003)::int as a, "
            f"'text ' || ((i * 40503 + {tag}) % 65537) as b from range({rows}) t(i)) "
            f"to '{path}' (format parquet, row_group_size 250000)"
        )


def differences(before: Path, source: Path, after: Path) -> int:
    """Rows in which the merged dataset differs from DuckDB's upsert of unique keys."""
    with duckdb.connect() as db:
        counted = db.execute(
            f"""
            with expected as (
              select * from read_parquet('{source}')
              union all
              select * from read_parquet('{before}/*.parquet')
              where id not in (select id from read_parquet('{source}'))
            ), found as (select * from read_parquet('{after}/*.parquet'))
            select (select count(*) from (from expected except all from found))
                 + (select count(*) from (from found except all from expected))
            """
        ).fetchone()
    assert counted is not None
    return int(counted[0])


def contents(root: Path) -> list[bytes]:
    """Old files, then new ones by number: their names hold a random part."""
    new = sorted(root.glob("part-*"), key=lambda p: int(p.stem.split("-")[-1]))
    return [p.read_bytes() for p in (*sorted(root.glob("f*.parquet")), *new)]


def merge(root: Path, source: Path, mib: int) -> dict[str, int]:
    limit = mib * MIB + OVERHEAD
    if source.suffix == ".arrows":
        outcome = memory_child.run_stream_merge(source, root, "id", f"{mib}MiB", limit)
    else:
        arguments = ["merge", str(root), str(source), "--on", "id", "--json", "--no-progress"]
        outcome = memory_child.run_cli([*arguments, "--max-memory", f"{mib}MiB"], limit)
    assert outcome.exit_code == 0
    result = json.loads(outcome.stdout)
    print(
        f"{mib} MiB: growth {outcome.growth_bytes / MIB:.1f} MiB, {outcome.wall_s:.1f} s, "
        f"CPU {outcome.cpu_s:.1f} s, budget {result['peak_memory_bytes'] / MIB:.1f} MiB, "
        f"spilled {result['bytes_spilled'] / MIB:.0f} MiB, "
        f"{result['metrics']['operation_breakdown']}"
    )
    assert outcome.growth_bytes <= limit
    assert result["peak_memory_bytes"] <= mib * MIB
    return result


def write_stream(source: Path) -> Path:
    """The rows of a Parquet file as an Arrow IPC stream beside it."""
    out = source.with_suffix(".arrows")
    file = pq.ParquetFile(source)
    with pa.ipc.new_stream(out, file.schema_arrow) as writer:
        for batch in file.iter_batches(65_536):
            writer.write_batch(batch)
    return out


def check(tmp_path: Path, target: int, source: int, limits: list[int], *, stream: bool) -> None:
    """
    Upsert under every limit; all must give one result, and the right one.

    The target's keys are the multiples of 3 below ``3 * target``, the source's a permutation of
    every second or so of these and as many beyond.
    """
    before = tmp_path / "before"
    for i in range(2):
        generate(before / f"f{i}.parquet", target // 2, f"(i * 2 + {i}) * 3", 1)
    changes = tmp_path / "changes.parquet"
    step = 3 * max(1, 2 * target // source)
    generate(changes, source, f"((i * 7368787) % {source}) * {step}", 2)
    known = min(source, 3 * target // step)
    outputs = []
    for mib in limits:
        root = tmp_path / f"at{mib}"
        root.mkdir()
        for file in before.iterdir():
            (root / file.name).hardlink_to(file)
        result = merge(root, write_stream(changes) if stream else changes, mib)
        if mib == limits[0]:
            assert result["bytes_spilled"] > 0
        assert (result["updated"], result["inserted"]) == (known, source - known)
        outputs.append(root)
    assert differences(before, changes, outputs[0]) == 0
    for root in outputs[1:]:
        assert contents(root) == contents(outputs[0])


def test_parquet_keys_beyond_the_limit(tmp_path: Path) -> None:
    check(tmp_path, 4_000_000, 2_000_000, [64, 1024], stream=False)


def test_stream_beyond_the_limit(tmp_path: Path) -> None:
    check(tmp_path, 1_000_000, 5_000_000, [64], stream=True)


@pytest.mark.long
def test_thirty_million_keys_against_sixty_million_rows(tmp_path: Path) -> None:
    check(tmp_path, 60_000_000, 30_000_000, [64, 128, 512], stream=False)


@pytest.mark.long
def test_a_stream_of_fifty_million_rows(tmp_path: Path) -> None:
    check(tmp_path, 10_000_000, 50_000_000, [64], stream=True)
