"""Closing cohorts: from the rows in the store to the append-only ledger, once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bentos.errors import InvalidPolicy
from service.micros import to_micros
from service.store import Store, tables
from service.store.partitions import id_beginning
from validation.judge.ledger import Cohort, Counts, Pair, closable_through, count_cohorts
from validation.judge.policy import OnlinePolicy

_ROWS_AT_A_TIME = 1000


def close_cohorts(store: Store, experiment_id: str, policy: OnlinePolicy, *, now: datetime) -> list[Cohort]:
    """Put every cohort into the ledger whose deadline has passed, and which every spool has passed too.

    A deadline is the cohort's end and the maturity window. What lands later is late: it changes nothing.

    Args:
        store: Where rows and ledger are.
        experiment_id: Whose cohorts.
        policy: Lengths of cohort and window.
        now: The moment, with a time zone. It must be the real one.

    Returns:
        The cohorts closed by this call.

    Raises:
        InvalidPolicy: Earlier cohorts were closed under other rules.
        Unavailable: The store does not answer.
    """
    moment = to_micros(now)
    with store.writing() as connection:
        store.lock(connection, "ledger")
        shipped_until = _shipped_until(connection, moment)
        since = _closed_through(connection, experiment_id)
        if shipped_until is None:
            return []
        until = closable_through(policy, min(moment, shipped_until))
        if since is not None and until <= since:
            return []
        _check_policy(connection, experiment_id, policy)
        closed = _count(connection, experiment_id, policy, since=since, until=until, moment=moment)
        _write(connection, experiment_id, closed, until=until, moment=moment)
    return closed


def read_ledger(store: Store, experiment_id: str) -> list[Cohort]:
    """The closed cohorts of an experiment, by time and phase.

    Raises:
        Unavailable: The store does not answer.
    """
    table = tables.cohorts
    query = sa.select(table).where(table.c.experiment == experiment_id)
    with store.reading() as connection:
        found = connection.execute(query.order_by(table.c.start, table.c.revision, table.c.mode, table.c.split))
        return [_cohort_of(row) for row in found.mappings()]


def provisional_cohorts(store: Store, experiment_id: str, policy: OnlinePolicy, *, as_of: datetime) -> list[Cohort]:
    """The cohorts beyond the ledger as they would be closed at a later moment, from what is known now. Writes nothing.

    Args:
        store: Where rows and ledger are.
        experiment_id: Whose cohorts.
        policy: Lengths of cohort and window.
        as_of: The moment from which to look, with a time zone.

    Raises:
        Unavailable: The store does not answer.
    """
    moment = to_micros(as_of)
    until = closable_through(policy, moment)
    with store.reading() as connection:
        since = _closed_through(connection, experiment_id)
        if since is not None and until <= since:
            return []
        return _count(connection, experiment_id, policy, since=since, until=until, moment=moment)


def count_late(store: Store, experiment_id: str) -> int:
    """How many first predictions and truths of closed cohorts landed after the closing, and so change nothing.

    The ledger says which few rows to look at, and indexes find them: what landed is not read through at each look.

    Raises:
        Unavailable: The store does not answer.
    """
    with store.reading() as connection:
        closed_through = _closed_through(connection, experiment_id)
        if closed_through is None:
            return 0
        queries = _late_in_gaps(experiment_id, closed_through)
        closings = _Closings(*connection.execute(_closing_times(experiment_id)).one())
        if closings.first is not None:
            queries.append(_late_predictions(experiment_id, closings))
            queries.append(_late_truths(experiment_id, closings, is_postgresql=store.is_postgresql))
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


def _late_predictions(experiment_id: str, closings: _Closings) -> sa.Select[tuple[int]]:
    """First predictions that landed after their cohort's closing."""
    p = tables.predictions
    # What is late was under way longer than any closing took; if that is an hour, an index holds little else. Both
    # ends of the time are named, because SQLite would take another index otherwise.
    long = [tables.is_long_under_way] if closings.least_delay >= tables.LONG_UNDER_WAY else []
    return sa.select(sa.func.count()).where(
        *long,
        p.c.at >= closings.start,
        p.c.at < closings.end,
        p.c.landed_at > _closed_at(experiment_id, closings),
        *_enrolled(p, experiment_id),
        ~_has_earlier(experiment_id),
    )


def _late_truths(experiment_id: str, closings: _Closings, *, is_postgresql: bool) -> sa.Select[tuple[int]]:
    """Truths of first predictions that landed after the cohort's closing.

    Of what landed between two closings only truths of predictions from before can be late; an id says when it was made.
    """
    p, o, closing = tables.predictions, tables.outcomes, _steps_of_closing(experiment_id)
    latest = id_beginning(closing.c.through + _CLOCKS_APART, is_postgresql=is_postgresql)
    # Counting keeps the order in which it is looked at: a join may begin with all predictions.
    of_closed = (
        sa.select(sa.func.count())
        .where(
            p.c.prediction_id == o.c.prediction_id,
            *_enrolled(p, experiment_id),
            o.c.landed_at > _closed_at(experiment_id, closings),
            ~_has_earlier(experiment_id),
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


def _late_in_gaps(experiment_id: str, closed_through: int) -> list[sa.Select[tuple[int]]]:
    """Predictions and truths of cohorts without a row in the ledger: they were closed without these customers."""
    p, o, c = tables.predictions, tables.outcomes, tables.cohorts.c
    edges = (
        sa.select(c.start, c.end)
        .where(c.experiment == experiment_id)
        .distinct()
        .union_all(
            sa.select(sa.literal(0), sa.literal(0)), sa.select(sa.literal(closed_through), sa.literal(closed_through))
        )
    )
    edge = edges.subquery()
    following = sa.func.lead(edge.c.start).over(order_by=(edge.c.start, edge.c.end))
    gap = sa.select(edge.c.end.label("begin"), following.label("end")).subquery()
    # Sums of counts, for the same reason as above.
    inside = [p.c.at >= gap.c.begin, p.c.at < gap.c.end, *_enrolled(p, experiment_id), ~_has_earlier(experiment_id)]
    told = sa.select(sa.func.count()).where(o.c.prediction_id == p.c.prediction_id).correlate(p).scalar_subquery()
    counts = (sa.func.count(), sa.func.coalesce(sa.func.sum(told), 0))
    of_gaps = [sa.select(count).select_from(p).where(*inside).correlate(gap).scalar_subquery() for count in counts]
    sums = (sa.cast(sa.func.coalesce(sa.func.sum(count), 0), sa.BigInteger) for count in of_gaps)
    return [sa.select(one).select_from(gap).where(gap.c.begin < gap.c.end) for one in sums]


def _shipped_until(connection: Connection, moment: int) -> int | None:
    """Up to when every spool has been shipped; None if there is no spool. One given up keeps nobody waiting."""
    spools = tables.spools
    watermark = sa.case((spools.c.lost_at.is_not(None), moment), else_=spools.c.watermark)
    found: int | None = connection.execute(sa.select(sa.func.min(watermark))).scalar()
    return found


def _closed_through(connection: Connection, experiment_id: str) -> int | None:
    closings = tables.closings
    query = sa.select(closings.c.closed_through).where(closings.c.experiment == experiment_id)
    found: int | None = connection.execute(query).scalar()
    return found


def _check_policy(connection: Connection, experiment_id: str, policy: OnlinePolicy) -> None:
    cohorts = tables.cohorts
    query = sa.select(cohorts.c.policy).where(cohorts.c.experiment == experiment_id).limit(1)
    used = connection.execute(query).scalar()
    if used not in (None, policy.digest):
        raise InvalidPolicy(
            f"the cohorts of experiment {experiment_id} were closed under the policy {used}, and this is "
            f"{policy.digest}; judge it by that policy, or start a new experiment"
        )


def _count(
    connection: Connection,
    experiment_id: str,
    policy: OnlinePolicy,
    *,
    since: int | None,
    until: int,
    moment: int,
) -> list[Cohort]:
    query = _first_predictions(experiment_id, policy, since=since, until=until, moment=moment)
    rows = connection.execute(query.execution_options(yield_per=_ROWS_AT_A_TIME))
    pairs: Iterator[Pair] = (Pair(*row) for row in rows)
    return list(count_cohorts(pairs, experiment=experiment_id, policy=policy))


def _first_predictions(
    experiment_id: str, policy: OnlinePolicy, *, since: int | None, until: int, moment: int
) -> sa.Select[Any]:
    """The first prediction of each customer that falls into [since, until), with its truth as seen from a moment."""
    p, o = tables.predictions, tables.outcomes
    truth = (
        sa.select(o.c.positive)
        .where(o.c.prediction_id == p.c.prediction_id, o.c.observed_at <= moment)
        .order_by(o.c.observed_at.desc(), o.c.received_at.desc(), o.c.positive.desc())
        .limit(1)
        .scalar_subquery()
    )
    columns: list[Any] = [p.c[name] for name in Pair._fields if name != "truth"]
    within = [p.c.at < until] if since is None else [p.c.at >= since, p.c.at < until]
    return (
        sa.select(*columns, truth.label("truth"))
        .where(*_enrolled(p, experiment_id), *within, ~_has_earlier(experiment_id))
        .order_by(p.c.at // policy.cohort, p.c.revision, p.c.mode, p.c.split, p.c.prediction_id)
    )


def _has_earlier(experiment_id: str) -> sa.ColumnElement[bool]:
    """Whether the customer of a prediction had been enrolled before."""
    p, earlier = tables.predictions, tables.predictions.alias("earlier")
    return sa.exists().where(
        *_enrolled(earlier, experiment_id),
        earlier.c.customer_id == p.c.customer_id,
        sa.tuple_(earlier.c.at, earlier.c.prediction_id) < sa.tuple_(p.c.at, p.c.prediction_id),
    )


def _enrolled(p: Any, experiment_id: str) -> list[sa.ColumnElement[bool]]:
    """Who takes part: live customers who were scored while a challenger was on trial, and enrolled."""
    return [
        p.c.experiment == experiment_id,
        p.c.enrolment == "enrolled",
        p.c.purpose == "live",
        p.c.customer_id.is_not(None),
        p.c.challenger.is_not(None),
        p.c.mode.in_(("shadow", "split")),
    ]


def _write(connection: Connection, experiment_id: str, closed: list[Cohort], *, until: int, moment: int) -> None:
    if closed:
        connection.execute(tables.cohorts.insert(), [_row_of(cohort, moment) for cohort in closed])
    closings = tables.closings
    values = {"closed_through": until, "closed_at": moment}
    moved = connection.execute(sa.update(closings).where(closings.c.experiment == experiment_id).values(**values))
    if not moved.rowcount:
        connection.execute(closings.insert().values(experiment=experiment_id, **values))


def _row_of(cohort: Cohort, moment: int) -> dict[str, Any]:
    own = {name: getattr(cohort, name) for name in cohort.__struct_fields__ if name != "counts"}
    counts = {name: getattr(cohort.counts, name) for name in Counts.__struct_fields__}
    return {**own, **counts, "closed_at": moment}


def _cohort_of(row: Any) -> Cohort:
    counts = Counts(**{name: row[name] for name in Counts.__struct_fields__})
    own = {name: row[name] for name in Cohort.__struct_fields__ if name != "counts"}
    return Cohort(**own, counts=counts)
