"""The pictures of two models on the same rows: metrics as bars and as a radar, tables of labels, ROC curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bentos.palette import CHALLENGER, CHAMPION, NEUTRAL, SOFT
from service.console.experiment.naming import short
from service.console.experiment.pairs import Pair
from validation.gate.report import Answers, Part
from validation.gate.wording import interval, number
from validation.pages import Figure, Trace, layout_of, line

SIDE_BY_SIDE = {
    "accuracy": "accuracy",
    "precision_positive": "precision",
    "recall_positive": "recall",
    "f1_positive": "F1",
    "roc_auc": "ROC-AUC",
}
"""What is asked for first, by its name among the gate's metrics."""

_COLORS = (CHALLENGER, CHAMPION)


def bars(pair: Pair) -> Figure:
    """The five metrics side by side, with their intervals."""
    traces = []
    for name, answers, color in _sides(pair):
        parts = _asked(answers)
        values = [part.value or 0.0 for part in parts]
        traces.append(
            {
                "type": "bar",
                "name": name,
                "x": list(SIDE_BY_SIDE.values()),
                "y": values,
                "marker": {"color": color, "pattern": {"shape": "/" if color == CHAMPION else ""}},
                "error_y": {
                    "type": "data",
                    "symmetric": False,
                    "array": [(part.high or at) - at for part, at in zip(parts, values, strict=True)],
                    "arrayminus": [at - (part.low or at) for part, at in zip(parts, values, strict=True)],
                    "color": NEUTRAL,
                },
                "hovertemplate": "%{x}: %{y:.4f}",
            }
        )
    layout = layout_of(340, "", "value")
    layout["yaxis"] |= {"range": [0, 1]}
    layout["legend"] |= {"traceorder": "normal"}
    return Figure(
        name="experiment-bars",
        title="Metrics side by side",
        says=f"{_rows(pair)} Whiskers are 95 % intervals; precision, recall and F1 are of {pair.positive}.",
        traces=traces,
        layout=layout,
        table=_metric_table(pair),
        is_narrow=True,
    )


def radar(pair: Pair) -> Figure:
    """The same five as a shape, on an axis that begins where both can be told apart."""
    values = [part.value or 0.0 for _, answers, _ in _sides(pair) for part in _asked(answers)]
    low = max(0.0, int(10 * (min(values) - 0.05)) / 10)
    traces = []
    for (name, answers, color), dash in zip(_sides(pair), ("solid", "dash"), strict=True):
        found = [part.value or 0.0 for part in _asked(answers)]
        axes = list(SIDE_BY_SIDE.values())
        traces.append(
            {
                "type": "scatterpolar",
                "name": name,
                "r": [*found, found[0]],
                "theta": [*axes, axes[0]],
                "line": {"color": color, "dash": dash, "width": 2},
                "fill": "toself",
                "fillcolor": f"{color}22",
                "hovertemplate": "%{theta}: %{r:.4f}",
            }
        )
    layout = layout_of(340, "", "")
    del layout["xaxis"], layout["yaxis"]
    layout["polar"] = {"radialaxis": {"range": [low, 1], "nticks": 5, "tickfont": {"size": 11}}}
    layout["margin"] |= {"t": 40, "l": 64, "r": 64, "b": 32}
    layout["legend"] |= {"traceorder": "normal", "y": 1.12}
    return Figure(
        name="experiment-radar",
        title="The same as a shape",
        says=f"{_rows(pair)} The axis runs from {low:g}, in the middle, to 1; intervals are in the bars.",
        traces=traces,
        layout=layout,
        table=_metric_table(pair),
        is_narrow=True,
    )


def contingency(pair: Pair) -> Figure:
    """McNemar's table: on which rows which model was right."""
    found, (first, second) = pair.compared, _names(pair)
    cells = ((found.both_right, found.first_alone), (found.second_alone, found.neither))
    p = found.labels
    return Figure(
        name="experiment-contingency",
        title="Who was right where (McNemar)",
        says=f"{_rows(pair)} Only the rows that one model alone got right tell them apart: {found.first_alone:,} and "
        f"{found.second_alone:,}. Two-sided mid-p {p.mid_p:.3g}; exact {p.exact:.3g}.",
        traces=[_heat(cells, found.n, (f"{second}<br>right", f"{second}<br>wrong"), (first, first), NEUTRAL)],
        layout=_matrix(),
        table=(
            ("", f"{second} right", f"{second} wrong"),
            [
                (f"{first} right", f"{found.both_right:,}", f"{found.first_alone:,}"),
                (f"{first} wrong", f"{found.second_alone:,}", f"{found.neither:,}"),
            ],
        ),
        is_narrow=True,
    )


def confusion(pair: Pair, side: int) -> Figure:
    """What one model answered to the positive and to the negative rows."""
    name, answers, color = _sides(pair)[side]
    cells = ((answers.tp, answers.fn), (answers.fp, answers.tn))
    of = ("called<br>positive", "called<br>negative")
    return Figure(
        name=f"experiment-confusion-{side + 1}",
        title=f"Answers of {name}",
        says=f"{_rows(pair)} It calls {pair.positive} from {answers.cut:g} on.",
        traces=[_heat(cells, None, of, ("truly", "truly"), color, ends=("positive", "negative"))],
        layout=_matrix(),
        table=(
            ("", "called positive", "called negative"),
            [
                ("truly positive", f"{answers.tp:,}", f"{answers.fn:,}"),
                ("truly negative", f"{answers.fp:,}", f"{answers.tn:,}"),
            ],
        ),
        is_narrow=True,
    )


def curves(pair: Pair) -> Figure:
    """Both ROC curves, and DeLong's test of their areas."""
    ranks, (low, high) = pair.compared.ranks, pair.compared.roc_auc[1:]
    traces: list[Trace] = [line([0, 1], [0, 1], "chance", SOFT, "dot", markers=False)]
    rows = []
    for (name, answers, color), dash in zip(_sides(pair), ("solid", "dash"), strict=True):
        traces.append(line(answers.roc.x, answers.roc.y, name, color, dash, markers=False))
        part = next(part for part in answers.metrics if part.name == "roc_auc")
        rows.append((name, number(part.value), interval(part.low, part.high)))
    rows.append(("difference", f"{ranks.difference:+.4f}", f"{low:+.4f} to {high:+.4f}"))
    layout = layout_of(340, "negatives called positive", "positives found", unit=True)
    layout["legend"] |= {"traceorder": "normal"}
    return Figure(
        name="experiment-roc",
        title="ROC curves (DeLong)",
        says=f"{_rows(pair)} The areas differ by {ranks.difference:+.4f}, 95 % interval {low:+.4f} to {high:+.4f}; "
        f"standard error {ranks.standard_error:.4f}, p {ranks.p:.3g}.",
        traces=traces,
        layout=layout,
        table=(("ROC-AUC", "area", "95 % interval"), rows),
        is_narrow=True,
    )


def _sides(pair: Pair) -> tuple[tuple[str, Answers, str], tuple[str, Answers, str]]:
    names, answers = _names(pair), pair.compared.answers
    return (names[0], answers[0], _COLORS[0]), (names[1], answers[1], _COLORS[1])


def _names(pair: Pair) -> tuple[str, str]:
    return short(pair.first), short(pair.second)


def _rows(pair: Pair) -> str:
    synthetic = ", SYNTHETIC" if pair.is_synthetic else ""
    return f"n = {pair.compared.n:,} held-out rows, {pair.compared.positive:,} positive{synthetic}."


def _asked(answers: Answers) -> list[Part]:
    of = {part.name: part for part in answers.metrics}
    return [of[name] for name in SIDE_BY_SIDE]


def _metric_table(pair: Pair) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    names = _names(pair)
    rows = []
    for label, mine, theirs in zip(SIDE_BY_SIDE.values(), *map(_asked, pair.compared.answers), strict=True):
        cells = ((number(part.value), interval(part.low, part.high)) for part in (mine, theirs))
        rows.append((label, *(cell for both in cells for cell in both)))
    return ("", names[0], "95 % interval", names[1], "95 % interval"), rows


def _heat(
    cells: Sequence[Sequence[int]],
    whole: int | None,
    columns: Sequence[str],
    rows: Sequence[str],
    color: str,
    ends: tuple[str, str] = ("right", "wrong"),
) -> dict[str, Any]:
    """Counts, shaded by their share of all rows, or of those with the same truth."""
    shares = [[round(count / max(whole or sum(row), 1), 6) for count in row] for row in cells]
    texts = [
        [f"{count:,}<br>{share:.1%}" for count, share in zip(row, of, strict=True)]
        for row, of in zip(cells, shares, strict=True)
    ]
    red, green, blue = (int(color[at : at + 2], 16) for at in (1, 3, 5))
    return {
        "type": "heatmap",
        "x": list(columns),
        "y": [f"{row}<br>{end}" for row, end in zip(rows, ends, strict=True)],
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


def _matrix() -> dict[str, Any]:
    layout = layout_of(280, "", "")
    layout["margin"]["b"] = 44
    layout["xaxis"] |= {"showgrid": False, "zeroline": False}
    layout["yaxis"] |= {"showgrid": False, "zeroline": False, "autorange": "reversed"}
    return layout
