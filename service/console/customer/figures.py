"""The pictures of one customer: the risk scale, the waterfall, what could be changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bentos.artifact import Contract
from bentos.errors import NotFound
from bentos.palette import CANDIDATE, CHAMPION, LOWERS, NEUTRAL, RAISES, rising
from service.console.customer.asking import Explained
from service.console.customer.changes import Outlook, say_change
from service.console.customer.showing import say_force
from validation.pages import Figure, Trace, layout_of

_DRAWN = 10
"""Features with a bar of their own; the others are one."""

_APART = 0.15
"""Marks of probabilities that are nearer to each other have their numbers on either side, and not on each other."""

_MARKS: Mapping[str, tuple[str, str]] = {
    "now": ("circle", NEUTRAL),
    "before": ("circle-open", NEUTRAL),
    "champion": ("diamond", CHAMPION),
    "challenger": ("square", CANDIDATE),
}


def scale(probabilities: Mapping[str, float], contract: Contract) -> Figure:
    """Where answers lie on the scale of risk.

    Args:
        probabilities: By what they are: `now`, `before`, `champion`, `challenger`.
        contract: Gives bands and cut.
    """
    bands = contract.risk_bands
    ends = [*(band.from_probability for band in bands[1:]), 1.0]
    shapes = [
        {
            "type": "rect",
            "x0": band.from_probability,
            "x1": end,
            "y0": 0,
            "y1": 0.35,
            "line": {"width": 0},
            "fillcolor": color,
            "opacity": 0.55,
            "layer": "below",
        }
        for band, end, color in zip(bands, ends, rising(len(bands)), strict=True)
    ]
    cut = {"color": NEUTRAL, "width": 1.5, "dash": "dash"}
    shapes.append({"type": "line", "x0": contract.cut, "x1": contract.cut, "y0": 0.35, "y1": 0.8, "line": cut})
    named = [
        {"x": (band.from_probability + end) / 2, "y": 0.17, "text": band.name, "showarrow": False}
        for band, end in zip(bands, ends, strict=True)
    ]
    lowest, highest = min(probabilities.values()), max(probabilities.values())
    is_close = len(probabilities) > 1 and highest - lowest < _APART
    sides = {lowest: "top left", highest: "top right"} if is_close and lowest < highest else {}
    traces = [_mark(name, value, sides.get(value, "top center")) for name, value in probabilities.items()]
    layout = layout_of(190, f"probability of {contract.target} = {contract.labels.positive}", "")
    layout |= {"shapes": shapes, "annotations": named}
    layout["xaxis"] |= {"range": [0, 1], "tickformat": ".0%", "showgrid": False, "zeroline": False}
    layout["yaxis"] |= {"visible": False, "range": [-0.1, 1]}
    return Figure(
        name="customer_scale",
        title="On the scale of risk",
        says=f"One customer. The dashed line is the cut, {contract.cut:g}, from which the answer is "
        f"{contract.labels.positive}.",
        traces=traces,
        layout=layout,
        table=(
            ("Answer", "Probability", "Risk"),
            [(k, f"{v:.1%}", contract.risk(v)) for k, v in probabilities.items()],
        ),
    )


def waterfall(explained: Explained, contract: Contract) -> Figure:
    """From the base value over each feature's contribution to the answer."""
    found = explained.explanation
    is_share = found.space == "probability"
    shown = list(found.reasons[:_DRAWN])
    others = found.reasons[_DRAWN:]
    rest = sum(reason.contribution for reason in others)
    names = [
        "base value",
        *(reason.feature for reason in shown),
        *([f"{len(others)} others"] if others else []),
        "answer",
    ]
    steps = [*(reason.contribution for reason in shown), *([rest] if others else [])]
    places = list(range(len(names)))
    form = ".1%" if is_share else ".2f"
    texts = [
        format(found.base_value, form),
        *(say_force(s, is_share=is_share) for s in steps),
        format(found.check.output, form),
    ]
    trace: Trace = {
        "type": "waterfall",
        "orientation": "h",
        "name": "contribution",
        "measure": ["absolute", *("relative" for _ in steps), "total"],
        "y": places,
        "x": [found.base_value, *steps, 0],
        "text": texts,
        "textposition": "outside",
        "cliponaxis": False,
        "increasing": {"marker": {"color": RAISES}},
        "decreasing": {"marker": {"color": LOWERS}},
        "totals": {"marker": {"color": NEUTRAL}},
        "connector": {"line": {"color": NEUTRAL, "width": 1, "dash": "dot"}},
        "customdata": names,
        "hovertemplate": "%{customdata}: %{text}<extra></extra>",
    }
    what = "probability" if is_share else "log-odds"
    layout = layout_of(60 + 30 * len(names), f"{what} of {contract.target} = {contract.labels.positive}", "")
    layout |= {"showlegend": False}
    layout["margin"] |= {"r": 72}  # for what is written beside the last bar, where the picture is narrow
    layout["yaxis"] |= {"tickvals": places, "ticktext": names, "range": [len(names) - 0.4, -0.6]}
    layout["yaxis"] |= {"showgrid": False, "zeroline": False}
    layout["xaxis"] |= {"tickformat": ".0%" if is_share else ".1f", "range": _room(found.base_value, steps)}
    return Figure(
        name="customer_waterfall",
        title="What moves the answer (SHAP)",
        says=f"One customer, by {explained.model}. Orange raises the {what}, blue lowers it. Base value and "
        f"contributions come to {found.check.sum:.6f}; the model's own answer differs by {found.check.difference:.0e} "
        f"(allowed {found.check.tolerance:.0e}).",
        traces=[trace],
        layout=layout,
        table=(
            ("Feature", "Value", f"Adds to the {what}"),
            [
                (reason.feature, reason.phrase, say_force(reason.contribution, is_share=is_share))
                for reason in found.reasons
            ],
        ),
    )


def offers(best: Sequence[Outlook], probability: float, contract: Contract) -> Figure:
    """What each single change would do to the probability.

    Raises:
        NotFound: None lowers it.
    """
    if not best:
        raise NotFound("no single change that the contract allows would lower this probability")
    names = [say_change(contract.feature(o.changes[0].feature), o.changes[0]) for o in best]
    drops = [outlook.probability - probability for outlook in best]
    places = list(range(len(best)))
    trace: Trace = {
        "type": "bar",
        "orientation": "h",
        "name": "change",
        "y": places,
        "x": drops,
        "text": [f"{100 * drop:+.1f} points, {o.risk}" for drop, o in zip(drops, best, strict=True)],
        "textposition": "auto",  # inside a long bar, beside which a phone has no room
        "cliponaxis": False,
        "marker": {"color": LOWERS},
        "customdata": names,
        "hovertemplate": "%{customdata}: %{text}<extra></extra>",
    }
    layout = layout_of(90 + 38 * len(best), "change of the probability", "")
    layout |= {"showlegend": False}
    layout["yaxis"] |= {"tickvals": places, "ticktext": names, "range": [len(best) - 0.4, -0.6]}
    layout["yaxis"] |= {"showgrid": False, "zeroline": False}
    # Room for the words at a bar's end, and no marks where nothing can be: a probability has a hundred points.
    layout["xaxis"] |= {"range": [min(drops) * 1.4 - 0.05, 0], "tickformat": ".0%", "nticks": 6}
    return Figure(
        name="customer_offers",
        title="What could be offered",
        says=f"One customer, from {probability:.1%}: each feature that the company may change, by itself, at its best. "
        "The model's arithmetic, and no promise of what the customer would do.",
        traces=[trace],
        layout=layout,
        table=(
            ("Change", "Offer", "Probability", "Risk"),
            [(n, o.changes[0].words, f"{o.probability:.1%}", o.risk) for n, o in zip(names, best, strict=True)],
        ),
    )


def _mark(name: str, probability: float, side: str) -> dict[str, Any]:
    symbol, color = _MARKS[name]
    return {
        "type": "scatter",
        "mode": "markers+text",
        "name": name,
        "x": [probability],
        "y": [0.55],
        "text": [f"{probability:.1%}"],
        "textposition": side,
        "cliponaxis": False,
        "marker": {"symbol": symbol, "color": color, "size": 15, "line": {"width": 2, "color": color}},
        "hovertemplate": f"{name}: %{{x:.1%}}<extra></extra>",
    }


def _room(base: float, steps: Sequence[float]) -> list[float]:
    """The axis, with room for what is written beside the bars."""
    levels = [base]
    for step in steps:
        levels.append(levels[-1] + step)
    low, high = min(levels), max(levels)
    room = 0.16 * max(high - low, 1e-6)
    return [low - room, high + room]
