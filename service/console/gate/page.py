"""The page Gate: layout, callbacks and the routes of whole reports; what it reads and shows lies beside it."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any
from urllib.parse import parse_qs

import flask
from dash import Dash, Input, Output, State, dcc, html
from dash.development.base_component import Component

from bentos.errors import GauntletError, NotFound
from service.console.gate.reading import Reports, read_report, read_reports
from service.console.gate.showing import (
    check_rows,
    head_of,
    identity_of,
    label_of,
    not_passed,
    pictures_of,
    row_of,
    still_chosen,
    topics_of,
)
from service.console.pages import Page
from service.console.parts import notice, say, sentence, table, what_to_do
from service.console.sources import NextStep, Sources
from validation.gate.figures import figures_of
from validation.gate.junit import to_junit
from validation.gate.page import to_html
from validation.gate.report import GateReport, dump_report

_REPORTS = (
    {"field": "candidate", "headerName": "Candidate", "cellRenderer": "Link", "minWidth": 135, "maxWidth": 150},
    {"field": "verdict", "headerName": "Verdict", "cellRenderer": "Status", "minWidth": 130, "maxWidth": 160},
    {"field": "at", "headerName": "Judged, UTC", "minWidth": 195, "maxWidth": 210},
    {"field": "reason", "headerName": "First reason", "minWidth": 320, "flex": 3, "tooltipField": "reason"},
    {"field": "passed", "headerName": "Passed", "minWidth": 115, "maxWidth": 130},
    {"field": "policy", "headerName": "Policy", "minWidth": 120},
    {"field": "champion", "headerName": "Champion", "minWidth": 130},
    {"field": "n", "headerName": "Rows", "type": "rightAligned", "minWidth": 100},
    {"field": "attempts", "headerName": "Attempt", "type": "rightAligned", "minWidth": 120},
    {"field": "consequence", "headerName": "What followed", "minWidth": 260, "tooltipField": "consequence"},
)
_CHECKS = (
    {"field": "status", "headerName": "Status", "cellRenderer": "Status", "minWidth": 130, "maxWidth": 160},
    {"field": "check", "headerName": "Check", "minWidth": 220, "flex": 2, "tooltipField": "check"},
    {"field": "family", "headerName": "About", "minWidth": 175},
    {"field": "value", "headerName": "Value", "type": "rightAligned", "minWidth": 105},
    {"field": "unit", "headerName": "Unit", "minWidth": 90, "maxWidth": 100},
    {"field": "interval", "headerName": "95 % interval", "minWidth": 185},
    {"field": "allowed", "headerName": "Must be", "minWidth": 140},
    {"field": "champion", "headerName": "Champion", "type": "rightAligned", "minWidth": 130},
    {"field": "n", "headerName": "Rows", "type": "rightAligned", "minWidth": 100},
    {"field": "reason", "headerName": "Reason", "minWidth": 320, "flex": 3, "tooltipField": "reason"},
)
_FORMS: dict[str, tuple[str, Callable[[GateReport], bytes]]] = {
    "html": ("text/html", to_html),
    "json": ("application/json", dump_report),
    "xml": ("application/xml", to_junit),
}
# The report's scripts are its own: its page is of no origin, so they reach neither the console nor its cookie.
_REPORT_POLICY = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def _layout(sources: Sources) -> Component:
    reports = read_reports(sources)
    unreadable = [notice(f"Cannot be read: {why}", is_wrong=True) for why in reports.unreadable]
    if not reports.judged:
        return html.Div([*unreadable, what_to_do(_first_step(sources), looks_again=False)])
    return html.Div(
        [
            *unreadable,
            table(
                "gate-reports",
                _REPORTS,
                [row_of(one) for one in reports.judged],
                title=f"All reports: {len(reports.judged):,}, the newest first",
                file="gate-reports",
                height="21rem",
                pagination=len(reports.judged) > 100,
            ),
            _bar(reports),
            html.Div(id="gate-chosen"),
            html.Div(id="gate-pictures"),
            html.Div(id="gate-checks"),
        ]
    )


def _first_step(sources: Sources) -> NextStep:
    return NextStep(
        "No model was judged yet. This judges the newest candidate; its report stands here afterwards.",
        f"gauntlet gate models:/{sources.model()}@candidate --folder {sources.folder.path}",
    )


def _bar(reports: Reports) -> Component:
    options = [{"value": one.name, "label": label_of(one)} for one in reports.judged]
    return html.Div(
        [
            html.Div(
                [
                    html.Label("Report", htmlFor="gate-report"),
                    dcc.Dropdown(id="gate-report", options=options, clearable=False, maxHeight=320),
                ],
                className="grows",
            ),
            html.Div(
                [
                    html.Label("Pictures about", htmlFor="gate-topics"),
                    dcc.Dropdown(id="gate-topics", multi=True, placeholder="nothing"),
                ],
                className="grows",
            ),
        ],
        className="bar",
    )


def _wire(app: Dash, sources: Sources) -> None:
    @app.callback(Output("gate-report", "value"), Input("place", "search"), State("gate-report", "options"))
    def choose(search: str | None, _options: Any) -> str | None:
        try:
            return chosen_in(search or "", read_reports(sources))
        except GauntletError:
            return None  # the page says why, where the report would stand

    @app.callback(
        Output("gate-chosen", "children"),
        Output("gate-checks", "children"),
        Output("gate-topics", "options"),
        Output("gate-topics", "value"),
        Input("gate-report", "value"),
        State("gate-topics", "value"),
    )
    def show(name: str | None, chosen: list[str] | None) -> tuple[Any, ...]:
        if name is None:
            return None, None, [], []
        try:
            report = read_report(sources, name)
        except GauntletError as e:
            return notice(sentence(e), is_wrong=True), None, [], []
        topics = topics_of(figures_of(report))
        return [head_of(report, name), not_passed(report)], _checks(report), topics, still_chosen(topics, chosen or [])

    @app.callback(Output("gate-pictures", "children"), Input("gate-topics", "value"), State("gate-report", "value"))
    def draw_topics(topics: list[str] | None, name: str | None) -> Any:
        if name is None or not topics:
            return None
        return say(lambda: pictures_of(figures_of(read_report(sources, name)), topics))

    def send(name: str, form: str) -> flask.Response:
        return send_report(sources, name, form)

    app.server.add_url_rule("/gate/report/<name>.<any(html, json, xml):form>", "gate_report", send)


def chosen_in(search: str, reports: Reports) -> str | None:
    """Which report an address asks for: `?report=NAME`, or the newest of `?version=NUMBER`; else the newest of all.

    Args:
        search: The address's query, with its question mark.
        reports: Those that there are.
    """
    asked = parse_qs(search.removeprefix("?"))
    name, version = (asked.get(key, [""])[0] for key in ("report", "version"))
    if name:
        return name
    found = reports.newest_of(version) if version else next(iter(reports.judged), None)
    return found.name if found else None


def send_report(sources: Sources, name: str, form: str) -> flask.Response:
    """A whole report: as a page of its own, or as a file to be kept."""
    kind, make = _FORMS[form]
    try:
        content = make(read_report(sources, name))
    except NotFound as e:
        return flask.Response(f"{sentence(e)}\n", 404, mimetype="text/plain")
    except GauntletError as e:
        return flask.Response(f"{sentence(e)}\n", 503, mimetype="text/plain")
    is_file = form != "html" or "save" in flask.request.args
    answer = flask.send_file(BytesIO(content), kind, as_attachment=is_file, download_name=f"{name}.{form}")
    answer.headers["Content-Security-Policy"] = _REPORT_POLICY
    return answer


def _checks(report: GateReport) -> Component:
    title = f"All checks: {len(report.checks)}, the worst first"
    checks = table("gate-all-checks", _CHECKS, check_rows(report), title=title, file="gate-checks", height="24rem")
    return html.Div([checks, identity_of(report)])


PAGE = Page(
    path="/gate",
    name="Gate",
    says="What every candidate had to pass before it could serve, what it failed, and where it is unfair or fragile.",
    layout=_layout,
    wire=_wire,
    needs_predictions=False,
    needs_champion=False,
)
