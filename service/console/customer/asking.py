"""What scoring and insight say of one customer, as values. Nothing here decides anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar

import msgspec

from bentos.artifact import Value
from bentos.errors import BadInput, Unavailable
from service.console.service_client import ServiceClient

Features = Mapping[str, Value]
Purpose = Literal["live", "what_if"]
_Said = TypeVar("_Said")


class Model(msgspec.Struct, frozen=True):
    """The model that answered."""

    name: str
    version: str
    digest: str

    def __str__(self) -> str:
        return f"{self.name} version {self.version}"


class Answer(msgspec.Struct, frozen=True):
    """What `/v1/score` answers."""

    prediction_id: str
    variant: str
    model: Model
    probability: float
    label: str
    risk: str
    no_treatment: bool


class Reason(msgspec.Struct, frozen=True):
    """What one feature adds, as insight says it."""

    feature: str
    contribution: float
    phrase: str
    sentence: str
    is_read: bool
    is_protected: bool
    is_actionable: bool


class SumCheck(msgspec.Struct, frozen=True):
    """That base value and contributions come to the model's own answer."""

    sum: float
    output: float
    difference: float
    tolerance: float


class Explanation(msgspec.Struct, frozen=True):
    """Why a row is scored as it is, as insight says it."""

    probability: float
    label: str
    risk: str
    method: str
    space: Literal["probability", "log_odds"]
    base_value: float
    check: SumCheck
    summary: str
    plain: str
    reasons: tuple[Reason, ...]


class Explained(msgspec.Struct, frozen=True):
    """What `/v1/explain` answers."""

    model: Model
    variant: str | None
    explanation: Explanation


class Trial(msgspec.Struct, frozen=True):
    """What `/v1/experiment` says of who is on trial."""

    mode: str
    challenger: Model | None


class Start(msgspec.Struct, frozen=True):
    """What was explained last, from which changes are counted; the browser keeps it.

    Attributes:
        features: Of the customer.
        probability: The answer.
        both: What each variant says, where somebody is on trial.
        why_not_both: Why that is not known, though somebody may be on trial; empty where it is.
    """

    features: dict[str, Value]
    probability: float
    both: dict[str, float] = {}
    why_not_both: str = ""


def read_start(kept: object) -> Start | None:
    """What the browser kept; None where it kept nothing.

    Raises:
        BadInput: It is no `Start`.
    """
    try:
        return None if kept is None else msgspec.convert(kept, Start)
    except msgspec.ValidationError as e:
        raise BadInput(f"the page holds something that is no earlier answer: {e}; load it again") from e


def score(
    service: ServiceClient, features: Features, *, customer_id: str | None = None, purpose: Purpose = "what_if"
) -> Answer:
    """Score a row.

    Args:
        service: Scoring.
        features: A value for each feature of the contract.
        customer_id: Who it is; None: nobody.
        purpose: `what_if` is never evidence.

    Raises:
        GauntletError: As `ServiceClient.post`.
    """
    body = {"features": features, "purpose": purpose} | ({} if customer_id is None else {"customer_id": customer_id})
    return _read(service.post("/v1/score", body), Answer, "/v1/score")


def score_all(service: ServiceClient, rows: Sequence[Features]) -> tuple[float, ...]:
    """The champion's probabilities for rows that nobody has.

    Raises:
        GauntletError: As `ServiceClient.post`, and where a row was not scored.
    """
    said = service.post("/v1/score/batch", {"rows": [{"features": row} for row in rows], "purpose": "what_if"})
    answers = said.get("predictions", [])
    if len(answers) != len(rows) or said.get("refused"):
        raise Unavailable(f"scoring answered {said.get('accepted')} of {len(rows)} rows")
    return tuple(_read(answer, Answer, "/v1/score/batch").probability for answer in answers)


def explain(service: ServiceClient, features: Features, *, variant: str | None = None) -> Explained:
    """Why a row is scored as it is.

    Args:
        service: Scoring, which asks insight.
        features: A value for each feature of the contract.
        variant: Whose word is explained; None: the champion's.

    Raises:
        GauntletError: As `ServiceClient.post`; `Unavailable` where there is no insight.
    """
    body = {"features": features} | ({} if variant is None else {"variant": variant})
    return _read(service.post("/v1/explain", body), Explained, "/v1/explain")


def trial_of(service: ServiceClient, *, seconds: float | None = None) -> Trial:
    """Who is on trial now.

    Args:
        service: Scoring.
        seconds: As of `ServiceClient.get`.

    Raises:
        GauntletError: As `ServiceClient.get`.
    """
    return _read(service.get("/v1/experiment", seconds=seconds), Trial, "/v1/experiment")


def both_say(service: ServiceClient, features: Features) -> dict[str, float]:
    """What each variant says of a row; nothing where nobody is on trial.

    Raises:
        GauntletError: As `explain`: scoring answers by one variant, and insight alone says the other's word.
    """
    trial = trial_of(service)
    if trial.challenger is None or trial.mode == "off":
        return {}
    found = {v: explain(service, features, variant=v).explanation for v in ("champion", "challenger")}
    return {variant: explanation.probability for variant, explanation in found.items()}


def _read(said: Mapping[str, Any], kind: type[_Said], path: str) -> _Said:
    try:
        return msgspec.convert(said, kind)
    except msgspec.ValidationError as e:
        raise Unavailable(f"scoring answers {path} in a form that this console does not know: {e}") from e
