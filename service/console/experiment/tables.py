"""The page's tables of a trial, each of which sorts, filters and is saved as CSV. No I/O."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from dash import html
from dash.development.base_component import Component

from service.console.experiment.naming import Names
from service.console.experiment.reading import Told
from service.console.experiment.standing import say_phase
from service.console.parts import Row, table
from service.console.viewers import Viewer
from service.micros import from_micros
from validation.judge.audit import Change
from validation.judge.disagreements import Awaited
from validation.judge.policy import OnlinePolicy

_PAGE = 10


def paged(rows: int) -> dict[str, Any]:
    """A table's pages, where it has more than one; a grid that is made with its rows shows none at a fixed height."""
    if rows <= _PAGE:
        return {}
    return {"pagination": True, "paginationPageSize": _PAGE, "paginationPageSizeSelector": [_PAGE, 50, 200]}


def phase_table(told: Told) -> Component:
    """Who answered in each phase: counted, wanted, and the always-valid p-value of a mismatch."""
    evidence = told.evidence
    rows: list[Row] = []
    for phase in evidence.phases:
        n = phase.answered_champion + phase.answered_challenger
        rows.append(
            {
                "revision": phase.revision,
                "phase": say_phase(phase.mode, phase.split),
                "customers": n,
                "wanted": round(n * phase.split, 1) if phase.mode == "split" else 0,
                "seen": phase.answered_challenger,
                "share": f"{phase.answered_challenger / n:.2%}" if n else "",
            }
        )
    columns = (
        {"field": "revision", "headerName": "Revision", "type": "rightAligned"},
        {"field": "phase", "headerName": "Phase"},
        {"field": "customers", "headerName": "Customers", "type": "rightAligned"},
        {"field": "wanted", "headerName": "Challenger, wanted", "type": "rightAligned"},
        {"field": "seen", "headerName": "Challenger, seen", "type": "rightAligned"},
        {"field": "share", "headerName": "Share seen", "type": "rightAligned"},
    )
    section = table("experiment-phases", columns, rows, title="Phases and sample ratio (SRM)", file="experiment-phases")
    p = math.exp(-max(evidence.srm_log_e_max, 0.0))
    is_off = evidence.srm_log_e_max >= evidence.srm_threshold
    says = (
        f"p = {p:.3g} that customers are assigned as the file says, valid however often one looks; below "
        f"{math.exp(-evidence.srm_threshold):g} no verdict may rest on the split. "
        f"{'It is below: find what assigns them otherwise.' if is_off else 'Nothing speaks against the split.'}"
    )
    return _saying(section, says)


def cohort_table(told: Told) -> Component:
    """Every cohort with what was known after it, for those who count themselves."""
    columns: list[Row] = [
        {"field": "until", "headerName": "Cohorts up to, UTC", "minWidth": 200},
        {"field": "phase", "minWidth": 120},
    ]
    names = {
        "enrolled": "Enrolled",
        "matured": "Matured",
        "difference": "Difference",
        "lower": "From",
        "upper": "To",
        "promotion": "Log e, promotion",
        "promotion_worst": "at worst",
        "harm": "Log e, harm",
        "harm_best": "at best",
        "srm": "Log e, SRM",
    }
    columns += [{"field": field, "headerName": name, "type": "rightAligned"} for field, name in names.items()]
    rows = [
        {
            "until": f"{from_micros(look.end):%Y-%m-%d %H:%M:%S}",
            "phase": say_phase(*look.phase[1:]),
            "enrolled": look.enrolled,
            "matured": look.matured,
            "difference": _rounded(look.difference),
            "lower": _rounded(look.ends.lower if look.ends else None),
            "upper": _rounded(look.ends.upper if look.ends else None),
            "promotion": _rounded(look.log_e),
            "promotion_worst": _rounded(look.log_e_worst),
            "harm": _rounded(look.rollback_log_e),
            "harm_best": _rounded(look.rollback_log_e_best),
            "srm": _rounded(look.srm_log_e),
        }
        for look in reversed(told.course)
    ]
    return table(
        "experiment-cohorts", columns, rows, title="Cohort by cohort", file="experiment-cohorts", **paged(len(rows))
    )


def awaited_section(awaited: Awaited, who: Viewer, policy: OnlinePolicy) -> Component:
    """Whose truth is awaited."""
    columns = (
        {"field": "customer", "headerName": "Customer"},
        {"field": "prediction", "headerName": "Prediction", "minWidth": 200},
        {"field": "scored", "headerName": "Scored, UTC"},
        {"field": "due", "headerName": "Due, UTC"},
        {"field": "by", "headerName": "Flagged by"},
        {"field": "if_positive", "headerName": "If positive", "type": "rightAligned"},
        {"field": "if_negative", "headerName": "If negative", "type": "rightAligned"},
    )
    rows = [
        {
            "customer": who.customer(one.customer_id),
            "prediction": one.prediction_id if who.is_operator else who.customer(one.prediction_id),
            "scored": f"{one.at:%Y-%m-%d %H:%M}",
            "due": f"{one.due:%Y-%m-%d %H:%M}",
            "by": "challenger" if one.challenger_positive else "champion",
            "if_positive": f"{one.if_positive:+g}",
            "if_negative": f"{one.if_negative:+g}",
        }
        for one in awaited.customers
    ]
    differ = awaited.open + awaited.told + awaited.too_late
    shown = "" if len(rows) == awaited.open else f" The {len(rows):,} that are due first are shown."
    says = (
        f"The models disagree on {differ:,} of {awaited.scored:,} customers: {awaited.told:,} truths have come, "
        f"{awaited.open:,} can still come, {awaited.too_late:,} can no longer count. Where both models say the "
        f"same, the truth changes nothing.{shown} The last columns say by how much a truth moves the sum of "
        f"differences in {policy.metric}. gauntlet disagreements --csv prints all."
    )
    grid = table(
        "experiment-awaited-table",
        columns,
        rows,
        title="Truths that are awaited",
        file="disagreements",
        **paged(len(rows)),
    )
    return _saying(grid, says) if rows else _quiet("Truths that are awaited", says)


def changes_table(changes: Sequence[Change], names: Names) -> Component:
    """Promotions, rollbacks and first champions, the newest first."""
    columns = (
        {"field": "at", "headerName": "When, UTC", "minWidth": 190},
        {"field": "action", "headerName": "What"},
        {"field": "who", "headerName": "By"},
        {"field": "models", "headerName": "Models", "minWidth": 260},
        {"field": "verdict", "headerName": "Verdict"},
        {"field": "note", "headerName": "Why", "minWidth": 180},
    )
    rows = [
        {
            "at": f"{from_micros(change.at):%Y-%m-%d %H:%M:%S}",
            "action": {"promote": "promotion", "rollback": "rollback", "bootstrap": "first champion"}[change.action],
            "who": change.who,
            "models": _models(change, names),
            "verdict": change.verdict.verdict if change.verdict else "",
            "note": _why(change),
        }
        for change in reversed(changes)
    ]
    return table("experiment-changes", columns, rows, title="Changes of roles", file="role-changes")


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _models(change: Change, names: Names) -> str:
    if change.action == "bootstrap":
        return names.of(change.champion)
    return f"{names.of(change.challenger)} against {names.of(change.champion)}"


def _why(change: Change) -> str:
    parts = [change.reason or ""]
    if change.manual:
        parts.insert(0, "by hand")
    if change.verdict is not None and change.verdict.provisional:
        parts.append("provisional")
    if change.aliases != "moved":
        parts.append(f"aliases {change.aliases}")
    return "; ".join(part for part in parts if part)


def _saying(section: Component, says: str) -> Component:
    """A table with a sentence between its heading and its rows."""
    section.children.insert(1, html.P(says, className="soft"))
    return section


def _quiet(title: str, says: str) -> Component:
    return html.Section([html.H2(title), html.P(says)], className="card whole")
