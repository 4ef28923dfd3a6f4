"""What stands on the page Customer before anything was asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dash import ALL, dcc, html
from dash.development.base_component import Component

from bentos.artifact import Contract, Value
from service.console.customer.email_card import email_card
from service.console.customer.form import fields
from service.console.parts import place
from service.console.viewers import Viewer

FIELDS: dict[str, Any] = {"page": "customer", "feature": ALL}
"""The ids of all fields of the form."""


def customer_layout(contract: Contract, example: Mapping[str, Value], who: Viewer) -> Component:
    """The whole page.

    Args:
        contract: Gives the form.
        example: Stands in it at first.
        who: Looks at it.
    """
    return html.Div(
        [
            dcc.Store(id="customer-base"),
            dcc.Store(id="customer-filled", data=0),
            dcc.Store(id="customer-known"),
            _lookup(contract, who),
            html.Div(id="customer-found"),
            html.Div(
                [
                    _form(contract, example),
                    _answer(who),
                    place("customer_waterfall", "What moves the answer (SHAP)", height=420),
                    html.Section(
                        [html.H2("Nearest change that lowers the risk"), html.Div(id="customer-nearest")],
                        className="card whole",
                    ),
                    place("customer_offers", "What could be offered", height=300),
                    email_card(contract, who),  # the last one, and alone no explanation of the form
                ],
                id="customer-cards",
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


def _form(contract: Contract, example: Mapping[str, Value]) -> Component:
    about = (
        "Every change is scored at once as a what-if, which is never evidence, and shown beside the answer before it."
    )
    return html.Section(
        [html.H2("The customer"), html.P(about, className="soft"), fields(contract, example)],
        className="card half",
    )


def _answer(who: Viewer) -> Component:
    recording = html.Button(
        "Record as live",
        id="customer-record",
        className="quiet",
        n_clicks=0,
        disabled=not who.is_operator,
        title="Scores the customer with the id above as a live prediction",
    )
    return html.Div(
        [
            html.Div(id="customer-answer"),
            place("customer_scale", "On the scale of risk", height=190),
            html.Div(
                [
                    html.Button(
                        "Explain this customer",
                        id="customer-explain",
                        n_clicks=0,
                        title="Takes what stands in the form as the new starting point",
                    ),
                    recording,
                ],
                className="beside",
            ),
            html.Div(id="customer-stale"),
            html.Div(id="customer-reasons"),
        ],
        className="stack",
    )
