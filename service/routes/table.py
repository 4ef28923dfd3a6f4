"""The routes: one definition each, read by the fast entry, by `bentoml serve`, by `/openapi.json` and by `/docs`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from bentos.artifact import dump_contract
from bentos.errors import GauntletError, Unavailable
from service.counters import open_metrics, text
from service.http.accepting import Form, asks_for
from service.http.following import passed_on
from service.http.limits import EVERYBODY, Bound, RateLimit
from service.http.messages import JSON, Handler, Request, Response, Route, Tell, in_a_task
from service.http.problems import CONTENT_TYPE, describe_error
from service.metrics import Metrics
from service.micros import from_micros
from service.prediction_log.spool import Spool
from service.routes import openapi
from service.routes.asking import Asking, Clock
from service.routes.batch import BatchHandler
from service.routes.bodies import read_score
from service.routes.docs import render_docs
from service.routes.insight import InsightClient, insight_handler
from service.routes.judge_client import JudgeClient
from service.routes.lines import CSV, NDJSON, STREAM_LIMIT_BYTES
from service.routes.moments import LEEWAY_SECONDS
from service.routes.open_inference.routes import open_inference_routes
from service.routes.outcomes import tell_outcomes
from service.routes.retention import PATH as RETENTION_EMAIL
from service.routes.retention import RetentionHandler
from service.routes.telling import Telling, TellingHandler, Told
from service.routes.treatments import tell_treatments
from service.routes.turns import Turns
from service.scoring.batching import Batch, Scoring
from service.scoring.deciding import Roles, Scored
from service.scoring.models import Models
from service.scoring.watching import ExperimentWatch

TEXT = b"text/plain; charset=utf-8"
HTML = b"text/html; charset=utf-8"
PAGE_POLICY = (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; img-src data:")
SCORE_LIMIT_BYTES = 64 * 1024
INSIGHT_LIMIT_BYTES = 64 * 1024

_OPEN_METRICS, _CLASSIC = Form("application/openmetrics-text", "1.0.0"), Form("text/plain", "0.0.4")

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What the routes answer from.

    Attributes:
        models: Everything that can be scored with.
        watch: Who plays which role.
        asking: From a request to what scoring is asked.
        live: Scores single rows; its matrix is the one that the models are bound to.
        bulk: Scores many rows of one request.
        spool: The prediction log.
        counts: What is counted.
        rate: How many rows a client may ask for.
        waiting: How many single rows may wait at once: no more than can be scored in time. They alone are counted, as
            what else is being answered, such as a stream, may take minutes and says nothing of how long a row waits.
        turns: Of everybody who has many rows.
        judge: What the judge says; None where none is named.
        insight: What explains and writes e-mails; None where none is named.
        clock: Now.
        must_log: Whether nothing is answered while the prediction log cannot be written.
        not_ready: Why this process should get no requests; None where it should.
        batch_rows: The most rows that one request may carry.
        body_limit_bytes: The largest body, also after it was unpacked.
        ahead_seconds: How far in the future an outcome may have been observed or a treatment taken.
    """

    models: Models
    watch: ExperimentWatch
    asking: Asking
    live: Scoring
    bulk: Scoring
    spool: Spool
    counts: Metrics
    rate: RateLimit
    waiting: Bound
    turns: Turns
    judge: JudgeClient | None
    insight: InsightClient | None
    clock: Clock
    must_log: bool
    not_ready: Callable[[], str | None]
    batch_rows: int
    body_limit_bytes: int
    ahead_seconds: float = LEEWAY_SECONDS


class Handlers:
    """What answers the routes: decode, decide, write to the spool, answer."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._batch = Batch(parts.live, lambda flush: asyncio.get_running_loop().call_soon(flush), parts.waiting.note)

    def score(self, request: Request, tell: Tell) -> None:
        """Score one customer; the record is in the spool before the answer leaves."""
        parts, waiting = self._parts, self._parts.waiting

        def answer(found: Scored | GauntletError) -> None:
            waiting.leave()
            tell(_answered(found) if isinstance(found, Scored) else found)

        waiting.enter()
        try:
            parts.rate.take(request.client or EVERYBODY, 1, request.started)
            asked = parts.asking.ask(read_score(request.body, parts.models.rows.encoder), request)
            self._batch.add(asked, answer)
        except Exception:
            waiting.leave()
            raise

    async def experiment(self, request: Request) -> Response:
        """The experiment as scoring knows it, with what the judge says of it."""
        known = describe_roles(self._parts.watch.roles(self._parts.clock()))
        return Response(200, _encode({**known, "judge": await self._ask_judge(request)}))

    async def livez(self, _request: Request) -> Response:
        """Whether the process lives: it answered."""
        return Response(200, b"live\n", TEXT)

    async def readyz(self, _request: Request) -> Response:
        """Whether the process should get requests; 503 with the reason if not. Probes ask often: nothing is logged."""
        parts = self._parts
        reason = parts.not_ready()
        failure = parts.spool.failure
        if reason is None and failure is not None and parts.must_log:
            reason = f"the prediction log cannot be written: {failure}"
        if reason is not None:
            return Response(503, describe_error(Unavailable(reason)), CONTENT_TYPE)
        said = b"ready\n" if failure is None else f"degraded: the prediction log loses records: {failure}\n".encode()
        return Response(200, said, TEXT)

    async def exposition(self, request: Request) -> Response:
        """Metrics in Prometheus's text form, or in OpenMetrics's for who asks for it."""
        is_open = asks_for(request.headers.get(b"accept", b""), _OPEN_METRICS, over=_CLASSIC)
        content_type = open_metrics.CONTENT_TYPE if is_open else text.CONTENT_TYPE
        return Response(200, self._parts.counts.exposition(is_open=is_open), content_type.encode())

    async def _ask_judge(self, request: Request) -> dict[str, Any]:
        if self._parts.judge is None:
            return {"status": "unavailable", "reason": "no judge is named: GAUNTLET_JUDGE_URL is not set"}
        try:
            return {**await self._parts.judge.ask(passed_on(request.headers)), "status": "available"}
        except Unavailable as e:
            self._parts.counts.judge_unanswered += 1
            return {"status": "unavailable", "reason": str(e)}


def make_routes(parts: Parts) -> tuple[Route, ...]:
    """The routes that clients ask."""
    handlers = Handlers(parts)
    contract, version = parts.models.contract, parts.models.gauntlet
    example = openapi.example_features(contract, parts.models.references.get(parts.models.built_in.digest))
    described = (
        Route(
            "POST",
            "/v1/score",
            in_a_task(handlers.score),
            "Score one customer.",
            openapi.score_operation(example),
            scope="score",
            limit_bytes=SCORE_LIMIT_BYTES,
            soon=handlers.score,
        ),
        _batch_route(parts, example),
        *_insight_routes(parts, example),
        *_telling_routes(parts),
        Route(
            "GET",
            "/v1/experiment",
            handlers.experiment,
            "Who is on trial, for which share of customers, and what the judge says.",
            openapi.experiment_operation(),
        ),
        *open_inference_routes(parts, handlers.readyz),
        *_health_routes(handlers),
    )
    document = _encode(openapi.describe_service(described, contract, version, example))
    page = render_docs(described, contract).encode()
    return (
        *described,
        _constant("/openapi.json", "This interface for machines.", Response(200, document)),
        _constant("/docs/openapi.json", "The same, where only /docs is let in.", Response(200, document)),
        _constant("/docs", "This interface for people.", Response(200, page, HTML, (PAGE_POLICY,))),
        _constant("/", "Leads to /docs.", Response(307, b"", TEXT, ((b"location", b"/docs"),))),
    )


def make_admin_routes(parts: Parts) -> tuple[Route, ...]:
    """The routes of the admin port, which no Ingress leads to."""
    handlers = Handlers(parts)
    summary = "Counts and state for Prometheus."
    carried = {digest: msgspec.Raw(dump_contract(model.contract)) for digest, model in parts.models.by_digest.items()}
    return (
        Route("GET", "/metrics", handlers.exposition, summary, needs_key=False, is_bounded=False),
        _constant("/contracts", "The contract of each model, for the judge.", Response(200, _encode(carried))),
        *_health_routes(handlers),
    )


def _batch_route(parts: Parts, example: openapi.Example) -> Route:
    return Route(
        "POST",
        "/v1/score/batch",
        BatchHandler(parts).batch,
        "Score many customers: an answer a row, in order; a bad row is named and costs the others nothing.",
        openapi.batch_operation(example, parts.batch_rows),
        scope="score",
        content_types=(JSON, NDJSON),
        limit_bytes=STREAM_LIMIT_BYTES,
        is_streamed=True,
    )


def _insight_routes(parts: Parts, example: openapi.Example) -> Iterator[Route]:
    retention = RetentionHandler(
        parts.insight,
        parts.watch,
        spool=parts.spool,
        rate=parts.rate,
        counts=parts.counts,
        clock=parts.clock,
    )
    explain = insight_handler(parts.insight, "/v1/explain")
    contract = parts.models.contract
    explaining, drafting = openapi.explain_operation(example, contract), openapi.email_operation(example, contract)
    for path, handler, summary, operation in (
        ("/v1/explain", explain, "Why a customer is scored as they are.", explaining),
        (RETENTION_EMAIL, retention.answer, "Draft an e-mail that asks a customer to stay.", drafting),
    ):
        yield Route("POST", path, handler, summary, operation, scope="score", limit_bytes=INSIGHT_LIMIT_BYTES)


def _telling_routes(parts: Parts) -> Iterator[Route]:
    contract = parts.models.contract
    outcomes = tell_outcomes(contract, parts.counts, ahead_seconds=parts.ahead_seconds)
    treatments = tell_treatments(parts.counts, ahead_seconds=parts.ahead_seconds)
    yield _telling_route(
        parts,
        outcomes,
        "Tell what came true, by prediction_id: one outcome or many; sent twice, it counts once.",
        openapi.outcomes_operation(contract, parts.batch_rows),
    )
    yield _telling_route(
        parts,
        treatments,
        "Tell what was done because of a prediction: one treatment or many; sent twice, it counts once.",
        openapi.treatments_operation(parts.batch_rows),
    )


def _telling_route(parts: Parts, telling: Telling[Told], summary: str, operation: openapi.Schema) -> Route:
    handler = TellingHandler(
        telling,
        spool=parts.spool,
        rate=parts.rate,
        clock=parts.clock,
        batch_rows=parts.batch_rows,
        body_limit_bytes=parts.body_limit_bytes,
    )
    return Route(
        "POST",
        f"/v1/{telling.name}",
        handler.take,
        summary,
        operation,
        scope="outcomes",
        content_types=(JSON, NDJSON, CSV),
        limit_bytes=STREAM_LIMIT_BYTES,
        is_streamed=True,
    )


def _health_routes(handlers: Handlers) -> tuple[Route, ...]:
    return (
        _health("/livez", handlers.livez, "Whether the process lives.", _text("livez")),
        _health("/healthz", handlers.livez, "The same as /livez.", _text("healthz")),
        _health("/readyz", handlers.readyz, "Whether it should get requests; says why not.", _text("readyz", "503")),
    )


def _health(path: str, handler: Handler, summary: str, operation: openapi.Schema) -> Route:
    return Route("GET", path, handler, summary, operation, needs_key=False, is_bounded=False)


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
        "trials": [
            {
                "experiment": trial.experiment,
                "challenger": trial.model.identity if trial.model else None,
                "split": trial.split,
            }
            for trial in roles.trials
        ],
        "sample": roles.sample,
        "holdout": roles.holdout,
        "no_treatment": roles.no_treatment,
    }


def _answered(found: Scored) -> Response:
    return Response(200, _encode(found.answer), exemplar=found.answer.prediction_id)


def _text(operation_id: str, *statuses: str) -> openapi.Schema:
    return openapi.text_operation(operation_id, "text/plain", *statuses)


def _constant(path: str, summary: str, response: Response) -> Route:
    async def answer(_request: Request) -> Response:
        return response

    return Route("GET", path, answer, summary, needs_key=False, is_bounded=False)
