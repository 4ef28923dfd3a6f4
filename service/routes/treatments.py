"""`POST /v1/treatments`: what was done because of a prediction. The same action at the same time is one treatment."""

from __future__ import annotations

from functools import partial

import msgspec

from bentos.errors import Problem, shown
from service import ids
from service.metrics import Metrics
from service.prediction_log.records import Treatment
from service.routes.moments import LEEWAY_SECONDS, moment_problems, read_moment
from service.routes.telling import Telling

FIELDS = ("prediction_id", "action", "taken_at")
ACTION_LENGTH = 100


class _ToldTreatment(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    prediction_id: str
    action: str
    taken_at: str


class _ToldTreatments(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    treatments: list[_ToldTreatment]


_decode = msgspec.json.Decoder(_ToldTreatments).decode


def tell_treatments(counts: Metrics, *, ahead_seconds: float = LEEWAY_SECONDS) -> Telling[Treatment]:
    """How treatments are told.

    Args:
        counts: Counts them.
        ahead_seconds: How far in the future one may have been taken.
    """

    def count(kept: int) -> None:
        counts.treatments += kept

    read = partial(read_treatment, ahead_seconds=ahead_seconds)
    return Telling("treatments", FIELDS, lambda body: _decode(body).treatments, read, count)


def read_treatment(
    prediction_id: object,
    action: object,
    taken_at: object,
    now: int,
    *,
    ahead_seconds: float = LEEWAY_SECONDS,
) -> Treatment | list[Problem]:
    """One treatment from what was told, or everything that is wrong with it.

    Args:
        prediction_id: Because of which.
        action: What was done: 1 to 100 printable characters.
        taken_at: RFC 3339, with a time zone.
        now: The server's clock, in microseconds since 1970 UTC.
        ahead_seconds: How far in the future it may have been taken.
    """
    own_id = ids.normalized(prediction_id) if isinstance(prediction_id, str) else None
    problems = []
    if own_id is None:
        problems.append(Problem("prediction_id", shown(prediction_id), f"{ids.ALLOWED}: the one that was acted on"))
    if not isinstance(action, str) or not 0 < len(action) <= ACTION_LENGTH or not action.isprintable():
        problems.append(Problem("action", shown(action), f"text of 1 to {ACTION_LENGTH} printable characters"))
    problems += moment_problems("taken_at", taken_at, own_id, now, ahead_seconds)
    taken = read_moment(taken_at)
    if problems or own_id is None or taken is None:
        return problems
    return Treatment(prediction_id=own_id, action=str(action), taken_at=taken, received_at=now)
