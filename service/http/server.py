"""The fast entry's server: uvicorn with bounds on heads and idle clients, and a stop that drains; and the admin port.

By itself uvicorn waits for ever for a request's head, and reads heads of any size.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

logger = logging.getLogger("gauntlet.entry")

HEAD_LIMIT_BYTES = 64 * 1024

Asgi = Callable[[Any, Any, Any], Awaitable[None]]


class Protocol(HttpToolsProtocol):
    """uvicorn's protocol with a bound on the size of a request's head."""

    _is_in_head = False
    _head_bytes = 0

    def data_received(self, data: bytes) -> None:
        """Read what came; end a connection whose head grows without end."""
        super().data_received(data)
        if self._is_in_head:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_LIMIT_BYTES and not self.transport.is_closing():
                self.send_400_response(f"The head is larger than {HEAD_LIMIT_BYTES} bytes.")

    def on_message_begin(self) -> None:
        """A head begins."""
        self._is_in_head, self._head_bytes = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head has ended."""
        self._is_in_head = False
        super().on_headers_complete()


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
        self._headless: dict[Any, float] = {}

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
        return await super().on_tick(counter)

    def _sweep(self, now: float) -> None:
        """End connections on which neither a request nor uvicorn's own keep-alive timer runs: a head is awaited."""
        headless = [one for one in self.server_state.connections if _awaits_head(one)]
        self._headless = {one: self._headless.get(one, now) for one in headless}
        for one, since in self._headless.items():
            if now - since > self._patience_seconds:
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


def _awaits_head(protocol: Any) -> bool:
    cycle = protocol.cycle
    return (cycle is None or cycle.response_complete) and protocol.timeout_keep_alive_task is None
