"""
Exceptions of floodwall, each also a builtin's or pyarrow's subclass.

A handler for ``MemoryError``, ``ValueError`` or ``OSError`` that exists already keeps working.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

__all__ = [
    "CancelledError",
    "CommitError",
    "ConflictError",
    "DuplicateKeyError",
    "MemoryLimitExceeded",
    "MemoryLimitTooSmall",
    "MergeError",
    "PartitionMoveError",
    "SchemaMismatchError",
    "SpillError",
    "UnsupportedFileError",
]


class MemoryLimitExceeded(pa.ArrowMemoryError):  # type: ignore[misc]
    """
    A request would have passed a memory limit; nothing was allocated.

    Attributes are bytes; ``holders`` lists ``(name, bytes)``, largest first.
    """

    def __init__(
        self,
        message: str,
        requested_bytes: int = -1,
        limit_bytes: int = -1,
        used_bytes: int = -1,
        holders: Sequence[tuple[str, int]] = (),
    ) -> None:
        """Keep the facts of one denial."""
        super().__init__(message)
        self.requested_bytes = requested_bytes
        self.limit_bytes = limit_bytes
        self.used_bytes = used_bytes
        self.holders = list(holders)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle with every attribute."""
        facts = (self.requested_bytes, self.limit_bytes, self.used_bytes, self.holders)
        return (type(self), (str(self), *facts), self.__dict__)


class MemoryLimitTooSmall(MemoryLimitExceeded):
    """A job was refused before it wrote anything; ``minimum_bytes`` would do."""

    minimum_bytes: int = -1


class MergeError(ValueError):
    """Arguments that contradict each other or the dataset."""


class _KeysError(MergeError):
    """An error that certain keys cause."""

    def __init__(self, message: str, examples: Sequence[str] = ()) -> None:
        """Keep the example keys."""
        super().__init__(message)
        self.examples = list(examples)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle with the examples."""
        return (type(self), (str(self), self.examples))


class DuplicateKeyError(_KeysError):
    """Duplicate keys where the policy forbids them; ``examples`` holds up to ten."""


class PartitionMoveError(_KeysError):
    """Rows would move to another partition where that is forbidden; ``examples``: up to ten."""


class SchemaMismatchError(MergeError):
    """Source and target columns, or their values, do not fit together."""


class UnsupportedFileError(MergeError):
    """A file is corrupt, encrypted or of a kind that cannot be merged."""


class ConflictError(RuntimeError):
    """Another process merges into the dataset, or changed it meanwhile."""


class CancelledError(RuntimeError):
    """The merge was asked to stop; the dataset is unchanged."""


class SpillError(OSError):
    """Spill storage failed; ``errno`` says how."""


class CommitError(OSError):
    """Staging, journal or publication failed; ``errno`` says how."""
