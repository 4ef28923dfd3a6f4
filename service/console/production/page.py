"""The page Production: layout and callbacks; what it reads, computes and draws lies beside it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from dash import ClientsideFunction, Dash, Input, Output, State, callback_context, dcc, html, no_update
from dash.development.base_component import Component

from bentos.errors import BadInput, GauntletError, shown
from service.console.customer.asking import trial_of
from service.console.experiment.naming import read_names
from service.console.guard import viewer
from service.console.pages import Page
from service.console.parts import draw, drawn, notice, place, sentence, table
from service.console.production import drift_figures, figures
from service.console.production.alerts import Alert, judge_features, judge_mean, judge_score
from service.console.production.asking import Answers, Chosen, first_questions
from service.console.production.course import add_up, by_piece, histogram, last_point, rolling
from service.console.production.drift import compare
from service.console.production.showing import (
    DATES,
    DAYS,
    PICKER,
    WINDOWS,
    controls,
    days_picker,
    show_alert,
    show_totals,
)
from service.console.sources import Sources
from service.console.viewers import Viewer
from service.micros import from_micros

_RISKIEST = (
    {"field": "customer", "headerName": "Customer", "minWidth": 150},
    {"field": "at", "headerName": "Scored, UTC", "minWidth": 190},
    {"field": "probability", "headerName": "Probability", "type": "rightAligned", "minWidth": 130},
    {"field": "variant", "headerName": "Answered by", "minWidth": 135},
    {"field": "model", "headerName": "That is, today", "minWidth": 215},
    {"field": "treatment", "headerName": "Actions", "minWidth": 120},
)
_FIRST, _DRAWN = "production-first", "production-drawn"
"""Changes when what stands at the top of the page is there, and then when the browser has drawn it; what stands further
down is asked for then."""
_FIRST_PICTURES = ("volume", "probabilities", "rolling")
"""Those that come with it; where a screen is tall, others are seen too, and nobody may wait for them."""
_LIST = "production-list"
"""Where the table stands. The browser takes as long to make it as three pictures: it does while the first numbers are
still asked for."""
_SCORING_SECONDS = 3.0
"""Scoring says within milliseconds who is on trial; one that takes so long does not answer, and each tick asks."""
_FURTHEST = ""
"""Stands for the feature that is furthest beyond its limit."""


def _layout(sources: Sources) -> Component:
    names = [feature.name for feature in sources.contract().features]
    return html.Div(
        [
            dcc.Interval(id="production-tick", interval=1000 * sources.settings.refresh_seconds),
            dcc.Store(id=_FIRST),
            dcc.Store(id=_DRAWN),
            controls(),
            html.Ul(
                [html.Li(id=f"production-alert-{rule}") for rule in ("scoring", "mean", "score", "features")],
                className="alerts",
                **{"aria-label": "Alerts"},
            ),
            html.Div(id="production-totals"),
            html.Div(
                [
                    place("volume", "Predictions over time"),
                    place("rolling", "Rolling mean of the probability"),
                    place("probabilities", "Probabilities and risk", is_narrow=True),
                    place("hours", "Predictions by hour of the day", is_narrow=True),
                    place("drift", "Drift by feature", height=600, is_narrow=True),
                    _distribution(names),
                    place("calibration", "What came true", height=380),
                    html.Div(
                        [html.P(id="production-customers", className="soft"), html.Div(id="production-wrong")],
                        className="whole",
                    ),
                    html.Div(_list(), id=_LIST, className="whole"),
                ],
                className="cards",
            ),
        ]
    )


def _distribution(names: list[str]) -> Component:
    """One feature's picture, under the choice of which."""
    options = [{"value": _FURTHEST, "label": "the furthest beyond its limit"}]
    options += [{"value": name, "label": name} for name in [*names, "score"]]
    chosen = dcc.Dropdown(id="production-feature", options=options, value=_FURTHEST, clearable=False)
    choice = html.Div([html.Label("Feature", htmlFor="production-feature"), chosen], className="unprinted")
    return html.Div([choice, place("distribution", "Training and now")], className="stack half")


def _wire_controls(app: Dash, sources: Sources) -> None:
    @app.callback(
        Output("production-tick", "disabled"),
        Output("production-live", "children"),
        Output("production-live", "aria-pressed"),
        Input("production-live", "n_clicks"),
    )
    def choose(clicks: int) -> tuple[bool, str, str]:
        is_live = not clicks % 2
        said = f"Live, every {sources.settings.refresh_seconds} s" if is_live else "Paused"
        return not is_live, said, str(is_live).lower()

    @app.callback(
        Output("production-days-place", "hidden"),
        Output("production-days-place", "children"),
        Output(DAYS, "data"),
        Input("production-span", "value"),
        State("production-days-place", "children"),
        prevent_initial_call=True,
    )
    def offer_days(span: str, there: Any) -> tuple[bool, Any, Any]:
        if there or span != DATES:
            return span != DATES, no_update, no_update
        final = datetime.now(UTC).date()
        first = final - timedelta(days=6)
        return False, days_picker(first, final), [first.isoformat(), final.isoformat()]

    @app.callback(
        Output(DAYS, "data", allow_duplicate=True),
        Input(PICKER, "start_date"),
        Input(PICKER, "end_date"),
        prevent_initial_call=True,
    )
    def choose_days(first: str | None, final: str | None) -> list[str | None]:
        return [first, final]


def _wire(app: Dash, sources: Sources) -> None:
    _wire_controls(app, sources)
    chosen = (
        Input("production-span", "value"),
        Input(DAYS, "data"),
        Input("production-tick", "n_intervals"),
    )

    def answers_to(asked: tuple[Any, ...]) -> Answers:
        span, days, *_ = asked
        first, final = days if isinstance(days, list) and len(days) == 2 else (None, None)
        return Answers(sources, Chosen(*(None if one is None else str(one) for one in (span, first, final))))

    @app.callback(
        Output(_FIRST, "data"),
        Output("production-totals", "children"),
        Output("production-alert-mean", "children"),
        *[drawn(name) for name in _FIRST_PICTURES],
        Input("production-window", "value"),
        *chosen,
    )
    def show_course(window: int, *asked: Any) -> tuple[Any, ...]:
        made = _or_wrong(lambda: _course(sources, answers_to(asked), window), notices=1, silent=1, pictures=3)
        is_window = callback_context.triggered_id == "production-window"  # of which nothing further down knows
        return (no_update if is_window else asked, *made)

    app.clientside_callback(
        ClientsideFunction("gauntlet", "whenDrawn"),
        Output(_DRAWN, "data"),
        Input(_FIRST, "data"),
        *[State(drawn(name).component_id, "data") for name in _FIRST_PICTURES],
    )
    top_drawn = Input(_DRAWN, "data")

    @app.callback(Output("production-alert-scoring", "children"), Input("production-tick", "n_intervals"))
    def show_scoring(_tick: int | None) -> list[Component]:
        return show_alert(sources.kept(("production", "scoring"), lambda: _judge_scoring(sources)))

    @app.callback(drawn("hours"), Output("production-customers", "children"), *chosen, top_drawn)
    def show_rhythm(*asked: Any) -> tuple[Any, ...]:
        try:
            return _rhythm(answers_to(asked))
        except GauntletError as e:
            return {"wrong": sentence(e)}, ""

    @app.callback(
        Output("production-alert-score", "children"),
        Output("production-alert-features", "children"),
        *[drawn(name) for name in ("drift", "distribution")],
        Input("production-feature", "value"),
        *chosen,
    )
    def show_drift(feature: str, *asked: Any) -> tuple[Any, ...]:
        return _or_wrong(lambda: _drift(sources, answers_to(asked), feature), notices=0, silent=2, pictures=2)

    @app.callback(drawn("calibration"), Input("production-moment", "value"), *chosen, top_drawn)
    def show_outcomes(moment: str, *asked: Any) -> dict[str, Any]:
        return draw(lambda: _calibration(sources, answers_to(asked), moment))

    @app.callback(
        Output("riskiest", "rowData"),
        Output(_LIST, "hidden"),
        Output("production-wrong", "children"),
        *chosen,
        top_drawn,
    )
    def list_riskiest(*asked: Any) -> tuple[Any, ...]:
        try:
            return _riskiest(sources, answers_to(asked), viewer()), False, None
        except GauntletError as e:
            return no_update, True, notice(sentence(e), is_wrong=True)


def _or_wrong(make: Callable[[], tuple[Any, ...]], *, notices: int, silent: int, pictures: int) -> tuple[Any, ...]:
    """What a callback gives, or why it cannot: said once in words, and in the place of every picture."""
    try:
        return make()
    except GauntletError as e:
        wrong = sentence(e)
        return (*[notice(wrong, is_wrong=True)] * notices, *[None] * silent, *[{"wrong": wrong}] * pictures)


def _course(sources: Sources, answers: Answers, window: int) -> tuple[Any, ...]:
    if window not in WINDOWS:
        raise BadInput(
            f"rolling window: {shown(window)} is not allowed; it must be one of {', '.join(map(str, WINDOWS))}"
        )
    contract, baseline, span = sources.contract(), sources.reference().score.mean, answers.span()
    length, bands = answers.piece(), len(contract.risk_bands)
    cells, newest = answers.cells(), answers.newest(window)
    pieces = by_piece(cells, bands=bands)
    last = last_point(newest, window=window)
    points = [*rolling(pieces, length, window=window)[:-1], *([last] if last else [])]
    return (
        show_totals(add_up(cells, bands=bands), contract, newest.at, datetime.now(UTC)),
        show_alert(judge_mean(last, baseline, window)),
        draw(lambda: figures.volume(pieces, length, span, contract)),
        draw(lambda: figures.probabilities(histogram(cells, bands=bands), span, contract)),
        draw(lambda: figures.rolling_mean(points, window, length, contract, baseline)),
    )


def _judge_scoring(sources: Sources) -> Alert:
    """Whether anybody is answered now: what the store holds looks well long after nobody is."""
    try:
        trial = trial_of(sources.service, seconds=_SCORING_SECONDS)
    except GauntletError as e:
        return Alert("Scoring", "alert", sentence(e))
    on_trial = "nobody is on trial" if trial.challenger is None else f"{trial.challenger} is on trial"
    return Alert("Scoring", "well", f"it answers; mode {trial.mode}, {on_trial}")


def _rhythm(answers: Answers) -> tuple[Any, ...]:
    span, rhythm = answers.span(), answers.rhythm()
    return draw(lambda: figures.hours(rhythm.hours, span)), f"{rhythm.customers:,} different customers were scored."


def _drift(sources: Sources, answers: Answers, feature: str) -> tuple[Any, ...]:
    reference, span, counted = sources.reference(), answers.span(), answers.counted()
    drifts = compare(reference, counted, span)
    shown = next((drift for drift in drifts if drift.name == feature), drifts[0] if drifts else None)
    overview = draw(lambda: drift_figures.overview(drifts, counted, span))
    return (
        show_alert(judge_score(drifts, counted)),
        show_alert(judge_features(drifts, counted)),
        overview,
        overview if shown is None else draw(lambda: drift_figures.distributions(shown, reference.n)),
    )


def _calibration(sources: Sources, answers: Answers, moment: str) -> Any:
    seen = answers.outcomes(moment)
    return drift_figures.calibration(seen.outcomes, sources.contract(), seen_from=seen.moment)


def _riskiest(sources: Sources, answers: Answers, who: Viewer) -> list[dict[str, Any]]:
    names, champion = read_names(sources), sources.champion().digest
    return [
        {
            "customer": who.customer(scored.customer_id),
            "at": f"{from_micros(scored.at):%Y-%m-%d %H:%M:%S}",
            "probability": round(scored.probability, 4),
            "variant": scored.variant,
            "model": names.of(scored.model) + (", champion" if scored.model == champion else ", not champion"),
            "treatment": "withheld" if scored.no_treatment else "allowed",
        }
        for scored in answers.riskiest()
    ]


def _list() -> Component:
    title, file = "Customers at the highest risk", "highest-risk"
    return table("riskiest", _RISKIEST, None, title=title, file=file, height="26rem", pagination=True)


PAGE = Page(
    path="/production",
    name="Production",
    says="What was answered, to how many, and whether it still looks like what the model was trained on.",
    layout=_layout,
    wire=_wire,
    first_questions=first_questions,
)
