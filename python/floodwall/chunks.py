"""Process tables and datasets larger than memory in chunks of a stated number of rows."""

from __future__ import annotations

import contextlib
import gc
import logging
import operator
import os
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from floodwall import _core
from floodwall.errors import MemoryLimitExceeded
from floodwall.monitor import MemoryMonitor, MemoryPressureLevel, mb_to_bytes
from floodwall.pool import Budget
from floodwall.reclaim import trim
from floodwall.rich_bars import open_rich
from floodwall.sizes import available_bytes

# Only once a dataset is at hand: its import takes pandas along, half a second and 50 MiB.
if TYPE_CHECKING:
    import pyarrow.dataset as pa_ds

__all__ = ["process_in_chunks"]

logger = logging.getLogger("floodwall")

_PIECE_ROWS = 65536
_PIECE_ROWS_UNDER = {
    MemoryPressureLevel.NORMAL: _PIECE_ROWS,
    MemoryPressureLevel.WARNING: 8192,
    MemoryPressureLevel.CRITICAL: 1024,
}
_SMALLEST_CHUNK_ROWS = 1024
_DENIALS_BEFORE_ERROR = 3
_PAUSE_S = 0.02
_STREAM_BUFFER_BYTES = 64 << 10
_ROOMY = 4  # times max_memory_mb available

_ProgressCallback = Callable[[int, int], object]


def process_in_chunks(
    dataset: pa.Table | pa_ds.Dataset | str | os.PathLike[str],
    chunk_size_rows: int = 1_000_000,
    max_memory_mb: float = 2048,
    enable_progress: bool = True,
    progress_callback: _ProgressCallback | None = None,
    memory_monitor: MemoryMonitor | None = None,
    *,
    allow_smaller_chunks: bool = False,
) -> Iterator[pa.Table]:
    """
    Yield the rows of a table or dataset as tables of ``chunk_size_rows`` rows.

    The last one is shorter.

    A table is sliced without copies. Parquet datasets on local disks are decoded page by page into
    a pool of ``max_memory_mb``, without the scanner's read-ahead: what is held is one chunk and a
    page of each column. Chunks have exactly the size asked for, across row groups and files, and
    the dataset's schema, hive partition columns included. Other datasets are read through
    pyarrow's scanner with as little read-ahead as it allows, and outside that pool.

    Memory pressure is checked before each yield. At WARNING freed memory is returned to the system
    and smaller pieces are decoded; at CRITICAL garbage is collected too, and the reader pauses for
    20 ms; at EMERGENCY, and when the pool has refused three times, ``MemoryError`` is raised. Let
    go of a chunk before asking for the next one, else two are held.

    Nothing is read, and no error raised, before the first chunk is asked for.

    Args:
        dataset: A ``pyarrow.Table``, a ``pyarrow.dataset.Dataset``, or the path of a Parquet
            dataset (hive partitioned or flat) or file.
        chunk_size_rows: Rows of each chunk, at least 1.
        max_memory_mb: MB that pyarrow may have allocated; ignored when a monitor is given.
        enable_progress: Report progress: to the callback, or else as a bar when stderr is a
            terminal and rich is installed, or else as DEBUG log records.
        progress_callback: Called with ``(rows_done, total_rows)`` when the consumer of a chunk asks
            for the next one.
        memory_monitor: Judges memory instead of a monitor on ``max_memory_mb``; its
            ``max_pyarrow_mb`` at the start is the pool's limit.
        allow_smaller_chunks: Rather than fail or hold much, yield fewer rows: half at WARNING, a
            quarter at CRITICAL, and what has been decoded when the pool refuses more.

    Raises:
        MemoryError: ``MemoryLimitExceeded`` (a subclass) when the pool refused.
        ValueError: ``chunk_size_rows`` is below 1.
        TypeError: ``dataset`` is of another kind.
    """
    try:
        rows = operator.index(chunk_size_rows)
    except TypeError:
        raise TypeError(f"chunk_size_rows must be an int, got {chunk_size_rows!r}") from None
    if rows < 1:
        raise ValueError(f"chunk_size_rows must be at least 1, got {chunk_size_rows}")
    monitor = memory_monitor if memory_monitor is not None else _monitor_for(max_memory_mb)
    source = _open(dataset, monitor)
    asked = rows
    done = 0
    with (
        contextlib.closing(source),
        _progress(source, enable_progress, progress_callback) as report,
    ):
        while True:
            # One reference, given away: a chunk the consumer has let go of must not live here.
            held = [source.next(asked, allow_smaller_chunks)]
            if held[0] is None:
                return
            level = source.judge(monitor)
            _relieve(level, monitor, source)
            if allow_smaller_chunks:
                asked = max(min(rows, _SMALLEST_CHUNK_ROWS), rows >> min(level.severity, 2))
            done += held[0].num_rows
            yield held.pop()
            if report is not None:
                report(done)


def _monitor_for(max_memory_mb: float) -> MemoryMonitor:
    """Judge Arrow's bytes, and keep what the container has left above a margin that it allows."""
    snapshot = MemoryMonitor(max_memory_mb, None, 0).snapshot()
    limit = snapshot.limit_bytes
    # 512 MB where there is room for it: in a container of 256 MB no check could ever pass.
    minimum = 512.0 if limit is None else min(512.0, limit / (16 << 20))
    return MemoryMonitor(max_memory_mb, None, minimum)


def _relieve(level: MemoryPressureLevel, monitor: MemoryMonitor, source: _Source) -> None:
    if level is MemoryPressureLevel.EMERGENCY:
        status = monitor.get_detailed_status()
        logger.error("Memory limit exceeded (EMERGENCY): %s", status)
        raise MemoryError(f"Peak memory usage exceeded limit: {status}")
    source.set_piece_rows(_PIECE_ROWS_UNDER[level])
    if level is MemoryPressureLevel.CRITICAL:
        gc.collect()
    if level is not MemoryPressureLevel.NORMAL:
        trim()
    if level is MemoryPressureLevel.CRITICAL:
        time.sleep(_PAUSE_S)


class _Source:
    """Rows in order; ``next`` gives None at the end."""

    def next(self, rows: int, smaller: bool) -> pa.Table | None:
        raise NotImplementedError

    def count_rows(self) -> int:
        raise NotImplementedError

    def set_piece_rows(self, rows: int) -> None:
        """Decode this many rows at a time, where the source decodes."""

    def judge(self, monitor: MemoryMonitor) -> MemoryPressureLevel:
        return monitor.check_memory_pressure()

    def close(self) -> None:
        """Let go of files and pool; called once, by the owner."""


class _TableSource(_Source):
    def __init__(self, table: pa.Table) -> None:
        self._table = table
        self._offset = 0

    def next(self, rows: int, smaller: bool) -> pa.Table | None:
        if self._offset >= self._table.num_rows:
            return None
        part = self._table.slice(self._offset, rows)
        self._offset += part.num_rows
        return part

    def count_rows(self) -> int:
        return int(self._table.num_rows)


# Pools live as long as the process, so finished ones are used again once their chunks are gone.
_finished_pools: dict[tuple[int | None, bool], list[_core.GuardedPool]] = {}


def _take_pool(limit_bytes: int | None, from_system: bool) -> _core.GuardedPool:
    pools = _finished_pools.get((limit_bytes, from_system), [])
    for pool in list(pools):
        if pool.bytes_allocated == 0:
            with contextlib.suppress(ValueError):  # another thread has taken it
                pools.remove(pool)
                return pool
    budget = Budget(limit_bytes, name="process_in_chunks")
    return _core.GuardedPool.make(budget._native, from_system)


class _ParquetSource(_Source):
    def __init__(
        self, files: list[_core.ChunkFile], schema: pa.Schema, monitor: MemoryMonitor
    ) -> None:
        limit = getattr(monitor, "max_pyarrow_mb", None)
        self._limit_bytes: int | None = None
        if isinstance(limit, int | float) and limit > 0:
            self._limit_bytes = mb_to_bytes(limit)
        # Arrow's mimalloc keeps freed pages for a second: 123 MiB resident at 81 MiB allocated were
        # measured. Where that could matter memory comes from glibc, which is told to return it.
        available = available_bytes()
        self._tight = (
            self._limit_bytes is not None
            and available is not None
            and available < _ROOMY * self._limit_bytes
        )
        self._pool = _take_pool(self._limit_bytes, self._tight)
        self._monitor = monitor
        self._reader = _core.ChunkReader.make(
            files, schema, self._pool, _PIECE_ROWS, len(os.sched_getaffinity(0)) > 1
        )

    def next(self, rows: int, smaller: bool) -> pa.Table | None:
        for denials in range(1, _DENIALS_BEFORE_ERROR + 1):
            try:
                return _to_table(self._reader.next(rows))
            except pa.ArrowMemoryError as error:
                if smaller and (gathered := self._reader.take_gathered()) is not None:
                    return _to_table(gathered)
                if denials == _DENIALS_BEFORE_ERROR:
                    self._raise(error)
            # What the decoders held is free again; what the consumer has dropped may be too.
            gc.collect()
            trim()
            self._reader.set_piece_rows(_PIECE_ROWS >> (4 * denials))
            time.sleep(_PAUSE_S)
        raise AssertionError("the last denial raises")

    def _raise(self, error: pa.ArrowMemoryError) -> None:
        status = self._monitor.get_detailed_status()
        logger.error("Memory limit exceeded (denied): %s", status)
        raise MemoryLimitExceeded(
            f"Peak memory usage exceeded limit: {status}; {error}",
            getattr(error, "requested_bytes", -1),
            getattr(error, "limit_bytes", -1),
            getattr(error, "used_bytes", -1),
            getattr(error, "holders", ()),
        ) from error

    def count_rows(self) -> int:
        return self._reader.count_rows()

    def set_piece_rows(self, rows: int) -> None:
        self._reader.set_piece_rows(rows)

    def close(self) -> None:
        del self._reader
        _finished_pools.setdefault((self._limit_bytes, self._tight), []).append(self._pool)

    def judge(self, monitor: MemoryMonitor) -> MemoryPressureLevel:
        if self._tight and self._limit_bytes is not None:
            self._pool.release_unused()
            # glibc's bytes are not in the figure that the monitor judges.
            own = self._pool.bytes_allocated
            if own + pa.total_allocated_bytes() > self._limit_bytes:
                return MemoryPressureLevel.EMERGENCY
        return monitor.check_memory_pressure()


class _ScannerSource(_Source):
    def __init__(self, dataset: pa_ds.Dataset, rows: int = _PIECE_ROWS) -> None:
        import pyarrow.dataset as pa_ds

        self._dataset = dataset
        options: dict[str, Any] = {}
        if isinstance(getattr(dataset, "format", None), pa_ds.ParquetFileFormat):
            options["fragment_scan_options"] = _streamed(dataset.format)
        scanner = dataset.scanner(
            batch_size=rows, batch_readahead=1, fragment_readahead=1, use_threads=False,
            cache_metadata=False, **options,
        )  # fmt: skip
        self._schema = scanner.projected_schema
        self._batches = scanner.to_batches()
        self._rest: pa.RecordBatch | None = None

    def next(self, rows: int, smaller: bool) -> pa.Table | None:
        parts: list[pa.RecordBatch] = []
        missing = rows
        while missing:
            batch = self._rest if self._rest is not None else next(self._batches, None)
            self._rest = None
            if batch is None:
                break
            part = batch.slice(0, missing)
            if part.num_rows < batch.num_rows:
                self._rest = batch.slice(missing)
            missing -= part.num_rows
            if part.num_rows:
                parts.append(part)
        return pa.Table.from_batches(parts, self._schema) if parts else None

    def count_rows(self) -> int:
        return int(self._dataset.count_rows())


def _streamed(parquet: pa_ds.ParquetFileFormat) -> pa_ds.ParquetFragmentScanOptions | None:
    """Return the dataset's own scan options, only streamed; None when they hold keys to decrypt."""
    own = parquet.default_fragment_scan_options
    if own.parquet_decryption_config is not None or own.decryption_properties is not None:
        return None
    import pyarrow.dataset as pa_ds

    return pa_ds.ParquetFragmentScanOptions(
        use_buffered_stream=True,
        buffer_size=_STREAM_BUFFER_BYTES,
        pre_buffer=False,
        thrift_string_size_limit=own.thrift_string_size_limit,
        thrift_container_size_limit=own.thrift_container_size_limit,
        page_checksum_verification=own.page_checksum_verification,
        arrow_extensions_enabled=own.arrow_extensions_enabled,
    )


def _open(dataset: object, monitor: MemoryMonitor) -> _Source:
    if isinstance(dataset, pa.Table):
        return _TableSource(dataset)
    import pyarrow.dataset as pa_ds

    from floodwall.parquet_files import parquet_files

    if isinstance(dataset, str | os.PathLike):
        dataset = pa_ds.dataset(os.fspath(dataset), format="parquet", partitioning="hive")
    if not isinstance(dataset, pa_ds.Dataset):
        raise TypeError(
            "dataset must be a pyarrow.Table, a pyarrow.dataset.Dataset or a path, "
            f"got {type(dataset).__name__}"
        )
    files = parquet_files(dataset)
    if files is None:
        return _ScannerSource(dataset)
    return _ParquetSource(files, dataset.schema, monitor)


def _to_table(capsule: object) -> pa.Table | None:
    if capsule is None:
        return None
    return pa.RecordBatchReader._import_from_c_capsule(capsule).read_all()


@contextlib.contextmanager
def _progress(
    source: _Source, enabled: bool, callback: _ProgressCallback | None
) -> Iterator[Callable[[int], object] | None]:
    """Give a function that reports rows done, None when nobody listens."""
    if not enabled:
        yield None
        return
    if callback is not None:
        total = source.count_rows()
        yield lambda done: callback(done, total)
        return
    if (terminal := open_rich()) is not None:
        progress, console = terminal
        columns = (*progress.Progress.get_default_columns(), progress.MofNCompleteColumn())
        with progress.Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task("rows", total=source.count_rows())
            yield lambda done: bar.update(task, completed=done)
        return
    if logger.isEnabledFor(logging.DEBUG):
        total = source.count_rows()
        yield lambda done: logger.debug("Processed %d of %d rows", done, total)
        return
    yield None
