"""
Bars beside a table: ``<!-- bars: CPU s; anonymous MiB -->`` after it draws these columns.

The first column names the bars. A cell that is no number leaves its bar out and stands there as
text, with the outcome when there is none: a peer that was killed shows as such.
"""

from __future__ import annotations

import io
import re

import matplotlib
from docutils import nodes
from matplotlib.figure import Figure
from sphinx.application import Sphinx

_MARK = re.compile(r"<!-- bars: (.+) -->")
_OURS, _PEERS = "#2a6f97", "#b8b8b8"


def draw(labels: list[str], columns: dict[str, list[str]], outcomes: list[str]) -> str:
    """Return the bars of each column as SVG."""
    rows = range(len(labels))
    with matplotlib.rc_context({"svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(7.6, 0.5 + 0.28 * len(labels)), layout="constrained")
        axes = figure.subplots(1, len(columns), squeeze=False, sharey=True)[0]
        for axis, (name, cells) in zip(axes, columns.items(), strict=True):
            numbers = [_number(cell) for cell in cells]
            colors = [_OURS if "floodwall" in label else _PEERS for label in labels]
            axis.barh(rows, [number or 0 for number in numbers], color=colors, height=0.7)
            for row, (cell, number) in enumerate(zip(cells, numbers, strict=True)):
                text = cell if number is not None else cell or outcomes[row]
                axis.annotate(
                    text, (number or 0, row), xytext=(3, 0), textcoords="offset points",
                    va="center", fontsize=8,
                )  # fmt: skip
            axis.set_title(name, fontsize=9)
            axis.set_yticks(rows, labels)
            axis.margins(x=0.35)
            axis.set_xticks([])
            axis.spines[["top", "right", "bottom"]].set_visible(False)
        axes[0].invert_yaxis()
        out = io.StringIO()
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    return out.getvalue()[out.getvalue().index("<svg") :]


def _number(cell: str) -> float | None:
    try:
        return float(cell.replace(",", ""))
    except ValueError:
        return None


def _cells(table: nodes.table) -> list[list[str]]:
    return [
        [cell.astext() for cell in row.findall(nodes.entry)] for row in table.findall(nodes.row)
    ]


def add_bars(_app: Sphinx, document: nodes.document) -> None:
    """Replace each mark by the bars of the table before it."""
    for mark in list(document.findall(nodes.raw)):
        wanted = _MARK.match(mark.astext())
        if wanted is None:
            continue
        tables = [node for node in mark.parent if isinstance(node, nodes.table)]
        table = [t for t in tables if mark.parent.index(t) < mark.parent.index(mark)][-1]
        head, *rows = _cells(table)
        columns = {name: [row[head.index(name)] for row in rows] for name in wanted[1].split("; ")}
        outcome = head.index("outcome") if "outcome" in head else 0
        svg = draw([row[0] for row in rows], columns, [row[outcome] for row in rows])
        mark.replace_self(
            nodes.raw("", f'<figure aria-hidden="true">{svg}</figure>', format="html")
        )


def setup(app: Sphinx) -> dict[str, bool]:
    """Draw after each page has been read."""
    app.connect("doctree-read", add_bars)
    return {"parallel_read_safe": True}
