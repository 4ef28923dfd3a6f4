"""The fast entry: one process, uvicorn, our routes in front; what only BentoML answers goes to the same service's app.

`python -m service.entry` serves the Bento that the code lies in. BentoML's application costs two seconds of imports
and 40 MB, and with our routes mounted at `/` only its own description of itself is left to it: it is made when that is
first asked for. Both entries answer from the same table of routes.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bentos.errors import GauntletError, InvalidSetting, Unavailable
from service.children import BAD_START
from service.http.application import AsgiScope, Receive, Send, answer_error, send_response

if TYPE_CHECKING:
    from service.application import Application
    from service.settings import Settings

logger = logging.getLogger("gauntlet.entry")

BENTOML_PATHS = frozenset({"/schema.json"})
"""What BentoML answers by itself under `bentoml serve`, behind our routes."""

BACKLOG = 2048
"""Connections that wait while scoring starts again."""

CODE = Path(__file__).resolve().parent.parent
"""What this code lies in."""


class Front:
    """The fast entry's ASGI callable.

    Attributes:
        http: Answers clients; the server takes requests to it by a shorter way where it can.
    """

    def __init__(self, application: Application, admin: socket.socket | None = None) -> None:
        """Answer by an application.

        Args:
            application: Answers.
            admin: A socket that listens already, for the admin port; None for none.
        """
        self._application = application
        self.http = application.http
        self._admin = admin
        self._bentoml: Any = None
        self._loading = asyncio.Lock()

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Answer, or hand over to BentoML."""
        if scope["type"] == "http":
            if scope["path"] in BENTOML_PATHS:
                await self._hand_over(scope, receive, send)
            else:
                await self._application.http(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        await self._application.start(self._admin)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._application.stop()
        await send({"type": "lifespan.shutdown.complete"})

    async def _hand_over(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        try:
            async with self._loading:
                if self._bentoml is None:
                    self._bentoml = await asyncio.to_thread(load_bentoml, self._application)
        except Exception as e:
            error = Unavailable(f"BentoML's own application cannot be loaded: {type(e).__name__}: {e}")
            await send_response(answer_error(error, scope["path"], dict(scope["headers"])), send)
            return
        await self._bentoml(scope, receive, send)


def load_bentoml(application: Application) -> Any:
    """BentoML's application of the service in `service.app`, answering from an application that runs already."""
    from service.app import Gauntlet, door

    door.application = application
    return Gauntlet.to_asgi()  # type: ignore[attr-defined]  # the decorator makes it a Service


def run(settings: Settings, listening: socket.socket | None = None, admin: socket.socket | None = None) -> None:
    """Serve until told to stop.

    Args:
        settings: Of this process.
        listening: A socket that listens already; None: host and port of the settings.
        admin: The same for the admin port.

    Raises:
        GauntletError: The Bento cannot be served, or the port cannot be had.
    """
    from service.starts import counting_deaths

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))  # being told to stop before there is anything to stop is no death
    with counting_deaths(settings) as allowed:
        _serve(
            allowed,
            listening or listen(settings.host, settings.port),
            admin or listen_for_admin(settings),
        )


def _serve(settings: Settings, listening: socket.socket, admin: socket.socket) -> None:
    from service.application import Application
    from service.http.server import run_server

    application = Application(settings)
    run_server(
        Front(application, admin),
        listening,
        drain=application.drain,
        drain_seconds=settings.drain_seconds,
        patience_seconds=settings.patience_seconds,
        loop="uvloop" if sys.platform != "win32" else "asyncio",
        timeout_keep_alive=settings.keep_alive_seconds,
        timeout_graceful_shutdown=settings.grace_seconds,
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=settings.tls_key,
    )


def listen(host: str, port: int, flag: str = "--port", *, is_shared: bool = False) -> socket.socket:
    """A socket that listens, so that nobody else gets the port.

    Args:
        host: The address.
        port: The port; 0 for any free one.
        flag: By which another can be chosen, for the message.
        is_shared: Whether several workers of one parent listen on it, each with a socket of its own.

    Raises:
        Unavailable: The port is in use, or the address is none of this machine's.
    """
    with ExitStack() as undo:
        try:
            family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            found = undo.enter_context(socket.socket(family, socket.SOCK_STREAM))
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if is_shared:
                found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            found.bind(address)
            found.listen(BACKLOG)
        except OSError as e:
            reason = e.strerror or str(e)
            raise Unavailable(f"port {port} of {host} cannot be had ({reason}); choose another with {flag}") from e
        found.setblocking(False)
        undo.pop_all()
        return found


def listen_for_admin(settings: Settings) -> socket.socket:
    """The socket of the admin port; several workers inherit their parent's.

    Raises:
        Unavailable: The port cannot be had.
    """
    return listen(settings.admin_host or settings.host, settings.admin_port, "--admin-port")


def prepare() -> None:
    """Set what has to be set before numpy and onnxruntime are imported: one thread a process, no tracing."""
    for name, value in (
        ("OMP_NUM_THREADS", "1"),
        ("OTEL_SDK_DISABLED", "true"),
        ("BENTOML_DO_NOT_TRACK", "true"),
    ):
        os.environ.setdefault(name, value)


def main(arguments: Sequence[str]) -> int:
    """Serve; `--fd N --admin-fd M` name sockets that listen already. Returns the exit code."""
    prepare()
    from service.logs import log_to_stderr
    from service.settings import read_settings

    log_to_stderr("scoring")
    try:
        settings, inherited = read_settings(), _inherited(arguments)
        if settings.workers > 1 and not inherited:
            return _run_workers(settings)
        run(settings, *inherited)
    except GauntletError as e:
        logger.error("start_refused", extra={"reason": str(e)})
        return BAD_START
    except OSError as e:  # a full disk may be emptied: starting again is worth a try
        logger.error("start_failed", extra={"reason": str(e)})
        return 1
    return 0


def _run_workers(settings: Settings) -> int:
    """Be the parent of several workers, which is all that this process then does."""
    from service.workers import Sockets, keep_workers

    with ExitStack() as undo:
        clients = undo.enter_context(listen(settings.host, settings.port))
        admin = undo.enter_context(listen_for_admin(settings))
        return keep_workers(settings, Sockets(clients, admin), {}, CODE)


def _inherited(arguments: Sequence[str]) -> tuple[socket.socket, ...]:
    match arguments:
        case []:
            return ()
        case ["--fd", clients, "--admin-fd", admin] if clients.isdigit() and admin.isdigit():
            return socket.socket(fileno=int(clients)), socket.socket(fileno=int(admin))
        case _:
            raise InvalidSetting(
                f"arguments {' '.join(arguments)!r} are not understood; there are only --fd NUMBER --admin-fd NUMBER, "
                "and everything else is set by environment variables such as GAUNTLET_PORT"
            )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
