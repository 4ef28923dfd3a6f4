"""`gauntlet insight`, and `python -m service.insight.process` in a container: the process that explains."""

from __future__ import annotations

import logging
import signal
import sys
from functools import partial

from bentos.errors import GauntletError
from service.children import BAD_START
from service.entry import listen, prepare
from service.insight.settings import InsightSettings, read_insight_settings
from service.logs import log_to_stderr

logger = logging.getLogger("gauntlet.insight")

GRACE_SECONDS = 10


def run_insight(settings: InsightSettings) -> None:
    """Explain until told to stop. Run it in the main thread of its process.

    Args:
        settings: Of this process.

    Raises:
        GauntletError: The Bento cannot be explained, or the port cannot be had.
    """
    import uvicorn

    from service.http.connections import allow_connections
    from service.http.server import Protocol, Server
    from service.insight.application import PATIENCE_SECONDS, InsightApplication

    application = InsightApplication(settings)
    listening = listen(settings.insight_host, settings.insight_port)
    most = allow_connections()
    config = uvicorn.Config(
        application,
        loop="asyncio",
        http=partial(Protocol, most_connections=most),  # type: ignore[arg-type]
        ws="none",
        lifespan="on",
        interface="asgi3",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    server = Server(
        config,
        drain=application.drain,
        drain_seconds=0.0,
        patience_seconds=PATIENCE_SECONDS,
        most_connections=most,
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn raises it again after a clean stop, which shall exit with 0
        signal.signal(number, lambda *_: None if server.started else sys.exit(0))
    server.run(sockets=[listening])


def main() -> int:
    """Explain by the environment's settings. Returns the exit code."""
    prepare()
    log_to_stderr("insight")
    try:
        run_insight(read_insight_settings())
    except GauntletError as e:
        logger.error("start_refused", extra={"reason": str(e)})
        return BAD_START
    return 0


if __name__ == "__main__":
    sys.exit(main())
