"""Parallel coordinates of runs: one line a run over the parameters that differ, coloured by how good it was.

Drawn as lines of a scatter: Plotly's own kind compiles code in the browser, which the page's policy forbids, and it can
neither be read by the keyboard's hover nor printed sharply.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from bentos.errors import NotFound
from bentos.palette import RISING
from service.console.models.reading import Basis, Tried, as_number, in_order, is_numeric
from validation.gate.metrics import LOSSES
from validation.gate.wording import number
from validation.pages import Figure, Trace, layout_of

_THIRDS = ("the worst third", "the middle third", "the best third")
_MOST_TICKS = 6
_LINE = 0.06
"""Of an axis' height, what a line of text takes."""
_LISTED = 240
_BELOW, _LACKING = -0.14, "not given"


@dataclass(frozen=True)
class _Axis:
    """One upright axis.

    Attributes:
        name: Of the parameter or metric.
        heights: Where each run stands on it, in [0, 1].
        ticks: Heights and the words beside them.
    """

    name: str
    heights: tuple[float, ...]
    ticks: tuple[tuple[float, str], ...]


def parallel(tried: Sequence[Tried], parameters: Sequence[str], metric: str, basis: Basis) -> Figure:
    """Lines over the chosen parameters to a metric.

    Args:
        tried: The runs that are shown.
        parameters: Those that get an axis, from left to right.
        metric: On the last axis, and the colour.
        basis: Where the metric is from.

    Raises:
        NotFound: No run has the metric, or no parameter is chosen.
    """
    if not parameters:
        raise NotFound("no parameter is chosen")
    found = [(one, each.value) for one in tried if (each := one.measured(metric, basis)) is not None]
    if not found:
        raise NotFound(f"none of the {len(tried):,} runs here has {metric} from there")
    axes = [_axis(name, [one.run.parameters.get(name) for one, _ in found]) for name in parameters]
    axes.append(_axis(metric, [f"{value:.6g}" for _, value in found]))
    thirds = _thirds([value for _, value in found], is_loss=metric in LOSSES)
    lines = [_lines(third, axes, found, [i for i, own in enumerate(thirds) if own == third]) for third in range(3)]
    return Figure(
        name="models-parallel",
        title=f"Parameters together, and {metric}",
        says=f"n = {len(found):,} of {len(tried):,} runs shown, each a line. Where an estimator does not have a "
        "parameter, its line passes below the axis (–).",
        traces=[trace for trace in lines if trace["x"]],
        layout=_layout(axes),
        table=(
            ("Run", *parameters, metric),
            [
                (one.label, *(one.run.parameters.get(name, _LACKING)[:40] for name in parameters), number(value))
                for one, value in found[:_LISTED]
            ],
        ),
    )


def _axis(name: str, values: Sequence[str | None]) -> _Axis:
    """Numbers stand where their size puts them, words at equal distances, and what is not given below both."""
    given = [value for value in values if value is not None]
    places = _numbers(given) if is_numeric(given) else _words(given)
    told = sorted(places, key=in_order)
    told = told if len(told) <= _MOST_TICKS else [told[0], told[-1]]
    ticks = _apart([(places[value], _told(value)) for value in told])
    lacks = [(_BELOW, "–")] if len(given) < len(values) else []
    return _Axis(name, tuple(_BELOW if value is None else places[value] for value in values), (*ticks, *lacks))


def _apart(ticks: Sequence[tuple[float, str]]) -> list[tuple[float, str]]:
    """Of rising ticks those that can be read: both ends, and between them what is a line of text from the others."""
    kept = list(ticks[:1])
    for height, words in ticks[1:-1]:
        if min(height - kept[-1][0], ticks[-1][0] - height) >= _LINE:
            kept.append((height, words))
    return [*kept, *ticks[1:][-1:]]


def _told(value: str) -> str:
    size = as_number(value)
    if size is not None:
        return f"{size:.4g}"
    return value if len(value) <= 14 else f"{value[:13]}…"


def _numbers(values: Sequence[str]) -> dict[str, float]:
    size = {value: float(value) for value in values}
    least, spread = min(size.values(), default=0.0), max(size.values(), default=0.0) - min(size.values(), default=0.0)
    return {value: round((number - least) / spread, 4) if spread else 0.5 for value, number in size.items()}


def _words(values: Sequence[str]) -> dict[str, float]:
    order = sorted(set(values), key=in_order)
    return {value: i / (len(order) - 1) if len(order) > 1 else 0.5 for i, value in enumerate(order)}


def _thirds(values: Sequence[float], *, is_loss: bool) -> list[int]:
    """0 for the worst third, 2 for the best; equal values are never parted."""
    rising = sorted(values, reverse=is_loss)
    first_of = {value: place for place, value in reversed(list(enumerate(rising)))}
    return [min(2, 3 * first_of[value] // len(rising)) for value in values]


def _lines(third: int, axes: Sequence[_Axis], found: Sequence[tuple[Tried, float]], own: Sequence[int]) -> Trace:
    """The runs of one third as one trace: nothing joins the end of one run to the beginning of the next."""
    x: list[int | None] = []
    y: list[float | None] = []
    text: list[str] = []
    for i in own:
        one, value = found[i]
        said = f"{escape(one.label)}, {escape(one.estimator)}: {number(value)}"
        x += [*range(len(axes)), None]
        y += [*(axis.heights[i] for axis in axes), None]
        text += [said] * (len(axes) + 1)
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": f"{_THIRDS[third]} ({len(own):,})",
        "x": x,
        "y": y,
        "text": text,
        "hoverinfo": "text",
        "connectgaps": False,
        "opacity": 0.75 if len(found) <= 100 else 0.35,
        "line": {"color": RISING[third], "width": 1.5, "dash": ("dot", "dash", "solid")[third]},
        "marker": {"color": RISING[third], "size": 6},
    }


def _layout(axes: Sequence[_Axis]) -> dict[str, Any]:
    layout = layout_of(420, "", "")
    layout["margin"] |= {"l": 24, "r": 64, "b": 48}
    layout["xaxis"] |= {
        "tickvals": list(range(len(axes))),
        "ticktext": [escape(axis.name) for axis in axes],
        "range": [-0.1, len(axes) - 0.75],
        "zeroline": False,
        "showgrid": True,
        "gridwidth": 2,
    }
    layout["yaxis"] |= {"visible": False, "range": [-0.2, 1.06]}
    layout["annotations"] = [
        {"x": place, "y": height, "text": escape(words), "xanchor": "left", "xshift": 6, "showarrow": False}
        for place, axis in enumerate(axes)
        for height, words in axis.ticks
    ]
    return layout
