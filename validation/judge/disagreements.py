"""Whose truth still decides: customers on whom the models disagree and of whom nobody has told what came true.

Where both models give the same label the pair is a tie whatever the truth, so asking after them moves nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from bentos.errors import NotFound, shown
from service.micros import from_micros, to_micros
from service.store import Store, tables
from validation.judge.payoffs import prices_of
from validation.judge.policy import OnlinePolicy
from validation.judge.selecting import enrolled, experiments_of, is_first, known_truth

_NAMED = 5
_COLUMNS = ("prediction_id", "customer_id", "at", "champion_positive", "challenger_positive")


class Disagreement(msgspec.Struct, frozen=True, kw_only=True):
    """One customer whose truth decides.

    Attributes:
        prediction_id: By which the truth is told.
        customer_id: Who it is.
        at: When the customer was scored.
        due: Until when the truth must have come, before its cohort closes without it.
        champion_positive: The champion's label.
        challenger_positive: The challenger's.
        if_positive: By how much one customer moves the difference if the truth is positive, in the metric's unit.
        if_negative: The same if it is negative.
    """

    prediction_id: str
    customer_id: str
    at: datetime
    due: datetime
    champion_positive: bool
    challenger_positive: bool
    if_positive: float
    if_negative: float


class Awaited(msgspec.Struct, frozen=True, kw_only=True):
    """Everybody whose truth still decides, and how many others there are.

    Attributes:
        experiment: Whose customers.
        scored: Customers enrolled and scored by both models, with or without truth.
        open: Of those on whom the models disagree, how many truths can still come.
        told: Of those on whom the models disagree, how many truths have come.
        too_late: Of those on whom the models disagree, whose cohort was closed without a truth.
        customers: Who they are, the soonest due first; as many as were asked for.
    """

    experiment: str
    scored: int
    open: int
    told: int
    too_late: int
    customers: tuple[Disagreement, ...]


def find_disagreements(
    store: Store, experiment_id: str, policy: OnlinePolicy, *, now: datetime, limit: int | None = None
) -> Awaited:
    """List the customers whose truth still decides an experiment.

    Args:
        store: Where predictions and truths are.
        experiment_id: Whose customers.
        policy: Maturity window, cohorts and costs; where actions follow predictions, only the customers from whom they
            are withheld count.
        now: The moment, with a time zone.
        limit: How many to name; None for all.

    Raises:
        Unavailable: The store does not answer.
    """
    p, moment = tables.predictions, to_micros(now)
    truth = known_truth(moment)
    with store.reading() as connection:
        closed_through = _closed_through(connection, experiment_id)
        experiments = experiments_of(store, connection, experiment_id)
        scored = connection.execute(sa.select(sa.func.count()).select_from(_firsts(experiments, policy))).scalar_one()
        # The models disagree on few: it costs little to look up whether each of these is its customer's first.
        conditions = [p.c.champion_positive != p.c.challenger_positive, *_compared(p, policy), *is_first(experiments)]
        is_open = p.c.at >= closed_through
        counts = sa.select(
            sa.func.count().filter(truth.is_(None), is_open),
            sa.func.count().filter(truth.is_not(None)),
            sa.func.count().filter(truth.is_(None), ~is_open),
        ).where(*conditions)
        is_awaited, told, too_late = connection.execute(counts).one()
        query = (
            sa.select(*(p.c[name] for name in _COLUMNS))
            .where(*conditions, truth.is_(None), is_open)
            .order_by(p.c.at, p.c.prediction_id)
            .limit(limit)
        )
        customers = tuple(_disagreement(row, policy) for row in connection.execute(query))
    return Awaited(
        experiment=experiment_id, scored=scored, open=is_awaited, told=told, too_late=too_late, customers=customers
    )


def check_known(store: Store, experiment_id: str) -> None:
    """Whether anybody was ever scored in an experiment.

    Raises:
        NotFound: Nobody was; the message names the last experiments that there are.
    """
    p, t = tables.predictions, tables.trials
    with store.reading() as connection:
        if connection.execute(sa.select(p.c.prediction_id).where(p.c.experiment == experiment_id).limit(1)).first():
            return
        known: list[str] = []
        if store.has(t):
            newest = sa.select(t.c.experiment).order_by(t.c.first_seen_at.desc()).limit(_NAMED)
            known = list(connection.execute(newest).scalars())
    there = f"the last ones are {', '.join(known)}" if known else "the judge has seen none"
    raise NotFound(f"nobody was scored in an experiment {shown(experiment_id)}; {there}")


def _firsts(experiments: Sequence[str], policy: OnlinePolicy) -> sa.Subquery:
    """The customers whose first prediction is of the first of these experiments and compares: `is_first` for all.

    One pass in the order of customers, where `is_first` looks each prediction's customer up.
    """
    p = tables.predictions
    place = sa.func.row_number().over(partition_by=p.c.customer_id, order_by=(p.c.at, p.c.prediction_id))
    names = ("experiment", "champion_positive", "challenger_positive", "no_treatment")
    rows = sa.select(*(p.c[name] for name in names), place.label("place")).where(*enrolled(p, experiments)).subquery()
    first = (rows.c.place == 1, rows.c.experiment == experiments[0])
    return sa.select(rows.c.place).where(*first, *_compared(rows, policy)).subquery()


def _compared(p: Any, policy: OnlinePolicy) -> list[sa.ColumnElement[bool]]:
    """Whose pairs are evidence, beside being first; `p` is the table of predictions, or rows of it."""
    both: list[sa.ColumnElement[bool]] = [p.c.champion_positive.is_not(None), p.c.challenger_positive.is_not(None)]
    return [*both, p.c.no_treatment] if policy.actions_follow_predictions else both


def _closed_through(connection: Any, experiment_id: str) -> int:
    closings = tables.closings
    found = connection.execute(sa.select(closings.c.closed_through).where(closings.c.experiment == experiment_id))
    return int(found.scalar() or 0)


def _disagreement(row: Sequence[Any], policy: OnlinePolicy) -> Disagreement:
    prediction_id, customer_id, at, champion, challenger = row
    cohort_end = (at // policy.cohort + 1) * policy.cohort
    prices = prices_of(policy.false_positive_cost)
    positive, negative = (
        (prices.win_positive, prices.loss_negative) if challenger else (prices.loss_positive, prices.win_negative)
    )
    return Disagreement(
        prediction_id=prediction_id,
        customer_id=customer_id,
        at=from_micros(at),
        due=from_micros(cohort_end + policy.maturity_window),
        champion_positive=champion,
        challenger_positive=challenger,
        if_positive=2 * positive - 1,
        if_negative=2 * negative - 1,
    )


def render(awaited: Awaited) -> str:
    """Why these customers, how many of how many, and who, a line each."""
    differ = awaited.open + awaited.told + awaited.too_late
    lines = [
        f"{awaited.open:,} of {awaited.scored:,} customers still decide experiment {awaited.experiment}: the models "
        f"disagree on {differ:,}, {awaited.told:,} truths have come, {awaited.too_late:,} can no longer count.",
        "Where both models say the same, the truth changes nothing: chasing these is enough.",
    ]
    if awaited.customers:
        lines.append("")
        lines.append(f"{'prediction_id':36}  {'customer':20}  {'scored':16}  {'due':16}  flagged by")
    for one in awaited.customers:
        who = "challenger" if one.challenger_positive else "champion"
        lines.append(
            f"{one.prediction_id:36}  {one.customer_id[:20]:20}  {one.at:%Y-%m-%d %H:%M}  {one.due:%Y-%m-%d %H:%M}  "
            f"{who}"
        )
    if len(awaited.customers) < awaited.open:
        lines.append(f"and {awaited.open - len(awaited.customers):,} more; --limit names more of them")
    return "\n".join(lines)
