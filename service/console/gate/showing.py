"""A report as parts of a page: what did not pass and why, its pictures, every check, and what was judged by what."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from dash import html
from dash.development.base_component import Component

from service.console.gate.reading import Judged
from service.console.parts import notice, picture, tile, tiles
from validation.gate.checks.kinds import FAMILY_OF
from validation.gate.page import facts_of, summary_of
from validation.gate.report import CheckResult, GateReport
from validation.gate.wording import NOT_PASSED, by_severity, consequence_of, interval, measured, number
from validation.pages import Figure

FIRST_TOPICS = ("Fairness", "Robustness")
"""What is drawn before anybody chooses."""


def row_of(judged: Judged) -> dict[str, Any]:
    """A report in the table of all."""
    return {
        "href": f"/gate?report={judged.name}",
        "candidate": f"version {judged.version}",
        "verdict": judged.verdict,
        "at": f"{judged.at:%Y-%m-%d %H:%M:%S}",
        "reason": judged.reason,
        "passed": f"{judged.passed} of {judged.checks}",
        "policy": judged.policy,
        "champion": f"version {judged.champion}" if judged.champion else "none",
        "n": judged.n,
        "attempts": judged.attempts,
        "consequence": judged.consequence,
    }


def label_of(judged: Judged) -> str:
    """A report where one is chosen."""
    return f"version {judged.version}: {judged.verdict}, {judged.at:%Y-%m-%d %H:%M}, {judged.policy}"


def head_of(report: GateReport, name: str) -> Component:
    """The verdict, what follows from it, and the ways to the whole report."""
    blessing, waits = report.blessing, [check.name for check in report.checks if check.status == "INCONCLUSIVE"]
    consequence = consequence_of(report)
    passed = sum(check.status == "PASS" for check in report.checks)
    return html.Div(
        [
            html.H2(f"Gate of {report.candidate}", id="gate-of"),
            html.P(
                [html.Strong(report.verdict), f" {consequence[0].upper()}{consequence[1:]}."],
                className=f"verdict {report.verdict.lower()}",
            ),
            html.P(summary_of(report), className="soft"),
            tiles(
                [
                    tile("Checks passed", f"{passed} of {len(report.checks)}", f"policy {report.judged_by.policy}"),
                    tile("Holdout", f"{report.judged_on.n:,}", "synthetic rows" if report.is_synthetic else "rows"),
                    tile("Attempts", f"{report.judged_on.attempts}", "on this holdout"),
                    tile("Not decided", f"{len(waits)}", "checks are inconclusive"),
                    tile("Blessing", blessing.scope if blessing else "none", _until(report)),
                ]
            ),
            html.P(
                [
                    _link("The whole report", f"/gate/report/{name}.html", target="_blank"),
                    _link("as a file", f"/gate/report/{name}.html?save", download=f"{name}.html"),
                    _link("as JSON", f"/gate/report/{name}.json", download=f"{name}.json"),
                    _link("as JUnit XML", f"/gate/report/{name}.xml", download=f"{name}.xml"),
                ],
                className="ways",
            ),
        ]
    )


def not_passed(report: GateReport) -> Component:
    """The checks that failed or were not decided, the worst first, in their own words."""
    wrong = [check for check in by_severity(report) if check.status in NOT_PASSED]
    if not wrong:
        return notice("Every check that could judge passed.")
    return html.Section(
        [html.H2("Not passed, and why"), html.Ul([_why(check) for check in wrong], className="whys")],
        className="card whole",
    )


def topics_of(figures: Sequence[Figure]) -> list[str]:
    """What the pictures are about, in the report's order."""
    return list(dict.fromkeys(figure.about for figure in figures))


def still_chosen(topics: Sequence[str], chosen: Sequence[str]) -> list[str]:
    """What stays chosen of a report with these topics; where nothing would, fairness and robustness or what there is.

    >>> still_chosen(["Performance", "Fairness"], ["Robustness"])
    ['Fairness']
    """
    for wanted in (chosen, FIRST_TOPICS, topics[:1]):
        kept = [topic for topic in topics if topic in wanted]
        if kept:
            return kept
    return []


def pictures_of(figures: Sequence[Figure], topics: Sequence[str]) -> Component:
    """The report's own pictures about some topics, each topic under its heading."""
    shown = [figure for figure in figures if figure.about in topics]
    return html.Div([_topic(about, list(members)) for about, members in groupby(shown, key=lambda one: one.about)])


def check_rows(report: GateReport) -> list[dict[str, Any]]:
    """Every check as a row of a table, the worst first."""
    return [_check_row(check) for check in by_severity(report)]


def identity_of(report: GateReport) -> Component:
    """What was judged by what."""
    facts = [part for name, value in facts_of(report) for part in (html.Dt(name), html.Dd(value))]
    return html.Section([html.H2("What was judged by what"), html.Dl(facts, className="facts")], className="card whole")


def _until(report: GateReport) -> str:
    return f"until {report.blessing.expires_at:%Y-%m-%d}" if report.blessing else "nothing may be packed or tried"


def _link(text: str, href: str, **how: Any) -> Component:
    return html.A(text, href=href, className="way", **how)


def _why(check: CheckResult) -> Component:
    return html.Li(
        [
            html.Span(check.status, className=f"status {check.status.lower()}"),
            html.Strong(check.name),
            html.P(check.reason),
        ]
    )


def _topic(about: str, figures: Sequence[Figure]) -> Component:
    cards = [picture(figure, f"gate-{figure.name}", is_under=True) for figure in figures]
    return html.Section([html.H2(about, className="topic"), html.Div(cards, className="cards")])


def _check_row(check: CheckResult) -> dict[str, Any]:
    value, champion, unit = measured(check)
    return {
        "status": check.status.replace("NOT_APPLICABLE", "N/A"),
        "family": (FAMILY_OF.get(check.kind, "") or "others").capitalize(),
        "check": check.name,
        "value": _plain(value),
        "unit": unit,
        "interval": interval(check.low, check.high),
        "allowed": check.allowed,
        "champion": _plain(champion),
        "n": check.n,
        "reason": check.reason,
    }


def _plain(value: float | None) -> float | None:
    """Four decimals, and no zero that is none; still a number, so that a table sorts it as one."""
    return float(number(value)) if value is not None else None
