"""Arrow and Parquet jobs that stay inside the memory they were given."""

from __future__ import annotations

from floodwall.interpreters import in_subinterpreter

# Before pyarrow, whose import may hang there instead of failing.
if in_subinterpreter():
    raise ImportError(
        "floodwall works in the main interpreter only, because pyarrow does; use threads or "
        "processes instead of subinterpreters (under mod_wsgi: WSGIApplicationGroup %{GLOBAL})"
    )

import pyarrow

# Before anything else of it is loaded: another version may lack what is imported next.
if not pyarrow.__version__.startswith("26.0."):
    raise ImportError(
        f"floodwall needs pyarrow >=26.0,<26.1 but found {pyarrow.__version__}: "
        "run pip install 'pyarrow>=26.0,<26.1'"
    )

# Imported first: they load the libarrow and libparquet that the core links against.
import pyarrow.compute
import pyarrow.parquet

from floodwall._core import version as _version
from floodwall.chunks import process_in_chunks
from floodwall.errors import (
    CancelledError,
    CommitError,
    ConflictError,
    DuplicateKeyError,
    MemoryLimitExceeded,
    MemoryLimitTooSmall,
    MergeError,
    PartitionMoveError,
    SchemaMismatchError,
    SpillError,
    UnsupportedFileError,
)
from floodwall.limits import Limit, limit
from floodwall.merge import (
    MergeFileMetadata,
    MergeProgress,
    MergeResult,
    RecoveryResult,
    deduplicate,
    merge,
    recover,
)
from floodwall.monitor import (
    MemoryMonitor,
    MemoryPressureLevel,
    MemorySnapshot,
    Verdict,
    bytes_to_mb,
    max_pressure,
    mb_to_bytes,
)
from floodwall.performance import PerformanceMonitor
from floodwall.plan import MergePlan, plan_merge
from floodwall.pool import Admission, Budget, GuardedPool
from floodwall.reclaim import Reclaimer, TrimResult, register_reclaimer, trim
from floodwall.watch import Watch

__version__: str = _version()

__all__ = [
    "Admission",
    "Budget",
    "CancelledError",
    "CommitError",
    "ConflictError",
    "DuplicateKeyError",
    "GuardedPool",
    "Limit",
    "MemoryLimitExceeded",
    "MemoryLimitTooSmall",
    "MemoryMonitor",
    "MemoryPressureLevel",
    "MemorySnapshot",
    "MergeError",
    "MergeFileMetadata",
    "MergePlan",
    "MergeProgress",
    "MergeResult",
    "PartitionMoveError",
    "PerformanceMonitor",
    "Reclaimer",
    "RecoveryResult",
    "SchemaMismatchError",
    "SpillError",
    "TrimResult",
    "UnsupportedFileError",
    "Verdict",
    "Watch",
    "__version__",
    "bytes_to_mb",
    "deduplicate",
    "limit",
    "max_pressure",
    "mb_to_bytes",
    "merge",
    "plan_merge",
    "process_in_chunks",
    "recover",
    "register_reclaimer",
    "trim",
]
