"""The service as BentoML knows it: what `bentoml serve` starts and `bentofile.yaml` names.

BentoML mounts our routes at `/` and keeps `/livez`, `/readyz` and `/healthz` for itself, so those ask the same state.
Its own metrics and access log are off: ours count by model and variant, and an access log costs more than a score.
"""

from __future__ import annotations

import bentoml

from service.application import Application, Door
from service.logs import log_gauntlet
from service.settings import read_settings

door = Door()


@bentoml.service(
    name="gauntlet",
    workers=1,
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
    traffic={"timeout": 30},
)
@bentoml.asgi_app(door, path="/")
class Gauntlet:
    """Champion and challenger behind one set of routes."""

    @bentoml.on_startup  # type: ignore[untyped-decorator]
    async def open(self) -> None:
        """Load the models and begin to serve, unless the fast entry has done so in this process."""
        self._application = None
        if door.application is None:
            log_gauntlet("scoring")
            self._application = door.application = Application(read_settings())
            await self._application.start()

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    async def close(self) -> None:
        """Stop what was started here."""
        if self._application is not None:
            await self._application.stop()
            door.application = None

    def __is_ready__(self) -> bool:
        """BentoML's `/readyz`."""
        return door.application is not None and door.application.not_ready() is None

    def __is_alive__(self) -> bool:
        """BentoML's `/livez` and `/healthz`."""
        return True
