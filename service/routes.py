"""The routes: one definition each, read by the fast entry, by `bentoml serve`, by `/openapi.json` and by `/docs`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import msgspec

from bentos.errors import Unavailable
from service import metrics, openapi
from service.bodies import read_outcomes, read_score
from service.docs import render_docs
from service.http import Handler, Response, Route
from service.ids import make_id
from service.judge_client import JudgeClient
from service.metrics import Metrics
from service.micros import from_micros
from service.models import Models
from service.problems import CONTENT_TYPE, describe_error
from service.scoring import Roles, score
from service.spool import Spool
from service.watching import ExperimentWatch

TEXT = b"text/plain; charset=utf-8"
HTML = b"text/html; charset=utf-8"

Clock = Callable[[], int]
"""Now, in microseconds since 1970 UTC."""

_encode = msgspec.json.Encoder().encode


def read_clock() -> int:
    """The clock of a process that serves."""
    return time.time_ns() // 1000


class Handlers:
    """What answers each route: decode, decide, write to the spool, answer.

    Attributes:
        models: Everything that can be scored with.
        watch: Who plays which role.
        metrics: What is counted.
    """

    def __init__(
        self,
        *,
        models: Models,
        watch: ExperimentWatch,
        spool: Spool,
        counts: Metrics,
        judge: JudgeClient | None,
        clock: Clock = read_clock,
        randomness: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self.models = models
        self.watch = watch
        self.metrics = counts
        self._spool = spool
        self._judge = judge
        self._clock = clock
        self._randomness = randomness

    async def score(self, body: bytes) -> Response:
        """Score one customer; the record is in the spool before the answer leaves."""
        request = read_score(body, self.models.row.encoder)
        now = self._clock()
        roles = self.watch.roles(now)
        prediction_id = request.prediction_id or make_id(now, self._randomness(8))
        scored = score(request, roles, self.models.row, at=now, prediction_id=prediction_id)
        self._spool.append(scored.prediction)
        self.metrics.count_prediction(scored, roles)
        return Response(200, _encode(scored.answer))

    async def outcomes(self, body: bytes) -> Response:
        """Take outcomes: all of them, or none.

        Raises:
            Unavailable: The spool cannot be written to.
        """
        taken = read_outcomes(body, self.models.contract, received_at=self._clock())
        written = sum([self._spool.append(outcome) for outcome in taken])
        self.metrics.outcomes += written
        if written < len(taken):  # unlike a prediction, an outcome can be sent again, and counts once
            raise Unavailable(f"{len(taken) - written} of {len(taken)} outcomes could not be kept; send them all again")
        return Response(202, _encode({"accepted": len(taken)}))

    async def experiment(self, _body: bytes) -> Response:
        """The experiment as scoring knows it, with what the judge says of it."""
        known = describe_roles(self.watch.roles(self._clock()))
        return Response(200, _encode({**known, "judge": await self._ask_judge()}))

    async def livez(self, _body: bytes) -> Response:
        """Whether the process lives: it answered."""
        return Response(200, b"live\n", TEXT)

    async def readyz(self, _body: bytes) -> Response:
        """Whether the process should get requests; 503 with the reason if not. Probes ask often: nothing is logged."""
        reason = self.watch.not_ready(self._clock())
        if reason is not None:
            return Response(503, describe_error(Unavailable(reason)), CONTENT_TYPE)
        return Response(200, b"ready\n", TEXT)

    async def exposition(self, _body: bytes) -> Response:
        """Metrics in Prometheus's text form. On the same port for now; a port of its own belongs to it."""
        return Response(200, self.metrics.exposition(), metrics.CONTENT_TYPE.encode())

    async def _ask_judge(self) -> dict[str, Any]:
        if self._judge is None:
            return {"status": "unavailable", "reason": "no judge is named: GAUNTLET_JUDGE_URL is not set"}
        try:
            return {**await self._judge.ask(), "status": "available"}
        except Unavailable as e:
            self.metrics.judge_unanswered += 1
            return {"status": "unavailable", "reason": str(e)}


def make_routes(handlers: Handlers) -> tuple[Route, ...]:
    """The table of routes."""
    contract, version = handlers.models.contract, handlers.models.gauntlet
    described = (
        Route(
            "POST",
            "/v1/score",
            handlers.score,
            "Score one customer.",
            openapi.score_operation(contract),
        ),
        Route(
            "POST",
            "/v1/outcomes",
            handlers.outcomes,
            "Tell what came true, by prediction_id: one outcome or many; sent twice, it counts once.",
            openapi.outcomes_operation(contract),
        ),
        Route(
            "GET",
            "/v1/experiment",
            handlers.experiment,
            "Who is on trial, for which share of customers, and what the judge says.",
            openapi.experiment_operation(),
        ),
        Route("GET", "/livez", handlers.livez, "Whether the process lives.", _text("livez")),
        Route("GET", "/healthz", handlers.livez, "The same as /livez.", _text("healthz")),
        Route(
            "GET", "/readyz", handlers.readyz, "Whether it should get requests; says why not.", _text("readyz", "503")
        ),
        Route("GET", "/metrics", handlers.exposition, "Counts and state for Prometheus.", _text("metrics")),
    )
    document = _encode(openapi.describe_service(described, contract, version))
    page = render_docs(described, contract).encode()
    return (
        *described,
        Route("GET", "/openapi.json", _constant(Response(200, document)), "This interface for machines."),
        Route("GET", "/docs/openapi.json", _constant(Response(200, document)), "The same, where only /docs is let in."),
        Route("GET", "/docs", _constant(Response(200, page, HTML)), "This interface for people."),
        Route("GET", "/", _constant(Response(307, b"", TEXT, ((b"location", b"/docs"),))), "Leads to /docs."),
    )


def describe_roles(roles: Roles) -> dict[str, Any]:
    """The experiment as scoring knows it, in JSON's terms."""
    return {
        "experiment": roles.experiment,
        "revision": roles.revision,
        "effective_from": from_micros(roles.effective_from),
        "mode": roles.mode,
        "split": roles.split,
        "champion": roles.champion.identity,
        "challenger": roles.challenger.identity if roles.challenger else None,
    }


def _text(operation_id: str, *statuses: str) -> openapi.Schema:
    return openapi.text_operation(operation_id, "text/plain", *statuses)


def _constant(response: Response) -> Handler:
    async def answer(_body: bytes) -> Response:
        return response

    return answer
