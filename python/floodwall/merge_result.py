"""What a merge and a recovery report."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar


@dataclasses.dataclass(frozen=True)
class MergeFileMetadata:
    """One file of the dataset after a merge."""

    path: str
    row_count: int
    operation: str
    """``"rewritten"``, ``"inserted"``, ``"preserved"`` or ``"deleted"`` (no row was left)."""
    size_bytes: int


class FilesByOperation:
    """Lists the files of a result, or of a plan, by what happens to them."""

    files: list[MergeFileMetadata]
    _listed: ClassVar[tuple[str, ...]] = ("rewritten_files", "preserved_files", "deleted_files")

    def _paths(self, operation: str) -> list[str]:
        return [file.path for file in self.files if file.operation == operation]

    @property
    def rewritten_files(self) -> list[str]:
        """Files that are replaced."""
        return self._paths("rewritten")

    @property
    def preserved_files(self) -> list[str]:
        """Files that are not touched."""
        return self._paths("preserved")

    @property
    def deleted_files(self) -> list[str]:
        """Files that go away because no row of theirs is left."""
        return self._paths("deleted")

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON-ready values."""
        out = dataclasses.asdict(self)  # type: ignore[call-overload]
        for name in self._listed:
            out[name] = getattr(self, name)
        return out  # type: ignore[no-any-return]


@dataclasses.dataclass(frozen=True)
class MergeProgress:
    """Where a merge is; what is not known yet is 0, an unknown ``eta_s`` is ``None``."""

    phase: str
    done_bytes: int
    total_bytes: int
    done_rows: int
    total_rows: int
    spilled_bytes: int
    used_bytes: int
    limit_bytes: int
    elapsed_s: float
    eta_s: float | None


@dataclasses.dataclass(frozen=True)
class MergeResult(FilesByOperation):
    """
    What a merge did. ``target_count_before + inserted - deleted == target_count_after``.

    ``updated`` counts distinct source keys that matched; ``unchanged`` is the part of them whose
    rows were already identical. Sizes are bytes, times seconds.
    """

    strategy: str
    source_count: int
    target_count_before: int
    target_count_after: int
    inserted: int
    updated: int
    unchanged: int
    deleted: int
    duplicates_dropped: int
    files: list[MergeFileMetadata] = dataclasses.field(repr=False)
    metrics: dict[str, Any] = dataclasses.field(repr=False)
    elapsed_s: float
    limit_bytes: int
    peak_memory_bytes: int
    bytes_read: int
    bytes_written: int
    bytes_copied: int
    bytes_encoded: int
    bytes_spilled: int
    already_committed: bool = False
    """The result of an earlier merge with the same ``idempotency_token``; this one did nothing."""

    _listed: ClassVar[tuple[str, ...]] = (
        "rewritten_files", "inserted_files", "preserved_files", "deleted_files",
    )  # fmt: skip

    @property
    def inserted_files(self) -> list[str]:
        """Files that are new."""
        return self._paths("inserted")


@dataclasses.dataclass(frozen=True)
class RecoveryResult:
    """What ``recover`` found and did."""

    action: str
    """``"none"``, ``"rolled_forward"`` or ``"cleaned"``."""
    published_files: list[str]
    removed_files: list[str]
    staged_bytes_removed: int
