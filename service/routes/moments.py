"""Moments that clients tell, held against the server's clock and against the prediction that they belong to."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import msgspec

from bentos.errors import Problem, shown
from service import ids
from service.micros import from_micros, to_micros

LEEWAY_SECONDS = 300.0
"""By how much a client's clock may differ from the server's."""

_MOMENT = "a moment from 1970 on with its time zone (RFC 3339), such as 2026-01-31T12:00:00Z"


def read_moment(text: object) -> int | None:
    """Microseconds since 1970 UTC; None where the text is no moment."""
    if not isinstance(text, str):
        return None
    try:
        moment = msgspec.convert(text, type=datetime)
        at = None if moment.tzinfo is None else to_micros(moment)
    except (msgspec.ValidationError, ValueError, OverflowError):
        return None
    return at if at is not None and at >= 0 else None


def moment_problems(
    field: str, text: object, prediction_id: str | None, now: int, ahead_seconds: float
) -> Iterator[Problem]:
    """What is wrong with the moment at which something about a prediction was seen or done.

    Args:
        field: Its name.
        text: As it was told.
        prediction_id: As `ids.normalized` gives it; None where it is none.
        now: The server's clock, in microseconds since 1970 UTC.
        ahead_seconds: How far it may lie in the future.
    """
    at = read_moment(text)
    if at is None:
        yield Problem(field, shown(text), _MOMENT)
    elif at > now + ahead_seconds * 1_000_000:
        latest = from_micros(now + round(ahead_seconds * 1_000_000)).isoformat(timespec="seconds")
        yield Problem(field, shown(text), f"no later than {latest}: the server's clock and {ahead_seconds:g} s more")
    elif prediction_id is not None and at < (made := ids.millis_of(prediction_id) * 1000) - LEEWAY_SECONDS * 1_000_000:
        yield Problem(field, shown(text), f"no earlier than its prediction, which was made {_since(made)}")


def _since(made: int) -> str:
    try:
        return f"at {from_micros(made).isoformat(timespec='seconds')}"
    except OverflowError:  # an id's 48 bits of milliseconds reach further than dates do
        return "after the year 9999, as its id says"
