"""What came true: matured predictions and their truths, added up in the database beside what was promised."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from service.console.production.reading import answered, answered_positive, bin_of, computed_once, ids_in, live_in
from service.console.production.spans import Span
from service.store import Store, tables
from validation.judge.selecting import last_told
from validation.statistics.holdout import wilson_interval

BINS = 10


@dataclass(frozen=True)
class Told:
    """Matured predictions of one tenth of probability.

    Attributes:
        bin: Its number, from 0.
        n: Matured predictions.
        told: Of these, how many have a truth.
        positive: Of these, how many came true as positive.
        right: Of these, how many answers were right.
        promised: Sum of the probabilities of those that were told.
        squares: Sum of the squared distances of probability and truth.
    """

    bin: int
    n: int
    told: int
    positive: int
    right: int
    promised: float
    squares: float

    @property
    def seen(self) -> float:
        """Share of positives among those that were told, of which there is at least one."""
        return self.positive / self.told

    @property
    def interval(self) -> tuple[float, float]:
        """Its 95 % interval (Wilson)."""
        return wilson_interval(self.positive, self.told)


@dataclass(frozen=True)
class Outcomes:
    """All tenths together.

    Attributes:
        bins: The tenths in which something matured.
        waiting: Live predictions of the span that have not matured.
    """

    bins: tuple[Told, ...]
    waiting: int

    @property
    def n(self) -> int:
        """Matured predictions."""
        return sum(told.n for told in self.bins)

    @property
    def told(self) -> int:
        """Of these, how many have a truth."""
        return sum(told.told for told in self.bins)

    @property
    def positive(self) -> int:
        """Of these, how many are positive."""
        return sum(told.positive for told in self.bins)

    @property
    def right(self) -> int:
        """Of those that were told, how many answers were right."""
        return sum(told.right for told in self.bins)

    @property
    def brier(self) -> float:
        """Mean squared distance of probability and truth; at least one must be told."""
        return sum(told.squares for told in self.bins) / self.told

    @property
    def calibration_error(self) -> float:
        """Mean distance of promised and seen share over the tenths, weighted by how many were told."""
        return sum(abs(told.promised - told.positive) for told in self.bins) / self.told


def read_last_told(store: Store) -> int | None:
    """When the last truth was seen, microseconds since 1970 UTC; None where none was told.

    Raises:
        Unavailable: The store does not answer.
    """
    with store.reading() as connection:
        found = connection.execute(sa.select(sa.func.max(tables.outcomes.c.observed_at))).scalar()
    return None if found is None else int(found)


def read_outcomes(store: Store, span: Span, *, predictions: int, window: int, moment: int) -> Outcomes:
    """Matured predictions of a span with their truths, as seen from a moment.

    Args:
        store: The store.
        span: What is looked at.
        predictions: How many live ones there are in it; those that did not mature are not read once more.
        window: How long after a prediction its outcome is final, microseconds.
        moment: From when it is looked, microseconds since 1970 UTC.

    Raises:
        Unavailable: The store does not answer.
    """
    p, (first, final) = tables.predictions.c, ids_in(span)
    truths = last_told(moment, first=first, final=final)
    chosen = (
        p.prediction_id,
        bin_of(store, answered, BINS).label("bin"),
        answered.label("promised"),
        answered_positive.label("answer"),
    )
    matured = computed_once(sa.select(*chosen).where(*live_in(store, span), p.at <= moment - window))
    rows = computed_once(
        sa.select(matured.c.bin, matured.c.promised, matured.c.answer, truths.c.positive.label("truth")).outerjoin_from(
            matured, truths, truths.c.prediction_id == matured.c.prediction_id
        )
    )
    is_told, seen = rows.c.truth.is_not(None), sa.case((rows.c.truth, 1.0), else_=0.0)
    sums = (
        sa.func.count(),
        sa.func.count().filter(is_told),
        sa.func.count().filter(is_told, rows.c.truth),
        sa.func.count().filter(is_told, rows.c.truth == rows.c.answer),
        sa.func.coalesce(sa.func.sum(rows.c.promised).filter(is_told), 0.0),
        sa.func.coalesce(sa.func.sum((rows.c.promised - seen) * (rows.c.promised - seen)).filter(is_told), 0.0),
    )
    with store.reading() as connection:
        found = connection.execute(sa.select(rows.c.bin, *sums).group_by(rows.c.bin).order_by(rows.c.bin))
        bins = tuple(Told(*row) for row in found)
    rest = predictions - sum(told.n for told in bins)
    return Outcomes(bins, max(0, rest))  # a late one may have come since they were counted
