"""Late rows: what landed after its cohort was closed, and so changes nothing.

The ledger says which few rows to look at, and indexes find them: what landed is not read through at each look.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import sqlalchemy as sa

from service.store import Store, tables
from service.store.partitions import id_beginning
from validation.judge.closing import closed_through
from validation.judge.selecting import enrolled, experiments_of, has_earlier


def count_late(store: Store, experiment_id: str) -> int:
    """How many first predictions and truths of closed cohorts landed after the closing, and so change nothing.

    Raises:
        Unavailable: The store does not answer.
    """
    with store.reading() as connection:
        through = closed_through(connection, experiment_id)
        if through is None:
            return 0
        experiments = experiments_of(store, connection, experiment_id)
        queries = _late_in_gaps(experiments, through)
        closings = _Closings(*connection.execute(_closing_times(experiment_id)).one())
        if closings.first is not None:
            queries.append(_late_predictions(experiments, closings))
            queries.append(_late_truths(experiments, closings, is_postgresql=store.is_postgresql))
        return sum(connection.execute(query).scalar_one() for query in queries)


class _Closings(NamedTuple):
    """What the ledger says of all closings of an experiment: microseconds, None where there is none."""

    first: int | None
    least_delay: int
    length: int
    start: int
    end: int


def _closing_times(experiment_id: str) -> sa.Select[Any]:
    """The first closing, the shortest time from a cohort's end to it, every cohort's length, and from when to when."""
    c, least = tables.cohorts.c, sa.func.min
    times = (least(c.closed_at), least(c.closed_at - c.end), least(c.end - c.start), least(c.start), sa.func.max(c.end))
    return sa.select(*times).where(c.experiment == experiment_id)


def _closed_at(experiment_id: str, closings: _Closings) -> sa.ScalarSelect[Any]:
    """When the cohort of a prediction was closed; NULL where it has no row in the ledger."""
    p, c = tables.predictions, tables.cohorts.c
    start = p.c.at // closings.length * closings.length
    closed_at = sa.select(sa.func.min(c.closed_at)).where(c.experiment == experiment_id, c.start == start)
    return closed_at.correlate(p).scalar_subquery()


def _late_predictions(experiments: list[str], closings: _Closings) -> sa.Select[tuple[int]]:
    """First predictions that landed after their cohort's closing."""
    p = tables.predictions
    # What is late was under way longer than any closing took; if that is an hour, an index holds little else. Both
    # ends of the time are named, because SQLite would take another index otherwise.
    long = [tables.is_long_under_way] if closings.least_delay >= tables.LONG_UNDER_WAY else []
    return sa.select(sa.func.count()).where(
        *long,
        p.c.at >= closings.start,
        p.c.at < closings.end,
        p.c.landed_at > _closed_at(experiments[0], closings),
        *enrolled(p, experiments[:1]),
        ~has_earlier(experiments),
    )


def _late_truths(experiments: list[str], closings: _Closings, *, is_postgresql: bool) -> sa.Select[tuple[int]]:
    """Truths of first predictions that landed after the cohort's closing.

    Of what landed between two closings only truths of predictions from before can be late; an id says when it was made.
    """
    p, o, closing = tables.predictions, tables.outcomes, _steps_of_closing(experiments[0])
    latest = id_beginning(closing.c.through + _CLOCKS_APART, is_postgresql=is_postgresql)
    # Counting keeps the order in which it is looked at: a join may begin with all predictions.
    of_closed = (
        sa.select(sa.func.count())
        .where(
            p.c.prediction_id == o.c.prediction_id,
            *enrolled(p, experiments[:1]),
            o.c.landed_at > _closed_at(experiments[0], closings),
            ~has_earlier(experiments),
        )
        .correlate(o)
        .scalar_subquery()
    )
    landed = (o.c.landed_at > closing.c.begin) & (o.c.landed_at <= closing.c.end)
    made = o.c.prediction_id.concat("")  # an expression: the index that is wanted is the one by landing
    made_before = (made < latest) | (sa.func.substr(made, 15, 1) != "7")  # only a UUIDv7 says a time
    return sa.select(sa.func.count()).select_from(closing.join(o, landed & made_before)).where(of_closed > 0)


_CLOCKS_APART = 3_600_000_000  # an id's time and its prediction's: a few minutes at most, whoever made it


def _steps_of_closing(experiment_id: str) -> sa.Subquery:
    """From each closing to the next one, and up to which time cohorts were closed by then."""
    c = tables.cohorts.c
    one = (
        sa.select(c.closed_at, sa.func.max(c.end).label("end"))
        .where(c.experiment == experiment_id)
        .group_by(c.closed_at)
        .subquery()
    )
    following = sa.func.lead(one.c.closed_at, 1, 2**62).over(order_by=one.c.closed_at)
    through = sa.func.max(one.c.end).over(order_by=one.c.closed_at)
    return sa.select(one.c.closed_at.label("begin"), following.label("end"), through.label("through")).subquery()


def _late_in_gaps(experiments: list[str], through: int) -> list[sa.Select[tuple[int]]]:
    """Predictions and truths of cohorts without a row in the ledger: they were closed without these customers."""
    p, o, c = tables.predictions, tables.outcomes, tables.cohorts.c
    edges = (
        sa.select(c.start, c.end)
        .where(c.experiment == experiments[0])
        .distinct()
        .union_all(sa.select(sa.literal(0), sa.literal(0)), sa.select(sa.literal(through), sa.literal(through)))
    )
    edge = edges.subquery()
    following = sa.func.lead(edge.c.start).over(order_by=(edge.c.start, edge.c.end))
    gap = sa.select(edge.c.end.label("begin"), following.label("end")).subquery()
    # Sums of counts, for the same reason as above.
    inside = [p.c.at >= gap.c.begin, p.c.at < gap.c.end, *enrolled(p, experiments[:1]), ~has_earlier(experiments)]
    told = sa.select(sa.func.count()).where(o.c.prediction_id == p.c.prediction_id).correlate(p).scalar_subquery()
    counts = (sa.func.count(), sa.func.coalesce(sa.func.sum(told), 0))
    of_gaps = [sa.select(count).select_from(p).where(*inside).correlate(gap).scalar_subquery() for count in counts]
    sums = (sa.cast(sa.func.coalesce(sa.func.sum(count), 0), sa.BigInteger) for count in of_gaps)
    return [sa.select(one).select_from(gap).where(gap.c.begin < gap.c.end) for one in sums]
