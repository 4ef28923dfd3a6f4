"""What every page stands in: navigation, theme, who is logged in; and the callbacks that are the browser's own."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

import flask
from dash import ALL, MATCH, ClientsideFunction, Dash, Input, Output, State, dcc, html, no_update
from dash.development.base_component import Component
from dash.fingerprint import build_fingerprint

from bentos.errors import GauntletError
from service.console.guard import viewer
from service.console.page_code import address, script_tags, style_tags
from service.console.pages import Page
from service.console.parts import heading, notice, sentence, what_to_do
from service.console.sources import Sources
from service.console.viewers import Viewer

_PLOTLY = "/_dash-component-suites/" + build_fingerprint("plotly/package_data/plotly.min.js", version("plotly"), 0)
"""Dash itself would fetch Plotly with the first picture, when the numbers are there and somebody waits for them. By its
version in the name browsers know that they may keep it, compiled too."""


def index_html() -> str:
    """What every page is made of before anything is in it, for Dash to fill in."""
    return f"""<!doctype html>
<html lang="en">
<head>
{{%metas%}}
<title>{{%title%}}</title>
<script src="{address("theme.js")}"></script>
<link rel="icon" href="{address("icon.svg")}" type="image/svg+xml">
<link rel="preload" href="/_dash-layout" as="fetch" crossorigin>
<link rel="preload" href="/_dash-dependencies" as="fetch" crossorigin>
{{%css%}}
{style_tags()}
</head>
<body>
{{%app_entry%}}
<noscript>The console draws its pictures with JavaScript, which this browser has switched off.</noscript>
<footer>{{%config%}}{{%scripts%}}{script_tags()}{{%renderer%}}
<script id="plotly" src="{_PLOTLY}" async></script></footer>
</body>
</html>
"""


_CHOICES, _TABLES = "dash/dcc/async-dropdown.js", "dash_ag_grid/async-community.js"
"""Code that Dash fetches only when it comes upon the first control or table of its kind, and then waits for."""


def preload_tags(pages: Sequence[Page], path: str) -> str:
    """What a browser is to fetch at once with the page at a path, as HTML."""
    page = _find(pages, path)
    codes = [_CHOICES, *([_TABLES] if page is None or page.has_tables else [])]
    return "\n".join(f'<link rel="preload" href="/_dash-component-suites/{code}" as="script">' for code in codes)


_OPENS_SECONDS = 1.0
"""So long a frame waits for its page."""

_AGAIN, _WHY = "again", "why-not"
"""What stands on a page that cannot be shown: it is tried again, and replaced once there is another reason or none."""


def opened_frame(pages: Sequence[Page], sources: Sources) -> Component:
    """The frame, with the page in it whose address somebody opened.

    A page that takes its time comes after the frame, as does one whose address the browser does not say.
    """
    path = _opened_path()
    if path is None or _find(pages, path) is None:
        return frame(pages)
    content = sources.in_time(flask.copy_current_request_context(lambda: page_at(pages, path, sources)), _OPENS_SECONDS)
    return frame(pages) if content is None else frame(pages, path, content, _who(viewer()))


def _opened_path() -> str | None:
    """Of the page that asks for its frame; None where the browser does not say it, or nobody asks."""
    asking = flask.request.headers.get("Referer") if flask.has_request_context() else None
    try:
        return urlsplit(asking).path if asking else None
    except ValueError:
        return None


def frame(
    pages: Sequence[Page], path: str | None = None, content: Component | None = None, who: Component | None = None
) -> Component:
    """The frame that stays while pages change.

    Args:
        pages: In the order of the navigation.
        path: Of the page that is in it already; None: the browser says where it is, and is given the page then.
        content: That page.
        who: Who is here.
    """
    return html.Div(
        [
            dcc.Location(id="place", **({} if path is None else {"pathname": path})),
            dcc.Store(id="theme"),
            html.A("To the content", href="#content", className="skip"),
            html.Header(
                [
                    html.Span("Gauntlet", className="brand"),
                    html.Nav(
                        [dcc.Link(page.name, href=page.path, id=_link(page)) for page in pages],
                        **{"aria-label": "Pages"},
                    ),
                    html.Div(
                        [
                            html.Div(who, id="who"),
                            html.Button("Theme", id="theme-button", className="quiet", n_clicks=0),
                        ],
                        className="right",
                    ),
                ],
                className="top",
            ),
            html.Main(content, id="content", tabIndex="-1"),
            html.Div(id="trouble", role="alert", className="notice wrong", hidden=True),
            html.Div(id="announced", role="status", className="unseen"),
        ]
    )


def wire_frame(app: Dash, pages: Sequence[Page], sources: Sources) -> None:
    """Add the callbacks of the frame."""

    @app.callback(
        Output("content", "children"),
        Output("who", "children"),
        Input("place", "pathname"),
        prevent_initial_call=True,  # a frame that lacks its page lacks its path too, and is told it by the browser
    )
    def open_page(path: str | None) -> tuple[Component, Component]:
        ask_ahead(pages, path, sources)
        return page_at(pages, path, sources), _who(viewer())

    @app.callback(
        Output("content", "children", allow_duplicate=True),
        Input(_AGAIN, "n_intervals"),
        State("place", "pathname"),
        State(_WHY, "data"),
        prevent_initial_call=True,
    )
    def look_again(_tick: int, path: str | None, why: str) -> Any:
        """Of a page that could not be shown: whoever waits for a store to come back need not load it anew."""
        found = page_at(pages, path, sources)
        return no_update if why_not(found) == why else found

    app.clientside_callback(
        ClientsideFunction("gauntlet", "arrive"),
        Output("announced", "children"),
        Input("content", "children"),
        State("place", "pathname"),
    )
    app.clientside_callback(
        ClientsideFunction("gauntlet", "theme"), Output("theme", "data"), Input("theme-button", "n_clicks")
    )
    app.clientside_callback(
        ClientsideFunction("gauntlet", "draw"),
        Output({"part": "frame", "name": MATCH}, "children"),
        Input({"part": "drawn", "name": MATCH}, "data"),
        Input("theme", "data"),
    )
    app.clientside_callback(
        ClientsideFunction("gauntlet", "save"),
        Output("announced", "children", allow_duplicate=True),
        Input({"part": "save", "name": ALL}, "n_clicks"),
        prevent_initial_call=True,
    )


def ask_ahead(pages: Sequence[Page], path: str | None, sources: Sources) -> None:
    """Begin to ask what the page at a path is about to ask, if there is one."""
    page = _find(pages, path)
    if page is not None:
        sources.ask_ahead(page.path, lambda: page.first_questions(sources))


def page_at(pages: Sequence[Page], path: str | None, sources: Sources) -> Component:
    """What stands at a path: the page, what to do first, or why it cannot be shown."""
    page = _find(pages, path)
    if page is None:
        listed = ", ".join(page.path for page in pages)
        return html.Div([heading("Not here", f"There is no {path}; there are {listed}.")])
    parts = [heading(page.name, page.says)]
    try:
        step = sources.next_step(needs_predictions=page.needs_predictions, needs_champion=page.needs_champion)
        if step is None:
            return html.Div([*parts, page.layout(sources)], className="page")
        parts, why = [*parts, what_to_do(step)], step.says
    except GauntletError as e:
        why = sentence(e)
        parts = [*parts, notice(why, is_wrong=True)]
    again = dcc.Interval(id=_AGAIN, interval=1000 * sources.settings.refresh_seconds)
    return html.Div([*parts, dcc.Store(id=_WHY, data=why), again], className="page")


def why_not(page: Component) -> str | None:
    """Why a page is not there; None where it is."""
    return next((part.data for part in page.children if getattr(part, "id", None) == _WHY), None)


def _find(pages: Sequence[Page], path: str | None) -> Page | None:
    return next((page for page in pages if page.path == path), pages[0] if path in (None, "/") else None)


def _who(who: Viewer) -> Component:
    """Who is here, and the way out where they logged in."""
    role = "operator" if who.is_operator else "reads only"
    leave = html.Form(html.Button("Log out", className="quiet"), action="/logout", method="post")
    return html.Div([html.Span(f"{who.name}, {role}", className="soft"), *([leave] if who.has_session else [])])


def _link(page: Page) -> str:
    return f"to-{page.path.strip('/')}"
