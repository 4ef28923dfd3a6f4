"""The page Production: layout and callbacks; what it reads, computes and draws lies beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from dash import Dash, Input, Output, callback_context, dcc, html, no_update
from dash.development.base_component import Component

from bentos.command_line import rules_of
from bentos.errors import BadInput, GauntletError, shown
from service.console.guard import viewer
from service.console.pages import Page
from service.console.parts import draw, drawn, notice, place, sentence, table
from service.console.production import drift_figures, figures
from service.console.production.alerts import judge_features, judge_mean, judge_score
from service.console.production.course import add_up, by_piece, histogram, rolling
from service.console.production.drift import compare
from service.console.production.drift_reading import read_counted
from service.console.production.outcomes import read_last_told, read_outcomes
from service.console.production.reading import read_cells, read_rhythm, read_riskiest, read_seen
from service.console.production.showing import (
    ALL,
    DATES,
    LAST_TOLD,
    SPANS,
    WINDOWS,
    controls,
    show_alert,
    show_totals,
)
from service.console.production.spans import Span, between, last, piece_of
from service.console.sources import Sources
from service.console.viewers import Viewer
from service.micros import from_micros, to_micros
from validation.drift.counting import ReferenceModel
from validation.judge.policy import load_policy

_LISTED = 200
_RISKIEST = (
    {"field": "customer", "headerName": "Customer", "minWidth": 150},
    {"field": "at", "headerName": "Scored, UTC", "minWidth": 190},
    {"field": "probability", "headerName": "Probability", "type": "rightAligned", "minWidth": 130},
    {"field": "variant", "headerName": "Answered by", "minWidth": 135},
    {"field": "treatment", "headerName": "Actions", "minWidth": 120},
)
_DRAWING_SECONDS = 2.0
"""All pictures ask within that time; then they are of the same span."""
_FIRST = "production-first"
"""Changes when what stands at the top of the page is there; what stands further down is asked for then."""
_FURTHEST = ""
"""Stands for the feature that is furthest beyond its limit."""


@dataclass(frozen=True)
class Chosen:
    """Which predictions are looked at, as the controls say.

    Attributes:
        span: A key of `SPANS`, `ALL` or `DATES`.
        first: With `DATES` the first day.
        final: With `DATES` the last day.
    """

    span: str
    first: str | None
    final: str | None

    def among(self, sources: Sources) -> Span:
        """The stretch of time that this is now."""
        if self.span == DATES:
            return between(self.first, self.final)
        if self.span not in (*SPANS, ALL):
            raise BadInput(f"time: {shown(self.span)} is not allowed; it must be one of {', '.join(SPANS)}, all, dates")
        if self.span == ALL:
            return sources.kept("production: seen", lambda: read_seen(sources.store()), seconds=_DRAWING_SECONDS)
        return last(SPANS[self.span][1], to_micros(datetime.now(UTC)))


def _layout(sources: Sources) -> Component:
    names = [feature.name for feature in sources.contract().features]
    return html.Div(
        [
            dcc.Interval(id="production-tick", interval=1000 * sources.settings.refresh_seconds),
            dcc.Store(id=_FIRST),
            controls(),
            html.Ul(
                [html.Li(id=f"production-alert-{rule}") for rule in ("mean", "score", "features")],
                className="alerts",
                **{"aria-label": "Alerts"},
            ),
            html.Div(id="production-totals"),
            html.Div(
                [
                    place("volume", "Predictions over time"),
                    place("probabilities", "Probabilities and risk", is_narrow=True),
                    place("hours", "Predictions by hour of the day", is_narrow=True),
                    place("rolling", "Rolling mean of the probability"),
                    place("drift", "Drift by feature", height=600, is_narrow=True),
                    _distribution(names),
                    place("calibration", "What came true", height=380),
                    html.Div(
                        [html.P(id="production-customers", className="soft"), html.Div(id="production-wrong")],
                        className="whole",
                    ),
                    table(
                        "riskiest",
                        _RISKIEST,
                        title="Customers at the highest risk",
                        file="highest-risk",
                        height="26rem",
                        pagination=True,
                    ),
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


def _wire(app: Dash, sources: Sources) -> None:
    chosen = (
        Input("production-span", "value"),
        Input("production-days", "start_date"),
        Input("production-days", "end_date"),
        Input("production-tick", "n_intervals"),
    )

    @app.callback(
        Output("production-tick", "disabled"),
        Output("production-live", "children"),
        Output("production-live", "aria-pressed"),
        Output("production-days-place", "hidden"),
        Input("production-live", "n_clicks"),
        Input("production-span", "value"),
    )
    def choose(clicks: int, span: str) -> tuple[bool, str, str, bool]:
        is_live = not clicks % 2
        said = f"Live, every {sources.settings.refresh_seconds} s" if is_live else "Paused"
        return not is_live, said, str(is_live).lower(), span != DATES

    @app.callback(
        Output(_FIRST, "data"),
        Output("production-totals", "children"),
        Output("production-alert-mean", "children"),
        *[drawn(name) for name in ("volume", "probabilities", "rolling")],
        Input("production-window", "value"),
        *chosen,
    )
    def show_course(window: int, *asked: Any) -> tuple[Any, ...]:
        made = _or_wrong(lambda: _course(sources, _chosen(asked), window), notices=1, silent=1, pictures=3)
        is_window = callback_context.triggered_id == "production-window"  # of which nothing further down knows
        return (no_update if is_window else asked, *made)

    first = Input(_FIRST, "data")

    @app.callback(drawn("hours"), Output("production-customers", "children"), *chosen, first)
    def show_rhythm(*asked: Any) -> tuple[Any, ...]:
        try:
            return _rhythm(sources, _chosen(asked))
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
        return _or_wrong(lambda: _drift(sources, _chosen(asked), feature), notices=0, silent=2, pictures=2)

    @app.callback(drawn("calibration"), Input("production-moment", "value"), *chosen, first)
    def show_outcomes(moment: str, *asked: Any) -> dict[str, Any]:
        return draw(lambda: _calibration(sources, _chosen(asked), moment))

    @app.callback(Output("riskiest", "rowData"), Output("production-wrong", "children"), *chosen, first)
    def list_riskiest(*asked: Any) -> tuple[Any, ...]:
        try:
            return _riskiest(sources, _chosen(asked), viewer()), None
        except GauntletError as e:
            return [], notice(sentence(e), is_wrong=True)


def _chosen(asked: tuple[Any, ...]) -> Chosen:
    return Chosen(*asked[:3])


def _or_wrong(make: Callable[[], tuple[Any, ...]], *, notices: int, silent: int, pictures: int) -> tuple[Any, ...]:
    """What a callback gives, or why it cannot: said once in words, and in the place of every picture."""
    try:
        return make()
    except GauntletError as e:
        wrong = sentence(e)
        return (*[notice(wrong, is_wrong=True)] * notices, *[None] * silent, *[{"wrong": wrong}] * pictures)


def _course(sources: Sources, chosen: Chosen, window: int) -> tuple[Any, ...]:
    if window not in WINDOWS:
        raise BadInput(
            f"rolling window: {shown(window)} is not allowed; it must be one of {', '.join(map(str, WINDOWS))}"
        )
    contract, baseline, span = sources.contract(), sources.reference().score.mean, chosen.among(sources)
    length, bands = piece_of(span), len(contract.risk_bands)
    cells = read_cells(sources.store(), span, length, contract.risk_bands)
    pieces = by_piece(cells, bands=bands)
    points = rolling(pieces, length, window=window)
    return (
        show_totals(add_up(cells, bands=bands), contract),
        show_alert(judge_mean(points, baseline, window)),
        draw(lambda: figures.volume(pieces, length, span, contract)),
        draw(lambda: figures.probabilities(histogram(cells, bands=bands), span, contract)),
        draw(lambda: figures.rolling_mean(points, window, contract, baseline)),
    )


def _rhythm(sources: Sources, chosen: Chosen) -> tuple[Any, ...]:
    span = chosen.among(sources)
    rhythm = read_rhythm(sources.store(), span)
    return draw(lambda: figures.hours(rhythm.hours, span)), f"{rhythm.customers:,} different customers were scored."


def _drift(sources: Sources, chosen: Chosen, feature: str) -> tuple[Any, ...]:
    reference, span = sources.reference(), chosen.among(sources)
    model = ReferenceModel(label="", digest=sources.champion().digest, contract=sources.contract(), reference=reference)
    counted = read_counted(sources.store(), span, model)
    drifts = compare(reference, counted, span)
    shown = next((drift for drift in drifts if drift.name == feature), drifts[0] if drifts else None)
    overview = draw(lambda: drift_figures.overview(drifts, counted, span))
    return (
        show_alert(judge_score(drifts, counted)),
        show_alert(judge_features(drifts, counted)),
        overview,
        overview if shown is None else draw(lambda: drift_figures.distributions(shown, reference.n)),
    )


def _calibration(sources: Sources, chosen: Chosen, moment: str) -> Any:
    store = sources.store()
    now, told = to_micros(datetime.now(UTC)), read_last_told(store)
    seen_from = max(now, told) if moment == LAST_TOLD and told is not None else now
    window = load_policy(rules_of(sources.settings.policy_file, sources.folder)).maturity_window
    outcomes = read_outcomes(store, chosen.among(sources), window=window, moment=seen_from)
    said = f"as of {from_micros(seen_from):%Y-%m-%d %H:%M} UTC"
    return drift_figures.calibration(outcomes, sources.contract(), seen_from=said)


def _riskiest(sources: Sources, chosen: Chosen, who: Viewer) -> list[dict[str, Any]]:
    lowest, store = sources.contract().risk_bands[-1].from_probability, sources.store()
    return [
        {
            "customer": who.customer(scored.customer_id),
            "at": f"{from_micros(scored.at):%Y-%m-%d %H:%M:%S}",
            "probability": round(scored.probability, 4),
            "variant": scored.variant,
            "treatment": "withheld" if scored.no_treatment else "allowed",
        }
        for scored in read_riskiest(store, chosen.among(sources), at_least=lowest, most=_LISTED)
    ]


PAGE = Page(
    path="/production",
    name="Production",
    says="What was answered, to how many, and whether it still looks like what the model was trained on.",
    layout=_layout,
    wire=_wire,
)
