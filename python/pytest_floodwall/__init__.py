"""
A pytest plugin that fails tests which need too much memory::

    @pytest.mark.memory_limit("64MiB")
    def test_streams(): ...

    def test_second_half(memory_limit):
        table = load()
        with memory_limit("16MiB") as use:
            work(table)
        print(use.arrow_peak_bytes, use.anonymous_growth_bytes)

Two figures are held to the limit, each by itself, over the body of the test and without its
fixtures: what pyarrow's default pool had allocated at once (exact and counted from nothing, with
64 bytes a block), and by how much the anonymous memory of the process grew at its peak. The second
one is sampled every two milliseconds and completed by the kernel's own mark of the largest resident
set, which is reset for it. It counts whole pages of everything in the process, threads of others
too: limits below a few MiB measure the interpreter.

pytest finds the plugin by itself where floodwall is installed. It imports floodwall when the first
test asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Self

import pytest

if TYPE_CHECKING:
    from floodwall import Limit, _core

__all__ = ["MemoryUse", "memory_limit"]

_MARKER = (
    "memory_limit(size): fail the test when its Arrow peak or the growth of its anonymous memory "
    "is above size, such as '64MiB' (floodwall)"
)
_LIMIT = pytest.StashKey[int]()


class MemoryUse:
    """Measures a ``with`` block and fails the test at its end when it needed too much."""

    limit_bytes: int
    arrow_peak_bytes: int
    """The most that pyarrow's default pool had allocated at once for the block, exact."""
    anonymous_growth_bytes: int | None
    """By how much anonymous memory grew at its peak; ``None`` where the system does not tell."""

    def __init__(self, limit_bytes: int) -> None:
        """Keep the limit; measures nothing yet."""
        self.limit_bytes = limit_bytes
        self.arrow_peak_bytes = 0
        self.anonymous_growth_bytes = None
        self._arrow: Limit | None = None
        self._meter: _core.PeakMeter | None = None

    def __enter__(self) -> Self:
        """Start measuring."""
        import floodwall
        from floodwall import _core

        # Pages that earlier tests freed would be used again, and no growth be seen.
        floodwall.trim()
        self._arrow = floodwall.limit(self.limit_bytes, name="memory_limit", on_exceed="record")
        self._arrow.__enter__()
        self._meter = _core.PeakMeter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop measuring; fail unless the block failed by itself."""
        assert self._arrow is not None and self._meter is not None
        self.anonymous_growth_bytes = self._meter.stop()
        self._arrow.__exit__(kind, error, traceback)
        self.arrow_peak_bytes = self._arrow.peak_bytes
        if error is None and self._is_above():
            pytest.fail(self._message(), pytrace=False)

    def _is_above(self) -> bool:
        return max(self.arrow_peak_bytes, self.anonymous_growth_bytes or 0) > self.limit_bytes

    def _message(self) -> str:
        from floodwall._core import format_bytes

        growth = self.anonymous_growth_bytes
        grew = "unknown" if growth is None else format_bytes(growth)
        return (
            f"memory limit of {format_bytes(self.limit_bytes)} exceeded: Arrow's peak "
            f"{format_bytes(self.arrow_peak_bytes)}, anonymous memory grew by {grew}"
        )


def _to_bytes(size: int | str) -> int:
    from floodwall.sizes import to_bytes

    return to_bytes("memory_limit", size)


@pytest.fixture
def memory_limit() -> Callable[[int | str], MemoryUse]:
    """Give a function of a size whose result measures a ``with`` block."""
    return lambda size: MemoryUse(_to_bytes(size))


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known, for ``--markers`` and ``--strict-markers``."""
    config.addinivalue_line("markers", _MARKER)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Refuse a marker that is wrong before the test runs."""
    marker = item.get_closest_marker("memory_limit")
    if marker is None:
        return
    if len(marker.args) != 1 or marker.kwargs:
        pytest.fail("memory_limit takes one size, such as '64MiB'", pytrace=False)
    try:
        item.stash[_LIMIT] = _to_bytes(marker.args[0])
    except (TypeError, ValueError) as error:
        pytest.fail(str(error), pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Measure the test's body."""
    limit_bytes = item.stash.get(_LIMIT, None)
    if limit_bytes is None:
        return (yield)
    with MemoryUse(limit_bytes):
        return (yield)
