"""The page Customer: layout and callbacks; what it asks, reads and draws lies beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from dash import ALL, Dash, Input, Output, State, callback_context, dcc, html, no_update
from dash.development.base_component import Component

from bentos.artifact import Contract, Value
from bentos.errors import GauntletError, NotFound
from service.console.customer import figures
from service.console.customer.asking import Answer, Start, explain, read_start, score, score_all, trial_of
from service.console.customer.changes import (
    Outlook,
    best_of_each,
    changed,
    nearest,
    plans,
    possible_changes,
)
from service.console.customer.form import fields, read_fields
from service.console.customer.reading import read_last
from service.console.customer.showing import say_last, show_answer, show_nearest, show_reasons
from service.console.guard import viewer
from service.console.pages import Page
from service.console.parts import draw, drawn, notice, place, sentence
from service.console.sources import Sources
from service.console.viewers import Viewer
from service.routes.examples import example_features

_FIELDS = {"page": "customer", "feature": ALL}
Row = Mapping[str, Value]


def _layout(sources: Sources) -> Component:
    contract, example = sources.contract(), _example(sources)[0]
    return html.Div(
        [
            dcc.Store(id="customer-base"),
            dcc.Store(id="customer-filled", data=0),
            _lookup(contract, viewer()),
            html.Div(id="customer-found"),
            html.Div(
                [
                    html.Section(
                        [
                            html.H2("The customer"),
                            html.P(
                                "Every change is scored at once as a what-if, which is never evidence, and is "
                                "shown beside the answer before it.",
                                className="soft",
                            ),
                            fields(contract, example),
                        ],
                        className="card half tall",
                    ),
                    html.Div(
                        [
                            html.Div(id="customer-answer"),
                            place("customer_scale", "On the scale of risk", height=190),
                            html.Div(
                                [
                                    html.Button("Explain this customer", id="customer-explain", n_clicks=0),
                                    html.Span(
                                        "takes what stands in the form as the new starting point", className="soft"
                                    ),
                                ],
                                className="beside",
                            ),
                            html.Div(id="customer-reasons"),
                        ],
                        className="stack",
                    ),
                    place("customer_waterfall", "What moves the answer (SHAP)", height=420),
                    html.Section(
                        [html.H2("Nearest change that lowers the risk"), html.Div(id="customer-nearest")],
                        className="card whole",
                    ),
                    place("customer_offers", "What could be offered", height=300),
                ],
                className="cards",
            ),
        ]
    )


def _lookup(contract: Contract, who: Viewer) -> Component:
    known = dcc.Input(id="customer-id", type="text", debounce=False, disabled=not who.is_operator, maxLength=200)
    return html.Div(
        [
            html.Div([html.Label(f"Known customer ({contract.id})", htmlFor="customer-id"), known]),
            html.Button("Fill in", id="customer-fill", n_clicks=0, disabled=not who.is_operator),
            html.Button("An example", id="customer-example", className="quiet", n_clicks=0),
            *([] if who.is_operator else [html.Span("Customers are for operators.", className="soft")]),
        ],
        className="bar",
    )


def _wire(app: Dash, sources: Sources) -> None:
    @app.callback(
        Output(_FIELDS, "value"),
        Output("customer-found", "children"),
        Output("customer-filled", "data"),
        Input("customer-fill", "n_clicks"),
        Input("customer-example", "n_clicks"),
        Input("customer-id", "n_submit"),
        State("customer-id", "value"),
        State(_FIELDS, "id"),
        State("customer-filled", "data"),
        prevent_initial_call=True,
    )
    def fill(_fill: int, _clicks: int, _submit: int, customer_id: str, ids: list[Any], filled: int) -> tuple[Any, ...]:
        try:
            is_example = callback_context.triggered_id == "customer-example"
            row, found = _example(sources) if is_example else _known(sources, customer_id, viewer())
        except GauntletError as e:
            return [no_update] * len(ids), notice(sentence(e), is_wrong=True), no_update
        return [row.get(one["feature"]) for one in ids], found, filled + 1

    @app.callback(
        Output("customer-answer", "children"),
        drawn("customer_scale"),
        Input(_FIELDS, "value"),
        Input("customer-base", "data"),
        State(_FIELDS, "id"),
    )
    def rescore(values: list[Value], base: dict[str, Any] | None, ids: list[Any]) -> tuple[Any, ...]:
        try:
            return _rescored(sources, read_fields(sources.contract(), ids, values), read_start(base))
        except GauntletError as e:
            return notice(sentence(e), is_wrong=True), {"wrong": sentence(e)}

    @app.callback(
        Output("customer-base", "data"),
        Output("customer-reasons", "children"),
        drawn("customer_waterfall"),
        Output("customer-nearest", "children"),
        drawn("customer_offers"),
        Input("customer-explain", "n_clicks"),
        Input("customer-filled", "data"),
        State(_FIELDS, "value"),
        State(_FIELDS, "id"),
    )
    def study(_clicks: int, _filled: int, values: list[Value], ids: list[Any]) -> tuple[Any, ...]:
        try:
            row = read_fields(sources.contract(), ids, values)
            answer = score(sources.service, row)
        except GauntletError as e:
            wrong = notice(sentence(e), is_wrong=True)
            return no_update, wrong, {"wrong": sentence(e)}, wrong, {"wrong": sentence(e)}
        start = Start(features=dict(row), probability=answer.probability, both=_both(sources, row))
        return msgspec.to_builtins(start), *_explained(sources, row), *_outlook(sources, row, answer)


def _example(sources: Sources) -> tuple[Row, None]:
    """A row such as training saw most."""
    return example_features(sources.contract(), sources.reference()), None


def _known(sources: Sources, customer_id: str | None, who: Viewer) -> tuple[Row, Component]:
    """A known customer's row, and what was answered when it was last asked."""
    if not who.is_operator:
        raise NotFound("customers are shown to operators alone")
    if not (customer_id or "").strip():
        raise NotFound("type the id of a customer first")
    last = read_last(sources.store(), str(customer_id).strip())
    return last.features, notice(say_last(last))


def _rescored(sources: Sources, row: Row, start: Start | None) -> tuple[Any, ...]:
    contract = sources.contract()
    answer = score(sources.service, row)
    marks = {"now": answer.probability}
    moved = []
    if start is not None:
        moved = [name for name, value in row.items() if start.features.get(name) != value]
        marks |= {"before": start.probability} if moved else start.both
    return show_answer(answer, contract, start, moved), draw(lambda: figures.scale(marks, contract))


def _both(sources: Sources, row: Row) -> dict[str, float]:
    """Both variants' words about a row, where somebody is on trial; what cannot be had is left out."""
    try:
        trial = trial_of(sources.service)
        if trial.challenger is None or trial.mode == "off":
            return {}
        found = {v: explain(sources.service, row, variant=v).explanation for v in ("champion", "challenger")}
    except GauntletError:
        return {}
    return {variant: explanation.probability for variant, explanation in found.items()}


def _explained(sources: Sources, row: Row) -> tuple[Component, dict[str, Any]]:
    try:
        explained = explain(sources.service, row)
    except GauntletError as e:
        return notice(sentence(e), is_wrong=True), {"wrong": sentence(e)}
    return show_reasons(explained), draw(lambda: figures.waterfall(explained, sources.contract()))


def _outlook(sources: Sources, row: Row, answer: Answer) -> tuple[Component, dict[str, Any]]:
    contract = sources.contract()
    tried = plans(possible_changes(contract, sources.reference(), row))
    if not tried:
        nothing = NotFound("the contract names nothing that could be offered to this customer")
        return notice(sentence(nothing)), {"wrong": sentence(nothing)}
    try:
        scored = score_all(sources.service, [changed(row, plan) for plan in tried])
    except GauntletError as e:
        return notice(sentence(e), is_wrong=True), {"wrong": sentence(e)}
    outlooks = [Outlook(plan, p, contract.risk(p)) for plan, p in zip(tried, scored, strict=True)]
    best = best_of_each(outlooks, answer.probability)
    return show_nearest(nearest(outlooks, contract, answer.probability), contract, answer), draw(
        lambda: figures.offers(best, answer.probability, contract)
    )


PAGE = Page(
    path="/customer",
    name="Customer",
    says="What the model says of one customer, why, and what could be done.",
    layout=_layout,
    wire=_wire,
    needs_predictions=False,
)
