"""The page Customer: layout and callbacks."""

from __future__ import annotations

from dash import Dash, html
from dash.development.base_component import Component

from service.console.pages import Page
from service.console.sources import Sources


def _layout(sources: Sources) -> Component:
    return html.Div(sources.contract().name)


def _wire(app: Dash, sources: Sources) -> None:
    del app, sources


PAGE = Page(path="/customer", name="Customer", says="", layout=_layout, wire=_wire)
