"""What a merge and its plan are given: options for the core, and the source."""

from __future__ import annotations

import glob as globbing
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import pyarrow as pa

from floodwall import _core
from floodwall.errors import MergeError
from floodwall.sizes import to_bytes
from floodwall.source_stream import SourceStream

_Choice = TypeVar("_Choice")


def choose(argument: str, value: object, enum: type[_Choice]) -> _Choice:
    """Return the member of a core enum that a text names."""
    known = [name for name in dir(enum) if not name.startswith("_") and name.islower()]
    known = [name for name in known if isinstance(getattr(enum, name), enum)]
    if value in known:
        return getattr(enum, str(value))  # type: ignore[no-any-return]
    allowed = ", ".join(repr(name) for name in known)
    raise MergeError(f"{argument} must be one of {allowed}; got {value!r}")


def names(argument: str, value: str | Sequence[str]) -> list[str]:
    """Return one or several column names as a list."""
    columns = [value] if isinstance(value, str) else list(value)
    if not all(isinstance(name, str) for name in columns):
        raise TypeError(f"{argument} must be column names, got {value!r}")
    return columns


def positive(argument: str, value: object) -> int:
    """Return a positive integer, or refuse it."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{argument} must be an integer, got {value!r}")
    if value <= 0:
        raise MergeError(f"{argument} must be positive, got {value}")
    return value


def _parquet_paths(data: Sequence[object]) -> list[str]:
    paths: list[str] = []
    for item in data:
        text = os.fspath(item)  # type: ignore[call-overload]
        if Path(text).is_dir():
            found = sorted(str(path) for path in Path(text).rglob("*.parquet"))
        elif Path(text).exists() or not globbing.has_magic(text):
            found = [text]
        else:
            found = sorted(globbing.glob(text, recursive=True))  # noqa: PTH207 - absolute patterns too
        if not found:
            raise MergeError(f"data names no Parquet file: {text!r}")
        paths += found
    return paths


def open_source(data: object) -> tuple[object, str]:
    """Return what the core takes, and whether it is rows held by the caller, a stream or files."""
    if isinstance(data, pa.Table | pa.RecordBatch):
        return (
            pa.Table.from_batches([data]) if isinstance(data, pa.RecordBatch) else data
        ), "table"
    if isinstance(data, str | os.PathLike):
        return _parquet_paths([data]), "parquet"
    # Without the module nobody has made one; its import takes pandas along.
    datasets = sys.modules.get("pyarrow.dataset")
    if datasets is not None and isinstance(data, datasets.Dataset):
        scanner = data.scanner(batch_readahead=1, fragment_readahead=1)
        return SourceStream(scanner.to_reader()), "stream"
    if isinstance(data, list | tuple) and data:
        if all(isinstance(item, pa.Table) for item in data):
            return pa.concat_tables(data, promote_options="permissive"), "table"
        if all(isinstance(item, str | os.PathLike) for item in data):
            return _parquet_paths(data), "parquet"
    if hasattr(data, "__arrow_c_stream__"):
        return SourceStream(data), "stream"
    raise TypeError(
        "data must be a pyarrow Table, a list of Tables, an object with __arrow_c_stream__ "
        f"(polars, pandas, duckdb ...), a Dataset, or paths of Parquet files; got {type(data)}"
    )


def make_options(
    strategy: str,
    key_columns: str | Sequence[str],
    *,
    max_memory: int | str | None,
    source_duplicates: str,
    order_by: str | Sequence[str] | None,
    target_duplicates: str,
    null_keys: str,
    missing_columns: str,
    new_columns: str,
    partition_columns: str | Sequence[str] | None,
    partition_moves: str,
    compression: str | None,
    max_rows_per_file: int,
    row_group_bytes: int | str,
    allow_delete_all: bool,
    spill_directory: str | os.PathLike[str] | None,
    max_spill: int | str | None,
    threads: int | None,
    snapshot: str,
    idempotency_token: str | None,
) -> _core.MergeOptions:
    """Return the arguments of ``merge`` for the core, or refuse them."""
    options = _core.MergeOptions()
    options.strategy = choose("strategy", strategy, _core.MergeStrategy)
    options.key_columns = names("key_columns", key_columns)
    options.max_memory_bytes = to_bytes("max_memory", "auto" if max_memory is None else max_memory)
    options.source_duplicates = choose(
        "source_duplicates", source_duplicates, _core.SourceDuplicates
    )
    options.order_by = [] if order_by is None else names("order_by", order_by)
    options.target_duplicates = choose(
        "target_duplicates", target_duplicates, _core.TargetDuplicates
    )
    if not isinstance(allow_delete_all, bool):
        raise TypeError(f"allow_delete_all must be True or False, got {allow_delete_all!r}")
    options.allow_delete_all = allow_delete_all
    options.null_keys = choose("null_keys", null_keys, _core.NullKeys)
    options.missing_columns = choose("missing_columns", missing_columns, _core.MissingColumns)
    options.new_columns = choose("new_columns", new_columns, _core.NewColumns)
    if partition_columns is not None:
        options.partition_columns = names("partition_columns", partition_columns)
    options.partition_moves = choose("partition_moves", partition_moves, _core.PartitionMoves)
    options.max_rows_per_file = positive("max_rows_per_file", max_rows_per_file)
    options.row_group_bytes = to_bytes("row_group_bytes", row_group_bytes)
    if spill_directory is not None:
        options.spill_directory = os.fspath(spill_directory)
        if not options.spill_directory:
            raise MergeError("spill_directory must name a directory, got an empty path")
    if max_spill is not None:
        options.max_spill_bytes = to_bytes("max_spill", max_spill)
    options.threads = 0 if threads is None else positive("threads", threads)
    options.snapshot = choose("snapshot", snapshot, _core.Snapshot)
    if idempotency_token is not None:
        if not isinstance(idempotency_token, str):
            raise TypeError(f"idempotency_token must be text, got {idempotency_token!r}")
        if not idempotency_token:
            raise MergeError("idempotency_token must not be empty; None is no token")
        options.idempotency_token = idempotency_token
    if compression is not None:
        name = "uncompressed" if compression.lower() == "none" else compression.lower()
        if name not in ("snappy", "gzip", "lz4", "zstd", "brotli", "uncompressed"):
            raise MergeError(
                "compression must be snappy, gzip, lz4, zstd, brotli or uncompressed; "
                f"got {compression!r}"
            )
        options.set_compression(name)
    return options
