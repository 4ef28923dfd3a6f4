"""The protocol's routes: their paths are made at the start, from the contract's name and the versions in the Bento."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from bentos.errors import NotFound, Unavailable
from service.http.messages import JSON, Handler, Request, Response, Route
from service.http.problems import CONTENT_TYPE, describe_error
from service.routes.open_inference import openapi
from service.routes.open_inference.answering import BINARY, OUTPUTS, make_response, restate
from service.routes.open_inference.columns import make_requests
from service.routes.open_inference.metadata import describe_index, describe_model, describe_server
from service.routes.open_inference.reading import read_infer
from service.routes.open_inference.scoring import RowScoring
from service.routes.open_inference.tensors import Bounds
from service.scoring.models import Model

if TYPE_CHECKING:
    from service.routes.table import Parts

_encode = msgspec.json.Encoder().encode


def open_inference_routes(parts: Parts, readyz: Handler) -> tuple[Route, ...]:
    """The routes of the Open Inference Protocol V2.

    Args:
        parts: What they answer from.
        readyz: Answers whether this process should get requests.
    """
    path = f"/v2/models/{parts.models.contract.name}"
    handlers = _Handlers(parts, readyz)
    routes = [*_server_routes(handlers), *_model_routes(handlers, path, None)]
    for version, model in handlers.versions.items():
        routes.extend(_model_routes(handlers, f"{path}/versions/{version}", model))
    return tuple(routes)


class _Handlers:
    """What answers the routes."""

    def __init__(self, parts: Parts, readyz: Handler) -> None:
        self.contract = parts.models.contract
        self.versions = {model.identity.version: model for model in parts.models.by_digest.values()}
        self._parts = parts
        self._readyz = readyz
        self._scoring = RowScoring(parts.asking, parts.bulk, parts.turns)
        self._bounds = Bounds(parts.batch_rows, len(self.contract.features))

    async def server(self, _request: Request) -> Response:
        return Response(200, _encode(describe_server(self._parts.models.gauntlet)))

    async def live(self, _request: Request) -> Response:
        return Response(200, _encode({"live": True}))

    async def ready(self, request: Request) -> Response:
        found = await self._readyz(request)
        return Response(200, _encode({"ready": True})) if found.status == 200 else found

    async def models(self, _request: Request) -> Response:
        return Response(200, _encode({"models": [self.contract.name]}))

    async def index(self, _request: Request) -> Response:
        return Response(200, _encode(describe_index(self.contract, list(self.versions), self._parts.not_ready())))

    async def model(self, _request: Request) -> Response:
        return Response(200, _encode(describe_model(self.contract, list(self.versions))))

    async def model_ready(self, request: Request, *, model: Model | None) -> Response:
        left_out = self._left_out(model)
        if left_out is not None:  # probes ask often: nothing is logged
            return Response(503, describe_error(left_out), CONTENT_TYPE)
        found = await self._readyz(request)
        return Response(200, _encode({"name": self.contract.name, "ready": True})) if found.status == 200 else found

    async def refuse(self, _request: Request, *, what: str) -> Response:
        raise NotFound(f"{what}; GET /v2/models/{self.contract.name} says what the model reads and answers")

    async def infer(self, request: Request, *, model: Model | None) -> Response:
        """Answer every row of the request, or none."""
        parts = self._parts
        left_out = self._left_out(model)
        if left_out is not None:
            raise left_out
        asked = await read_infer(
            request.body,
            request.headers,
            outputs=tuple(OUTPUTS),
            bounds=self._bounds,
            limit_bytes=parts.body_limit_bytes,
        )
        rows = make_requests(asked, self.contract)
        parts.rate.take(request.client or "everybody", len(rows), request.started)
        answers = await self._scoring.score(rows, request, model)
        return make_response(asked, answers, self.contract.name)

    def _left_out(self, model: Model | None) -> Unavailable | None:
        """Why a version is not asked although it is here; None where it is asked, or none is named."""
        watch, now = self._parts.watch, self._parts.clock()
        if model is None or watch.active(now) is None:
            return None
        reason = watch.why_left_out(model, now)
        return None if reason is None else Unavailable(f"{model.identity} is left out here, as {reason}")


def _server_routes(handlers: _Handlers) -> tuple[Route, ...]:
    is_ready = openapi.get_operation("v2Ready", "503")
    return (
        _get("/v2", handlers.server, "Open Inference Protocol V2: the server.", _asked("v2Server")),
        _health("/v2/health/live", handlers.live, "Whether the process lives.", openapi.get_operation("v2Live")),
        _health("/v2/health/ready", handlers.ready, "Whether it should get requests.", is_ready),
        _get("/v2/models", handlers.models, "The model's name.", _asked("v2Models")),
        Route("POST", "/v2/repository/index", handlers.index, "Every version.", content_types=(JSON, BINARY)),
    )


def _model_routes(handlers: _Handlers, path: str, model: Model | None) -> Iterator[Route]:
    """Those of the model, or of one version of it."""
    suffix = "" if model is None else f"Version{model.identity.version}"
    whose = "the model" if model is None else f"version {model.identity.version} of the model"
    yield _get(path, handlers.model, f"What {whose} reads and answers.", _asked(f"v2Model{suffix}"))
    ready = openapi.get_operation(f"v2ModelReady{suffix}", "503")
    yield _health(f"{path}/ready", partial(handlers.model_ready, model=model), f"Whether {whose} answers.", ready)
    yield Route(
        "POST",
        f"{path}/infer",
        _in_protocol(partial(handlers.infer, model=model)),
        "Score rows, sent as tensors." if model is None else f"The same, by {whose}, whatever the experiment says.",
        openapi.infer_operation(handlers.contract, f"v2Infer{suffix}"),
        scope="score",
        content_types=(JSON, BINARY),
    )
    for last, what in (("config", "Triton's model configuration"), ("stats", "Triton's statistics; /metrics counts")):
        refuse = partial(handlers.refuse, what=f"there is no {last} here: it is {what}")
        yield _get(f"{path}/{last}", refuse, f"Refused: {what}.", {})


def _asked(operation_id: str) -> openapi.Schema:
    """Of a GET that needs a key."""
    return openapi.get_operation(operation_id, "401", "403")


def _get(path: str, handler: Handler, summary: str, operation: openapi.Schema) -> Route:
    return Route("GET", path, _in_protocol(handler), summary, operation, is_bounded=False)


def _health(path: str, handler: Handler, summary: str, operation: openapi.Schema) -> Route:
    return Route("GET", path, _in_protocol(handler), summary, operation, needs_key=False, is_bounded=False)


def _in_protocol(handler: Handler) -> Handler:
    """The handler with what it answers in the protocol's form; what it raises the application says so."""

    async def answer(request: Request) -> Response:
        return restate(await handler(request))

    return answer
