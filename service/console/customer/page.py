"""The page Customer: layout and callbacks; what it asks, reads and draws lies beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from dash import Dash, Input, Output, State, callback_context, no_update
from dash.development.base_component import Component

from bentos.artifact import Value
from bentos.errors import BadInput, GauntletError, NotFound, Refused
from service.console.customer import figures
from service.console.customer.asking import Answer, Start, both_say, explain, read_start, score, score_all
from service.console.customer.changes import (
    Outlook,
    best_of_each,
    changed,
    nearest,
    plans,
    possible_changes,
)
from service.console.customer.email_card import wire_email
from service.console.customer.emails import Known
from service.console.customer.form import read_fields
from service.console.customer.layout import FIELDS, customer_layout
from service.console.customer.reading import read_last
from service.console.customer.showing import (
    say_last,
    say_recorded,
    show_answer,
    show_nearest,
    show_reasons,
    show_stale,
)
from service.console.guard import viewer
from service.console.pages import Page
from service.console.parts import draw, drawn, notice, sentence
from service.console.sources import Sources
from service.console.viewers import Viewer
from service.routes.examples import example_features

Row = Mapping[str, Value]


def _layout(sources: Sources) -> Component:
    return customer_layout(sources.contract(), _example(sources)[0], viewer())


def _wire(app: Dash, sources: Sources) -> None:
    wire_email(app, sources)

    @app.callback(
        Output(FIELDS, "value"),
        Output("customer-found", "children"),
        Output("customer-filled", "data"),
        Output("customer-known", "data"),
        Input("customer-fill", "n_clicks"),
        Input("customer-example", "n_clicks"),
        Input("customer-id", "n_submit"),
        State("customer-id", "value"),
        State(FIELDS, "id"),
        State("customer-filled", "data"),
        prevent_initial_call=True,
    )
    def fill(_fill: int, _clicks: int, _submit: int, customer_id: str, ids: list[Any], filled: int) -> tuple[Any, ...]:
        try:
            is_example = callback_context.triggered_id == "customer-example"
            row, said, known = _example(sources) if is_example else _known(sources, customer_id, viewer())
        except GauntletError as e:
            said = f"{sentence(e)}. The form is left as it was."
            return [no_update] * len(ids), notice(said, is_wrong=True), no_update, None
        kept = None if known is None else msgspec.to_builtins(known)
        return [row.get(one["feature"]) for one in ids], said, filled + 1, kept

    @app.callback(
        Output("customer-known", "data", allow_duplicate=True),
        Output("customer-found", "children", allow_duplicate=True),
        Input("customer-record", "n_clicks"),
        State("customer-id", "value"),
        State(FIELDS, "value"),
        State(FIELDS, "id"),
        prevent_initial_call=True,
    )
    def record(clicks: int, customer_id: str | None, values: list[Value], ids: list[Any]) -> tuple[Any, ...]:
        if not clicks:
            return no_update, no_update
        try:
            own_id = _id_of(customer_id, viewer())
            row = read_fields(sources.contract(), ids, values)
            answer = score(sources.service, row, customer_id=own_id, purpose="live")
        except GauntletError as e:
            return no_update, notice(sentence(e), is_wrong=True)
        return msgspec.to_builtins(Known(own_id, answer.prediction_id, dict(row))), notice(say_recorded(answer))

    @app.callback(
        Output("customer-answer", "children"),
        drawn("customer_scale"),
        Output("customer-stale", "children"),
        Output("customer-cards", "className"),
        Input(FIELDS, "value"),
        Input("customer-base", "data"),
        State(FIELDS, "id"),
    )
    def rescore(values: list[Value], base: dict[str, Any] | None, ids: list[Any]) -> tuple[Any, ...]:
        try:
            return _rescored(sources, read_fields(sources.contract(), ids, values), read_start(base))
        except GauntletError as e:
            return notice(sentence(e), is_wrong=True), {"wrong": sentence(e)}, *_stale(None if base is None else [])

    @app.callback(
        Output("customer-base", "data"),
        Output("customer-reasons", "children"),
        drawn("customer_waterfall"),
        Output("customer-nearest", "children"),
        drawn("customer_offers"),
        Input("customer-explain", "n_clicks"),
        Input("customer-filled", "data"),
        State(FIELDS, "value"),
        State(FIELDS, "id"),
    )
    def study(_clicks: int, _filled: int, values: list[Value], ids: list[Any]) -> tuple[Any, ...]:
        try:
            row = read_fields(sources.contract(), ids, values)
            answer = score(sources.service, row)
        except GauntletError as e:
            wrong = notice(sentence(e), is_wrong=True)
            return no_update, wrong, {"wrong": sentence(e)}, wrong, {"wrong": sentence(e)}
        start = _start(sources, row, answer)
        return msgspec.to_builtins(start), *_explained(sources, row), *_outlook(sources, row, answer)


def _example(sources: Sources) -> tuple[Row, None, None]:
    """A row such as training saw most."""
    return example_features(sources.contract(), sources.reference()), None, None


def _known(sources: Sources, customer_id: str | None, who: Viewer) -> tuple[Row, Component, Known]:
    """A known customer's row, and what was answered when it was last asked."""
    own_id = _id_of(customer_id, who)
    last = read_last(sources.store(), own_id)
    return last.features, notice(say_last(last)), Known(own_id, last.prediction_id, dict(last.features))


def _id_of(customer_id: str | None, who: Viewer) -> str:
    if not who.is_operator:
        raise Refused("customers are shown to operators alone")
    own_id = (customer_id or "").strip()
    if not own_id:
        raise BadInput("type the id of a customer first")
    return own_id


def _rescored(sources: Sources, row: Row, start: Start | None) -> tuple[Any, ...]:
    contract = sources.contract()
    answer = score(sources.service, row)
    marks = {"now": answer.probability}
    moved = []
    if start is not None:
        moved = [name for name, value in row.items() if start.features.get(name) != value]
        marks |= {"before": start.probability} if moved else start.both
    stale = _stale(moved or None)
    return show_answer(answer, contract, start, moved), draw(lambda: figures.scale(marks, contract)), *stale


def _stale(moved: Sequence[str] | None) -> tuple[Component | None, str]:
    """That what was explained is of the customer before these features changed; None: it is of the customer as is."""
    return (None, "cards") if moved is None else (show_stale(moved), "cards stale")


def _start(sources: Sources, row: Row, answer: Answer) -> Start:
    """What changes are counted from; where both variants' words cannot be had, why."""
    start = Start(features=dict(row), probability=answer.probability)
    try:
        return msgspec.structs.replace(start, both=both_say(sources.service, row))
    except GauntletError as e:
        return msgspec.structs.replace(start, why_not_both=sentence(e))


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
        return notice(sentence(nothing)), {"nothing": sentence(nothing)}
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
    has_tables=False,
    needs_predictions=False,
)
