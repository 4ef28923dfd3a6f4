"""The admin port: a second port in the same process and event loop, with bounds of its own."""

from __future__ import annotations

import asyncio
import socket
import time

import uvicorn
from uvicorn.server import ServerState

from service.http.connections import MOST_ADMIN_CONNECTIONS, Stalled
from service.http.server import Asgi, Protocol


class AdminPort:
    """A second port in the same process and event loop."""

    def __init__(self, app: Asgi, *, patience_seconds: float) -> None:
        """Answer by an application, once it is open.

        Args:
            app: Answers.
            patience_seconds: How long a client may take for the head of a request, or to read an answer.
        """
        self._config = uvicorn.Config(
            app, http="httptools", ws="none", lifespan="off", access_log=False, log_config=None
        )
        self._server: asyncio.Server | None = None
        self._state = ServerState()
        self._stalled = Stalled(patience_seconds)

    def sweep(self) -> None:
        """End connections on which nothing moves."""
        self._stalled.sweep(self._state.connections, time.monotonic())

    async def open(self, listening: socket.socket) -> None:
        """Begin to answer on a socket that listens already."""
        self._config.load()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Protocol(self._config, self._state, {}, most_connections=MOST_ADMIN_CONNECTIONS), sock=listening
        )

    async def close(self) -> None:
        """Stop answering."""
        if self._server is not None:
            self._server.close()
            self._server = None
