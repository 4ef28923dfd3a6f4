"""The pictures of runs: values in, Plotly's traces and layouts out, each with its numbers as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any

from bentos.errors import NotFound
from bentos.palette import CHALLENGER, CHAMPION, FURTHER, NEUTRAL, SOFT
from service.console.models.reading import Basis, Measured, Tried, as_number, in_order
from service.console.models.rows import say_measured
from validation.gate.metrics import LOSSES
from validation.gate.wording import number
from validation.pages import Figure, Trace, layout_of

MOST_COMPARED = 40
"""Runs that one picture compares; the table below it has all."""

_LISTED = 240
_ROW_PIXELS = 30
_WIDE_RANGE = 50
_MOST_BARS = 60
_ROLE_MARKS = {"champion": (CHAMPION, "diamond-open"), "challenger": (CHALLENGER, "square-open")}
_OWN_COLORS = tuple(color for color in FURTHER if color not in (CHAMPION, CHALLENGER))
_SYMBOLS = ("circle", "triangle-up", "cross", "star", "pentagon", "hexagon")
_Found = Sequence[tuple[Tried, Measured]]


def say_basis(basis: Basis, *, has_bars: bool = True) -> str:
    """Where numbers are from, and what the lines beside them are, as a clause."""
    if basis == "gate":
        return "on the gate's holdout" + ("; lines are 95 % intervals" if has_bars else "")
    return "mean over the folds of cross-validation" + ("; lines are one standard deviation" if has_bars else "")


def compare(chosen: Sequence[Tried], metric: str, basis: Basis) -> Figure:
    """One metric of chosen runs, a row a run.

    Args:
        chosen: The runs, the first on top.
        metric: Its plain name.
        basis: Where the numbers are from.

    Raises:
        NotFound: No chosen run has this metric from there.
    """
    found = _measured(chosen, metric, basis)
    drawn = found[:MOST_COMPARED]
    lacking = [one.label for one in chosen if one.measured(metric, basis) is None]
    without = f" Without it: {', '.join(lacking[:6])}{' and others' if len(lacking) > 6 else ''}." if lacking else ""
    cut = f" The first {len(drawn)} are drawn." if len(drawn) < len(found) else ""
    layout = layout_of(80 + _ROW_PIXELS * len(drawn), "", "")
    layout["margin"]["b"] = 28
    layout["yaxis"] |= {
        "tickvals": list(range(len(drawn))),
        "ticktext": [escape(_named(one)) for one, _ in drawn],
        "range": [len(drawn) - 0.5, -0.5],
        "showgrid": False,
        "zeroline": False,
    }
    layout["showlegend"] = False
    return Figure(
        name=f"compare-{metric}",
        title=metric,
        says=f"{len(found)} of {len(chosen)} chosen runs, {say_basis(basis)}. {_better(metric)}.{cut}{without}",
        traces=[_dots(drawn)],
        layout=layout,
        table=(
            ("Run", metric, "low", "high", "rows"),
            [
                (_named(one), number(each.value), number(each.low), number(each.high), f"{each.n:,}" if each.n else "")
                for one, each in found
            ],
        ),
        is_narrow=True,
    )


def over_time(tried: Sequence[Tried], metric: str, basis: Basis) -> Figure:
    """A metric against when its run began, with the best until then.

    Raises:
        NotFound: No run has this metric from there.
    """
    found = sorted(_measured(tried, metric, basis), key=lambda pair: pair[0].run.started_ms)
    best = _best_so_far([each.value for _, each in found], metric)
    moments = [_moment(one) for one, _ in found]
    layout = layout_of(360, "when the run began, UTC", metric, is_numeric=True)
    has_bars = len(found) <= _MOST_BARS
    return Figure(
        name="models-time",
        title=f"{metric} over time",
        says=f"{_shown(found, tried)}, {say_basis(basis, has_bars=has_bars)}. {_better(metric)}; the stepped line is "
        "the best until then.",
        traces=[
            {
                "type": "scatter",
                "mode": "lines",
                "name": "best until then",
                "x": moments,
                "y": best,
                "line": {"color": SOFT, "width": 2, "shape": "hv"},
                "hoverinfo": "skip",
            },
            *_by_estimator(found, moments, _estimators(tried), has_bars=has_bars),
        ],
        layout=layout,
        table=(
            ("Began, UTC", "Run", "Estimator", metric, "best until then"),
            [
                (moment, _named(one), one.estimator, say_measured(each, basis), number(so_far))
                for moment, (one, each), so_far in list(zip(moments, found, best, strict=True))[-_LISTED:]
            ],
        ),
    )


def impact(tried: Sequence[Tried], parameter: str, metric: str, basis: Basis) -> Figure:
    """A metric against one parameter: a point a run, over numbers or over words.

    Raises:
        NotFound: No run has both.
    """
    given = [(one, each) for one, each in _measured(tried, metric, basis) if parameter in one.run.parameters]
    if not given:
        raise NotFound(f"no run that is shown has {parameter} and {metric}")
    found = sorted(given, key=lambda pair: in_order(pair[0].run.parameters[parameter]))
    values = [one.run.parameters[parameter] for one, _ in found]
    numbers = [number_of for number_of in map(as_number, values) if number_of is not None]
    is_number = len(numbers) == len(values)
    layout = layout_of(360, parameter, metric, is_numeric=is_number)
    x: Sequence[Any] = numbers if is_number else [_cut(value) for value in values]
    layout["xaxis"] |= _axis_of(numbers) if is_number else {"type": "category"}
    different = len(set(values))
    return Figure(
        name="models-impact",
        title=f"{metric} by {parameter}",
        says=f"{_shown(found, tried)} with {different:,} different values, {say_basis(basis, has_bars=False)}. "
        f"{_better(metric)}. Runs differ in other things too: this shows what went together, and no cause.",
        traces=[*_by_estimator(found, x, _estimators(tried)), _means(found, x)],
        layout=layout,
        table=(
            (parameter, "Run", "Estimator", metric),
            [
                (_cut(value), _named(one), one.estimator, say_measured(each, basis))
                for value, (one, each) in list(zip(values, found, strict=True))[:_LISTED]
            ],
        ),
    )


def _measured(tried: Sequence[Tried], metric: str, basis: Basis) -> _Found:
    found = [(one, one.measured(metric, basis)) for one in tried]
    kept = [(one, each) for one, each in found if each is not None]
    if not kept:
        where = "gate report" if basis == "gate" else "cross-validation"
        raise NotFound(f"none of the {len(tried):,} runs here has {metric} from a {where}")
    return kept


def _dots(found: _Found) -> Trace:
    marks = [_ROLE_MARKS.get(one.standing.role, (NEUTRAL, "circle")) for one, _ in found]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "runs",
        "x": [each.value for _, each in found],
        "y": list(range(len(found))),
        "marker": {
            "color": [color for color, _ in marks],
            "symbol": [symbol for _, symbol in marks],
            "size": 9,
            "line": {"width": 1.5},
        },
        "error_x": _bars([each for _, each in found]),
        "text": [_hover(one, each) for one, each in found],
        "hoverinfo": "text",
    }


def _estimators(tried: Sequence[Tried]) -> list[str]:
    """In one order for all pictures, so that each keeps its colour and form."""
    return sorted({one.estimator for one in tried})


def _by_estimator(found: _Found, x: Sequence[Any], estimators: Sequence[str], *, has_bars: bool = False) -> list[Trace]:
    """The runs of each estimator in a colour and form of their own; champion and challenger stand out above them."""
    traces = []
    for place, estimator in enumerate(estimators):
        color, symbol = _OWN_COLORS[place % len(_OWN_COLORS)], _SYMBOLS[place % len(_SYMBOLS)]
        own = [i for i, (one, _) in enumerate(found) if one.estimator == estimator]
        if not own:
            continue
        marker = {"color": color, "symbol": symbol, "size": 8, "opacity": 0.8}
        trace = _points(estimator, own, found, x, marker)
        traces.append(trace | ({"error_y": _bars([found[i][1] for i in own]) | {"color": color}} if has_bars else {}))
    for role, (color, symbol) in _ROLE_MARKS.items():
        own = [i for i, (one, _) in enumerate(found) if one.standing.role == role]
        if own:
            marker = {"color": color, "symbol": symbol, "size": 15, "line": {"width": 2.5, "color": color}}
            traces.append(_points(role, own, found, x, marker))
    return traces


def _points(name: str, own: Sequence[int], found: _Found, x: Sequence[Any], marker: Mapping[str, Any]) -> Trace:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [x[i] for i in own],
        "y": [found[i][1].value for i in own],
        "marker": dict(marker),
        "text": [_hover(*found[i]) for i in own],
        "hoverinfo": "text",
    }


def _means(found: _Found, x: Sequence[Any]) -> Trace:
    """The mean at each value, joined: what a parameter went together with on the whole."""
    at: dict[Any, list[float]] = {}
    for place, (_, each) in zip(x, found, strict=True):
        at.setdefault(place, []).append(each.value)
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": "mean",
        "x": list(at),
        "y": [sum(values) / len(values) for values in at.values()],
        "line": {"color": SOFT, "width": 2, "dash": "dot"},
        "marker": {"color": SOFT, "symbol": "line-ew-open", "size": 16, "line": {"width": 2.5, "color": SOFT}},
        "text": [
            f"mean at {escape(str(place))}: {number(sum(v) / len(v))}<br>{len(v):,} runs" for place, v in at.items()
        ],
        "hoverinfo": "text",
    }


def _axis_of(numbers: Sequence[float]) -> dict[str, Any]:
    """Values from 0.001 to 100 have room on an axis of powers alone."""
    least, most = min(numbers), max(numbers)
    return {"type": "log"} if least > 0 and most / least >= _WIDE_RANGE else {"type": "linear"}


def _bars(found: Sequence[Measured]) -> dict[str, Any]:
    return {
        "type": "data",
        "symmetric": False,
        "array": [0.0 if each.high is None else max(each.high - each.value, 0.0) for each in found],
        "arrayminus": [0.0 if each.low is None else max(each.value - each.low, 0.0) for each in found],
        "thickness": 1.5,
        "width": 4,
        "color": NEUTRAL,
    }


def _best_so_far(values: Sequence[float], metric: str) -> list[float]:
    better = min if metric in LOSSES else max
    best: list[float] = []
    for value in values:
        best.append(better(value, best[-1]) if best else value)
    return best


def _shown(found: _Found, tried: Sequence[Tried]) -> str:
    return f"n = {len(found):,} of {len(tried):,} runs shown"


def _better(metric: str) -> str:
    return "Less is better" if metric in LOSSES else "More is better"


def _hover(one: Tried, each: Measured) -> str:
    ends = "" if each.low is None or each.high is None else f" ({number(each.low)} to {number(each.high)})"
    return f"{escape(_named(one))}<br>{escape(one.estimator)}<br>{number(each.value)}{ends}"


def _named(one: Tried) -> str:
    role = one.standing.role
    return f"{one.label}, {role}" if role in ("champion", "challenger", "candidate", "archived") else one.label


def _moment(one: Tried) -> str:
    return f"{datetime.fromtimestamp(one.run.started_ms / 1000, UTC):%Y-%m-%d %H:%M:%S}"


def _cut(value: str) -> str:
    return value if len(value) <= 30 else f"{value[:29]}…"
