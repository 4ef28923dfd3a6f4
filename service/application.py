"""The scoring process put together: models, experiment, spool, counts and routes, behind one ASGI callable."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
from collections.abc import Callable
from pathlib import Path

from service.http import HttpApplication, Receive, Response, Scope, Send, send_response
from service.judge_client import JudgeClient
from service.metrics import Metrics, ScoringState
from service.models import Models, find_source, load_models
from service.problems import CONTENT_TYPE, Kind, describe
from service.routes import Clock, Handlers, make_routes, read_clock
from service.settings import Settings, bentoml_home
from service.spool import Spool
from service.watching import ExperimentWatch

logger = logging.getLogger("gauntlet.scoring")

CODE = Path(__file__).resolve().parent.parent
"""What this code lies in: a Bento's `src`, or a checkout."""

_NOT_STARTED = Kind(503, "unavailable", "Something that is needed does not answer")


class Application:
    """One scoring process. Made whole or not at all; `start` and `stop` frame its time on an event loop.

    Attributes:
        http: Answers HTTP.
        watch: Who plays which role.
    """

    def __init__(
        self, settings: Settings, *, clock: Clock = read_clock, randomness: Callable[[int], bytes] = os.urandom
    ) -> None:
        """Load what the Bento carries.

        Raises:
            NotFound: There is no Bento, or a model of it is nowhere.
            ArtifactDamaged: A model is not what was packed.
            Refused: The models do not answer the same question.
            OSError: The spool cannot be written to at all.
        """
        source = find_source(settings.bento or CODE)
        self._models = load_models(source, (source.parent / "models", bentoml_home() / "models"))
        self.watch = ExperimentWatch(settings.experiment_path, self._models.by_digest, self._models.built_in)
        self.watch.poll()
        self._interval_seconds = settings.watch_interval_seconds
        self._clock = clock
        self._spool = Spool(settings.spool_path, settings.worker)
        url = settings.judge_url
        self._judge = JudgeClient(url, timeout_seconds=settings.judge_timeout_seconds) if url else None
        self._metrics = Metrics(self._state)
        self._watching: asyncio.Task[None] | None = None
        handlers = Handlers(
            models=self._models,
            watch=self.watch,
            spool=self._spool,
            counts=self._metrics,
            judge=self._judge,
            clock=clock,
            randomness=randomness,
        )
        self.http = HttpApplication(
            make_routes(handlers),
            body_limit_bytes=settings.body_limit_bytes,
            count_request=self._metrics.count_request,
        )

    @property
    def models(self) -> Models:
        """Everything that can be scored with."""
        return self._models

    def not_ready(self) -> str | None:
        """Why this process should get no requests; None where it should."""
        return self.watch.not_ready(self._clock())

    async def start(self) -> None:
        """Begin to follow the experiment file."""
        self._watching = asyncio.create_task(self._follow())
        gc.collect()
        gc.freeze()  # what was made until now lives as long as the process; no collection looks at it again
        models = ", ".join(str(model.identity) for model in self._models.by_digest.values())
        logger.info("scoring_started", extra={"models": models, "spool": str(self._spool.folder)})

    async def stop(self) -> None:
        """End: the spool is closed last, when no answer is on its way any more."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        if self._judge is not None:
            await self._judge.close()
        self._spool.close()
        logger.info("scoring_stopped", extra={"lost": self._spool.lost})

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(self._interval_seconds)
            try:
                self.watch.poll()
            except Exception:  # whatever it was: the next revision must still be read
                logger.exception("experiment_poll_failed")

    def _state(self) -> ScoringState:
        now = self._clock()
        return ScoringState(
            roles=self.watch.active(now),
            gauntlet=self._models.gauntlet,
            is_ready=self.watch.not_ready(now) is None,
            is_file_valid=self.watch.is_file_valid,
            is_champion_present=self.watch.is_champion_present,
            is_challenger_present=self.watch.is_challenger_present,
            spool_lost=self._spool.lost,
        )


class Door:
    """An ASGI callable that exists before its application does: what BentoML mounts when it imports the service.

    Attributes:
        application: Answers, once it is there.
    """

    def __init__(self) -> None:
        self.application: Application | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the application answer; 503 while there is none."""
        if scope["type"] != "http":
            return
        if self.application is None:
            body = describe(_NOT_STARTED, "scoring has not started")
            await send_response(Response(_NOT_STARTED.status, body, CONTENT_TYPE), send)
            return
        await self.application.http(scope, receive, send)
