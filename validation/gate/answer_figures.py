"""Pictures of what both models answered to the holdout: curves, calibration, probabilities, confusion, all metrics."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import msgspec

from validation.gate.forest import COLORS, error_bars, table_of
from validation.gate.report import Answers, Part
from validation.gate.wording import interval, number
from validation.pages import Figure, Trace, layout_of, line

ABOUT = "Probabilities and answers"

_HEIGHT = 380
_GREY = "#9ca3af"


def answer_figures(answers: Sequence[Answers]) -> Iterator[Figure]:
    """All of them; nothing where no model gave probabilities."""
    if answers:
        yield _curve(answers, "roc", "ROC", "Up and left is better; the dotted line is chance.")
        yield _curve(answers, "precision_recall", "Precision and recall", "Up and right is better.")
        yield _calibration(answers)
        yield _histogram(answers)
        yield from (_confusion(one) for one in answers)


def all_metrics(answers: Sequence[Answers]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Every metric of both models with its interval, as a table."""
    of = {one.role: {part.name: part for part in one.metrics} for one in answers}
    names = list(dict.fromkeys(name for parts in of.values() for name in parts))
    parts = []
    for name in names:
        own = of.get("candidate", {}).get(name, Part(name=name))
        theirs = of.get("champion", {}).get(name, Part(name=name))
        beside = {"champion": theirs.value, "champion_low": theirs.low, "champion_high": theirs.high}
        parts.append(msgspec.structs.replace(own, n=None, **beside))
    return table_of(parts, "metric")


def _curve(answers: Sequence[Answers], name: str, title: str, says: str) -> Figure:
    is_roc = name == "roc"
    traces: list[Trace] = []
    if is_roc:
        traces.append(line([0, 1], [0, 1], "chance", _GREY, "dot", markers=False))
    for one in reversed(answers):
        curve = one.roc if is_roc else one.precision_recall
        trace = line(curve.x, curve.y, one.role, COLORS[one.role], "solid", markers=False)
        if not is_roc:  # precision between two cuts is not on the straight line between them
            trace["line"]["shape"] = "vh"
        traces.append(trace)
    axes = ("negatives called positive", "positives found") if is_roc else ("recall", "precision")
    metric = "roc_auc" if is_roc else "pr_auc"
    rows = []
    for one in answers:
        part = next(part for part in one.metrics if part.name == metric)
        rows.append((one.role, number(part.value), interval(part.low, part.high)))
    layout = layout_of(_HEIGHT, *axes, unit=True)
    return Figure(name, title, says, traces, layout, ((metric, "area", "interval"), rows), is_narrow=True, about=ABOUT)


def _calibration(answers: Sequence[Answers]) -> Figure:
    traces = [line([0, 1], [0, 1], "as promised", _GREY, "dot", markers=False)]
    for one in reversed(answers):
        x = [float(part.name) for part in one.calibration]
        trace = line(x, [part.value for part in one.calibration], one.role, COLORS[one.role], "solid")
        traces.append({**trace, "error_y": error_bars(one.calibration)})
    rows = []
    for one in answers:
        for part in one.calibration:
            came = interval(part.low, part.high)
            rows.append((f"{one.role}, promised {part.name}", number(part.value), came, f"{part.n or 0:,}"))
    for one in answers:
        rows += [(f"{one.role}, {name}", number(value), "", "") for name, value in _summary(one)]
    says = "On the dotted line a promise of 30 % comes true for 30 %; each point is a tenth of the rows."
    return Figure(
        "calibration",
        "Calibration",
        says,
        traces,
        layout_of(_HEIGHT, "promised probability", "share that came true", unit=True),
        (("", "came true", "interval", "rows"), rows),
        is_narrow=True,
        about=ABOUT,
    )


def _summary(one: Answers) -> Iterator[tuple[str, float | None]]:
    yield from ((part.name, part.value) for part in one.metrics if part.name in ("brier", "ece"))
    yield from (
        (name, value) for name, value in (("slope", one.slope), ("intercept", one.intercept)) if value is not None
    )


def _histogram(answers: Sequence[Answers]) -> Figure:
    """Shares of the negative and of the positive rows in each bin of probability, as steps."""
    traces: list[Trace] = []
    rows = []
    for one in reversed(answers):
        for what, counts, dash in zip(("negative", "positive"), one.histogram, ("dot", "solid"), strict=True):
            total, bins = max(sum(counts), 1), len(counts)
            edges = [i / bins for i in range(bins + 1)]
            shares = [round(count / total, 6) for count in counts]
            steps = [*shares, *shares[-1:]]  # a step holds until the next edge, the last one to the end
            trace = line(edges, steps, f"{one.role}, {what}", COLORS[one.role], dash, markers=False)
            trace["line"]["shape"] = "hv"
            traces.append(trace)
            rows += [
                (f"{one.role}, truly {what}, {low:.2f} to {high:.2f}", f"{count:,}")
                for (low, high), count in zip(pairwise(edges), counts, strict=True)
                if count
            ]
    layout = layout_of(_HEIGHT, "probability", "share of the rows", is_numeric=True)
    layout["xaxis"] |= {"range": [-0.02, 1.02]}
    layout["yaxis"] |= {"tickformat": ".0%", "rangemode": "tozero"}
    says = "Where a model puts truly negative (dotted) and truly positive rows; the further apart, the better."
    return Figure("histogram", "Probabilities", says, traces, layout, (("", "rows"), rows), is_narrow=True, about=ABOUT)


def _confusion(one: Answers) -> Figure:
    """A matrix: counts, and what share of the rows with that truth they are."""
    counts = [(one.tp, one.fn), (one.fp, one.tn)]  # by truth; then answered positive, negative
    shares = [[round(count / max(sum(row), 1), 6) for count in row] for row in counts]
    texts = [
        [f"{count:,}<br>{share:.0%}" for count, share in zip(row, of_truth, strict=True)]
        for row, of_truth in zip(counts, shares, strict=True)
    ]
    red, green, blue = (int(COLORS[one.role][i : i + 2], 16) for i in (1, 3, 5))
    trace: Trace = {
        "type": "heatmap",
        "x": ["called positive", "called negative"],
        "y": ["truly<br>positive", "truly<br>negative"],
        "z": shares,
        "zmin": 0,
        "zmax": 1,
        # Pale enough that the ink of either page can be read on it.
        "colorscale": [[0, f"rgba({red},{green},{blue},0.04)"], [1, f"rgba({red},{green},{blue},0.5)"]],
        "showscale": False,
        "xgap": 3,
        "ygap": 3,
        "text": texts,
        "texttemplate": "%{text}",
        "hoverinfo": "skip",
    }
    layout = layout_of(260, "", "")
    layout["margin"]["b"] = 28
    layout["xaxis"] |= {"showgrid": False, "zeroline": False}
    layout["yaxis"] |= {"showgrid": False, "zeroline": False, "autorange": "reversed"}
    rows = [("truly positive", f"{one.tp:,}", f"{one.fn:,}"), ("truly negative", f"{one.fp:,}", f"{one.tn:,}")]
    says = f"It calls positive from {one.cut:g} on; stronger is a larger share of the rows with that truth."
    table = (("rows", "called positive", "called negative"), rows)
    return Figure(
        f"confusion_{one.role}", f"Answers of the {one.role}", says, [trace], layout, table, is_narrow=True, about=ABOUT
    )
