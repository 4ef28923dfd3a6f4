"""OpenAPI of what insight answers behind scoring's routes, made from the contract."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bentos.artifact import Contract, Value
from service.routes.bodies import CUSTOMER_ID_LENGTH
from service.routes.drafting import ACTION, TONES, languages_of
from service.routes.examples import EXAMPLE_ID

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_NUMBER: Schema = {"type": "number"}
_FLAG: Schema = {"type": "boolean"}
_FEATURES: Schema = {"$ref": "#/components/schemas/Features"}
_MODEL: Schema = {"$ref": "#/components/schemas/Model"}
_VARIANT: Schema = {"enum": ["champion", "challenger", None], "description": "The role that this model plays now."}
_WHOSE: Schema = {
    "model": {
        "type": ["string", "object", "null"],
        "description": "Whose word: an artifact's digest, or the model as /v1/score answers it.",
    },
    "variant": {
        "enum": ["champion", "challenger", None],
        "description": "Whose word, where no model is named; the champion's where neither is.",
    },
}


def explain_request(example: Mapping[str, Value]) -> Schema:
    """What `POST /v1/explain` is asked, with an example."""
    return _request({}, {"features": dict(example)})


def email_request(example: Mapping[str, Value], contract: Contract) -> Schema:
    """What `POST /v1/retention-email` is asked, with an example.

    Args:
        example: A row that the contract allows.
        contract: Says in which languages there are offers.
    """
    languages = languages_of(contract)
    asked: Schema = {
        "customer_id": {
            "type": ["string", "integer"],
            "minLength": 1,
            "maxLength": CUSTOMER_ID_LENGTH,
            "description": f"The {contract.id}: whether actions are withheld from the customer. Passed on to nobody.",
        },
        "tone": {"enum": list(TONES), "default": TONES[0]},
        "language": {"enum": list(languages), "default": languages[0]} if languages else _TEXT,
        "prediction_id": {
            "type": ["string", "null"],
            "format": "uuid",
            "description": "Because of which prediction: sending is recorded with it. An override needs it.",
        },
        "override": {
            "type": "boolean",
            "default": False,
            "description": "Draft for a customer from whom actions are withheld, too. It is recorded as a treatment.",
        },
    }
    told = {"customer_id": "customer-1", "prediction_id": EXAMPLE_ID, "tone": TONES[0], "features": dict(example)}
    return _request(asked, told | ({"language": languages[0]} if languages else {}), required=("customer_id",))


def explain_answer(contract: Contract) -> Schema:
    """What `POST /v1/explain` answers."""
    return _object(model=_MODEL, variant=_VARIANT, explanation=_explanation(contract))


def email_answer(contract: Contract) -> Schema:
    """What `POST /v1/retention-email` answers: a draft, or the notice that there is none."""
    rule: Schema = {
        "no_treatment": {**_FLAG, "description": "Whether actions are withheld from this customer."},
        "override_recorded": _FLAG,
        "notice": {"type": ["string", "null"], "description": "For whoever asked, where actions are withheld."},
    }
    drafted = _object(
        draft=_object(subject=_TEXT, text={**_TEXT, "description": "Plain text. Nobody has sent it."}),
        source={"enum": ["groq", "template"], "description": "Who wrote it."},
        reason={**_TEXT, "description": "Why it is from there, in one of a few words such as no_key."},
        detail={**_TEXT, "description": "The same in a sentence."},
        risk={"enum": [band.name for band in contract.risk_bands]},
        reasons={"type": "array", "items": _email_reason(), "description": "What the draft is about."},
        tone={"enum": list(TONES)},
        language=_TEXT,
        model=_MODEL,
        variant=_VARIANT,
        sending=_sending(),
        **rule,
    )
    withheld = _object(draft={"type": "null"}, prediction_id={"type": ["string", "null"]}, **rule)
    return {"oneOf": [drafted, withheld]}


def _explanation(contract: Contract) -> Schema:
    names = [feature.name for feature in contract.features]
    return _object(
        probability={**_NUMBER, "minimum": 0, "maximum": 1},
        label={"enum": [contract.labels.positive, contract.labels.negative]},
        risk={"enum": [band.name for band in contract.risk_bands]},
        method={"enum": ["tree", "linear", "permutation"], "description": "All but permutation are exact."},
        space={
            "enum": ["probability", "log_odds"],
            "description": "What contributions are measured in.",
        },
        base_value={**_NUMBER, "description": "What the model answers before it knows a feature."},
        contributions={"type": "object", "required": names, "properties": dict.fromkeys(names, _NUMBER)},
        check=_object(sum=_NUMBER, output=_NUMBER, difference=_NUMBER, tolerance=_NUMBER),
        summary={**_TEXT, "description": "The answer in words, in the explanation's space."},
        plain={**_TEXT, "description": "The answer for a reader who knows no statistics."},
        reasons={"type": "array", "items": _reason(names), "description": "One a feature, the largest first."},
    )


def _reason(names: list[str]) -> Schema:
    return _object(
        feature={"enum": names},
        value={"type": ["number", "string", "null"]},
        contribution=_NUMBER,
        is_read=_FLAG,
        is_protected=_FLAG,
        is_actionable={**_FLAG, "description": "Whether the company may change it."},
        phrase={**_TEXT, "description": "The value as people name it."},
        sentence=_TEXT,
    )


def _email_reason() -> Schema:
    offers = {"type": "array", "items": _TEXT, "description": "What the draft may offer because of it."}
    return _object(feature=_TEXT, phrase=_TEXT, contribution=_NUMBER, sentence=_TEXT, offers=offers)


def _sending() -> Schema:
    told = _object(prediction_id={"type": ["string", "null"]}, action={"enum": [ACTION]})
    treatment = {**told, "description": "What to tell POST /v1/treatments, with taken_at, once it was sent."}
    return _object(is_sent={"enum": [False]}, how=_TEXT, treatment=treatment)


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "required": list(properties), "properties": properties}


def _request(asked: Schema, example: Schema, required: tuple[str, ...] = ()) -> Schema:
    schema = {
        "type": "object",
        "required": [*required, "features"],
        "additionalProperties": False,
        "properties": {**asked, "features": _FEATURES, **_WHOSE},
    }
    return {"schema": schema, "example": example}
