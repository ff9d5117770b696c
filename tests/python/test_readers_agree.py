"""Every reader sees a merged dataset alike: all rows, filtered rows and single keys.

A dataset goes through an upsert, a delete and an update of some columns. Its files are then of all
kinds: untouched, patched, with row groups copied beside patched ones, shrunk, and new. The answer
is worked out over plain rows, so that no reader vouches for another.
"""

from __future__ import annotations

import datetime
import decimal
import functools
import math
import operator
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import floodwall

Row = dict[str, Any]
Filter = list[tuple[str, str, Any]]

ROWS = 3_000
FILES = 4
GROUP = 250
START = datetime.datetime(2024, 1, 1)
COMPARE = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
SCHEMA = pa.schema(
    {
        "id": pa.int64(),
        "number": pa.int32(),
        "word": pa.string(),
        "text": pa.string(),
        "ratio": pa.float64(),
        "single": pa.float32(),
        "flag": pa.bool_(),
        "price": pa.decimal128(12, 2),
        "sum": pa.decimal128(30, 4),
        "time": pa.timestamp("us"),
        "zoned": pa.timestamp("ms", "UTC"),
        "day": pa.date32(),
        "raw": pa.binary(),
        "fixed": pa.binary(4),
        "parts": pa.list_(pa.int32()),
        "pair": pa.struct({"left": pa.int64(), "right": pa.string()}),
    }
)
NESTED = {"parts", "pair"}
FALLS_BACK = {"dictionary_pagesize_limit": 300, "data_page_size": 400}
DELTA = {
    "id": "DELTA_BINARY_PACKED",
    "number": "DELTA_BINARY_PACKED",
    "word": "DELTA_LENGTH_BYTE_ARRAY",
    "text": "DELTA_BYTE_ARRAY",
    "time": "DELTA_BINARY_PACKED",
    "raw": "DELTA_BYTE_ARRAY",
}
SPLIT = {"id": "BYTE_STREAM_SPLIT", "ratio": "BYTE_STREAM_SPLIT", "single": "BYTE_STREAM_SPLIT"}
LAYOUTS: dict[str, dict[str, Any]] = {
    "dictionary-v1-snappy": {"compression": "snappy"},
    "dictionary-v2-zstd": {"compression": "zstd", "data_page_version": "2.0"},
    "fallen-back-v1-gzip": {"compression": "gzip", **FALLS_BACK},
    "fallen-back-v2-none": {"compression": "none", "data_page_version": "2.0", **FALLS_BACK},
    "plain-v1-none": {"compression": "none", "use_dictionary": False},
    "plain-v1-gzip": {"compression": "gzip", "use_dictionary": False},
    "plain-v2-lz4": {"compression": "lz4", "use_dictionary": False, "data_page_version": "2.0"},
    "delta-v1-zstd": {"compression": "zstd", "use_dictionary": False, "column_encoding": DELTA},
    "delta-v2-snappy": {
        "compression": "snappy",
        "use_dictionary": False,
        "column_encoding": DELTA,
        "data_page_version": "2.0",
    },
    "split-v1-lz4": {"compression": "lz4", "use_dictionary": False, "column_encoding": SPLIT},
}


def _row(i: int, tag: str) -> Row:
    """Clustered by id, so that bounds of row groups and pages tell much."""
    fresh = tag != "old"
    return {
        "id": 3 * i,
        "number": None if i % 11 == 3 else i % 40 - 20,
        "word": None if i % 7 == 2 else f"{tag} {i // 100:03}",
        "text": f"text {i:05} {tag}",
        "ratio": None if i % 13 == 1 else (-0.0 if i % 17 == 0 else i / 8 + fresh),
        "single": None if i % 5 == 4 else i / 4,
        "flag": None if i % 9 == 5 else (i % 2 == 0) != fresh,
        "price": None if i % 19 == 6 else decimal.Decimal(i * 7 - 900 * fresh).scaleb(-2),
        "sum": decimal.Decimal(i * 10**15 + fresh).scaleb(-4),
        "time": START + datetime.timedelta(minutes=i, microseconds=int(fresh)),
        "zoned": (START + datetime.timedelta(hours=i)).replace(tzinfo=datetime.UTC),
        "day": None if i % 23 == 8 else (START + datetime.timedelta(days=i)).date(),
        "raw": None if i % 6 == 5 else bytes([i % 256, fresh]) * (i % 4),
        "fixed": f"{i % 1000:04}".encode(),
        "parts": None if i % 8 == 3 else [i, None, int(fresh)][: i % 4],
        "pair": None if i % 10 == 9 else {"left": i, "right": None if i % 3 else tag},
    }


def _table(rows: list[Row]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _merge_into(root: Path, layout: dict[str, Any]) -> list[Row]:
    """Returns the rows that are to be in the dataset."""
    root.mkdir()
    rows = {3 * i: _row(i, "old") for i in range(ROWS)}
    per_file = ROWS // FILES
    for f in range(FILES):
        part = [rows[3 * i] for i in range(f * per_file, (f + 1) * per_file)]
        pq.write_table(
            _table(part),
            root / f"f{f}.parquet",
            row_group_size=GROUP,
            write_page_index=True,
            max_rows_per_page=40,
            bloom_filter_options={n: {"ndv": GROUP} for n in ("id", "word", "text", "time")},
            **layout,
        )
    # File 0 stays untouched. One row group of file 1 is patched, the others are spliced. File 2
    # shrinks within row groups and loses a whole one. File 3 gets some columns only.
    patched = [*range(per_file + 10, per_file + 200, 9), *range(ROWS, ROWS + 120)]
    fresh = [_row(i, "new") for i in patched]
    floodwall.merge(_table(fresh), root, "upsert", "id")
    rows |= {row["id"]: row for row in fresh}
    gone = [*range(2 * per_file, 2 * per_file + GROUP + 60), *range(2 * per_file + 400, 2300, 3)]
    floodwall.merge(pa.table({"id": [3 * i for i in gone]}), root, "delete", "id")
    for i in gone:
        rows.pop(3 * i, None)
    columns = ["id", "text", "price", "parts", "pair"]
    late = [_row(i, "late") for i in range(3 * per_file + 5, ROWS, 31)]
    floodwall.merge(_table(late).select(columns), root, "update", "id")
    for row in late:
        rows[row["id"]] |= {name: row[name] for name in columns}
    return sorted(rows.values(), key=lambda row: row["id"])


def _plain(value: Any) -> Any:
    """What readers may write in several ways: zones, byte buffers, trailing zeros, maps' pairs."""
    if isinstance(value, float):
        return "nan" if math.isnan(value) else (value, math.copysign(1, value))
    if isinstance(value, datetime.datetime) and value.tzinfo is not None:
        return value.astimezone(datetime.UTC)
    if isinstance(value, decimal.Decimal):
        return value.normalize()
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    if isinstance(value, list):
        return [_plain(v) for v in value]
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return value


def _rows(table: pa.Table) -> list[Row]:
    return table.to_pylist()


def _literal(value: Any) -> str:
    if isinstance(value, datetime.datetime):
        return f"timestamp '{value.isoformat(sep=' ', timespec='microseconds')}'"
    if isinstance(value, datetime.date):
        return f"date '{value.isoformat()}'"
    if isinstance(value, str):
        return f"'{value}'"
    return str(value)


def _where(filters: Filter) -> str:
    parts = [f"{name} {compare} {_literal(value)}" for name, compare, value in filters]
    return f" where {' and '.join(parts)}" if parts else ""


def _pyarrow_rows(root: Path, filters: Filter) -> list[Row]:
    marks = [(name, "==" if mark == "=" else mark, value) for name, mark, value in filters]
    return _rows(pq.read_table(root, filters=marks or None, page_checksum_verification=True))


def _duckdb_rows(root: Path, filters: Filter) -> list[Row]:
    with duckdb.connect() as connection:
        connection.execute("set timezone to 'UTC'")
        query = f"select * from read_parquet('{root}/*.parquet'){_where(filters)}"
        return _rows(connection.sql(query).to_arrow_table())


def _polars_rows(root: Path, filters: Filter) -> list[Row]:
    frame = polars.scan_parquet(root / "*.parquet")
    tests = [COMPARE[mark](polars.col(name), polars.lit(value)) for name, mark, value in filters]
    if tests:
        frame = frame.filter(functools.reduce(operator.and_, tests))
    return _rows(frame.collect().to_arrow())


def _datafusion_rows(root: Path, filters: Filter) -> list[Row]:
    datafusion = pytest.importorskip("datafusion")
    settings = {
        "datafusion.execution.parquet.pushdown_filters": "true",
        "datafusion.execution.parquet.enable_page_index": "true",
        "datafusion.execution.parquet.bloom_filter_on_read": "true",
    }
    context = datafusion.SessionContext(datafusion.SessionConfig(settings))
    context.register_parquet("t", str(root))
    return _rows(context.sql(f"select * from t{_where(filters)}").to_arrow_table())


def _fastparquet_rows(root: Path, filters: Filter) -> list[Row]:
    """Some columns only: its frames have no decimals, zones of their own and no structs.

    It leaves out row groups; its own filter of rows reads wrong values where a chunk has several
    pages, whoever wrote them.
    """
    fastparquet = pytest.importorskip("fastparquet")
    out = []
    for path in sorted(root.glob("*.parquet")):
        file = fastparquet.ParquetFile(str(path))
        marks = [(name, "==" if mark == "=" else mark, value) for name, mark, value in filters]
        frame = file.to_pandas(columns=sorted(FASTPARQUET), filters=marks)
        out += [
            {name: None if value != value else value for name, value in row.items()}
            for row in frame.to_dict("records")
        ]
    return [row for row in out if _holds(row, filters)]


def _chdb_rows(root: Path, filters: Filter) -> list[Row]:
    chdb = pytest.importorskip("chdb")
    # Its timestamp literals have whole seconds.
    where = re.sub(r"timestamp ('[^']*')", r"toDateTime64(\1, 6, 'UTC')", _where(filters))
    query = f"select * from file('{root}/*.parquet', Parquet){where}"
    settings = " settings output_format_arrow_string_as_string=0"
    out = _rows(chdb.query(query + settings, "ArrowTable"))
    for row in out:
        row |= {name: row[name] and row[name].decode() for name in ("word", "text")}
        if row["pair"]["right"]:
            row["pair"]["right"] = row["pair"]["right"].decode()
        row["time"] = row["time"].replace(tzinfo=None)
    return out


# Of files that only Arrow wrote it misreads chunks that fell back and several version 2 pages with
# nulls, and refuses the other encodings.
FASTPARQUET_LAYOUTS = ["dictionary-v1-snappy", "plain-v1-none", "plain-v1-gzip"]
FASTPARQUET = {"id", "number", "word", "text", "ratio", "single", "time", "raw"}
READERS: dict[str, Callable[[Path, Filter], list[Row]]] = {
    "pyarrow": _pyarrow_rows,
    "duckdb": _duckdb_rows,
    "polars": _polars_rows,
    "datafusion": _datafusion_rows,
}
FILTERS: list[Filter] = [
    [],
    [("id", ">=", 2_200), ("id", "<", 2_290)],
    [("text", ">=", "text 00760"), ("text", "<", "text 00790")],
    [("time", ">", START + datetime.timedelta(minutes=1_700)), ("id", "<", 5_400)],
    [("day", "=", datetime.date(2026, 4, 10))],
    [("price", ">", decimal.Decimal("150.05")), ("price", "<=", decimal.Decimal("151.20"))],
    [("price", "<", decimal.Decimal("50.00")), ("id", ">", 2_300)],  # only patched rows
    [("ratio", ">=", 90.0), ("ratio", "<", 97.5)],
    [("ratio", "=", 0.0), ("id", "<", 200)],  # a negative zero
    [("number", "=", -19), ("word", "=", "new 009")],
    [("word", "=", "old 007")],
    [("word", "=", "new 030")],  # only in a new file
    [("word", "=", "absent")],
    [("id", ">", 3 * ROWS), ("number", "<", 0)],
]
KEYS: list[Filter] = [
    *([("id", "=", 3 * i)] for i in (0, 749, 760, 769, 1_400, 1_550, 2_200, 2_255, 2_999, 3_050)),
    *([("id", "=", absent)] for absent in (-1, 1, 2_281, 9_361, 2**40)),
    *([("text", "=", _row(i, tag)["text"])] for i in (3, 769, 2_255) for tag in ("old", "new")),
    [("time", "=", _row(760, "new")["time"])],
    [("time", "=", _row(760, "old")["time"])],
]


@functools.cache
def _merged(base: Path, name: str) -> tuple[Path, list[Row]]:
    root = base / name
    return root, _merge_into(root, LAYOUTS[name])


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("readers")


def _holds(row: Row, filters: Filter) -> bool:
    return all(row[n] is not None and COMPARE[mark](row[n], v) for n, mark, v in filters)


def _check(read: Callable[[Path, Filter], list[Row]], root: Path, rows: list[Row]) -> None:
    for filters in FILTERS + KEYS:
        if any(name not in rows[0] for name, _, _ in filters):
            continue
        expected = [_plain(row) for row in rows if _holds(row, filters)]
        found = sorted(read(root, filters), key=lambda row: row["id"])
        assert [_plain(row) for row in found] == expected, filters


def test_the_cases_tell_something(base: Path) -> None:
    root, rows = _merged(base, "dictionary-v1-snappy")
    hits = [sum(_holds(row, filters) for row in rows) for filters in FILTERS + KEYS]
    assert hits.count(0) in range(5, len(hits) // 2)
    assert all(any(row[name] is None for row in rows) for name in ("number", "word", "parts"))
    assert len(list(root.glob("f*.parquet"))) == FILES < len(list(root.glob("*.parquet")))
    for path in root.glob("f*.parquet"):
        footer = pq.ParquetFile(path).metadata
        for at, chunk in enumerate(footer.row_group(0).to_dict()["columns"]):
            assert footer.row_group(0).column(at).has_column_index
            filtered = chunk["path_in_schema"] in ("id", "word", "text", "time")
            assert (chunk["bloom_filter_offset"] is not None) == filtered


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_reader(base: Path, layout: str, reader: str) -> None:
    _check(READERS[reader], *_merged(base, layout))


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # its files are closed late
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("layout", FASTPARQUET_LAYOUTS)
def test_fastparquet(base: Path, layout: str) -> None:
    root, rows = _merged(base, layout)
    _check(_fastparquet_rows, root, [{n: row[n] for n in FASTPARQUET} for row in rows])


@pytest.mark.long
@pytest.mark.parametrize("layout", LAYOUTS)
def test_chdb(base: Path, layout: str) -> None:
    """ClickHouse has neither null lists nor null structs."""
    root, rows = _merged(base, layout)
    empty = {"left": None, "right": None}
    known = [row | {"parts": row["parts"] or [], "pair": row["pair"] or empty} for row in rows]
    _check(_chdb_rows, root, known)
