"""The fast entry's server: uvicorn with bounds on heads and idle clients, and a stop that drains; and the admin port.

By itself uvicorn waits for ever for a request's head, and reads heads of any size.
"""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import time
from collections.abc import Awaitable, Callable, Sized
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from service.http.application import HttpApplication, Pairs, headers_of, too_large
from service.http.messages import Request, Response, Route
from service.http.problems import TOO_SLOW, HttpRefusal

logger = logging.getLogger("gauntlet.entry")

HEAD_LIMIT_BYTES = 64 * 1024
GREETED_AT_ONCE = 64
"""Connections that are taken ten times a second beside the one that libuv takes in a turn of the event loop."""
_CLOSE = (b"connection", b"close")
_LONGEST_LENGTH = 15
_UPGRADE = re.compile(rb"(?<=\r\n)upgrade(?=[ \t]*:)", re.IGNORECASE)

Asgi = Callable[[Any, Any, Any], Awaitable[None]]


class _Flow(FlowControl):
    """uvicorn's, which by itself reads on while requests wait for their turn, or answers for somebody to read them."""

    def __init__(self, transport: asyncio.Transport, waiting: Sized) -> None:
        super().__init__(transport)
        self._waiting = waiting

    def resume_reading(self) -> None:
        """Read on, if nothing waits."""
        if not self._waiting and not self.write_paused:
            super().resume_reading()


class Protocol(HttpToolsProtocol):
    """uvicorn's protocol with a bound on the size of a request's head, and a short way for whole requests.

    Where the ASGI callable has an attribute `http` (an `HttpApplication`) that answers a route soon, its requests take
    no task, no ASGI messages and one write: half of what a small request costs otherwise.
    """

    cycle: Any
    _is_in_head = False
    _head_bytes = 0
    _heads = 0

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """As uvicorn makes it, once a connection."""
        super().__init__(*arguments, **options)
        self._http: HttpApplication | None = getattr(self.app, "http", None)
        self._soon = {} if self._http is None else self._http.soon_routes()
        self._pieces: list[bytes] = []
        self._running: Any = None

    def data_received(self, data: bytes) -> None:
        """Read what came; end a connection whose head grows without end."""
        is_between = self.cycle is None or not self.cycle.more_body
        if is_between and b"pgrade" in data:
            data = _without_upgrade(data)
        self._heads = 0
        super().data_received(data)
        self._hand_over()
        # Where this head is not the first thing in `data`, nobody knows how much of that it is.
        if self._is_in_head and (self._heads == 0 or (self._heads == 1 and is_between)):
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_LIMIT_BYTES and not self.transport.is_closing():
                self.send_400_response(f"The head is larger than {HEAD_LIMIT_BYTES} bytes.")

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has come."""
        super().connection_made(transport)
        self.flow = _Flow(transport, self.pipeline)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has left: what is being answered must know, also where later requests have come behind it."""
        self.pipeline.clear()
        if self._running is not None:
            self._running.disconnected = True
        super().connection_lost(exc)

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def resume_writing(self) -> None:
        """The client has read its answers."""
        super().resume_writing()
        self.flow.resume_reading()

    def on_message_begin(self) -> None:
        """A head begins."""
        self._is_in_head, self._head_bytes = True, 0
        self._heads += 1
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head has ended: it is known which way the request takes."""
        self._is_in_head = False
        is_alone = self.cycle is None or self.cycle.response_complete
        if is_alone and self._http is not None and not self.expect_100_continue:
            route = self._soon.get((self.parser.get_method(), self.url))
            if route is not None:
                self.cycle = Whole(self, self._http, route)
                self.headers = _FORGETFUL
                return
        super().on_headers_complete()
        self.headers = _FORGETFUL

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        if type(self.cycle) is Whole:
            self.cycle.take(body)
        else:
            self._pieces.append(body)

    def on_message_complete(self) -> None:
        """The request has ended."""
        if type(self.cycle) is Whole:
            self.cycle.answer()
        else:
            self._hand_over()
            super().on_message_complete()

    def _hand_over(self) -> None:
        """Hand over the pieces of a body that came together as one: uvicorn wakes the request up for each."""
        if self._pieces:
            pieces, self._pieces = self._pieces, []
            super().on_body(b"".join(pieces))


class _Forgetful(list[tuple[bytes, bytes]]):
    """Takes the place of a request's headers when its head has ended: of trailers there could be any number."""

    def append(self, _header: tuple[bytes, bytes], /) -> None:
        """Keep nothing."""


_FORGETFUL = _Forgetful()


class _Nobody:
    """Stands where uvicorn wakes a task up that waits for the body."""

    def set(self) -> None:
        """Wake nobody up."""


class Whole:
    """One request on the short way, with what uvicorn asks of a request that is being answered.

    Attributes:
        response_complete: Whether its answer is out.
        disconnected: Whether the client has left.
        keep_alive: Whether the connection stays open after the answer.
        more_body: Whether the body has not ended.
        message_event: Of no use here.
    """

    message_event = _Nobody()

    def __init__(self, protocol: Protocol, http: HttpApplication, route: Route) -> None:
        """Begin with the head.

        Args:
            protocol: Its connection.
            http: Answers.
            route: Its route.
        """
        parser = protocol.parser
        self.response_complete = False
        self.disconnected = False
        self.keep_alive = parser.get_http_version() != "1.0" and parser.should_keep_alive()
        self.more_body = True
        self._protocol = protocol
        self._http = http
        self._route = route
        self._pieces: list[bytes] = []
        self._size = 0
        self._request = Request(dict(protocol.headers), started=time.perf_counter())
        self._limit = http.limit_of(route)
        length = self._request.headers.get(b"content-length", b"0")
        if len(length) > _LONGEST_LENGTH or int(length) > self._limit:
            self.refuse(too_large(self._limit))

    def take(self, piece: bytes) -> None:
        """A piece of the body; what comes after a refusal is not kept."""
        if self.response_complete:
            return
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size > self._limit:
            self.refuse(too_large(self._limit))

    def answer(self) -> None:
        """The body has ended."""
        self.more_body = False
        if not self.response_complete:
            self._request.body = b"".join(self._pieces)
            self._http.answer_soon(self._route, self._request, self._respond)

    def refuse(self, refusal: HttpRefusal) -> None:
        """Answer before the body has ended; the connection cannot be used again."""
        self.keep_alive = False
        self._http.refuse(self._route, self._request, refusal, self._respond)

    def _respond(self, response: Response, beside: Pairs) -> None:
        if self.response_complete:
            return
        self.response_complete = True
        protocol = self._protocol
        if self.disconnected or protocol.transport.is_closing():
            return
        if _CLOSE in beside:
            self.keep_alive = False
        elif not self.keep_alive:
            beside = (*beside, _CLOSE)
        head = [STATUS_LINE[response.status]]
        for name, value in (*protocol.server_state.default_headers, *headers_of(response), *beside):
            head += (name, b": ", value, b"\r\n")
        head += (b"\r\n", response.body)
        protocol.transport.write(b"".join(head))
        if not self.keep_alive:
            protocol.transport.close()
        protocol.on_response_complete()
        if protocol.flow.write_paused:  # who reads no answers shall send no more requests
            protocol.flow.pause_reading()


class Server(uvicorn.Server):
    """uvicorn's server, which drains before it stops and ends connections that send no request."""

    def __init__(
        self, config: uvicorn.Config, *, drain: Callable[[], None], drain_seconds: float, patience_seconds: float
    ) -> None:
        """Begin to serve with `run`.

        Args:
            config: Of uvicorn.
            drain: Is called once when a stop begins.
            drain_seconds: For how long requests are still answered after that.
            patience_seconds: How long a client may take for the head of a request.
        """
        super().__init__(config)
        self._drain = drain
        self._drain_seconds = drain_seconds
        self._patience_seconds = patience_seconds
        self._is_told = False
        self._exit_at: float | None = None
        self._awaited: dict[Any, float] = {}
        self._listening: list[socket.socket] = []
        self._greeting: set[asyncio.Task[Any]] = set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        self._listening = sockets or []

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop; a second signal ends the draining. Only flags are set: a handler may interrupt anything."""
        if self._is_told:
            super().handle_exit(sig, frame)
        self._is_told = True

    async def on_tick(self, counter: int) -> bool:
        """What is looked at ten times a second."""
        now = time.monotonic()
        if self._is_told and self._exit_at is None:
            self._drain()
            self._exit_at = now + self._drain_seconds
        if self._exit_at is not None and now >= self._exit_at:
            self.should_exit = True
        if counter % 10 == 0:
            self._sweep(now)
        self._greet()
        return await super().on_tick(counter)

    def _greet(self) -> None:
        """Take the connections that wait.

        A turn under overload is long, and libuv takes one new connection in each, as the workers of other servers share
        a socket: whoever comes anew would wait for seconds while old clients go on. Otherwise nobody waits here.
        """
        loop = asyncio.get_running_loop()
        for listening in self._listening:
            for _ in range(GREETED_AT_ONCE):
                try:
                    taken, _ = listening.accept()
                except OSError:  # nobody waits, or too many files are open
                    break
                taken.setblocking(False)
                greeting = loop.create_task(self._connect(loop, taken))
                self._greeting.add(greeting)
                greeting.add_done_callback(self._greeting.discard)

    async def _connect(self, loop: asyncio.AbstractEventLoop, taken: socket.socket) -> None:
        try:
            await loop.connect_accepted_socket(self._make_protocol, taken, ssl=self.config.ssl)
        except (OSError, ConnectionError):  # it left, or speaks no TLS
            taken.close()

    def _make_protocol(self) -> asyncio.Protocol:
        return self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )

    def _sweep(self, now: float) -> None:
        """End connections that are awaited: neither a request nor uvicorn's own keep-alive timer runs on them."""
        awaited = [one for one in self.server_state.connections if _is_awaited(one)]
        self._awaited = {one: self._awaited.get(one, now) for one in awaited}
        for one, since in self._awaited.items():
            if now - since <= self._patience_seconds:
                continue
            if _lacks_body(one):
                one.cycle.refuse(HttpRefusal(TOO_SLOW, f"the body took longer than {self._patience_seconds:g} s"))
            else:
                one.transport.close()


class AdminPort:
    """A second port in the same process and event loop."""

    def __init__(self, app: Asgi) -> None:
        self._config = uvicorn.Config(
            app, http="httptools", ws="none", lifespan="off", access_log=False, log_config=None
        )
        self._server: asyncio.Server | None = None

    async def open(self, listening: socket.socket) -> None:
        """Begin to answer on a socket that listens already."""
        self._config.load()
        state = ServerState()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Protocol(self._config, state, {}), sock=listening)

    async def close(self) -> None:
        """Stop answering."""
        if self._server is not None:
            self._server.close()
            self._server = None


def _without_upgrade(data: bytes) -> bytes:
    """The same bytes with no `Upgrade` in the head that they begin with.

    Java's client and `curl --http2` ask for one beside every body, as a server may ignore it. The parser cannot: it
    takes what follows the head for the other protocol.
    """
    head, end, rest = data.partition(b"\r\n\r\n")
    return b"".join((_UPGRADE.sub(b"ignored", head), end, rest))


def _is_awaited(protocol: Any) -> bool:
    """Whether a head or the rest of a body is to come, and nobody else waits for it."""
    cycle = protocol.cycle
    if _lacks_body(protocol):
        return True
    return (cycle is None or cycle.response_complete) and protocol.timeout_keep_alive_task is None


def _lacks_body(protocol: Any) -> bool:
    cycle = protocol.cycle
    return type(cycle) is Whole and cycle.more_body and not cycle.response_complete
