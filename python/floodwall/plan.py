"""What a merge would do and need, found out without doing it."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence

import pyarrow as pa

from floodwall import _core
from floodwall._core import format_bytes
from floodwall.merge import run_job
from floodwall.merge_options import make_options, open_source
from floodwall.merge_result import FilesByOperation, MergeFileMetadata, MergeProgress
from floodwall.monitor import MemoryMonitor

__all__ = ["MergePlan", "plan_merge"]


@dataclasses.dataclass(frozen=True)
class MergePlan(FilesByOperation):
    """
    What a merge would do. ``print()`` shows a table.

    Counts are those of the merge's result, exact; ``updated`` includes rows that are identical
    already. The ``estimated_`` figures stand beside those of ``MergeResult``: as if every matched
    row changed, so a merge that finds identical rows writes less.
    """

    strategy: str
    limit_bytes: int
    minimum_memory_bytes: int
    """A ``max_memory`` that suffices; the merge may do with less."""
    key_matching: str
    """``"in_memory"``; ``"in_passes"`` (the target's keys are read several times);
    ``"partitioned"`` (both sides' keys are dealt out to spill files)."""
    spills_rows: bool
    """Whether the new values of matched rows go through spill files."""
    source_count: int
    target_count_before: int
    target_count_after: int
    inserted: int
    updated: int
    deleted: int
    duplicates_dropped: int
    row_groups: int
    touched_row_groups: int
    files: list[MergeFileMetadata] = dataclasses.field(repr=False)
    """The files there are; sizes of those to be rewritten are estimated."""
    estimated_bytes_read: int
    estimated_bytes_written: int
    estimated_bytes_copied: int
    estimated_bytes_encoded: int
    estimated_bytes_spilled: int

    def __str__(self) -> str:
        fits = "enough" if self.limit_bytes >= self.minimum_memory_bytes else "perhaps too little"
        rows = [
            ("strategy", self.strategy),
            ("memory", f"{format_bytes(self.limit_bytes)}, {fits}"),
            ("suffices", format_bytes(self.minimum_memory_bytes)),
            ("keys", self.key_matching.replace("_", " ")),
            ("new values", "through spill files" if self.spills_rows else "from memory"),
            ("source rows", f"{self.source_count:,} ({self.duplicates_dropped:,} duplicates drop)"),
            ("inserted", f"{self.inserted:,}"),
            ("matched", f"{self.updated:,}"),
            ("deleted", f"{self.deleted:,}"),
            ("target rows", f"{self.target_count_before:,} -> {self.target_count_after:,}"),
            ("row groups", f"{self.touched_row_groups:,} of {self.row_groups:,} touched"),
            (
                "files",
                f"{len(self.rewritten_files):,} rewritten, {len(self.deleted_files):,} gone, "
                f"{len(self.preserved_files):,} untouched",
            ),
            ("reads", f"about {format_bytes(self.estimated_bytes_read)}"),
            (
                "writes",
                f"about {format_bytes(self.estimated_bytes_written)}, of these "
                f"{format_bytes(self.estimated_bytes_copied)} copied, "
                f"{format_bytes(self.estimated_bytes_encoded)} encoded",
            ),
            ("spills", f"about {format_bytes(self.estimated_bytes_spilled)}"),
        ]
        return "\n".join(f"{name:<12}{value}" for name, value in rows)


def plan_merge(
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
    progress: Callable[[MergeProgress], object] | None = None,
) -> MergePlan:
    """
    Return what ``merge`` with the same arguments would do, need and cost.

    Footers and keys are read, nothing in the dataset is changed, no lock is taken. Keys that do
    not fit ``max_memory`` are spilled meanwhile, as the merge would spill them.

    Raises what ``merge`` raises for the same reasons, but ``MemoryLimitTooSmall`` only where not
    even the keys can be matched: what the rest needs is in the plan. ``ConflictError`` while an
    interrupted merge waits for ``recover``; ``TypeError`` for a ``RecordBatchReader``, which can be
    read only once, so that the plan would use it up.
    """
    if isinstance(data, pa.RecordBatchReader):
        raise TypeError(
            "data can be read only once, and planning would use it up; give a Table, a Dataset "
            "or paths of Parquet files"
        )
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
    job = _core.MergeJob(source, kind, os.fspath(path), options)
    core = run_job(job.plan, job, progress, memory_monitor, source)
    files = [MergeFileMetadata(f.path, f.row_count, f.operation, f.size_bytes) for f in core.files]
    return MergePlan(
        strategy=strategy,
        key_matching=core.key_matching.name,
        files=files,
        **{
            field.name: getattr(core, field.name)
            for field in dataclasses.fields(MergePlan)
            if field.name not in ("strategy", "key_matching", "files")
        },
    )
