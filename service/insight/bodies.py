"""What `POST /v1/explain` is asked: features, and whose word about them is to be explained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_args

import msgspec

from bentos.artifact import Value
from bentos.errors import InvalidRequest, Problem, shown
from service.prediction_log.records import Variant
from service.routes.bodies import load

VARIANTS = get_args(Variant)
FIELDS = ("features", "model", "variant")
_MOST_PROBLEMS = 100
_MODEL = "an artifact's digest, sha256:..., or the model as /v1/score answers it"


class ExplainRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked.

    Attributes:
        features: A value for every feature of the contract; they are checked when they are encoded.
        digest: Of the model that answered; None where none was named.
        variant: Whose word is to be explained where no model was named; None: the champion's.
    """

    features: Mapping[str, Value]
    digest: str | None = None
    variant: Variant | None = None


def read_explain(body: bytes) -> ExplainRequest:
    """Read a request.

    Raises:
        HttpRefusal: The body is no JSON.
        InvalidRequest: With every problem of its fields.
    """
    told = load(body)
    if not isinstance(told, dict):
        raise InvalidRequest("body", [Problem("body", shown(told), 'an object with "features"')])
    problems = list(explain_problems(told, FIELDS))[:_MOST_PROBLEMS]
    if problems:
        raise InvalidRequest("body", problems)
    return explain_request(told)


def explain_request(told: Mapping[str, Any]) -> ExplainRequest:
    """What is to be explained, from a body that was found right."""
    return ExplainRequest(features=told["features"], digest=_digest_of(told.get("model")), variant=told.get("variant"))


def explain_problems(told: Mapping[str, Any], fields: tuple[str, ...]) -> Iterator[Problem]:
    """What is wrong with a body that names what is to be explained.

    Args:
        told: The body.
        fields: All that it may hold.
    """
    for name in told:
        if name not in fields:
            yield Problem(name[:80], "an unknown field", f"one of {', '.join(fields)}")
    if not isinstance(told.get("features"), dict):
        yield Problem("features", shown(told.get("features")), "an object with a value for every feature")
    model, variant = told.get("model"), told.get("variant")
    if model is not None and _digest_of(model) is None:
        yield Problem("model", shown(model), _MODEL)
    if variant is not None and variant not in VARIANTS:
        yield Problem("variant", shown(variant), "one of " + ", ".join(map(repr, VARIANTS)))
    if model is not None and variant is not None:
        yield Problem("variant", shown(variant), "left out where a model is named")


def _digest_of(model: object) -> str | None:
    digest = model.get("digest") if isinstance(model, dict) else model
    return digest if isinstance(digest, str) else None
