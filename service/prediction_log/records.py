"""What the prediction log holds: a record a prediction, outcome or treatment, as spool and store know them."""

from __future__ import annotations

from typing import Literal

import msgspec

from bentos.artifact import Value

Mode = Literal["off", "shadow", "split"]
Variant = Literal["champion", "challenger"]
Purpose = Literal["live", "what_if", "test"]
Enrolment = Literal["enrolled", "off", "anonymous", "pinned", "holdout", "unsampled"]
"""Why a prediction is or is not evidence. Only `enrolled` is: a challenger is on trial, and the customer takes part.
`off`: nobody is on trial. `anonymous`: no customer was named. `pinned`: a rule, a header or a path chose the variant.
`holdout`: a customer who never meets a challenger. `unsampled`: the trial takes a share of customers, not this one.
"""

SCHEMA_VERSION = 3
"""Version 1 had no enrolment, treatment share, latency, request id and client, version 2 no time of each model; a
reader takes the defaults."""


class Prediction(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="prediction", gc=False):
    """One answered request.

    Attributes:
        v: Version of the record's form.
        prediction_id: UUIDv7.
        at: When it was answered, microseconds since 1970 UTC.
        customer_id: Who was scored; None where the request named nobody (never evidence).
        purpose: `live`, or `what_if` and `test`, which are never evidence nor drift.
        experiment: Id of the experiment, from its digests and salt.
        revision: Revision of the experiment file that answered.
        mode: Its mode.
        split: Its share for the challenger, in [0, 1].
        variant: Whose answer was given.
        champion: Digest of the champion.
        challenger: Digest of the challenger; None where there was none.
        champion_probability: What the champion said, in [0, 1]; None if it was not asked.
        challenger_probability: What the challenger said; None if it was not asked or could not answer.
        champion_positive: Whether that reached the champion's cut.
        challenger_positive: Whether that reached the challenger's cut.
        features: The row as it was sent.
        enrolment: Why this is or is not evidence.
        no_treatment: Whether the customer is one of those from whom actions are withheld.
        latency_us: From the request's arrival to this record, microseconds.
        request_id: The `X-Request-ID` that came with the request or was given to it.
        trace_id: Of the W3C `traceparent` that came with the request.
        client: Whose API key it was; None where none was asked for.
        champion_us: What the champion's call took that this row was part of, microseconds; None if it was not asked.
        challenger_us: The same of the challenger.
    """

    v: int = SCHEMA_VERSION
    prediction_id: str
    at: int
    customer_id: str | None
    purpose: Purpose
    experiment: str
    revision: int
    mode: Mode
    split: float
    variant: Variant
    champion: str
    challenger: str | None
    champion_probability: float | None
    challenger_probability: float | None
    champion_positive: bool | None
    challenger_positive: bool | None
    features: dict[str, Value]
    enrolment: Enrolment = "enrolled"
    no_treatment: bool = False
    latency_us: int | None = None
    request_id: str | None = None
    trace_id: str | None = None
    client: str | None = None
    champion_us: int | None = None
    challenger_us: int | None = None


class Outcome(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="outcome", gc=False):
    """The truth about one prediction.

    Attributes:
        v: Version of the record's form.
        prediction_id: Whose truth it is.
        positive: Whether the positive label came true.
        observed_at: When the truth was seen, microseconds since 1970 UTC.
        received_at: When it was told to us.
    """

    v: int = SCHEMA_VERSION
    prediction_id: str
    positive: bool
    observed_at: int
    received_at: int


class Treatment(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="treatment", gc=False):
    """An action taken because of a prediction.

    Attributes:
        v: Version of the record's form.
        prediction_id: Because of which.
        action: What was done, such as `retention-email`.
        taken_at: When, microseconds since 1970 UTC. The same action at the same time is the same treatment.
        received_at: When it was told to us.
    """

    v: int = SCHEMA_VERSION
    prediction_id: str
    action: str
    taken_at: int
    received_at: int


Record = Prediction | Outcome | Treatment
