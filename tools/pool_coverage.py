"""
Write docs/pool-coverage.md: what each pyarrow call does under floodwall.limit(), measured.

Each call runs in children of its own: once without a limit, counting what the block was charged
against what Arrow allocated in all, then under several limits below what it was charged. A call
is "denied cleanly" when every child that was refused ended with MemoryLimitExceeded, "bypasses the
pool" when less than a tenth of what Arrow allocated was charged, "crashes upstream" when a child
died of a signal.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

PREPARE = """
import json, sys, pathlib
import numpy as np, pyarrow as pa, pyarrow.compute as pc, pyarrow.parquet as pq
import pyarrow.dataset as ds, pyarrow.csv as csv, pyarrow.json as pj, pyarrow.feather as feather
import floodwall
D = sys.argv[1]
random = np.random.default_rng(1)
N = 300_000
table = pa.table({
    "a": random.integers(0, 1 << 40, N), "b": random.random(N),
    "k": random.integers(0, 1000, N), "t": pa.array([f"text {i % 5000}" for i in range(N)]),
})
"""
WRITE = """
pq.write_table(table, D + "/a.parquet", row_group_size=100_000)
csv.write_csv(table.slice(0, 100_000), D + "/a.csv")
with pa.OSFile(D + "/a.arrow", "wb") as f, pa.ipc.new_file(f, table.schema) as w: w.write(table)
feather.write_feather(table, D + "/a.lz4.arrow", compression="lz4")
pathlib.Path(D + "/a.json").write_text("\\n".join(
    json.dumps({"a": i, "t": f"text {i}"}) for i in range(60_000)))
"""
CALLS = {
    "pa.array(list)": "pa.array(list(range(N)))",
    "pa.concat_arrays": "pa.concat_arrays([table['a'].chunk(0)] * 3)",
    "pa.allocate_buffer": "pa.allocate_buffer(4 << 20)",
    "pa.BufferOutputStream": "pa.BufferOutputStream().write(b'x' * (4 << 20))",
    "pa.compress": "pa.compress(table['a'].chunk(0).buffers()[1], 'lz4')",
    "pa.Table.from_pandas / numpy copy": "pa.array(np.arange(2 * N)[::2])",
    "Table.take": "table.take(pa.array(np.arange(N)[::-1]))",
    "Table.filter": "table.filter(pc.greater(table['b'], 0.5))",
    "Table.sort_by": "table.sort_by('a')",
    "Table.combine_chunks": "pa.concat_tables([table] * 3).combine_chunks()",
    "Table.join": "table.join(table.group_by('k').aggregate([('b', 'sum')]), 'k')",
    "Table.group_by().aggregate": "table.group_by('a').aggregate([('b', 'sum')])",
    "pc.add": "pc.add(table['a'], 1)",
    "pc.cast to string": "pc.cast(table['a'], pa.string())",
    "pc.utf8_upper": "pc.utf8_upper(table['t'])",
    "pc.sort_indices": "pc.sort_indices(table['a'])",
    "pc.unique": "pc.unique(table['a'])",
    "pc.dictionary_encode": "pc.dictionary_encode(table['t'])",
    "pq.read_table(file)": "pq.read_table(D + '/a.parquet')",
    "pq.read_table(memory_map=True)": "pq.read_table(D + '/a.parquet', memory_map=True)",
    "ParquetFile.read": "pq.ParquetFile(D + '/a.parquet').read()",
    "ParquetFile.iter_batches": "list(pq.ParquetFile(D + '/a.parquet').iter_batches())",
    "pq.write_table(path)": "pq.write_table(table, D + '/w.parquet')",
    "pq.write_table(BufferOutputStream)": "pq.write_table(table, pa.BufferOutputStream())",
    "dataset.to_table": "ds.dataset(D + '/a.parquet').to_table()",
    "dataset.to_batches": "list(ds.dataset(D + '/a.parquet').to_batches())",
    "dataset.to_table(filter)": "ds.dataset(D + '/a.parquet').to_table(filter=ds.field('b') > 0.5)",
    "dataset.write_dataset": (
        "ds.write_dataset(table, D + '/out', format='parquet', "
        "existing_data_behavior='overwrite_or_ignore')"
    ),
    "dataset(csv).to_table": "ds.dataset(D + '/a.csv', format='csv').to_table()",
    "csv.read_csv": "csv.read_csv(D + '/a.csv')",
    "csv.open_csv": "csv.open_csv(D + '/a.csv').read_all()",
    "csv.write_csv": "csv.write_csv(table, D + '/w.csv')",
    "json.read_json": "pj.read_json(D + '/a.json')",
    "ipc.open_file.read_all": "pa.ipc.open_file(D + '/a.arrow').read_all()",
    "ipc.open_file(memory_map)": "pa.ipc.open_file(pa.memory_map(D + '/a.arrow')).read_all()",
    "feather.read_table(lz4)": "feather.read_table(D + '/a.lz4.arrow', memory_map=False)",
    "feather.write_feather(lz4)": "feather.write_feather(table, D + '/w.arrow', compression='lz4')",
    "Table.to_pydict": "table.slice(0, 1000).to_pydict()",
}
MEASURE = """
base = floodwall.GuardedPool(None)
pa.set_memory_pool(base.arrow_pool)  # sees what the block hands on
arrow = pa.mimalloc_memory_pool()  # sees all
before = arrow.total_bytes_allocated()
with floodwall.limit("1TiB") as job: result = {call}
print(job.peak_bytes, base._native.total_bytes_allocated, arrow.total_bytes_allocated() - before)
"""
LIMITED = """
try:
    with floodwall.limit(int(sys.argv[2])) as job: result = {call}
    print("finished")
except floodwall.MemoryLimitExceeded:
    print("served, refused at the end" if job.denied_count == 0 else "denied")
"""
SHARES = (0.02, 0.1, 0.25, 0.4, 0.55, 0.7, 0.85, 0.97)


def _run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PREPARE + code, *arguments],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def measure(name: str, directory: str) -> str:
    """Return the table row of one call."""
    call = CALLS[name]
    free = _run(MEASURE.format(call=call), directory)
    if free.returncode:
        raise RuntimeError(f"{name}: {free.stderr[-500:]}")
    peak, charged, total = (int(word) for word in free.stdout.split())
    share = min(1.0, charged / total) if total else 0.0
    outcomes: dict[str, int] = {}
    for part in SHARES if peak > 4096 else ():
        child = _run(LIMITED.format(call=call), directory, str(max(1, int(peak * part))))
        if child.returncode < 0:
            outcome = f"signal {-child.returncode}"
        elif child.returncode > 0:
            outcome = child.stderr.strip().splitlines()[-1].split(":")[0]
        else:
            outcome = child.stdout.strip()
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
    if any(outcome.startswith("signal") for outcome in outcomes):
        verdict = "**crashes upstream**"
    elif total == 0 or (peak <= 4096 and total < 1 << 16):
        verdict = "allocates nothing to speak of"
    elif share < 0.1:
        verdict = "**bypasses the pool**"
    elif any("served" in outcome for outcome in outcomes):
        verdict = "cannot be denied; served, and refused at the end of the block"
    elif set(outcomes) <= {"denied", "finished"}:
        verdict = "denied cleanly"
    else:
        verdict = "another error"
    if 0.1 <= share < 0.95:
        verdict += ", in part bypasses"
    seen = ", ".join(f"{count} {what}" for what, count in sorted(outcomes.items()))
    return f"| `{name}` | {verdict} | {share:.0%} | {peak / (1 << 20):.2f} | {seen} |"


def main() -> int:
    """Measure every call and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    page = Path(__file__).resolve().parents[1] / "docs" / "pool-coverage.md"
    parser.add_argument("--output", type=Path, default=page)
    parser.add_argument("--calls", nargs="*", choices=list(CALLS), default=list(CALLS))
    args = parser.parse_args()
    import pyarrow as pa

    rows = []
    with tempfile.TemporaryDirectory() as directory:
        written = _run(WRITE, directory)
        if written.returncode:
            raise RuntimeError(written.stderr[-500:])
        for name in args.calls:
            rows.append(measure(name, directory))
            print(rows[-1], flush=True)
    head = f"""# What a limit covers

`floodwall.limit()` guards pyarrow's default pool and, on Linux, Arrow's own, from which joins,
aggregations and writers allocate whatever pyarrow's is. Not every call survives a refusal.
Measured with pyarrow {pa.__version__} by `tools/pool_coverage.py`, each cell in a process of its
own; {len(SHARES)} limits between 2 % and 97 % of what the call takes without one. "Charged" is
the share of the bytes Arrow allocated that came from the pool; "peak" is the most a block was
charged, in MiB, with 64 bytes added to each buffer.

`limit()` holds code of the libraries that are loaded when the block is entered; `floodwall run
--limit` holds all of Arrow's allocations of a process from its first instruction.

| call | under a limit | charged | peak MiB | {len(SHARES)} limits |
|---|---|---|---|---|
"""
    args.output.write_text(head + "\n".join(rows) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
