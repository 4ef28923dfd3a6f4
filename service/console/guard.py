"""Who may come in: logins, sessions, requests from elsewhere, and the headers that every answer carries.

A session is Flask's signed cookie: its id, its end and a mark of the key it began with. A key that is taken away ends
it at once, and so does logging out, wherever a copy of the cookie went. What changes something comes from a page of
ours (Origin) with a cookie that other sites' forms do not carry (SameSite).
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast
from urllib.parse import SplitResult, quote, urlsplit

import flask

from bentos.errors import InvalidSetting
from service.console import page_code
from service.console.login import login_page
from service.console.sessions import EndedSessions
from service.console.settings import ConsoleSettings
from service.console.viewers import NOBODY_ASKED, Viewer, viewer_of_key, viewer_of_proxy
from service.http.keys import Keys, digest_of, mark_of
from service.http.problems import HttpRefusal
from service.settings import LOOPBACK

logger = logging.getLogger("gauntlet.console")

COOKIE = "gauntlet_console"
PROBES = ("/livez", "/readyz")
_LOGIN, _LOGOUT = "/login", "/logout"
_CODE = (page_code.AT, "/_dash-component-suites/")
"""What browsers may keep: it says nothing of anybody, and the pictures' code alone is 5 MB."""
_BODY_LIMIT_BYTES = 4 * 1024 * 1024
_SHORTEST_KEY_BYTES = 32
_SAFE = ("GET", "HEAD", "OPTIONS")

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class Guard:
    """The door of one console."""

    def __init__(self, settings: ConsoleSettings) -> None:
        """Read the keys.

        Args:
            settings: Of this process.

        Raises:
            InvalidSetting: The file with the session key is none.
        """
        self._settings = settings
        self._keys = Keys(settings.keys_path)
        self._session_key = _session_key(settings.session_key_file)
        self._proxies = frozenset(settings.trusted_proxies.split())
        self._operators = frozenset(settings.proxy_operators.split())
        self._ended = EndedSessions()
        self._hosts = frozenset(urlsplit(origin).netloc for origin in settings.origins.split())

    @property
    def is_ready(self) -> bool:
        """Whether the key files, as they are now, can be read."""
        self._keys.poll()
        return self._keys.is_valid

    @property
    def asks_for_login(self) -> bool:
        """Whether people must log in."""
        if self._settings.authentication != "auto":
            return self._settings.authentication == "on"
        is_told_who = self._settings.keys_folder is not None or bool(self._proxies) or self._keys.has_any()
        return is_told_who or not self._settings.is_loopback

    def protect(self, server: flask.Flask, script_hashes: Callable[[], list[str]]) -> None:
        """Stand in front of every route of a server.

        Args:
            server: Of the console.
            script_hashes: The inline scripts of its pages, as a policy names them.
        """
        server.secret_key = self._session_key
        server.config.update(
            SESSION_COOKIE_NAME=COOKIE,
            SESSION_COOKIE_HTTPONLY=True,
            SESSION_COOKIE_SAMESITE="Lax",
            SESSION_COOKIE_SECURE=self._settings.has_secure_cookie,
            MAX_CONTENT_LENGTH=_BODY_LIMIT_BYTES,
        )
        server.before_request(self._let_in)
        server.add_url_rule(_LOGIN, "login", self._login, methods=["GET", "POST"])
        server.add_url_rule(_LOGOUT, "logout", self._logout, methods=["POST"])
        policy = None

        def seal(response: flask.Response) -> flask.Response:
            nonlocal policy
            policy = policy or _policy(script_hashes())
            return self._seal(response, policy)

        server.after_request(seal)

    def _let_in(self) -> Any:
        """None for whoever may come in; the answer for everybody else."""
        request = flask.request
        if request.path in PROBES:
            return None
        self._keys.poll()
        if not self.asks_for_login and not self._is_own(request.host):
            return _refused("this console asks nobody to log in, and so is only for this machine")
        if request.method not in _SAFE and not self._is_from_here(request):
            return _refused("this request does not come from a page of this console")
        if request.path in (_LOGIN, _LOGOUT) or request.path.startswith(page_code.AT):
            return None
        viewer = self._viewer(request)
        if viewer is None:
            return _to_login(request)
        flask.g.viewer = viewer
        return None

    def _is_own(self, host: str) -> bool:
        """Whether a Host names this machine: a name of somebody else's that leads here would be a page of theirs."""
        name = _split(f"//{host}").hostname or ""
        return name in LOOPBACK or name.endswith(".localhost") or host in self._hosts

    def _is_from_here(self, request: flask.Request) -> bool:
        return _host_of(request.headers.get("Origin") or "") in {request.host, *self._hosts}

    def _viewer(self, request: flask.Request) -> Viewer | None:
        if request.remote_addr in self._proxies:
            named = request.headers.get(self._settings.proxy_user_header, "").strip()
            if named:
                return viewer_of_proxy(named, self._operators)
        if not self.asks_for_login:
            return NOBODY_ASKED
        session = flask.session
        client = self._keys.client_marked(str(session.get("mark", "")))
        is_over = time.time() >= float(session.get("until", 0)) or session.get("id", "") in self._ended
        return None if client is None or is_over else viewer_of_key(client)

    def _login(self) -> Any:
        onward = _local_path(flask.request.args.get("next", "/"))
        if flask.request.method == "GET":
            return login_page(onward)
        key = flask.request.form.get("key", "")
        try:
            client = self._keys.client_of(f"Bearer {key}".encode(), None)
        except HttpRefusal:
            return login_page(onward, problem="This key is not known here."), 401
        viewer = viewer_of_key(client)
        if viewer is None:
            return login_page(onward, problem="This key may not look: it needs the scope score or admin."), 403
        flask.session.clear()
        flask.session.update(
            id=secrets.token_urlsafe(16),
            mark=mark_of(digest_of(key)),
            until=time.time() + self._settings.session_seconds,
        )
        logger.info("logged_in", extra={"client": viewer.name, "role": viewer.role})
        return flask.redirect(onward, 303)

    def _logout(self) -> Any:
        if "id" in flask.session:
            self._ended.end(flask.session["id"], until=float(flask.session["until"]), now=time.time())
        flask.session.clear()
        return flask.redirect(_LOGIN, 303)

    def _seal(self, response: flask.Response, policy: str) -> flask.Response:
        response.headers.update(_HEADERS)
        response.headers.setdefault("Content-Security-Policy", policy)  # a report has a stricter one, and scripts
        if self._settings.tls_certificate is not None:
            response.headers["Strict-Transport-Security"] = "max-age=31536000"
        if not response.cache_control.max_age:
            response.headers["Cache-Control"] = _keeping(response)
        return response


def _keeping(response: flask.Response) -> str:
    """Whether a browser may keep an answer: code, and unasked what its address names by content."""
    path = flask.request.path
    if not path.startswith(_CODE) or response.status_code not in (200, 304):
        return "no-store"
    if page_code.may_be_kept(path, flask.request.args.get("v", "")):
        return "private, max-age=31536000, immutable"
    return "private, no-cache"


def _split(address: str) -> SplitResult:
    """An address in its parts; one that is none has none."""
    try:
        return urlsplit(address)
    except ValueError:
        return urlsplit("")


def _host_of(origin: str) -> str | None:
    """Host and port of an Origin; None where it is none."""
    return _split(origin).netloc or None


def viewer() -> Viewer:
    """Who asks, within a request that the guard let in."""
    return cast(Viewer, flask.g.viewer)


def _session_key(path: Path | None) -> bytes:
    if path is None:
        return secrets.token_bytes(_SHORTEST_KEY_BYTES)
    try:
        key = path.read_bytes().strip()
    except OSError as e:
        raise InvalidSetting(f"GAUNTLET_CONSOLE_SESSION_KEY_FILE names {path}, which cannot be read: {e}") from e
    if len(key) < _SHORTEST_KEY_BYTES:
        raise InvalidSetting(
            f"GAUNTLET_CONSOLE_SESSION_KEY_FILE holds {len(key)} bytes; it must be at least {_SHORTEST_KEY_BYTES}"
        )
    return key


def _to_login(request: flask.Request) -> Any:
    if request.method == "GET" and "text/html" in request.headers.get("Accept", ""):
        return flask.redirect(f"{_LOGIN}?next={quote(request.path)}", 303)
    return flask.jsonify(status=401, title="Log in first", detail="log in at /login"), 401


def _refused(why: str) -> Any:
    return flask.jsonify(status=403, title="Not allowed", detail=why), 403


def _local_path(target: str) -> str:
    """A path of this console; anything that could lead elsewhere becomes the first page."""
    parts = _split(target)
    is_ours = target.startswith("/") and not target.startswith(("//", "/\\")) and not parts.netloc
    return target if is_ours and target.isprintable() else "/"


def _policy(script_hashes: list[str]) -> str:
    scripts = " ".join(["'self'", *script_hashes])
    # Plotly and the grid write styles of their own; styles alone reach nobody.
    return (
        f"default-src 'none'; script-src {scripts}; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
        "font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; manifest-src 'self'; base-uri 'none'; "
        "form-action 'self'; frame-ancestors 'none'"
    )
