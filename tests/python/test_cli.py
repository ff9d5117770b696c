import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from floodwall.cli import main


@pytest.fixture
def source(tmp_path: Path) -> Path:
    file = tmp_path / "changes.parquet"
    pq.write_table(pa.table({"id": [1, 50_000], "price": [9.0, 8.0]}), file)
    return file


def test_merge_prints_json_on_stdout_only(
    dataset: Path, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["merge", str(dataset), str(source), "--on", "id", "--json"]) == 0
    out = capsys.readouterr()
    assert json.loads(out.out)["inserted"] == 1
    # Progress is looked at ten times a second: a short merge may show any of its phases, or none.
    assert all(" s  " in line and ", memory " in line for line in out.err.splitlines())


def test_merge_describes_what_it_did(
    dataset: Path, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["merge", str(dataset), str(source), "--on", "id", "--no-progress"]) == 0
    assert "1 inserted, 1 matched" in capsys.readouterr().out


def test_exit_codes(dataset: Path, source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = str(dataset)
    assert main(["merge", target, str(source), "--on", "nope"]) == 3
    assert main(["merge", target, str(source), "--on", "id", "--max-memory", "1MiB"]) == 3
    assert "minimum" in capsys.readouterr().err
    assert main(["merge", target, str(dataset / "none.parquet"), "--on", "id"]) == 1
    with pytest.raises(SystemExit) as usage:
        main(["merge", target, str(source)])
    assert usage.value.code == 2
    assert main([]) == 2


def test_recover_says_what_it_found(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recover", str(dataset)]) == 0
    assert capsys.readouterr().out == "nothing to recover\n"
    stage = dataset / "_floodwall" / "stage-0123"
    stage.mkdir(parents=True)
    (stage / "000000.staged").write_bytes(b"half a file")
    assert main(["recover", str(dataset), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["action"] == "cleaned"
    assert not stage.exists()
    assert main(["recover", str(dataset / "missing")]) == 3


def test_status_shows_figures_and_sources(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status"]) == 0
    text = capsys.readouterr().out
    assert "available" in text and "/proc/" in text
    assert main(["status", "--json", "--min-available", "1e9"]) == 0
    status = json.loads(capsys.readouterr().out)
    assert status["level"] == "emergency"
    assert status["constraint"] == "system"
    assert status["available_bytes"] > 0
    assert status["sources"]["rss_bytes"].startswith("/proc/self/")
    assert main(["status", "--min-available", "-1"]) == 1
    assert "min_system_available_mb" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["status", "doctor", "plot", "explain", "run"])
def test_help_has_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as shown:
        main([command, "--help"])
    assert shown.value.code == 0
    text = capsys.readouterr().out
    assert "examples:\n  floodwall " in text
    assert f"\n  floodwall {command}" in text
