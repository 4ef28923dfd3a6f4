"""The console's composition root: sources, guard, frame and pages become one WSGI application."""

from __future__ import annotations

from typing import Any

import flask
from dash import Dash

from service.console.customer.page import PAGE as CUSTOMER
from service.console.experiment.page import PAGE as EXPERIMENT
from service.console.gate.page import PAGE as GATE
from service.console.guard import Guard
from service.console.models.page import PAGE as MODELS
from service.console.page_code import FOLDER, needed_of_dash
from service.console.production.page import PAGE as PRODUCTION
from service.console.settings import ConsoleSettings
from service.console.shell import ask_ahead, index_html, opened_frame, preload_tags, wire_frame
from service.console.sources import Sources

PAGES = (CUSTOMER, MODELS, PRODUCTION, EXPERIMENT, GATE)
"""In the order of the navigation; the first is shown at `/`."""


_QUESTIONS = "/_dash-update-component"
"""What pages ask goes there, as JSON."""


class _Console(Dash):  # type: ignore[misc]
    """Dash, whose pages carry what they need."""

    def interpolate_index(self, **parts: str) -> str:
        """The page as HTML, by Dash's own hook."""
        ahead = preload_tags(PAGES, flask.request.path)
        needed = {"css": f"{ahead}\n{parts['css']}", "scripts": needed_of_dash(parts["scripts"])}
        index: str = super().interpolate_index(**parts | needed)
        return index


def make_app(settings: ConsoleSettings, sources: Sources | None = None) -> Dash:
    """The whole console.

    Args:
        settings: Of this process.
        sources: Takes the place of those that the settings name.

    Raises:
        InvalidSetting: A file that a setting names cannot be used.
    """
    sources = sources or Sources(settings)
    guard = Guard(settings)
    server = flask.Flask("gauntlet", static_folder=None)
    guard.protect(server, lambda: app.csp_hashes())
    app = _Console(
        "gauntlet",
        server=server,
        assets_folder=str(FOLDER),
        include_assets_files=False,  # the page itself names them
        serve_locally=True,
        suppress_callback_exceptions=True,  # a page's own parts are there only while it is shown
        update_title="",
        title="Gauntlet",
        index_string=index_html(),
        add_log_handler=False,
        use_pages=False,
        use_async=False,  # callbacks are plain functions: an event loop for each would only be in the way
        enable_mcp=False,
    )
    app.layout = lambda: opened_frame(PAGES, sources)
    wire_frame(app, PAGES, sources)
    for page in PAGES:
        page.wire(app, sources)
    _add_probes(server, guard)
    _ask_ahead(server, sources)
    _refuse_other_questions(server, app)
    return app


def _refuse_other_questions(server: flask.Flask, app: Dash) -> None:
    """Answer what no page asks with 400: to Dash it would be a failure of its own, with a line in the log."""

    def refuse() -> Any:
        if flask.request.path != _QUESTIONS or flask.request.method != "POST":
            return None
        try:
            asked = flask.request.get_json(force=True, silent=True)
        except RecursionError:
            asked = None
        if (
            isinstance(asked, dict)
            and isinstance(asked.get("inputs"), list)
            and asked.get("output") in list(app.callback_map)
        ):
            return None
        return flask.jsonify(status=400, title="Bad request", detail="no page of this console asks that"), 400

    server.before_request(refuse)


def _ask_ahead(server: flask.Flask, sources: Sources) -> None:
    """Ask for what a page needs as soon as somebody whom the guard let in opens its address."""
    paths = {"/", *(page.path for page in PAGES)}

    def begin() -> None:
        if flask.request.method == "GET" and flask.request.path in paths:
            ask_ahead(PAGES, flask.request.path, sources)

    server.before_request(begin)


def _add_probes(server: flask.Flask, guard: Guard) -> None:
    def live() -> Any:
        return flask.Response("ok\n", mimetype="text/plain")

    def ready() -> Any:
        """Whether people can come in. A store that is away does not matter here: pages say so."""
        return live() if guard.is_ready else flask.Response("the key files cannot be read\n", 503)

    server.add_url_rule("/livez", "livez", live)
    server.add_url_rule("/readyz", "readyz", ready)
