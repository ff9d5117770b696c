"""``floodwall inspect``: how a dataset lies on disk, and what merging into it takes."""

from __future__ import annotations

import argparse
import json
import os

from floodwall import _core
from floodwall._core import format_bytes
from floodwall.cli.options import Commands, add_command, add_output

_COLUMN_FIELDS = (
    "path", "type", "codecs", "compressed_bytes", "uncompressed_bytes", "largest_page_bytes",
    "largest_dictionary_bytes", "files",
)  # fmt: skip
_FIELDS = (
    "files", "row_groups", "rows", "size_bytes", "largest_row_group_bytes",
    "largest_row_group_rows", "partition_columns", "minimum_merge_bytes",
)  # fmt: skip


def add_parser(commands: Commands) -> None:
    """Add the command to the ``floodwall`` parser."""
    parser = add_command(
        commands, "inspect", help="show a dataset's layout and the memory that merging takes",
        usage="inspect DATASET [options]",
        more="Completes or cleans away an interrupted merge first, as recover does.",
        examples="floodwall inspect sales/",
    )  # fmt: skip
    parser.add_argument("dataset", metavar="DATASET", help="dataset directory or Parquet file")
    add_output(parser, progress=False)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Inspect and print."""
    found = _core.inspect(os.fspath(args.dataset))
    if args.json:
        out = {name: getattr(found, name) for name in _FIELDS}
        out["recovered"] = found.recovery.action
        out["columns"] = [{n: getattr(c, n) for n in _COLUMN_FIELDS} for c in found.columns]
        print(json.dumps(out))
    else:
        print(describe(found))
    return 0


def _shown_type(parquet_type: str) -> str:
    """Return what the values are, without how they are stored where that says nothing more."""
    _physical, _, logical = parquet_type.partition(" ")
    return logical or parquet_type


def describe(found: _core.Inspection) -> str:
    """Return the inspection as lines for a person."""
    lines = [
        f"{found.files:,} files, {found.row_groups:,} row groups, {found.rows:,} rows, "
        f"{format_bytes(found.size_bytes)}",
        f"largest row group: {format_bytes(found.largest_row_group_bytes)}, at most "
        f"{found.largest_row_group_rows:,} rows",
        "partitioned by: " + (", ".join(found.partition_columns) or "nothing"),
        f"merging takes at least about {format_bytes(found.minimum_merge_bytes)} for a small "
        "source; merge --plan tells it for yours",
    ]
    if found.recovery.action != "none":
        lines.insert(0, f"an interrupted merge was {found.recovery.action.replace('_', ' ')}")
    rows = [("column", "type", "codec", "stored", "decoded", "page", "dictionary")]
    for column in found.columns:
        lack = "" if column.files == found.files else f" (in {column.files} files)"
        rows.append(
            (
                column.path + lack,
                _shown_type(column.type),
                ",".join(column.codecs),
                format_bytes(column.compressed_bytes),
                format_bytes(column.uncompressed_bytes),
                format_bytes(column.largest_page_bytes),
                format_bytes(column.largest_dictionary_bytes)
                if column.largest_dictionary_bytes
                else "-",
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines += [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join(lines)
