"""The picture that most of a report is made of: a row a number, a dot with its interval, bounds as strokes.

The candidate stands above the champion in every row, and the first row on top.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from validation.gate.report import CheckResult, Part
from validation.gate.wording import interval, number
from validation.pages import BOUND, CANDIDATE, CHAMPION, Figure, Trace, layout_of, line

HEADING = ("", "candidate", "interval", "champion", "its interval", "rows")
COLORS = {"candidate": CANDIDATE, "champion": CHAMPION}

_ROW_PIXELS = 30
_LONGEST = 44


def forest(
    name: str,
    title: str,
    says: str,
    parts: Sequence[Part],
    *,
    bounds: Sequence[float | None] = (),
    most: int = 1000,
    from_zero: bool = False,
    is_narrow: bool = False,
    about: str = "",
    unit: str = "",
) -> Figure:
    """Draw parts as a forest plot.

    Args:
        name: The picture's id.
        title: What it shows.
        says: How to read it, in a sentence.
        parts: The rows, the first on top; the table below has all of them.
        bounds: What each row's number is held against.
        most: Rows that are drawn.
        from_zero: Whether 0 means something, and must be seen.
        is_narrow: Whether it takes half of the page's width.
        about: The heading under which it stands.
        unit: What the axis measures.
    """
    drawn = [part for part in parts if part.value is not None][:most]
    is_pair = any(part.champion is not None for part in drawn)
    traces = [
        _trace(drawn, role, offset if is_pair else 0.0) for role, offset in (("champion", 0.16), ("candidate", -0.16))
    ]
    strokes = [(i, bound) for i, bound in enumerate(bounds[: len(drawn)]) if bound is not None]
    layout = layout_of((96 if unit else 76) + _ROW_PIXELS * len(drawn), unit, "")
    layout["margin"]["b"] = 48 if unit else 28
    ticks = {"tickvals": list(range(len(drawn))), "ticktext": [_label(part) for part in drawn]}
    ends = {"range": [len(drawn) - 0.5, -0.5], "automargin": True, "showgrid": False, "zeroline": False}
    layout["yaxis"] |= ticks | ends
    layout["xaxis"] |= {"rangemode": "tozero" if from_zero else "normal", "zeroline": from_zero}
    return Figure(
        name=name,
        title=title,
        says=says,
        traces=[trace for trace in traces if trace["x"]] + ([_strokes(strokes)] if strokes else []),
        layout=layout,
        table=table_of(parts),
        is_narrow=is_narrow,
        about=about,
    )


def table_of(parts: Sequence[Part], first: str = "") -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The numbers of parts, without the columns that nobody fills."""
    rows = [(part.name + (f" ({part.note})" if part.note else ""), *_numbers(part)) for part in parts]
    filled = [i for i in range(len(HEADING)) if i < 2 or any(row[i] for row in rows)]
    heading = (first, *HEADING[1:])
    return tuple(heading[i] for i in filled), [tuple(row[i] for i in filled) for row in rows]


def part_of(check: CheckResult, name: str | None = None) -> Part:
    """A check as a row."""
    return Part(
        name=check.name if name is None else name,
        n=check.n,
        value=check.value,
        low=check.low,
        high=check.high,
        champion=check.champion,
        champion_low=check.champion_low,
        champion_high=check.champion_high,
        status=check.status,
    )


def of_role(part: Part, role: str) -> Part:
    """One model's number of a part, as its value."""
    if role == "candidate":
        return part
    return Part(name=part.name, n=part.n, value=part.champion, low=part.champion_low, high=part.champion_high)


def error_bars(parts: Sequence[Part]) -> dict[str, Any]:
    """Plotly's error bars from the parts' intervals; none where there is none."""

    def reach(end: float | None, part: Part) -> float:
        return 0.0 if end is None or part.value is None else max(abs(end - part.value), 0.0)

    return {
        "type": "data",
        "symmetric": False,
        "array": [reach(part.high, part) for part in parts],
        "arrayminus": [reach(part.low, part) for part in parts],
        "thickness": 1.5,
        "width": 4,
    }


def _trace(parts: Sequence[Part], role: str, offset: float) -> Trace:
    rows = [(i, one) for i, one in enumerate(of_role(part, role) for part in parts) if one.value is not None]
    kept = [one for _, one in rows]
    hover = [f"{escape(one.name)}<br>{number(one.value)}{_span(one)}{_rows(one)}" for one in kept]
    trace = line([one.value for one in kept], [i + offset for i, _ in rows], role, COLORS[role], "solid")
    return {**trace, "mode": "markers", "error_x": error_bars(kept), "text": hover, "hoverinfo": "text+name"}


def _strokes(strokes: Sequence[tuple[int, float]]) -> Trace:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "bound",
        "x": [bound for _, bound in strokes],
        "y": [i for i, _ in strokes],
        "marker": {"symbol": "line-ns-open", "size": 20, "color": BOUND, "line": {"width": 2, "color": BOUND}},
        "hoverinfo": "x+name",
    }


def _label(part: Part) -> str:
    name = part.name if len(part.name) <= _LONGEST else f"{part.name[: _LONGEST - 1]}…"
    return escape({"FAIL": "✗ ", "INCONCLUSIVE": "? "}.get(part.status or "", "") + name)


def _span(part: Part) -> str:
    found = interval(part.low, part.high)
    return f" ({found})" if found else ""


def _rows(part: Part) -> str:
    return "" if part.n is None else f"<br>{part.n:,} rows"


def _numbers(part: Part) -> tuple[str, ...]:
    return (
        number(part.value),
        interval(part.low, part.high),
        number(part.champion),
        interval(part.champion_low, part.champion_high),
        "" if part.n is None else f"{part.n:,}",
    )
