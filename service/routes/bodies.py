"""A row to be scored: decoded at the speed of msgspec where it is right, explained field by field where it is not."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, get_args

import msgspec

from bentos.artifact import Encoder
from bentos.errors import InvalidRequest, Problem, shown
from service import ids
from service.http.problems import MALFORMED, HttpRefusal
from service.prediction_log.records import Purpose
from service.scoring.deciding import ScoreRequest

CUSTOMER_ID_LENGTH = 200
_MOST_PROBLEMS = 100
"""A body with more is not read to its end: naming the rest would cost seconds and help nobody."""
_MOST_DIGITS = 4000
"""Of a whole number: Python reads 4,300 and no more, as it takes the square of their number in time."""
_DEEP, _FIELD_DEPTH = 100, 6
"""What is nested so often is no body of ours; the field that it stands in is found within so few."""
_LOOKED_THROUGH = 4096
_NESTING = re.compile(
    r'"(?P<key>(?:[^"\\]|\\.){0,100})"\s{0,20}:|"(?:[^"\\]|\\.){0,200}"|(?P<opened>[\[{])|(?P<closed>[\]}])'
)
"""Bounded: looking for a string's end from every quotation mark would take the square of their number in time."""
_CUSTOMER_ID = f"text of 1 to {CUSTOMER_ID_LENGTH} characters, or a whole number of 64 bits, or null"
_FIELDS = ScoreRequest.__struct_fields__
PURPOSES = get_args(Purpose)

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
    if body.count(b":") != colons_of(request):
        load(body)
    if not accept_ids(request):
        raise _explained(body, encoder, None)
    return request


def colons_of(request: ScoreRequest) -> int:
    """How many colons stand between keys and values of a row, if every key was written once and none for nothing."""
    named = 1 + (request.customer_id is not None) + (request.prediction_id is not None) + (request.purpose != "live")
    return named + len(request.features)


def accept_ids(request: ScoreRequest) -> bool:
    """Whether a row's customer and its own id are what is allowed; the id is put into lower case."""
    if not _is_customer_id(request.customer_id):
        return False
    if request.prediction_id is not None:
        own = ids.normalized(request.prediction_id)
        if own is None:
            return False
        request.prediction_id = own
    return True


def _explained(body: bytes, encoder: Encoder, error: Exception | None) -> HttpRefusal | InvalidRequest:
    """Why a body is no score request."""
    told = load(body)
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
    yield from id_problems(told.get("customer_id"), told.get("prediction_id"))
    if told.get("purpose", "live") not in PURPOSES:
        yield Problem("purpose", shown(told["purpose"]), "one of " + ", ".join(map(repr, PURPOSES)))


def id_problems(customer_id: object, own_id: object) -> Iterator[Problem]:
    """What is wrong with a row's customer and its own id."""
    if not _is_customer_id(customer_id):
        yield Problem("customer_id", shown(customer_id), _CUSTOMER_ID)
    if own_id is not None and (not isinstance(own_id, str) or ids.normalized(own_id) is None):
        yield Problem("prediction_id", shown(own_id), ids.ALLOWED)


def _is_customer_id(value: object) -> bool:
    if value is None:
        return True
    if isinstance(value, str):
        return 0 < len(value) <= CUSTOMER_ID_LENGTH and "\0" not in value and _is_utf8(value)
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63


def _is_utf8(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def load(body: bytes) -> Any:
    """A body as plain values; numbers that JSON does not have are kept, so that they can be named.

    Raises:
        HttpRefusal: It is no JSON, or names one key twice.
    """
    try:
        return _loaded(body.decode())
    except json.JSONDecodeError as e:
        raise HttpRefusal(MALFORMED, f"the body is no JSON: {e}") from e
    except UnicodeDecodeError as e:
        raise HttpRefusal(MALFORMED, f"the body is no JSON: {str(e)[:200]}") from e
    except RecursionError as e:
        place = deep_place(body.decode())
        raise HttpRefusal(MALFORMED, f"the body is no JSON that is read: it is nested too deeply{place}") from e


def _loaded(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_once_each)
    except json.JSONDecodeError:
        raise
    except ValueError:  # a number of more digits than Python reads: whose value it is can still be named
        return json.loads(text, object_pairs_hook=_once_each, parse_int=read_int)


def read_int(digits: str) -> int | float:
    """A whole number of JSON; infinity where it has thousands of digits, of which Python reads none."""
    return int(digits) if len(digits) <= _MOST_DIGITS else float(digits)


def deep_place(text: str) -> str:
    """The keys in which nesting goes too deep, for a message; nothing where that is not to be seen at the beginning.

    Args:
        text: JSON that is nested more deeply than can be read.
    """
    key, keys = "", [""]
    for found in _NESTING.finditer(text, 0, _LOOKED_THROUGH):
        if found["key"] is not None:
            key = found["key"]
        elif found["opened"] is not None:
            keys.append(key)
        elif found["closed"] is not None:
            keys = keys[:-1] or [""]
        if len(keys) > _DEEP:
            outer = [one for one, before in zip(keys[1:_FIELD_DEPTH], keys, strict=False) if one and one != before]
            return f" at {'.'.join(outer)[:80]!r}" if outer else ""
    return ""


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise HttpRefusal(MALFORMED, f"the body names {twice[:80]!r} twice")
    return found
