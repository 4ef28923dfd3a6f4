"""From a request to what scoring is asked: whose prediction it is, under which roles, in which trial."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import cast

from bentos.errors import InvalidRequest, Problem, shown
from service import ids
from service.http.following import ids_to_follow
from service.http.messages import Request
from service.prediction_log.records import Variant
from service.scoring.batching import Asked
from service.scoring.deciding import Roles, ScoreRequest, assign
from service.scoring.experiment import RETRY_REACH
from service.scoring.watching import ExperimentWatch

Clock = Callable[[], int]
"""Now, in microseconds since 1970 UTC."""

VARIANT_HEADER = b"gauntlet-variant"
_REACH_MS = round(RETRY_REACH.total_seconds() * 1000)
_AHEAD_MS = 5 * 60 * 1000
"""A client's clock may be ahead by so much."""

_OWN_ID = f"{ids.ALLOWED}, made within the last 24 hours"


def read_clock() -> int:
    """The clock of a process that serves."""
    return time.time_ns() // 1000


class Asking:
    """What every route that scores does with one row before it is scored."""

    def __init__(
        self, watch: ExperimentWatch, *, clock: Clock = read_clock, randomness: Callable[[int], bytes] = os.urandom
    ) -> None:
        self._watch = watch
        self._clock = clock
        self._randomness = randomness

    def ask(self, asked: ScoreRequest, request: Request, *, row: int | None = None) -> Asked:
        """Decide what can be decided before the models are asked.

        Args:
            asked: One row, as it was read.
            request: The request that it came in.
            row: Its place in a batch; None where there is only one.

        Raises:
            Unavailable: There are no roles to answer by.
            InvalidRequest: The client's own id is too old, or a header is not what is allowed.
        """
        now = self._clock()
        headers = request.headers
        own_id = asked.prediction_id
        if row is None and b"idempotency-key" in headers:
            own_id = _idempotent_id(asked, headers[b"idempotency-key"], request.client, now)
        if own_id is None:
            roles = self._watch.roles(now)
            prediction_id = ids.make_id(now, self._randomness(8))
        else:
            _check_age(own_id, now, row)
            # A retry is decided as the request was, so its roles are those of the moment in its id.
            roles, prediction_id = self._watch.roles_at(ids.millis_of(own_id) * 1000 + 999, now), own_id
        customer_id = None if asked.customer_id is None else str(asked.customer_id)
        pin = _header_pin(headers[VARIANT_HEADER], roles) if VARIANT_HEADER in headers else None
        request_id, trace_id = ids_to_follow(headers)
        return Asked(
            asked,
            assign(roles, customer_id, pin),
            roles,
            prediction_id,
            now,
            request.started,
            request_id,
            trace_id,
            request.client,
        )

    def ask_all(
        self, asked: Sequence[ScoreRequest], request: Request, places: Sequence[int]
    ) -> list[Asked | InvalidRequest]:
        """As `ask`, for many rows of one request: what is the same for all of them is decided once.

        Args:
            asked: The rows, as they were read.
            request: The request that they came in. Its `Idempotency-Key` stands for an id of each row.
            places: Of each row in the request, counted from 0.

        Returns:
            For each row what scoring is asked, or why its own id cannot be used.

        Raises:
            Unavailable: There are no roles to answer by.
            InvalidRequest: A header is not what is allowed.
        """
        now, headers = self._clock(), request.headers
        roles = self._watch.roles(now)
        key = _idempotency_key(headers[b"idempotency-key"], now) if b"idempotency-key" in headers else None
        pin = _header_pin(headers[VARIANT_HEADER], roles) if VARIANT_HEADER in headers else None
        everybodys = assign(roles, "anybody", pin) if _is_same_for_all(roles) else None
        request_id, trace_id = ids_to_follow(headers)
        started, client = request.started, request.client
        made = ids.make_ids(now, self._randomness(8 * len(asked)))
        found: list[Asked | InvalidRequest] = []
        for row, place, prediction_id in zip(asked, places, made, strict=True):
            if key is not None or row.prediction_id is not None:
                found.append(self._ask_own(row, request, key, now, place))
                continue
            customer_id, assignment = row.customer_id, everybodys
            if assignment is None or customer_id is None:
                assignment = assign(roles, None if customer_id is None else str(customer_id), pin)
            found.append(Asked(row, assignment, roles, prediction_id, now, started, request_id, trace_id, client))
        return found

    def _ask_own(
        self, asked: ScoreRequest, request: Request, key: str | None, now: int, place: int
    ) -> Asked | InvalidRequest:
        """As `ask`, for a row of many whose id is the client's own, or stands for its key and the row's place."""
        try:
            prediction_id = _own_id(asked, key, request.client, now, place)
        except InvalidRequest as e:
            return e
        headers = request.headers
        roles = self._watch.roles_at(ids.millis_of(prediction_id) * 1000 + 999, now)
        pin = _header_pin(headers[VARIANT_HEADER], roles) if VARIANT_HEADER in headers else None
        customer_id = None if asked.customer_id is None else str(asked.customer_id)
        request_id, trace_id = ids_to_follow(headers)
        assignment = assign(roles, customer_id, pin)
        started, client = request.started, request.client
        return Asked(asked, assignment, roles, prediction_id, now, started, request_id, trace_id, client)


def _is_same_for_all(roles: Roles) -> bool:
    """Whether `assign` decides the same about every customer who is named: in the plain shadow it asks no hash."""
    has_draws = roles.no_treatment > 0 or roles.holdout > 0 or roles.sample < 1
    return not (has_draws or roles.pins or roles.split > 0 or len(roles.trials) > 1)


def _idempotent_id(asked: ScoreRequest, header: bytes, client: str | None, now: int) -> str:
    key = _idempotency_key(header, now)
    _check_no_id(asked, None)
    return ids.scoped_id(key, client or "", _content_of(asked))


def _own_id(asked: ScoreRequest, key: str | None, client: str | None, now: int, row: int) -> str:
    """The id that a row of a batch brings with it, or that the request's key and its place stand for."""
    if key is None and asked.prediction_id is not None:
        _check_age(asked.prediction_id, now, row)
        return asked.prediction_id
    _check_no_id(asked, row)
    return ids.scoped_id(key or "", client or "", f"{row}\n{_content_of(asked)}")


def _content_of(asked: ScoreRequest) -> str:
    """What is asked, however it is spelled: a key that is used for something else by mistake names another prediction.

    No replica knows what another was asked under that key, and with one id for both only the first would be logged.
    """
    customer_id = None if asked.customer_id is None else str(asked.customer_id)
    return repr((customer_id, asked.purpose, sorted(asked.features.items())))


def _idempotency_key(header: bytes, now: int) -> str:
    text = header.decode("latin-1").strip().strip('"')
    key = ids.normalized(text)
    if key is None:
        raise InvalidRequest("headers", [Problem("Idempotency-Key", shown(text[:80]), _OWN_ID)])
    _check_age(key, now, None, "Idempotency-Key", "headers")
    return key


def _check_no_id(asked: ScoreRequest, row: int | None) -> None:
    if asked.prediction_id is not None:
        given = shown(asked.prediction_id)
        raise InvalidRequest("body", [Problem("prediction_id", given, "left out where Idempotency-Key is sent", row)])


def _check_age(own_id: str, now: int, row: int | None, field: str = "prediction_id", where: str = "body") -> None:
    age = now // 1000 - ids.millis_of(own_id)
    if not -_AHEAD_MS <= age <= _REACH_MS:
        raise InvalidRequest(where, [Problem(field, shown(own_id), _OWN_ID, row)])


def _header_pin(header: bytes, roles: Roles) -> Variant | None:
    if not roles.pin_by_header:
        return None
    text = header.decode("latin-1").strip().lower()
    if text not in ("champion", "challenger"):
        raise InvalidRequest("headers", [Problem("Gauntlet-Variant", shown(text[:80]), "'champion' or 'challenger'")])
    return cast(Variant, text)
