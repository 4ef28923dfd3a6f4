"""`POST /v1/retention-email` before insight sees it: who is left alone, and the record where somebody is not.

The rule is applied here, where roles and prediction log are, so that the customer's id goes no further than scoring.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from bentos.errors import InvalidRequest, Problem, Unavailable, shown
from service import ids
from service.http.limits import EVERYBODY, RateLimit
from service.http.messages import Request, Response
from service.metrics import Metrics
from service.prediction_log.records import Treatment
from service.prediction_log.spool import Spool
from service.routes.asking import Clock
from service.routes.bodies import CUSTOMER_ID_LENGTH, id_problems, load
from service.routes.drafting import LEFT_ALONE, RECORDED
from service.routes.insight import InsightClient
from service.scoring.deciding import Roles, is_untreated
from service.scoring.watching import ExperimentWatch

logger = logging.getLogger("gauntlet.scoring")

PATH = "/v1/retention-email"
OVERRIDE = "no-treatment-override"
"""What an override is called in the prediction log: a treatment, by which evidence knows that a customer is not left
alone any more, whether an e-mail is sent or not."""

NOTICE = (
    f'{LEFT_ALONE} Where one must be written nevertheless, ask again with "override": true and the prediction_id; '
    f"{RECORDED}"
)
OVERRIDDEN = (
    "This customer is one of the share from whom actions are withheld. The override is recorded as the treatment "
    f"{OVERRIDE!r} of this prediction."
)
_CUSTOMER_ID = (
    f"text of 1 to {CUSTOMER_ID_LENGTH} characters or a whole number of 64 bits: whether actions are withheld from "
    "the customer depends on it, and it is passed on to nobody"
)
_PREDICTION_ID = f"{ids.ALLOWED}: an override is recorded as a treatment because of it"


class _Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked.

    Attributes:
        customer_id: Who the e-mail would be for.
        override: Whether it is wanted for a customer who is to be left alone, too.
        prediction_id: Because of which prediction; None where none is named.
        rest: What insight is asked.
    """

    customer_id: str
    override: bool
    prediction_id: str | None
    rest: dict[str, Any]


class RetentionHandler:
    """Answers `POST /v1/retention-email`."""

    def __init__(
        self,
        client: InsightClient | None,
        watch: ExperimentWatch,
        *,
        spool: Spool,
        rate: RateLimit,
        counts: Metrics,
        clock: Clock,
    ) -> None:
        """Let insight write, for those who may be written to.

        Args:
            client: Asks insight; None where none is named.
            watch: Knows the share from whom actions are withheld.
            spool: The prediction log.
            rate: Of rows that a client may ask for; a draft is one.
            counts: Counts treatments.
            clock: Now.
        """
        self._client, self._watch = client, watch
        self._spool, self._rate, self._counts, self._clock = spool, rate, counts, clock

    async def answer(self, request: Request) -> Response:
        """A draft by insight, or the notice that the customer is left alone.

        Raises:
            HttpRefusal: The body is no JSON, or the client asks too often.
            InvalidRequest: With every problem of the fields that are read here.
            Unavailable: Insight does not answer, nobody knows who is left alone, or the override cannot be recorded.
        """
        if self._client is None:
            raise Unavailable("no insight is named: GAUNTLET_INSIGHT_URL is not set")
        asked = _read(request.body)
        self._rate.take(request.client or EVERYBODY, 1, request.started)
        is_withheld = is_untreated(self._roles(), asked.customer_id)
        if is_withheld and not asked.override:
            return Response(200, msgspec.json.encode(_notice(asked)))
        # Not by msgspec: numbers that JSON does not have, which insight is to name, would become null.
        passed = Request(request.headers, json.dumps(asked.rest).encode(), started=request.started)
        found = await self._client.ask(PATH, passed)
        if found.status != 200:
            return found
        answer = Response(200, _with_rule(found.body, is_withheld=is_withheld), found.content_type)
        if is_withheld:
            self._record(asked, request.client)
        return answer

    def _roles(self) -> Roles:
        now = self._clock()
        roles = self._watch.active(now)
        if roles is None:
            raise Unavailable(f"nobody knows which customers are left alone: {self._watch.not_ready(now)}")
        return roles

    def _record(self, asked: _Asked, client: str | None) -> None:
        """Record an override before the draft leaves: without the record there is no draft."""
        now = self._clock()
        own_id = asked.prediction_id or ""  # an override without one was refused
        told = Treatment(prediction_id=own_id, action=OVERRIDE, taken_at=now, received_at=now)
        if not all(self._spool.append_all([told])):
            raise Unavailable("the override cannot be recorded, as the prediction log cannot be written: no draft")
        self._counts.treatments += 1
        logger.info("no_treatment_overridden", extra={"prediction_id": own_id, "client": client})


def _read(body: bytes) -> _Asked:
    told = load(body)
    if not isinstance(told, dict):
        raise InvalidRequest("body", [Problem("body", shown(told), 'an object with "customer_id" and "features"')])
    problems = list(_problems(told))
    if problems:
        raise InvalidRequest("body", problems)
    own_id = told.get("prediction_id")
    rest = {name: value for name, value in told.items() if name not in ("customer_id", "override")}
    return _Asked(
        customer_id=str(told["customer_id"]),
        override=told.get("override", False),
        prediction_id=None if own_id is None else ids.normalized(own_id),
        rest=rest,
    )


def _problems(told: Mapping[str, Any]) -> Iterator[Problem]:
    customer_id, own_id, override = told.get("customer_id"), told.get("prediction_id"), told.get("override", False)
    if customer_id is None:
        yield Problem("customer_id", shown(None), _CUSTOMER_ID)
    yield from id_problems(customer_id, own_id)
    if not isinstance(override, bool):
        yield Problem("override", shown(override), "true or false")
    elif override and own_id is None:
        yield Problem("prediction_id", shown(None), _PREDICTION_ID)


def _notice(asked: _Asked) -> dict[str, Any]:
    return {
        "draft": None,
        "no_treatment": True,
        "override_recorded": False,
        "notice": NOTICE,
        "prediction_id": asked.prediction_id,
    }


def _with_rule(body: bytes, *, is_withheld: bool) -> bytes:
    """Insight's answer with what was decided here."""
    try:
        found: dict[str, msgspec.Raw] = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except msgspec.ValidationError as e:
        raise Unavailable("insight answers no JSON object") from e
    rule = {
        "no_treatment": is_withheld,
        "override_recorded": is_withheld,
        "notice": OVERRIDDEN if is_withheld else None,
    }
    return msgspec.json.encode({**found, **rule})
