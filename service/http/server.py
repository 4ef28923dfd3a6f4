"""The fast entry's server: uvicorn with bounds on heads and idle clients, and a stop that drains.

By itself uvicorn waits for ever for a request's head, and reads heads of any size.
"""

from __future__ import annotations

import asyncio
import logging
import re
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.http.application import HttpApplication
from service.http.connections import MOST_CONNECTIONS, REFUSAL, Stalled, allow_connections
from service.http.whole import Whole

logger = logging.getLogger("gauntlet.entry")

HEAD_LIMIT_BYTES = 64 * 1024
GREETED_AT_ONCE = 64
"""Connections that are taken ten times a second beside the one that libuv takes in a turn of the event loop."""
PIECE_BYTES = 4096
"""So much of what came at once is parsed before the requests in it are answered: a quarter of a megabyte, which is what
one read may bring, holds thousands of small ones, and each takes two kilobytes of memory while it waits."""
_UPGRADE = re.compile(rb"(?<=\r\n)upgrade(?=[ \t]*:)", re.IGNORECASE)

Asgi = Callable[[Any, Any, Any], Awaitable[None]]


class _Flow(FlowControl):
    """uvicorn's, which by itself reads on while requests wait for their turn, or answers for somebody to read them."""

    def __init__(self, transport: asyncio.Transport, is_waiting: Callable[[], bool]) -> None:
        super().__init__(transport)
        self._is_waiting = is_waiting

    def resume_reading(self) -> None:
        """Read on, if nothing waits."""
        if not self.write_paused and not self._is_waiting():
            super().resume_reading()


class Protocol(HttpToolsProtocol):
    """uvicorn's protocol with a bound on the size of a request's head, and a short way for whole requests.

    Where the ASGI callable has an attribute `http` (an `HttpApplication`) that answers a route soon, its requests take
    no task, no ASGI messages and one write: half of what a small request costs otherwise.
    """

    cycle: Any
    _is_held = False
    _is_in_head = False
    _head_bytes = 0
    _heads = 0

    def __init__(self, *arguments: Any, most_connections: int = MOST_CONNECTIONS, **options: Any) -> None:
        """As uvicorn makes it, once a connection; one beyond `most_connections` is told to come again."""
        super().__init__(*arguments, **options)
        self._most_connections = most_connections
        self._http: HttpApplication | None = getattr(self.app, "http", None)
        self._soon = {} if self._http is None else self._http.soon_routes()
        self._pieces: list[bytes] = []
        self._running: Any = None
        self._unparsed = memoryview(b"")

    def data_received(self, data: bytes) -> None:
        """Read what came, no faster than it is answered."""
        if len(data) <= PIECE_BYTES and not self._unparsed:
            self._parse(data)
        else:
            self._unparsed = memoryview(bytes(self._unparsed) + data if self._unparsed else data)
            self._parse_on()

    def _parse_on(self) -> None:
        """Parse until requests wait for their turn or answers to be read; what is left is parsed then."""
        while self._unparsed and not self.pipeline and not self.flow.write_paused:
            if self.transport.is_closing():
                self._unparsed = memoryview(b"")
                return
            piece, self._unparsed = bytes(self._unparsed[:PIECE_BYTES]), self._unparsed[PIECE_BYTES:]
            self._parse(piece)
        if self._unparsed:
            self._is_held = True
            self.flow.pause_reading()
        elif self._is_held and self.parser is not None:
            self._is_held = False
            if len(getattr(self.cycle, "body", b"")) <= HIGH_WATER_LIMIT:  # more of it is read when this was taken
                self.flow.resume_reading()

    def _is_waiting(self) -> bool:
        return bool(self.pipeline or self._unparsed)

    def _parse(self, data: bytes) -> None:
        """Parse; end a connection whose head grows without end."""
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
        self.flow = _Flow(transport, self._is_waiting)
        if len(self.connections) > self._most_connections:
            transport.write(REFUSAL)
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has left: what is being answered must know, also where later requests have come behind it."""
        self.pipeline.clear()
        self._unparsed = memoryview(b"")
        if self._running is not None:
            self._running.disconnected = True
        super().connection_lost(exc)

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def resume_writing(self) -> None:
        """The client has read its answers."""
        super().resume_writing()
        self._go_on()

    def on_response_complete(self) -> None:
        """An answer is out: the next request may begin."""
        super().on_response_complete()
        if self._unparsed:
            self._go_on()

    def _go_on(self) -> None:
        if self._unparsed:
            self.loop.call_soon(self._parse_on)  # whoever calls is in the middle of an answer
        else:
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


class Server(uvicorn.Server):
    """uvicorn's server, which drains before it stops and ends connections that send no request."""

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        drain: Callable[[], None],
        drain_seconds: float,
        patience_seconds: float,
        most_connections: int = MOST_CONNECTIONS,
    ) -> None:
        """Begin to serve with `run`.

        Args:
            config: Of uvicorn.
            drain: Is called once when a stop begins.
            drain_seconds: For how long requests are still answered after that.
            patience_seconds: How long a client may take for the head of a request.
            most_connections: How many there may be, those that are still agreeing on TLS among them.
        """
        super().__init__(config)
        self._drain = drain
        self._drain_seconds = drain_seconds
        self._is_told = False
        self._exit_at: float | None = None
        self._patience_seconds = patience_seconds
        self._most_connections = most_connections
        self._stalled = Stalled(patience_seconds)
        self._listening: list[socket.socket] = []
        self._greeting: set[asyncio.Task[Any]] = set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen.

        With TLS, nobody would count or hurry the connections that uvicorn's own servers take until they have agreed on
        a key: so they are all taken here.
        """
        await super().startup([] if self.config.is_ssl else sockets)
        self._listening = sockets or []
        if self.config.is_ssl:
            for listening in self._listening:
                asyncio.get_running_loop().add_reader(listening, self._greet, 1)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop to listen, and answer what was asked."""
        if self.config.is_ssl:
            for listening in self._listening:
                asyncio.get_running_loop().remove_reader(listening)
        await super().shutdown(sockets)

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
            self._stalled.sweep(self.server_state.connections, now)
        if not self.should_exit:  # nobody would sweep a connection that is taken now and says nothing
            self._greet()
        return await super().on_tick(counter)

    def _greet(self, at_once: int = GREETED_AT_ONCE) -> None:
        """Take the connections that wait.

        A turn under overload is long, and libuv takes one new connection in each, as the workers of other servers share
        a socket: whoever comes anew would wait for seconds while old clients go on. Otherwise nobody waits here.
        """
        loop = asyncio.get_running_loop()
        for listening in self._listening:
            for _ in range(at_once):
                try:
                    taken, _ = listening.accept()
                except OSError:  # nobody waits, or too many files are open
                    break
                if len(self._greeting) + len(self.server_state.connections) > self._most_connections:
                    taken.close()
                    continue
                taken.setblocking(False)
                greeting = loop.create_task(self._connect(loop, taken))
                self._greeting.add(greeting)
                greeting.add_done_callback(self._greeting.discard)

    async def _connect(self, loop: asyncio.AbstractEventLoop, taken: socket.socket) -> None:
        try:
            ssl = self.config.ssl
            hurry = None if ssl is None else self._patience_seconds
            await loop.connect_accepted_socket(self._make_protocol, taken, ssl=ssl, ssl_handshake_timeout=hurry)
        except (OSError, ConnectionError):  # it left, or speaks no TLS
            taken.close()

    def _make_protocol(self) -> asyncio.Protocol:
        return self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )


def _without_upgrade(data: bytes) -> bytes:
    """The same bytes with no `Upgrade` in the head that they begin with.

    Java's client and `curl --http2` ask for one beside every body, as a server may ignore it. The parser cannot: it
    takes what follows the head for the other protocol.
    """
    head, end, rest = data.partition(b"\r\n\r\n")
    return b"".join((_UPGRADE.sub(b"ignored", head), end, rest))


def run_server(
    application: Asgi,
    listening: socket.socket,
    *,
    drain: Callable[[], None],
    drain_seconds: float,
    patience_seconds: float,
    **options: Any,
) -> None:
    """Serve on a socket until told to stop. Run it in the main thread of its process.

    Args:
        application: Answers.
        listening: Where.
        drain: As `Server`.
        drain_seconds: As `Server`.
        patience_seconds: As `Server`.
        options: What else uvicorn is told.
    """
    most = allow_connections()
    config = uvicorn.Config(
        application,
        http=partial(Protocol, most_connections=most),  # type: ignore[arg-type]
        ws="none",
        lifespan="on",
        interface="asgi3",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,  # nobody here asks where a client is
        **options,
    )
    server = Server(
        config,
        drain=drain,
        drain_seconds=drain_seconds,
        patience_seconds=patience_seconds,
        most_connections=most,
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn raises it again after a clean stop, which shall exit with 0
        signal.signal(number, lambda *_: None if server.started else sys.exit(0))
    server.run(sockets=[listening])
