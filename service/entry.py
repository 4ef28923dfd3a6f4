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
from typing import TYPE_CHECKING, Any

from bentos.errors import GauntletError, InvalidSetting, Unavailable
from service.http import Receive, Scope, Send, answer_error, send_response

if TYPE_CHECKING:
    from service.application import Application
    from service.settings import Settings

logger = logging.getLogger("gauntlet.entry")

BENTOML_PATHS = frozenset({"/schema.json"})
"""What BentoML answers by itself under `bentoml serve`, behind our routes."""

BACKLOG = 2048
"""Connections that wait while scoring starts again."""

BAD_START = 2
"""Exit code where starting again would fail again."""


class Front:
    """The fast entry's ASGI callable."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._bentoml: Any = None
        self._loading = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
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
        await self._application.start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._application.stop()
        await send({"type": "lifespan.shutdown.complete"})

    async def _hand_over(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with self._loading:
                if self._bentoml is None:
                    self._bentoml = await asyncio.to_thread(load_bentoml, self._application)
        except Exception as e:
            error = Unavailable(f"BentoML's own application cannot be loaded: {type(e).__name__}: {e}")
            await send_response(answer_error(error, scope["path"]), send)
            return
        await self._bentoml(scope, receive, send)


def load_bentoml(application: Application) -> Any:
    """BentoML's application of the service in `service.app`, answering from an application that runs already."""
    from service.app import Gauntlet, door

    door.application = application
    return Gauntlet.to_asgi()  # type: ignore[attr-defined]  # the decorator makes it a Service


def run(settings: Settings, listening: socket.socket | None = None) -> None:
    """Serve until told to stop.

    Args:
        settings: Of this process.
        listening: A socket that listens already; None: host and port of the settings.

    Raises:
        GauntletError: The Bento cannot be served, or the port cannot be had.
    """
    import uvicorn

    from service.application import Application

    application = Application(settings)
    config = uvicorn.Config(
        Front(application),
        loop="uvloop" if sys.platform != "win32" else "asyncio",
        http="httptools",
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_keep_alive=settings.keep_alive_seconds,
        timeout_graceful_shutdown=settings.grace_seconds,
    )
    server = uvicorn.Server(config)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)  # uvicorn raises it again after a clean stop, which shall exit with 0
    server.run(sockets=[listening or listen(settings.host, settings.port)])


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens, so that nobody else gets the port.

    Raises:
        Unavailable: The port is in use, or the address is none of this machine's.
    """
    with ExitStack() as undo:
        try:
            family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            found = undo.enter_context(socket.socket(family, socket.SOCK_STREAM))
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind(address)
            found.listen(BACKLOG)
        except OSError as e:
            reason = e.strerror or str(e)
            raise Unavailable(f"port {port} of {host} cannot be had ({reason}); choose another with --port") from e
        found.setblocking(False)
        undo.pop_all()
        return found


def prepare() -> None:
    """Set what has to be set before numpy and onnxruntime are imported: one thread a process, no tracing."""
    for name, value in (
        ("OMP_NUM_THREADS", "1"),
        ("OTEL_SDK_DISABLED", "true"),
        ("BENTOML_DO_NOT_TRACK", "true"),
    ):
        os.environ.setdefault(name, value)


def main(arguments: Sequence[str]) -> int:
    """Serve; `--fd N` names a socket that listens already. Returns the exit code."""
    prepare()
    from service.logs import log_to_stderr
    from service.settings import read_settings

    log_to_stderr("scoring")
    try:
        run(read_settings(), _inherited(arguments))
    except GauntletError as e:
        logger.error("start_refused", extra={"reason": str(e)})
        return BAD_START
    except OSError as e:  # a full disk may be emptied: starting again is worth a try
        logger.error("start_failed", extra={"reason": str(e)})
        return 1
    return 0


def _inherited(arguments: Sequence[str]) -> socket.socket | None:
    match arguments:
        case []:
            return None
        case ["--fd", number] if number.isdigit():
            return socket.socket(fileno=int(number))
        case _:
            raise InvalidSetting(
                f"arguments {' '.join(arguments)!r} are not understood; there is only --fd NUMBER, and everything else "
                "is set by environment variables such as GAUNTLET_PORT"
            )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
