"""One HTML file that needs nothing else: pictures by Plotly with their numbers, in a page of ours.

It works offline, in light and dark, on a phone, on paper, and without seeing the pictures: each has its numbers below.
Names of users reach it as text; whoever builds a body escapes them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

CANDIDATE, CHAMPION, BOUND = "#2563eb", "#d97706", "#dc2626"
"""The colours that mean something, on every page the same."""

Trace = dict[str, Any]

_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"


@dataclass(frozen=True)
class Figure:
    """One picture.

    Attributes:
        name: Its id in the page.
        title: What it shows.
        says: How to read it, in a sentence.
        traces: Plotly's data.
        layout: Plotly's layout, without colours.
        table: The same numbers for those who do not see it: heading and rows.
    """

    name: str
    title: str
    says: str
    traces: list[Trace]
    layout: dict[str, Any]
    table: tuple[tuple[str, ...], list[tuple[str, ...]]]
    is_narrow: bool = False
    """Whether two of them stand side by side where there is room."""


def whole_page(title: str, body: str, figures: Sequence[Figure]) -> bytes:
    """A page as the bytes of its file; the same content gives the same bytes.

    Args:
        title: For the window; it is escaped here.
        body: HTML, with every `picture` in it.
        figures: The pictures that are drawn.
    """
    from plotly.offline import get_plotlyjs  # 5 MB, which the page carries

    page = (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{escape(title)}</title>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n{body}</main>\n"
        f"<script>{get_plotlyjs()}</script>\n<script>{_script(figures)}</script>\n</body>\n</html>\n"
    )
    return page.encode()


def picture(figure: Figure) -> str:
    """A picture's place in a page, with its heading and its numbers."""
    heading, rows = figure.table
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in heading)
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th>{"".join(f"<td class=n>{escape(cell)}</td>" for cell in cells)}</tr>'
        for name, *cells in rows
    )
    width = "half" if figure.is_narrow else "whole"
    return (
        f'<section class="{width}" aria-labelledby="h-{figure.name}">'
        f'<h2 id="h-{figure.name}">{escape(figure.title)}</h2><p>{escape(figure.says)}</p>'
        f'<div id="{figure.name}" class="picture" role="img" aria-label="{escape(figure.title)}" '
        f'style="height:{figure.layout["height"]}px"></div>'
        f'<details><summary>The numbers</summary><div class="wide"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div></details></section>\n"
    )


def line(x: Sequence[Any], y: Sequence[Any], name: str, color: str, dash: str, *, markers: bool = True) -> Trace:
    """A line with or without markers."""
    return {
        "type": "scatter",
        "mode": "lines+markers" if markers else "lines",
        "name": name,
        "x": list(x),
        "y": list(y),
        "line": {"color": color, "dash": dash, "width": 2},
        "marker": {"color": color, "size": 8},
    }


def layout_of(height: int, x: str, y: str, *, unit: bool = False) -> dict[str, Any]:
    """A layout without colours: axes with titles, a legend above; `unit` for axes from 0 to 1."""
    ends = {"range": [-0.02, 1.02]} if unit else {}
    return {
        "height": height,
        "margin": {"l": 56, "r": 16, "t": 8, "b": 48},
        "xaxis": {"title": {"text": x}, "automargin": True, **ends},
        "yaxis": {"title": {"text": y}, "automargin": True, **ends},
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "traceorder": "reversed"},
        "barmode": "group",
        "hovermode": "closest",
    }


def _script(figures: Sequence[Figure]) -> str:
    drawn = [{"id": figure.name, "data": figure.traces, "layout": figure.layout} for figure in figures]
    # A "</script>" in a name would end the script; JSON may spell every "<" otherwise.
    content = json.dumps(drawn, sort_keys=True, allow_nan=False).replace("<", "\\u003c")
    return _DRAW.replace("FIGURES", content)


_DRAW = """
const figures = FIGURES;
const dark = window.matchMedia("(prefers-color-scheme: dark)");
function coloured(layout) {
  const ink = dark.matches ? "#e5e7eb" : "#1f2937", grid = dark.matches ? "#374151" : "#e5e7eb";
  const axis = {gridcolor: grid, zerolinecolor: grid, linecolor: grid};
  return {...layout, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: {family: "system-ui, sans-serif", size: 13, color: ink},
    xaxis: {...layout.xaxis, ...axis}, yaxis: {...layout.yaxis, ...axis}};
}
function draw() {
  for (const f of figures) {
    Plotly.react(f.id, f.data, coloured(f.layout), {responsive: true, displaylogo: false, displayModeBar: false});
  }
}
draw();
dark.addEventListener("change", draw);
window.addEventListener("beforeprint", draw);
"""

_STYLE = """
:root { color-scheme: light dark; --ink: #1f2937; --soft: #6b7280; --page: #ffffff; --card: #f9fafb; --line: #e5e7eb;
  --pass: #15803d; --warn: #b45309; --fail: #b91c1c; }
@media (prefers-color-scheme: dark) { :root { --ink: #e5e7eb; --soft: #9ca3af; --page: #111827; --card: #1f2937;
  --line: #374151; --pass: #4ade80; --warn: #fbbf24; --fail: #f87171; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.9rem; margin: 0 0 1rem; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .5rem; }
h3 { font-size: 1rem; margin: 1.5rem 0 .25rem; color: var(--soft); font-weight: 600; }
p { margin: .25rem 0 .75rem; }
.over { color: var(--soft); margin: 0; text-transform: uppercase; letter-spacing: .08em; font-size: .8rem; }
.verdict { padding: .9rem 1.1rem; border-radius: .5rem; background: var(--card);
  border-left: .4rem solid var(--soft); }
.verdict strong { margin-right: .5rem; }
.verdict.pass { border-color: var(--pass); } .verdict.pass strong { color: var(--pass); }
.verdict.inconclusive { border-color: var(--warn); } .verdict.inconclusive strong { color: var(--warn); }
.verdict.fail, .verdict.error { border-color: var(--fail); }
.verdict.fail strong, .verdict.error strong { color: var(--fail); }
.pictures { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); column-gap: 2rem; }
.whole { grid-column: 1 / -1; min-width: 0; } .half { min-width: 0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: left; padding: .4rem .75rem .4rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
thead th { color: var(--soft); font-weight: 600; white-space: nowrap; }
tbody th { font-weight: 500; }
td.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
tr.why td { color: var(--soft); padding-top: 0; }
.status { font-weight: 600; font-size: .8rem; white-space: nowrap; color: var(--soft); }
.status.pass { color: var(--pass); } .status.inconclusive { color: var(--warn); }
.status.fail, .status.error { color: var(--fail); }
details summary { cursor: pointer; color: var(--soft); font-size: .9rem; }
dl { display: grid; grid-template-columns: 7rem 1fr; gap: .3rem 1rem; font-size: .9rem; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 56rem) { .pictures { grid-template-columns: minmax(0, 1fr); } }
@media (max-width: 40rem) { main { padding: 1.25rem 1rem 3rem; } h1 { font-size: 1.5rem; }
  dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: .5rem; } }
@media print { details { display: none; } section { break-inside: avoid; } body { font-size: 12px; } }
"""
