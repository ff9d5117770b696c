"""``floodwall run``: programs that know nothing of it."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

from floodwall import launch

MIB = 1 << 20


def run(
    limit: str, code: str, *options: str, command: tuple[str, ...] = (sys.executable, "-c")
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "floodwall", "run", "--limit", limit, *options, "--", *command,
         textwrap.dedent(code)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_passes_output_and_exit_code_on() -> None:
    done = run("1GiB", "import sys; print('out'); print('err', file=sys.stderr); sys.exit(7)")
    assert (done.returncode, done.stdout, done.stderr) == (7, "out\n", "err\n")
    missing = run("1GiB", "", command=("/no/such/program",))
    assert missing.returncode == 1
    assert "/no/such/program" in missing.stderr


def test_refuses_wrong_usage() -> None:
    floodwall = [sys.executable, "-m", "floodwall", "run"]
    none = subprocess.run(
        [*floodwall, "--limit", "1GiB"], capture_output=True, text=True, check=False
    )
    assert none.returncode == 2
    assert "COMMAND" in none.stderr
    wrong = run("1 parsec", "pass")
    assert wrong.returncode == 2
    assert "--limit" in wrong.stderr


def test_refuses_what_does_not_fit_and_says_so() -> None:
    done = run(
        "300MiB",
        """
        import pyarrow as pa
        kept = pa.allocate_buffer(50 << 20)
        try:
            pa.allocate_buffer(400 << 20)
        except pa.ArrowMemoryError:
            print("refused")
        del kept
        print(pa.allocate_buffer(150 << 20).size >> 20)
        """,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "refused\n150\n"
    assert "1 Arrow allocations refused" in done.stderr


def test_counts_what_bypasses_pyarrows_pool() -> None:
    """A join allocates from libarrow's default pool, whatever pyarrow's is."""
    code = """
import numpy as np, pyarrow as pa
pa.set_memory_pool(pa.system_memory_pool())
table = pa.table({"k": np.arange(1_000_000), "v": np.arange(1_000_000)})
table.join(table, "k", right_suffix="_r")
assert pa.system_memory_pool().max_memory() < 1 << 20
"""
    figures: list[launch.Figures] = []
    outcome = launch.launch([sys.executable, "-c", code], 2 << 30, observe=figures.append)
    assert (outcome.exit_code, outcome.stopped, outcome.refused) == (0, None, 0)
    assert outcome.arrow_peak_bytes > 20 * MIB
    assert max(f.anonymous_bytes for f in figures) == outcome.anonymous_peak_bytes > 20 * MIB
    assert not outcome.uncounted


def test_says_when_it_could_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARROW_DEFAULT_MEMORY_POOL", "jemalloc")
    done = run("1GiB", "import pyarrow as pa, time; b = pa.allocate_buffer(1 << 20); time.sleep(1)")
    assert done.returncode == 0
    assert "only its process tree was watched" in done.stderr


def test_ends_a_tree_that_is_not_arrows() -> None:
    done = run(
        "150MiB",
        """
        import subprocess, sys
        work = "data = []\\nwhile True: data.append(bytearray(1 << 20))"
        sys.exit(subprocess.call([sys.executable, "-c", work]))
        """,
    )
    assert done.returncode == 3
    assert "anonymous memory of the program and its children is" in done.stderr


def test_children_are_counted_unless_told_otherwise() -> None:
    code = """
        import os, subprocess, sys
        work = (
            "import os, pyarrow as pa; pa.allocate_buffer(1 << 30); print('served')"
        )
        sys.exit(subprocess.call([sys.executable, "-c", work], stderr=subprocess.DEVNULL))
        """
    assert run("512MiB", code).stdout == ""
    alone = run("512MiB", code, "--no-inherit")
    assert (alone.returncode, alone.stdout) == (0, "served\n")  # untouched: no memory at all


def test_forked_children_free_what_they_did_not_allocate() -> None:
    done = run(
        "512MiB",
        """
        import os, pyarrow as pa
        kept = [pa.allocate_buffer(1 << 20) for _ in range(50)]
        for _ in range(20):
            child = os.fork()
            if child == 0:
                kept.clear()
                mine = pa.allocate_buffer(20 << 20)
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
        import time; time.sleep(0.3)
        kept.append(pa.allocate_buffer(300 << 20))  # nothing of the dead counts any more
        print("served")
        """,
    )
    assert (done.returncode, done.stdout) == (0, "served\n"), done.stderr


def test_what_orphans_held_is_free_again() -> None:
    done = run(
        "512MiB",
        """
        import os, time, pyarrow as pa
        for _ in range(8):  # more in all than the limit
            child = os.fork()
            if child == 0:
                if os.fork() == 0:
                    mine = pa.allocate_buffer(100 << 20)
                    time.sleep(0.2)
                os._exit(0)
            os.waitpid(child, 0)
            time.sleep(0.5)
        print(pa.allocate_buffer(400 << 20).size >> 20)
        """,
    )
    assert (done.returncode, done.stdout) == (0, "400\n"), done.stderr


def test_finds_a_tree_either_way() -> None:
    child = subprocess.Popen(["sh", "-c", "sleep 30 & echo; wait"], stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        child.stdout.readline()
        tree = launch._tree(os.getpid())
        assert child.pid in tree
        assert len(tree) >= 2
        assert launch._tree_by_parents(os.getpid()) == tree
    finally:
        for pid in launch._tree(child.pid) | {child.pid}:
            os.kill(pid, signal.SIGKILL)
        child.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_passes_signals_on(number: signal.Signals, tmp_path: Path) -> None:
    code = f"""
import signal, sys, time
signal.signal({int(number)}, lambda *_: sys.exit(42))
print("ready", flush=True)
while True: time.sleep(0.05)
"""
    launcher = subprocess.Popen(
        [sys.executable, "-m", "floodwall", "run", "--limit", "1GiB", "--", sys.executable, "-c",
         code],
        stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, start_new_session=True,
    )  # fmt: skip
    assert launcher.stdout is not None
    assert launcher.stdout.readline() == "ready\n"
    time.sleep(0.2)
    launcher.send_signal(number)
    assert launcher.wait(timeout=60) == 42
    launcher.stdout.close()


def test_ends_as_the_program_ended() -> None:
    done = run("1GiB", "import os; os.kill(os.getpid(), 9)")
    assert done.returncode == -9


def test_the_csv_reader_and_the_parquet_writer_live(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    columns = {f"c{i}": random.integers(0, 1 << 40, 60_000) for i in range(6)}
    pyarrow.csv.write_csv(pa.table(columns), tmp_path / "a.csv")
    for mib in (150, 80):
        done = run(
            f"{mib}MiB",
            f"""
            import pyarrow as pa, pyarrow.csv, pyarrow.parquet as pq
            kept = []
            try:
                while True: kept.append(pa.allocate_buffer(1 << 20))
            except MemoryError:
                pass
            for attempt in range(4):
                try:
                    table = pyarrow.csv.read_csv({str(tmp_path / "a.csv")!r})
                    pq.write_table(table, {str(tmp_path / "w.parquet")!r})
                except MemoryError:
                    pass
                kept = kept[: len(kept) * 3 // 4]
            print("lives")
            """,
        )
        assert done.returncode in (0, 3), done.stderr
        assert done.returncode == 3 or done.stdout == "lives\n"


def test_leaves_nothing_behind(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    subprocess.run(
        [sys.executable, "-m", "floodwall", "run", "--limit", "1GiB", "--", "true"],
        env=environment, check=True,
    )  # fmt: skip
    assert list(tmp_path.iterdir()) == []


def test_records(tmp_path: Path) -> None:
    record = tmp_path / "a.flood"
    done = run("1GiB", "import time; time.sleep(0.5)", "--record", str(record))
    assert done.returncode == 0
    assert record.stat().st_size > 1 << 20
    assert b"floodwall" in record.read_bytes()[:4096]
    assert "It exited with code 0." in explained(record)


@pytest.mark.parametrize(
    ("work", "ending"),
    [
        ("os.kill(os.getpid(), 9)", "It was ended by SIGKILL."),
        ("kept = [bytearray(1 << 20) for _ in range(400)]", "Floodwall ended it: anonymous memory"),
    ],
)
def test_tells_afterwards_how_it_ended(work: str, ending: str, tmp_path: Path) -> None:
    record = tmp_path / "a.flood"
    run(
        "200MiB", f"import os, time\nkept = bytearray(50 << 20)\ntime.sleep(0.3)\n{work}",
        "--record", str(record),
    )  # fmt: skip
    told = explained(record)
    assert ending in told
    assert "Nearest: the limit of its processes, " in told
    assert "of 200.0 MiB" in told


def explained(record: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "floodwall", "explain", str(record)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout
