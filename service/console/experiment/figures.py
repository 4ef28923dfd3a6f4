"""The pictures of a trial: what the ledger's course shows, each with its numbers as a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from bentos.palette import BOUND, CHALLENGER, CHAMPION, NEUTRAL, SOFT
from service.console.experiment.reading import Told
from service.console.experiment.standing import say_phase
from service.micros import from_micros
from validation.judge.audit import Change
from validation.judge.course import Look
from validation.judge.evidence import Evidence
from validation.judge.groups import GroupEvidence
from validation.judge.policy import OnlinePolicy
from validation.pages import Figure, Trace, layout_of

T = TypeVar("T")

_LISTED = 20
"""Rows below a picture, spread evenly; every cohort stands in the table of cohorts, which is made for many."""
_DEPTH = 2.5
"""How many thresholds below 0 a path of log e is drawn: it may fall without end, and says no more there."""


def unit_of(policy: OnlinePolicy) -> str:
    """What a difference is measured in."""
    return "share of right labels" if policy.metric == "accuracy" else "units of the dearer mistake, a customer"


def difference(told: Told, changes: Sequence[Change]) -> Figure:
    """The observed difference with its confidence sequence, against 0 and the margin."""
    policy, looks = told.policy, [look for look in told.course if look.ends is not None and look.matured]
    x = [_moment(look.end) for look in looks]
    lower = [look.ends.lower for look in looks if look.ends]
    upper = [look.ends.upper for look in looks if look.ends]
    seen = [look.difference or 0.0 for look in looks]
    layout = _timed(f"difference in {policy.metric}", told, changes)
    layout["yaxis"] |= {"tickformat": "+.3f", "range": _reach(seen, lower, upper, policy.margin)}
    bound = f"worse by the margin, {policy.margin:g}" if policy.margin else "no difference"
    layout["shapes"] += [_level(-policy.margin, BOUND, "dash")]
    layout["shapes"] += [_level(0.0, SOFT, "dot")] if policy.margin else []
    return Figure(
        name="experiment-difference",
        title=f"Difference in {policy.metric}, challenger minus champion",
        says=f"n = {told.evidence.matured:,} matured customers in {told.evidence.cohorts:,} cohorts; unit: "
        f"{unit_of(policy)}. The band is the confidence sequence, valid however often one looks. The dashed line is "
        f"{bound}: a promotion needs the whole band above it.{_thinned(told.course)}",
        traces=[
            _edge(x, lower, None),
            _edge(x, upper, "confidence sequence"),
            _line(x, seen, "observed difference", CHALLENGER, "solid", [f"{look.matured:,}" for look in looks]),
        ],
        layout=layout,
        table=(
            ("Cohorts up to, UTC", "Matured", "Difference", "From", "To"),
            [
                (_day(look.end), f"{look.matured:,}", f"{of:+.4f}", f"{low:+.4f}", f"{high:+.4f}")
                for look, of, low, high in _some(list(zip(looks, seen, lower, upper, strict=True)))
            ],
        ),
    )


def log_e(told: Told, changes: Sequence[Change]) -> Figure:
    """The paths of both claims, each against its own threshold."""
    evidence, looks = told.evidence, told.course
    x, matured = [_moment(look.end) for look in looks], [f"{look.matured:,}" for look in looks]
    claims = (
        ("promotion", [look.log_e for look in looks], [look.log_e_worst for look in looks], CHALLENGER),
        ("harm", [look.rollback_log_e for look in looks], [look.rollback_log_e_best for look in looks], CHAMPION),
    )
    traces: list[Trace] = []
    for name, path, against, color in claims:
        if against != path:
            worst = f"{name}, every missing truth against it"
            traces.append(_line(x, against, worst, color, "dot", matured))
        traces.append(_line(x, path, name, color, "solid", matured))
    thresholds = (evidence.threshold, evidence.rollback_threshold)
    layout = _timed("log e (natural)", told, changes)
    values = [value for _, path, against, _ in claims for value in (*path, *against)]
    low = max(min(values, default=0.0), -_DEPTH * max(thresholds))
    layout["yaxis"] |= {"range": [low - 0.5, 1.12 * max(*values, *thresholds)]}
    for threshold, color in zip(thresholds, (CHALLENGER, CHAMPION), strict=True):
        layout["shapes"].append(_level(threshold, color, "dash"))
    return Figure(
        name="experiment-evidence",
        title="Evidence for each claim",
        says=f"Log e after each of {len(looks):,} cohorts, n = {evidence.matured:,} matured customers at the end. A "
        f"claim is shown once its solid path and its dotted one reach the dashed line of its colour: "
        f"{evidence.threshold:.2f} for a promotion, {evidence.rollback_threshold:.2f} for harm.",
        traces=traces,
        layout=layout,
        table=(
            ("Cohorts up to, UTC", "Matured", "Promotion", "at worst", "Harm", "at best"),
            [
                (
                    _day(look.end),
                    f"{look.matured:,}",
                    *(
                        f"{value:.2f}"
                        for value in (look.log_e, look.log_e_worst, look.rollback_log_e, look.rollback_log_e_best)
                    ),
                )
                for look in _some(looks)
            ],
        ),
    )


def customers(told: Told, changes: Sequence[Change]) -> Figure:
    """How each cohort's customers count: their truths came, or they are missing."""
    rows = [(cohort, cohort.counts) for cohort in told.cohorts]
    starts = [_moment(cohort.start) for cohort, _ in rows]
    phases = [say_phase(cohort.mode, cohort.split) for cohort, _ in rows]
    length = told.policy.cohort
    parts = (
        ("matured", [of.matured for _, of in rows], SOFT),
        ("no truth, models agree", [of.missing_agreements for _, of in rows], NEUTRAL),
        ("no truth, models disagree", [of.missing_disagreements for _, of in rows], BOUND),
        ("a model gave no answer", [of.unscored for _, of in rows], CHAMPION),
    )
    shown = [part for part in parts if any(part[1])]
    layout = _timed("customers a cohort", told, changes) | {"barmode": "stack", "bargap": 0.05}
    layout["yaxis"] |= {"rangemode": "tozero"}
    layout["legend"] |= {"traceorder": "normal"}
    counts = told.evidence.counts
    return Figure(
        name="experiment-customers",
        title="Customers and their truths, by cohort",
        says=f"n = {counts.n:,} customers enrolled, each counted once, at the first prediction. "
        f"{counts.missing_disagreements:,} of those on whom the models disagree have no truth: they can decide.",
        traces=[
            {
                "type": "bar",
                "name": f"{name} ({sum(values):,})",
                "x": starts,
                "y": values,
                "width": length / 1000,
                "offset": 0,
                "marker": {"color": color},
                "hovertemplate": "%{y:,}",
            }
            for name, values, color in shown
        ],
        layout=layout,
        table=(
            ("Cohort from, UTC", "Phase", *(name for name, _, _ in shown)),
            [
                (
                    _day(cohort.start),
                    phases[at],
                    *(f"{values[at]:,}" for _, values, _ in shown),
                )
                for at, (cohort, _) in _some(list(enumerate(rows)))
            ],
        ),
        is_narrow=True,
    )


def sample_ratio(told: Told, changes: Sequence[Change]) -> Figure:
    """The path of the evidence that customers are not split as the file says."""
    evidence, looks = told.evidence, [look for look in told.course if look.phase[1] == "split"]
    path = [look.srm_log_e for look in looks]
    layout = _timed("log e (natural)", told, changes)
    low = max(min(path, default=0.0), -_DEPTH * evidence.srm_threshold)
    layout["yaxis"] |= {"range": [low - 0.5, 1.12 * max(*path, evidence.srm_threshold)]}
    layout["shapes"].append(_level(evidence.srm_threshold, BOUND, "dash"))
    n = sum(phase.answered_champion + phase.answered_challenger for phase in evidence.phases if phase.mode == "split")
    return Figure(
        name="experiment-srm",
        title="Is the split what the file says?",
        says=f"n = {n:,} customers of phases with a split. At the dashed line, {evidence.srm_threshold:.2f}, customers "
        "are not assigned as the experiment file says (sample-ratio mismatch), and no verdict may rest on them.",
        traces=[_line([_moment(look.end) for look in looks], path, "mismatch", NEUTRAL, "solid", None)],
        layout=layout,
        table=(
            ("Cohorts up to, UTC", "Phase", "Log e"),
            [(_day(look.end), say_phase(*look.phase[1:]), f"{look.srm_log_e:.2f}") for look in _some(looks)],
        ),
        is_narrow=True,
    )


def groups(found: Sequence[GroupEvidence], policy: OnlinePolicy) -> Figure:
    """Each group's difference with its confidence sequence, against its own margin."""
    rows = list(enumerate(found))
    names = [f"{group.attribute} {group.value}" for group in found]
    n = sum(group.matured for group in found if group.attribute == found[0].attribute)
    middle = [group.difference or 0.0 for group in found]
    layout = layout_of(120 + 34 * len(rows), f"difference in {policy.metric}", "")
    layout["xaxis"] |= {"tickformat": "+.2f"}
    ticks = {"tickvals": [at for at, _ in rows], "ticktext": names, "showgrid": False, "zeroline": False}
    layout["yaxis"] |= ticks | {"range": [len(rows) - 0.5, -0.5]}
    layout["shapes"] = [_stroke(-group.margin, at) for at, group in rows]
    return Figure(
        name="experiment-groups",
        title="No group may be worse off",
        says=f"n = {n:,} matured customers, challenger minus champion, unit: {unit_of(policy)}. Lines are confidence "
        "sequences, red strokes what each group may lose.",
        traces=[
            {
                "type": "scatter",
                "mode": "markers",
                "name": "difference",
                "x": middle,
                "y": [at for at, _ in rows],
                "text": [f"{group.matured:,} matured" for group in found],
                "hovertemplate": "%{x:+.4f}, %{text}<extra></extra>",
                "marker": {"color": CHALLENGER, "size": 9},
                "error_x": {
                    "type": "data",
                    "symmetric": False,
                    "array": [group.upper - at for group, at in zip(found, middle, strict=True)],
                    "arrayminus": [at - group.lower for group, at in zip(found, middle, strict=True)],
                    "color": CHALLENGER,
                    "thickness": 2,
                },
            }
        ],
        layout=layout | {"showlegend": False},
        table=(
            ("Group", "Matured", "Difference", "From", "To", "May lose"),
            [
                (
                    name,
                    f"{group.matured:,}",
                    "" if group.difference is None else f"{group.difference:+.4f}",
                    f"{group.lower:+.4f}",
                    f"{group.upper:+.4f}",
                    f"{group.margin:g}",
                )
                for name, group in zip(names, found, strict=True)
            ],
        ),
    )


def has_split(evidence: Evidence) -> bool:
    """Whether any phase gave the challenger a share."""
    return any(phase.mode == "split" for phase in evidence.phases)


def _timed(y: str, told: Told, changes: Sequence[Change]) -> dict[str, Any]:
    """A layout over time, with the beginnings of phases and the changes of roles marked."""
    layout = layout_of(360, "end of the cohort, UTC", y, is_numeric=True)
    layout["margin"]["t"] = 56
    layout["hovermode"] = "x unified"
    layout["xaxis"]["nticks"] = 6
    layout["legend"] |= {"traceorder": "normal", "y": 1.09}  # above the names of phases
    marks = [*_phase_marks(told.course), *_role_marks(told, changes)]
    layout["shapes"] = [_upright(at, color) for at, _, color in marks]
    layout["annotations"] = [_tag(at, text) for at, text, _ in marks]
    return layout


def _phase_marks(course: Sequence[Look]) -> Iterator[tuple[str, str, str]]:
    before = None
    for look in course:
        if look.phase != before:
            yield _moment(look.start), say_phase(*look.phase[1:]), SOFT
        before = look.phase


def _role_marks(told: Told, changes: Sequence[Change]) -> Iterator[tuple[str, str, str]]:
    """Promotions and rollbacks that fall among the cohorts."""
    if not told.course:
        return
    first, last = told.course[0].start, told.course[-1].end
    for change in changes:
        if first <= change.at <= last + told.policy.maturity_window and change.action != "bootstrap":
            yield _moment(change.at), {"promote": "promotion", "rollback": "rollback"}[change.action], NEUTRAL


def _tag(at: str, text: str) -> dict[str, Any]:
    return {
        "x": at,
        "y": 1,
        "yref": "paper",
        "yanchor": "bottom",
        "xanchor": "left",
        "text": text,
        "showarrow": False,
        "font": {"size": 11},
    }


def _line(x: Sequence[str], y: Sequence[float], name: str, color: str, dash: str, text: Sequence[str] | None) -> Trace:
    shown = "%{y:.4g}" if text is None else "%{y:.4g} after %{text} matured"
    few = {"mode": "lines+markers", "marker": {"color": color, "size": 7}} if len(x) < 30 else {"mode": "lines"}
    return {
        "type": "scatter",
        "name": name,
        "x": list(x),
        "y": list(y),
        "line": {"color": color, "dash": dash, "width": 2},
        "hovertemplate": shown,
        **({} if text is None else {"text": list(text)}),
        **few,
    }


def _edge(x: Sequence[str], y: Sequence[float], name: str | None) -> Trace:
    trace: Trace = {"type": "scatter", "mode": "lines", "x": list(x), "y": list(y), "line": {"width": 0, "color": SOFT}}
    if name is None:
        return trace | {"showlegend": False, "hovertemplate": "from %{y:+.4f}<extra></extra>"}
    return trace | {
        "name": name,
        "fill": "tonexty",
        "fillcolor": f"{SOFT}55",
        "hovertemplate": "to %{y:+.4f}<extra></extra>",
    }


def _level(y: float, color: str, dash: str) -> dict[str, Any]:
    line = {"color": color, "width": 1.5, "dash": dash}
    return {"type": "line", "x0": 0, "x1": 1, "xref": "paper", "y0": y, "y1": y, "line": line}


def _upright(x: str, color: str) -> dict[str, Any]:
    line = {"color": color, "width": 1, "dash": "dot"}
    return {"type": "line", "x0": x, "x1": x, "y0": 0, "y1": 1, "yref": "paper", "line": line}


def _stroke(x: float, row: int) -> dict[str, Any]:
    line = {"color": BOUND, "width": 2.5}
    return {"type": "line", "x0": x, "x1": x, "y0": row - 0.35, "y1": row + 0.35, "line": line}


def _reach(seen: Sequence[float], lower: Sequence[float], upper: Sequence[float], margin: float) -> list[float]:
    """An axis on which what was learnt can be seen: the first cohorts know nothing, and their band fills the range."""
    settled = len(seen) // 4
    low = min([*lower[settled:], *seen[settled:], -margin, 0.0])
    high = max([*upper[settled:], *seen[settled:], 0.0])
    room = 0.08 * (high - low)
    return [low - room, high + room]


def _thinned(course: Sequence[Look]) -> str:
    known = sum(look.ends is not None for look in course)
    return f" Computed after {known:,} of {len(course):,} cohorts, the last included." if known < len(course) else ""


def _some(rows: Sequence[T]) -> Sequence[T]:
    """As many as are listed, evenly spread, the last included."""
    every = -(-len(rows) // _LISTED) if rows else 1
    return rows[(len(rows) - 1) % every :: every]


def _moment(micros: int) -> str:
    return f"{from_micros(micros):%Y-%m-%d %H:%M:%S}"


def _day(micros: int) -> str:
    return f"{from_micros(micros):%Y-%m-%d %H:%M:%S}".removesuffix(" 00:00:00")
