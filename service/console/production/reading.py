"""What production did, counted in the database: only sums come from there, on SQLite and PostgreSQL alike.

Counted are live predictions that a model answered; `what_if` and `test` are nobody's production.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from bentos.artifact import RiskBand
from bentos.errors import NotFound
from service.console.production.spans import HOUR, Span
from service.ids import make_id
from service.store import Store, tables

BINS = 40
"""Of the histogram of probabilities."""

_ID_SLACK = 24 * 3_600 * 1_000_000
"""A client's own id may be a day older than its prediction; it is never younger."""

_p = tables.predictions.c
answered = sa.case((_p.variant == "challenger", _p.challenger_probability), else_=_p.champion_probability)
"""The probability that was answered."""

answered_positive = sa.case((_p.variant == "challenger", _p.challenger_positive), else_=_p.champion_positive)


@dataclass(frozen=True)
class Cell:
    """Predictions of one piece of time, one bin of probability and one risk band.

    Attributes:
        start: Of the piece, microseconds since 1970 UTC.
        bin: Number of the bin, from 0; it begins at `bin / BINS`.
        band: Number of the risk band, from 0.
        n: Predictions.
        positive: Of these, how many were answered with the positive label.
        challenger: Of these, how many the challenger answered.
        total: Sum of their probabilities.
        squares: Sum of the squares of their probabilities.
    """

    start: int
    bin: int
    band: int
    n: int
    positive: int
    challenger: int
    total: float
    squares: float


def read_seen(store: Store) -> Span:
    """From the first to the last live prediction.

    Raises:
        NotFound: There is none.
        Unavailable: The store does not answer.
    """
    with store.reading() as connection:
        first, last = connection.execute(sa.select(sa.func.min(_p.at), sa.func.max(_p.at))).one()
    if first is None:
        raise NotFound("there are no predictions yet")
    return Span(int(first), int(last) + 1)


def read_cells(store: Store, span: Span, length: int, bands: Sequence[RiskBand]) -> tuple[Cell, ...]:
    """Production by time and probability in one pass over the rows, by rising time.

    Args:
        store: The store.
        span: What is looked at.
        length: Of a piece of time, in microseconds.
        bands: Of risk.

    Raises:
        NotFound: There is no prediction in the span.
        Unavailable: The store does not answer.
    """
    start = (_p.at // length * length).label("start")
    # A probability of exactly 1 belongs to the last bin.
    number = sa.case((answered >= 1, BINS - 1), else_=sa.cast(sa.func.floor(answered * BINS), sa.Integer))
    band = sa.case(*((answered >= each.from_probability, at) for at, each in [*enumerate(bands)][::-1]), else_=0)
    keys = (start, number.label("bin"), band.label("band"))
    sums = (
        sa.func.count(),
        sa.func.count().filter(answered_positive),
        sa.func.count().filter(_p.variant == "challenger"),
        sa.func.sum(answered),
        sa.func.sum(answered * answered),
    )
    query = sa.select(*keys, *sums).where(*live_in(store, span)).group_by("start", "bin", "band").order_by("start")
    with store.reading() as connection:
        found = tuple(Cell(*row) for row in connection.execute(query))
    if not found:
        raise NotFound(f"there are no predictions from {span}")
    return found


@dataclass(frozen=True)
class Rhythm:
    """What the pieces of time do not say.

    Attributes:
        hours: Predictions by hour of the day in UTC, shape (24,).
        customers: Different customers who were scored; those without an id are nobody.
    """

    hours: tuple[int, ...]
    customers: int


@dataclass(frozen=True)
class Scored:
    """One prediction.

    Attributes:
        prediction_id: Its id.
        at: When, microseconds since 1970 UTC.
        customer_id: Of whom.
        variant: Which answered.
        probability: What was answered.
        no_treatment: Whether actions are withheld from them.
    """

    prediction_id: str
    at: int
    customer_id: str | None
    variant: str
    probability: float
    no_treatment: bool


def read_rhythm(store: Store, span: Span) -> Rhythm:
    """Hours of the day, and customers.

    Raises:
        Unavailable: The store does not answer.
    """
    hour = (_p.at // HOUR % 24).label("hour")
    by_hour = sa.select(hour, sa.func.count()).where(*live_in(store, span)).group_by("hour")
    different = sa.select(sa.func.count(_p.customer_id.distinct())).where(*live_in(store, span))
    with store.reading() as connection:
        counts = {int(hour): n for hour, n in connection.execute(by_hour)}
        customers = int(connection.execute(different).scalar_one())
    return Rhythm(tuple(counts.get(hour, 0) for hour in range(24)), customers)


def read_riskiest(store: Store, span: Span, *, at_least: float, most: int) -> tuple[Scored, ...]:
    """The predictions with the highest probabilities, the highest first.

    Args:
        store: The store.
        span: What is looked at.
        at_least: Those below are left out.
        most: So many at most.

    Raises:
        Unavailable: The store does not answer.
    """
    columns = (_p.prediction_id, _p.at, _p.customer_id, _p.variant, answered.label("probability"), _p.no_treatment)
    query = sa.select(*columns).where(*live_in(store, span), answered >= at_least)
    with store.reading() as connection:
        found = connection.execute(query.order_by(sa.desc("probability"), _p.prediction_id).limit(most))
        return tuple(Scored(*row) for row in found)


def live_in(store: Store, span: Span) -> list[sa.ColumnElement[bool]]:
    """The live predictions of a span that a model answered.

    Ids begin with their time, so that PostgreSQL looks into the span's partitions alone. SQLite would look every row
    up by its id, which takes four times as long as reading them in a row.
    """
    found = [_p.purpose == "live", _p.at >= span.start, _p.at < span.end, answered.is_not(None)]
    if store.is_postgresql:
        found.append(_p.prediction_id >= make_id(span.start - _ID_SLACK, bytes(8)))
    return found
