"""The service as BentoML knows it: what `bentoml serve` starts and `bentofile.yaml` names.

BentoML mounts our routes at `/` and keeps `/livez`, `/readyz` and `/healthz` for itself, so those ask the same state.
Its own metrics and access log are off: ours count by model and variant, and an access log costs more than a score. Set
GAUNTLET_HOST to the address that `--host` names: on loopback no API keys are asked for.
"""

from __future__ import annotations

import os
from contextlib import ExitStack

import bentoml

from service.application import Application, Door
from service.entry import listen_for_admin
from service.logs import log_gauntlet
from service.settings import Settings, read_settings
from service.starts import counting_deaths

door = Door()


def _settings() -> Settings:
    """BentoML does not say where it listens, and by default that is everywhere: without a word, clients need keys."""
    return read_settings() if "GAUNTLET_HOST" in os.environ else read_settings(host="0.0.0.0")  # noqa: S104


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
            with ExitStack() as undo:
                settings = undo.enter_context(counting_deaths(_settings()))
                self._application = door.application = Application(settings)
                await self._application.start(listen_for_admin(settings))
                self._running = undo.pop_all()

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    async def close(self) -> None:
        """Stop what was started here."""
        if self._application is not None:
            await self._application.stop()
            door.application = None
            self._running.close()

    def __is_ready__(self) -> bool:
        """BentoML's `/readyz`."""
        return door.application is not None and door.application.not_ready() is None

    def __is_alive__(self) -> bool:
        """BentoML's `/livez` and `/healthz`."""
        return True
