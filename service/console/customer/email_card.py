"""The card of the retention e-mail on the page Customer: for operators, about a customer with a live prediction."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from dash import ClientsideFunction, Dash, Input, Output, State, callback_context, dcc, html
from dash.development.base_component import Component

from bentos.artifact import Contract
from bentos.errors import GauntletError, Refused
from service.console.customer.emails import Email, ask_email, read_known, record_sent
from service.console.guard import viewer
from service.console.parts import notice, sentence
from service.console.sources import Sources
from service.console.viewers import Viewer
from service.routes.drafting import LEFT_ALONE, RECORDED, TONES, languages_of

_FOR_OPERATORS = "e-mails are for operators alone"
_WITHHELD = f"{LEFT_ALONE} If one must be written nevertheless, {RECORDED}"
"""Scoring's own notice tells programs how to ask again; here a button does."""


def email_card(contract: Contract, who: Viewer) -> Component:
    """The card before anything was drafted."""
    if not who.is_operator:
        return html.Section([html.H2("Retention e-mail"), notice("E-mails are for operators.")], className="card whole")
    languages = languages_of(contract)
    return html.Section(
        [
            html.H2("Retention e-mail"),
            html.P(
                "A draft about the customer's last live prediction and what the contract allows to be offered. The "
                "customer's id goes to nobody; nothing is sent from here.",
                className="soft",
            ),
            html.Div(
                [
                    _choice("customer-tone", "Tone", TONES),
                    _choice("customer-language", "Language", languages),
                    html.Button("Draft", id="customer-draft", n_clicks=0, disabled=not languages),
                ],
                className="bar",
            ),
            html.Div(id="customer-email-said"),
            html.Div(
                [
                    html.Label("Subject", htmlFor="customer-subject"),
                    dcc.Input(id="customer-subject", type="text", maxLength=300),
                    html.Label("Text", htmlFor="customer-text"),
                    dcc.Textarea(id="customer-text", spellCheck=True),
                    html.Div(
                        [
                            html.Button("Copy", id="customer-copy", className="quiet", n_clicks=0),
                            html.Button("Record as sent", id="customer-sent", className="quiet", n_clicks=0),
                            html.Span(id="customer-sent-said", className="soft", role="status"),
                        ],
                        className="beside",
                    ),
                ],
                id="customer-email",
                className="stack",
                hidden=True,
            ),
            html.Div(
                html.Button("Draft nevertheless, which is recorded", id="customer-override", n_clicks=0),
                id="customer-override-place",
                hidden=True,
            ),
        ],
        className="card whole",
    )


def wire_email(app: Dash, sources: Sources) -> None:
    """Add the card's callbacks."""

    @app.callback(
        Output("customer-email-said", "children"),
        Output("customer-subject", "value"),
        Output("customer-text", "value"),
        Output("customer-email", "hidden"),
        Output("customer-override-place", "hidden"),
        Output("customer-sent-said", "children", allow_duplicate=True),
        Input("customer-draft", "n_clicks"),
        Input("customer-override", "n_clicks"),
        State("customer-tone", "value"),
        State("customer-language", "value"),
        State("customer-known", "data"),
        prevent_initial_call=True,
    )
    def draft(clicks: int, overrides: int, tone: str, language: str, known: object) -> tuple[Any, ...]:
        if not (clicks or overrides):
            return None, "", "", True, True, ""
        try:
            _refuse_readers()
            is_override = callback_context.triggered_id == "customer-override"
            email = ask_email(sources.service, read_known(known), tone=tone, language=language, override=is_override)
        except GauntletError as e:
            return notice(sentence(e), is_wrong=True), "", "", True, True, ""
        if email.draft is None:
            return _said(email), "", "", True, False, ""
        return _said(email), email.draft.subject, email.draft.text, False, True, ""  # nothing of this one is recorded

    @app.callback(
        Output("customer-sent-said", "children"),
        Input("customer-sent", "n_clicks"),
        State("customer-known", "data"),
        prevent_initial_call=True,
    )
    def sent(clicks: int, known: object) -> str:
        if not clicks:
            return ""
        try:
            _refuse_readers()
            record_sent(sources.service, read_known(known), now=datetime.now(UTC))
        except GauntletError as e:
            return sentence(e)
        return "Recorded as a treatment of this prediction."

    app.clientside_callback(
        ClientsideFunction("gauntlet", "copy"),
        Output("announced", "children", allow_duplicate=True),
        Input("customer-copy", "n_clicks"),
        State("customer-subject", "value"),
        State("customer-text", "value"),
        prevent_initial_call=True,
    )


def _refuse_readers() -> None:
    if not viewer().is_operator:
        raise Refused(_FOR_OPERATORS)


def _choice(name: str, label: str, values: tuple[str, ...]) -> Component:
    control = dcc.Dropdown(id=name, options=list(values), value=values[0] if values else None, clearable=False)
    return html.Div([html.Label(label, htmlFor=name), control])


def _said(email: Email) -> Component:
    """Who wrote it and why, or why nobody did."""
    if email.draft is None:
        return html.P(_WITHHELD, className="notice warn", role="status")
    warned = [html.P(email.notice, className="notice warn", role="status")] if email.notice else []
    source = "Written by Groq" if email.source == "groq" else "From the template"
    about = "; ".join(f"{r.phrase} (offer: {', '.join(r.offers)})" if r.offers else r.phrase for r in email.reasons)
    said = [html.Strong(source), f": {email.detail.rstrip('.')}."] + ([f" It is about: {about}."] if about else [])
    return html.Div([*warned, html.P(said, className="notice", role="status")])
