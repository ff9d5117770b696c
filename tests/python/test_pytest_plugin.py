"""The marker and fixture ``memory_limit``, in test runs of their own."""

import re

import pytest

pytest_plugins = ["pytester"]


@pytest.fixture(autouse=True)
def own_process(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\naddopts = -p no:cacheprovider --strict-markers")


def run(pytester: pytest.Pytester, source: str, *arguments: str) -> pytest.RunResult:
    pytester.makepyfile(source)
    return pytester.runpytest_subprocess("-q", *arguments)


def test_arrow_and_anonymous_peaks_are_held_to_the_limit(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        import mmap
        import pyarrow as pa, pytest

        @pytest.mark.memory_limit("64MiB")
        def test_small():
            assert pa.allocate_buffer(8 << 20).size

        @pytest.mark.memory_limit("64MiB")
        def test_arrow_peak_of_untouched_memory():
            pa.allocate_buffer(100 << 20)

        @pytest.mark.memory_limit("64MiB")
        def test_python_objects():
            held = bytearray(100 << 20)

        @pytest.mark.memory_limit("64MiB")
        def test_after_a_large_one_nothing_is_left_over():
            pass

        @pytest.mark.memory_limit("16MiB")
        @pytest.mark.parametrize("mib", [1, 40])
        def test_cases(mib):
            bytearray(mib << 20)

        @pytest.mark.memory_limit("64MiB")
        def test_file_pages_do_not_count(tmp_path):
            with (tmp_path / "x").open("wb") as file:
                file.truncate(200 << 20)
            with (tmp_path / "x").open("rb") as file:
                view = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
            for at in range(0, len(view), mmap.PAGESIZE):
                view[at]

        def test_without_a_marker():
            bytearray(300 << 20)
        """,
        "-rA",
    )
    result.assert_outcomes(passed=5, failed=3)
    text = result.stdout.str()
    arrow = re.search(r"limit of 64\.0 MiB exceeded: Arrow's peak 100\.0 MiB, anonymous", text)
    assert arrow is not None
    grew = re.search(
        r"of 64\.0 MiB exceeded: Arrow's peak 0 B, anonymous memory grew by (\d+)", text
    )
    assert grew is not None and 99 <= int(grew[1]) <= 110
    for name in ("test_arrow_peak_of_untouched_memory", "test_python_objects", "test_cases[40]"):
        assert re.search(rf"^FAILED \S+{re.escape(name)}( |$)", text, re.M), name


def test_a_spike_between_two_samples_counts(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        import mmap, pytest

        @pytest.mark.memory_limit("24MiB")
        def test_spike():
            memory = mmap.mmap(-1, 32 << 20)
            memory.write(bytes(4096) * (32 << 8))
            memory.close()
        """,
    )
    result.assert_outcomes(failed=1)


def test_fixtures_are_not_measured_and_the_fixture_measures_a_block(
    pytester: pytest.Pytester,
) -> None:
    result = run(
        pytester,
        """
        import pyarrow as pa, pytest

        @pytest.fixture
        def prepared():
            return bytearray(100 << 20)

        @pytest.mark.memory_limit("32MiB")
        def test_prepared(prepared):
            assert len(prepared) == 100 << 20

        def test_block(memory_limit):
            before = bytearray(100 << 20)
            with memory_limit("64MiB") as use:
                pa.allocate_buffer(20 << 20)
                held = bytearray(40 << 20)
            assert 0 <= use.arrow_peak_bytes - (20 << 20) < 4096
            assert 40 << 20 <= use.anonymous_growth_bytes < 64 << 20

        def test_block_fails(memory_limit):
            with memory_limit(1 << 20):
                pa.allocate_buffer(2 << 20)

        def test_nested(memory_limit):
            with pytest.raises(pytest.fail.Exception, match="memory limit of 8.0 MiB exceeded"):
                with memory_limit("8MiB"):
                    pa.allocate_buffer(9 << 20)
            with memory_limit("64MiB") as outer, memory_limit("32MiB"):
                pa.allocate_buffer(9 << 20)
            assert outer.arrow_peak_bytes >= 9 << 20
        """,
    )
    result.assert_outcomes(passed=3, failed=1)


def test_a_test_that_fails_by_itself_says_its_own_error(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        import pytest

        @pytest.mark.memory_limit("1MiB")
        def test_fails():
            held = bytearray(50 << 20)
            raise LookupError("its own")

        @pytest.mark.memory_limit("1MiB")
        def test_skips():
            held = bytearray(50 << 20)
            pytest.skip("not here")
        """,
    )
    result.assert_outcomes(failed=1, skipped=1)
    result.stdout.fnmatch_lines(["*LookupError: its own*"])
    result.stdout.no_fnmatch_line("*exceeded*")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ("", "memory_limit takes one size, such as '64MiB'"),
        ("'1MiB', '2MiB'", "memory_limit takes one size, such as '64MiB'"),
        ("size=5", "memory_limit takes one size, such as '64MiB'"),
        ("'64 bananas'", "memory_limit: *64 bananas*"),
        ("-1", "memory_limit must not be negative, got -1"),
        ("None", "memory_limit must be bytes or a text such as '256MiB', got None"),
    ],
)
def test_wrong_markers_are_errors_before_the_test_runs(
    pytester: pytest.Pytester, arguments: str, text: str
) -> None:
    result = run(
        pytester,
        f"""
        import pytest

        @pytest.mark.memory_limit({arguments})
        def test_it():
            raise SystemExit("ran")
        """,
    )
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*{text}*".replace("[", "[[]")])
    result.stdout.no_fnmatch_line("*ran")


def test_it_is_known_to_pytest_and_costs_nothing_unused(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        import sys

        def test_nothing_is_imported():
            assert "pytest_floodwall" in sys.modules
            assert "floodwall" not in sys.modules and "pyarrow" not in sys.modules
        """,
    )
    result.assert_outcomes(passed=1)
    result = pytester.runpytest_subprocess("--markers")
    result.stdout.fnmatch_lines(["@pytest.mark.memory_limit(size): *"])
    result = pytester.runpytest_subprocess("--fixtures")
    result.stdout.fnmatch_lines(["memory_limit*"])
