"""The schemas that OpenAPI's operations refer to, made from the contract: features, ranges, categories, labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bentos.artifact import Contract, Feature, Numeric, Value
from service import ids
from service.routes.bodies import CUSTOMER_ID_LENGTH
from service.routes.examples import EXAMPLE_ID
from service.routes.treatments import ACTION_LENGTH

Schema = dict[str, Any]


def component_schemas(contract: Contract, example: Mapping[str, Value]) -> Schema:
    """Every schema by its name.

    Args:
        contract: What requests are checked by.
        example: A row that it allows.
    """
    purpose = {
        "enum": ["live", "what_if", "test"],
        "default": "live",
        "description": "what_if and test are answered and logged, and are never evidence nor drift.",
    }
    return {
        "Features": _features(contract, example),
        "ScoreRequest": _score_request(contract, purpose),
        "Batch": _batch(purpose),
        "BatchAnswer": _BATCH_ANSWER,
        "Answer": _answer(contract),
        "RefusedRow": _REFUSED_ROW,
        "Outcome": _outcome(contract),
        "Treatment": _TREATMENT,
        "Taken": _TAKEN,
        "Experiment": _EXPERIMENT,
        "Model": _MODEL,
        "Problem": _PROBLEM,
    }


def ref(name: str) -> Schema:
    """A reference to a schema."""
    return {"$ref": f"#/components/schemas/{name}"}


def _features(contract: Contract, example: Mapping[str, Value]) -> Schema:
    return {
        "type": "object",
        "required": [feature.name for feature in contract.features],
        "additionalProperties": False,
        "properties": {feature.name: _feature(feature) for feature in contract.features},
        "example": dict(example),
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


def _score_request(contract: Contract, purpose: Schema) -> Schema:
    return {
        "type": "object",
        "required": ["features"],
        "additionalProperties": False,
        "properties": {
            "customer_id": {
                "type": ["string", "integer", "null"],
                "minLength": 1,
                "maxLength": CUSTOMER_ID_LENGTH,
                "description": f"The {contract.id}: who is scored. The same customer gets the same variant. Without it "
                "the champion answers, and the prediction is never evidence.",
            },
            "features": ref("Features"),
            "prediction_id": {
                "type": ["string", "null"],
                "format": "uuid",
                "description": f"Your own id for this prediction: {ids.ALLOWED}, at most 24 hours old. Sent again, it "
                "is the same prediction: answered by the same decision, and logged once.",
            },
            "purpose": purpose,
        },
    }


def _batch(purpose: Schema) -> Schema:
    about = f"{purpose['description']} It holds for every row; a row names none, or the same."
    return {
        "type": "object",
        "required": ["rows"],
        "additionalProperties": False,
        "properties": {
            "rows": {"type": "array", "minItems": 1, "items": ref("ScoreRequest")},
            "purpose": {"enum": [*purpose["enum"], None], "description": about},
        },
    }


def _answer(contract: Contract) -> Schema:
    return {
        "type": "object",
        "required": ["prediction_id", "variant", "model", "probability", "label", "risk", "no_treatment"],
        "properties": {
            "prediction_id": {"type": "string", "format": "uuid", "example": EXAMPLE_ID},
            "variant": {"enum": ["champion", "challenger"]},
            "model": ref("Model"),
            "probability": {"type": "number", "minimum": 0, "maximum": 1},
            "label": {"enum": [contract.labels.positive, contract.labels.negative]},
            "risk": {"enum": [band.name for band in contract.risk_bands]},
            "no_treatment": {
                "type": "boolean",
                "description": "Withhold actions from this customer, so that truths stay comparable.",
            },
        },
    }


def _outcome(contract: Contract) -> Schema:
    seen = "When the truth was seen, with a time zone: not before the prediction, and not in the server's future."
    return {
        "type": "object",
        "required": ["prediction_id", "outcome", "observed_at"],
        "additionalProperties": False,
        "properties": {
            "prediction_id": {"type": "string", "format": "uuid"},
            "outcome": {"enum": [contract.labels.positive, contract.labels.negative]},
            "observed_at": {"type": "string", "format": "date-time", "description": seen},
        },
    }


_COUNT: Schema = {"type": "integer", "minimum": 0}
_SHARE: Schema = {"type": "number", "minimum": 0, "maximum": 1}
_PROBLEM_MEMBERS: Schema = {
    "field": {"type": "string"},
    "value": {"type": "string"},
    "allowed": {"type": "string", "description": "To be read after: must be."},
}
_TREATMENT: Schema = {
    "type": "object",
    "required": ["prediction_id", "action", "taken_at"],
    "additionalProperties": False,
    "properties": {
        "prediction_id": {"type": "string", "format": "uuid"},
        "action": {
            "type": "string",
            "minLength": 1,
            "maxLength": ACTION_LENGTH,
            "description": "What was done, in printable characters.",
        },
        "taken_at": {"type": "string", "format": "date-time", "description": "With a time zone."},
    },
}
_TAKEN: Schema = {
    "type": "object",
    "required": ["accepted"],
    "properties": {
        "accepted": _COUNT,
        "refused": {**_COUNT, "description": "Lines of a stream that were not right; absent where there are none."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["line", "field", "value", "allowed"],
                "properties": {"line": {"type": "integer", "minimum": 1}, **_PROBLEM_MEMBERS},
            },
        },
    },
}
_REFUSED_ROW: Schema = {
    "type": "object",
    "description": "Stands in the place of a row that was not scored.",
    "required": ["row", "status", "detail"],
    "properties": {
        "row": {**_COUNT, "description": "Counted from 0."},
        "status": {"enum": [400, 408, 422, 429, 500, 503], "description": "As if the row had been asked alone."},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {"type": "object", "required": ["field", "value", "allowed"], "properties": _PROBLEM_MEMBERS},
        },
    },
}
_BATCH_ANSWER: Schema = {
    "type": "object",
    "required": ["predictions", "accepted", "refused"],
    "properties": {
        "predictions": {
            "type": "array",
            "description": "One a row, in order.",
            "items": {"oneOf": [ref("Answer"), ref("RefusedRow")]},
        },
        "accepted": _COUNT,
        "refused": _COUNT,
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
_MODEL_OR_NONE: Schema = {"oneOf": [ref("Model"), {"type": "null"}]}
_EXPERIMENT: Schema = {
    "type": "object",
    "required": [
        "experiment",
        "revision",
        "effective_from",
        "mode",
        "split",
        "champion",
        "challenger",
        "trials",
        "sample",
        "holdout",
        "no_treatment",
        "judge",
    ],
    "properties": {
        "experiment": {"type": "string"},
        "revision": {"type": "integer"},
        "effective_from": {"type": "string", "format": "date-time"},
        "mode": {"enum": ["off", "shadow", "split"]},
        "split": {**_SHARE, "description": "Of the first trial."},
        "champion": ref("Model"),
        "challenger": {**_MODEL_OR_NONE, "description": "Of the first trial whose challenger is here."},
        "trials": {
            "type": "array",
            "description": "One a challenger; customers fall to one of them evenly.",
            "items": {
                "type": "object",
                "required": ["experiment", "challenger", "split"],
                "properties": {"experiment": {"type": "string"}, "challenger": _MODEL_OR_NONE, "split": _SHARE},
            },
        },
        "sample": {**_SHARE, "description": "Share of customers who take part."},
        "holdout": {**_SHARE, "description": "Share of customers who never meet a challenger."},
        "no_treatment": {**_SHARE, "description": "Share of customers from whom actions are withheld."},
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
                    **_PROBLEM_MEMBERS,
                    "row": {"type": "integer", "description": "Counted from 0."},
                    "line": {"type": "integer", "description": "Counted from 1."},
                },
            },
        },
    },
}
