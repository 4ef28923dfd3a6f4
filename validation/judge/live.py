"""The last requests on which a challenger was asked, as the store knows them, for limits that wait for no outcome."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from service.micros import to_micros
from service.store import Store, tables
from validation.judge.limits import Live
from validation.judge.policy import OnlinePolicy
from validation.judge.trial import OnTrial

MOST_REQUESTS = 20_000
"""However busy the hour is, so many of its requests, the last ones, say enough: a hundredth of them is 200."""


def read_live(store: Store, experiment: OnTrial, policy: OnlinePolicy, *, now: datetime) -> Live | None:
    """Look at the requests of the policy's window, and at none before the present phase.

    Args:
        store: Where they are.
        experiment: One challenger's trial.
        policy: Its limits.
        now: The moment, with a time zone.

    Returns:
        What they say; None where the policy sets no limits or nobody is on trial now.

    Raises:
        Unavailable: The store does not answer.
    """
    if policy.limits is None or experiment.challenger is None or experiment.mode == "off":
        return None
    p = tables.predictions.c
    since = to_micros(now) - int(policy.limits.window_seconds * 1e6)
    columns = (p.champion_us, p.challenger_us, p.champion_positive, p.challenger_positive)
    asked = (
        sa.select(*columns)
        .where(p.experiment == experiment.id, p.at >= since, p.at <= to_micros(now))
        .where(p.revision == experiment.revision, p.purpose == "live", p.challenger.is_not(None))
        .order_by(p.at.desc())
        .limit(MOST_REQUESTS)
    )
    with store.reading() as connection:
        rows = connection.execute(asked).all()
    scored = [row for row in rows if row.challenger_positive is not None and row.champion_positive is not None]
    return Live(
        requests=len(rows),
        failed=len(rows) - len(scored),
        champion_p99_us=_p99([row.champion_us for row in rows if row.champion_us is not None]),
        challenger_p99_us=_p99([row.challenger_us for row in rows if row.challenger_us is not None]),
        champion_positive=sum(row.champion_positive for row in scored),
        challenger_positive=sum(row.challenger_positive for row in scored),
    )


def _p99(micros: Sequence[int]) -> float | None:
    """The smallest time that 99 % of the calls did not exceed."""
    return float(sorted(micros)[math.ceil(0.99 * len(micros)) - 1]) if micros else None
