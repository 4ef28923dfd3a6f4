"""A small ASGI application: a table of routes, keys and limits before them, errors as problem documents, counts.

It is raw ASGI because the scoring path has no microseconds for a framework. It knows nothing of models.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bentos.errors import GauntletError
from service.http.keys import Keys, Scope
from service.http.limits import Bound, Patience, RateLimit
from service.http.problems import (
    CONTENT_TYPE,
    INTERNAL,
    TOO_LARGE,
    TOO_SLOW,
    UNKNOWN_ROUTE,
    WRONG_METHOD,
    WRONG_TYPE,
    HttpRefusal,
    describe,
    describe_error,
    kind_of,
)

logger = logging.getLogger("gauntlet.http")

AsgiScope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = Mapping[bytes, bytes]
CountRequest = Callable[[str, str, int, float], None]
Trace = Callable[[Headers, str, str, int, float], None]

JSON = b"application/json"
UNMATCHED = "unmatched"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
REQUEST_ID_LENGTH = 128
SLOWEST_BYTES_A_SECOND = 10_000
"""A large body may take its time, as long as it comes at this rate."""

_SAFE: tuple[tuple[bytes, bytes], ...] = ((b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store"))
_CLOSE = (b"connection", b"close")


class Request:
    """One request, as a handler sees it.

    Attributes:
        headers: By name in lower case; of a header that came twice the last.
        body: Its bytes; empty for a GET and for a route that reads the body by itself.
        client: Whose API key it was; None where none is asked for.
        started: When its head arrived, on `time.perf_counter`.
        query: After the question mark.
        parts: The body piece by piece, for a route that reads it by itself; bounded in size and time.
    """

    __slots__ = ("body", "client", "headers", "parts", "query", "started")

    def __init__(
        self,
        headers: Headers,
        body: bytes = b"",
        *,
        client: str | None = None,
        started: float = 0.0,
        query: bytes = b"",
        parts: AsyncIterator[bytes] | None = None,
    ) -> None:
        self.headers = headers
        self.body = body
        self.client = client
        self.started = started
        self.query = query
        self.parts = parts


@dataclass(frozen=True, slots=True)
class Response:
    """An answer.

    Attributes:
        status: HTTP status.
        body: Its bytes.
        content_type: Of the body.
        headers: Beside content-type and content-length.
        parts: Instead of `body`, an answer that is sent as it is made.
    """

    status: int
    body: bytes
    content_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()
    parts: AsyncIterator[bytes] | None = None


Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class Route:
    """One route: the single definition that dispatch, OpenAPI, documentation and metrics read.

    Attributes:
        method: GET or POST; a GET answers HEAD too.
        path: Exact; no route has parameters in its path.
        handler: Answers it.
        summary: One line for people.
        operation: Its OpenAPI operation, without the summary; empty for routes that are not part of the interface.
        needs_key: Whether an API key is asked for, where keys are asked for at all.
        scope: What the key must be allowed; None for any key.
        content_types: What a body may be declared as; `application/*+json` too where JSON is.
        limit_bytes: The largest body; None for the application's.
        is_streamed: Whether the handler reads the body by itself.
        is_bounded: Whether it counts among the requests that are answered at once.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    operation: Mapping[str, Any] = field(default_factory=dict)
    needs_key: bool = True
    scope: Scope | None = None
    content_types: tuple[bytes, ...] = (JSON,)
    limit_bytes: int | None = None
    is_streamed: bool = False
    is_bounded: bool = True


@dataclass(frozen=True, kw_only=True)
class Guard:
    """Who may come in, and how many.

    Attributes:
        keys: Asked for at every route that needs one; None: nobody is asked.
        rate: For each client, or for all together where there are no keys.
        bound: On what is being answered at once.
        patience: With clients that send or read slowly.
    """

    keys: Keys | None = None
    rate: RateLimit = field(default_factory=lambda: RateLimit(0, 1))
    bound: Bound = field(default_factory=lambda: Bound(1 << 30))
    patience: Patience = field(default_factory=lambda: Patience(30.0))


class HttpApplication:
    """Answers HTTP by a table of routes.

    Attributes:
        routes: As given.
        paths: Every path that it knows.
        guard: Who may come in.
        is_draining: Whether every answer asks the client to open another connection next time, as this process ends.
    """

    def __init__(
        self,
        routes: Sequence[Route],
        *,
        body_limit_bytes: int,
        count_request: CountRequest,
        guard: Guard | None = None,
        trace: Trace | None = None,
        restate: Callable[[str, Response], Response] | None = None,
    ) -> None:
        """Answer by a table.

        Args:
            routes: The table.
            body_limit_bytes: The largest body of a route that has no limit of its own.
            count_request: Is told of every request: route, method, status, seconds.
            guard: Who may come in.
            trace: Makes a span of every request; None for none.
            restate: Says an error in the words that clients of its path understand.
        """
        self.routes = tuple(routes)
        self.paths = frozenset(route.path for route in routes)
        self.guard = guard or Guard()
        self.is_draining = False
        self._table = {(method, route.path): route for route in routes for method in _methods(route)}
        self._body_limit_bytes = body_limit_bytes
        self._count_request = count_request
        self._trace = trace
        self._restate = restate or (lambda _path, response: response)

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        started = time.perf_counter()
        method, path = scope["method"], scope["path"]
        headers = dict(scope["headers"])
        is_inside, is_answering, bound = False, False, self.guard.bound
        try:
            route = self._table.get((method, path))
            if route is None:
                raise self._no_route(method, path)
            request = Request(headers, started=started, query=scope["query_string"])
            if route.needs_key and self.guard.keys is not None:
                request.client = self.guard.keys.client_of(headers.get(b"authorization"), route.scope).name
            if route.method == "POST" and not await self._take_body(route, request, receive):
                return  # the client left
            if route.is_bounded:
                bound.enter()
                is_inside = True
            response = await route.handler(request)
            status, is_answering = response.status, True
            await self._send(response, headers, send)
        except Exception as e:
            if is_answering:  # its head is out: only an end of the connection can tell the client
                raise
            response = self._restate(path, answer_error(e, path))
            status = response.status
            await self._send(response, headers, send)
        finally:
            if is_inside:
                bound.leave()
        seconds = time.perf_counter() - started
        label = method if method in METHODS else "other"
        known = path if path in self.paths else UNMATCHED
        self._count_request(known, label, status, seconds)
        if self._trace is not None:
            self._trace(headers, label, known, status, seconds)

    async def _take_body(self, route: Route, request: Request, receive: Receive) -> bool:
        """Give the request its body; False where the client left before its end."""
        headers = request.headers
        declared = headers.get(b"content-type", JSON)
        if declared not in route.content_types:
            _check_content_type(declared, route.content_types)
        limit = route.limit_bytes or self._body_limit_bytes
        length = headers.get(b"content-length")
        if length is not None and length.isdigit() and (len(length) > 15 or int(length) > limit):
            raise _too_large(limit)
        if route.is_streamed:
            request.parts = body_parts(receive, limit, self.guard.patience)
            return True
        body = await read_body(receive, limit, self.guard.patience)
        request.body = body or b""
        return body is not None

    async def _send(self, response: Response, headers: Headers, send: Send) -> None:
        echoed = headers.get(b"x-request-id")
        extra: tuple[tuple[bytes, bytes], ...] = ()
        if echoed is not None and is_request_id(echoed):
            extra = (*extra, (b"x-request-id", echoed))
        # A body that was not read to its end would be taken for the next request.
        if self.is_draining or response.status in (TOO_LARGE.status, TOO_SLOW.status):
            extra = (*extra, _CLOSE)
        await send_response(response, send, extra, self.guard.patience)

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


async def send_response(
    response: Response, send: Send, headers: tuple[tuple[bytes, bytes], ...] = (), patience: Patience | None = None
) -> None:
    """Hand an answer to the server.

    Args:
        response: The answer.
        send: Of ASGI.
        headers: Beside the response's own.
        patience: With a client that reads an answer of many parts slowly.
    """
    patience = patience or Patience(30.0)
    all_headers = [(b"content-type", response.content_type), *_SAFE, *response.headers, *headers]
    if response.parts is None:
        all_headers.append((b"content-length", b"%d" % len(response.body)))
    await send({"type": "http.response.start", "status": response.status, "headers": all_headers})
    if response.parts is not None:
        async for part in response.parts:
            await patience.wait(send({"type": "http.response.body", "body": part, "more_body": True}))
    await send({"type": "http.response.body", "body": response.body})


async def read_body(receive: Receive, limit_bytes: int, patience: Patience) -> bytes | None:
    """The request's body; None where the client left before its end.

    Raises:
        HttpRefusal: It is larger than the limit, or too slow.
    """
    message = await patience.wait(receive())
    if message["type"] != "http.request":
        return None
    body: bytes = message.get("body", b"")
    if len(body) > limit_bytes:
        raise _too_large(limit_bytes)
    if not message.get("more_body"):
        return body
    try:
        return body + b"".join([part async for part in body_parts(receive, limit_bytes - len(body), patience)])
    except ConnectionResetError:
        return None


async def body_parts(receive: Receive, limit_bytes: int, patience: Patience) -> AsyncIterator[bytes]:
    """The body piece by piece.

    Args:
        receive: Of ASGI.
        limit_bytes: Of all pieces together.
        patience: With each piece; a body that comes in ever so many small ones is as slow.

    Raises:
        HttpRefusal: It is larger than the limit, or too slow.
        ConnectionResetError: The client left before its end.
    """
    size, waited = 0, 0.0
    while True:
        began = time.monotonic()
        message = await patience.wait(receive())
        waited += time.monotonic() - began
        if message["type"] != "http.request":
            raise ConnectionResetError("the client left")
        part: bytes = message.get("body", b"")
        size += len(part)
        if size > limit_bytes:
            raise _too_large(limit_bytes)
        if waited > patience.seconds and size < waited * SLOWEST_BYTES_A_SECOND:
            raise HttpRefusal(TOO_SLOW, f"the body comes slower than {SLOWEST_BYTES_A_SECOND} bytes a second")
        if part:
            yield part
        if not message.get("more_body"):
            return


def is_request_id(value: bytes) -> bool:
    """Whether an `X-Request-ID` may be passed on and logged: printable ASCII, not too long."""
    return 0 < len(value) <= REQUEST_ID_LENGTH and value.isascii() and value.decode("ascii").isprintable()


def _methods(route: Route) -> tuple[str, ...]:
    return ("GET", "HEAD") if route.method == "GET" else (route.method,)


def _too_large(limit_bytes: int) -> HttpRefusal:
    return HttpRefusal(TOO_LARGE, f"the body is larger than {limit_bytes} bytes; send it in parts")


def _check_content_type(declared: bytes, allowed: tuple[bytes, ...]) -> None:
    kind = declared.split(b";", 1)[0].strip().lower()
    if kind in allowed or (JSON in allowed and kind.startswith(b"application/") and kind.endswith(b"+json")):
        return
    shown, listed = declared[:80].decode("latin-1"), " or ".join(one.decode() for one in allowed)
    raise HttpRefusal(WRONG_TYPE, f"content-type is {shown!r}; it must be {listed}")
