"""Answers as tensors: the outputs that there are, and a response that carries them as JSON or as bytes behind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from service.http.messages import JSON, Response
from service.http.problems import CONTENT_TYPE
from service.routes.open_inference.binary import pack
from service.routes.open_inference.reading import LENGTH_HEADER, InferRequest, Wanted
from service.scoring.deciding import Answer

BINARY = b"application/octet-stream"

OUTPUTS: Mapping[str, tuple[str, Callable[[Answer], str | float | bool]]] = {
    "probability": ("FP64", lambda answer: answer.probability),
    "label": ("BYTES", lambda answer: answer.label),
    "risk": ("BYTES", lambda answer: answer.risk),
    "variant": ("BYTES", lambda answer: answer.variant),
    "model_version": ("BYTES", lambda answer: answer.model.version),
    "prediction_id": ("BYTES", lambda answer: answer.prediction_id),
    "no_treatment": ("BOOL", lambda answer: answer.no_treatment),
}
"""Every output with its datatype, one element a row; the first is what clients take that look at one only."""

_encode = msgspec.json.Encoder().encode


def make_response(asked: InferRequest, answers: Sequence[Answer], model_name: str) -> Response:
    """The response to an inference request.

    Args:
        asked: What was asked.
        answers: One a row, at least one.
        model_name: As the path had it.
    """
    outputs, behind = [], []
    for wanted in asked.outputs:
        described, content = _output(wanted, answers)
        outputs.append(described)
        behind.append(content)
    document: dict[str, Any] = {} if asked.id is None else {"id": asked.id}
    document["model_name"] = model_name
    versions = {answer.model.version for answer in answers}
    if len(versions) == 1:  # else only the output of that name can say it
        document["model_version"] = versions.pop()
    body, first = _encode({**document, "outputs": outputs}), answers[0].prediction_id
    if not any(wanted.is_binary for wanted in asked.outputs):
        return Response(200, body, exemplar=first)
    header = (LENGTH_HEADER.lower().encode(), str(len(body)).encode())
    return Response(200, b"".join((body, *behind)), BINARY, (header,), exemplar=first)


def restate(response: Response) -> Response:
    """A problem document as this protocol's clients read errors: plain JSON, whose `error` says it in a sentence.

    The members of the problem document stay in it. Any other response stays as it is.
    """
    if response.content_type != CONTENT_TYPE:
        return response
    document = msgspec.json.decode(response.body)
    body = _encode({"error": document["detail"], **document})
    return Response(response.status, body, JSON, response.headers)


def _output(wanted: Wanted, answers: Sequence[Answer]) -> tuple[dict[str, Any], bytes]:
    """An output's JSON, and its bytes behind the JSON."""
    datatype, value_of = OUTPUTS[wanted.name]
    values = [value_of(answer) for answer in answers]
    described: dict[str, Any] = {"name": wanted.name, "datatype": datatype, "shape": [len(values)]}
    if not wanted.is_binary:
        return {**described, "data": values}, b""
    content = pack(values, datatype)
    return {**described, "parameters": {"binary_data_size": len(content)}}, content
