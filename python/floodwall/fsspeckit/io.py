"""What ``fsspeckit.datasets.pyarrow.io`` offers: a dataset handler whose merge stays in bounds."""

from __future__ import annotations

import dataclasses
import functools
import logging
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq

import floodwall
from floodwall.fsspeckit.memory import MemoryMonitor, mb_to_bytes

__all__ = ["MergeFileMetadata", "MergeResult", "PyarrowDatasetIO", "make_merge"]

logger = logging.getLogger("floodwall")

_STRATEGIES = ("insert", "update", "upsert", "delete", "full_merge", "deduplicate")
_CODECS = ("snappy", "gzip", "lz4", "zstd", "brotli", "uncompressed", "none")


@dataclasses.dataclass
class MergeFileMetadata:
    """One file of the dataset after a merge; fsspeckit's own class where that is installed."""

    path: str
    row_count: int
    operation: Literal["rewritten", "inserted", "preserved"]
    size_bytes: int | None = None


@dataclasses.dataclass
class MergeResult:
    """What a merge did; fsspeckit's own class where that is installed."""

    strategy: str
    source_count: int
    target_count_before: int
    target_count_after: int
    inserted: int
    updated: int
    deleted: int
    files: list[MergeFileMetadata]
    rewritten_files: list[str]
    inserted_files: list[str]
    preserved_files: list[str]
    metrics: dict[str, Any] | None = None


def _result_types() -> tuple[Any, Any]:
    try:
        from fsspeckit.core import incremental
    except ImportError:
        return MergeResult, MergeFileMetadata
    return incremental.MergeResult, incremental.MergeFileMetadata


def _local_path(filesystem: Any, path: str) -> str | None:
    """Return where ``path`` lies on this machine's disk, ``None`` when it lies elsewhere."""
    if filesystem is None:
        return path
    inner = getattr(filesystem, "fs", None)
    if inner is not None and hasattr(filesystem, "_join"):  # a directory of another file system
        return _local_path(inner, filesystem._join(path))
    protocol = getattr(filesystem, "protocol", ())
    names = (protocol,) if isinstance(protocol, str) else tuple(protocol)
    if "file" in names or "local" in names:
        return str(filesystem._strip_protocol(path))
    return None


def _check_path(path: object) -> str:
    text = os.fspath(path)  # type: ignore[call-overload]
    if not isinstance(text, str) or not text.strip():
        raise ValueError("Path cannot be empty or whitespace-only")
    if any(ord(char) < 32 or ord(char) == 127 for char in text):
        raise ValueError(f"Path contains forbidden control character: {text!r}")
    return text


def _check_writing(
    compression: str | None, max_rows_per_file: int | None, row_group_size: int | None
) -> None:
    if compression is not None and compression.lower() not in _CODECS:
        raise ValueError(f"compression must be one of {', '.join(_CODECS)}; got {compression!r}")
    if max_rows_per_file is not None and max_rows_per_file <= 0:
        raise ValueError("max_rows_per_file must be > 0")
    if row_group_size is not None and row_group_size <= 0:
        raise ValueError("row_group_size must be > 0")


def _names(
    argument: str, columns: list[str] | str | None, table: pa.Table, needed: bool
) -> list[str]:
    names = [columns] if isinstance(columns, str) else list(columns or [])
    if needed and not names:
        raise ValueError(f"{argument} must name at least one column")
    if not all(isinstance(name, str) and name for name in names):
        raise ValueError(f"{argument} must be non-empty column names, got {columns!r}")
    missing = [name for name in names if name not in table.column_names]
    if missing:
        kind = argument.replace("_", " ").rstrip("s")
        raise ValueError(
            f"{kind} missing from the source: {missing}; available: {table.column_names}"
        )
    return names


def _combine(data: pa.Table | list[pa.Table], schema: pa.Schema | None) -> pa.Table:
    table = pa.concat_tables(data, promote_options="permissive") if isinstance(data, list) else data
    if schema is None:
        return table
    for field in schema:
        if field.name not in table.column_names:
            table = table.append_column(field.name, pa.nulls(table.num_rows, field.type))
    extra = [field for field in table.schema if field.name not in schema.names]
    wanted = pa.schema([*schema, *extra], metadata=schema.metadata)
    return table.select(wanted.names).cast(wanted)


def _run(
    data: pa.Table | list[pa.Table],
    path: str,
    strategy: str,
    key_columns: list[str] | str,
    partition_columns: list[str] | str | None,
    schema: pa.Schema | None,
    compression: str | None,
    max_rows_per_file: int | None,
    row_group_size: int | None,
    limits: tuple[int, int | None, int],
    progress: Callable[[int, int], None] | None,
    snapshot: str,
) -> Any:
    table = _combine(data, schema)
    keys = _names("key_columns", key_columns, table, True)
    partitions = _names("partition_columns", partition_columns, table, False)
    max_pyarrow_mb, max_process_mb, min_available_mb = limits
    # The budget bounds what the merge allocates. pyarrow's own counter also holds the caller's
    # tables, so it is not judged here; the process and the system are.
    monitor = MemoryMonitor(1e12, max_process_mb, min_available_mb)
    performance = floodwall.PerformanceMonitor(1e12, max_process_mb, min_available_mb)

    def report(progress_now: floodwall.MergeProgress) -> None:
        performance.track_memory()
        if progress is not None and progress_now.total_rows:
            progress(progress_now.done_rows, progress_now.total_rows)

    outcome = floodwall.merge(
        table,
        path,
        strategy,
        keys,
        max_memory=mb_to_bytes(max_pyarrow_mb),
        missing_columns="null",
        new_columns="ignore",
        compression="uncompressed" if compression is None else compression,
        max_rows_per_file=max_rows_per_file or 2**62,
        # Where the files hold the column themselves it is a column as any other.
        partition_columns=None if not partitions or _lies_flat(path) else partitions,
        partition_moves="error",
        snapshot=snapshot,
        memory_monitor=monitor,
        progress=report,
    )
    return _convert(outcome, performance)


def _lies_flat(path: str) -> bool:
    """Whether the dataset has files and none lies in a ``key=value`` directory."""
    root = Path(path)
    files = [file.relative_to(root) for file in root.rglob("*.parquet")] if root.is_dir() else []
    return bool(files) and not any("=" in part for file in files for part in file.parts[:-1])


def _convert(outcome: floodwall.MergeResult, performance: floodwall.PerformanceMonitor) -> Any:
    result_type, file_type = _result_types()
    order = {"rewritten": 0, "inserted": 1, "preserved": 2}
    files = sorted(outcome.files, key=lambda file: order[file.operation])
    metrics: dict[str, Any] | None = None
    if outcome.strategy != "insert" and outcome.target_count_before > 0:
        performance.files_processed = len(outcome.rewritten_files)
        metrics = performance.get_metrics(
            outcome.target_count_before, outcome.target_count_after,
            sum(file.size_bytes for file in files),
        )  # fmt: skip
        metrics |= outcome.metrics
        metrics["peak_memory_bytes"] = outcome.peak_memory_bytes
    return result_type(
        strategy=outcome.strategy,
        source_count=outcome.source_count,
        target_count_before=outcome.target_count_before,
        target_count_after=outcome.target_count_after,
        inserted=outcome.inserted,
        updated=outcome.updated,
        deleted=outcome.deleted,
        files=[file_type(f.path, f.row_count, f.operation, f.size_bytes) for f in files],
        rewritten_files=outcome.rewritten_files,
        inserted_files=outcome.inserted_files,
        preserved_files=outcome.preserved_files,
        metrics=metrics,
    )


def make_merge(original: Callable[..., Any] | None) -> Callable[..., Any]:
    """Make the method; ``original`` serves file systems that are not this machine's disk."""

    def merge(
        self: Any,
        data: pa.Table | list[pa.Table],
        path: str,
        strategy: Literal["insert", "update", "upsert", "delete", "full_merge", "deduplicate"],
        key_columns: list[str] | str,
        *,
        partition_columns: list[str] | str | None = None,
        schema: pa.Schema | None = None,
        compression: str | None = "snappy",
        max_rows_per_file: int | None = 5_000_000,
        row_group_size: int | None = 500_000,
        merge_chunk_size_rows: int = 100_000,
        enable_streaming_merge: bool = True,
        merge_max_memory_mb: int = 1024,
        merge_max_process_memory_mb: int | None = None,
        merge_min_system_available_mb: int = 512,
        merge_progress_callback: Callable[[int, int], None] | None = None,
        use_merge: bool | None = None,
        snapshot: str = "in_place",
    ) -> Any:
        """
        Merge rows into a Parquet dataset by key, within ``merge_max_memory_mb`` of memory.

        The limits hold for the whole merge and every strategy; the merge always streams, so
        ``merge_chunk_size_rows``, ``enable_streaming_merge`` and ``use_merge`` have no part in it.
        Columns that the source lacks become null in replaced rows, others that the target lacks
        are dropped. The dataset changes all at once or not at all; ``snapshot`` says what readers
        meet meanwhile, as for ``floodwall.merge`` (only on this machine's disk).

        Raises ``ValueError`` for bad arguments and data, ``MemoryError`` when a limit is passed.
        """
        if strategy not in _STRATEGIES:
            raise ValueError(f"strategy must be one of: {', '.join(_STRATEGIES)}; got {strategy!r}")
        text = _check_path(path)
        _check_writing(compression, max_rows_per_file, row_group_size)
        if use_merge is not None:
            logger.debug("use_merge=%r has no meaning here", use_merge)
        local = _local_path(getattr(self, "_filesystem", None), text)
        if local is None:
            if original is None:
                raise NotImplementedError(f"only local file systems can be merged into: {path!r}")
            if snapshot != "in_place":
                raise ValueError(
                    f"snapshot must be 'in_place' where {path!r} lies; got {snapshot!r}"
                )
            logger.warning(
                "%r is not on a local disk: fsspeckit merges it, in unbounded memory", text
            )
            return original(
                self, data, path, strategy, key_columns, partition_columns=partition_columns,
                schema=schema, compression=compression, max_rows_per_file=max_rows_per_file,
                row_group_size=row_group_size, merge_chunk_size_rows=merge_chunk_size_rows,
                enable_streaming_merge=enable_streaming_merge,
                merge_max_memory_mb=merge_max_memory_mb,
                merge_max_process_memory_mb=merge_max_process_memory_mb,
                merge_min_system_available_mb=merge_min_system_available_mb,
                merge_progress_callback=merge_progress_callback, use_merge=use_merge,
            )  # fmt: skip
        return _run(
            data, local, strategy, key_columns, partition_columns, schema, compression,
            max_rows_per_file, row_group_size,
            (merge_max_memory_mb, merge_max_process_memory_mb, merge_min_system_available_mb),
            merge_progress_callback, snapshot,
        )  # fmt: skip

    if original is not None:
        functools.update_wrapper(merge, original, ("__module__", "__qualname__"))
        del merge.__wrapped__  # type: ignore[attr-defined]
    return merge


class PyarrowDatasetIO:
    """
    Read, write and merge Parquet datasets on this machine's disk.

    Stands in for fsspeckit's class where that is not installed; ``merge`` is floodwall's.
    """

    def __init__(self, filesystem: Any = None) -> None:
        """Work on ``filesystem`` (fsspec), by default the local one."""
        self._filesystem = filesystem

    @property
    def filesystem(self) -> Any:
        """The fsspec file system, ``None`` for the local one."""
        return self._filesystem

    merge = make_merge(None)

    def read_parquet(
        self,
        path: str,
        columns: list[str] | None = None,
        filters: Any = None,
        use_threads: bool = True,
    ) -> pa.Table:
        """Read a file or a dataset; ``filters`` are expressions or tuples as pyarrow takes them."""
        if isinstance(filters, list | tuple):
            filters = pq.filters_to_expression(filters)
        dataset = pads.dataset(
            _check_path(path), filesystem=self._filesystem, format="parquet", partitioning="hive"
        )
        return dataset.to_table(columns=columns, filter=filters, use_threads=use_threads)

    def write_parquet(
        self,
        data: pa.Table | list[pa.Table],
        path: str,
        compression: str | None = "snappy",
        row_group_size: int | None = None,
        use_threads: bool = False,
    ) -> None:
        """Write one file; ``use_threads`` is pyarrow's to decide."""
        _check_writing(compression, None, row_group_size)
        pq.write_table(
            _combine(data, None), _check_path(path), filesystem=self._filesystem,
            compression=compression or "NONE", row_group_size=row_group_size,
        )  # fmt: skip

    def write_dataset(
        self,
        data: pa.Table | list[pa.Table],
        path: str,
        *,
        mode: Literal["append", "overwrite"] = "append",
        basename_template: str | None = None,
        schema: pa.Schema | None = None,
        partition_by: str | list[str] | None = None,
        partitioning_flavor: Literal["hive", "directory"] | None = None,
        compression: str | None = "snappy",
        max_rows_per_file: int | None = 5_000_000,
        row_group_size: int | None = 500_000,
    ) -> list[str]:
        """Write a dataset, in hive directories if ``partition_by`` is set; return its new files."""
        _check_writing(compression, max_rows_per_file, row_group_size)
        if mode not in ("append", "overwrite"):
            raise ValueError(f"mode must be 'append' or 'overwrite'; got {mode!r}")
        written: list[str] = []
        options = pads.ParquetFileFormat().make_write_options(compression=compression or "NONE")
        group = min(row_group_size or 1 << 20, max_rows_per_file or 1 << 20)
        pads.write_dataset(
            _combine(data, schema),
            _check_path(path),
            filesystem=self._filesystem,
            format="parquet",
            file_options=options,
            basename_template=basename_template or f"part-{uuid.uuid4().hex[:16]}-{{i}}.parquet",
            partitioning=[partition_by] if isinstance(partition_by, str) else partition_by,
            partitioning_flavor=(partitioning_flavor or "hive") if partition_by else None,
            existing_data_behavior=(
                "overwrite_or_ignore" if mode == "append" else "delete_matching"
            ),
            max_rows_per_file=max_rows_per_file or 0,
            max_rows_per_group=group,
            file_visitor=lambda file: written.append(file.path),
        )
        return written

    def __enter__(self) -> PyarrowDatasetIO:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Hold nothing that needs closing."""
