"""What routes are made of: requests, responses, the route itself, and who may come in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from service.http.keys import Keys, Scope
from service.http.limits import Bound, Patience, RateLimit

Headers = Mapping[bytes, bytes]
JSON = b"application/json"


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
        parts: AsyncGenerator[bytes, None] | None = None,
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
        exemplar: By what this answer is found again by who sees how long it took; None where there is nothing.
    """

    status: int
    body: bytes
    content_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()
    parts: AsyncGenerator[bytes, None] | None = None
    exemplar: str | None = None


Handler = Callable[[Request], Awaitable[Response]]

Tell = Callable[[Response | Exception], None]
Soon = Callable[[Request, Tell], None]
"""Answers a request by telling the answer once, now or in a later turn of the loop; raises what it can refuse now."""


def in_a_task(soon: Soon) -> Handler:
    """The handler that awaits what `soon` tells."""

    async def handle(request: Request) -> Response:
        answer: asyncio.Future[Response | Exception] = asyncio.get_running_loop().create_future()

        def tell(found: Response | Exception) -> None:
            if not answer.done():  # the client may have left
                answer.set_result(found)

        soon(request, tell)
        found = await answer
        if isinstance(found, Exception):
            raise found
        return found

    return handle


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
        soon: Answers it without a task of its own, where the server hands over whole requests; `handler` must then be
            `in_a_task` of it, so that the route has one definition.
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
    soon: Soon | None = None


@dataclass(frozen=True, kw_only=True)
class Guard:
    """Who may come in, and how many.

    Attributes:
        keys: Asked for at every route that needs one; None: nobody is asked.
        rate: For each client, or for all together where there are no keys.
        bound: On what is being answered at once.
        streams: The same for routes that read a body by themselves: one may take hours, and shall keep nobody out else.
        patience: With clients that send or read slowly.
    """

    keys: Keys | None = None
    rate: RateLimit = field(default_factory=lambda: RateLimit(0, 1))
    bound: Bound = field(default_factory=lambda: Bound(1 << 30))
    streams: Bound = field(default_factory=lambda: Bound(1 << 30))
    patience: Patience = field(default_factory=lambda: Patience(30.0))
