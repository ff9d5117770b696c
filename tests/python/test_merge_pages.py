"""Merges over random schemas, encodings, codecs and page layouts against a naive answer."""

from __future__ import annotations

import datetime
import decimal
import math
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import floodwall

_VALUES: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "int": (pa.int32(), st.integers(-5, 300)),
    "long": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "float": (pa.float32(), st.floats(width=32)),
    "double": (pa.float64(), st.one_of(st.floats(), st.sampled_from([0.0, -0.0, math.nan]))),
    "bool": (pa.bool_(), st.booleans()),
    "text": (pa.string(), st.text(max_size=12)),
    "bytes": (pa.binary(), st.binary(max_size=40)),
    "fixed": (pa.binary(3), st.binary(min_size=3, max_size=3)),
    "money": (
        pa.decimal128(15, 2),
        st.decimals(-1000, 1000, places=2).map(lambda d: d.quantize(decimal.Decimal("0.01"))),
    ),
    "day": (
        pa.date32(),
        st.dates(datetime.date(1990, 1, 1), datetime.date(2040, 1, 1)),
    ),
}
_ENCODINGS = {
    "int": ["DELTA_BINARY_PACKED", "BYTE_STREAM_SPLIT"],
    "long": ["DELTA_BINARY_PACKED", "BYTE_STREAM_SPLIT"],
    "float": ["BYTE_STREAM_SPLIT"],
    "double": ["BYTE_STREAM_SPLIT"],
    "bool": ["RLE"],
    "text": ["DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY"],
    "bytes": ["DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY"],
    "fixed": ["DELTA_BYTE_ARRAY", "BYTE_STREAM_SPLIT"],
    "money": ["BYTE_STREAM_SPLIT"],
    "day": ["DELTA_BINARY_PACKED"],
}


def _key(value: Any) -> Any:
    """Values as Parquet keeps them: NaN equals NaN, the two zeros differ."""
    if isinstance(value, float):
        return ("nan",) if math.isnan(value) else (value, math.copysign(1, value))
    return value


def _rows(table: pa.Table) -> list[tuple[Any, ...]]:
    columns = [[_key(v) for v in column.to_pylist()] for column in table.columns]
    return list(zip(*columns, strict=True))


@st.composite
def _case(draw: st.DrawFn) -> dict[str, Any]:
    names = draw(st.lists(st.sampled_from(sorted(_VALUES)), min_size=1, max_size=4, unique=True))
    rows = draw(st.integers(1, 400))
    few = draw(st.booleans())
    fields = [pa.field("id", pa.int64())]
    columns: list[pa.Array] = [pa.array(range(rows), pa.int64())]
    pools = {}
    for name in names:
        kind, values = _VALUES[name]
        nullable = draw(st.booleans())
        element = st.one_of(st.none(), values) if nullable else values
        pool = draw(st.lists(element, min_size=1, max_size=3 if few else 60))
        pools[name] = pool
        shift = draw(st.integers(0, 10))
        data = [pool[(i * 7 + i // 5 + shift) % len(pool)] for i in range(rows)]
        columns.append(pa.array(data, kind))
        fields.append(pa.field(name, kind, nullable=nullable))
    base = pa.Table.from_arrays(columns, schema=pa.schema(fields))

    picked = draw(
        st.one_of(
            st.just(range(rows)),
            st.lists(st.integers(0, rows + 20), min_size=1, max_size=30, unique=True),
        )
    )
    source_columns: list[pa.Array] = [pa.array(list(picked), pa.int64())]
    for name, field in zip(names, fields[1:], strict=True):
        fresh = draw(
            st.lists(
                st.one_of(st.none(), _VALUES[name][1]) if field.nullable else _VALUES[name][1],
                max_size=8,
            )
        )
        pool = pools[name] + fresh
        step = draw(st.integers(1, 5))
        source_columns.append(
            pa.array([pool[(i * step) % len(pool)] for i, _ in enumerate(picked)], field.type)
        )
    source = pa.Table.from_arrays(source_columns, schema=base.schema)

    dictionary = draw(st.sampled_from([True, False, names[:1]]))
    write: dict[str, Any] = {
        "compression": draw(st.sampled_from(["none", "snappy", "gzip", "zstd", "brotli", "lz4"])),
        "data_page_version": draw(st.sampled_from(["1.0", "2.0"])),
        "use_dictionary": dictionary,
        "data_page_size": draw(st.sampled_from([64, 512, 1 << 20])),
        "write_batch_size": draw(st.sampled_from([1, 16, 1024])),
        "row_group_size": draw(st.sampled_from([rows, max(1, rows // 3)])),
        "write_page_index": draw(st.booleans()),
        "write_page_checksum": draw(st.booleans()),
        "dictionary_pagesize_limit": draw(st.sampled_from([32, 1 << 20])),
    }
    if dictionary is False and draw(st.booleans()):
        write["column_encoding"] = {
            name: draw(st.sampled_from([*_ENCODINGS[name], "PLAIN"])) for name in names
        }
    strategy = draw(st.sampled_from(["update", "upsert", "delete", "full_merge"]))
    return {"base": base, "source": source, "write": write, "strategy": strategy}


def _expected(case: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    """The rows of the rewritten file in order, and the inserted ones."""
    source = {row[0]: row for row in _rows(case["source"])}
    strategy = case["strategy"]
    kept = []
    for row in _rows(case["base"]):
        if strategy == "delete":
            if row[0] not in source:
                kept.append(row)
        elif row[0] in source:
            kept.append(source[row[0]])
        elif strategy != "full_merge":
            kept.append(row)
    inserted = []
    if strategy in ("upsert", "full_merge"):
        known = set(case["base"]["id"].to_pylist())
        inserted = [row for key, row in source.items() if key not in known]
    return kept, inserted


def _check_statistics(path: Path) -> None:
    file = pq.ParquetFile(path)
    for group in range(file.num_row_groups):
        table = file.read_row_group(group)
        for index, name in enumerate(table.column_names):
            chunk = file.metadata.row_group(group).column(index)
            values = table[name].to_pylist()
            assert chunk.num_values == len(values)
            statistics = chunk.statistics
            if statistics is None:
                continue
            if statistics.has_null_count:
                assert statistics.null_count == values.count(None)
            if statistics.has_min_max:
                for value in values:
                    if value is None or (isinstance(value, float) and math.isnan(value)):
                        continue
                    assert statistics.min <= value <= statistics.max


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(_case())
def test_patched_files_read_back_as_a_naive_merge(case: dict[str, Any]) -> None:
    kept, inserted = _expected(case)
    with tempfile.TemporaryDirectory() as directory:
        seen = []
        for threads in (1, 2):
            root = Path(directory) / f"dataset-{threads}"
            root.mkdir()
            target = root / "a.parquet"
            pq.write_table(case["base"], target, **case["write"])
            result = floodwall.merge(
                case["source"], root, case["strategy"], "id", max_memory="64MiB", threads=threads
            )
            assert result.target_count_after == len(kept) + len(inserted)
            others = [p for p in sorted(root.glob("*.parquet")) if p != target]
            new_rows = [row for p in others for row in _rows(pq.read_table(p))]
            assert sorted(row[0] for row in new_rows) == sorted(row[0] for row in inserted)
            if not kept:
                assert not target.exists()
                continue
            table = pq.read_table(target, page_checksum_verification=True)
            assert _rows(table) == kept
            assert table.schema.equals(case["base"].schema)
            _check_statistics(target)
            seen.append(target.read_bytes())
            shutil.rmtree(root)
        assert len(set(seen)) <= 1
