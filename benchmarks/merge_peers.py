"""
What benchmarks/merge.py compares: each tool's way to do each kind of merge, and where it runs.

Every script knows D (the dataset's directory), S (the source file), O (an empty directory beside
the dataset), K (the key columns), ON (their equality, of ``t`` and ``s``) and MB (the budget in
MiB). ``imports`` and ``prepare`` are outside the timed part. The result is O where that has files,
D otherwise; ``export`` makes Parquet files of it afterwards.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path

# The files stay as they are and get a transaction log beside them, so that a Delta tool meets the
# same layout as the others.
_TO_DELTA = "import deltalake; deltalake.convert_to_deltalake(D)"
_FROM_DELTA = """
import deltalake, os
for name in deltalake.DeltaTable(D).file_uris(): os.link(name, O + '/' + os.path.basename(name))
"""
_READ = "pq.read_table(S)"


@dataclasses.dataclass(frozen=True)
class Peer:
    """
    One tool: ``work`` by strategy; "columns" updates some columns, the others keep their values.

    ``packages`` are installed into an environment of its own, on the newest Python found:
    fsspeckit and deltalite need 3.12. The first one names the tool's version. ``budgets`` says
    whether the tool is told how much memory it may take.
    """

    imports: str
    work: dict[str, str]
    packages: tuple[str, ...] = ()
    prepare: str = ""
    export: str = ""
    budgets: bool = False


def _floodwall(strategy: str) -> str:
    return f"R = floodwall.merge(S, D, '{strategy}', K, max_memory=f'{{MB}}MiB').to_dict()"


_DUCKDB_COPY = """
duckdb.sql('SET preserve_insertion_order = false')
duckdb.sql(f"SET memory_limit = '{{MB}}MiB'")
T, U = f"read_parquet('{{D}}/*.parquet')", ', '.join(K)
duckdb.sql(f"COPY ({}) TO '{}' (FORMAT parquet, PER_THREAD_OUTPUT)")
"""
_DUCKDB_MERGE = """
db = duckdb.connect(D + '/t.duckdb'); db.sql(f"SET memory_limit = '{{MB}}MiB'")
db.sql(f"MERGE INTO t USING (FROM '{{S}}') s ON {{ON}} {}")
db.close()
"""
_UPDATE, _INSERT = "WHEN MATCHED THEN UPDATE", "WHEN NOT MATCHED THEN INSERT"
_POLARS = """
t = pl.scan_parquet(D + '/*.parquet'); s = pl.scan_parquet(S)
({}).sink_parquet({} + '/all.parquet')
"""
_ANTI = "t.join(s, on=K, how='anti')"
_KEPT = "SELECT t.* FROM {T} t ANTI JOIN '{S}' s USING ({U})"
_DELTA_MERGE = f"deltalake.DeltaTable(D).merge({_READ}, ON, 's', 't'){{}}.execute()"
_DELTA_COLUMNS = ".when_matched_update({'c10': 's.c10', 'c11': 's.c11'})"
_FSSPECKIT = f"PyarrowDatasetIO().merge({_READ}, D, '{{}}', K, merge_max_memory_mb=8192)"
_LANCE = "lance.dataset(D + '/t.lance').merge_insert(K){}.execute(pq.ParquetFile(S).read())"
_MATCHED, _NEW = ".when_matched_update_all()", ".when_not_matched_insert_all()"
_ABSENT = ".when_not_matched_by_source_delete()"
_DELTALITE = f"deltalite.DeltaLiteTable.open(D).upsert({_READ}, primary_keys=K)"

PEERS = {
    # What the least merge imaginable takes: the old bytes once more, and a look at each key.
    "raw copy + key scan": Peer(
        "import os, pathlib, pyarrow.parquet as pq",
        dict.fromkeys(
            ("upsert", "update", "insert", "delete", "full_merge", "columns"),
            """
for f in sorted(pathlib.Path(D).glob('*.parquet')):
    with open(f, 'rb') as a, open(O + '/' + f.name, 'wb') as b:
        while os.copy_file_range(a.fileno(), b.fileno(), 1 << 30): pass
        os.fsync(b.fileno())
    file = pq.ParquetFile(f)
    for g in range(file.num_row_groups): file.read_row_group(g, K, use_threads=False)
""",
        ),
    ),
    "floodwall": Peer(
        "import floodwall, pyarrow",
        {
            **{s: _floodwall(s) for s in ("upsert", "update", "insert", "delete", "full_merge")},
            "columns": _floodwall("update"),
        },
        budgets=True,
    ),
    "duckdb COPY": Peer(
        "import duckdb",
        {
            "upsert": _DUCKDB_COPY.format(f"{_KEPT} UNION ALL FROM '{{S}}'", "{O}/out"),
            "update": _DUCKDB_COPY.format(
                f"{_KEPT} UNION ALL SELECT s.* FROM '{{S}}' s SEMI JOIN {{T}} t USING ({{U}})",
                "{O}/out",
            ),
            "insert": _DUCKDB_COPY.format(
                "SELECT s.* FROM '{S}' s ANTI JOIN {T} t USING ({U})", "{D}/new"
            ),
            "delete": _DUCKDB_COPY.format(_KEPT, "{O}/out"),
            "full_merge": _DUCKDB_COPY.format("FROM '{S}'", "{O}/out"),
            "columns": _DUCKDB_COPY.format(
                "SELECT t.* REPLACE (coalesce(s.c10, t.c10) AS c10, coalesce(s.c11, t.c11) AS c11)"
                " FROM {T} t LEFT JOIN '{S}' s USING ({U})",
                "{O}/out",
            ),
        },
        budgets=True,
    ),
    "duckdb MERGE, a database file": Peer(
        "import duckdb",
        {
            "upsert": _DUCKDB_MERGE.format(f"{_UPDATE} {_INSERT}"),
            "update": _DUCKDB_MERGE.format(_UPDATE),
            "insert": _DUCKDB_MERGE.format(_INSERT),
            "delete": _DUCKDB_MERGE.format("WHEN MATCHED THEN DELETE"),
            "full_merge": _DUCKDB_MERGE.format(
                f"{_UPDATE} {_INSERT} WHEN NOT MATCHED BY SOURCE THEN DELETE"
            ),
            "columns": _DUCKDB_MERGE.format(f"{_UPDATE} SET c10 = s.c10, c11 = s.c11"),
        },
        prepare="""
import duckdb, glob, os
with duckdb.connect(D + '/t.duckdb') as db:
    db.sql(f"CREATE TABLE t AS FROM '{D}/*.parquet'")
for name in glob.glob(D + '/*.parquet'): os.unlink(name)
""",
        export="""
import duckdb
duckdb.connect(D + '/t.duckdb').sql(f"COPY t TO '{O}/all.parquet'")
""",
        budgets=True,
    ),
    "polars": Peer(
        "import polars as pl",
        {
            "upsert": _POLARS.format(f"pl.concat([{_ANTI}, s])", "O"),
            "update": _POLARS.format(
                f"pl.concat([{_ANTI}, s.join(t.select(K), on=K, how='semi')])", "O"
            ),
            "insert": _POLARS.format("s.join(t.select(K), on=K, how='anti')", "D"),
            "delete": _POLARS.format(_ANTI, "O"),
            "full_merge": _POLARS.format("s", "O"),
            "columns": _POLARS.format(
                "t.join(s, on=K, how='left').with_columns("
                "pl.coalesce('c10_right', 'c10').alias('c10'), "
                "pl.coalesce('c11_right', 'c11').alias('c11')).drop('c10_right', 'c11_right')",
                "O",
            ),
        },
    ),
    "fsspeckit": Peer(
        "import pyarrow.parquet as pq\nfrom fsspeckit.datasets.pyarrow.io import PyarrowDatasetIO",
        {s: _FSSPECKIT.format(s) for s in ("upsert", "update", "insert")},
        ("fsspeckit[datasets]==0.29.0", "pyarrow"),
    ),
    "deltalite": Peer(
        "import deltalite, pyarrow.parquet as pq",
        # Its upsert is an update where every key matches, and an insert where none does.
        dict.fromkeys(("upsert", "update", "insert"), _DELTALITE),
        ("deltalite==0.1.15", "deltalake==1.6.6", "pyarrow"),
        _TO_DELTA,
        _FROM_DELTA,
    ),
    "deltalake MERGE": Peer(
        "import deltalake, pyarrow.parquet as pq",
        {
            "upsert": _DELTA_MERGE.format(_MATCHED + _NEW),
            "update": _DELTA_MERGE.format(_MATCHED),
            "insert": _DELTA_MERGE.format(_NEW),
            "delete": _DELTA_MERGE.format(".when_matched_delete()"),
            "full_merge": _DELTA_MERGE.format(_MATCHED + _NEW + _ABSENT),
            "columns": _DELTA_MERGE.format(_DELTA_COLUMNS),
        },
        ("deltalake==1.6.6", "pyarrow"),
        _TO_DELTA,
        _FROM_DELTA,
    ),
    "pylance": Peer(
        "import lance, pyarrow.parquet as pq",
        {
            "upsert": _LANCE.format(_MATCHED + _NEW),
            "update": _LANCE.format(_MATCHED),
            "insert": _LANCE.format(_NEW),
            "delete": _LANCE.format(".when_matched_delete()"),
            "full_merge": _LANCE.format(_MATCHED + _NEW + _ABSENT),
            "columns": _LANCE.format(_MATCHED),
        },
        ("pylance==14.0.2", "pyarrow"),
        prepare="""
import glob, lance, os, pyarrow.dataset as ds
lance.write_dataset(ds.dataset(sorted(glob.glob(D + '/*.parquet'))), D + '/t.lance')
for name in glob.glob(D + '/*.parquet'): os.unlink(name)
""",
        export="""
import lance, pyarrow.parquet as pq
table = lance.dataset(D + '/t.lance')
with pq.ParquetWriter(O + '/all.parquet', table.schema) as writer:
    for batch in table.to_batches(): writer.write_batch(batch)
""",
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
