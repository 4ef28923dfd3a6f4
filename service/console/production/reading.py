"""What production did, counted in the database: only sums come from there, on SQLite and PostgreSQL alike.

Counted are live predictions that a model answered; `what_if` and `test` are nobody's production.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import sqlalchemy as sa

from bentos.artifact import RiskBand
from bentos.errors import NotFound
from service.console.production.spans import HOUR, Span
from service.ids import make_id
from service.store import Store, tables

BINS = 40
"""Of the histogram of probabilities."""

_OLDER, _YOUNGER = 24 * HOUR, HOUR
"""By so much a client's own id may be older than its prediction, and younger at the very most: by its clock."""

_p = tables.predictions.c
answered = sa.case((_p.variant == "challenger", _p.challenger_probability), else_=_p.champion_probability)
"""The probability that was answered."""

answered_positive = sa.case((_p.variant == "challenger", _p.challenger_positive), else_=_p.champion_positive)


class Cell(msgspec.Struct, frozen=True):
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


def read_seen(store: Store, span: Span | None = None) -> Span:
    """From the first to the last live prediction that a model answered.

    Args:
        store: The store.
        span: Those of it alone; None: of all time.

    Raises:
        NotFound: There is none.
        Unavailable: The store does not answer.
    """
    query = sa.select(sa.func.min(_p.at), sa.func.max(_p.at)).where(*(live() if span is None else live_in(store, span)))
    with store.reading() as connection:
        first, last = connection.execute(query).one()
    if first is None:
        raise _none_in(span)
    return Span(int(first), int(last) + 1)


def read_newest(store: Store, span: Span, *, most: int) -> Newest:
    """The newest live predictions.

    Args:
        store: The store.
        span: What is looked at; the shorter, the sooner.
        most: So many at most.

    Raises:
        NotFound: There is none.
        Unavailable: The store does not answer.
    """
    query = sa.select(_p.at, answered).where(*live_in(store, span)).order_by(_p.at.desc(), _p.prediction_id).limit(most)
    with store.reading() as connection:
        found = [(int(at), float(probability)) for at, probability in connection.execute(query)]
    if not found:
        raise _none_in(span)
    return Newest(found[0][0], tuple(probability for _, probability in found))


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
    chosen = (
        _p.at,
        answered.label("probability"),
        answered_positive.label("is_positive"),
        (_p.variant == "challenger").label("is_challengers"),
    )
    row = computed_once(sa.select(*chosen).where(*live_in(store, span))).c
    bin_ = bin_of(store, row.probability, BINS)
    band = sa.case(*((row.probability >= one.from_probability, at) for at, one in [*enumerate(bands)][::-1]), else_=0)
    key = ((row.at // length * BINS + bin_) * len(bands) + band).label("key")  # one number is sorted faster than three
    sums = (
        sa.func.count(),
        sa.func.count().filter(row.is_positive),
        sa.func.count().filter(row.is_challengers),
        sa.func.sum(row.probability),
        sa.func.sum(row.probability * row.probability),
    )
    with store.reading() as connection:
        rows = sorted(connection.execute(sa.select(key, *sums).group_by("key")).tuples())
    found = tuple(_cell(int(number), length, len(bands), added) for number, *added in rows)
    if not found:
        raise _none_in(span)
    return found


def _none_in(span: Span | None) -> NotFound:
    return NotFound("there are no predictions yet" if span is None else f"there are no predictions from {span}")


def _cell(key: int, length: int, bands: int, sums: Sequence[Any]) -> Cell:
    rest, band = divmod(key, bands)
    piece, bin_ = divmod(rest, BINS)
    return Cell(piece * length, bin_, band, *sums)


@dataclass(frozen=True)
class Newest:
    """The newest predictions.

    Attributes:
        at: When the very last was made, microseconds since 1970 UTC.
        probabilities: What was answered, the newest first.
    """

    at: int
    probabilities: tuple[float, ...]


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
        model: Digest of the model that this was then.
        probability: What was answered.
        no_treatment: Whether actions are withheld from them.
    """

    prediction_id: str
    at: int
    customer_id: str | None
    variant: str
    model: str
    probability: float
    no_treatment: bool


def read_rhythm(store: Store, span: Span) -> Rhythm:
    """Hours of the day, and customers.

    Raises:
        Unavailable: The store does not answer.
    """
    hour = (_p.at // HOUR % 24).label("hour")
    by_hour = sa.select(hour, sa.func.count()).where(*live_in(store, span)).group_by("hour")
    named = computed_once(sa.select(_p.customer_id).where(*live_in(store, span), _p.customer_id.is_not(None)))
    different = sa.select(sa.func.count()).select_from(sa.select(named.c.customer_id).distinct().subquery())
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
    model = sa.case((_p.variant == "challenger", _p.challenger), else_=_p.champion)
    of_whom = (_p.prediction_id, _p.at, _p.customer_id, _p.variant, model)
    query = sa.select(*of_whom, answered.label("probability"), _p.no_treatment).where(
        *live_in(store, span), answered >= at_least
    )
    with store.reading() as connection:
        found = connection.execute(query.order_by(sa.desc("probability"), _p.prediction_id).limit(most))
        return tuple(Scored(*row) for row in found)


def bin_of(store: Store, probability: sa.ColumnElement[float], bins: int) -> sa.ColumnElement[int]:
    """In which of so many bins of the same width a probability is, from 0; exactly 1 belongs to the last.

    A cast cuts off on SQLite and rounds on PostgreSQL; and SQLAlchemy's floor() on SQLite is Python's, which is called
    for each row and waits each time for the other threads.
    """
    wide = probability * bins
    cut_off = sa.func.floor(wide) if store.is_postgresql else wide
    return sa.case((probability >= 1, bins - 1), else_=sa.cast(cut_off, sa.Integer))


def computed_once(query: sa.Select[Any]) -> sa.Subquery:
    """A query to select from, each of its columns computed once a row.

    Otherwise both databases write it into the one that asks, with an expression again wherever its column is named, and
    SQLite looks every row up by an index that happens to have the asked order. OFFSET keeps them from that.
    """
    return query.offset(0).subquery()


def live() -> list[sa.ColumnElement[bool]]:
    """The live predictions that a model answered."""
    return [_p.purpose == "live", answered.is_not(None)]


def live_in(store: Store, span: Span) -> list[sa.ColumnElement[bool]]:
    """The live predictions of a span that a model answered.

    Ids begin with their time, so that PostgreSQL looks into the span's partitions alone. SQLite would look every row
    up by its id, which takes four times as long as reading them in a row.
    """
    found = [*live(), _p.at >= span.start, _p.at < span.end]
    if store.is_postgresql:
        found.append(_p.prediction_id >= ids_in(span)[0])
    return found


def ids_in(span: Span) -> tuple[str, str]:
    """Between which two ids all predictions of a span are."""
    return make_id(span.start - _OLDER, bytes(8)), make_id(span.end + _YOUNGER, bytes(8))
