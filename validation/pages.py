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

from bentos.palette import BOUND, CANDIDATE, CHAMPION, IN_THE_DARK

__all__ = ["BOUND", "CANDIDATE", "CHAMPION", "Figure", "Trace", "layout_of", "line", "numbers", "picture", "whole_page"]

Trace = dict[str, Any]

_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; "
    "base-uri 'none'; form-action 'none'"
)


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
        is_narrow: Whether two of them stand side by side where there is room.
        about: The heading under which it stands, where a page has several.
    """

    name: str
    title: str
    says: str
    traces: list[Trace]
    layout: dict[str, Any]
    table: tuple[Sequence[str], Sequence[Sequence[str]]]
    is_narrow: bool = False
    about: str = ""


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
        f"<style>{_style()}</style>\n</head>\n<body>\n<main>\n{body}</main>\n"
        f"<script>{get_plotlyjs()}</script>\n<script>{_script(figures)}</script>\n</body>\n</html>\n"
    )
    return page.encode()


def picture(figure: Figure) -> str:
    """A picture's place in a page, with its heading and its numbers."""
    width = "half" if figure.is_narrow else "whole"
    level = "h3" if figure.about else "h2"
    title, says = f"h-{figure.name}", f"p-{figure.name}"
    return (
        f'<section class="{width}" aria-labelledby="{title}">'
        f'<{level} id="{title}">{escape(figure.title)}</{level}><p id="{says}">{escape(figure.says)}</p>'
        f'<div id="{figure.name}" class="picture" role="img" aria-labelledby="{title} {says}" '
        f'style="height:{figure.layout["height"]}px"></div>'
        f"<details><summary>The numbers</summary>{numbers(*figure.table)}</details></section>\n"
    )


def numbers(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of numbers, each row with its name first."""
    head = "".join(f'<th scope="col"{_IS_NUMBER if i else ""}>{escape(cell)}</th>' for i, cell in enumerate(heading))
    lines = []
    for name, *cells in rows:
        found = "".join(f"<td{_IS_NUMBER}>{escape(cell)}</td>" for cell in cells)
        lines.append(f'<tr><th scope="row">{escape(name)}</th>{found}</tr>')
    body = "".join(lines)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


_IS_NUMBER = ' class="n"'


def line(x: Sequence[Any], y: Sequence[Any], name: str, color: str, dash: str, *, markers: bool = True) -> Trace:
    """A line with or without markers."""
    return {
        "type": "scatter",
        "mode": "lines+markers" if markers else "lines",
        "name": name,
        "x": list(x),
        "y": list(y),
        "line": {"color": color, "dash": dash, "width": 2},
        # Told apart without colours too: on paper, and by those who do not see them.
        "marker": {
            "color": color,
            "size": 8,
            "symbol": "diamond-open" if color == CHAMPION else "circle",
            "line": {"width": 1.5, "color": color},
        },
    }


def layout_of(height: int, x: str, y: str, *, unit: bool = False, is_numeric: bool = False) -> dict[str, Any]:
    """A layout without colours: axes with titles, a legend above.

    Args:
        height: In pixels.
        x: The title of the axis below.
        y: The title of the axis beside.
        unit: Whether both axes go from 0 to 1, which is numeric.
        is_numeric: Whether they bear short numbers and times alone: then nobody needs to measure what stands beside
            them, for which Plotly takes as long as for all the rest.
    """
    ends, is_numeric = {"range": [-0.02, 1.02]} if unit else {}, is_numeric or unit
    return {
        "height": height,
        "margin": {"l": 68 if is_numeric else 56, "r": 16, "t": 8, "b": 52 if is_numeric else 48},
        "xaxis": {"title": {"text": x}, "automargin": not is_numeric, **ends},
        "yaxis": {"title": {"text": y}, "automargin": not is_numeric, **ends},
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "traceorder": "reversed"},
        "barmode": "group",
        "hovermode": "closest",
        "dragmode": False,  # a finger that moves over a picture moves the page
    }


def _script(figures: Sequence[Figure]) -> str:
    drawn = [{"id": figure.name, "data": figure.traces, "layout": figure.layout} for figure in figures]
    # A "</script>" in a name would end the script; JSON may spell every "<" otherwise.
    content = json.dumps(drawn, sort_keys=True, allow_nan=False).replace("<", "\\u003c")
    return _DRAW.replace("PALE", json.dumps(IN_THE_DARK)).replace("FIGURES", content)


def _style() -> str:
    names = {"candidate": CANDIDATE, "champion": CHAMPION, "bound": BOUND}
    light = " ".join(f"--{name}: {color};" for name, color in names.items())
    dark = " ".join(f"--{name}: {IN_THE_DARK[color]};" for name, color in names.items())
    return _STYLE.replace("/*light*/", light).replace("/*dark*/", dark)


_DRAW = """
const figures = FIGURES, pale = PALE;
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const inTheDark = (_, value) => typeof value === "string" && pale[value] || value;
function coloured(layout, isDark) {
  const [ink, grid, zero] = isDark ? ["#e5e7eb", "#374151", "#6b7280"] : ["#1f2937", "#e5e7eb", "#9ca3af"];
  const found = {...layout, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: {family: "system-ui, sans-serif", size: 13, color: ink}};
  for (const key of Object.keys(layout).filter(key => /^[xy]axis/.test(key))) {
    found[key] = {gridcolor: grid, zerolinecolor: zero, linecolor: grid, fixedrange: true, ...layout[key]};
  }
  return found;
}
// Where names of rows would take too much of the width, they stand above their rows instead of beside them.
function fitted(layout, width) {
  const names = layout.yaxis.ticktext || [], longest = Math.max(0, ...names.map(name => name.length));
  if (7 * longest < 0.4 * width) return layout;
  const above = names.map((text, y) => (
    {text, y, x: 0, xref: "paper", xanchor: "left", yshift: 20, showarrow: false}));
  const yaxis = {...layout.yaxis, showticklabels: false, range: [names.length - 0.6, -0.9]};
  const height = layout.height + 22 * names.length;
  return {...layout, height, margin: {...layout.margin, l: 8}, annotations: above, yaxis};
}
function draw(paper) {
  const isDark = dark.matches && !paper, options = {responsive: !paper, displaylogo: false, displayModeBar: false};
  for (const f of figures) {
    const place = document.getElementById(f.id), half = place.parentElement.classList.contains("half");
    const width = paper ? (half ? 320 : 660) : place.clientWidth;
    const layout = {...coloured(fitted(f.layout, width), isDark), width: paper ? width : undefined, autosize: !paper};
    // Plotly chooses a heatmap's ink as if its half-transparent colours were opaque.
    const inked = f.data.map(trace => trace.texttemplate ? {...trace, textfont: {color: layout.font.color}} : trace);
    const data = isDark ? JSON.parse(JSON.stringify(inked), inTheDark) : inked;
    place.style.height = layout.height + "px";
    Plotly.react(f.id, data, layout, options);
  }
}
let drawnFor = innerWidth;
draw(false);
dark.addEventListener("change", () => draw(false));
window.addEventListener("resize", () => { if (innerWidth !== drawnFor) { drawnFor = innerWidth; draw(false); } });
window.addEventListener("beforeprint", () => draw(true));
window.addEventListener("afterprint", () => draw(false));
"""

_STYLE = """
:root { color-scheme: light dark; --ink: #1f2937; --soft: #6b7280; --page: #ffffff; --card: #f9fafb; --line: #e5e7eb;
  --pass: #15803d; --warn: #b45309; --fail: #b91c1c; /*light*/ }
@media screen and (prefers-color-scheme: dark) { :root { --ink: #e5e7eb; --soft: #9ca3af; --page: #111827;
  --card: #1f2937; --line: #374151; --pass: #4ade80; --warn: #fbbf24; --fail: #f87171; /*dark*/ } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 64rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 1rem; overflow-wrap: anywhere; }
h2 { font-size: 1.3rem; margin: 3rem 0 .5rem; }
.pictures > h2 { grid-column: 1 / -1; border-top: 1px solid var(--line); padding-top: 2rem; margin-bottom: 0; }
h3 { font-size: 1rem; margin: 1.5rem 0 .25rem; font-weight: 600; overflow-wrap: anywhere; }
p { margin: .25rem 0 .75rem; }
section > p { color: var(--soft); font-size: .95rem; }
.over { color: var(--soft); margin: 0; text-transform: uppercase; letter-spacing: .08em; font-size: .8rem; }
.verdict { padding: .9rem 1.1rem; border-radius: .5rem; background: var(--card); border-left: .4rem solid var(--soft); }
.verdict strong { margin-right: .5rem; }
.verdict.pass { border-color: var(--pass); } .verdict.pass strong { color: var(--pass); }
.verdict.inconclusive { border-color: var(--warn); } .verdict.inconclusive strong { color: var(--warn); }
.verdict.fail, .verdict.error { border-color: var(--fail); }
.verdict.fail strong, .verdict.error strong { color: var(--fail); }
nav { display: flex; flex-wrap: wrap; gap: .25rem 1.1rem; font-size: .9rem; margin-top: 1rem; }
a { color: inherit; text-underline-offset: .2em; text-decoration-color: var(--soft); }
a:focus-visible, summary:focus-visible { outline: 2px solid var(--candidate); outline-offset: 2px; }
.pictures { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); column-gap: 2rem; }
.whole { grid-column: 1 / -1; min-width: 0; } .half { min-width: 0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: left; padding: .4rem 1.1rem .4rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th:last-child, td:last-child { padding-right: 0; }
thead th { color: var(--soft); font-weight: 600; white-space: nowrap; }
tbody th { font-weight: 500; overflow-wrap: anywhere; }
.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
table.checks { table-layout: fixed; }
.checks tr.explained > * { border-bottom: 0; padding-bottom: .15rem; }
.checks tr.why td { color: var(--soft); padding-top: 0; }
.checks td { overflow-wrap: anywhere; }
.strip { display: block; max-width: 100%; height: auto; }
.strip .allowed { fill: var(--pass); opacity: .09; }
.strip path { fill: none; stroke-width: 1.5; } .strip path.bound { stroke: var(--bound); stroke-width: 2; }
.strip path.candidate { stroke: var(--candidate); } .strip circle.candidate { fill: var(--candidate); }
.strip path.champion { stroke: var(--champion); }
.strip circle.champion { fill: var(--page); stroke: var(--champion); stroke-width: 1.5; }
.key { display: inline-block; width: .7rem; height: .7rem; border-radius: 50%; vertical-align: -.05rem; }
.key.candidate { background: var(--candidate); } .key.champion { border: 2px solid var(--champion); }
.key.bound { width: 2px; height: .9rem; margin: 0 .3rem; border-radius: 0; vertical-align: -.15rem;
  background: var(--bound); }
.status { font-weight: 600; font-size: .8rem; white-space: nowrap; color: var(--soft); }
.status.pass { color: var(--pass); } .status.inconclusive { color: var(--warn); }
.status.fail, .status.error { color: var(--fail); }
details { margin-top: .4rem; }
details summary { cursor: pointer; color: var(--soft); font-size: .9rem; width: fit-content; }
dl { display: grid; grid-template-columns: 7rem 1fr; gap: .3rem 1rem; font-size: .9rem; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 56rem) { .pictures { grid-template-columns: minmax(0, 1fr); } }
@media screen and (max-width: 60rem) {
  .checks, .checks tbody { display: block; } .checks colgroup, .checks thead { display: none; }
  .checks tr { display: flex; flex-wrap: wrap; align-items: baseline; gap: .15rem 1rem; padding: .6rem 0;
    border-bottom: 1px solid var(--line); }
  .checks th, .checks td { border: 0; padding: 0; text-align: left; } .checks td:empty { display: none; }
  .checks tr.explained { border-bottom: 0; padding-bottom: .15rem; } .checks tr.why { padding-top: 0; }
  .checks th[scope=row] { flex: 1 1 70%; } .checks td.drawn { flex-basis: 100%; }
  .checks td[data-is]::before { content: attr(data-is) " "; color: var(--soft); } }
@media (max-width: 40rem) { main { padding: 1.25rem 1rem 3rem; } h1 { font-size: 1.5rem; }
  dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: .5rem; } }
@media print { @page { margin: 15mm; } :root { font-size: 10px; } body { font-size: 1.1rem; } h2 { margin-top: 2rem; }
  main { padding: 0; max-width: none; } nav, details { display: none; } h2, h3 { break-after: avoid; }
  tr, section.whole, section.half { break-inside: avoid; } .wide { overflow: visible; }
  .pictures { display: block; } section.half { display: inline-block; width: 49%; vertical-align: top; } }
"""
