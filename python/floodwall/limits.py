"""Hold code that takes no memory pool to a limit: everything pyarrow allocates inside a block."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Literal, Self

import pyarrow as pa

from floodwall import _core
from floodwall.errors import MemoryLimitExceeded
from floodwall.pool import Budget
from floodwall.sizes import to_bytes

__all__ = ["Limit", "limit"]

_lock = threading.Lock()
_entered = 0
_replaced: pa.MemoryPool | None = None


class Limit:
    """What ``limit`` gives: enter it once; its figures stay readable afterwards."""

    def __init__(self, limit_bytes: int, name: str, deny: bool) -> None:
        """Keep the limit; nothing is guarded yet."""
        self.limit_bytes = limit_bytes
        self.name = name
        self._deny = deny
        self._scope: _core.LimitScope | None = None

    def _known(self) -> _core.LimitScope:
        if self._scope is None:
            raise RuntimeError("the limit has not been entered yet")
        return self._scope

    @property
    def used_bytes(self) -> int:
        """Bytes allocated inside the block, on whatever thread, that are not freed yet."""
        return self._known().budget.used_bytes

    @property
    def peak_bytes(self) -> int:
        """The most ``used_bytes`` ever was, exact."""
        return self._known().budget.peak_bytes

    @property
    def denied_count(self) -> int:
        """Requests refused."""
        return self._known().denied_count

    @property
    def overdraft_count(self) -> int:
        """Requests served that did not fit: all under "record", those of unsafe callers else."""
        return self._known().overdraft_count

    @property
    def budget(self) -> Budget:
        """The budget behind it."""
        return Budget._wrap(self._known().budget)

    def __enter__(self) -> Self:
        """Guard pyarrow's default pool."""
        if self._scope is not None:
            raise RuntimeError("a limit is entered once; call floodwall.limit() again")
        self._scope = _core.LimitScope.enter(self.name, self.limit_bytes, self._deny)
        _install()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop charging; turn a denial into ``MemoryLimitExceeded``."""
        scope = self._known()
        scope.leave()
        _restore()
        if not self._deny or isinstance(error, MemoryLimitExceeded):
            return
        if isinstance(error, pa.ArrowMemoryError) and scope.denied_count:
            try:
                scope.raise_last_refusal()
            except MemoryLimitExceeded as refusal:
                raise refusal from error
        if error is None and scope.overdraft_count:
            scope.raise_last_refusal()


def limit(
    limit: int | str, *, name: str = "", on_exceed: Literal["raise", "record"] = "raise"
) -> Limit:
    """
    Hold what pyarrow allocates inside a ``with`` block to a limit.

    Inside the block pyarrow's default pool is guarded: an allocation that does not fit fails, and
    leaves the block as ``MemoryLimitExceeded`` with requested, limit and used bytes. Blocks nest;
    an inner one also counts against the outer ones. The pool that was the default before is put
    back when the last block ends, also on an error. Memory allocated inside stays charged to the
    block until it is freed, wherever that happens.

    Charged are the thread that entered the block and, as long as no other thread is in a block,
    every thread that is in none: Arrow's workers, and threads of yours. While several threads are
    in blocks of their own, what Arrow's workers allocate is charged to none of them, because
    nothing tells for whom they work; ``use_threads=False`` keeps an operation on its thread. Tasks
    of one event loop share a thread: what runs while a task awaits inside the block is charged to
    it too.

    On Linux (x86-64 and AArch64) functions that ask Arrow's own default pool, whatever pyarrow's
    is, are charged too: joins, aggregations, the dataset writer, Parquet's encoders. Elsewhere
    they pass by; docs/pool-coverage.md lists each. Arrow's CSV reader and Parquet's encoders crash
    when they are refused. They are served instead, and the block raises ``MemoryLimitExceeded`` at
    its end.

    Args:
        limit: Bytes, a text such as ``"256MiB"``, ``"auto"`` or a share such as ``"40%"``.
        name: What errors call it.
        on_exceed: "raise" refuses what does not fit; "record" serves and counts it
            (``overdraft_count``).

    Raises:
        ValueError: The limit or ``on_exceed`` is not one of those.
    """
    if on_exceed not in ("raise", "record"):
        raise ValueError(f"on_exceed must be 'raise' or 'record', got {on_exceed!r}")
    return Limit(to_bytes("limit", limit), name, on_exceed == "raise")


def _install() -> None:
    global _entered, _replaced
    with _lock:
        _entered += 1
        _core.route_defaults(True)
        if not _core.routing_pool_is_installed():
            _replaced = pa.default_memory_pool()
            _core.route_from_current_pool()
            pa.set_memory_pool(_core.routing_pool())


def _restore() -> None:
    global _entered, _replaced
    with _lock:
        _entered -= 1
        if _entered == 0:
            _core.route_defaults(False)
        # Somebody may have set another pool inside the block: theirs stays.
        if _entered == 0 and _replaced is not None:
            if _core.routing_pool_is_installed():
                pa.set_memory_pool(_replaced)
            _replaced = None
