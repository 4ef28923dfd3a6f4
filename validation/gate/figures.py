"""The report's pictures as Plotly figures: data and layout, without the page's colours, which follow light or dark.

Every picture has the candidate in one colour and the champion in another, the same throughout; a bound is a line. What
is drawn is what the report has: parts by their check's kind, numbers by their check's name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from validation.gate.answer_figures import answer_figures
from validation.gate.forest import COLORS, error_bars, forest, of_role, part_of, table_of
from validation.gate.report import CheckResult, GateReport, Part
from validation.pages import BOUND, Figure, Trace, layout_of, line

_MOST_ROWS = 16
_MOST_DATA_ROWS = 8

_MEASURES = {
    "": "accuracy",
    "accuracy": "accuracy",
    "selection_rate": "share called positive",
    "tpr": "positives found",
    "fpr": "negatives called positive",
    "ppv": "positive answers that are right",
    "calibration": "promised minus true",
}
_LEVELS = {
    "noise": "noise, in deviations of each number",
    "flips": "share of categories that are flipped",
    "missing": "share of values that are missing",
    "unseen": "share of categories that are unseen",
    "shift": "shift, in deviations of a number",
}


def figures_of(report: GateReport) -> list[Figure]:
    """Every picture that the report has numbers for, in the order of reading."""
    makers = (_performance, _comparison, _slices, _fairness, _robustness)
    found = [figure for maker in makers for figure in maker(report)]
    found += answer_figures(report.answers)
    return found + [figure for maker in (_explanation, _data) for figure in maker(report)]


def _measured(report: GateReport, *kinds: str) -> list[CheckResult]:
    return [check for check in report.checks if check.kind in kinds and check.value is not None]


def _with_parts(report: GateReport, *kinds: str) -> list[CheckResult]:
    return [c for c in report.checks if c.kind in kinds and any(part.value is not None for part in c.parts)]


def _performance(report: GateReport) -> Iterator[Figure]:
    checks = _measured(report, "performance")
    if checks:
        says = "A dot is the number on the holdout, its line the 95 % interval, the red stroke the bound."
        parts, bounds = [part_of(check) for check in checks], [check.bound for check in checks]
        yield forest("performance", "Metrics", says, parts, bounds=bounds, about="Performance")


def _comparison(report: GateReport) -> Iterator[Figure]:
    checks = _measured(report, "non_inferiority")
    if checks:
        says = (
            "Candidate minus champion on the same rows: right of 0 it is better; it must stay right of the red stroke."
        )
        parts = [part_of(check, _inside(check.name)) for check in checks]
        bounds = [check.bound for check in checks]
        yield forest(
            "comparison", "Difference", says, parts, bounds=bounds, from_zero=True, about="Against the champion"
        )


def _slices(report: GateReport) -> Iterator[Figure]:
    for number, check in enumerate(_with_parts(report, "slices", "slices_against_champion")):
        relative = check.kind != "slices"
        title = "Difference of accuracy to the champion" if relative else f"{_upper(_inside(check.name))} in each slice"
        judged = sum(part.value is not None for part in check.parts)
        says = (
            f"The worst {min(judged, _MOST_ROWS)} of {judged}, each with its own 95 % interval. Among so many some "
            "look bad by chance: a slice fails (✗) only where that does not explain it."
        )
        bounds = [check.bound] * judged
        yield forest(
            f"slices{number}",
            title,
            says,
            check.parts,
            bounds=bounds,
            most=_MOST_ROWS,
            from_zero=relative,
            about="Slices",
        )


def _fairness(report: GateReport) -> Iterator[Figure]:
    """The gaps against their bounds, then the groups that each gap is between."""
    about, kinds = "Fairness", ("fairness", "accuracy_gap")
    checks = _measured(report, *kinds)
    if checks:
        says = "The largest difference between two groups; left is fairer, and it must stay left of the red stroke."
        parts, bounds = [part_of(check, _gap(check.name)) for check in checks], [check.bound for check in checks]
        yield forest("gaps", "Gaps between groups", says, parts, bounds=bounds, from_zero=True, about=about)
    for number, check in enumerate(_with_parts(report, *kinds)):
        yield forest(
            f"groups{number}",
            _gap(check.name),
            "Each group with its interval.",
            check.parts,
            is_narrow=True,
            about=about,
        )


def _robustness(report: GateReport) -> Iterator[Figure]:
    """Loss of accuracy by what was changed; and against how much, where a kind has several levels."""
    checks = [check for check in report.checks if check.name.startswith("accuracy_drop[") and check.value is not None]
    if not checks:
        return
    about = "Robustness"
    says = "Accuracy lost when data are changed on their way, both models under the same draws; left is robust."
    parts, bounds = [part_of(check, _inside(check.name)) for check in checks], [check.bound for check in checks]
    yield forest("robustness", "Loss of accuracy", says, parts, bounds=bounds, from_zero=True, about=about)
    levels: dict[str, list[tuple[float, CheckResult]]] = {}
    for check in checks:
        found = re.fullmatch(r"(\w+) ([\d.e+-]+)", _inside(check.name))
        if found:
            levels.setdefault(found[1], []).append((float(found[2]), check))
    for what, pairs in levels.items():
        if len(pairs) > 1:
            yield _falling(what, sorted(pairs, key=lambda pair: pair[0]), about)


def _falling(what: str, pairs: Sequence[tuple[float, CheckResult]], about: str) -> Figure:
    """Loss against level, from no change, which loses nothing."""
    parts = [part_of(check, f"{level:g}") for level, check in pairs]
    traces: list[Trace] = []
    for role in ("champion", "candidate"):
        own = [of_role(part, role) for part in parts]
        if any(one.value is not None for one in own):
            start = Part(name="0", value=0.0)
            trace = line([0.0, *(x for x, _ in pairs)], [0.0, *(one.value for one in own)], role, COLORS[role], "solid")
            traces.append({**trace, "error_y": error_bars([start, *own])})
    bounds = [check.bound for _, check in pairs]
    traces.append(line([x for x, _ in pairs], bounds, "bound", BOUND, "dash", markers=False))
    layout = layout_of(340, _LEVELS.get(what, what), "loss of accuracy")
    table = table_of(parts, what)
    return Figure(f"falling_{what}", what.capitalize(), "Flat is robust.", traces, layout, table, True, about)


def _explanation(report: GateReport) -> Iterator[Figure]:
    about = "Explanation"
    for check in _with_parts(report, "importance"):
        says = "What shuffling a feature costs in ROC-AUC; the line is the 95 % interval over rows."
        yield forest("importance", "What it leans on", says, check.parts, most=_MOST_ROWS, from_zero=True, about=about)
    for number, check in enumerate(_with_parts(report, "direction")):
        feature = _inside(check.name)
        steps = [part.name.removeprefix(f"{feature} ") for part in check.parts]
        traces = []
        for role in ("champion", "candidate"):
            values = [of_role(part, role).value for part in check.parts]
            if any(value is not None for value in values):
                traces.append(line([_number_or_name(step) for step in steps], values, role, COLORS[role], "solid"))
        layout = layout_of(340, feature, "mean probability")
        says = f"What the models answer on average when all rows have the same {feature}."
        yield Figure(f"direction{number}", feature, says, traces, layout, table_of(check.parts), True, about)


def _data(report: GateReport) -> Iterator[Figure]:
    """What the checks of data found in features, the worst first."""
    says_of = {
        "drift_from_training": (
            "Drift from the training data",
            "PSI of each feature; it moved where that is beyond chance too.",
        ),
        "drift_from_champion": ("Drift from the champion's data", "The same against what the champion was trained on."),
        "leakage[features]": ("A feature by itself", "ROC-AUC of each feature alone; near 1 it knows the answer."),
        "leakage[categories]": ("A category by itself", "Share of the rarer truth in each; near 1 it is the answer."),
    }
    for number, check in enumerate(_with_parts(report, "drift_from_training", "drift_from_champion", "leakage")):
        title, says = says_of.get(check.name, (check.name, ""))
        yield forest(
            f"data{number}",
            title,
            f"{says} The first {_MOST_DATA_ROWS} of {len(check.parts)}."
            if len(check.parts) > _MOST_DATA_ROWS
            else says,
            check.parts,
            bounds=[check.bound] * len(check.parts),
            most=_MOST_DATA_ROWS,
            from_zero=check.kind != "leakage",
            is_narrow=True,
            about="Data",
        )


def _inside(name: str) -> str:
    """What stands in a check's brackets: `accuracy` of `slices[accuracy]`."""
    return name.partition("[")[2].removesuffix("]") or name


def _gap(name: str) -> str:
    """`fairness[tpr, gender]` and `accuracy_gap[gender]` in words."""
    measure, comma, attribute = _inside(name).partition(", ")
    if not comma:
        measure, attribute = "", measure
    return f"{_upper(_MEASURES.get(measure, measure))} by {attribute}"


def _upper(words: str) -> str:
    return words[:1].upper() + words[1:]


def _number_or_name(step: str) -> float | str:
    try:
        return float(step)
    except ValueError:
        return step
