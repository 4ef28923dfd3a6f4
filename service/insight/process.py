"""`gauntlet insight`, and `python -m service.insight.process` in a container: the process that explains."""

from __future__ import annotations

import logging
import sys

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
    from service.http.server import run_server
    from service.insight.application import PATIENCE_SECONDS, InsightApplication
    from service.insight.priority import give_way

    if settings.insight_niceness:
        give_way()
    application = InsightApplication(settings)
    run_server(
        application,
        listen(settings.insight_host, settings.insight_port),
        drain=application.drain,
        drain_seconds=0.0,
        patience_seconds=PATIENCE_SECONDS,
        loop="asyncio",
        timeout_graceful_shutdown=GRACE_SECONDS,
    )


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
