"""Files of several writers and format versions: one value changes, the rest is copied as bytes."""

import datetime
import decimal
from collections.abc import Callable
from pathlib import Path

import duckdb
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import floodwall

ROWS = 8192
GROUP = 2048


def _table() -> pa.Table:
    ids = range(ROWS)
    start = datetime.datetime(2024, 1, 1)
    return pa.table(
        {
            "id": pa.array(ids, pa.int64()),
            "word": pa.array([f"w{i % 50}" if i % 7 else None for i in ids]),
            "text": pa.array([f"unique text number {i}" for i in ids]),
            "price": pa.array([decimal.Decimal(i) / 4 for i in ids], pa.decimal128(12, 2)),
            "ratio": pa.array([i / 3 for i in ids], pa.float64()),
            "flag": pa.array([i % 3 == 0 for i in ids]),
            "time": pa.array([start + datetime.timedelta(hours=i) for i in ids]),
            "parts": pa.array([list(range(i % 4)) for i in ids], pa.list_(pa.int32())),
        }
    )


def _pyarrow(**options: object) -> Callable[[pa.Table, Path], None]:
    return lambda table, path: pq.write_table(table, path, row_group_size=GROUP, **options)


def _duckdb(version: str) -> Callable[[pa.Table, Path], None]:
    def write(table: pa.Table, path: Path) -> None:
        with duckdb.connect() as connection:
            connection.execute("set threads to 1")
            connection.register("t", table)
            connection.execute(
                f"copy (select * from t order by id) to '{path}' "
                f"(format parquet, row_group_size {GROUP}, parquet_version {version})"
            )

    return write


def _polars(table: pa.Table, path: Path) -> None:
    polars.from_arrow(table).write_parquet(path, row_group_size=GROUP, statistics="full")


WRITERS = {
    "pyarrow-1.0": _pyarrow(version="1.0"),
    "pyarrow-2.4-plain": _pyarrow(version="2.4", use_dictionary=False, compression="none"),
    "pyarrow-2.6-index": _pyarrow(
        version="2.6", write_page_index=True, write_page_checksum=True, compression="zstd"
    ),
    "pyarrow-pages-v2": _pyarrow(data_page_version="2.0", compression="gzip", data_page_size=2000),
    "pyarrow-no-statistics": _pyarrow(write_statistics=False, store_schema=False),
    "pyarrow-byte-stream-split": _pyarrow(
        use_dictionary=False,
        column_encoding={"ratio": "BYTE_STREAM_SPLIT", "id": "DELTA_BINARY_PACKED"},
    ),
    "duckdb-v1": _duckdb("v1"),
    "duckdb-v2": _duckdb("v2"),
    "polars": _polars,
}


def _facts(column: pq.ColumnChunkMetaData) -> dict[str, object]:
    facts = column.to_dict()
    for moved in ("file", "data_page", "index_page", "dictionary_page", "bloom_filter"):
        facts.pop(f"{moved}_offset", None)
    return {**facts, "index": (column.has_offset_index, column.has_column_index)}


@pytest.mark.parametrize("writer", WRITERS)
def test_what_is_not_changed_is_copied_whole(writer: str, tmp_path: Path) -> None:
    table = _table()
    path = tmp_path / "data" / "f.parquet"
    path.parent.mkdir()
    WRITERS[writer](table, path)
    before = pq.ParquetFile(path)
    assert before.num_row_groups == ROWS // GROUP
    expected = before.read()
    probed = duckdb.sql(f"select * from parquet_bloom_probe('{path}', 'word', 'w7')").fetchall()

    source = pa.table({"id": [5000], "word": ["a new word"]})
    result = floodwall.merge(source, tmp_path / "data", "update", "id")
    assert (result.updated, result.inserted) == (1, 0)
    assert result.bytes_copied > result.bytes_encoded

    after = pq.ParquetFile(path, page_checksum_verification=True)
    words = expected.column("word").to_pylist()
    words[5000] = "a new word"
    changed = expected.set_column(
        1, expected.schema.field("word"), pa.array(words, expected.schema.field("word").type)
    )
    assert after.read().equals(changed)
    counts = duckdb.sql(f"select count(*), sum(id) from '{path}' where word is not null")
    present = [i for i, word in enumerate(words) if word is not None]
    assert counts.fetchall() == [(len(present), sum(present))]
    assert polars.read_parquet(path)["word"].to_list() == words
    assert after.metadata.created_by == before.metadata.created_by
    assert after.metadata.metadata == before.metadata.metadata
    for group in range(before.num_row_groups):
        for column in range(before.metadata.num_columns):
            if group == 5000 // GROUP and column == 1:
                continue
            assert _facts(after.metadata.row_group(group).column(column)) == _facts(
                before.metadata.row_group(group).column(column)
            )
    # No filter of an untouched row group says anything else than before.
    again = duckdb.sql(f"select * from parquet_bloom_probe('{path}', 'word', 'w7')").fetchall()
    assert again == probed
