"""The pictures of production: values in, Plotly's traces and layouts out, each with its numbers as a table."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from bentos.artifact import Contract
from bentos.errors import NotFound
from bentos.palette import BOUND, CANDIDATE, NEUTRAL, SOFT, rising
from service.console.production.alerts import POINTS_LIMIT
from service.console.production.course import Point, Sums
from service.console.production.reading import BINS
from service.console.production.spans import Span, say_piece
from service.micros import from_micros
from validation.pages import Figure, layout_of

_LISTED = 240


def volume(pieces: dict[int, Sums], length: int, span: Span, contract: Contract) -> Figure:
    """Predictions by piece of time, parted by answer."""
    starts = [_moment(start) for start in pieces]
    positive = [sums.positive for sums in pieces.values()]
    negative = [sums.n - sums.positive for sums in pieces.values()]
    n = sum(positive) + sum(negative)
    layout = layout_of(300, "time, UTC", f"predictions per {say_piece(length)}", is_numeric=True)
    layout |= {"barmode": "stack", "bargap": 0.05, "hovermode": "x unified"}
    return Figure(
        name="volume",
        title="Predictions over time",
        says=f"n = {n:,} live predictions, {span}; each bar is {say_piece(length)}.",
        traces=[
            _bars(starts, negative, _answer(contract, contract.labels.negative), SOFT, length),
            _bars(starts, positive, _answer(contract, contract.labels.positive), CANDIDATE, length),
        ],
        layout=layout,
        table=(
            ("From, UTC", "Predictions", contract.labels.positive, "Share", "Mean probability"),
            [
                (
                    f"{from_micros(start):%Y-%m-%d %H:%M:%S}",
                    f"{sums.n:,}",
                    f"{sums.positive:,}",
                    f"{sums.positive / sums.n:.1%}",
                    f"{sums.mean:.3f}",
                )
                for start, sums in list(pieces.items())[-_LISTED:]
            ],
        ),
    )


def hours(counts: Sequence[int], span: Span) -> Figure:
    """Predictions by hour of the day."""
    return Figure(
        name="hours",
        title="Predictions by hour of the day",
        says=f"n = {sum(counts):,} live predictions, {span}; hours are UTC.",
        traces=[
            {
                "type": "bar",
                "name": "predictions",
                "x": list(range(24)),
                "y": list(counts),
                "marker": {"color": NEUTRAL},
                "hovertemplate": "%{x}:00 to %{x}:59: %{y:,}<extra></extra>",
            }
        ],
        layout=_with_axis(
            layout_of(300, "hour of the day, UTC", "predictions", is_numeric=True), tickvals=list(range(0, 24, 3))
        ),
        table=(("Hour", "Predictions"), [(f"{hour:02d}:00", f"{n:,}") for hour, n in enumerate(counts)]),
        is_narrow=True,
    )


def probabilities(counts: Sequence[Sequence[int]], span: Span, contract: Contract) -> Figure:
    """The histogram of probabilities, coloured by risk band, with the cut."""
    bands, n = contract.risk_bands, sum(map(sum, counts))
    colors = rising(len(bands))
    middles = [(number + 0.5) / BINS for number in range(BINS)]
    traces = [
        {
            "type": "bar",
            "name": f"{band.name} ({sum(row):,})",
            "x": middles,
            "y": list(row),
            "width": 1 / BINS,
            "marker": {"color": color},
            "hovertemplate": f"{band.name}: %{{y:,}} around %{{x:.3f}}<extra></extra>",
        }
        for band, row, color in zip(bands, counts, colors, strict=True)
    ]
    layout = layout_of(
        300, f"probability of {_answer(contract, contract.labels.positive)}", "predictions", is_numeric=True
    )
    layout |= {"barmode": "stack", "bargap": 0, "shapes": [_upright(contract.cut)]}
    layout["legend"] |= {"traceorder": "normal"}
    layout["xaxis"] |= {"range": [0, 1]}
    ends = [*(band.from_probability for band in bands[1:]), 1.0]
    return Figure(
        name="probabilities",
        title="Probabilities and risk",
        says=f"n = {n:,} live predictions, {span}. The dashed line is the cut, {contract.cut:g}: from there on the "
        f"answer is {contract.labels.positive}.",
        traces=traces,
        layout=layout,
        table=(
            ("Risk", "Probability", "Predictions", "Share"),
            [
                (band.name, f"{band.from_probability:g} to {end:g}", f"{sum(row):,}", f"{sum(row) / n:.1%}")
                for band, end, row in zip(bands, ends, counts, strict=True)
            ],
        ),
        is_narrow=True,
    )


def rolling_mean(
    points: Sequence[Point], window: int, length: int, contract: Contract, baseline: float | None
) -> Figure:
    """The mean probability of the last so many predictions, with its band of confidence and what is allowed.

    Args:
        points: By rising time; the last one is of exactly `window` predictions.
        window: Predictions in a window, at least.
        length: Of a piece of time, whole ones of which make a window.
        contract: Gives the labels.
        baseline: Training's mean; None where it is not known.

    Raises:
        NotFound: There are too few predictions for one window.
    """
    if not points:
        raise NotFound(f"there are fewer than {window:,} predictions here; choose a shorter window or a longer time")
    x, most = [_moment(point.at) for point in points], max(point.n for point in points)
    layout = layout_of(320, "time, UTC", f"probability of {contract.labels.positive}", is_numeric=True)
    layout |= {"hovermode": "x unified"}
    allowed = ""
    if baseline is not None:
        layout["shapes"] = [
            _level(baseline, NEUTRAL, "dot"),
            *(_level(baseline + sign * POINTS_LIMIT, BOUND, "dash") for sign in (-1, 1)),
        ]
        reach = [baseline - 1.2 * POINTS_LIMIT, baseline + 1.2 * POINTS_LIMIT]
        low, high = min(point.low for point in points), max(point.high for point in points)
        layout["yaxis"] |= {"range": [max(0.0, min(low, reach[0])), min(1.0, max(high, reach[1]))]}
        allowed = f" Dotted: training's mean, {baseline:.3f}; dashed: 10 percentage points from it."
    return Figure(
        name="rolling",
        title="Rolling mean of the probability",
        says=f"The last point is the mean over the last {window:,} predictions, each before it over as many or more, "
        f"{most:,} at most: whole pieces of {say_piece(length)}. The band is its 95 % confidence interval.{allowed}",
        traces=[
            _edge(x, [point.low for point in points], None),
            _edge(x, [point.high for point in points], "95 % interval"),
            {
                "type": "scatter",
                "mode": "lines" if len(points) > 1 else "markers",
                "name": "mean probability",
                "x": x,
                "y": [point.mean for point in points],
                "line": {"color": CANDIDATE, "width": 2},
                "hovertemplate": "%{y:.3f}<extra></extra>",
            },
        ],
        layout=layout,
        table=(
            ("Until, UTC", "Mean", "Low", "High", "Predictions"),
            [
                (
                    f"{from_micros(point.at):%Y-%m-%d %H:%M:%S}",
                    f"{point.mean:.4f}",
                    f"{point.low:.4f}",
                    f"{point.high:.4f}",
                    f"{point.n:,}",
                )
                for point in points[-_LISTED:]
            ],
        ),
    )


def _bars(x: list[str], y: list[int], name: str, color: str, length: int) -> dict[str, Any]:
    return {
        "type": "bar",
        "name": name,
        "x": x,
        "y": y,
        "marker": {"color": color},
        "width": length / 1000,
        "offset": 0,
        "hovertemplate": "%{y:,}",
    }


def _edge(x: list[str], y: list[float], name: str | None) -> dict[str, Any]:
    trace: dict[str, Any] = {"type": "scatter", "mode": "lines", "x": x, "y": y, "line": {"width": 0}}
    if name is None:
        return trace | {"showlegend": False, "hoverinfo": "skip", "line": {"width": 0, "color": SOFT}}
    return trace | {"name": name, "fill": "tonexty", "fillcolor": f"{SOFT}55", "hoverinfo": "skip"}


def _upright(x: float) -> dict[str, Any]:
    line = {"color": BOUND, "width": 2, "dash": "dash"}
    return {"type": "line", "x0": x, "x1": x, "y0": 0, "y1": 1, "yref": "paper", "line": line}


def _level(y: float, color: str, dash: str) -> dict[str, Any]:
    line = {"color": color, "width": 1.5, "dash": dash}
    return {"type": "line", "x0": 0, "x1": 1, "xref": "paper", "y0": y, "y1": y, "line": line}


def _with_axis(layout: dict[str, Any], **x: Any) -> dict[str, Any]:
    return layout | {"xaxis": layout["xaxis"] | x}


def _answer(contract: Contract, label: str) -> str:
    return f"{contract.target} = {label}"


def _moment(micros: int) -> str:
    moment: datetime = from_micros(micros)
    return moment.strftime("%Y-%m-%d %H:%M:%S")
