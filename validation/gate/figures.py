"""The report's pictures as Plotly figures: data and layout, without the page's colours, which follow light or dark.

Every picture has the candidate in one colour and the champion in another, the same throughout; a bound is a line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

import msgspec

from validation.gate.report import Answers, CheckResult, GateReport, Part
from validation.pages import BOUND, CANDIDATE, CHAMPION, Figure, Trace, layout_of, line

_MOST_ROWS = 24
_ROW_PIXELS = 30

_SLICES = {"slices": "Slices", "slices_against_champion": "Slices, against the champion"}
_MEASURES = {
    None: "accuracy",
    "accuracy": "accuracy",
    "selection_rate": "share called positive",
    "tpr": "positives found",
    "fpr": "negatives called positive",
    "ppv": "positive answers that are right",
    "calibration": "promised minus true",
}


def figures_of(report: GateReport) -> list[Figure]:
    """Every picture that the report has numbers for, in the order of reading."""
    makers = (
        _performance,
        _comparison,
        _slices,
        _fairness,
        _robustness,
        _curves,
        _calibration,
        _confusion,
        _importance,
    )
    return [figure for maker in makers for figure in maker(report)]


def _performance(report: GateReport) -> Iterator[Figure]:
    checks = [check for check in report.checks if check.kind == "performance" and check.value is not None]
    if checks:
        says = "A dot is the number on the holdout, its line the 95 % interval, the red stroke the bound."
        parts = [_part_of(check) for check in checks]
        yield _forest("performance", "Performance", says, parts, [check.bound for check in checks])


def _comparison(report: GateReport) -> Iterator[Figure]:
    checks = [check for check in report.checks if check.kind == "non_inferiority" and check.value is not None]
    if checks:
        says = "Candidate minus champion on the same rows: right of 0 it is better; it must stay right of the bound."
        parts = [_part_of(check) for check in checks]
        yield _forest("comparison", "Against the champion", says, parts, [check.bound for check in checks])


def _slices(report: GateReport) -> Iterator[Figure]:
    for number, check in enumerate(
        c for c in report.checks if c.kind in ("slices", "slices_against_champion") and c.parts
    ):
        shown = [part for part in check.parts if part.value is not None][:_MOST_ROWS]
        judged = sum(part.value is not None for part in check.parts)
        says = f"The {len(shown)} worst of {judged} parts; one fails only if chance does not explain it."
        yield _forest(f"slices{number}", _SLICES[check.kind], says, shown, [check.bound] * len(shown))


def _fairness(report: GateReport) -> Iterator[Figure]:
    for number, check in enumerate(c for c in report.checks if c.kind in ("fairness", "accuracy_gap") and c.parts):
        parts = [part for part in check.parts if part.value is not None]
        gap = f"gap {check.value:.3f}" if check.value is not None else "no gap"
        limit = f", at most {check.bound:g}" if check.bound is not None else ""
        title = re.sub(r"^\w+\[(?:(\w+), )?(.*)\]$", lambda m: f"Fairness: {_MEASURES[m[1]]} by {m[2]}", check.name)
        yield _forest(f"fairness{number}", title, f"Each group with its interval; {gap}{limit}.", parts, [])


def _robustness(report: GateReport) -> Iterator[Figure]:
    """Loss of accuracy by what was changed; and against how much, one line a kind that has several levels."""
    found: dict[str, list[tuple[float, CheckResult]]] = {}
    for check in report.checks:
        level = re.fullmatch(r"accuracy_drop\[(\w+) ([\d.e+-]+)\]", check.name)
        if level and check.value is not None:
            found.setdefault(level[1], []).append((float(level[2]), check))
    if not found:
        return
    checks = [check for pairs in found.values() for _, check in pairs]
    parts = [msgspec.structs.replace(_part_of(c), name=c.name[len("accuracy_drop[") : -1]) for c in checks]
    says = "Accuracy lost when data are changed on their way, both models under the same draws; left is robust."
    yield _forest("robustness", "Robustness", says, parts, [check.bound for check in checks])
    curves = {what: sorted(pairs, key=lambda pair: pair[0]) for what, pairs in found.items() if len(pairs) > 2}
    if curves:
        yield _robustness_curves(curves)


def _robustness_curves(curves: dict[str, list[tuple[float, CheckResult]]]) -> Figure:
    traces: list[Trace] = []
    rows = []
    for (what, pairs), dash in zip(curves.items(), ["solid", "dash", "dot", "dashdot", "longdash"], strict=False):
        for role, color in (("champion", CHAMPION), ("candidate", CANDIDATE)):
            values = [check.value if role == "candidate" else check.champion for _, check in pairs]
            if any(value is not None for value in values):
                traces.append(line([x for x, _ in pairs], values, f"{role}, {what}", color, dash))
        rows += [(check.name, *_numbers(_part_of(check))) for _, check in pairs]
    layout = layout_of(380, "how much was changed (deviations, or share of cells)", "loss of accuracy")
    says = "The same against how much was changed; flat is robust."
    return Figure("robustness_curves", "How fast it falls", says, traces, layout, (_HEADING, rows))


def _curves(report: GateReport) -> Iterator[Figure]:
    if not report.answers:
        return
    for name, title, x, y in (
        ("roc", "ROC", "negatives called positive", "positives found"),
        ("precision_recall", "Precision and recall", "recall", "precision"),
    ):
        traces = []
        for one, color in zip(report.answers, (CANDIDATE, CHAMPION), strict=False):
            curve = getattr(one, name)
            traces.append(line(curve.x, curve.y, one.role, color, "solid", markers=False))
        metric = "roc_auc" if name == "roc" else "pr_auc"
        rows = [(one.role, *_numbers(_metric(one, metric))) for one in report.answers]
        says = "Up and left is better." if name == "roc" else "Up and right is better."
        table = ((metric, *_HEADING[1:]), rows)
        yield Figure(name, title, says, traces, layout_of(380, x, y, unit=True), table, is_narrow=True)


def _calibration(report: GateReport) -> Iterator[Figure]:
    if not report.answers:
        return
    traces = [line([0, 1], [0, 1], "as promised", "#9ca3af", "dot", markers=False)]
    rows = []
    for one, color in zip(report.answers, (CANDIDATE, CHAMPION), strict=False):
        x = [float(part.name) for part in one.calibration]
        trace = line(x, [part.value for part in one.calibration], one.role, color, "solid")
        traces.append({**trace, "error_y": _error(list(one.calibration))})
        rows += [(f"{one.role}, promised {part.name}", *_numbers(part)) for part in one.calibration]
    layout = layout_of(380, "promised probability", "share that came true", unit=True)
    says = "On the dotted line a promise of 30 % comes true for 30 %."
    yield Figure("calibration", "Calibration", says, traces, layout, (_HEADING, rows), is_narrow=True)


def _confusion(report: GateReport) -> Iterator[Figure]:
    if not report.answers:
        return
    names = ["right: positive", "right: negative", "false alarm", "missed"]
    traces = []
    rows = []
    for one, color in zip(report.answers, (CANDIDATE, CHAMPION), strict=False):
        counts = [one.tp, one.tn, one.fp, one.fn]
        traces.append(
            {
                "type": "bar",
                "name": one.role,
                "x": names,
                "y": counts,
                "text": [f"{count:,}" for count in counts],
                "textposition": "outside",
                "cliponaxis": False,
                "marker": {"color": color},
            }
        )
        rows.append((one.role, *(f"{count:,}" for count in counts)))
    layout = layout_of(380, "", "rows")
    says = f"What both models answer from their cut on (candidate {report.answers[0].cut:g})."
    yield Figure("confusion", "Answers at the cut", says, traces, layout, (("model", *names), rows), is_narrow=True)


def _importance(report: GateReport) -> Iterator[Figure]:
    for check in report.checks:
        if check.kind == "importance" and check.parts:
            shown = list(check.parts[:15])
            says = "What shuffling a feature costs in ROC-AUC; the line is the 95 % interval over rows."
            yield _forest("importance", "What it leans on", says, shown, [])


_HEADING = ("", "candidate", "interval", "champion", "rows")


def _forest(name: str, title: str, says: str, parts: Sequence[Part], bounds: Sequence[float | None]) -> Figure:
    """A dot with its interval a row, candidate above champion, the first row on top; bounds as strokes."""
    traces: list[Trace] = []
    for role, color, offset in (("champion", CHAMPION, 0.16), ("candidate", CANDIDATE, -0.16)):
        own = [_of(part, role) for part in parts]
        rows = [i for i, part in enumerate(own) if part.value is not None]
        if rows:
            shift = offset if any(part.champion is not None for part in parts) else 0.0
            kept = [own[i] for i in rows]
            trace = line([part.value for part in kept], [i + shift for i in rows], role, color, "solid")
            hover = [f"{escape(part.name)}<br>{part.value:.4f} on {part.n or 0:,} rows" for part in kept]
            traces.append(
                {**trace, "mode": "markers", "error_x": _error(kept), "text": hover, "hoverinfo": "text+name"}
            )
    strokes = [(i, bound) for i, bound in enumerate(bounds) if bound is not None]
    if strokes:
        marker = {"symbol": "line-ns-open", "size": 18, "color": BOUND, "line": {"width": 2}}
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": "bound",
                "x": [bound for _, bound in strokes],
                "y": [i for i, _ in strokes],
                "marker": marker,
                "hoverinfo": "x+name",
            }
        )
    layout = layout_of(110 + _ROW_PIXELS * len(parts), "", "")
    labels = [_label(part) for part in parts]
    ticks = {"tickvals": list(range(len(parts))), "ticktext": labels, "range": [len(parts) - 0.5, -0.5]}
    layout["yaxis"] |= {**ticks, "automargin": True, "showgrid": False, "zeroline": False}
    table = [(part.name + (f" ({part.note})" if part.note else ""), *_numbers(part)) for part in parts]
    return Figure(name, title, says, traces, layout, (_HEADING, table))


def _label(part: Part) -> str:
    name = part.name if len(part.name) <= 44 else f"{part.name[:43]}…"
    failed = "✗ " if part.status == "FAIL" else ""
    return escape(f"{failed}{name}")


def _of(part: Part, role: str) -> Part:
    if role == "candidate":
        return part
    return Part(name=part.name, n=part.n, value=part.champion, low=part.champion_low, high=part.champion_high)


def _part_of(check: CheckResult) -> Part:
    return Part(
        name=check.name,
        n=check.n,
        value=check.value,
        low=check.low,
        high=check.high,
        champion=check.champion,
        champion_low=check.champion_low,
        champion_high=check.champion_high,
        status="FAIL" if check.status == "FAIL" else None,
    )


def _metric(answers: Answers, name: str) -> Part:
    return next(part for part in answers.metrics if part.name == name)


def _numbers(part: Part) -> tuple[str, ...]:
    interval = "" if part.low is None or part.high is None else f"{part.low:.4f} to {part.high:.4f}"
    value = "" if part.value is None else f"{part.value:.4f}"
    champion = "" if part.champion is None else f"{part.champion:.4f}"
    return value, interval, champion, "" if part.n is None else f"{part.n:,}"


def _error(parts: Sequence[Part]) -> dict[str, Any]:
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
