"""
TPC-H lineitem as a dataset, and a source that updates 0.8 % of it and adds 0.2 %.

Everything is streamed: preparing scale 1 takes well below 1 GB of memory.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

FILES = 10
ROW_GROUP_ROWS = 122_880
KEY_COLUMNS = ("l_orderkey", "l_linenumber")
_SOURCE_SHARE = 100  # one source row for a hundred of the target


def generate(directory: Path, scale: float) -> Path:
    """Generate lineitem with tpchgen-cli; return its Parquet file."""
    out = directory / f"tpch-{scale:g}"
    file = out / "lineitem.parquet"
    if not file.exists():
        tool = Path(sys.executable).parent / "tpchgen-cli"
        part = directory / f"tpch-{scale:g}.part"
        subprocess.run(
            [tool, "parquet", "-s", f"{scale:g}", "--tables", "lineitem", "-o", part],
            check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        part.rename(out)
    return file


def lay_out(lineitem: Path, dataset: Path) -> None:
    """Write the dataset: ten files of contiguous keys, snappy, 122,880-row row groups."""
    if dataset.exists():
        return
    part = dataset.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    source = pq.ParquetFile(lineitem)
    # tpchgen-cli stores string views, which several tools cannot merge: plain strings are fairer.
    schema = pa.schema(
        field.with_type(pa.string()) if field.type == pa.string_view() else field
        for field in source.schema_arrow
    )
    groups = -(-source.metadata.num_rows // ROW_GROUP_ROWS)
    groups_per_file = -(-groups // FILES)
    writer: pq.ParquetWriter | None = None
    for written, group in enumerate(_exact_groups(source)):
        if written % groups_per_file == 0:
            if writer is not None:
                writer.close()
            name = part / f"lineitem-{written // groups_per_file:02d}.parquet"
            writer = pq.ParquetWriter(name, schema, compression="snappy")
        assert writer is not None
        writer.write_table(group.cast(schema), row_group_size=ROW_GROUP_ROWS)
    if writer is not None:
        writer.close()
    part.rename(dataset)


def _exact_groups(source: pq.ParquetFile) -> Iterator[pa.Table]:
    """Tables of exactly one row group each, whatever the source's own layout."""
    held: list[pa.RecordBatch] = []
    rows = 0
    for batch in source.iter_batches(batch_size=ROW_GROUP_ROWS // 4):
        held.append(batch)
        rows += batch.num_rows
        if rows >= ROW_GROUP_ROWS:
            table = pa.Table.from_batches(held)
            yield table.slice(0, ROW_GROUP_ROWS)
            held = table.slice(ROW_GROUP_ROWS).to_batches()
            rows -= ROW_GROUP_ROWS
    if rows:
        yield pa.Table.from_batches(held)


def make_source(dataset: Path, file: Path) -> None:
    """Write the source: updates spread over all keys, and new keys behind the last one."""
    if file.exists():
        return
    part = file.with_suffix(".part")
    with duckdb.connect() as db:
        db.execute("SET memory_limit = '700MB'; SET threads = 2")
        db.execute(f"CREATE VIEW t AS SELECT * FROM read_parquet('{dataset}/*.parquet')")
        row = db.execute("SELECT count(*), max(l_orderkey) FROM t").fetchone()
        assert row is not None
        rows, last = row
        total = rows // _SOURCE_SHARE
        changed = """ REPLACE (
            l_quantity + 1 AS l_quantity, l_extendedprice + 1 AS l_extendedprice,
            'merged ' || l_comment AS l_comment, l_shipdate + INTERVAL 1 DAY AS l_shipdate"""
        pick = "FROM (SELECT * FROM t ORDER BY hash(l_orderkey, l_linenumber, {}) LIMIT {})"
        updates = total * 8 // 10
        db.execute(
            f"""COPY (
              SELECT * {changed}) {pick.format(1, updates)}
              UNION ALL
              SELECT * {changed}, l_orderkey + {last} AS l_orderkey)
              {pick.format(2, total - updates)}
            ) TO '{part}' (FORMAT parquet)"""
        )
    # Back to the dataset's own types (DuckDB turned dates into timestamps).
    write_like(part, pq.read_schema(sorted(dataset.glob("*.parquet"))[0]), file)


def write_like(part: Path, schema: pa.Schema, file: Path) -> None:
    """Turn what DuckDB wrote into a file with the types of ``schema``; ``part`` goes away."""
    source = pq.ParquetFile(part)
    schema = pa.schema([schema.field(name) for name in source.schema_arrow.names])
    whole = file.with_suffix(".whole")
    with pq.ParquetWriter(whole, schema) as writer:
        for batch in source.iter_batches(ROW_GROUP_ROWS):
            writer.write_table(pa.Table.from_batches([batch]).cast(schema))
    part.unlink()
    whole.rename(file)


def prepare(directory: Path, scale: float) -> tuple[Path, Path]:
    """Return dataset and source of a scale; make them at the first call."""
    directory.mkdir(exist_ok=True)
    dataset = directory / f"lineitem-{scale:g}"
    source = directory / f"changes-{scale:g}.parquet"
    if not dataset.exists() or not source.exists():
        lay_out(generate(directory, scale), dataset)
        make_source(dataset, source)
    return dataset, source


def differences(before: Path, source: Path, after: Path) -> int:
    """Rows by which the merged dataset differs from what DuckDB makes of the same upsert."""
    on = " AND ".join(f"b.{name} IS NOT DISTINCT FROM s.{name}" for name in KEY_COLUMNS)
    with duckdb.connect() as db:
        db.execute("SET threads = 2; SET preserve_insertion_order = false")
        db.execute(
            f"""CREATE VIEW b AS SELECT * FROM read_parquet('{before}/**/*.parquet');
                CREATE VIEW s AS SELECT * FROM read_parquet('{source}');
                CREATE VIEW a AS SELECT * FROM read_parquet('{after}/**/*.parquet');
                CREATE VIEW expected AS
                  SELECT * FROM b WHERE NOT EXISTS (SELECT 1 FROM s WHERE {on})
                  UNION ALL SELECT * FROM s"""
        )
        # Multisets are equal exactly when counting every row, plus here and minus there, leaves
        # nothing; a whole row is hashed to 128 bits so that the check needs little memory.
        row = db.execute(
            """SELECT coalesce(sum(abs(n)), 0) FROM (
                 SELECT h, sum(d) AS n FROM (
                   SELECT md5_number(CAST(COLUMNS_ROW AS VARCHAR)) AS h, 1 AS d
                   FROM (SELECT a AS COLUMNS_ROW FROM a)
                   UNION ALL
                   SELECT md5_number(CAST(COLUMNS_ROW AS VARCHAR)), -1
                   FROM (SELECT expected AS COLUMNS_ROW FROM expected)
                 ) GROUP BY h)"""
        ).fetchone()
    assert row is not None
    return int(row[0])
