"""The insight process put together: what the Bento carries, who plays which role, workers and routes."""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path
from typing import Any

from bentos.errors import Unavailable
from service.http.application import AsgiScope, HttpApplication, Receive, Send
from service.http.limits import Bound, Patience
from service.http.messages import Guard, Request, Response, Route
from service.http.problems import CONTENT_TYPE, describe_error
from service.insight.answering import Cache, ExplainHandler, Explaining
from service.insight.emails.answering import EmailHandler
from service.insight.emails.groq_client import GroqClient
from service.insight.emails.writing import DailyBudget, Writer
from service.insight.metrics import CONTENT_TYPE as METRICS_TYPE
from service.insight.metrics import InsightCounts, InsightState, render_metrics
from service.insight.pool import Limits, Pool, processors_for_workers
from service.insight.settings import InsightSettings
from service.routes.asking import Clock, read_clock
from service.scoring.models import find_source, load_models
from service.scoring.watching import ExperimentWatch
from service.settings import bentoml_home

logger = logging.getLogger("gauntlet.insight")

CODE = Path(__file__).resolve().parent.parent.parent
"""What this code lies in: a Bento's `src`, or a checkout."""

BODY_LIMIT_BYTES = 64 * 1024
PATIENCE_SECONDS = 30.0
LOOK_SECONDS = 0.25
TEXT = b"text/plain; charset=utf-8"


class InsightApplication:
    """One insight process; `start` and `stop` frame its time on an event loop.

    Attributes:
        http: Answers clients.
        pool: Explains.
    """

    def __init__(self, settings: InsightSettings, *, clock: Clock = read_clock) -> None:
        """Verify what the Bento carries; workers load it.

        Raises:
            NotFound: There is no Bento, or a model of it is nowhere.
            ArtifactDamaged: A model is not what was packed.
            Refused: The models do not answer the same question.
        """
        source = find_source(settings.bento or CODE)
        stores = (source.parent / "models", bentoml_home() / "models")
        models = load_models(source, stores, is_late=True)  # what is asked here is scikit-learn, and never ONNX
        self._watch = ExperimentWatch(settings.experiment_path, models.by_digest, models.built_in)
        self._watch.poll()
        self._patience = Patience(PATIENCE_SECONDS)
        self._looking: asyncio.Task[None] | None = None
        self.pool = Pool(
            (sys.executable, "-m", "service.insight.worker", str(source), *map(str, stores)),
            CODE,
            size=settings.insight_workers,
            niceness=settings.insight_niceness,
            at_once=min(settings.insight_workers, processors_for_workers()),
            limits=Limits(
                row=settings.insight_row_seconds,
                answer=settings.insight_answer_seconds,
                start=settings.insight_start_seconds,
            ),
        )
        self._clock = clock
        self._counts = InsightCounts()
        self._cache = Cache(settings.insight_cache_rows)
        self._groq = GroqClient(settings.groq_url, settings.groq_model, timeout_seconds=settings.groq_seconds)
        self._writer = Writer(
            self._groq.complete,
            settings.read_groq_key,
            budget=DailyBudget(settings.groq_calls_a_day),
            clock=clock,
            count=self._counts.count_draft,
        )
        counted = self._counts.count_explained
        explaining = Explaining(models, self._watch, self.pool.explain, cache=self._cache, clock=clock, count=counted)
        emails = EmailHandler(models, explaining, self._writer)
        guard = Guard(bound=Bound(settings.insight_workers + settings.insight_queue), patience=self._patience)
        self.http = HttpApplication(
            self._routes(ExplainHandler(explaining), emails),
            body_limit_bytes=BODY_LIMIT_BYTES,
            count_request=_count_nothing,
            guard=guard,
        )

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Answer one request, or live from start to stop."""
        if scope["type"] == "http":
            await self.http(scope, receive, send)
        elif scope["type"] == "lifespan":
            await receive()
            await self.start()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await self.stop()
            await send({"type": "lifespan.shutdown.complete"})

    async def start(self) -> None:
        """Start the workers, and follow the experiment file."""
        await self.pool.start()
        self._looking = asyncio.create_task(self._look())
        logger.info("insight_started")

    def drain(self) -> None:
        """Ask who still comes to go elsewhere next."""
        self.http.is_draining = True

    async def stop(self) -> None:
        """End the workers."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        await self.pool.stop()
        await self._groq.close()

    def not_ready(self) -> str | None:
        """Why this process should get no requests; None where it should."""
        if self.http.is_draining:
            return "it is stopping"
        if not self.pool.pids:
            return self.pool.failure or "its workers are loading SHAP and the models"
        return None

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self._patience.sweep()
            self._watch.poll()

    def _routes(self, explaining: ExplainHandler, emails: EmailHandler) -> tuple[Route, ...]:
        def health(path: str, answer: Any, summary: str) -> Route:
            return Route("GET", path, answer, summary, needs_key=False, is_bounded=False)

        return (
            Route("POST", "/v1/explain", explaining.answer, "Why a customer is scored as they are.", needs_key=False),
            Route("POST", "/v1/retention-email", emails.answer, "Draft an e-mail that asks to stay.", needs_key=False),
            health("/metrics", self._metrics, "Counts and state for Prometheus."),
            health("/livez", self._livez, "Whether the process lives."),
            health("/healthz", self._livez, "The same."),
            health("/readyz", self._readyz, "Whether a worker is ready."),
        )

    async def _metrics(self, _request: Request) -> Response:
        state = InsightState(
            kept=len(self._cache),
            workers=len(self.pool.pids),
            deaths=self.pool.deaths,
            waiting=self.pool.waiting,
            groq_calls_left=self._writer.budget.left(self._clock()),
            is_groq_left_alone=self._writer.circuit.is_open,
        )
        return Response(200, render_metrics(self._counts, state), METRICS_TYPE.encode())

    async def _livez(self, _request: Request) -> Response:
        return Response(200, b"live\n", TEXT)

    async def _readyz(self, _request: Request) -> Response:
        reason = self.not_ready()
        if reason is None:
            return Response(200, b"ready\n", TEXT)
        return Response(503, describe_error(Unavailable(reason)), CONTENT_TYPE)


def _count_nothing(_route: str, _method: str, _status: int, _seconds: float, _exemplar: str | None) -> None:
    """Scoring counts these requests and how long they take: nobody else sends any."""
