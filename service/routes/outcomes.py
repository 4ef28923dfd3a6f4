"""`POST /v1/outcomes`: what came true. Several truths about one prediction are all kept; the store decides by time."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import msgspec

from bentos.artifact import Contract, Labels
from bentos.errors import Problem, shown
from service import ids
from service.metrics import Metrics
from service.prediction_log.records import Outcome
from service.routes.moments import LEEWAY_SECONDS, moment_problems, read_moment
from service.routes.telling import Telling

FIELDS = ("prediction_id", "outcome", "observed_at")


class _ToldOutcome(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    prediction_id: str
    outcome: str | int
    observed_at: str


class _ToldOutcomes(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    outcomes: list[_ToldOutcome]


_decode = msgspec.json.Decoder(_ToldOutcomes).decode


def tell_outcomes(contract: Contract, counts: Metrics, *, ahead_seconds: float = LEEWAY_SECONDS) -> Telling[Outcome]:
    """How outcomes are told.

    Args:
        contract: Says how they are spelled.
        counts: Counts them.
        ahead_seconds: How far in the future an outcome may have been observed.
    """

    def count(kept: int) -> None:
        counts.outcomes += kept

    read = partial(read_outcome, labels=contract.labels, ahead_seconds=ahead_seconds)
    return Telling("outcomes", FIELDS, lambda body: _decode(body).outcomes, read, count)


def read_outcome(
    prediction_id: object,
    outcome: object,
    observed_at: object,
    now: int,
    *,
    labels: Labels,
    ahead_seconds: float = LEEWAY_SECONDS,
) -> Outcome | list[Problem]:
    """One outcome from what was told, or everything that is wrong with it.

    A prediction that nobody here knows of is no problem: it may still be on its way to the store.

    Args:
        prediction_id: Whose truth it is.
        outcome: One of the labels; a whole number stands for the label that spells it.
        observed_at: RFC 3339, with a time zone.
        now: The server's clock, in microseconds since 1970 UTC.
        labels: How the truth is spelled.
        ahead_seconds: How far in the future it may have been observed.
    """
    own_id = ids.normalized(prediction_id) if isinstance(prediction_id, str) else None
    problems = [
        *_identity_problems(own_id, prediction_id, outcome, labels),
        *moment_problems("observed_at", observed_at, own_id, now, ahead_seconds),
    ]
    seen = read_moment(observed_at)
    if problems or own_id is None or seen is None:
        return problems
    return Outcome(prediction_id=own_id, positive=str(outcome) == labels.positive, observed_at=seen, received_at=now)


def _identity_problems(own_id: str | None, told_id: object, outcome: object, labels: Labels) -> Iterator[Problem]:
    if own_id is None:
        yield Problem("prediction_id", shown(told_id), f"{ids.ALLOWED}: the one that /v1/score answered")
    allowed = (labels.positive, labels.negative)
    if isinstance(outcome, bool) or not isinstance(outcome, str | int) or str(outcome) not in allowed:
        yield Problem("outcome", shown(outcome), f"{allowed[0]!r} or {allowed[1]!r}")
