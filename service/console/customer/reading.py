"""What the store knows of one customer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import sqlalchemy as sa

from bentos.errors import NotFound
from service.store import Store, tables


@dataclass(frozen=True)
class LastPrediction:
    """A customer's last live prediction.

    Attributes:
        prediction_id: Its id.
        at: When, microseconds since 1970 UTC.
        variant: Which answered.
        mode: Of the experiment then.
        champion_probability: What the champion said; None if it could not.
        challenger_probability: What the challenger said; None if it was not asked or could not.
        no_treatment: Whether actions are withheld from the customer.
        features: As they were asked.
    """

    prediction_id: str
    at: int
    variant: str
    mode: str
    champion_probability: float | None
    challenger_probability: float | None
    no_treatment: bool
    features: Mapping[str, Any]


def read_last(store: Store, customer_id: str) -> LastPrediction:
    """The customer's last live prediction.

    Raises:
        NotFound: There is none.
        Unavailable: The store does not answer.
    """
    p = tables.predictions.c
    columns = (
        p.prediction_id,
        p.at,
        p.variant,
        p.mode,
        p.champion_probability,
        p.challenger_probability,
        p.no_treatment,
        p.features,
    )
    query = sa.select(*columns).where(p.customer_id == customer_id, p.purpose == "live")
    with store.reading() as connection:
        row = connection.execute(query.order_by(p.at.desc(), p.prediction_id.desc()).limit(1)).one_or_none()
    if row is None:
        raise NotFound("the store knows no live prediction of this customer")
    known = row._asdict() | {"features": msgspec.json.decode(row.features)}
    return LastPrediction(**known)
