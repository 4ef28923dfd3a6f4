"""The scoring process put together: models, experiment, spool, counts and routes, behind one ASGI callable."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from bentos.artifact import policies_of, read_public_keys
from bentos.artifact.holding import POLICIES_SETTING
from bentos.errors import InvalidSetting
from service.http.admin_port import AdminPort
from service.http.application import AsgiScope, HttpApplication, Receive, Send, send_response
from service.http.keys import Keys
from service.http.limits import Bound, Patience, RateLimit
from service.http.messages import Guard, Response
from service.http.problems import CONTENT_TYPE, Kind, describe
from service.metrics import Metrics, ScoringState
from service.micros import from_micros
from service.prediction_log.spool import Spool
from service.routes.asking import Asking, Clock, read_clock
from service.routes.insight import InsightClient
from service.routes.judge_client import JudgeClient
from service.routes.open_inference.answering import restate
from service.routes.table import Parts, make_admin_routes, make_routes
from service.routes.turns import Turns
from service.scoring.batching import Scoring
from service.scoring.blessings import Blessings
from service.scoring.circuit import Circuit
from service.scoring.models import Models, Rows, find_source, load_models
from service.scoring.watching import ExperimentWatch
from service.settings import Settings, bentoml_home
from service.tracing import Tracing

logger = logging.getLogger("gauntlet.scoring")

CODE = Path(__file__).resolve().parent.parent
"""What this code lies in: a Bento's `src`, or a checkout."""

BULK_ROWS = 512
"""The most rows of a batch that are scored together; with more, a row takes no less."""

_NOT_STARTED = Kind(503, "unavailable", "Something that is needed does not answer")


class Application:
    """One scoring process. Made whole or not at all; `start` and `stop` frame its time on an event loop.

    Attributes:
        http: Answers clients.
        admin: Answers on the admin port.
        watch: Who plays which role.
    """

    def __init__(
        self, settings: Settings, *, clock: Clock = read_clock, randomness: Callable[[int], bytes] = os.urandom
    ) -> None:
        """Load what the Bento carries.

        Raises:
            NotFound: There is no Bento, or a model of it is nowhere.
            ArtifactDamaged: A model is not what was packed.
            NotBlessed: Blessings are asked for, and the Bento's champion never had one.
            Refused: The models do not answer the same question.
            InvalidSetting: The public keys cannot be read.
            OSError: The spool cannot be written to at all.
        """
        source = find_source(settings.bento or CODE)
        stores = (source.parent / "models", bentoml_home() / "models")
        self._blessings = _blessings(settings, from_micros(clock()))
        self._models = load_models(source, stores, is_late=settings.without_challengers, admit=self._blessings.admit)
        self._blessings.tell(self._models.built_in.digest)
        self.watch = ExperimentWatch(
            settings.experiment_path,
            self._models.by_digest,
            self._models.built_in,
            without_challengers=settings.without_challengers,
            scopes=self._blessings.scopes(self._models.scopes),
            kept=settings.kept_experiment_file,
        )
        self.watch.leave_out(self._blessings.left_out())
        self.watch.poll()
        active = self.watch.active(clock())
        if settings.without_challengers and active is not None:
            active.champion.scorer.score_first(1)  # it alone is loaded now
        self._interval_seconds = settings.watch_interval_seconds
        self._clock = clock
        self._without_challengers = settings.without_challengers
        self._spool = _open_spool(settings)
        url = settings.judge_url
        self._judge = JudgeClient(url, timeout_seconds=settings.judge_timeout_seconds) if url else None
        insight = settings.insight_url
        self._insight = InsightClient(insight, timeout_seconds=settings.insight_timeout_seconds) if insight else None
        self._circuits: dict[str, Circuit] = {}
        self._metrics = Metrics(self._state)
        self._watching: asyncio.Task[None] | None = None
        self._admin_port: AdminPort | None = None
        self._is_stopping = False
        guard = _guard(settings)
        self._keys, self._patience = guard.keys, guard.patience
        endpoint = settings.otlp_endpoint
        self._tracing = Tracing(endpoint, version=self._models.gauntlet) if endpoint else None
        parts = self._parts(settings, clock, randomness)
        count, limit = self._metrics.count_request, settings.body_limit_bytes
        self.http = HttpApplication(
            make_routes(parts),
            body_limit_bytes=limit,
            count_request=count,
            guard=guard,
            trace=self._tracing.trace if self._tracing else None,
            restate=_in_words_of,
        )
        self.admin = HttpApplication(make_admin_routes(parts), body_limit_bytes=limit, count_request=count)
        routes = (*self.http.routes, *self.admin.routes)
        self._metrics.open(settings.counters_path, settings.worker, models=self._models, routes=routes)

    @property
    def models(self) -> Models:
        """Everything that can be scored with."""
        return self._models

    def not_ready(self) -> str | None:
        """Why this process should get no requests; None where it should."""
        return "it is stopping" if self._is_stopping else self.watch.not_ready(self._clock())

    async def start(self, admin: socket.socket | None = None) -> None:
        """Begin to follow the files that may change.

        Args:
            admin: A socket that listens already, for the admin port; None for none.
        """
        if admin is not None:
            self._admin_port = AdminPort(self.admin, patience_seconds=self._patience.seconds)
            await self._admin_port.open(admin)
        self._watching = asyncio.create_task(self._follow())
        gc.collect()
        gc.freeze()  # what was made until now lives as long as the process; no collection looks at it again
        models = ", ".join(str(model.identity) for model in self._models.by_digest.values())
        logger.info("scoring_started", extra={"models": models, "spool": str(self._spool.folder)})

    def drain(self) -> None:
        """Get ready to stop: say that no more requests should come, and ask who still comes to go elsewhere next."""
        self._is_stopping = self.http.is_draining = True
        logger.info("scoring_draining")

    async def stop(self) -> None:
        """End: the spool is closed last, when no answer is on its way any more."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        if self._admin_port is not None:
            await self._admin_port.close()
        if self._judge is not None:
            await self._judge.close()
        if self._insight is not None:
            await self._insight.close()
        if self._tracing is not None:
            await asyncio.to_thread(self._tracing.close)
        self._spool.close()
        self._metrics.close()
        logger.info("scoring_stopped", extra={"lost": self._spool.lost})

    def _parts(self, settings: Settings, clock: Clock, randomness: Callable[[int], bytes]) -> Parts:
        circuits = self._circuits
        must_log = settings.spool_when_full == "refuse"

        def scoring(rows: Rows, *, is_bound: bool) -> Scoring:
            return Scoring(
                rows,
                is_bound=is_bound,
                write=self._spool.append_all,
                counts=self._metrics,
                circuits=circuits,
                budget_seconds=settings.challenger_budget_seconds,
                must_log=must_log,
            )

        return Parts(
            models=self._models,
            watch=self.watch,
            asking=Asking(self.watch, clock=clock, randomness=randomness),
            live=scoring(self._models.rows, is_bound=True),
            bulk=scoring(Rows(self._models.rows.encoder, BULK_ROWS), is_bound=False),
            spool=self._spool,
            counts=self._metrics,
            rate=RateLimit(settings.rate_per_second, settings.burst),
            waiting=Bound(settings.most_in_flight, settings.longest_wait_seconds),
            turns=Turns(BULK_ROWS),
            judge=self._judge,
            insight=self._insight,
            clock=clock,
            must_log=must_log,
            not_ready=self.not_ready,
            ahead_seconds=settings.observed_ahead_seconds,
            batch_rows=settings.batch_rows,
            body_limit_bytes=settings.body_limit_bytes,
        )

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(self._interval_seconds)
            for look in self._looks():
                try:
                    look()
                except Exception:  # whatever it was: the others are looked at too, and this one next time
                    logger.exception("poll_failed")

    def _looks(self) -> Iterator[Callable[[], None]]:
        """What is looked at a few times a second."""
        yield from (self._metrics.beat, self._patience.sweep, self._spool.check, self._follow_revocations)
        yield self.watch.poll
        if self._admin_port is not None:
            yield self._admin_port.sweep
        if self._keys is not None:
            yield self._keys.poll

    def _follow_revocations(self) -> None:
        """A blessing that is revoked ends its model's trial here at once."""
        if self._blessings.poll():
            left_out = self._blessings.left_out()
            self.watch.leave_out(left_out)
            logger.info("revocations_read", extra={"left_out": "; ".join(left_out.values()) or None})

    def _state(self) -> ScoringState:
        now = self._clock()
        roles = self.watch.active(now)
        champion = roles.champion.digest if roles else None
        return ScoringState(
            roles=roles,
            gauntlet=self._models.gauntlet,
            is_ready=self.not_ready() is None,
            is_file_valid=self.watch.is_file_valid,
            are_keys_valid=self._keys is None or self._keys.is_valid,
            is_champion_present=self.watch.is_champion_present,
            is_challenger_present=self.watch.is_challenger_present,
            are_challengers_left_out=self._without_challengers,
            spool_lost=self._spool.lost,
            is_spool_failing=self._spool.failure is not None,
            circuits_open=sum(circuit.is_open for circuit in self._circuits.values()),
            blessings=self._blessings.states(champion, from_micros(now)),
        )


def _blessings(settings: Settings, now: datetime) -> Blessings:
    path = settings.blessing_public_key_file
    return Blessings(
        is_asked_for=settings.asks_for_blessings,
        started=now,
        keys=None if path is None else read_public_keys(path),
        policies=policies_of({POLICIES_SETTING: settings.gate_policies}),
        revocations=settings.revocations_path,
        must_exist=settings.revocations_file is not None,
    )


def _open_spool(settings: Settings) -> Spool:
    return Spool(
        settings.spool_path,
        settings.worker,
        segment_bytes=settings.spool_segment_bytes,
        segment_seconds=settings.spool_segment_seconds,
        limit_bytes=settings.spool_limit_bytes,
        fsync=settings.spool_fsync,
        fsync_interval_seconds=settings.spool_fsync_interval_seconds,
    )


def _in_words_of(path: str, response: Response) -> Response:
    return restate(response) if path == "/v2" or path.startswith("/v2/") else response


def _guard(settings: Settings) -> Guard:
    keys = None
    if settings.asks_for_keys:
        if settings.keys_path is None:
            raise InvalidSetting(
                "clients must show API keys, and GAUNTLET_KEYS_FOLDER names no folder of them; `gauntlet keys add` "
                "makes them. With GAUNTLET_HOST=127.0.0.1 or GAUNTLET_AUTHENTICATION=off none are asked for"
            )
        keys = Keys(settings.keys_path)
    most = settings.most_in_flight
    return Guard(
        keys=keys, bound=Bound(most), streams=Bound(max(1, most // 2)), patience=Patience(settings.patience_seconds)
    )


class Door:
    """An ASGI callable that exists before its application does: what BentoML mounts when it imports the service.

    Attributes:
        application: Answers, once it is there.
    """

    def __init__(self) -> None:
        self.application: Application | None = None

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Let the application answer; 503 while there is none."""
        if scope["type"] != "http":
            return
        if self.application is None:
            body = describe(_NOT_STARTED, "scoring has not started")
            await send_response(Response(_NOT_STARTED.status, body, CONTENT_TYPE), send)
            return
        await self.application.http(scope, receive, send)
