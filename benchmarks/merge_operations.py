"""
What benchmarks/merge.py merges: operations, their sources, and what DuckDB makes of each.

Sources are made once and kept. Updated rows and new keys are spread evenly over the target's keys
in random order, unless the operation says otherwise; a new key lies between two keys of the target
(TPC-H uses the first 8 of every 32 order keys), so that no range of keys excludes it.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

import lineitem

WIDE_COLUMNS = 150
_WIDE_ROWS, _WIDE_FILES = 245_760, 4
_KEYED_ROWS, _KEYED_FILES = 20_000_000, 8
_CHANGED = """l_quantity + 1 AS l_quantity, l_extendedprice + 1 AS l_extendedprice,
    'merged ' || l_comment AS l_comment, l_shipdate + INTERVAL 1 DAY AS l_shipdate"""
_NEW_KEY = "l_orderkey + 8 AS l_orderkey"
_PART = "hash(l_orderkey, l_linenumber) % 1000"
_SHUFFLE = "ORDER BY hash(l_linenumber, l_orderkey)"


@dataclasses.dataclass(frozen=True)
class Operation:
    """One merge: ``source`` selects its rows from the target ``t`` (empty: tools/lineitem's)."""

    title: str
    strategy: str
    source: str = ""
    dataset: str = "lineitem"

    @property
    def keys(self) -> list[str]:
        """The key columns."""
        return list(lineitem.KEY_COLUMNS) if self.dataset == "lineitem" else ["id"]


def _mixed(rows: str, new_rows: str) -> str:
    return (
        f"SELECT * REPLACE ({_CHANGED}) FROM t WHERE {rows} UNION ALL "
        f"SELECT * REPLACE ({_CHANGED}, {_NEW_KEY}) FROM t WHERE {new_rows}"
    )


_MIDDLE = "l_orderkey BETWEEN (SELECT max(l_orderkey) * {} FROM t) AND (SELECT max(l_orderkey) * {} FROM t)"  # noqa: E501
OPERATIONS = {
    "upsert": Operation("upsert of 1 %: 0.8 % updated, 0.2 % new", "upsert"),
    "clustered": Operation(
        "upsert of 1 % of the keys side by side: 0.8 % updated, 0.2 % new",
        "upsert",
        _mixed(_MIDDLE.format(0.5, 0.508), _MIDDLE.format(0.506, 0.508)),
    ),
    "update": Operation(
        "update of 5 %",
        "update",
        f"SELECT * REPLACE ({_CHANGED}) FROM t WHERE {_PART} < 50 {_SHUFFLE}",
    ),
    "insert": Operation(
        "insert of 5 %, all new",
        "insert",
        f"SELECT * REPLACE ({_NEW_KEY}) FROM t WHERE {_PART} < 50 {_SHUFFLE}",
    ),
    "full_merge": Operation(
        "full merge with half of the rows, a tenth of them changed, in key order",
        "full_merge",
        f"SELECT * FROM t WHERE {_PART} < 450 UNION ALL "
        f"SELECT * REPLACE ({_CHANGED}) FROM t WHERE {_PART} BETWEEN 450 AND 499 "
        "ORDER BY l_orderkey, l_linenumber",
    ),
    "delete": Operation(
        "delete of 1 %",
        "delete",
        f"SELECT l_orderkey, l_linenumber FROM t WHERE {_PART} < 10 {_SHUFFLE}",
    ),
    "identical": Operation(
        "upsert of 1 % that is there already",
        "upsert",
        f"SELECT * FROM t WHERE {_PART} < 10 {_SHUFFLE}",
    ),
    "half": Operation(
        "upsert of 50 %: 40 % updated, 10 % new, in key order",
        "upsert",
        _mixed(f"{_PART} < 400", f"{_PART} >= 900") + " ORDER BY l_orderkey, l_linenumber",
    ),
    "wide": Operation(
        f"update of 2 of {WIDE_COLUMNS} columns in a tenth of the rows",
        "update",
        "SELECT id, c10 + 1 AS c10, c11 + 1 AS c11 FROM t WHERE hash(id) % 10 = 0 "
        "ORDER BY hash(id, 1)",
        "wide",
    ),
    # Twice as many keys as 128 MiB hold, and the payload of each.
    "keys": Operation(
        "upsert of 10 million rows, half of them new, into 20 million narrow ones",
        "upsert",
        "SELECT id + 1 - hash(id, 2) % 2 AS id, a + 1 AS a, b FROM t WHERE hash(id, 3) % 2 = 0 "
        "ORDER BY hash(id, 4)",
        "keyed",
    ),
}


def _wide_column(i: int) -> str:
    value = f"hash(id, {i})"
    if i % 3 == 0:
        return f"'word ' || CAST({value} % {10 ** (i % 4 + 1)} AS VARCHAR) AS c{i}"
    if i % 3 == 1:
        return f"CAST({value} % {10 ** (i % 9 + 1)} AS BIGINT) AS c{i}"
    return f"CAST({value} % {10 ** (i % 7 + 2)} AS DOUBLE) / 100 AS c{i}"


def _lay_out_wide(dataset: Path, scale: float) -> None:
    part = dataset.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    rows = int(_WIDE_ROWS * scale) // _WIDE_FILES
    columns = ", ".join(_wide_column(i) for i in range(1, WIDE_COLUMNS))
    with duckdb.connect() as db:
        db.execute("SET threads = 1; SET memory_limit = '2GB'")
        for file in range(_WIDE_FILES):
            batches = db.sql(
                f"SELECT id, {columns} FROM range({file * rows}, {(file + 1) * rows}) r(id)"
            ).to_arrow_table()
            pq.write_table(
                batches,
                part / f"wide-{file}.parquet",
                compression="snappy",
                row_group_size=lineitem.ROW_GROUP_ROWS // 2,
            )
    part.rename(dataset)


def _lay_out_keyed(dataset: Path, scale: float) -> None:
    part = dataset.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    rows = int(_KEYED_ROWS * scale) // _KEYED_FILES
    with duckdb.connect() as db:
        db.execute("SET threads = 2; SET memory_limit = '2GB'")
        for file in range(_KEYED_FILES):
            db.execute(
                f"COPY (SELECT 2 * (i * {_KEYED_FILES} + {file}) AS id, "
                "(hash(i) % 1000003)::INT AS a, 'text ' || (hash(i, 1) % 65537) AS b "
                f"FROM range({rows}) r(i) ORDER BY hash(i, 5)) TO '{part}/keyed-{file}.parquet' "
                "(FORMAT parquet, ROW_GROUP_SIZE 250000)"
            )
    part.rename(dataset)


_LAY_OUT = {"wide": _lay_out_wide, "keyed": _lay_out_keyed}


def prepare(name: str, directory: Path, scale: float) -> tuple[Path, Path]:
    """Return dataset and source of an operation; make them at the first call."""
    operation = OPERATIONS[name]
    if not operation.source:
        return lineitem.prepare(directory, scale)
    dataset = directory / f"{operation.dataset}-{scale:g}"
    if not dataset.exists():
        if operation.dataset in _LAY_OUT:
            _LAY_OUT[operation.dataset](dataset, scale)
        else:
            lineitem.prepare(directory, scale)
    source = directory / f"source-{name}-{scale:g}.parquet"
    if not source.exists():
        part = source.with_suffix(".part")
        with duckdb.connect() as db:
            db.execute("SET memory_limit = '2GB'; SET threads = 2")
            db.execute(f"CREATE VIEW t AS SELECT * FROM read_parquet('{dataset}/*.parquet')")
            db.execute(f"COPY ({operation.source}) TO '{part}' (FORMAT parquet)")
        schema = pq.read_schema(sorted(dataset.glob("*.parquet"))[0])
        lineitem.write_like(part, schema, source)
    return dataset, source


def _expected(operation: Operation) -> str:
    keys = ", ".join(operation.keys)
    kept = f"SELECT b.* FROM b ANTI JOIN s USING ({keys})"
    if operation.dataset == "wide":
        return (
            "SELECT b.* REPLACE (coalesce(s.c10, b.c10) AS c10, coalesce(s.c11, b.c11) AS c11) "
            f"FROM b LEFT JOIN s USING ({keys})"
        )
    return {
        "upsert": f"{kept} UNION ALL FROM s",
        "update": f"{kept} UNION ALL SELECT s.* FROM s SEMI JOIN b USING ({keys})",
        "insert": f"FROM b UNION ALL SELECT s.* FROM s ANTI JOIN b USING ({keys})",
        "delete": kept,
        "full_merge": "FROM s",
    }[operation.strategy]


def _fingerprint(db: duckdb.DuckDBPyConnection, rows: str, columns: str) -> list[int]:
    """Counts rows and sums two 64-bit hashes of each: alike for equal multisets of rows."""
    found = db.execute(
        f"""SELECT count(*), coalesce(sum(hash({columns})), 0), coalesce(sum(hash(1, {columns})), 0)
            FROM ({rows})"""
    ).fetchone()
    assert found is not None
    return [int(figure) for figure in found]


def is_correct(name: str, dataset: Path, source: Path, after: Path) -> bool:
    """Compare a result with what DuckDB makes of the same operation, which is kept in a file."""
    operation = OPERATIONS[name]
    known = source.with_suffix(f".{name}.json")
    schema = pq.read_schema(sorted(dataset.glob("*.parquet"))[0])
    columns = ", ".join(schema.names)
    with duckdb.connect() as db:
        db.execute("SET threads = 2; SET preserve_insertion_order = false")
        for view, place in (("b", f"{dataset}/*"), ("s", str(source)), ("a", f"{after}/**/*")):
            place += "" if place.endswith(".parquet") else ".parquet"
            db.execute(f"CREATE VIEW {view} AS SELECT * FROM read_parquet('{place}')")
        if not known.exists():
            known.write_text(json.dumps(_fingerprint(db, _expected(operation), columns)))
        return _fingerprint(db, "FROM a", columns) == json.loads(known.read_text())
