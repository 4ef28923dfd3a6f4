"""What every dashboard has: its variables, its links to the others, and marks where something changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import dashboard, prometheus
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models

from grafana.alerts.experiment import IDENTITY
from grafana.boards.panels import BAD, GOOD, GREY, SOURCE, WARN, Panel
from grafana.boards.picking import NAMESPACE, pick
from service import metric_names as names
from service.metric_names import Judge

TAG = "gauntlet"
EVERYTHING = models.VariableOption(selected=True, text="All", value="$__all")

_OURS = ('alertname=~"Gauntlet.*"', NAMESPACE)
ALERTS = pick("ALERTS", *_OURS)
"""Alerts of these rules, pending and firing."""

FIRING = pick("ALERTS", *_OURS, alertstate="firing")
"""Those that fire."""

SINCE = pick("ALERTS_FOR_STATE", *_OURS)
"""When each began to hold, in seconds since 1970 UTC."""

RUNBOOK = "${runbooks}/${__data.fields.Alert}.md"
"""Where a row of a table of alerts leads to."""


@dataclass(frozen=True)
class Choice:
    """A variable at the top of a dashboard: values of a label, any of which may be chosen.

    Attributes:
        name: As expressions call it.
        metric: Whose label it is.
    """

    name: str
    metric: str


MODEL = Choice("model", names.MODEL_ROWS)
VARIANT = Choice("variant", names.PREDICTIONS)
CHALLENGER = "challenger"
"""A variable that is one of the judge's models, chosen by the name and version that scoring calls it by."""

WINDOWS = ("1h", "1d", "7d")
"""How far back a current window of drift reaches: those that the rules record."""


@dataclass(frozen=True)
class Row:
    """A row of panels under a heading.

    Attributes:
        title: The heading.
        panels: From left to right, line after line; the widths of a line add up to 24.
    """

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True)
class Board:
    """A dashboard.

    Attributes:
        uid: By which others link to it, and its file's name.
        title: What it is called.
        says: What it answers.
        rows: What is on it.
        choices: Its variables beside source, namespace and the place of the runbooks.
        is_of_trial: Whether it has the variable `challenger`: one, as panels show its intervals.
        since: How far back it looks when it is opened.
        has_windows: Whether it has a variable `window`, of `WINDOWS`.
    """

    uid: str
    title: str
    says: str
    rows: Sequence[Row]
    choices: Sequence[Choice] = ()
    is_of_trial: bool = False
    since: str = "now-24h"
    has_windows: bool = False


def dashboard_text(board: Board) -> str:
    """The JSON of a dashboard as it is committed and as Grafana imports it."""
    made = (
        dashboard.Dashboard(board.title)
        .uid(board.uid)
        .description(board.says)
        .tags([TAG])
        .readonly()
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .time(board.since, "now")
        .refresh("1m")
        .timezone("browser")
        .link(_others())
    )
    for variable in _variables(board):
        made = made.with_variable(variable)
    for mark in _marks():
        made = made.annotation(mark)
    for row in board.rows:
        made = made.with_row(dashboard.Row(row.title))
        for panel in row.panels:
            made = made.with_panel(panel)
    built = made.build()
    for number, placed in enumerate(built.panels or (), 1):
        placed.id_val = number
    return JSONEncoder(sort_keys=True, indent=2, ensure_ascii=False).encode(built) + "\n"


def _variables(board: Board) -> Iterator[Builder[models.VariableModel]]:
    yield _source()
    yield _variable(Choice("namespace", names.READY))
    if board.is_of_trial:
        yield _challenger()
    yield from map(_variable, board.choices)
    if board.has_windows:
        yield _windows()
    yield _runbooks()


def _others() -> dashboard.DashboardLink:
    return (
        dashboard.DashboardLink("Gauntlet")
        .type(models.DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .tooltip("The other dashboards, with the same choices and the same time")
        .include_vars(True)
        .keep_time(True)
    )


def _source() -> dashboard.DatasourceVariable:
    return dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus")


def _variable(choice: Choice) -> dashboard.QueryVariable:
    made = _queried(choice.name, f"label_values({choice.metric}, {choice.name})")
    return made.multi(True).include_all(True).all_value(".*").current(EVERYTHING)


def _challenger() -> dashboard.QueryVariable:
    """Shown by identity, and by the digest alone where scoring does not say whose that is."""
    trials = f"group by (namespace, model) ({pick(Judge.VERDICT, NAMESPACE)})"
    called = f"group by (model, identity) ({trials} * on (namespace, model) group_left (identity) {IDENTITY})"
    made = _queried(CHALLENGER, f"query_result({called} or on (model) group by (model) ({trials}))")
    return made.regex('/(?:identity="(?<text>[^"]+)".*)?model="(?<value>[^"]+)"/')


def _queried(name: str, query: str) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(name)
        .label(name.capitalize())
        .datasource(SOURCE)
        .query(query)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.NATURAL_ASC)
    )


def _windows() -> dashboard.CustomVariable:
    return (
        dashboard.CustomVariable("window")
        .label("Window of drift")
        .values(",".join(WINDOWS))
        .current(models.VariableOption(selected=True, text="1d", value="1d"))
    )


def _runbooks() -> dashboard.TextBoxVariable:
    return (
        dashboard.TextBoxVariable("runbooks")
        .label("Runbooks at")
        .description("The address of the folder grafana/runbooks in your copy of the repository.")
        .default_value("/runbooks")
    )


def _marks() -> list[dashboard.AnnotationQuery]:
    champion = f"max by (namespace, model) ({pick(names.MODEL_INFO, NAMESPACE, role='champion')})"
    mode = f"max by (namespace, mode) ({pick(names.EXPERIMENT_MODE, NAMESPACE)} == 1)"
    revision = f"max by (namespace) ({pick(names.EXPERIMENT_REVISION, NAMESPACE)})"
    return [
        _mark("Promotion", _became(champion, "model"), "{{model}} became champion", GOOD),
        _mark("Rollback", _left_trial(), "the trial of {{model}} ended without a promotion", BAD),
        _mark("Mode", _became(mode, "mode"), "the experiment's mode is {{mode}}", WARN),
        _mark("Revision", f"{revision} != {_before(revision)}", "the experiment file has a new revision", GREY),
        _mark("Alerts", FIRING, "{{alertname}}", BAD),
    ]


def _became(series: str, label: str) -> str:
    """Who was not there a moment ago, where somebody else was: a start from nothing is no change."""
    earlier = _before(series)
    return f"({series} unless on (namespace, {label}) {earlier}) and on (namespace) {earlier}"


def _left_trial() -> str:
    """Who was challenger a moment ago and has no role now, where somebody still serves."""
    was = f"max by (namespace, model) ({pick(names.MODEL_INFO, NAMESPACE, role='challenger')} offset 2m)"
    has_a_role = f"max by (namespace, model) ({pick(names.MODEL_INFO, NAMESPACE)})"
    return f"({was} unless {has_a_role}) and on (namespace) {has_a_role}"


def _before(series: str) -> str:
    """The same expression as it was two minutes ago."""
    selector, closing, rest = series.partition("}")
    return f"{selector}{closing} offset 2m{rest}"


def _mark(name: str, expr: str, title: str, colour: str) -> dashboard.AnnotationQuery:
    target = prometheus.Dataquery().expr(expr).ref_id("A").datasource(SOURCE).range()
    mark = dashboard.AnnotationQuery().name(name).datasource(SOURCE).enable(True).icon_color(colour)
    return mark.target(target).expr(expr).title_format(title).step("60s")
