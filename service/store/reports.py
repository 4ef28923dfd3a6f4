"""What the store says of the truths it was told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from service.store import tables
from service.store.connection import Store


@dataclass(frozen=True, kw_only=True)
class OutcomeReport:
    """Truths as they were told. Every one of them is kept; which one counts the judge decides when it looks.

    Attributes:
        total: Truths told of known predictions.
        predictions: Predictions that were told at least one.
        repeated: Truths beyond the first of their prediction.
        contradicting: Predictions that were told both labels.
        early: Truths that landed before their prediction did, or were observed before it was made.
        unknown_waiting: Truths of predictions that are not in the store, received within the maturity window: their
            predictions may still be under way.
        unknown: Truths of predictions that are not in the store, received longer ago than that.
    """

    total: int
    predictions: int
    repeated: int
    contradicting: int
    early: int
    unknown_waiting: int
    unknown: int

    def __str__(self) -> str:
        return "\n".join(
            [
                f"{self.total:,} outcomes of {self.predictions:,} predictions",
                f"  {self.repeated:,} beyond the first of their prediction",
                f"  {self.contradicting:,} predictions were told both labels; the outcome observed last counts",
                f"  {self.early:,} landed before their prediction, or were observed before it was made",
                f"{self.unknown_waiting:,} outcomes of unknown ids, whose predictions may still be under way",
                f"{self.unknown:,} outcomes of unknown ids, received longer ago than the maturity window",
            ]
        )


def outcome_report(store: Store, experiment: str | None, *, maturity: int, now: int) -> OutcomeReport:
    """Count the truths of an experiment, or of all, by what is odd about them.

    Truths of unknown predictions belong to no experiment that is known, so they are counted over the whole store.

    Args:
        store: Where they are.
        experiment: The experiment's id; None for every one.
        maturity: How long an outcome may take, microseconds.
        now: The moment, microseconds since 1970 UTC.

    Raises:
        Unavailable: The store does not answer.
    """
    with store.reading() as connection:
        told, predictions, contradicting, early, waiting, unknown = connection.execute(
            _counts(experiment, received_before=now - maturity)
        ).one()
    return OutcomeReport(
        total=told,
        predictions=predictions,
        repeated=told - predictions,
        contradicting=contradicting,
        early=early,
        unknown_waiting=waiting,
        unknown=unknown,
    )


def unknown_ids(store: Store, *, maturity: int, now: int) -> Iterator[str]:
    """The prediction ids that are in no prediction though their outcome came longer ago than the maturity window.

    Args:
        store: Where the outcomes are.
        maturity: How long an outcome may take, microseconds.
        now: The moment, microseconds since 1970 UTC.

    Raises:
        Unavailable: The store does not answer.
    """
    p, o = tables.predictions, tables.outcomes
    is_known = sa.exists().where(p.c.prediction_id == o.c.prediction_id)
    ids = sa.select(o.c.prediction_id).where(o.c.received_at < now - maturity, ~is_known).distinct()
    with store.reading() as connection:
        found = connection.execute(ids.order_by(o.c.prediction_id).execution_options(yield_per=_IDS_AT_A_TIME))
        yield from found.scalars()


_IDS_AT_A_TIME = 1000


def _counts(experiment: str | None, *, received_before: int) -> sa.Select[Any]:
    """One pass over the truths, each looking up its prediction."""
    truth = _truths(experiment)
    of_one = (
        sa.select(
            _sum_where(truth.c.found != _UNKNOWN).label("told"),
            _sum_where(truth.c.found != _UNKNOWN, truth.c.positive).label("positive"),
            _sum_where(truth.c.found == _EARLY).label("early"),
            _sum_where(truth.c.found == _UNKNOWN, truth.c.received_at >= received_before).label("waiting"),
            _sum_where(truth.c.found == _UNKNOWN, truth.c.received_at < received_before).label("unknown"),
        )
        .where(truth.c.found != _OF_ANOTHER)
        .group_by(truth.c.prediction_id)
        .subquery()
    )
    one = of_one.c
    return sa.select(
        _total(one.told),
        _sum_where(one.told > 0),
        _sum_where(one.positive > 0, one.positive < one.told),
        *(_total(count) for count in (one.early, one.waiting, one.unknown)),
    )


_KNOWN, _EARLY, _OF_ANOTHER, _UNKNOWN = range(4)


def _truths(experiment: str | None) -> sa.Subquery:
    """Every truth, and what is found under its id."""
    p, o = tables.predictions, tables.outcomes
    is_early = (o.c.landed_at < p.c.landed_at) | (o.c.observed_at < p.c.at)
    of_another = [] if experiment is None else [(p.c.experiment != experiment, _OF_ANOTHER)]
    found = sa.select(sa.case(*of_another, (is_early, _EARLY), else_=_KNOWN))
    looked_up = found.where(p.c.prediction_id == o.c.prediction_id).correlate(o).scalar_subquery()
    columns = (o.c.prediction_id, o.c.positive, o.c.received_at, sa.func.coalesce(looked_up, _UNKNOWN).label("found"))
    return sa.select(*columns).offset(0).subquery()  # with an offset it stays a step of its own: one look-up a truth


def _sum_where(*conditions: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
    return sa.func.count().filter(*conditions)


def _total(counts: sa.ColumnElement[int]) -> sa.ColumnElement[int]:
    return sa.cast(sa.func.coalesce(sa.func.sum(counts), 0), sa.BigInteger)
