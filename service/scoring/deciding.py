"""One answer: who takes part in which trial, and whose word the customer gets. Values in, values out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import msgspec

from bentos.artifact import Value
from service.prediction_log.records import Enrolment, Mode, Prediction, Purpose, Variant
from service.scoring.models import Identity, Model
from service.scoring.routing import assign_variant, is_in_share, trial_of

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
        no_treatment: Whether actions are to be withheld from this customer, so that truths stay comparable.
    """

    prediction_id: str
    variant: Variant
    model: Identity
    probability: float
    label: str
    risk: str
    no_treatment: bool


@dataclass(frozen=True, slots=True)
class Trial:
    """One challenger's trial.

    Attributes:
        experiment: Id of its experiment.
        model: The challenger; None where the Bento lacks it, and its customers are then not enrolled.
        split: Its share of the customers that fall to it, in [0, 1].
    """

    experiment: str
    model: Model | None
    split: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Roles:
    """Who plays which role now: one phase of the experiment file, with the models that it names.

    Attributes:
        experiment: The id of the first challenger's experiment.
        revision: Of the file; 0 for the roles built into the Bento.
        effective_from: From when it holds, microseconds since 1970 UTC.
        mode: `off` too where the Bento lacks every challenger.
        salt: Of the hashes that assign customers.
        champion: Answers by default.
        trials: One for each challenger; empty in mode `off`.
        sample: The share of customers who take part, in (0, 1].
        holdout: The share of customers who never meet a challenger.
        no_treatment: The share of customers from whom actions are withheld.
        population_salt: Of the hashes that draw those two.
        pins: Variant by customer id, whatever the hash says.
        pin_by_header: Whether a header may choose the variant.
    """

    experiment: str
    revision: int
    effective_from: int
    mode: Mode
    salt: str
    champion: Model
    trials: tuple[Trial, ...] = ()
    sample: float = 1.0
    holdout: float = 0.0
    no_treatment: float = 0.0
    population_salt: str = "population"
    pins: Mapping[str, Variant] = field(default_factory=lambda: MappingProxyType({}))
    pin_by_header: bool = False

    @property
    def challenger(self) -> Model | None:
        """The first challenger that is on trial here."""
        return next((trial.model for trial in self.trials if trial.model is not None), None)

    @property
    def challengers(self) -> tuple[Model, ...]:
        """Everyone on trial here."""
        return tuple(trial.model for trial in self.trials if trial.model is not None)

    @property
    def split(self) -> float:
        """The first challenger's share of its customers."""
        return self.trials[0].split if self.trials else 0.0


class Assignment(msgspec.Struct, frozen=True, gc=False):
    """What was decided about a customer before anything was scored.

    Attributes:
        enrolment: Why the prediction is or is not evidence.
        experiment: Id of the experiment that the record belongs to.
        split: The challenger's share in it.
        challenger: Who is scored beside the champion; None for nobody.
        variant: Whose answer the customer gets, if that model can answer.
        no_treatment: Whether actions are to be withheld from the customer.
    """

    enrolment: Enrolment
    experiment: str
    split: float
    challenger: Model | None
    variant: Variant
    no_treatment: bool


class Scored(msgspec.Struct, frozen=True, gc=False):
    """An answer with what is logged of it.

    Attributes:
        answer: For the customer.
        prediction: For the prediction log.
        failed: The challenger, where it was asked and could not answer.
    """

    answer: Answer
    prediction: Prediction
    failed: Model | None


def assign(roles: Roles, customer_id: str | None, header_pin: Variant | None = None) -> Assignment:
    """Decide who is scored for a customer, and whose answer counts.

    Args:
        roles: Who plays which role.
        customer_id: Who is scored; None (a request that names nobody) gets the champion, unless a header pins it, and
            is never evidence.
        header_pin: The variant that the request asks for; heeded where the experiment lets headers choose.
    """
    no_treatment = customer_id is not None and is_untreated(roles, customer_id)
    if not roles.trials:
        return Assignment("off", roles.experiment, 0.0, None, "champion", no_treatment)
    trial = roles.trials[0]
    if customer_id is None:
        pinned = header_pin if roles.pin_by_header else None
        enrolment: Enrolment = "anonymous" if pinned is None else "pinned"
        return Assignment(enrolment, trial.experiment, trial.split, trial.model, pinned or "champion", False)
    if len(roles.trials) > 1:
        trial = roles.trials[trial_of([one.experiment for one in roles.trials], customer_id)]
    enrolment, variant = _enrol(roles, trial, customer_id, header_pin)
    challenger = trial.model if enrolment in ("enrolled", "pinned") else None
    return Assignment(enrolment, trial.experiment, trial.split, challenger, variant, no_treatment)


def is_untreated(roles: Roles, customer_id: str) -> bool:
    """Whether actions are to be withheld from a customer, so that truths stay comparable."""
    return is_in_share(roles.population_salt, "no-treatment", customer_id, roles.no_treatment)


def decide(
    request: ScoreRequest,
    assignment: Assignment,
    roles: Roles,
    champion_probability: float,
    challenger_probability: float | None,
    *,
    prediction_id: str,
    at: int,
    latency_us: int,
    request_id: str | None = None,
    trace_id: str | None = None,
    client: str | None = None,
    champion_us: int | None = None,
    challenger_us: int | None = None,
) -> Scored:
    """Answer a request from what the models said; a challenger that said nothing leaves the answer to the champion.

    Args:
        request: What was asked; its `prediction_id` is not read.
        assignment: What was decided about the customer.
        roles: Who plays which role.
        champion_probability: In [0, 1].
        challenger_probability: In [0, 1]; None if it was not asked or could not answer.
        prediction_id: The id of this prediction.
        at: Now, in microseconds since 1970 UTC.
        latency_us: Since the request arrived, microseconds.
        request_id: For the record.
        trace_id: For the record.
        client: For the record.
        champion_us: What the champion's call took, microseconds, for the record.
        challenger_us: What the challenger's call took, for the record.
    """
    champion, challenger = roles.champion, assignment.challenger
    variant: Variant = "champion"
    model, probability = champion, champion_probability
    if assignment.variant == "challenger" and challenger is not None and challenger_probability is not None:
        variant, model, probability = "challenger", challenger, challenger_probability
    answer = Answer(
        prediction_id=prediction_id,
        variant=variant,
        model=model.identity,
        probability=probability,
        label=model.contract.label(probability),
        risk=model.contract.risk(probability),
        no_treatment=assignment.no_treatment,
    )
    prediction = Prediction(
        prediction_id=prediction_id,
        at=at,
        customer_id=None if request.customer_id is None else str(request.customer_id),
        purpose=request.purpose,
        experiment=assignment.experiment,
        revision=roles.revision,
        mode=roles.mode,
        split=assignment.split,
        variant=variant,
        champion=champion.identity.digest,
        challenger=None if challenger is None else challenger.identity.digest,
        champion_probability=champion_probability,
        challenger_probability=challenger_probability,
        champion_positive=champion_probability >= champion.contract.cut,
        challenger_positive=None if challenger is None else _is_positive(challenger, challenger_probability),
        features=request.features,
        enrolment=assignment.enrolment,
        no_treatment=assignment.no_treatment,
        latency_us=latency_us,
        request_id=request_id,
        trace_id=trace_id,
        client=client,
        champion_us=champion_us,
        challenger_us=challenger_us,
    )
    is_failure = challenger is not None and challenger_probability is None
    return Scored(answer, prediction, challenger if is_failure else None)


def as_probability(value: float) -> float | None:
    """The value as a probability; None where it is none (NaN is not)."""
    if 0.0 <= value <= 1.0:
        return value
    if -ROUNDING <= value <= 1.0 + ROUNDING:
        return min(max(value, 0.0), 1.0)
    return None


def _enrol(roles: Roles, trial: Trial, customer_id: str, header_pin: Variant | None) -> tuple[Enrolment, Variant]:
    pinned = roles.pins.get(customer_id) or (header_pin if roles.pin_by_header else None)
    if pinned is not None:
        return "pinned", pinned
    if is_in_share(roles.population_salt, "holdout", customer_id, roles.holdout):
        return "holdout", "champion"
    if not is_in_share(roles.salt, "sample", customer_id, roles.sample):
        return "unsampled", "champion"
    if trial.model is None:
        return "off", "champion"
    return "enrolled", assign_variant(roles.salt, customer_id, trial.split)


def _is_positive(model: Model, probability: float | None) -> bool | None:
    return None if probability is None else probability >= model.contract.cut
