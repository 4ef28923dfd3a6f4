"""Request bodies: decoded at the speed of msgspec where they are right, explained field by field where they are not."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import Any, get_args

import msgspec

from bentos.artifact import Contract, Encoder
from bentos.errors import InvalidRequest, Problem, shown
from service import ids
from service.problems import MALFORMED, HttpRefusal
from service.records import Outcome, Purpose
from service.scoring import ScoreRequest

CUSTOMER_ID_LENGTH = 200
_MOST_PROBLEMS = 100
"""A body with more is not read to its end: naming the rest would cost seconds and help nobody."""
_CUSTOMER_ID = f"text of 1 to {CUSTOMER_ID_LENGTH} characters, or a whole number of 64 bits, or null"
_MOMENT = "a moment from 1970 on with its time zone (RFC 3339), such as 2026-01-31T12:00:00Z"
_FIELDS = ScoreRequest.__struct_fields__
_PURPOSES = get_args(Purpose)

_decode_score = msgspec.json.Decoder(ScoreRequest).decode


def read_score(body: bytes, encoder: Encoder) -> ScoreRequest:
    """Read what `POST /v1/score` is asked. Features are checked when they are encoded.

    Returns:
        With `prediction_id` in lower case where the client sent one.

    Raises:
        HttpRefusal: The body is no JSON.
        InvalidRequest: With every problem of its fields.
    """
    try:
        request = _decode_score(body)
    except (msgspec.MsgspecError, UnicodeError, ValueError, RecursionError) as e:
        raise _explained(body, encoder, e) from e
    # A key written twice would leave the value to chance. Keys and colons are counted, which is nearly free; a colon
    # in a value only costs a second look.
    named = 1 + sum((request.customer_id is not None, request.prediction_id is not None, request.purpose != "live"))
    if body.count(b":") != named + len(request.features):
        _load(body)
    if not _is_customer_id(request.customer_id):
        raise _explained(body, encoder, None)
    if request.prediction_id is not None:
        own = ids.normalized(request.prediction_id)
        if own is None:
            raise _explained(body, encoder, None)
        request.prediction_id = own
    return request


def read_outcomes(body: bytes, contract: Contract, *, received_at: int) -> list[Outcome]:
    """Read what `POST /v1/outcomes` is told: one outcome, or `{"outcomes": […]}`; all of them right, or none taken.

    Args:
        body: JSON.
        contract: Says how outcomes are spelled.
        received_at: Now, in microseconds since 1970 UTC.

    Raises:
        HttpRefusal: The body is no JSON.
        InvalidRequest: With every problem, by row and field.
    """
    told = _load(body)
    is_batch = isinstance(told, dict) and "outcomes" in told
    rows = told["outcomes"] if is_batch else [told]
    if not isinstance(rows, list) or not rows:
        raise InvalidRequest("body", [Problem("outcomes", shown(rows), "a list of at least one outcome")])
    problems = (
        [Problem(name[:80], "an unknown field", "outcomes") for name in told if name != "outcomes"] if is_batch else []
    )
    outcomes = []
    for index, row in enumerate(rows):
        found = list(_outcome_problems(row, contract, index if is_batch else None))
        problems.extend(found)
        if len(problems) >= _MOST_PROBLEMS:
            break
        if not found:
            outcomes.append(_outcome(row, contract, received_at))
    if problems:
        raise InvalidRequest("outcomes", problems)
    return outcomes


def _outcome(row: Mapping[str, Any], contract: Contract, received_at: int) -> Outcome:
    moment = _moment(row["observed_at"])
    return Outcome(
        prediction_id=row["prediction_id"].lower(),
        positive=str(row["outcome"]) == contract.labels.positive,
        observed_at=0 if moment is None else moment,
        received_at=received_at,
    )


def _outcome_problems(row: object, contract: Contract, index: int | None) -> Iterator[Problem]:
    fields = ("prediction_id", "outcome", "observed_at")
    if not isinstance(row, dict):
        yield Problem("outcome", shown(row), f"an object with {', '.join(fields)}", index)
        return
    own_id, outcome, observed_at = (row.get(name) for name in fields)
    if not isinstance(own_id, str) or ids.normalized(own_id) is None:
        yield Problem("prediction_id", shown(own_id), f"{ids.ALLOWED}: the one that /v1/score answered", index)
    labels = (contract.labels.positive, contract.labels.negative)
    if isinstance(outcome, bool) or not isinstance(outcome, str | int) or str(outcome) not in labels:
        yield Problem("outcome", shown(outcome), f"{labels[0]!r} or {labels[1]!r}", index)
    if _moment(observed_at) is None:
        yield Problem("observed_at", shown(observed_at), _MOMENT, index)
    for name in row:
        if name not in fields:
            yield Problem(name[:80], "an unknown field", f"one of {', '.join(fields)}", index)


def _moment(text: object) -> int | None:
    """Microseconds since 1970 UTC; None where the text is no moment."""
    if not isinstance(text, str):
        return None
    try:
        moment = msgspec.convert(text, type=datetime)
        if moment.tzinfo is None:
            return None
        at = round(moment.timestamp() * 1_000_000)
    except (msgspec.ValidationError, ValueError, OverflowError):
        return None
    return at if at >= 0 else None


def _explained(body: bytes, encoder: Encoder, error: Exception | None) -> HttpRefusal | InvalidRequest:
    """Why a body is no score request."""
    told = _load(body)
    if not isinstance(told, dict):
        return InvalidRequest("body", [Problem("body", shown(told), 'an object with "features"')])
    problems = list(islice(_score_problems(told, encoder), _MOST_PROBLEMS))
    if problems:
        return InvalidRequest("body", problems)
    return HttpRefusal(MALFORMED, f"the body cannot be read: {error}")


def _score_problems(told: Mapping[str, Any], encoder: Encoder) -> Iterator[Problem]:
    for name in told:
        if name not in _FIELDS:
            yield Problem(name[:80], "an unknown field", f"one of {', '.join(sorted(_FIELDS))}")
    features = told.get("features")
    if isinstance(features, dict):
        yield from encoder.problems(features)
    else:
        yield Problem("features", shown(features), "an object with a value for every feature")
    if not _is_customer_id(told.get("customer_id")):
        yield Problem("customer_id", shown(told["customer_id"]), _CUSTOMER_ID)
    own_id = told.get("prediction_id")
    if own_id is not None and (not isinstance(own_id, str) or ids.normalized(own_id) is None):
        yield Problem("prediction_id", shown(own_id), ids.ALLOWED)
    if told.get("purpose", "live") not in _PURPOSES:
        yield Problem("purpose", shown(told["purpose"]), "one of " + ", ".join(map(repr, _PURPOSES)))


def _is_customer_id(value: object) -> bool:
    if value is None:
        return True
    if isinstance(value, str):
        return 0 < len(value) <= CUSTOMER_ID_LENGTH and "\0" not in value and _is_utf8(value)
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63


def _is_utf8(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def _load(body: bytes) -> Any:
    """The body as plain values; numbers that JSON does not have are kept, so that they can be named.

    Raises:
        HttpRefusal: It is no JSON, or names one key twice.
    """
    try:
        return json.loads(body.decode(), object_pairs_hook=_once_each)
    except json.JSONDecodeError as e:
        raise HttpRefusal(MALFORMED, f"the body is no JSON: {e}") from e
    except (ValueError, RecursionError) as e:  # UnicodeDecodeError is a ValueError, as is a number of 5,000 digits
        raise HttpRefusal(MALFORMED, f"the body is no JSON: {str(e)[:200] or type(e).__name__}") from e


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise HttpRefusal(MALFORMED, f"the body names {twice[:80]!r} twice")
    return found
