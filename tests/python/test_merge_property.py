"""Every strategy and policy against a naive merge of Python lists."""

import dataclasses
import math
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import floodwall

Row = dict[str, Any]

KEYS: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "int8": (pa.int8(), st.integers(-3, 3)),
    "int64": (pa.int64(), st.sampled_from([-(2**63), -1, 0, 1, 2**63 - 1])),
    "uint64": (pa.uint64(), st.sampled_from([0, 1, 2**63, 2**64 - 1])),
    "bool": (pa.bool_(), st.booleans()),
    "float64": (pa.float64(), st.sampled_from([0.0, -0.0, 1.5, math.nan, math.inf])),
    "string": (pa.string(), st.sampled_from(["", "a", "a\0", "ab", "x" * 40])),
    "binary": (pa.binary(), st.sampled_from([b"", b"\0", b"\xff" * 20])),
    "date32": (pa.date32(), st.dates().map(lambda d: d.replace(year=2024, month=1))),
    "dictionary": (pa.dictionary(pa.int8(), pa.string()), st.sampled_from(["", "a", "b", "c"])),
}
VALUES: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "int32": (pa.int32(), st.integers(-5, 5)),
    "float32": (pa.float32(), st.sampled_from([0.0, -0.0, 2.5, math.nan])),
    "bool": (pa.bool_(), st.booleans()),
    "string": (pa.string(), st.sampled_from(["", "v", "w" * 30])),
    "list": (pa.list_(pa.int16()), st.lists(st.none() | st.integers(0, 3), max_size=3)),
    "struct": (
        pa.struct({"a": pa.int64(), "b": pa.list_(pa.string())}),
        st.fixed_dictionaries(
            {
                "a": st.none() | st.integers(0, 2),
                "b": st.none() | st.lists(st.just("s"), max_size=2),
            }
        ),
    ),
}


@dataclasses.dataclass
class Case:
    key_types: list[str]
    value_types: list[str]
    files: list[list[Row]]
    source: list[Row]
    layout: dict[str, Any]
    strategy: str
    options: dict[str, Any]
    kind: str

    @property
    def keys(self) -> list[str]:
        return [f"k{i}" for i in range(len(self.key_types))]

    def schema(self, source: bool) -> pa.Schema:
        fields = [(f"k{i}", KEYS[t][0]) for i, t in enumerate(self.key_types)]
        fields += [(f"v{i}", VALUES[t][0]) for i, t in enumerate(self.value_types)]
        return pa.schema([*fields, ("o", pa.int32())] if source else fields)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    key_types = draw(st.lists(st.sampled_from(list(KEYS)), min_size=1, max_size=2))
    value_types = draw(st.lists(st.sampled_from(list(VALUES)), min_size=1, max_size=3))
    cells = {f"k{i}": st.none() | KEYS[t][1] for i, t in enumerate(key_types)}
    cells |= {f"v{i}": st.none() | VALUES[t][1] for i, t in enumerate(value_types)}
    row = st.fixed_dictionaries(cells)
    source_row = st.fixed_dictionaries(cells | {"o": st.none() | st.integers(-2, 2)})
    strategy = draw(
        st.sampled_from(["upsert", "insert", "update", "delete", "full_merge", "deduplicate"])
    )
    options: dict[str, Any] = {
        "source_duplicates": draw(st.sampled_from(["last", "first"])),
        "null_keys": draw(st.sampled_from(["match", "never"])),
        "new_columns": "ignore",
        "max_memory": draw(st.sampled_from(["32MiB", "256MiB"])),
        "threads": draw(st.sampled_from([1, 3])),
        "allow_delete_all": True,
    }
    if strategy != "insert":
        options["target_duplicates"] = draw(st.sampled_from(["all", "collapse"]))
    if draw(st.booleans()):
        options["order_by"] = "o"
    layout = {
        "row_group_size": draw(st.sampled_from([1, 3, 100])),
        "compression": draw(st.sampled_from(["none", "snappy", "zstd"])),
        "data_page_version": draw(st.sampled_from(["1.0", "2.0"])),
        "use_dictionary": draw(st.booleans()),
        "write_page_index": draw(st.booleans()),
    }
    if not {"list", "struct"} & set(value_types) and draw(st.booleans()):
        # A page for each row. pyarrow cannot read its own lists written so.
        layout |= {"data_page_size": 1, "write_batch_size": 1}
    return Case(
        key_types, value_types,
        draw(st.lists(st.lists(row, min_size=1, max_size=8), min_size=1, max_size=3)),
        draw(st.lists(source_row, max_size=8)), layout, strategy, options,
        draw(st.sampled_from(["table", "stream", "parquet"])),
    )  # fmt: skip


def identity(case: Case, row: Row, number: int) -> Any:
    """What two rows share exactly when their keys are equal."""
    out: list[Any] = []
    for name in case.keys:
        value = row[name]
        if value is None and case.options["null_keys"] == "never":
            return ("unequal", number)
        if isinstance(value, float):
            value = "nan" if math.isnan(value) else value + 0.0
        out.append((type(value).__name__, value))
    return tuple(out)


@dataclasses.dataclass
class Expected:
    files: list[list[Row]]
    inserted: list[Row]
    updated: int
    deleted: int


def naive(case: Case) -> Expected:
    first = case.options["source_duplicates"] == "first"
    ahead: dict[Any, tuple[Any, int]] = {}
    for i, row in enumerate(case.source):
        order = (row["o"] is not None, row["o"] or 0) if "order_by" in case.options else ()
        rank = (order, i)
        key = identity(case, row, i)
        old = ahead.get(key)
        if old is None or (order < old[0][0] if first else rank > old[0]):
            ahead[key] = (rank, i)
    source = {key: case.source[i] for key, (_, i) in ahead.items()}
    if not case.source and case.strategy != "full_merge":
        return Expected(case.files, [], 0, 0)
    collapse = case.options.get("target_duplicates") == "collapse" or case.strategy == "deduplicate"
    seen: set[Any] = set()
    files: list[list[Row]] = []
    for f, rows in enumerate(case.files):
        out: list[Row] = []
        for r, row in enumerate(rows):
            key = identity(case, row, -1 - 100 * f - r)
            match = source.get(key)
            if match is None:
                if case.strategy != "full_merge":
                    out.append(row)
                continue
            repeated = key in seen
            seen.add(key)
            if case.strategy == "insert":
                out.append(row)
            elif case.strategy != "delete" and not (repeated and collapse):
                out.append({n: row[n] if n in case.keys else match[n] for n in row})
        files.append(out)
    inserted: list[Row] = []
    if case.strategy not in ("update", "delete"):
        chosen = sorted(i for key, (_, i) in ahead.items() if key not in seen)
        inserted = [{n: v for n, v in case.source[i].items() if n != "o"} for i in chosen]
    before = sum(map(len, case.files))
    updated = 0 if case.strategy in ("insert", "delete") else len(seen)
    return Expected(files, inserted, updated, before - sum(map(len, files)))


def texts(rows: list[Row]) -> list[str]:
    """Rows as texts: NaN equals NaN, -0.0 is not 0.0."""
    return [repr(sorted(row.items())) for row in rows]


def check(case: Case) -> None:
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory) / "d"
        root.mkdir()
        paths = [root / f"{i}.parquet" for i in range(len(case.files))]
        for path, rows in zip(paths, case.files, strict=True):
            pq.write_table(pa.Table.from_pylist(rows, case.schema(False)), path, **case.layout)
        data: Any = pa.Table.from_pylist(case.source, case.schema(True))
        if case.kind == "stream":
            data = data.to_reader(max_chunksize=3)
        elif case.kind == "parquet":
            pq.write_table(data, Path(directory) / "s.parquet", row_group_size=3)
            data = Path(directory) / "s.parquet"
        expected = naive(case)
        # float32 values come back as the doubles they are.
        result = floodwall.merge(data, root, case.strategy, case.keys, **case.options)
        for path, rows in zip(paths, expected.files, strict=True):
            assert path.exists() == bool(rows)
            if rows:
                wanted = pa.Table.from_pylist(rows, case.schema(False)).to_pylist()
                assert texts(pq.ParquetFile(path).read().to_pylist()) == texts(wanted)
        new = [row for p in result.inserted_files for row in pq.ParquetFile(p).read().to_pylist()]
        wanted = pa.Table.from_pylist(expected.inserted, case.schema(False)).to_pylist()
        assert texts(new) == texts(wanted)
        assert result.inserted == len(expected.inserted)
        assert (result.updated, result.deleted) == (expected.updated, expected.deleted)
        assert result.target_count_before == sum(map(len, case.files))
        assert result.target_count_after == sum(map(len, expected.files)) + result.inserted


SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


@settings(max_examples=150, deadline=None, suppress_health_check=SLOW)
@given(cases())
def test_a_merge_equals_the_naive_one(case: Case) -> None:
    check(case)


@pytest.mark.long
@settings(max_examples=5000, deadline=None, suppress_health_check=SLOW)
@given(cases())
def test_many_merges_equal_the_naive_one(case: Case) -> None:
    check(case)
