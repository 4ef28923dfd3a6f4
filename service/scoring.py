"""One answer: what champion and challenger say, and whose word the customer gets. Values in, values out."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from bentos.artifact import Value
from bentos.errors import Unavailable
from service.models import Identity, Model, Row
from service.records import Mode, Prediction, Purpose, Variant
from service.routing import assign_variant

ROUNDING = 1e-6
"""By how much a probability that was added up in float32 may leave [0, 1] before it counts as a failure."""


class ScoreRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, gc=False):
    """What `POST /v1/score` is asked.

    Attributes:
        features: A value for every feature of the contract.
        customer_id: Who is scored; without it the champion answers and the record is never evidence.
        prediction_id: The client's own UUIDv7, if it has one.
        purpose: `live`, or `what_if` and `test`, which are never evidence nor drift.
    """

    features: dict[str, Value]
    customer_id: str | int | None = None
    prediction_id: str | None = None
    purpose: Purpose = "live"


class Answer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What `POST /v1/score` answers.

    Attributes:
        prediction_id: By which the outcome is sent later.
        variant: Whose answer this is.
        model: Which model that is.
        probability: Of the positive label, in [0, 1].
        label: The label at that model's cut.
        risk: The risk band.
    """

    prediction_id: str
    variant: Variant
    model: Identity
    probability: float
    label: str
    risk: str


@dataclass(frozen=True, slots=True)
class Roles:
    """Who plays which role now: one revision of the experiment file, with the models that it names.

    Attributes:
        experiment: The experiment's id.
        revision: Of the file; 0 for the roles built into the Bento.
        effective_from: From when it holds, microseconds since 1970 UTC.
        mode: `off` too where the file names a challenger that the Bento lacks.
        split: The challenger's share, 0 unless the mode is `split`.
        salt: Of the hash that assigns customers.
        champion: Answers by default.
        challenger: Is scored too; None in mode `off`.
    """

    experiment: str
    revision: int
    effective_from: int
    mode: Mode
    split: float
    salt: str
    champion: Model
    challenger: Model | None


@dataclass(frozen=True, slots=True)
class Scored:
    """An answer with what is logged of it.

    Attributes:
        answer: For the customer.
        prediction: For the prediction log.
        failed: Whether the challenger was asked and could not answer.
    """

    answer: Answer
    prediction: Prediction
    failed: bool


def score(request: ScoreRequest, roles: Roles, row: Row, *, at: int, prediction_id: str) -> Scored:
    """Score one request.

    The champion is always scored, the challenger in shadow and split; a challenger that raises or answers no
    probability leaves the answer to the champion.

    Args:
        request: What was asked; its `prediction_id` is not read.
        roles: Who plays which role.
        row: The row that both models read.
        at: Now, in microseconds since 1970 UTC.
        prediction_id: The id of this prediction.

    Raises:
        InvalidFeatures: The features are not what the contract allows.
        Unavailable: The champion itself fails.
    """
    row.fill(request.features)
    champion, challenger = roles.champion, roles.challenger
    champion_probability = _ask_champion(champion)
    challenger_probability = None if challenger is None else _ask_challenger(challenger)
    customer_id = None if request.customer_id is None else str(request.customer_id)
    variant: Variant = "champion"
    model, probability = champion, champion_probability
    if (
        challenger is not None
        and challenger_probability is not None
        and assign_variant(roles.salt, customer_id, roles.split) == "challenger"
    ):
        variant, model, probability = "challenger", challenger, challenger_probability
    answer = Answer(
        prediction_id=prediction_id,
        variant=variant,
        model=model.identity,
        probability=probability,
        label=model.contract.label(probability),
        risk=model.contract.risk(probability),
    )
    prediction = Prediction(
        prediction_id=prediction_id,
        at=at,
        customer_id=customer_id,
        purpose=request.purpose,
        experiment=roles.experiment,
        revision=roles.revision,
        mode=roles.mode,
        split=roles.split,
        variant=variant,
        champion=champion.digest,
        challenger=None if challenger is None else challenger.digest,
        champion_probability=champion_probability,
        challenger_probability=challenger_probability,
        champion_positive=_is_positive(champion, champion_probability),
        challenger_positive=None if challenger is None else _is_positive(challenger, challenger_probability),
        features=request.features,
    )
    return Scored(answer, prediction, failed=challenger is not None and challenger_probability is None)


def _ask_champion(model: Model) -> float:
    try:
        probability = _as_probability(model.scorer.score_bound())
    except Exception as e:  # onnxruntime's errors share no base class
        raise Unavailable(f"the champion {model.identity} could not score: {type(e).__name__}") from e
    if probability is None:
        raise Unavailable(f"the champion {model.identity} answered no probability")
    return probability


def _ask_challenger(model: Model) -> float | None:
    try:
        return _as_probability(model.scorer.score_bound())
    except Exception:  # whatever it is, it is the challenger's failure and not the customer's
        return None


def _as_probability(value: float) -> float | None:
    """The value as a probability; None where it is none (NaN is not)."""
    if 0.0 <= value <= 1.0:
        return value
    if -ROUNDING <= value <= 1.0 + ROUNDING:
        return min(max(value, 0.0), 1.0)
    return None


def _is_positive(model: Model, probability: float | None) -> bool | None:
    return None if probability is None else probability >= model.contract.cut
