"""What the store says of a champion: how much traffic, how many truths, how often it was right."""

from __future__ import annotations

from datetime import datetime

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from service.micros import to_micros
from service.store import tables
from validation.judge.policy import OnlinePolicy
from validation.judge.selecting import known_truth

_DAY = 86_400_000_000
_WEEK = 7


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """Live predictions.

    Attributes:
        last_day: In the last 24 hours.
        week_before: In the seven days before those.
        newest: When the last one was made, microseconds since 1970 UTC; None without any.
    """

    last_day: int
    week_before: int
    newest: int | None


class Truths(msgspec.Struct, frozen=True, kw_only=True):
    """Customers whom a champion's prediction concerns and whose outcome is due, each by the first one that does.

    Attributes:
        matured: How many there are.
        told: Of how many the truth is known.
        right: Of those, how many the champion was right about.
        weeks: The same by the week in which they matured, the oldest first: its begin in microseconds, told, right.
    """

    matured: int
    told: int
    right: int
    weeks: tuple[tuple[int, int, int], ...] = ()


def count_traffic(connection: Connection, *, now: datetime) -> Traffic:
    """Count live predictions of the last eight days."""
    p, end = tables.predictions.c, to_micros(now)
    is_recent = p.at >= end - _DAY
    query = sa.select(sa.func.count().filter(is_recent), sa.func.count().filter(~is_recent), sa.func.max(p.at)).where(
        p.purpose == "live", p.at >= end - (1 + _WEEK) * _DAY, p.at < end
    )
    last_day, week_before, newest = connection.execute(query).one()
    if newest is None:
        newest = connection.execute(sa.select(sa.func.max(p.at)).where(p.purpose == "live", p.at < end)).scalar()
    return Traffic(last_day=last_day, week_before=week_before, newest=newest)


def count_truths(connection: Connection, champion: str, policy: OnlinePolicy, *, now: datetime) -> Truths:
    """Count a champion's matured customers, while it was champion.

    Where actions follow predictions only customers from whom they were withheld say how right it is.

    Args:
        connection: A reading transaction of the store.
        champion: Its digest.
        policy: Says how long a truth takes, and whether actions follow predictions.
        now: The moment.
    """
    p, moment = tables.predictions.c, to_micros(now)
    chosen = [
        p.purpose == "live",
        p.customer_id.is_not(None),
        p.champion == champion,
        p.champion_positive.is_not(None),
        p.at < moment - policy.maturity_window,
    ]
    if policy.actions_follow_predictions:
        chosen.append(p.no_treatment)
    nth = sa.func.row_number().over(partition_by=p.customer_id, order_by=(p.at, p.prediction_id))
    first = (
        sa.select(p.at, p.champion_positive, known_truth(moment).label("truth"), nth.label("nth"))
        .where(*chosen)
        .subquery()
        .c
    )
    is_right = first.truth == first.champion_positive
    week = ((first.at + policy.maturity_window) // (_WEEK * _DAY)).label("week")
    query = (
        sa.select(week, sa.func.count(), sa.func.count(first.truth), sa.func.count().filter(is_right))
        .where(first.nth == 1)
        .group_by(week)
        .order_by(week)
    )
    rows = [tuple(map(int, row)) for row in connection.execute(query)]
    return Truths(
        matured=sum(row[1] for row in rows),
        told=sum(row[2] for row in rows),
        right=sum(row[3] for row in rows),
        weeks=tuple((row[0] * _WEEK * _DAY, row[2], row[3]) for row in rows),
    )
