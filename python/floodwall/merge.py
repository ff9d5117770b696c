"""Merge rows into a Parquet dataset within a stated amount of memory."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from typing import Any

from floodwall import _core
from floodwall.errors import MergeError
from floodwall.merge_options import choose, make_options, names, open_source, positive
from floodwall.merge_result import (
    MergeFileMetadata,
    MergeProgress,
    MergeResult,
    RecoveryResult,
)
from floodwall.monitor import MemoryMonitor, MemoryPressureLevel
from floodwall.sizes import to_bytes
from floodwall.source_stream import SourceStream

__all__ = [
    "MergeFileMetadata",
    "MergeProgress",
    "MergeResult",
    "RecoveryResult",
    "deduplicate",
    "merge",
    "recover",
]

_POLL_SECONDS = 0.1


def _to_progress(core: _core.JobProgress) -> MergeProgress:
    done, total = (
        (core.done_bytes, core.total_bytes)
        if core.total_bytes
        else (core.done_rows, core.total_rows)
    )
    eta = core.elapsed_s * (total - done) / done if 0 < done <= total else None
    return MergeProgress(
        core.phase, core.done_bytes, core.total_bytes, core.done_rows, core.total_rows,
        core.spilled_bytes, core.used_bytes, core.limit_bytes, core.elapsed_s, eta,
    )  # fmt: skip


def _check(monitor: MemoryMonitor) -> None:
    if monitor.check_memory_pressure() is MemoryPressureLevel.EMERGENCY:
        raise MemoryError(
            "the merge was stopped by its memory monitor, the dataset is unchanged: "
            + monitor.get_detailed_status()
        )


def run_job(
    work: Callable[[], Any],
    job: _core.MergeJob,
    progress: Callable[[MergeProgress], object] | None,
    monitor: MemoryMonitor | None,
    source: object = None,
) -> Any:
    """Run a job's work in a thread of its own, so that this one can report and be interrupted."""
    if monitor is not None:
        _check(monitor)
    outcome: list[Any] = []
    finished = threading.Event()

    def run() -> None:
        try:
            outcome.append(work())
        except BaseException as error:  # handed to the waiting thread whole
            outcome.append(error)
        finally:
            finished.set()

    thread = threading.Thread(target=run, name="floodwall-merge", daemon=True)
    thread.start()
    try:
        while not finished.wait(_POLL_SECONDS):
            if progress is not None:
                progress(_to_progress(job.progress()))
            if monitor is not None:
                _check(monitor)
        thread.join()
        if progress is not None:
            progress(_to_progress(job.progress()))
    except BaseException as error:
        # Ctrl-C, a callback that raised, an emergency: stop, and wait until the stage is gone.
        job.cancel()
        if isinstance(source, SourceStream):
            source.stop()
        thread.join()
        if isinstance(source, SourceStream):
            source.leave()
        if isinstance(error, MemoryError) and not isinstance(outcome[0], BaseException):
            return outcome[0]  # it had passed its commit point: the emergency came too late
        raise
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    return outcome[0]


def merge(
    data: object,
    path: str | os.PathLike[str],
    strategy: str,
    key_columns: str | Sequence[str],
    *,
    max_memory: int | str | None = None,
    source_duplicates: str = "last",
    order_by: str | Sequence[str] | None = None,
    target_duplicates: str = "all",
    null_keys: str = "match",
    missing_columns: str = "keep",
    new_columns: str = "error",
    partition_columns: str | Sequence[str] | None = None,
    partition_moves: str = "move",
    compression: str | None = None,
    max_rows_per_file: int = 5_000_000,
    row_group_bytes: int | str = "64MiB",
    allow_delete_all: bool = False,
    spill_directory: str | os.PathLike[str] | None = None,
    max_spill: int | str | None = None,
    threads: int | None = None,
    snapshot: str = "in_place",
    idempotency_token: str | None = None,
    memory_monitor: MemoryMonitor | None = None,
    progress: Callable[[MergeProgress], object] | bool | None = None,
) -> MergeResult:
    """
    Merge ``data`` into the Parquet dataset at ``path`` by key, within ``max_memory``.

    Args:
        data: A Table, a list of Tables, anything with ``__arrow_c_stream__``, a Dataset, or
            path, paths or glob of Parquet files. Tables stay the caller's memory; a stream is
            held while it is small and spilled otherwise; files are read where they are.
        path: A directory of ``*.parquet`` files (created when missing, except for update and
            delete) or one such file.
        strategy: ``"upsert"``; ``"insert"`` (existing files stay untouched); ``"update"``;
            ``"delete"`` (rows whose key is in the source, whose other columns do not matter);
            ``"full_merge"`` (upsert, and delete rows whose key is not in the source);
            ``"deduplicate"`` (upsert that leaves one target row for each source key).
        key_columns: Names of the columns that identify a row.
        max_memory: Bytes, text such as ``"128MiB"``, or a share of what is available such as
            ``"40%"``. Anonymous memory grows by at most this plus 16 MiB. Default half of what
            the monitor calls available, at least 64 MiB.
        source_duplicates: Which of several source rows with one key counts: ``"last"``,
            ``"first"``, or ``"error"``.
        order_by: Source columns that decide instead of the position: the greatest counts for
            ``"last"``, the least for ``"first"``; equal ones go by position, nulls are lowest.
        target_duplicates: Several target rows with one source key: ``"all"`` are changed,
            ``"collapse"``: the first stays and is changed, ``"error"``.
        null_keys: ``"match"``: null equals null. ``"never"``: as in SQL.
        missing_columns: Target columns absent from the source ``"keep"`` their value in matched
            rows or become ``"null"``.
        new_columns: Source columns that no target file has: ``"error"``, ``"ignore"`` or ``"add"``.
            An added column is in new files and in those in which a row gets a value for it (and
            in the first file, whose schema readers take for the dataset's, unless the strategy
            is insert); other files stay as they are and read as null under the dataset's schema
            (pyarrow) or with ``union_by_name`` (DuckDB).
        partition_columns: Columns that are directories (``day=2024-01-01``) and in no file.
            Default: as the target's directories say. For a missing target: its layout.
        partition_moves: Matched rows whose partition value changes ``"move"`` to the other
            partition, or are an ``"error"``.
        compression: Codec of new files; default that of the newest file, else snappy.
        max_rows_per_file: New files are split here.
        row_group_bytes: Size at which new files start another row group.
        allow_delete_all: Lets ``"full_merge"`` with a source without rows empty the target.
        spill_directory: Where what does not fit in memory is written; default inside the dataset,
            in ``_floodwall``. Nothing stays there, however the merge ends.
        max_spill: Most bytes on disk for that at a time, or text such as ``"20GiB"``; default
            90 % of the free space.
        threads: Files worked on at once; default the CPUs this process may use. They share the
            bound and never change the bytes written.
        snapshot: What readers meet while the merge publishes: ``"in_place"``, for milliseconds old
            and new files, each of them whole; ``"exchange"``, the old directory or the new one.
            The latter builds the new directory beside the dataset, with hard links of files that
            stay, and changes the two in one step. It needs Linux, a file system that can do so, and
            a directory that is no link and no mount point, in one that can be written.
        idempotency_token: A name of this merge, such as a message's id. If a merge with it was
            committed to the dataset, also by a process that was killed before it could answer,
            nothing is done and that merge's result is returned (``already_committed``). Another
            strategy or other keys are refused. The thousand newest tokens are remembered; a
            source without rows leaves none.
        memory_monitor: Checked about ten times a second while the merge runs; at ``EMERGENCY``
            the merge stops as if it had been cancelled.
        progress: ``True`` for a bar on a terminal (plain lines elsewhere, on stderr), or a
            function that gets a ``MergeProgress`` about ten times a second in this thread.

    Raises:
        MemoryLimitTooSmall: It cannot fit; ``minimum_bytes`` would do. Nothing was written.
        MergeError: Bad arguments or data (a ``ValueError``); subclasses say which.
        ConflictError: Somebody else merges into, or changed, the dataset.
        CommitError: The file system refused (an ``OSError``).
        MemoryError: ``memory_monitor`` saw an emergency before the commit point.
        SpillError: The spill directory refused, or ``max_spill`` is used up (an ``OSError``).

    On any error before the commit point the dataset is as it was. A killed merge leaves the old
    dataset, or one that the next merge or ``recover`` completes.
    """
    options = make_options(
        strategy,
        key_columns,
        max_memory=max_memory,
        source_duplicates=source_duplicates,
        order_by=order_by,
        target_duplicates=target_duplicates,
        null_keys=null_keys,
        missing_columns=missing_columns,
        new_columns=new_columns,
        partition_columns=partition_columns,
        partition_moves=partition_moves,
        compression=compression,
        max_rows_per_file=max_rows_per_file,
        row_group_bytes=row_group_bytes,
        allow_delete_all=allow_delete_all,
        spill_directory=spill_directory,
        max_spill=max_spill,
        threads=threads,
        snapshot=snapshot,
        idempotency_token=idempotency_token,
    )
    source, kind = open_source(data)
    return _finish(strategy, source, kind, path, options, progress, memory_monitor)


def deduplicate(
    path: str | os.PathLike[str],
    key_columns: str | Sequence[str],
    *,
    order_by: str | Sequence[str] | None = None,
    keep: str = "last",
    max_memory: int | str | None = None,
    null_keys: str = "match",
    threads: int | None = None,
    snapshot: str = "in_place",
    memory_monitor: MemoryMonitor | None = None,
    progress: Callable[[MergeProgress], object] | bool | None = None,
) -> MergeResult:
    """
    Keep one row of each key of the dataset at ``path`` and remove the others.

    Rows keep their position; files in which no key repeats are not touched. A table of keys that
    does not fit ``max_memory`` is built in parts, for each of which the key columns are read again.

    Args:
        path: A directory of ``*.parquet`` files, or one file.
        key_columns: Columns whose values identify a row.
        order_by: Columns that decide which row stays; equal ones go by position.
        keep: ``"last"`` (the greatest, else highest position) or ``"first"``.
        max_memory: Bound on the memory, as in ``merge``.
        null_keys: ``"match"`` (a null equals a null) or ``"never"`` (such rows all stay).
        threads: Files rewritten at once; default the CPUs this process may use.
        snapshot: What readers meet meanwhile, as in ``merge``.
        memory_monitor: As in ``merge``.
        progress: As in ``merge``.

    Returns the result of a merge with strategy ``"deduplicate"`` and no source: ``deleted`` counts
    the removed rows. Raises what ``merge`` raises.
    """
    options = _core.MergeOptions()
    options.key_columns = names("key_columns", key_columns)
    options.order_by = [] if order_by is None else names("order_by", order_by)
    if keep not in ("last", "first"):
        raise MergeError(f"keep must be one of 'last', 'first'; got {keep!r}")
    options.source_duplicates = choose("keep", keep, _core.SourceDuplicates)
    options.max_memory_bytes = to_bytes("max_memory", "auto" if max_memory is None else max_memory)
    options.null_keys = choose("null_keys", null_keys, _core.NullKeys)
    options.threads = 0 if threads is None else positive("threads", threads)
    options.snapshot = choose("snapshot", snapshot, _core.Snapshot)
    return _finish("deduplicate", None, "none", path, options, progress, memory_monitor)


def _finish(
    strategy: str,
    source: object,
    kind: str,
    path: str | os.PathLike[str],
    options: _core.MergeOptions,
    progress: Callable[[MergeProgress], object] | bool | None,
    memory_monitor: MemoryMonitor | None,
) -> MergeResult:
    job = _core.MergeJob(source, kind, os.fspath(path), options)
    if progress is True:
        from floodwall.cli.progress import show_progress

        with show_progress() as report:
            core = run_job(job.run, job, report, memory_monitor, source)
    else:
        core = run_job(job.run, job, progress or None, memory_monitor, source)
    return MergeResult(
        strategy=strategy,
        source_count=core.source_count,
        target_count_before=core.target_count_before,
        target_count_after=core.target_count_after,
        inserted=core.inserted,
        updated=core.updated,
        unchanged=core.unchanged,
        deleted=core.deleted,
        duplicates_dropped=core.duplicates_dropped,
        files=[
            MergeFileMetadata(f.path, f.row_count, f.operation, f.size_bytes) for f in core.files
        ],
        metrics={"operation_breakdown": dict(core.phase_seconds), "threads": core.threads},
        elapsed_s=core.elapsed_s,
        limit_bytes=core.limit_bytes,
        peak_memory_bytes=core.peak_memory_bytes,
        bytes_read=core.bytes_read,
        bytes_written=core.bytes_written,
        bytes_copied=core.bytes_copied,
        bytes_encoded=core.bytes_encoded,
        bytes_spilled=core.bytes_spilled,
        already_committed=core.already_committed,
    )


def recover(path: str | os.PathLike[str]) -> RecoveryResult:
    """
    Complete an interrupted merge of the dataset at ``path``, or clean it away.

    Every ``merge`` does this by itself; call it before reading a dataset whose last merge was
    killed. Raises ``ConflictError`` while a merge runs.
    """
    core = _core.recover(os.fspath(path))
    return RecoveryResult(
        core.action, core.published_files, core.removed_files, core.staged_bytes_removed
    )
