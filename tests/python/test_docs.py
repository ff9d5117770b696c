"""The documentation runs: Python blocks, commands, links; and JSON is as described."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from floodwall.cli import main, make_parser

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]

# What a page may ask a reader to run that this test does not: each has a test of its own.
RUN_ELSEWHERE = {
    "make": "tests below check that the target exists",
    "pip": "make installs with it",
    "docker": "test_examples.py runs the program in a cgroup of that size",
    "cmake": "test_cpp_consumer.py",
}


def blocks_of(page: Path, language: str) -> list[str]:
    """Blocks, each behind as many empty lines as the page has: errors then name its lines."""
    text = page.read_text()
    found = re.finditer(rf"^```{language}\n(.*?)^```", text, re.M | re.S)
    return ["\n" * text[: block.start(1)].count("\n") + block[1] for block in found]


@pytest.fixture
def somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with what the pages call by name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sales").mkdir()
    rows = {"order_id": [1, 2], "line": [1, 1], "price": [1.0, 2.0]}
    pq.write_table(pa.table(rows), "sales/a.parquet")
    pq.write_table(pa.table(rows | {"price": [3.0, 2.0]}), "changes.parquet")
    Path("job.py").write_text("import time, pyarrow as pa\npa.array([1])\ntime.sleep(0.3)\n")
    return tmp_path


def here(command: str) -> str:
    """The command with an end, where it has none, and with a process that exists."""
    return command.replace("--watch", "--watch --count 1").replace("4711", str(os.getpid()))


@pytest.mark.usefixtures("somewhere")
@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_blocks_run(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = blocks_of(page, "python")
    text = page.read_text()
    names: dict[str, object] = {}
    for block in blocks:
        capsys.readouterr()
        exec(compile(block, str(page), "exec"), names)
        # What a block prints may stand right behind it.
        if shown := re.match(
            r"```\n\n```text\n(.*?)^```", text.split(block.lstrip("\n"))[1], re.M | re.S
        ):
            assert capsys.readouterr().out == shown[1]
    assert blocks or page.name != "README.md"


@pytest.mark.usefixtures("somewhere")
@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_commands_run(page: Path) -> None:
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    for block in blocks_of(page, "console"):
        for command in re.findall(r"^\$ (.*)", block, re.M):
            words = shlex.split(command, comments=True)
            if words[0] == "make":
                assert set(words[1:]) <= targets, command
            if words[0] in RUN_ELSEWHERE:
                continue
            done = subprocess.run(
                here(command), shell=True, env=environment, capture_output=True, text=True
            )
            found = words[:2] == ["floodwall", "doctor"]  # it may find something wrong here
            assert done.returncode in ((0, 1) if found else (0,)), f"{command}: {done.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_and_included_files_exist(page: Path) -> None:
    text = page.read_text()
    links = re.findall(r"\]\(([^)\s#]+)(?:#[^)]*)?\)", text)
    links += re.findall(r"^```\{(?:literalinclude|include)\} (.*)$", text, re.M)
    for link in links:
        assert "://" in link or (page.parent / link).exists(), link


def test_every_page_is_in_the_table_of_contents() -> None:
    index = (ROOT / "docs" / "index.md").read_text()
    entries = {line for block in blocks_of(ROOT / "docs" / "index.md", r"\{toctree\}")
               for line in block.splitlines()}  # fmt: skip
    for page in (ROOT / "docs").rglob("*.md"):
        name = str(page.relative_to(ROOT / "docs").with_suffix(""))
        assert name == "index" or name in entries, name
    assert index


def test_architecture_names_what_exists() -> None:
    """Its modules are the directories, its files exist, its nouns are declared in their module."""
    text = (ROOT / "ARCHITECTURE.md").read_text()
    rows = re.findall(r"^\| `([^`]+)` \| (.*) \|$", text, re.M)
    directories = [path.parent.name for path in (ROOT / "src").glob("*/sources.cmake")]
    assert sorted(name for name, _ in rows if "/" not in name) == sorted(directories)
    public = "".join(path.read_text() for path in (ROOT / "include").rglob("*.h"))
    for module, nouns in [*rows, ("", text)]:
        root = ROOT / (module if "/" in module else f"src/{module}")
        sources = [path for path in root.rglob("*") if path.suffix in (".h", ".cc", ".py")]
        code = public + "".join(path.read_text() for path in sources)
        for name in re.findall(r"`([^`]+)`", nouns):
            if re.fullmatch(r"[\w/]+\.(h|cc|py)", name):
                assert (ROOT / name).exists() or name in {path.name for path in sources}, name
            elif re.fullmatch(r"[A-Z][a-z]\w+", name):
                assert re.search(rf"\b{name}\b", code), f"{module}: {name}"


def test_every_command_has_its_section() -> None:
    reference = ROOT / "docs" / "reference"
    shown = re.findall(r"^## (.*)$", (reference / "command-line.md").read_text(), re.M)
    tables = re.findall(r"^## (.*)$", (reference / "json.md").read_text(), re.M)
    commands = next(
        action.choices for action in make_parser()._actions if isinstance(action.choices, dict)
    )
    assert set(shown) - {"floodwall"} == set(commands)
    printing = {name for name, parser in commands.items() if "--json" in parser.format_help()}
    assert {name for title in tables for name in title.split(" --")[0].split(", ")} == printing


TYPES = {"string": str, "integer": int, "number": (int, float), "array": list, "object": dict,
         "boolean": bool}  # fmt: skip


def described(command: str) -> dict[str, str]:
    text = (ROOT / "docs" / "reference" / "json.md").read_text()
    heading = rf"^## (?:[a-z]+[, ]+)*{command}(?:, [a-z]+)*\n"
    section = re.search(rf"{heading}(.*?)(?=^## |\Z)", text, re.M | re.S)
    assert section is not None
    return dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", section[1], re.M))


@pytest.mark.usefixtures("somewhere")
def test_json_is_as_described(capsys: pytest.CaptureFixture[str]) -> None:
    recording = "job.flood"
    run = ["run", "--limit", "1GiB", "--record", recording, "--", "true"]
    subprocess.run([sys.executable, "-m", "floodwall", *run], check=True)
    keys = ["--on", "order_id,line", "--json", "--no-progress"]
    for command in (
        ["merge", "sales", "changes.parquet", *keys],
        ["deduplicate", "sales", *keys],
        ["merge", "sales", "changes.parquet", "--plan", *keys],
        ["recover", "sales", "--json"],
        ["inspect", "sales", "--json"],
        ["status", "--json"],
        ["doctor", "--json"],
        ["explain", recording, "--json"],
        ["doctor", "--json"],
    ):
        capsys.readouterr()
        assert main(command) in ((0, 1) if command[0] == "doctor" else (0,))
        printed = json.loads(capsys.readouterr().out)
        fields = described("--plan" if "--plan" in command else command[0])
        assert len(fields) >= 4
        # Fields may be added; they are described when they are.
        assert set(printed) == set(fields), command
        for name, kind in fields.items():
            assert printed[name] is None or isinstance(printed[name], TYPES[kind]), name
