"""Insight as BentoML knows it: what `bentoml serve` starts and `bentos/insight.yaml` names.

BentoML mounts our routes at `/` and keeps `/livez`, `/readyz` and `/healthz` for itself, so those ask the same state.
Neither SHAP nor scikit-learn is imported here: they are in the workers that explain.
"""

from __future__ import annotations

import bentoml

from bentos.errors import Unavailable
from service.http.application import AsgiScope, Receive, Send, send_response
from service.http.messages import Response
from service.http.problems import CONTENT_TYPE, describe_error
from service.insight.application import InsightApplication
from service.insight.priority import give_way
from service.insight.settings import read_insight_settings
from service.logs import log_gauntlet


class Door:
    """An ASGI callable that exists before its application does: what BentoML mounts when it imports the service.

    Attributes:
        application: Answers, once it is there.
    """

    def __init__(self) -> None:
        self.application: InsightApplication | None = None

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Let the application answer; 503 while there is none."""
        if scope["type"] != "http":
            return
        if self.application is None:
            body = describe_error(Unavailable("insight has not started"))
            await send_response(Response(503, body, CONTENT_TYPE), send)
            return
        await self.application.http(scope, receive, send)


door = Door()


@bentoml.service(
    name="gauntlet-insight",
    workers=1,
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
    traffic={"timeout": 120},
)
@bentoml.asgi_app(door, path="/")
class Insight:
    """Why champion and challengers answer as they do."""

    @bentoml.on_startup  # type: ignore[untyped-decorator]
    async def open(self) -> None:
        """Verify the models and start the workers."""
        log_gauntlet("insight")
        settings = read_insight_settings()
        if settings.insight_niceness:
            give_way()
        application = InsightApplication(settings)
        await application.start()
        door.application = application

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    async def close(self) -> None:
        """End the workers."""
        if door.application is not None:
            await door.application.stop()
            door.application = None

    def __is_ready__(self) -> bool:
        """BentoML's `/readyz`."""
        return door.application is not None and door.application.not_ready() is None

    def __is_alive__(self) -> bool:
        """BentoML's `/livez` and `/healthz`."""
        return True
