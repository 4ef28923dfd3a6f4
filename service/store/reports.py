"""What the store says of the truths it was told."""

from __future__ import annotations

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
    known = _known(experiment)
    with store.reading() as connection:
        total, predictions, contradicting, early = connection.execute(known).one()
        waiting, unknown = connection.execute(_unknown(now - maturity)).one()
    return OutcomeReport(
        total=total,
        predictions=predictions,
        repeated=total - predictions,
        contradicting=contradicting,
        early=early,
        unknown_waiting=waiting,
        unknown=unknown,
    )


def _known(experiment: str | None) -> sa.Select[Any]:
    p, o = tables.predictions, tables.outcomes
    # An expression, so that SQLite looks up the predictions of the truths, and not the truths of all predictions.
    of_experiment = [] if experiment is None else [p.c.experiment.concat("") == experiment]
    is_early = (o.c.landed_at < p.c.landed_at) | (o.c.observed_at < p.c.at)
    of_one = (
        sa.select(
            sa.func.count().label("told"),
            sa.func.count().filter(o.c.positive).label("positive"),
            sa.func.count().filter(is_early).label("early"),
        )
        .select_from(o.join(p, o.c.prediction_id == p.c.prediction_id))
        .where(*of_experiment)
        .group_by(o.c.prediction_id)
        .subquery()
    )
    is_contradicting = (of_one.c.positive > 0) & (of_one.c.positive < of_one.c.told)
    return sa.select(
        sa.func.coalesce(sa.cast(sa.func.sum(of_one.c.told), sa.BigInteger), 0),
        sa.func.count(),
        sa.func.count().filter(is_contradicting),
        sa.func.coalesce(sa.cast(sa.func.sum(of_one.c.early), sa.BigInteger), 0),
    )


def _unknown(received_before: int) -> sa.Select[Any]:
    p, o = tables.predictions, tables.outcomes
    is_waiting = o.c.received_at >= received_before
    is_known = sa.exists().where(p.c.prediction_id == o.c.prediction_id)
    counts = (sa.func.count().filter(is_waiting), sa.func.count().filter(~is_waiting))
    return sa.select(*counts).select_from(o).where(~is_known)
