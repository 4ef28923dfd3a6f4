"""The retention e-mail as scoring answers it: a draft or the notice that a customer is left alone. Nobody sends it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

import msgspec

from bentos.artifact import Value
from bentos.errors import BadInput, Unavailable
from service.console.service_client import ServiceClient
from service.routes.drafting import ACTION

PATH = "/v1/retention-email"


class Known(msgspec.Struct, frozen=True):
    """A customer with a live prediction, about whom an e-mail can be; the browser keeps it.

    Attributes:
        customer_id: Who it is.
        prediction_id: Because of which something is done.
        features: As they were asked then; what-ifs are nobody's letter.
    """

    customer_id: str
    prediction_id: str
    features: dict[str, Value]


class Draft(msgspec.Struct, frozen=True):
    """What may be sent, after somebody has read it."""

    subject: str
    text: str


class EmailReason(msgspec.Struct, frozen=True):
    """What a draft is about."""

    phrase: str
    offers: tuple[str, ...] = ()


class Email(msgspec.Struct, frozen=True):
    """What was answered.

    Attributes:
        draft: None where actions are withheld from this customer.
        no_treatment: Whether they are.
        override_recorded: Whether somebody went on nevertheless, and it is recorded.
        notice: For whoever asked, where actions are withheld.
        source: Who wrote it; None where there is no draft.
        detail: Why it is from there.
        reasons: What it is about.
    """

    draft: Draft | None
    no_treatment: bool
    override_recorded: bool
    notice: str | None = None
    source: Literal["groq", "template"] | None = None
    detail: str = ""
    reasons: tuple[EmailReason, ...] = ()


def read_known(kept: object) -> Known:
    """What the browser kept.

    Raises:
        BadInput: It kept nothing, or something else.
    """
    try:
        return msgspec.convert(kept, Known)
    except msgspec.ValidationError as e:
        raise BadInput(
            "an e-mail is about a customer with a live prediction: fill in a known one, or record one as live"
        ) from e


def ask_email(service: ServiceClient, known: Known, *, tone: str, language: str, override: bool) -> Email:
    """Ask for a draft.

    Args:
        service: Scoring, which applies the rule of the no-treatment share and asks insight.
        known: About whom.
        tone: One of `service.routes.drafting.TONES`.
        language: One of the contract's.
        override: Draft for a customer who is to be left alone, too; scoring records it.

    Raises:
        GauntletError: As `ServiceClient.post`.
    """
    asked = msgspec.to_builtins(known) | {"tone": tone, "language": language}
    said = service.post(PATH, asked | ({"override": True} if override else {}))
    try:
        return msgspec.convert(said, Email)
    except msgspec.ValidationError as e:
        raise Unavailable(f"scoring answers {PATH} in a form that this console does not know: {e}") from e


def record_sent(service: ServiceClient, known: Known, *, now: datetime) -> None:
    """Record that somebody has sent the e-mail.

    Raises:
        GauntletError: As `ServiceClient.post`; `Unavailable` where it was not taken.
    """
    treatment: Mapping[str, str] = {
        "prediction_id": known.prediction_id,
        "action": ACTION,
        "taken_at": now.isoformat(timespec="milliseconds"),
    }
    taken = service.post("/v1/treatments", {"treatments": [treatment]})
    if taken.get("accepted") != 1:
        raise Unavailable("scoring did not take the treatment")
