"""A small ASGI application: a table of routes, bodies read within a limit, errors as problem documents, counts.

It is raw ASGI because the scoring path has no microseconds for a framework. It knows nothing of models.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bentos.errors import GauntletError
from service.problems import (
    CONTENT_TYPE,
    INTERNAL,
    TOO_LARGE,
    UNKNOWN_ROUTE,
    WRONG_METHOD,
    WRONG_TYPE,
    HttpRefusal,
    describe,
    describe_error,
    kind_of,
)

logger = logging.getLogger("gauntlet.http")

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = Sequence[tuple[bytes, bytes]]
CountRequest = Callable[[str, str, int, float], None]

JSON = b"application/json"
UNMATCHED = "unmatched"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Response:
    """An answer.

    Attributes:
        status: HTTP status.
        body: Its bytes.
        content_type: Of the body.
        headers: Beside content-type and content-length.
    """

    status: int
    body: bytes
    content_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()


Handler = Callable[[bytes], Awaitable[Response]]
"""Answers a request by its body, which is empty for a GET."""


@dataclass(frozen=True)
class Route:
    """One route: the single definition that dispatch, OpenAPI, documentation and metrics read.

    Attributes:
        method: GET or POST; a GET answers HEAD too.
        path: Exact; no route has parameters in its path.
        handler: Answers it.
        summary: One line for people.
        operation: Its OpenAPI operation, without the summary; empty for routes that are not part of the interface.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    operation: Mapping[str, Any] = field(default_factory=dict)


class HttpApplication:
    """Answers HTTP by a table of routes.

    Attributes:
        routes: As given.
        paths: Every path that it knows.
    """

    def __init__(self, routes: Sequence[Route], *, body_limit_bytes: int, count_request: CountRequest) -> None:
        self.routes = tuple(routes)
        self.paths = frozenset(route.path for route in routes)
        self._table = {(method, route.path): route for route in routes for method in _methods(route)}
        self._body_limit_bytes = body_limit_bytes
        self._count_request = count_request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        started = time.perf_counter()
        method, path = scope["method"], scope["path"]
        route = self._table.get((method, path))
        try:
            if route is None:
                raise self._no_route(method, path)
            body = b""
            if route.method == "POST":
                _check_content_type(scope["headers"])
                read = await read_body(scope["headers"], receive, self._body_limit_bytes)
                if read is None:
                    return  # the client left
                body = read
            response = await route.handler(body)
        except Exception as e:
            response = answer_error(e, path)
        await send_response(response, send)
        seconds = time.perf_counter() - started
        label = method if method in METHODS else "other"
        self._count_request(path if path in self.paths else UNMATCHED, label, response.status, seconds)

    def _no_route(self, method: str, path: str) -> HttpRefusal:
        methods = sorted({known for known, at in self._table if at == path})
        if methods:
            allowed = ", ".join(methods)
            return HttpRefusal(
                WRONG_METHOD, f"{path} answers {allowed}, not {method[:20]}", (b"allow", allowed.encode())
            )
        return HttpRefusal(UNKNOWN_ROUTE, f"there is no route {path[:80]!r}; /docs lists them")


def answer_error(error: Exception, path: str) -> Response:
    """The answer to whatever a handler raised: never a traceback, and 5xx only where it is not the client's doing."""
    if isinstance(error, HttpRefusal):
        return Response(error.kind.status, describe(error.kind, str(error)), CONTENT_TYPE, error.headers)
    if isinstance(error, GauntletError):
        kind = kind_of(error)
        if kind.status >= 500:
            logger.error("request_failed", extra={"route": path, "reason": str(error)})
        return Response(kind.status, describe_error(error), CONTENT_TYPE)
    logger.error("request_crashed", extra={"route": path}, exc_info=error)
    return Response(INTERNAL.status, describe(INTERNAL, "the request crashed; the log says where"), CONTENT_TYPE)


async def send_response(response: Response, send: Send) -> None:
    """Hand an answer to the server."""
    headers = [
        (b"content-type", response.content_type),
        (b"content-length", str(len(response.body)).encode()),
        *response.headers,
    ]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})


async def read_body(headers: Headers, receive: Receive, limit_bytes: int) -> bytes | None:
    """The request's body; None where the client left before its end.

    Raises:
        HttpRefusal: It is larger than the limit, or says so.
    """
    declared = header(headers, b"content-length")
    if declared is not None and declared.isdigit() and int(declared[:20]) > limit_bytes:
        raise _too_large(limit_bytes)
    message = await receive()
    if message["type"] != "http.request":
        return None
    body: bytes = message.get("body", b"")
    if message.get("more_body"):
        parts, size = [body], len(body)
        while message.get("more_body"):
            message = await receive()
            if message["type"] != "http.request":
                return None
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > limit_bytes:
                raise _too_large(limit_bytes)
        body = b"".join(parts)
    if len(body) > limit_bytes:
        raise _too_large(limit_bytes)
    return body


def header(headers: Headers, name: bytes) -> bytes | None:
    """A header's value; None where there is none. ASGI servers give names in lower case."""
    for key, value in headers:
        if key == name:
            return value
    return None


def _methods(route: Route) -> tuple[str, ...]:
    return ("GET", "HEAD") if route.method == "GET" else (route.method,)


def _too_large(limit_bytes: int) -> HttpRefusal:
    return HttpRefusal(TOO_LARGE, f"the body is larger than {limit_bytes} bytes; send it in parts")


def _check_content_type(headers: Headers) -> None:
    declared = header(headers, b"content-type")
    if declared is None or declared == JSON:
        return
    kind = declared.split(b";", 1)[0].strip().lower()
    if kind != JSON and not (kind.startswith(b"application/") and kind.endswith(b"+json")):
        shown = declared[:80].decode("latin-1")
        raise HttpRefusal(WRONG_TYPE, f"content-type is {shown!r}; it must be application/json")
