"""Decimals stored in more bytes than their precision needs, as DuckDB writes them, and in others.

Arrow's writer pads by the precision alone; what a merge writes must fill the column's own bytes.
"""

import decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import floodwall

D = decimal.Decimal
ROWS, GROUP = 6000, 2048
TYPES = [(3, 1), (9, 2), (18, 4), (19, 2), (25, 4), (36, 6), (38, 10)]
SHAPES = ["flat", "struct", "list", "map"]


def _value(i: int, precision: int, scale: int) -> D | None:
    """Small and wide values of both signs, and nulls."""
    if i % 11 == 10:
        return None
    digits = 1 + i % precision
    unscaled = int(str(918273645546372819 * (i + 1))[:2].ljust(digits, "7")[:digits])
    with decimal.localcontext(prec=50):
        return D(unscaled if i % 2 else -unscaled).scaleb(-scale)


def _type(shape: str, precision: int, scale: int) -> pa.DataType:
    plain = pa.decimal128(precision, scale)
    return {
        "flat": plain,
        "struct": pa.struct([("n", pa.int32()), ("d", plain)]),
        "list": pa.list_(plain),
        "map": pa.map_(pa.string(), plain),
    }[shape]


def _cell(shape: str, i: int, precision: int, scale: int) -> object:
    d = _value(i, precision, scale)
    if shape != "flat" and i % 13 == 12:
        return None
    return {
        "flat": d,
        "struct": {"n": i, "d": d},
        "list": [d, _value(i + 1, precision, scale)][: i % 3],
        "map": [(f"k{j}", _value(i + j, precision, scale)) for j in range(i % 3)],
    }[shape]


def _table(ids: list[int], shape: str, precision: int, scale: int, shift: int = 0) -> pa.Table:
    cells = [_cell(shape, i + shift, precision, scale) for i in ids]
    return pa.table(
        {
            "id": pa.array(ids, pa.int64()),
            "v": pa.array(cells, _type(shape, precision, scale)),
            "word": pa.array([f"w{i % 9}" for i in ids]),
        }
    )


def _write_duckdb(table: pa.Table, path: Path, version: str) -> None:
    with duckdb.connect() as connection:
        connection.execute("set threads to 1")
        connection.register("t", table)
        connection.execute(
            f"copy (select * from t order by id) to '{path}' "
            f"(format parquet, row_group_size {GROUP}, parquet_version {version})"
        )


def _read_duckdb(root: Path, where: str = "") -> dict[int, object]:
    with duckdb.connect() as connection:
        connection.execute("set threads to 1")
        rows = connection.execute(
            f"select id, v from read_parquet('{root}/*.parquet') {where}"
        ).fetchall()
    found = dict(rows)
    assert len(found) == len(rows)
    return found


def _decimals(path: Path) -> list[tuple[str, str, int, int, int]]:
    schema = pq.ParquetFile(path).schema
    columns = [schema.column(i) for i in range(len(schema))]
    columns = [c for c in columns if c.logical_type.type == "DECIMAL"]
    return [(c.path, c.physical_type, c.length, c.precision, c.scale) for c in columns]


def _as_duckdb(cell: object, shape: str) -> object:
    return dict(cell) if shape == "map" and cell is not None else cell


def _check(root: Path, expected: dict[int, object], shape: str) -> None:
    table = pa.concat_tables(pq.ParquetFile(p).read() for p in sorted(root.glob("*.parquet")))
    ids = table["id"].to_pylist()
    assert sorted(ids) == sorted(expected)
    assert dict(zip(ids, table["v"].to_pylist(), strict=True)) == expected
    assert _read_duckdb(root) == {i: _as_duckdb(v, shape) for i, v in expected.items()}


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("precision", "scale"), TYPES)
def test_every_strategy_fills_the_columns_bytes(
    tmp_path: Path, precision: int, scale: int, shape: str, version: str
) -> None:
    base = _table(list(range(ROWS)), shape, precision, scale)
    before = dict(zip(base["id"].to_pylist(), base["v"].to_pylist(), strict=True))
    # The middle row group stays as it is.
    ids = [*range(0, GROUP, 7), *range(2 * GROUP, ROWS, 5), *range(ROWS, ROWS + 300)]
    source = _table(ids, shape, precision, scale, shift=4)
    fresh = dict(zip(ids, source["v"].to_pylist(), strict=True))
    matched = {i: v for i, v in fresh.items() if i in before}
    expected = {
        "upsert": {**before, **fresh},
        "update": {**before, **matched},
        "insert": {**fresh, **before},
        "full_merge": fresh,
        "delete": {i: v for i, v in before.items() if i not in fresh},
    }
    for strategy, rows in expected.items():
        root = tmp_path / strategy
        root.mkdir()
        _write_duckdb(base, root / "f.parquet", version)
        columns = _decimals(root / "f.parquet")
        if precision > 18:
            assert ("FIXED_LEN_BYTE_ARRAY", 16, precision, scale) in [c[1:] for c in columns]
        result = floodwall.merge(source, root, strategy, "id", max_memory="64MiB")
        assert result.rewritten_files or strategy == "insert"
        _check(root, rows, shape)
        # New files take the form of the old ones.
        for path in root.glob("*.parquet"):
            assert _decimals(path) == columns
        again = floodwall.merge(source, root, strategy, "id", max_memory="64MiB")
        assert (again.bytes_written, again.inserted) == (0, 0)


@pytest.mark.parametrize(("precision", "scale"), TYPES)
def test_statistics_hold_for_those_who_prune_by_them(
    tmp_path: Path, precision: int, scale: int
) -> None:
    base = _table(list(range(ROWS)), "flat", precision, scale)
    _write_duckdb(base, tmp_path / "f.parquet", "v1")
    top = D(10**precision - 1).scaleb(-scale, decimal.Context(prec=50))
    least = top.copy_negate()
    source = pa.table(
        {
            "id": pa.array([5, 2 * GROUP + 5, ROWS], pa.int64()),
            "v": pa.array([top, least, top], pa.decimal128(precision, scale)),
        }
    )
    floodwall.merge(source, tmp_path, "upsert", "id", max_memory="64MiB")
    found = _read_duckdb(tmp_path, f"where v = {top}::decimal({precision},{scale})")
    assert found == {5: top, ROWS: top}
    found = _read_duckdb(tmp_path, f"where v = {least}::decimal({precision},{scale})")
    assert found == {2 * GROUP + 5: least}


@pytest.mark.parametrize(("precision", "scale"), TYPES)
def test_such_decimals_are_keys(tmp_path: Path, precision: int, scale: int) -> None:
    top = 10 ** min(precision, 20) - 1
    unscaled = sorted({*range(-400, 400), top, -top, top - 1})
    context = decimal.Context(prec=50)
    keys = [D(i).scaleb(-scale, context) for i in unscaled]
    type_ = pa.decimal128(precision, scale)
    base = pa.table(
        {
            "k": pa.array(keys, type_),
            "id": pa.array(range(len(keys)), pa.int64()),
            "v": pa.array([-i for i in range(len(keys))], pa.int64()),
        }
    )
    _write_duckdb(base, tmp_path / "f.parquet", "v1")
    chosen = [*keys[::3], keys[-1]]
    source = pa.table({"k": pa.array(chosen, type_), "v": pa.array([7] * len(chosen))})
    result = floodwall.merge(source, tmp_path, "upsert", "k", max_memory="64MiB")
    assert (result.inserted, result.updated) == (0, len(set(chosen)))
    rows = pq.ParquetFile(tmp_path / "f.parquet").read().to_pylist()
    assert [row["k"] for row in rows] == keys
    assert [row["v"] for row in rows] == [7 if k in set(chosen) else -i for i, k in enumerate(keys)]


def test_values_from_another_form_are_fitted(tmp_path: Path) -> None:
    """The source has fewer digits, integers or floats; what does not fit is refused."""
    base = _table(list(range(100)), "flat", 25, 4)
    _write_duckdb(base, tmp_path / "f.parquet", "v1")
    for values in (
        pa.array([D("1.5"), D("-2.25")]),
        pa.array([3, -4], pa.int64()),
        pa.array([D("1.5"), None], pa.decimal256(60, 2)),
    ):
        source = pa.table({"id": pa.array([1, 100], pa.int64()), "v": values})
        floodwall.merge(source, tmp_path, "upsert", "id", max_memory="64MiB")
        found = _read_duckdb(tmp_path)
        assert [found[1], found[100]] == values.to_pylist()
    wide = pa.table(
        {"id": pa.array([1], pa.int64()), "v": pa.array([D(10) ** 30], pa.decimal128(38, 2))}
    )
    with pytest.raises(floodwall.SchemaMismatchError, match="'v'"):
        floodwall.merge(wide, tmp_path, "upsert", "id", max_memory="64MiB")
