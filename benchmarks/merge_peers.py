"""
What benchmarks/merge.py compares: one upsert written for each tool, and where it runs.

Every script works on D (the dataset's directory) and S (the source file). ``imports`` and
``prepare`` are outside the timed part, ``work`` is the timed part.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

_KEYS = "['l_orderkey', 'l_linenumber']"
_ON = "t.l_orderkey = s.l_orderkey AND t.l_linenumber = s.l_linenumber"
_ANTI_JOIN = (
    "SELECT t.* FROM read_parquet('{d}/*.parquet') t ANTI JOIN read_parquet('{s}') s "
    "USING (l_orderkey, l_linenumber) UNION ALL FROM read_parquet('{s}')"
)
# The files stay as they are and get a transaction log beside them, so that a Delta tool meets the
# same layout as the others.
_TO_DELTA = "import deltalake; deltalake.convert_to_deltalake(D)"


@dataclasses.dataclass(frozen=True)
class Peer:
    """
    One tool's upsert. ``packages`` are installed into an environment of its own, on the newest
    Python found: fsspeckit and deltalite need 3.12. The first one names the tool's version.
    """

    imports: str
    work: str
    packages: tuple[str, ...] = ()
    prepare: str = ""


PEERS = {
    "floodwall 128 MiB": Peer(
        "import floodwall, pyarrow",
        f"floodwall.merge(S, D, 'upsert', {_KEYS}, max_memory='128MiB')",
    ),
    "floodwall 64 MiB": Peer(
        "import floodwall, pyarrow",
        f"floodwall.merge(S, D, 'upsert', {_KEYS}, max_memory='64MiB')",
    ),
    "duckdb COPY": Peer(
        "import duckdb",
        "duckdb.sql('SET preserve_insertion_order = false');"
        f"duckdb.sql(\"COPY ({_ANTI_JOIN}) TO '{{d}}.out' (FORMAT parquet, PER_THREAD_OUTPUT)\""
        ".format(d=D, s=S))",
    ),
    "polars": Peer(
        "import polars as pl",
        "t = pl.scan_parquet(D + '/*.parquet'); s = pl.scan_parquet(S);"
        f"pl.concat([t.join(s, on={_KEYS}, how='anti'), s]).sink_parquet(D + '.out.parquet')",
    ),
    "fsspeckit": Peer(
        "import pyarrow.parquet as pq\nfrom fsspeckit.datasets.pyarrow.io import PyarrowDatasetIO",
        f"PyarrowDatasetIO().merge(pq.read_table(S), D, 'upsert', {_KEYS},"
        " merge_max_memory_mb=8192)",
        ("fsspeckit[datasets]==0.29.0", "pyarrow"),
    ),
    "deltalite": Peer(
        "import deltalite, pyarrow.parquet as pq",
        f"deltalite.DeltaLiteTable.open(D).upsert(pq.read_table(S), primary_keys={_KEYS})",
        ("deltalite==0.1.15", "deltalake==1.6.6", "pyarrow"),
        _TO_DELTA,
    ),
    "deltalake MERGE": Peer(
        "import deltalake, pyarrow.parquet as pq",
        f"deltalake.DeltaTable(D).merge(pq.read_table(S), '{_ON}', 's', 't')"
        ".when_matched_update_all().when_not_matched_insert_all().execute()",
        ("deltalake==1.6.6", "pyarrow"),
        _TO_DELTA,
    ),
}


def newer_python(minimum: tuple[int, int] = (3, 12)) -> str | None:
    """Find a Python that peers can use: this one, or a ``python3.N`` of the PATH that starts."""
    if sys.version_info[:2] >= minimum:
        return sys.executable
    for minor in range(minimum[1], minimum[1] + 4):
        if found := shutil.which(f"python3.{minor}"):
            # A pyenv shim is on the PATH but starts only when the version is chosen.
            environment = os.environ | {"PYENV_VERSION": f"3.{minor}"}
            answer = subprocess.run(
                [found, "-c", "import sys; print(sys.executable)"],
                capture_output=True, text=True, env=environment,
            )  # fmt: skip
            if answer.returncode == 0:
                return answer.stdout.strip()
    return None


def python_for(peer: Peer, base: str | None, cache: Path) -> str:
    """Return the interpreter that runs a peer; make its environment at the first call."""
    if not peer.packages:
        return sys.executable
    if base is None:
        raise RuntimeError("needs Python 3.12 or newer: name one with --peer-python")
    name = "".join(c if c.isalnum() else "-" for c in peer.packages[0])
    venv = cache / f"venv-{name}"
    python = venv / "bin" / "python"
    if not (venv / "made").exists():
        subprocess.run([base, "-m", "venv", "--clear", venv], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *peer.packages], check=True)
        (venv / "made").touch()
    return str(python)


def version_of(peer: Peer, python: str) -> str:
    """Return the version of the tool in a peer's own environment, with that Python's."""
    name = peer.packages[0].split("[")[0].split("=")[0]
    code = (
        "import importlib.metadata, platform, sys;"
        f"print('{name}', importlib.metadata.version('{name}'), 'on', platform.python_version())"
    )
    return subprocess.run([python, "-c", code], capture_output=True, text=True).stdout.strip()


def result_of(peer: str, dataset: Path) -> Path:
    """Where the tool left its rows, as a directory of Parquet files."""
    out = Path(f"{dataset}.out")
    if peer == "polars":
        out.mkdir()
        Path(f"{dataset}.out.parquet").rename(out / "all.parquet")
    elif (log := dataset / "_delta_log").exists():
        out.mkdir()
        for path in _live_files(log):
            (out / path).hardlink_to(dataset / path)
    return out if out.exists() else dataset


def _live_files(log: Path) -> list[str]:
    """Files of a Delta table's newest version; two commits are too few for a checkpoint."""
    live: dict[str, None] = {}
    for commit in sorted(log.glob("*.json")):
        for line in commit.read_text().splitlines():
            action = json.loads(line)
            if "remove" in action:
                live.pop(action["remove"]["path"])
            if "add" in action:
                live[action["add"]["path"]] = None
    return list(live)
