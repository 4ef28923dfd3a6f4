"""`gauntlet console`, and `python -m service.console.process` in a container: the process that people look at.

Dash's callbacks are plain functions that wait for databases. Its ASGI backend calls them on the event loop, where one
slow page would stop all others and the probes; so this is WSGI, by gunicorn (which MLflow brings) with threads.
"""

from __future__ import annotations

import gc
import logging
import socket
import sys
from typing import Any

from gunicorn.app.base import BaseApplication

from bentos.errors import GauntletError
from service.children import BAD_START
from service.console.guard import Guard
from service.console.settings import ConsoleSettings, read_console_settings
from service.entry import listen
from service.logs import log_to_stderr

logger = logging.getLogger("gauntlet.console")

_HANG_SECONDS = 120


class _Server(BaseApplication):  # type: ignore[misc]
    """gunicorn with one worker of several threads, and none of its files in the working directory."""

    def __init__(self, settings: ConsoleSettings, listening: socket.socket) -> None:
        self._settings, self._listening = settings, listening
        super().__init__()

    def load_config(self) -> None:
        """Tell gunicorn what it is to do."""
        settings = self._settings
        told: dict[str, Any] = {
            "bind": f"fd://{self._listening.fileno()}",
            "workers": 1,
            "worker_class": "gthread",
            "threads": settings.threads,
            "timeout": _HANG_SECONDS,
            "graceful_timeout": settings.grace_seconds,
            "keepalive": 75,
            "loglevel": "warning",
            "control_socket_disable": True,
            "proc_name": "gauntlet-console",
            "forwarded_allow_ips": settings.trusted_proxies.replace(" ", ","),
        }
        if settings.tls_certificate is not None:
            told |= {"certfile": str(settings.tls_certificate), "keyfile": str(settings.tls_key)}
        for name, value in told.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """The application, made in the worker: a store's connections are not for two processes."""
        from service.console.app import make_app
        from service.console.sources import Sources

        sources = Sources(self._settings)
        sources.warm()
        made = make_app(self._settings, sources).server
        gc.collect()
        gc.freeze()  # no collection looks again at what was made until now: pages would wait a fifth of a second
        return made


def run_console(settings: ConsoleSettings) -> None:
    """Show pages until told to stop. Run it in the main thread of its process.

    Args:
        settings: Of this process.

    Raises:
        GauntletError: A setting cannot be used, or the port cannot be had.
    """
    Guard(settings)  # what it cannot use is said before a worker is started
    listening = listen(settings.host, settings.port)
    host, port = listening.getsockname()[:2]
    scheme = "https" if settings.tls_certificate else "http"
    logger.info("console_listening", extra={"url": f"{scheme}://{host}:{port}", "folder": str(settings.folder)})
    _Server(settings, listening).run()


def main() -> int:
    """Show pages by the environment's settings. Returns the exit code."""
    log_to_stderr("console")
    try:
        run_console(read_console_settings())
    except GauntletError as e:
        logger.error("start_refused", extra={"reason": str(e)})
        return BAD_START
    return 0


if __name__ == "__main__":
    sys.exit(main())
