"""Arrow and Parquet jobs that stay inside the memory they were given."""

from __future__ import annotations

# Imported first: they load the libarrow and libparquet that the core links against.
import pyarrow
import pyarrow.compute
import pyarrow.parquet

if not pyarrow.__version__.startswith("26.0."):
    raise ImportError(
        f"floodwall needs pyarrow >=26.0,<26.1 but found {pyarrow.__version__}: "
        "run pip install 'pyarrow>=26.0,<26.1'"
    )

from floodwall._core import version as _version
from floodwall.errors import (
    CancelledError,
    CommitError,
    ConflictError,
    DuplicateKeyError,
    MemoryLimitExceeded,
    MemoryLimitTooSmall,
    MergeError,
    SchemaMismatchError,
    SpillError,
    UnsupportedFileError,
)
from floodwall.merge import (
    MergeFileMetadata,
    MergeProgress,
    MergeResult,
    RecoveryResult,
    merge,
    recover,
)
from floodwall.pool import Budget, GuardedPool

__version__: str = _version()

__all__ = [
    "Budget",
    "CancelledError",
    "CommitError",
    "ConflictError",
    "DuplicateKeyError",
    "GuardedPool",
    "MemoryLimitExceeded",
    "MemoryLimitTooSmall",
    "MergeError",
    "MergeFileMetadata",
    "MergeProgress",
    "MergeResult",
    "RecoveryResult",
    "SchemaMismatchError",
    "SpillError",
    "UnsupportedFileError",
    "__version__",
    "merge",
    "recover",
]
