"""The pictures of drift and of what came true."""

from __future__ import annotations

from collections.abc import Sequence

from bentos.artifact import Contract
from bentos.errors import NotFound
from bentos.palette import BOUND, CANDIDATE, NEUTRAL, SOFT
from service.console.production.alerts import too_few
from service.console.production.drift import ratio
from service.console.production.outcomes import Outcomes
from service.console.production.spans import Span
from validation.drift.comparing import Counted, Drift, Rise
from validation.pages import Figure, Trace, layout_of


def overview(drifts: Sequence[Drift], counted: Counted, span: Span) -> Figure:
    """PSI of every feature and the score, each with its own limit.

    Raises:
        NotFound: There are too few predictions.
    """
    if not drifts:
        raise NotFound(too_few(counted))
    places = list(range(len(drifts)))
    names = [drift.name for drift in drifts]
    bars: Trace = {
        "type": "bar",
        "orientation": "h",
        "name": "PSI",
        "y": places,
        "x": [drift.psi for drift in drifts],
        "marker": {"color": [BOUND if drift.finding == "drifted" else NEUTRAL for drift in drifts]},
        "text": [f"{drift.psi:.3f}{' drifted' if drift.finding == 'drifted' else ''}" for drift in drifts],
        "textposition": "outside",
        "cliponaxis": False,
        "customdata": names,
        "hovertemplate": "%{customdata}: %{x:.4f}<extra></extra>",
    }
    limits: Trace = {
        "type": "scatter",
        "mode": "markers",
        "name": "limit",
        "y": places,
        "x": [drift.psi_limit for drift in drifts],
        "marker": {"symbol": "line-ns", "size": 16, "line": {"width": 2, "color": BOUND}, "color": BOUND},
        "customdata": names,
        "hovertemplate": "%{customdata}: limit %{x:.4f}<extra></extra>",
    }
    layout = layout_of(90 + 26 * len(drifts), "PSI, no unit", "")
    layout["margin"] |= {"r": 72}  # for what is written beside the longest bar, where the picture is narrow
    layout["yaxis"] |= {"tickvals": places, "ticktext": names, "range": [len(drifts) - 0.4, -0.6], "zeroline": False}
    layout["xaxis"] |= {"range": [0, 1.25 * max((drift.psi_limit or 0.0) * max(ratio(drift), 1.0) for drift in drifts)]}
    return Figure(
        name="drift",
        title="Drift by feature",
        says=f"n = {counted.rows:,}, the newest live predictions, {span}, against the champion's training rows, by the "
        "population stability index (PSI). A limit is passed by size (0.1) and by more than chance explains at this n; "
        f"customers come {counted.repeats:.1f} times.{_left_out(counted)}",
        traces=[bars, limits],
        layout=layout,
        table=(
            ("Feature", "PSI", "Limit", "Drifted", "n", "Missing", "Unseen"),
            [
                (
                    drift.name,
                    f"{drift.psi:.4f}",
                    f"{drift.psi_limit:.4f}",
                    "yes" if drift.finding == "drifted" else "no",
                    f"{drift.n:,.0f}",
                    _share(drift.missing),
                    _share(drift.unseen),
                )
                for drift in drifts
            ],
        ),
        is_narrow=True,
    )


def distributions(drift: Drift, trained: int) -> Figure:
    """One feature in training and now, side by side in the same bins.

    Args:
        drift: One of which something can be said.
        trained: Training rows that are compared with.
    """
    before, now = [one.reference_share for one in drift.bins], [one.share for one in drift.bins]
    bins = [one.name for one in drift.bins]
    word = "drifted" if drift.finding == "drifted" else "not drifted"
    layout = layout_of(380, drift.name, "share of rows") | {"bargap": 0.25}
    layout["yaxis"] |= {"tickformat": ".0%"}
    layout["xaxis"] |= {"type": "category"}
    layout["legend"] |= {"traceorder": "normal"}
    return Figure(
        name="distribution",
        title=f"{drift.name}: training and now",
        says=f"n = {trained:,} rows in training, {drift.n:,.0f} now. PSI {drift.psi:.3f}, limit "
        f"{drift.psi_limit:.3f}: {word}.",
        traces=[
            {"type": "bar", "name": "training", "x": bins, "y": before, "marker": {"color": SOFT}},
            {"type": "bar", "name": "now", "x": bins, "y": now, "marker": {"color": CANDIDATE}},
        ],
        layout=layout,
        table=(
            ("Bin", "Training", "Now"),
            [(name, f"{a:.2%}", f"{b:.2%}") for name, a, b in zip(bins, before, now, strict=True)],
        ),
        is_narrow=True,
    )


def calibration(outcomes: Outcomes, contract: Contract, *, seen_from: str) -> Figure:
    """What was promised against what came true.

    Args:
        outcomes: Of matured predictions.
        contract: Gives the labels.
        seen_from: The moment from which truths are looked at, in words.

    Raises:
        NotFound: Nothing has matured, or nothing was told of what has.
    """
    if not outcomes.told:
        matured = f"{outcomes.n:,} predictions have matured and none of them has a truth"
        waiting = f"no prediction has matured yet ({outcomes.waiting:,} are waiting)"
        raise NotFound(f"{matured if outcomes.n else waiting}, {seen_from}")
    known = [told for told in outcomes.bins if told.told]
    x = [told.promised / told.told for told in known]
    ends = [told.interval for told in known]
    points: Trace = {
        "type": "scatter",
        "mode": "markers",
        "name": "tenths of probability, with 95 % interval",
        "x": x,
        "y": [told.seen for told in known],
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": [high - told.seen for told, (_, high) in zip(known, ends, strict=True)],
            "arrayminus": [told.seen - low for told, (low, _) in zip(known, ends, strict=True)],
            "color": CANDIDATE,
        },
        "marker": {"color": CANDIDATE, "size": 9},
        "hovertemplate": "promised %{x:.1%}, came true %{y:.1%}<extra></extra>",
    }
    perfect: Trace = {
        "type": "scatter",
        "mode": "lines",
        "name": "as promised",
        "x": [0, 1],
        "y": [0, 1],
        "line": {"color": NEUTRAL, "dash": "dash", "width": 1.5},
        "hoverinfo": "skip",
    }
    positive = contract.labels.positive
    layout = layout_of(380, f"promised probability of {positive}", f"share that came true as {positive}", unit=True)
    return Figure(
        name="calibration",
        title="What came true",
        says=f"n = {outcomes.told:,} truths of {outcomes.n:,} matured predictions ({outcomes.waiting:,} are waiting), "
        f"{seen_from}. {positive}: {outcomes.positive / outcomes.told:.1%}; answers right: "
        f"{outcomes.right / outcomes.told:.1%}; Brier score {outcomes.brier:.3f}; calibration error "
        f"{outcomes.calibration_error:.3f}. Treated customers are in it.",
        traces=[perfect, points],
        layout=layout,
        table=(
            ("Promised, mean", "Came true", "From", "To", "Truths", "Matured"),
            [
                (f"{p:.3f}", f"{told.seen:.3f}", f"{low:.3f}", f"{high:.3f}", f"{told.told:,}", f"{told.n:,}")
                for p, told, (low, high) in zip(x, known, ends, strict=True)
            ],
        ),
    )


def _left_out(counted: Counted) -> str:
    return f" {counted.unreadable:,} of another contract are left out." if counted.unreadable else ""


def _share(rise: Rise | None) -> str:
    return "not counted" if rise is None else f"{rise.ratio:.2%}"
