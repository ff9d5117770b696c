"""Which datasets the native reader reads as their scanner would: Parquet files on local disks."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.dataset as pa_ds
import pyarrow.fs

from floodwall import _core

__all__ = ["parquet_files"]


def parquet_files(dataset: pa_ds.Dataset) -> list[_core.ChunkFile] | None:
    """Return the files of a dataset with their partition values, None when it needs a scanner."""
    if not _is_plain(dataset):
        return None
    names = dataset.schema.names
    if len(set(names)) != len(names):
        return None
    files = []
    for fragment in dataset.get_fragments():
        if fragment.buffer is not None or not _reads_plainly(fragment.format):
            return None
        files.append(
            _core.ChunkFile.make(
                fragment.path, _row_groups(fragment), _constants(dataset, fragment)
            )
        )
    return files


def _is_plain(dataset: pa_ds.Dataset) -> bool:
    return (
        isinstance(dataset, pa_ds.FileSystemDataset)
        and isinstance(dataset.filesystem, pyarrow.fs.LocalFileSystem)
        and not dataset._scan_options  # a filter
    )


def _reads_plainly(file_format: Any) -> bool:
    """Whether no option changes what is read: dictionary columns, other types, keys to decrypt."""
    if not isinstance(file_format, pa_ds.ParquetFileFormat):
        return False
    options = file_format.default_fragment_scan_options
    return (
        file_format.read_options == pa_ds.ParquetReadOptions()
        and options.parquet_decryption_config is None
        and options.decryption_properties is None
        and not options.arrow_extensions_enabled
        and not options.page_checksum_verification
    )


def _row_groups(fragment: pa_ds.ParquetFileFragment) -> list[int] | None:
    # How a fragment pickles says which row groups it views without reading the footer for it.
    groups = fragment.__reduce__()[1][3]
    return None if groups is None else list(groups)


def _constants(
    dataset: pa_ds.Dataset, fragment: pa_ds.ParquetFileFragment
) -> pa.RecordBatch | None:
    keys = pa_ds.get_partition_keys(fragment.partition_expression)
    fields = [field for field in dataset.schema if field.name in keys]
    if not fields:
        return None
    arrays = [pa.array([keys[field.name]], field.type) for field in fields]
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))
