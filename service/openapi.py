"""OpenAPI 3.1 of the service, made from the contract: its features, ranges, categories, labels and examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bentos.artifact import Contract, Feature, Numeric, Value
from service import ids
from service.http import Route

EXAMPLE_ID = "0190163d-8694-739b-aea5-966c26f8ad91"
EXAMPLE_MOMENT = "2026-01-31T12:00:00Z"

Schema = dict[str, Any]


def describe_service(routes: Sequence[Route], contract: Contract, version: str) -> Schema:
    """The whole document, from the table of routes that answers.

    Args:
        routes: Those with an operation are described.
        contract: What requests are checked by.
        version: Of Gauntlet.
    """
    paths: dict[str, Schema] = {}
    for route in routes:
        if route.operation:
            operation = {"summary": route.summary, **route.operation}
            paths.setdefault(route.path, {})[route.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": f"Gauntlet: {contract.name}", "version": version, "description": _about(contract)},
        "paths": paths,
        "components": {
            "schemas": {
                "Features": _features(contract),
                "ScoreRequest": _score_request(contract),
                "Answer": _answer(contract),
                "Outcome": _outcome(contract),
                "Experiment": _EXPERIMENT,
                "Model": _MODEL,
                "Problem": _PROBLEM,
            }
        },
    }


def example_features(contract: Contract) -> dict[str, Value]:
    """A row that the contract allows: the middle of each range, the first of each list."""
    return {feature.name: _example(feature) for feature in contract.features}


def score_operation(contract: Contract) -> Schema:
    """Of `POST /v1/score`."""
    example = {"customer_id": "customer-1", "features": example_features(contract)}
    return {
        "operationId": "score",
        "requestBody": _json_body("ScoreRequest", example),
        "responses": {"200": _answers("The answer", "Answer"), **_refusals("400", "413", "415", "422", "503")},
    }


def outcomes_operation(contract: Contract) -> Schema:
    """Of `POST /v1/outcomes`."""
    example = {
        "outcomes": [
            {"prediction_id": EXAMPLE_ID, "outcome": contract.labels.positive, "observed_at": EXAMPLE_MOMENT},
        ]
    }
    batch = {
        "type": "object",
        "required": ["outcomes"],
        "additionalProperties": False,
        "properties": {"outcomes": {"type": "array", "minItems": 1, "items": _ref("Outcome")}},
    }
    accepted = {"type": "object", "required": ["accepted"], "properties": {"accepted": {"type": "integer"}}}
    return {
        "operationId": "outcomes",
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"oneOf": [_ref("Outcome"), batch]}, "example": example}},
        },
        "responses": {
            "202": {"description": "All are taken", "content": {"application/json": {"schema": accepted}}},
            **_refusals("400", "413", "415", "422"),
        },
    }


def experiment_operation() -> Schema:
    """Of `GET /v1/experiment`."""
    return {
        "operationId": "experiment",
        "responses": {
            "200": _answers("The experiment, and what the judge says of it", "Experiment"),
            **_refusals("503"),
        },
    }


def text_operation(operation_id: str, content_type: str, *statuses: str) -> Schema:
    """Of a route that answers something else than JSON of its own."""
    found = {"description": "As it says", "content": {content_type: {}}}
    return {"operationId": operation_id, "responses": {"200": found, **_refusals(*statuses)}}


def _about(contract: Contract) -> str:
    return (
        f"Scores {contract.id} for {contract.target}: the probability of {contract.labels.positive!r}, answered from "
        f"{contract.cut:g} on. Every answer has a prediction_id, by which its outcome is sent later."
    )


def _features(contract: Contract) -> Schema:
    return {
        "type": "object",
        "required": [feature.name for feature in contract.features],
        "additionalProperties": False,
        "properties": {feature.name: _feature(feature) for feature in contract.features},
        "example": example_features(contract),
    }


def _feature(feature: Feature) -> Schema:
    described: Schema = {"description": feature.description} if feature.description else {}
    if isinstance(feature, Numeric):
        kind = "integer" if feature.integer else "number"
        described |= {"type": kind, "minimum": feature.minimum, "maximum": feature.maximum}
        if feature.unit:
            described["x-unit"] = feature.unit
        if feature.missing:
            described["type"] = [kind, "null"]
        return described
    return described | {"enum": [*feature.categories, *([None] if feature.missing else [])]}


def _example(feature: Feature) -> Value:
    if not isinstance(feature, Numeric):
        return feature.categories[0]
    middle = (feature.minimum + feature.maximum) / 2
    if feature.integer:
        return min(max(round(middle), -(-feature.minimum // 1)), feature.maximum // 1)
    rounded = round(middle, 2)
    return rounded if feature.minimum <= rounded <= feature.maximum else middle


def _score_request(contract: Contract) -> Schema:
    return {
        "type": "object",
        "required": ["features"],
        "additionalProperties": False,
        "properties": {
            "customer_id": {
                "type": ["string", "integer", "null"],
                "minLength": 1,
                "maxLength": 200,
                "description": f"The {contract.id}: who is scored. The same customer gets the same variant. Without it "
                "the champion answers, and the prediction is never evidence.",
            },
            "features": _ref("Features"),
            "prediction_id": {
                "type": ["string", "null"],
                "format": "uuid",
                "description": f"Your own id for this prediction: {ids.ALLOWED}.",
            },
            "purpose": {
                "enum": ["live", "what_if", "test"],
                "default": "live",
                "description": "what_if and test are answered and logged, and are never evidence nor drift.",
            },
        },
    }


def _answer(contract: Contract) -> Schema:
    labels = [contract.labels.positive, contract.labels.negative]
    return {
        "type": "object",
        "required": ["prediction_id", "variant", "model", "probability", "label", "risk"],
        "properties": {
            "prediction_id": {"type": "string", "format": "uuid", "example": EXAMPLE_ID},
            "variant": {"enum": ["champion", "challenger"]},
            "model": _ref("Model"),
            "probability": {"type": "number", "minimum": 0, "maximum": 1},
            "label": {"enum": labels},
            "risk": {"enum": [band.name for band in contract.risk_bands]},
        },
    }


def _outcome(contract: Contract) -> Schema:
    return {
        "type": "object",
        "required": ["prediction_id", "outcome", "observed_at"],
        "additionalProperties": False,
        "properties": {
            "prediction_id": {"type": "string", "format": "uuid"},
            "outcome": {"enum": [contract.labels.positive, contract.labels.negative]},
            "observed_at": {"type": "string", "format": "date-time", "description": "With a time zone."},
        },
    }


_MODEL: Schema = {
    "type": "object",
    "required": ["name", "version", "digest"],
    "properties": {
        "name": {"type": "string"},
        "version": {"type": "string"},
        "digest": {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"},
    },
}
_EXPERIMENT: Schema = {
    "type": "object",
    "required": ["experiment", "revision", "effective_from", "mode", "split", "champion", "challenger", "judge"],
    "properties": {
        "experiment": {"type": "string"},
        "revision": {"type": "integer"},
        "effective_from": {"type": "string", "format": "date-time"},
        "mode": {"enum": ["off", "shadow", "split"]},
        "split": {"type": "number", "minimum": 0, "maximum": 1},
        "champion": {"$ref": "#/components/schemas/Model"},
        "challenger": {"oneOf": [{"$ref": "#/components/schemas/Model"}, {"type": "null"}]},
        "judge": {
            "type": "object",
            "required": ["status"],
            "properties": {"status": {"enum": ["available", "unavailable"]}, "reason": {"type": "string"}},
        },
    },
}
_PROBLEM: Schema = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "value", "allowed"],
                "properties": {
                    "field": {"type": "string"},
                    "value": {"type": "string"},
                    "allowed": {"type": "string"},
                    "row": {"type": "integer"},
                },
            },
        },
    },
}
_REFUSALS = {
    "400": "The body is no JSON",
    "413": "The body is too large",
    "415": "The body is not declared as JSON",
    "422": "A field is not what is allowed; each is named",
    "503": "Not ready; the reason is named",
}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _json_body(name: str, example: Mapping[str, Any]) -> Schema:
    return {"required": True, "content": {"application/json": {"schema": _ref(name), "example": example}}}


def _answers(description: str, name: str) -> Schema:
    return {"description": description, "content": {"application/json": {"schema": _ref(name)}}}


def _refusals(*statuses: str) -> Schema:
    content = {"application/problem+json": {"schema": _ref("Problem")}}
    return {status: {"description": _REFUSALS[status], "content": content} for status in statuses}
