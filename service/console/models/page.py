"""The page Models: layout and callbacks; what it reads, lists and draws lies beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dash import ClientsideFunction, Dash, Input, Output, State, dcc, html
from dash.development.base_component import Component

from bentos.errors import BadInput, GauntletError
from service.console.gate.reading import read_reports
from service.console.models import figures
from service.console.models.parallel import parallel
from service.console.models.reading import (
    FIRST_METRICS,
    ROLES,
    Basis,
    History,
    Tried,
    metrics_in,
    parameters_in,
    read_history,
    read_tried,
    read_versions,
    standing_of,
)
from service.console.models.rows import (
    change_row,
    comparison_columns,
    comparison_rows,
    run_columns,
    run_rows,
    to_parquet,
    version_row,
)
from service.console.pages import Page
from service.console.parts import draw, drawn, notice, picture, place, say, sentence, table, tile, tiles
from service.console.sources import Sources
from validation.gate.wording import number

_VERSIONS = (
    {"field": "version", "headerName": "Version", "minWidth": 130, "pinned": "left"},
    {"field": "role", "headerName": "Role", "cellRenderer": "Status", "minWidth": 130},
    {"field": "since", "headerName": "Since, UTC", "minWidth": 195},
    {"field": "by", "headerName": "By", "minWidth": 120},
    {"field": "verdict", "headerName": "Gate report", "cellRenderer": "Link", "minWidth": 150},
    {"field": "reason", "headerName": "Its first reason", "minWidth": 280, "flex": 2, "tooltipField": "reason"},
    {"field": "why", "headerName": "Why this role", "minWidth": 220, "tooltipField": "why"},
    {"field": "blessing", "headerName": "Blessing", "minWidth": 140},
    {"field": "estimator", "headerName": "Estimator", "minWidth": 200},
    {"field": "made", "headerName": "Registered, UTC", "minWidth": 195},
    {"field": "digest", "headerName": "Digest", "minWidth": 140},
    {"field": "data", "headerName": "Data", "minWidth": 220, "tooltipField": "data"},
)
_CHANGES = (
    {"field": "at", "headerName": "When, UTC", "minWidth": 195, "maxWidth": 210},
    {"field": "who", "headerName": "Who", "minWidth": 170, "maxWidth": 240},
    {"field": "done", "headerName": "What", "minWidth": 320, "flex": 2, "tooltipField": "done"},
    {"field": "why", "headerName": "Why", "minWidth": 260, "flex": 2, "tooltipField": "why"},
    {"field": "aliases", "headerName": "Registry's aliases", "minWidth": 180, "tooltipField": "aliases"},
    {"field": "number", "headerName": "Audit row", "type": "rightAligned", "minWidth": 120, "maxWidth": 130},
)
_BASES = {"validation": "cross-validation in training", "gate": "the gate's holdout, with 95 % intervals"}
_BOOKKEEPING = ("data", "estimator", "holdout_rows", "rows", "seed", "without")
"""Parameters of a run that no estimator has: the last to be looked at."""

_FIRST_PARAMETERS = ("n_estimators", "max_depth")
_AXES_AT_FIRST = 4
_COMPARED_AT_FIRST = 4
_LIKED = "f1_positive"
_PICTURES = ("models-time", "models-impact", "models-parallel")
_RUNS_PAGED_FROM = 200


def _layout(sources: Sources) -> Component:
    tried, reports = read_tried(sources), read_reports(sources)
    history = read_history(sources)
    wrong = [f"cannot be read: {why}" for why in reports.unreadable] + ([history.wrong] if history.wrong else [])
    return html.Div(
        [
            dcc.Store(id="models-shown", data=[one.run.id for one in tried]),
            dcc.Download(id="models-parquet"),
            *(notice(why[0].upper() + why[1:]) for why in wrong),
            _totals(tried),
            _registry(sources, tried),
            *_changes(sources, history),
            _runs(tried),
            html.Div(id="models-wrong"),
            _bar(tried),
            html.Div(
                [
                    place("models-time", "A metric over time", height=360),
                    place("models-impact", "A metric by a parameter", height=360),
                    place("models-parallel", "Parameters together", height=420),
                ],
                className="cards",
            ),
            html.H2("Compare", className="topic"),
            _comparing(tried),
            html.Div(id="models-comparison"),
        ]
    )


def _totals(tried: Sequence[Tried]) -> Component:
    failed = sum(one.run.status == "FAILED" for one in tried)
    versions = sum(one.version is not None for one in tried)
    finished = sum(one.run.status == "FINISHED" for one in tried)
    return tiles(
        [
            tile("Runs", f"{len(tried):,}", f"{finished:,} finished, {failed:,} failed"),
            tile("Versions", f"{versions:,}", "registered"),
            *(_of_role(tried, role) for role in ROLES),
        ]
    )


def _of_role(tried: Sequence[Tried], role: str) -> Component:
    one = next((one for one in tried if one.version and role in one.version.aliases), None)
    if one is None:
        return tile(role.capitalize(), "none")
    measured = one.measured(_LIKED, "validation")
    told = f", {_LIKED} {number(measured.value)}" if measured else ""
    return tile(role.capitalize(), one.label, f"{one.estimator}{told}")


def _registry(sources: Sources, tried: Sequence[Tried]) -> Component:
    reports, changes = read_reports(sources), read_history(sources).changes
    by_run = {one.run.id: one for one in tried}
    rows = []
    for version in read_versions(sources):
        judged = reports.newest_of(version.number)
        rows.append(version_row(version, standing_of(version, changes, judged), judged, by_run.get(version.run)))
    title = f"Registry: {len(rows):,} versions, the newest first"
    return table("models-versions", _VERSIONS, rows, title=title, file="versions", height="20rem")


def _changes(sources: Sources, history: History) -> list[Component]:
    if not history.changes:
        return [] if history.wrong else [notice("Roles have not changed yet.")]
    rows = [change_row(change, read_versions(sources)) for change in reversed(history.changes)]
    title = f"Changes of roles: {len(rows):,}, the newest first"
    return [table("models-changes", _CHANGES, rows, title=title, file="changes-of-roles", height="20rem")]


def _runs(tried: Sequence[Tried]) -> Component:
    return table(
        "models-runs",
        run_columns(tried),
        run_rows(tried),
        title=f"Runs: {len(tried):,}, the newest first",
        file="runs",
        height="24rem",
        beside=[html.Button("Save as Parquet", id="models-save-parquet", className="quiet", n_clicks=0)],
        rowSelection={"mode": "multiRow"},
        pagination=len(tried) > _RUNS_PAGED_FROM,
        suppressFieldDotNotation=True,
    )


def _bar(tried: Sequence[Tried]) -> Component:
    metrics = list(dict.fromkeys([*metrics_in(tried, "validation"), *metrics_in(tried, "gate")]))
    parameters = [name for name, values in parameters_in(tried).items() if len(values) > 1]
    parameters.sort(key=lambda name: (name in _BOOKKEEPING, name not in _FIRST_PARAMETERS, name))
    own = [name for name in parameters if name not in _BOOKKEEPING]
    return html.Div(
        [
            html.P("The pictures show the runs that the table's filters leave.", className="soft wholly"),
            _choice("models-basis", "Numbers from", _BASES, "validation"),
            _choice("models-metric", "Metric", metrics, _LIKED if _LIKED in metrics else next(iter(metrics), None)),
            _choice("models-parameter", "Parameter", parameters, next(iter(parameters), None)),
            _choice("models-parameters", "Parameters together", parameters, own[:_AXES_AT_FIRST], multi=True),
        ],
        className="bar",
    )


def _comparing(tried: Sequence[Tried]) -> Component:
    metrics = list(dict.fromkeys([*metrics_in(tried, "validation"), *metrics_in(tried, "gate")]))
    first = [metric for metric in metrics if metric in FIRST_METRICS]
    ranked = sorted(tried, key=lambda one: (_rank(one), one.judged is None))
    runs = {one.run.id: f"{one.label}, {one.standing.role}, {one.estimator}" for one in tried}
    chosen = [one.run.id for one in ranked if one.version][:_COMPARED_AT_FIRST]
    return html.Div(
        [
            _choice("models-chosen", "Runs (or tick them in the table of runs)", runs, chosen, multi=True),
            _choice("models-metrics", "Metrics", metrics, first, multi=True),
        ],
        className="bar",
    )


def _rank(one: Tried) -> int:
    return ROLES.index(one.standing.role) if one.standing.role in ROLES else len(ROLES)


def _choice(name: str, label: str, options: Any, value: Any, *, multi: bool = False) -> Component:
    chooser = dcc.Dropdown(id=name, options=options, value=value, multi=multi, clearable=multi, maxHeight=320)
    return html.Div([html.Label(label, htmlFor=name), chooser], className="grows")


def _wire(app: Dash, sources: Sources) -> None:
    app.clientside_callback(
        ClientsideFunction("models", "shown"),
        Output("models-shown", "data"),
        Input("models-runs", "virtualRowData"),
        State("models-shown", "data"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        ClientsideFunction("models", "ticked"),
        Output("models-chosen", "value"),
        Input("models-runs", "selectedRows"),
        prevent_initial_call=True,
    )
    _wire_pictures(app, sources)
    _wire_comparison(app, sources)

    @app.callback(
        Output("models-parquet", "data"),
        Output("models-wrong", "children"),
        Input("models-save-parquet", "n_clicks"),
        State("models-shown", "data"),
        prevent_initial_call=True,
    )
    def save(_clicks: int, shown: list[str]) -> tuple[Any, Any]:
        try:
            return dcc.send_bytes(to_parquet(_of(sources, shown)), "runs.parquet"), None
        except GauntletError as e:
            return None, notice(sentence(e), is_wrong=True)


def _wire_pictures(app: Dash, sources: Sources) -> None:
    shown = Input("models-shown", "data")
    basis, metric = Input("models-basis", "value"), Input("models-metric", "value")

    @app.callback(drawn("models-time"), shown, basis, metric)
    def show_time(ids: list[str], basis: Basis, metric: str) -> Any:
        return draw(lambda: figures.over_time(_of(sources, ids), metric, basis))

    @app.callback(drawn("models-impact"), shown, basis, metric, Input("models-parameter", "value"))
    def show_impact(ids: list[str], basis: Basis, metric: str, parameter: str | None) -> Any:
        return draw(lambda: figures.impact(_of(sources, ids), parameter or "", metric, basis))

    @app.callback(drawn("models-parallel"), shown, basis, metric, Input("models-parameters", "value"))
    def show_parallel(ids: list[str], basis: Basis, metric: str, parameters: list[str] | None) -> Any:
        return draw(lambda: parallel(_of(sources, ids), parameters or [], metric, basis))


def _wire_comparison(app: Dash, sources: Sources) -> None:
    @app.callback(
        Output("models-comparison", "children"),
        Input("models-chosen", "value"),
        Input("models-metrics", "value"),
        Input("models-basis", "value"),
    )
    def compare(chosen: list[str] | None, metrics: list[str] | None, basis: Basis) -> Any:
        return say(lambda: _comparison(_of(sources, chosen or []), metrics or [], basis))


def _comparison(chosen: Sequence[Tried], metrics: Sequence[str], basis: Basis) -> Component:
    if not chosen or not metrics:
        return notice("Choose runs and metrics to compare.")
    cards = [_compared(chosen, metric, basis) for metric in metrics]
    side_by_side = table(
        "models-side-by-side",
        comparison_columns(chosen),
        comparison_rows(chosen, metrics),
        title=f"Side by side: {len(chosen):,} runs",
        file="comparison",
        height="24rem",
    )
    return html.Div([html.Div(cards, className="cards"), side_by_side])


def _compared(chosen: Sequence[Tried], metric: str, basis: Basis) -> Component:
    try:
        return picture(figures.compare(chosen, metric, basis), f"compare-{metric}", is_under=True)
    except GauntletError as e:
        return html.Section([html.H3(metric), notice(sentence(e), is_wrong=True)], className="card half")


def _of(sources: Sources, ids: Sequence[str]) -> list[Tried]:
    """The runs of these ids, in their order.

    Raises:
        BadInput: None is there.
    """
    by_id = {one.run.id: one for one in read_tried(sources)}
    found = [by_id[run] for run in ids if run in by_id]
    if ids and not found:
        raise BadInput("none of these runs is at the tracking server any more; load the page again")
    return found


PAGE = Page(
    path="/models",
    name="Models",
    says="Every run and version: how good, with which parameters, what role, since when and by whom.",
    layout=_layout,
    wire=_wire,
    needs_predictions=False,
    needs_champion=False,
)
