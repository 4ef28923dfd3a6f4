"""The page Experiment: layout and callbacks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from dash import Dash, Input, Output, State, dcc, html, no_update
from dash.development.base_component import Component

from bentos.command_line import rules_of
from bentos.errors import GauntletError, NotFound
from service.console.experiment import figures, pair_sections, sections, tables
from service.console.experiment.naming import Names, read_names, short
from service.console.experiment.pairs import Pairs
from service.console.experiment.reading import (
    Told,
    Trial,
    read_lineage_changes,
    read_mark,
    read_told,
    read_trials,
)
from service.console.experiment.standing import Running, ask_judge, read_running
from service.console.experiment.wording import title_of
from service.console.gate.reading import read_reports
from service.console.guard import viewer
from service.console.pages import Page
from service.console.parts import notice, picture, reading, say, sentence, tile, tiles, what_to_do
from service.console.sources import NextStep, Sources
from service.micros import to_micros
from service.store import Store
from validation.judge.audit import Change
from validation.judge.disagreements import Awaited, find_disagreements
from validation.pages import Figure
from validation.planning.remaining import how_long_still

_LISTED = 1000
"""Truths that are awaited; more are for `gauntlet disagreements`."""

_OPEN = "open"


def _layout(sources: Sources) -> Component:
    return html.Div(
        [
            dcc.Interval(id="experiment-tick", interval=1000 * sources.settings.refresh_seconds),
            dcc.Store(id="experiment-mark"),
            html.Div(reading(), id="experiment-now"),
            html.Section([_bar(sources), html.Div(reading(), id="experiment-trial"), html.Div(id="experiment-rest"),
                          html.Div(id="experiment-awaited")], id="experiment-online"),
            pair_sections.offline(sources),
        ]
    )  # fmt: skip


def _bar(sources: Sources) -> Component:
    trials, names = _trials(sources)
    options = [{"value": trial.experiment, "label": title_of(trial, names)} for trial in trials]
    return html.Div(
        [
            html.Div(
                [
                    html.Label("Trial", htmlFor="experiment-chosen"),
                    dcc.Dropdown(
                        id="experiment-chosen",
                        options=options,
                        value=options[0]["value"] if options else None,
                        clearable=False,
                        searchable=False,
                    ),
                ],
                className="long",
            ),
            html.Div(
                [
                    html.Label("Evidence", htmlFor="experiment-open"),
                    dcc.Dropdown(
                        id="experiment-open",
                        options=[
                            {"value": "closed", "label": "closed cohorts"},
                            {"value": _OPEN, "label": "open ones too, provisionally"},
                        ],
                        value="closed",
                        clearable=False,
                        searchable=False,
                    ),
                ]
            ),
        ],
        className="bar",
        hidden=not options,
    )


def _wire(app: Dash, sources: Sources) -> None:
    tick = Input("experiment-tick", "n_intervals")
    chosen, open_too = Input("experiment-chosen", "value"), Input("experiment-open", "value")
    mark = Input("experiment-mark", "data")

    @app.callback(Output("experiment-mark", "data"), tick, State("experiment-mark", "data"))
    def look_for_news(_tick: int | None, before: Any) -> Any:
        """Draw again only where something is new: a page that is read must not move."""
        try:
            found: list[Any] = [*read_mark(sources.store())]
        except GauntletError as e:
            found = [sentence(e)]
        return no_update if found == before else found

    @app.callback(Output("experiment-now", "children"), tick)
    def show_now(_tick: int | None) -> Any:
        return say(lambda: _now(sources))

    @app.callback(Output("experiment-trial", "children"), chosen, open_too, mark)
    def show_trial(experiment: str | None, evidence: str, _mark: Any) -> Any:
        return say(lambda: _trial(sources, experiment, with_open=evidence == _OPEN))

    @app.callback(Output("experiment-rest", "children"), chosen, mark)
    def show_rest(experiment: str | None, _mark: Any) -> Any:
        return say(lambda: _rest(sources, experiment))

    @app.callback(Output("experiment-awaited", "children"), chosen, mark)
    def show_awaited(experiment: str | None, _mark: Any) -> Any:
        return say(lambda: _awaited(sources, experiment))

    pair_sections.wire(app, sources, Pairs())


def _trials(sources: Sources) -> tuple[tuple[Trial, ...], Names]:
    """Every trial, with who is who; none where there is no store yet."""
    try:
        store = sources.store()
    except NotFound:
        return (), Names()
    return read_trials(store, _running_or_none(sources)), read_names(sources)


def _running_or_none(sources: Sources) -> tuple[Running, ...]:
    """Who is on trial; nobody where nobody can say, which `_now` tells."""
    try:
        return read_running(sources)
    except GauntletError:
        return ()


# the experiment now


def _now(sources: Sources) -> Component:
    try:
        running = read_running(sources)
    except NotFound as e:
        return html.Div([what_to_do(_first_experiment(sources)), notice(sentence(e))])
    names = read_names(sources)
    parts: list[Component] = [_standing(one, names) for one in running]
    parts += [notice(names.problem, is_wrong=True)] if names.problem else []
    parts.append(_judge(sources))
    if not any(one.is_on for one in running):
        parts.append(what_to_do(_next_trial(sources)))
    return html.Div(parts)


def _standing(one: Running, names: Names) -> Component:
    challenger = names.of(one.challenger) if one.is_on else "nobody"
    beside = "on trial" if one.is_on else "no trial: the champion answers alone"
    return tiles(
        [
            tile("Mode", one.phase, f"as {one.said_by} says"),
            tile("Champion", names.of(one.champion), "serves by default"),
            tile("Challenger", challenger, beside),
            tile("Since", f"{one.effective_from:%Y-%m-%d %H:%M}", f"UTC, revision {one.revision}"),
        ]
    )


def _judge(sources: Sources) -> Component:
    """What the judge says of itself; its absence is no reason to show nothing else."""
    try:
        status = ask_judge(sources)
    except GauntletError as e:
        return notice(f"The judge is not heard: {sentence(e)}. What follows is what the store holds.", is_wrong=True)
    said = "nobody is on trial" if status.mode == "off" else status.verdict.verdict
    lag = status.cohort_lag_seconds
    behind = f"; closing is {lag:,.0f} s behind" if lag else ""
    return html.P(
        f"The judge looked at {status.looked_at:%Y-%m-%d %H:%M:%S} UTC: {said}. Since these roles "
        f"began, {status.logged.predictions:,} predictions were logged, what-ifs among them, and "
        f"{status.logged.outcomes:,} truths{behind}.",
        className="soft",
    )


def _first_experiment(sources: Sources) -> NextStep:
    at = f"--folder {sources.folder.path}"
    if not sources.folder.bento.exists():
        return NextStep(
            "There is no experiment here yet. This packs the champion and the challenger into what is served.",
            f"gauntlet package {at}",
        )
    return NextStep(
        "There is no experiment here yet. This serves the packed champion and begins the experiment.",
        f"gauntlet serve {at}",
    )


def _next_trial(sources: Sources) -> NextStep:
    at, model = f"--folder {sources.folder.path}", sources.model()
    if sources.registry().find(f"models:/{model}@challenger") is not None:
        return NextStep(
            "Nobody is on trial. This scores the challenger in the champion's shadow; it must be in the Bento that is "
            "served (gauntlet package).",
            f"gauntlet experiment shadow models:/{model}@challenger {at}",
        )
    candidate = sources.registry().find(f"models:/{model}@candidate")
    if candidate is None:
        return NextStep("Nobody is on trial, and there is no candidate. This trains one.", f"gauntlet train {at}")
    judged = read_reports(sources).newest_of(candidate.number)
    if judged is not None and judged.digest == candidate.digest:
        return NextStep(
            f"Nobody is on trial, and the gate has judged the newest candidate, {short(candidate)}, already: "
            f"{judged.verdict} ({judged.passed} of {judged.checks} checks passed), {judged.consequence}. This trains "
            "another one.",
            f"gauntlet train {at}",
        )
    return NextStep(
        "Nobody is on trial, and no model is challenger. This judges the newest candidate; a pass makes it one.",
        f"gauntlet gate models:/{model}@candidate {at}",
    )


# one trial


@dataclass(frozen=True)
class _Read:
    """What the parts of the page that are about one trial share."""

    store: Store
    told: Told
    names: Names
    changes: tuple[Change, ...]


def _read(sources: Sources, experiment: str | None, *, with_open: bool) -> _Read | None:
    """A trial, read once for all who ask at the same time; None where there is none."""
    name = ("experiment", experiment, with_open)
    return sources.kept(name, lambda: _read_now(sources, experiment, with_open=with_open))


def _read_now(sources: Sources, experiment: str | None, *, with_open: bool) -> _Read | None:
    trials, names = _trials(sources)
    trial = next((trial for trial in trials if trial.experiment == experiment), trials[0] if trials else None)
    if trial is None:
        return None
    store, rules, now = sources.store(), rules_of(None, sources.folder), datetime.now(UTC)
    changes = read_lineage_changes(store)
    told = read_told(store, trial, policy_file=rules, with_open=with_open, now=now, changes=changes)
    return _Read(store, told, names, changes)


def _read_shown(sources: Sources, experiment: str | None, *, with_open: bool) -> _Read | None:
    """As `_read`; with the open cohorts too where no other is there."""
    found = _read(sources, experiment, with_open=with_open)
    if found is not None and not found.told.cohorts and found.told.first_at is not None and not with_open:
        return _read(sources, experiment, with_open=True) or found
    return found


def _trial(sources: Sources, experiment: str | None, *, with_open: bool) -> Any:
    found = _read_shown(sources, experiment, with_open=with_open)
    if found is None:
        return notice("No trial was ever begun here, so that there is no evidence to show.")
    told, names, changes = found.told, found.names, found.changes
    parts: list[Component | None] = [sections.verdict_card(told, names), sections.provisional_notice(told)]
    if told.cohorts:
        parts += [sections.number_tiles(told), _pictures(told, changes)]
        parts += [tables.phase_table(told), tables.cohort_table(told), sections.arms_section(told.evidence)]
    else:
        parts.append(notice(f"No cohort of this trial holds anybody yet. {sections.first_to_close(told)}"))
    live = told.verdict.live if told.verdict else None
    parts += [sections.limit_section(live, told.policy), tables.changes_table(changes, names)]
    return html.Div([part for part in parts if part is not None], className="stack")


def _pictures(told: Told, changes: Sequence[Change]) -> Component:
    made: list[Figure] = [figures.difference(told, changes), figures.log_e(told, changes)]
    made.append(figures.customers(told, changes))
    if figures.has_split(told.evidence):
        made.append(figures.sample_ratio(told, changes))
    if told.evidence.groups:
        made.append(figures.groups(told.evidence.groups, told.policy))
    return html.Div([picture(figure, figure.name) for figure in made], className="cards")


def _rest(sources: Sources, experiment: str | None) -> Any:
    """How long still, of a trial that is running and undecided."""
    found = _read(sources, experiment, with_open=False)
    if found is None or not found.told.trial.is_on:
        return None
    told = found.told
    if told.verdict is None or told.verdict.verdict != "KEEP_COLLECTING" or not told.evidence.matured:
        return None
    now, through = to_micros(told.now), told.closed_through or 0
    return sections.rest_card(how_long_still(told.cohorts, told.policy, told.lineage, closed_through=through, now=now))


def _awaited(sources: Sources, experiment: str | None) -> Any:
    found = _read(sources, experiment, with_open=False)
    if found is None or found.told.trial.ended is not None:
        return None
    return tables.awaited_section(_read_awaited(sources, found), viewer(), found.told.policy)


def _read_awaited(sources: Sources, found: _Read) -> Awaited:
    store, experiment, policy = found.store, found.told.trial.experiment, found.told.policy
    return sources.kept(
        ("experiment", "awaited", experiment, policy.digest),
        lambda: find_disagreements(store, experiment, policy, now=datetime.now(UTC), limit=_LISTED),
    )


def _first_questions(sources: Sources) -> Sequence[Callable[[], object]]:
    """What the page asks of the trial that it shows when it is opened."""
    trials, _ = _trials(sources)
    if not trials:
        return ()
    experiment = trials[0].experiment

    def ask_awaited() -> object:
        found = _read(sources, experiment, with_open=False)
        return None if found is None or found.told.trial.ended is not None else _read_awaited(sources, found)

    return lambda: _read_shown(sources, experiment, with_open=False), ask_awaited


PAGE = Page(
    path="/experiment",
    name="Experiment",
    says="Who is on trial, what live customers say of it, and how any two models compare on the same held-out rows.",
    layout=_layout,
    wire=_wire,
    first_questions=_first_questions,
    needs_predictions=False,
)
