"""Budgets that count bytes and pools that cannot pass them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Self

import pyarrow as pa

from floodwall import _core
from floodwall.errors import MemoryLimitExceeded
from floodwall.sizes import Size, to_bytes

__all__ = ["Admission", "Budget", "GuardedPool"]


class Budget:
    """
    Count bytes against a limit, for itself and every ancestor, exactly.

    Thread-safe. ``limit`` is bytes, a text such as ``"1GiB"``, or ``None`` for no limit of
    its own.
    """

    _native: _core.Budget
    _parent: Budget | None

    def __init__(self, limit: Size, *, name: str = "", parent: Budget | None = None) -> None:
        """Make a root budget, or a child of ``parent``."""
        limit_bytes = -1 if limit is None else to_bytes("limit", limit)
        self._native = _core.Budget.make(name, limit_bytes, parent._native if parent else None)
        self._parent = parent

    @classmethod
    def _wrap(cls, core: _core.Budget, parent: Budget | None = None) -> Budget:
        budget = cls.__new__(cls)
        budget._native = core
        budget._parent = parent
        return budget

    def _tightest(self) -> Budget:
        """Return the one of this budget and its ancestors that has the least room."""
        line: list[Budget] = []
        budget: Budget | None = self
        while budget is not None:
            line.append(budget)
            budget = budget._parent
        limited = [each for each in line if each.limit_bytes is not None]
        return min(
            limited, key=lambda each: (each.limit_bytes or 0) - each.used_bytes, default=self
        )

    @property
    def name(self) -> str:
        """What errors and reports call it."""
        return self._native.name

    @property
    def limit_bytes(self) -> int | None:
        """The limit in bytes, ``None`` for none."""
        limit = self._native.limit_bytes
        return None if limit < 0 else limit

    @property
    def used_bytes(self) -> int:
        """Bytes counted now, children included."""
        return self._native.used_bytes

    @property
    def peak_bytes(self) -> int:
        """The most bytes ever counted at once, exact."""
        return self._native.peak_bytes

    @property
    def children(self) -> list[Budget]:
        """Budgets directly below that are still alive."""
        return [Budget._wrap(child, self) for child in self._native.children]

    def admit(self, need: int | str, *, name: str = "", timeout_s: float = 30.0) -> Admission:
        """
        Wait until ``need`` is free of what others were promised and use, and have it promised.

        First come, first served; Ctrl-C ends the wait. The result is a context manager whose
        ``budget`` has ``need`` as its limit. While everybody who uses this budget was admitted,
        nobody is refused what he asked for.

        Raises:
            MemoryLimitTooSmall: ``need`` exceeds the limit: no wait could help.
            MemoryLimitExceeded: ``timeout_s`` is over; ``holders`` says who was promised what.
            ValueError: ``timeout_s`` is negative or not finite: there is no wait without an end.
        """
        if not 0 <= timeout_s < 1e9:
            raise ValueError(f"timeout_s must be at least 0 and finite, got {timeout_s}")
        need_bytes = to_bytes("need", need)
        return Admission(_core.admit(self._native, name, need_bytes, timeout_s), self)

    def report(self) -> str:
        """Return the tree as indented text, one budget a line."""
        return self._native.report()

    def __repr__(self) -> str:
        """Return name, use and limit."""
        limit = "none" if self.limit_bytes is None else _core.format_bytes(self.limit_bytes)
        used = _core.format_bytes(self.used_bytes)
        return f"Budget({self.name!r}, used {used}, limit {limit})"


class Admission:
    """A need that was promised; ends with its ``with`` block, or when nobody refers to it."""

    def __init__(self, native: _core.Admission, shared: Budget) -> None:
        """Hold the promise."""
        self._native: _core.Admission | None = native
        self.budget = Budget._wrap(native.budget, shared)
        """The budget to work in; its limit is the need."""

    def release(self) -> None:
        """End the promise; memory of its budget that still lives keeps others waiting."""
        self._native = None

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the promise."""
        self.release()


class GuardedPool:
    """
    An Arrow memory pool with an exact cap.

    Hand ``arrow_pool`` to any pyarrow function that takes ``memory_pool``. A request that does
    not fit raises ``pyarrow.ArrowMemoryError`` (a ``MemoryError``) with limit, use and holders
    in its text; ``translate_denials()`` turns it into a ``MemoryLimitExceeded`` with the facts.

    Thread-safe. The pool itself lives until the process ends, because buffers keep raw
    pointers to it; this object is a handle.

    Do not install it with ``pyarrow.set_memory_pool`` around code you do not know: pyarrow's
    CSV reader aborts the process when a pool says no.
    """

    def __init__(self, limit_or_budget: int | str | Budget | None, *, name: str = "") -> None:
        """Make a pool on a budget of its own, or on a given one."""
        if isinstance(limit_or_budget, Budget):
            self.budget = limit_or_budget
        else:
            self.budget = Budget(limit_or_budget, name=name or f"pool-{os.getpid()}")
        self._native = _core.GuardedPool.make(self.budget._native)
        self.arrow_pool: pa.MemoryPool = self._native.arrow_pool()

    @property
    def limit_bytes(self) -> int | None:
        """The budget's limit."""
        return self.budget.limit_bytes

    @property
    def bytes_allocated(self) -> int:
        """Bytes allocated from this pool now."""
        return self._native.bytes_allocated

    @property
    def peak_bytes(self) -> int:
        """The most bytes ever allocated at once, exact."""
        return self._native.max_memory

    @contextlib.contextmanager
    def translate_denials(self) -> Iterator[None]:
        """
        Raise ``MemoryLimitExceeded`` where pyarrow raises its own error inside the block.

        pyarrow keeps only the text of a denial; the figures are those of the budget, of the pool's
        own and its ancestors, that has the least room when the error is translated, and the
        request's size is unknown (-1).
        """
        denied = self.denied_count
        try:
            yield
        except pa.ArrowMemoryError as error:
            if isinstance(error, MemoryLimitExceeded) or self.denied_count == denied:
                raise
            budget = self.budget._tightest()
            limit = -1 if budget.limit_bytes is None else budget.limit_bytes
            used, holders = budget.used_bytes, budget._native.holders
            raise MemoryLimitExceeded(str(error), -1, limit, used, holders) from error

    @property
    def denied_count(self) -> int:
        """Requests refused so far."""
        return self._native.denied_count
