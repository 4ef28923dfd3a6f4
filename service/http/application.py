"""A small ASGI application: a table of routes, keys and limits before them, errors as problem documents, counts.

It is raw ASGI because the scoring path has no microseconds for a framework. It knows nothing of models.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping, Sequence
from contextlib import aclosing
from typing import Any

from bentos.errors import GauntletError
from service.http.following import is_request_id, logged_ids
from service.http.limits import Patience
from service.http.messages import JSON, Guard, Headers, Request, Response, Route
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
Pairs = tuple[tuple[bytes, bytes], ...]
CountRequest = Callable[[str, str, int, float, str | None], None]
Trace = Callable[[Headers, str, str, int, float], None]

UNMATCHED = "unmatched"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
SLOWEST_BYTES_A_SECOND = 10_000
"""A large body may take its time, as long as it comes at this rate."""

_SAFE: tuple[tuple[bytes, bytes], ...] = ((b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store"))
_CLOSE = (b"connection", b"close")


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
            count_request: Is told of every request: route, method, status, seconds, the answer's exemplar.
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
            self._admit(route, request)
            bound = self.guard.streams if route.is_streamed else bound
            if route.method == "POST" and not await self._take_body(route, request, receive):
                return  # the client left
            if route.is_bounded:
                bound.enter()
                is_inside = True
            response = await route.handler(request)
            is_answering = True
            await self._send(response, headers, send)
        except Exception as e:
            if is_answering:  # its head is out: only an end of the connection can tell the client
                raise
            response = self._restate(path, answer_error(e, path, headers))
            await self._send(response, headers, send)
        finally:
            if is_inside:
                bound.leave()
        label = method if method in METHODS else "other"
        self._note(headers, label, path if path in self.paths else UNMATCHED, response, started)

    def soon_routes(self) -> dict[tuple[bytes, bytes], Route]:
        """The routes that `answer_soon` answers, by method and path as they stand in a request."""
        return {(r.method.encode(), r.path.encode()): r for r in self.routes if r.soon is not None}

    def limit_of(self, route: Route) -> int:
        """The largest body of a route, in bytes."""
        return route.limit_bytes or self._body_limit_bytes

    def answer_soon(self, route: Route, request: Request, respond: Callable[[Response, Pairs], None]) -> None:
        """Answer a request that has arrived whole, as `__call__` would, without a task.

        Args:
            route: One of `soon_routes`.
            request: With its body, which is no larger than `limit_of`.
            respond: Is told the answer once, with the headers beside the answer's own.
        """
        is_inside, bound = False, self.guard.bound

        def tell(found: Response | Exception) -> None:
            nonlocal is_inside
            if is_inside:
                is_inside = False
                bound.leave()
            if isinstance(found, Exception):
                found = self._restate(route.path, answer_error(found, route.path, request.headers))
            respond(found, self._beside(found, request.headers))
            self._note(request.headers, route.method, route.path, found, request.started)

        try:
            self._admit(route, request)
            _check_content_type(request.headers, route)
            if route.is_bounded:
                bound.enter()
                is_inside = True
            route.soon(request, tell)  # type: ignore[misc]  # soon_routes have one
        except Exception as e:
            tell(e)

    def refuse(
        self, route: Route, request: Request, refusal: HttpRefusal, respond: Callable[[Response, Pairs], None]
    ) -> None:
        """Answer a request of `soon_routes` whose body will not be read to its end."""
        response = self._restate(route.path, answer_error(refusal, route.path, request.headers))
        respond(response, self._beside(response, request.headers))
        self._note(request.headers, route.method, route.path, response, request.started)

    def _admit(self, route: Route, request: Request) -> None:
        if route.needs_key and self.guard.keys is not None:
            shown = request.headers.get(b"authorization")
            request.client = self.guard.keys.client_of(shown, route.scope).name

    def _note(self, headers: Headers, method: str, route: str, response: Response, started: float) -> None:
        seconds = time.perf_counter() - started
        self._count_request(route, method, response.status, seconds, response.exemplar)
        if self._trace is not None:
            self._trace(headers, method, route, response.status, seconds)

    def _beside(self, response: Response, headers: Headers) -> Pairs:
        """The headers of an answer beside its own."""
        echoed = headers.get(b"x-request-id")
        extra: Pairs = ()
        if echoed is not None and is_request_id(echoed):
            extra = ((b"x-request-id", echoed),)
        # A body that was not read to its end would be taken for the next request.
        if self.is_draining or response.status in (TOO_LARGE.status, TOO_SLOW.status):
            extra = (*extra, _CLOSE)
        return extra

    async def _take_body(self, route: Route, request: Request, receive: Receive) -> bool:
        """Give the request its body; False where the client left before its end."""
        headers = request.headers
        _check_content_type(headers, route)
        limit = self.limit_of(route)
        length = headers.get(b"content-length")
        if length is not None and length.isdigit() and (len(length) > 15 or int(length) > limit):
            raise too_large(limit)
        if route.is_streamed:
            request.parts = body_parts(receive, limit, self.guard.patience)
            return True
        body = await read_body(receive, limit, self.guard.patience)
        request.body = body or b""
        return body is not None

    async def _send(self, response: Response, headers: Headers, send: Send) -> None:
        await send_response(response, send, self._beside(response, headers), self.guard.patience)

    def _no_route(self, method: str, path: str) -> HttpRefusal:
        methods = sorted({known for known, at in self._table if at == path})
        if methods:
            allowed = ", ".join(methods)
            return HttpRefusal(
                WRONG_METHOD, f"{path} answers {allowed}, not {method[:20]}", (b"allow", allowed.encode())
            )
        return HttpRefusal(UNKNOWN_ROUTE, f"there is no route {path[:80]!r}; /docs lists them")


def answer_error(error: Exception, path: str, headers: Headers) -> Response:
    """The answer to whatever a handler raised: never a traceback, and 5xx only where it is not the client's doing.

    Args:
        error: What was raised.
        path: Of the request, for the log.
        headers: Of the request; the log names the ids by which it can be followed.
    """
    if isinstance(error, HttpRefusal):
        return Response(error.kind.status, describe(error.kind, str(error)), CONTENT_TYPE, error.headers)
    if isinstance(error, GauntletError):
        kind = kind_of(error)
        if kind.status >= 500:
            logger.error("request_failed", extra={"route": path, "reason": str(error), **logged_ids(headers)})
        return Response(kind.status, describe_error(error), CONTENT_TYPE)
    logger.error("request_crashed", extra={"route": path, **logged_ids(headers)}, exc_info=error)
    return Response(INTERNAL.status, describe(INTERNAL, "the request crashed; the log says where"), CONTENT_TYPE)


def headers_of(response: Response) -> list[tuple[bytes, bytes]]:
    """The headers that an answer has of its own."""
    found = [(b"content-type", response.content_type), *_SAFE, *response.headers]
    if response.parts is None:
        found.append((b"content-length", b"%d" % len(response.body)))
    return found


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
    all_headers = [*headers_of(response), *headers]
    await send({"type": "http.response.start", "status": response.status, "headers": all_headers})
    if response.parts is not None:
        async with aclosing(response.parts) as parts:  # also where the client leaves
            async for part in parts:
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
        raise too_large(limit_bytes)
    if not message.get("more_body"):
        return body
    try:
        return body + b"".join([part async for part in body_parts(receive, limit_bytes - len(body), patience)])
    except ConnectionResetError:
        return None


async def body_parts(receive: Receive, limit_bytes: int, patience: Patience) -> AsyncGenerator[bytes, None]:
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
            raise too_large(limit_bytes)
        if waited > patience.seconds and size < waited * SLOWEST_BYTES_A_SECOND:
            raise HttpRefusal(TOO_SLOW, f"the body comes slower than {SLOWEST_BYTES_A_SECOND} bytes a second")
        if part:
            yield part
        if not message.get("more_body"):
            return


def _methods(route: Route) -> tuple[str, ...]:
    return ("GET", "HEAD") if route.method == "GET" else (route.method,)


def too_large(limit_bytes: int) -> HttpRefusal:
    """The refusal of a body beyond its limit."""
    return HttpRefusal(TOO_LARGE, f"the body is larger than {limit_bytes} bytes; send it in parts")


def _check_content_type(headers: Headers, route: Route) -> None:
    declared, allowed = headers.get(b"content-type", JSON), route.content_types
    if declared in allowed:
        return
    kind = declared.split(b";", 1)[0].strip().lower()
    if kind in allowed or (JSON in allowed and kind.startswith(b"application/") and kind.endswith(b"+json")):
        return
    shown, listed = declared[:80].decode("latin-1"), " or ".join(one.decode() for one in allowed)
    raise HttpRefusal(WRONG_TYPE, f"content-type is {shown!r}; it must be {listed}")
