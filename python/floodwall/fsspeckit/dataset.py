"""What ``fsspeckit.datasets.pyarrow.dataset`` offers, on floodwall's core."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
import pyarrow.parquet as pq

import floodwall
from floodwall import _core
from floodwall.chunks import process_in_chunks
from floodwall.fsspeckit.memory import MemoryMonitor, MemoryPressureLevel

__all__ = [
    "MemoryMonitor",
    "MemoryPressureLevel",
    "PerformanceMonitor",
    "merge_update_pyarrow",
    "merge_upsert_pyarrow",
    "process_in_chunks",
]

_Progress = Callable[[int, int], None]


class PerformanceMonitor(floodwall.PerformanceMonitor):
    """``floodwall.PerformanceMonitor``, obeying ``psutil`` of the ``memory`` module."""

    _monitor_class: type[floodwall.MemoryMonitor] = MemoryMonitor


def align(source: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return the source in exactly these columns: missing ones null, others dropped, safe casts."""
    columns = [
        source.column(field.name).cast(field.type)
        if field.name in source.column_names
        else pa.nulls(source.num_rows, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _merge(
    existing: pa.Table | pads.Dataset,
    source: pa.Table,
    key_columns: list[str] | str,
    inserts: bool,
    writer: pq.ParquetWriter | None,
    chunks: Iterator[pa.Table],
) -> pa.Table | None:
    keys = [key_columns] if isinstance(key_columns, str) else list(key_columns)
    aligned = align(source, existing.schema)
    matcher = _core.KeyMatcher.make(aligned, existing.schema.empty_table(), keys)
    matched: list[pa.Array] = []
    kept: list[pa.Table] = []
    for chunk in chunks:
        found = matcher.find(chunk)
        if not inserts:
            matched.append(pc.unique(found.drop_null()))
        rows = chunk.filter(pc.is_null(found))
        if writer is None:
            kept.append(rows)
        elif rows.num_rows:
            writer.write_table(rows)
    if inserts:
        positions = matcher.winners()
    else:
        unique = pc.unique(pa.chunked_array(matched, pa.int64()))
        positions = unique.take(pc.array_sort_indices(unique))
    fresh = aligned.take(positions)
    if writer is None:
        return pa.concat_tables([*kept, fresh], promote_options="permissive")
    writer.write_table(fresh)
    return None


def _make_merge(name: str, inserts: bool, doc: str) -> Callable[..., pa.Table | None]:
    def merge(
        existing: pa.Table | pads.Dataset,
        source: pa.Table,
        key_columns: list[str],
        chunk_size: int = 100_000,
        max_memory_mb: int = 1024,
        memory_monitor: floodwall.MemoryMonitor | None = None,
        writer: pq.ParquetWriter | None = None,
        progress_callback: _Progress | None = None,
    ) -> pa.Table | None:
        chunks = process_in_chunks(
            existing, chunk_size, max_memory_mb,
            progress_callback=progress_callback, memory_monitor=memory_monitor,
        )  # fmt: skip
        return _merge(existing, source, key_columns, inserts, writer, chunks)

    merge.__name__ = merge.__qualname__ = name
    merge.__doc__ = doc
    return merge


merge_upsert_pyarrow = _make_merge(
    "merge_upsert_pyarrow",
    True,
    """
    Return the existing rows whose key is not in the source, then the source's rows.

    Of source rows with one key the last counts. The result has the schema of ``existing``:
    columns that the source lacks become null, its others are dropped. With a ``writer`` rows are
    written as they come and ``None`` is returned; without one the result is held in memory.

    Raises ``MemoryError`` when the monitor (by default one of ``max_memory_mb``) calls an
    emergency, ``SchemaMismatchError`` for keys that cannot be compared.
    """,
)

merge_update_pyarrow = _make_merge(
    "merge_update_pyarrow",
    False,
    """
    Return the existing rows whose key is not in the source, then the source rows that matched.

    Otherwise as ``merge_upsert_pyarrow``.
    """,
)
