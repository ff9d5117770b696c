"""What the monitor calls available is what a process can really allocate, whatever fills memory."""

import importlib.util
import sys
from pathlib import Path

import pytest

_PATH = Path(__file__).parents[2] / "benchmarks" / "available.py"
_SPEC = importlib.util.spec_from_file_location("available", _PATH)
assert _SPEC is not None and _SPEC.loader is not None
available = importlib.util.module_from_spec(_SPEC)
sys.modules["available"] = available
_SPEC.loader.exec_module(available)

# The allocating child's stacks, page tables and kernel structures, which it does not count.
CHILD_MIB = 4


@pytest.fixture(scope="module", autouse=True)
def group():
    try:
        with available.make_group(available.LIMIT_MIB << 20):
            pass
    except available.NoCgroupError as error:
        pytest.skip(f"no memory cgroup can be made: {error}")


@pytest.mark.parametrize("content", available.CONTENTS)
def test_available_is_what_can_be_allocated(content):
    row = available.measure(content)
    assert abs(row["floodwall"] - row["really"]) <= 0.05 * row["really"] + CHILD_MIB, row
    # Page cache is not pressure, tmpfs is.
    expected = {"tmpfs": {"critical", "emergency"}, "tmpfs_full": {"emergency"}}
    assert row["level"] in expected.get(content, {"normal"}), row
    if content in ("full", "tmpfs_full"):
        # Full alike, of what can be reclaimed and of what cannot.
        assert row["limit_minus_usage"] < available.FLOOR_MIB, "the container is not full"
