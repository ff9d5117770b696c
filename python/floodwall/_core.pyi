"""floodwall's C++ core. Use the floodwall package, not this module."""

from collections.abc import Sequence
import enum
from typing import Any


def version() -> str:
    """The version of the library."""

def parse_byte_size(text: str) -> int:
    """Bytes in a size such as '256MiB'."""

def format_bytes(bytes: int) -> str:
    """A size for people, such as '128.0 MiB'."""

class Budget:
    @staticmethod
    def make(name: str, limit_bytes: int, parent: Budget | None) -> Budget: ...

    def reserve(self, bytes: int) -> None: ...

    def release(self, bytes: int) -> None: ...

    def report(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def limit_bytes(self) -> int: ...

    @property
    def used_bytes(self) -> int: ...

    @property
    def peak_bytes(self) -> int: ...

    @property
    def children(self) -> list[Budget]: ...

    @property
    def holders(self) -> list[tuple[str, int]]: ...

class GuardedPool:
    @staticmethod
    def make(budget: Budget, from_system: bool = False) -> GuardedPool: ...

    def arrow_pool(self) -> object: ...

    def release_unused(self) -> None: ...

    @property
    def bytes_allocated(self) -> int: ...

    @property
    def max_memory(self) -> int: ...

    @property
    def total_bytes_allocated(self) -> int: ...

    @property
    def denied_count(self) -> int: ...

class ChunkFile:
    @staticmethod
    def make(path: str, row_groups: Sequence[int] | None, constants: object | None) -> ChunkFile: ...

class ChunkReader:
    @staticmethod
    def make(files: Sequence[ChunkFile], schema: object, pool: GuardedPool, piece_rows: int, use_threads: bool) -> ChunkReader: ...

    def next(self, rows: int) -> object: ...

    def take_gathered(self) -> object: ...

    def count_rows(self) -> int: ...

    def set_piece_rows(self, rows: int) -> None: ...

class LimitScope:
    @staticmethod
    def enter(name: str, limit_bytes: int, deny: bool) -> LimitScope: ...

    def leave(self) -> None: ...

    @property
    def budget(self) -> Budget: ...

    @property
    def denied_count(self) -> int: ...

    @property
    def overdraft_count(self) -> int: ...

    def raise_last_refusal(self) -> None: ...

def routing_pool() -> object: ...

def routing_pool_is_installed() -> bool: ...

def route_defaults(on: bool) -> bool: ...

def route_from_current_pool() -> None: ...

def trim(force: bool) -> tuple[int, int, bool]: ...

class ReclaimerRegistration:
    pass

def register_reclaimer(callback: object, priority: int) -> ReclaimerRegistration: ...

def serve_reclaimers() -> None: ...

def close_reclaimers() -> None: ...

def renew_reclaimers() -> None: ...

class Admission:
    @property
    def budget(self) -> Budget: ...

def admit(budget: Budget, name: str, bytes: int, timeout_s: float) -> Admission: ...

class TreeRecorder:
    @staticmethod
    def create(path: str, limit_bytes: int) -> TreeRecorder: ...

    def record(self, arrow_bytes: int, arrow_peak_bytes: int, anonymous_bytes: int, resident_bytes: int) -> None: ...

    def close(self, ending: str) -> None: ...

class MemoryMonitor:
    def __init__(self, max_pyarrow_mb: object, max_process_memory_mb: object | None, min_system_available_mb: object, cache_seconds: float) -> None: ...

    @property
    def max_pyarrow_mb(self) -> float: ...

    @max_pyarrow_mb.setter
    def max_pyarrow_mb(self, mb: float, /) -> None: ...

    @property
    def max_process_memory_mb(self) -> float | None: ...

    @max_process_memory_mb.setter
    def max_process_memory_mb(self, mb: float | None, /) -> None: ...

    @property
    def min_system_available_mb(self) -> float: ...

    @min_system_available_mb.setter
    def min_system_available_mb(self, mb: float, /) -> None: ...

    def get_memory_status(self) -> dict[str, float]: ...

    def check_memory_pressure(self) -> Any:
        """
        Return the worst of the three judgements: Arrow's allocations, the resident set and what the
        system has left.

        A level other than NORMAL is logged as a WARNING with the detailed status, at most once a second
        each.
        """

def judge_status(monitor: MemoryMonitor, status: dict[str, float]) -> Any: ...

def take_snapshot(monitor: MemoryMonitor) -> dict[str, Any]: ...

def give_verdict(monitor: MemoryMonitor) -> tuple[Any, str, str]: ...

def log_due(monitor: MemoryMonitor, level: int) -> bool: ...

def has_memory_sources() -> bool: ...

def set_pressure_levels(normal: object, warning: object, critical: object, emergency: object) -> None: ...

def follow_pyarrow(libarrow_python: str) -> bool: ...

class PerformanceMonitor:
    def __init__(self) -> None: ...

    def start_op(self, name: str) -> None: ...

    def end_op(self) -> None: ...

    def sample_due(self) -> bool: ...

    def force_next_sample(self) -> None: ...

    def observe(self, status: object, level: int) -> None: ...

    @property
    def current_op(self) -> str: ...

    @property
    def operation_breakdown(self) -> dict[str, float]: ...

    @property
    def arrow_peak_bytes(self) -> int: ...

    @property
    def rss_peak_bytes(self) -> int: ...

    @property
    def pressure_counts(self) -> dict[str, int]: ...

    def metrics(self, rows_before: int, rows_after: int, total_bytes: int) -> dict[str, Any]: ...

def read_recording(path: str) -> dict[str, Any]: ...

class MemoryWatch:
    def __init__(self, monitor: object, at: int, min_seconds: float, max_seconds: float) -> None: ...

    def stop(self) -> None: ...

    def next(self) -> tuple[Any, str, str] | None:
        """Wait for a verdict; None once stopped."""

    def record(self, path: str) -> None: ...

    @property
    def level(self) -> Any: ...

    @property
    def running(self) -> bool: ...

    def stats(self) -> dict[str, Any]: ...

def diagnose() -> dict[str, Any]:
    """
    Return what the probe finds: files with their errno, the container's levels, hints.
    """

class ProcessView:
    def __init__(self, pid: int, min_available_mb: float) -> None: ...

    def snapshot(self) -> dict[str, Any]: ...

    def verdict(self) -> tuple[Any, str, str]: ...

class PeakMeter:
    def __init__(self) -> None: ...

    def stop(self) -> int | None:
        """Return by how many bytes anonymous memory grew at its peak."""

class MergeStrategy(enum.Enum):
    upsert = 0

    insert = 1

    update = 2

    delete = 3

    full_merge = 4

    deduplicate = 5

class TargetDuplicates(enum.Enum):
    all = 0

    collapse = 1

    error = 2

class SourceDuplicates(enum.Enum):
    last = 0

    first = 1

    error = 2

class NullKeys(enum.Enum):
    match = 0

    never = 1

class MissingColumns(enum.Enum):
    keep = 0

    null = 1

class NewColumns(enum.Enum):
    error = 0

    ignore = 1

    add = 2

class PartitionMoves(enum.Enum):
    move = 0

    error = 1

class Snapshot(enum.Enum):
    in_place = 0

    exchange = 1

class MergeOptions:
    def __init__(self) -> None: ...

    @property
    def strategy(self) -> MergeStrategy: ...

    @strategy.setter
    def strategy(self, arg: MergeStrategy, /) -> None: ...

    @property
    def key_columns(self) -> list[str]: ...

    @key_columns.setter
    def key_columns(self, arg: Sequence[str], /) -> None: ...

    @property
    def max_memory_bytes(self) -> int: ...

    @max_memory_bytes.setter
    def max_memory_bytes(self, arg: int, /) -> None: ...

    @property
    def source_duplicates(self) -> SourceDuplicates: ...

    @source_duplicates.setter
    def source_duplicates(self, arg: SourceDuplicates, /) -> None: ...

    @property
    def order_by(self) -> list[str]: ...

    @order_by.setter
    def order_by(self, arg: Sequence[str], /) -> None: ...

    @property
    def target_duplicates(self) -> TargetDuplicates: ...

    @target_duplicates.setter
    def target_duplicates(self, arg: TargetDuplicates, /) -> None: ...

    @property
    def allow_delete_all(self) -> bool: ...

    @allow_delete_all.setter
    def allow_delete_all(self, arg: bool, /) -> None: ...

    @property
    def null_keys(self) -> NullKeys: ...

    @null_keys.setter
    def null_keys(self, arg: NullKeys, /) -> None: ...

    @property
    def missing_columns(self) -> MissingColumns: ...

    @missing_columns.setter
    def missing_columns(self, arg: MissingColumns, /) -> None: ...

    @property
    def new_columns(self) -> NewColumns: ...

    @new_columns.setter
    def new_columns(self, arg: NewColumns, /) -> None: ...

    @property
    def partition_columns(self) -> list[str] | None: ...

    @partition_columns.setter
    def partition_columns(self, arg: Sequence[str] | None, /) -> None: ...

    @property
    def partition_moves(self) -> PartitionMoves: ...

    @partition_moves.setter
    def partition_moves(self, arg: PartitionMoves, /) -> None: ...

    @property
    def max_rows_per_file(self) -> int: ...

    @max_rows_per_file.setter
    def max_rows_per_file(self, arg: int, /) -> None: ...

    @property
    def row_group_bytes(self) -> int: ...

    @row_group_bytes.setter
    def row_group_bytes(self, arg: int, /) -> None: ...

    @property
    def snapshot(self) -> Snapshot: ...

    @snapshot.setter
    def snapshot(self, arg: Snapshot, /) -> None: ...

    @property
    def idempotency_token(self) -> str: ...

    @idempotency_token.setter
    def idempotency_token(self, arg: str, /) -> None: ...

    @property
    def spill_directory(self) -> str: ...

    @spill_directory.setter
    def spill_directory(self, arg: str, /) -> None: ...

    @property
    def max_spill_bytes(self) -> int: ...

    @max_spill_bytes.setter
    def max_spill_bytes(self, arg: int, /) -> None: ...

    @property
    def threads(self) -> int: ...

    @threads.setter
    def threads(self, arg: int, /) -> None: ...

    def set_compression(self, name: str) -> None: ...

class MergeFile:
    @property
    def path(self) -> str: ...

    @property
    def row_count(self) -> int: ...

    @property
    def operation(self) -> str: ...

    @property
    def size_bytes(self) -> int: ...

class MergeOutcome:
    @property
    def source_count(self) -> int: ...

    @property
    def target_count_before(self) -> int: ...

    @property
    def target_count_after(self) -> int: ...

    @property
    def inserted(self) -> int: ...

    @property
    def updated(self) -> int: ...

    @property
    def unchanged(self) -> int: ...

    @property
    def deleted(self) -> int: ...

    @property
    def duplicates_dropped(self) -> int: ...

    @property
    def files(self) -> list[MergeFile]: ...

    @property
    def elapsed_s(self) -> float: ...

    @property
    def limit_bytes(self) -> int: ...

    @property
    def peak_memory_bytes(self) -> int: ...

    @property
    def bytes_read(self) -> int: ...

    @property
    def bytes_written(self) -> int: ...

    @property
    def bytes_copied(self) -> int: ...

    @property
    def bytes_encoded(self) -> int: ...

    @property
    def bytes_spilled(self) -> int: ...

    @property
    def threads(self) -> int: ...

    @property
    def already_committed(self) -> bool: ...

    @property
    def phase_seconds(self) -> list[tuple[str, float]]: ...

class KeyMatching(enum.Enum):
    in_memory = 0

    in_passes = 1

    partitioned = 2

class Plan:
    @property
    def limit_bytes(self) -> int: ...

    @property
    def minimum_memory_bytes(self) -> int: ...

    @property
    def key_matching(self) -> KeyMatching: ...

    @property
    def spills_rows(self) -> bool: ...

    @property
    def source_count(self) -> int: ...

    @property
    def target_count_before(self) -> int: ...

    @property
    def target_count_after(self) -> int: ...

    @property
    def inserted(self) -> int: ...

    @property
    def updated(self) -> int: ...

    @property
    def deleted(self) -> int: ...

    @property
    def duplicates_dropped(self) -> int: ...

    @property
    def row_groups(self) -> int: ...

    @property
    def touched_row_groups(self) -> int: ...

    @property
    def files(self) -> list[MergeFile]: ...

    @property
    def estimated_bytes_read(self) -> int: ...

    @property
    def estimated_bytes_written(self) -> int: ...

    @property
    def estimated_bytes_copied(self) -> int: ...

    @property
    def estimated_bytes_encoded(self) -> int: ...

    @property
    def estimated_bytes_spilled(self) -> int: ...

class JobProgress:
    @property
    def phase(self) -> str: ...

    @property
    def done_bytes(self) -> int: ...

    @property
    def total_bytes(self) -> int: ...

    @property
    def done_rows(self) -> int: ...

    @property
    def total_rows(self) -> int: ...

    @property
    def spilled_bytes(self) -> int: ...

    @property
    def used_bytes(self) -> int: ...

    @property
    def limit_bytes(self) -> int: ...

    @property
    def elapsed_s(self) -> float: ...

class MergeJob:
    def __init__(self, data: object | None, kind: str, path: str, options: MergeOptions) -> None: ...

    def run(self) -> MergeOutcome: ...

    def plan(self) -> Plan: ...

    def progress(self) -> JobProgress: ...

    def cancel(self) -> None: ...

class Recovery:
    @property
    def action(self) -> str: ...

    @property
    def published_files(self) -> list[str]: ...

    @property
    def removed_files(self) -> list[str]: ...

    @property
    def staged_bytes_removed(self) -> int: ...

def recover(path: str) -> Recovery: ...

class ColumnLayout:
    @property
    def path(self) -> str: ...

    @property
    def type(self) -> str: ...

    @property
    def codecs(self) -> list[str]: ...

    @property
    def compressed_bytes(self) -> int: ...

    @property
    def uncompressed_bytes(self) -> int: ...

    @property
    def largest_page_bytes(self) -> int: ...

    @property
    def largest_dictionary_bytes(self) -> int: ...

    @property
    def files(self) -> int: ...

class Inspection:
    @property
    def recovery(self) -> Recovery: ...

    @property
    def partition_columns(self) -> list[str]: ...

    @property
    def files(self) -> int: ...

    @property
    def row_groups(self) -> int: ...

    @property
    def rows(self) -> int: ...

    @property
    def size_bytes(self) -> int: ...

    @property
    def largest_row_group_bytes(self) -> int: ...

    @property
    def largest_row_group_rows(self) -> int: ...

    @property
    def columns(self) -> list[ColumnLayout]: ...

    @property
    def minimum_merge_bytes(self) -> int: ...

def inspect(path: str) -> Inspection: ...

class KeyMatcher:
    @staticmethod
    def make(rows: object, other: object, key_columns: Sequence[str]) -> KeyMatcher:
        """
        Keep the keys of `rows` for look-ups in rows of the schema of `other` (an empty table will do).
        """

    def winners(self) -> Any:
        """Positions of the rows that count, one a key, ascending."""

    def find(self, rows: object) -> Any:
        """
        For each row the position of the kept row with its key; null without one.
        """
