"""The HTML page of a plot: one file with the picture, the figures under the pointer, the story."""

from __future__ import annotations

import html
import json
from typing import Any

from floodwall.explanation import explain

__all__ = ["make_page"]

_FIELDS = (
    ("anonymous", "rss_anon_bytes"),
    ("resident", "rss_bytes"),
    ("Arrow", "arrow_bytes"),
    ("available", "available_bytes"),
)

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ margin: 0; padding: 1.5rem; background: #f4f5f7; color: #1f2430;
  font: 15px/1.5 system-ui, sans-serif; }}
main {{ max-width: 1000px; margin: 0 auto; }}
#plot {{ position: relative; background: white; border-radius: 6px;
  box-shadow: 0 1px 3px #0002; overflow: hidden; }}
#plot svg {{ display: block; width: 100%; height: auto; }}
#cursor {{ position: absolute; width: 1px; background: #1f2430; pointer-events: none; }}
#figures {{ position: absolute; background: #1f2430ee; color: white; border-radius: 4px;
  padding: .3rem .6rem; font-size: 13px; pointer-events: none; white-space: nowrap; }}
#figures td {{ padding: 0 .4rem 0 0; }}
#figures td + td {{ text-align: right; padding: 0; font-variant-numeric: tabular-nums; }}
pre {{ background: white; border-radius: 6px; box-shadow: 0 1px 3px #0002; padding: 1rem;
  white-space: pre-wrap; font-size: 13px; }}
[hidden] {{ display: none; }}
</style>
</head>
<body>
<main>
<div id="plot">
{svg}
<div id="cursor" hidden></div>
<div id="figures" hidden></div>
</div>
<pre>{story}</pre>
</main>
<script id="data" type="application/json">{data}</script>
<script>
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const plot = document.getElementById("plot"), frame = data.frame;
const cursor = document.getElementById("cursor"), figures = document.getElementById("figures");
function size(bytes) {{
  if (bytes === null) return "unknown";
  let unit = 0;
  while (bytes >= 1024 && unit < 4) {{ bytes /= 1024; ++unit; }}
  return bytes.toFixed(unit ? 1 : 0) + " " + ["B", "KiB", "MiB", "GiB", "TiB"][unit];
}}
function nearest(seconds) {{
  let low = 0, high = data.seconds.length - 1;
  while (low < high) {{
    const middle = (low + high) >> 1;
    if (data.seconds[middle] < seconds) low = middle + 1; else high = middle;
  }}
  const before = Math.max(0, low - 1);
  return seconds - data.seconds[before] < data.seconds[low] - seconds ? before : low;
}}
function show(event) {{
  const box = plot.getBoundingClientRect();
  const share = (event.clientX - box.left) / box.width;
  const width = frame.right - frame.left;
  const at = nearest(frame.first + (share - frame.left) / width * (frame.last - frame.first));
  const x = frame.left + width * (data.seconds[at] - frame.first) / (frame.last - frame.first);
  cursor.style.left = figures.style.left = 100 * x + "%";
  cursor.style.top = 100 * frame.top + "%";
  cursor.style.height = 100 * (frame.bottom - frame.top) + "%";
  figures.style.top = 100 * frame.top + "%";
  figures.style.transform = x > 0.5 ? "translateX(calc(-100% - 8px))" : "translateX(8px)";
  const table = document.createElement("table");
  const rows = [["after", data.seconds[at].toFixed(2) + " s"], ["level", data.levels[at]]];
  for (const [name, values] of data.figures) rows.push([name, size(values[at])]);
  for (const row of rows) {{
    const line = table.insertRow();
    for (const text of row) line.insertCell().textContent = text;
  }}
  figures.replaceChildren(table);
  cursor.hidden = figures.hidden = false;
}}
plot.addEventListener("pointermove", show);
plot.addEventListener("pointerleave", () => {{ cursor.hidden = figures.hidden = true; }});
</script>
</body>
</html>
"""


def make_page(
    recording: dict[str, Any], seconds: list[float], svg: str, frame: dict[str, float]
) -> str:
    """Return the page; ``frame`` says where in the picture the time axis lies."""
    records = recording["records"]
    data = {
        "frame": frame,
        "seconds": [round(second, 4) for second in seconds],
        "levels": [record["level"] for record in records],
        "figures": [[name, [record[field] for record in records]] for name, field in _FIELDS],
    }
    return _PAGE.format(
        title=html.escape(recording["command_line"] or "recording"),
        # From the root element on: a page has no declaration of XML.
        svg=svg[svg.index("<svg") :],
        story=html.escape(explain(recording)),
        # "</script>" inside a text would end the element.
        data=json.dumps(data).replace("<", "\\u003c"),
    )
