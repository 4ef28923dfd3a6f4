"""The page Production: layout and callbacks; what it reads and draws lies beside it."""

from __future__ import annotations

from typing import Any

from dash import Dash, Input, Output, dcc, html
from dash.development.base_component import Component

from bentos.artifact import Contract
from bentos.errors import GauntletError
from service.console.guard import viewer
from service.console.pages import Page
from service.console.parts import draw, drawn, notice, place, sentence, table, tile, tiles
from service.console.production import figures
from service.console.production.course import Sums, add_up, by_piece, histogram, rolling
from service.console.production.reading import read_cells, read_rhythm, read_riskiest, read_seen
from service.console.production.spans import DAY, HOUR, Span, last, piece_of
from service.console.sources import Sources
from service.console.viewers import Viewer
from service.micros import from_micros
from service.store import Store

_SPANS = {"hour": ("the last hour", HOUR), "day": ("the last 24 hours", DAY), "week": ("the last 7 days", 7 * DAY)} | {
    "month": ("the last 30 days", 30 * DAY),
    "all": ("everything", None),
}
_WINDOWS = (50, 100, 200, 500, 1000, 2000, 5000)
_PICTURES = ("volume", "probabilities", "rolling")
_LISTED = 200
_RISKIEST = (
    {"field": "customer", "headerName": "Customer"},
    {"field": "at", "headerName": "Scored, UTC"},
    {"field": "probability", "headerName": "Probability", "type": "rightAligned"},
    {"field": "variant", "headerName": "Answered by"},
    {"field": "treatment", "headerName": "Actions"},
)


def _layout(sources: Sources) -> Component:
    ticker = dcc.Interval(id="production-tick", interval=1000 * sources.settings.refresh_seconds)
    return html.Div(
        [
            ticker,
            _bar(),
            html.Div(id="production-totals"),
            html.P(id="production-customers", className="soft"),
            html.Div(
                [
                    place("volume", "Predictions over time"),
                    place("probabilities", "Probabilities and risk", is_narrow=True),
                    place("hours", "Predictions by hour of the day", is_narrow=True),
                    place("rolling", "Rolling mean of the probability"),
                ],
                className="cards",
            ),
            html.Div(id="production-wrong"),
            table(
                "riskiest",
                _RISKIEST,
                title="Customers at the highest risk",
                file="highest-risk",
                height="26rem",
                pagination=True,
            ),
        ]
    )


def _bar() -> Component:
    return html.Div(
        [
            html.Div(
                [
                    html.Label("Time", htmlFor="production-span"),
                    dcc.Dropdown(
                        id="production-span",
                        options=[{"value": key, "label": name} for key, (name, _) in _SPANS.items()],
                        value="all",
                        clearable=False,
                        searchable=False,
                    ),
                ]
            ),
            html.Div(
                [
                    html.Label("Rolling window", htmlFor="production-window"),
                    dcc.Dropdown(
                        id="production-window",
                        options=[{"value": n, "label": f"{n:,} predictions"} for n in _WINDOWS],
                        value=200,
                        clearable=False,
                        searchable=False,
                    ),
                ]
            ),
        ],
        className="bar",
    )


def _wire(app: Dash, sources: Sources) -> None:
    tick = Input("production-tick", "n_intervals")
    span = Input("production-span", "value")

    @app.callback(
        Output("production-totals", "children"),
        *[drawn(name) for name in _PICTURES],
        span,
        Input("production-window", "value"),
        tick,
    )
    def show(chosen: str, window: int, _tick: int | None) -> tuple[Any, ...]:
        try:
            return _course(sources, chosen, window)
        except GauntletError as e:
            return notice(sentence(e), is_wrong=True), *({"wrong": sentence(e)} for _ in _PICTURES)

    @app.callback(drawn("hours"), Output("production-customers", "children"), span, tick)
    def show_rhythm(chosen: str, _tick: int | None) -> tuple[Any, ...]:
        try:
            chosen_span = _span(sources.store(), chosen)
            rhythm = read_rhythm(sources.store(), chosen_span)
        except GauntletError as e:
            return {"wrong": sentence(e)}, ""
        return draw(lambda: figures.hours(rhythm.hours, chosen_span)), f"{rhythm.customers:,} different customers"

    @app.callback(Output("riskiest", "rowData"), Output("production-wrong", "children"), span, tick)
    def list_riskiest(chosen: str, _tick: int | None) -> tuple[Any, ...]:
        try:
            return _riskiest(sources, chosen, viewer()), None
        except GauntletError as e:
            return [], notice(sentence(e), is_wrong=True)


def _course(sources: Sources, chosen: str, window: int) -> tuple[Any, ...]:
    contract, store = sources.contract(), sources.store()
    span = _span(store, chosen)
    length, bands = piece_of(span), len(contract.risk_bands)
    cells = read_cells(store, span, length, contract.risk_bands)
    pieces = by_piece(cells, bands=bands)
    return (
        _totals(add_up(cells, bands=bands), contract),
        draw(lambda: figures.volume(pieces, length, span, contract)),
        draw(lambda: figures.probabilities(histogram(cells, bands=bands), span, contract)),
        draw(lambda: figures.rolling_mean(rolling(pieces, length, window=window), window, contract)),
    )


def _riskiest(sources: Sources, chosen: str, who: Viewer) -> list[dict[str, Any]]:
    contract, store = sources.contract(), sources.store()
    lowest = contract.risk_bands[-1].from_probability
    return [
        {
            "customer": who.customer(scored.customer_id),
            "at": f"{from_micros(scored.at):%Y-%m-%d %H:%M:%S}",
            "probability": round(scored.probability, 4),
            "variant": scored.variant,
            "treatment": "withheld" if scored.no_treatment else "allowed",
        }
        for scored in read_riskiest(store, _span(store, chosen), at_least=lowest, most=_LISTED)
    ]


def _span(store: Store, chosen: str) -> Span:
    return last(_SPANS[chosen][1], read_seen(store))


def _totals(sums: Sums, contract: Contract) -> Component:
    positive, highest = contract.labels.positive, contract.risk_bands[-1]
    return tiles(
        [
            tile("Live predictions", f"{sums.n:,}", "that a model answered"),
            tile(f"{contract.target} = {positive}", f"{sums.positive / sums.n:.1%}", f"{sums.positive:,} predictions"),
            tile(f"Risk {highest.name}", f"{sums.highest:,}", f"{sums.highest / sums.n:.1%} of predictions"),
            tile("Mean probability", f"{sums.mean:.3f}", f"of {positive}"),
            tile("Answered by the challenger", f"{sums.challenger:,}", f"{sums.challenger / sums.n:.1%}"),
        ]
    )


PAGE = Page(
    path="/production",
    name="Production",
    says="What was answered, to how many, and whether it still looks like what the model was trained on.",
    layout=_layout,
    wire=_wire,
)
