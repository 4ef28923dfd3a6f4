"""Who counts, in SQL: the first prediction of each customer in an experiment, and what is known of it.

The conditions are shared by everything that must speak of the same customers: the closing of cohorts, the count of late
rows, and the list of customers whose truth still decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from service.store import Store, tables
from validation.judge.policy import OnlinePolicy


def enrolled(p: Any, experiments: Sequence[str]) -> list[sa.ColumnElement[bool]]:
    """Who takes part: live customers who were scored while a challenger was on trial, and enrolled.

    Args:
        p: The table of predictions, or an alias of it.
        experiments: Ids.
    """
    return [
        p.c.experiment == experiments[0] if len(experiments) == 1 else p.c.experiment.in_(experiments),
        p.c.enrolment == "enrolled",
        p.c.purpose == "live",
        p.c.customer_id.is_not(None),
        p.c.challenger.is_not(None),
        p.c.mode.in_(("shadow", "split")),
    ]


def has_earlier(experiments: Sequence[str]) -> sa.ColumnElement[bool]:
    """Whether the customer of a prediction had been enrolled before, in any of these experiments.

    Args:
        experiments: As `experiments_of` gives them.
    """
    p, earlier = tables.predictions, tables.predictions.alias("earlier")
    return sa.exists().where(
        *enrolled(earlier, experiments),
        earlier.c.customer_id == p.c.customer_id,
        sa.tuple_(earlier.c.at, earlier.c.prediction_id) < sa.tuple_(p.c.at, p.c.prediction_id),
    )


def experiments_of(store: Store, connection: Connection, experiment_id: str) -> list[str]:
    """An experiment, and every other one that the judge has seen between the same two models.

    A trial that is begun anew under another salt asks the same question; whoever took part in the earlier one is no new
    observation.
    """
    t, own = tables.trials, tables.trials.alias("own")
    if not store.has(t):
        return [experiment_id]
    query = sa.select(t.c.experiment).where(
        own.c.experiment == experiment_id,
        t.c.champion == own.c.champion,
        t.c.challenger == own.c.challenger,
        t.c.experiment != experiment_id,
    )
    return [experiment_id, *sorted(connection.execute(query).scalars())]


def is_first(experiments: Sequence[str]) -> list[sa.ColumnElement[bool]]:
    """Whether a prediction is its customer's first; `experiments` as `experiments_of` gives them."""
    return [*enrolled(tables.predictions, experiments[:1]), ~has_earlier(experiments)]


def known_truth(moment: int | sa.ColumnElement[int], *others: sa.ColumnElement[bool]) -> sa.ScalarSelect[Any]:
    """The truth of a prediction as seen from a moment: the last observed by then, then the last told, then positive.

    Args:
        moment: Microseconds since 1970 UTC, or a column that says them.
        others: What else must hold of a truth.
    """
    p, o = tables.predictions, tables.outcomes
    return (
        sa.select(o.c.positive)
        .where(o.c.prediction_id == p.c.prediction_id, o.c.observed_at <= moment, *others)
        .order_by(o.c.observed_at.desc(), o.c.received_at.desc(), o.c.positive.desc())
        .limit(1)
        .correlate_except(o)
        .scalar_subquery()
    )


def last_told(moment: int, *, first: str, final: str) -> sa.Subquery:
    """`known_truth` of very many predictions at once, to be joined by their ids.

    They are asked in the primary key's order, in which both databases have them already.

    Args:
        moment: From when they are looked at, microseconds since 1970 UTC.
        first: No prediction that is asked about has an id before this one.
        final: Nor one behind this.

    Returns:
        `prediction_id` and `positive` of each prediction of which a truth is known then.
    """
    o = tables.outcomes.c
    order = (o.observed_at, o.received_at, o.positive)
    later = sa.func.lead(o.observed_at).over(partition_by=o.prediction_id, order_by=order).label("later")
    known = (o.observed_at <= moment, o.prediction_id >= first, o.prediction_id <= final)
    told = sa.select(o.prediction_id, o.positive, later).where(*known).subquery()
    return sa.select(told.c.prediction_id, told.c.positive).where(told.c.later.is_(None)).subquery()


def first_predictions(
    experiments: Sequence[str],
    policy: OnlinePolicy,
    *,
    since: int | None,
    until: int,
    moment: int,
    is_postgresql: bool,
) -> sa.Select[Any]:
    """The first prediction of each customer that falls into [since, until): the columns of `Cell`, and its id.

    Whether somebody was treated is not among them: `treated_predictions` says so of the few of whom it is true.

    Args:
        experiments: As `experiments_of` gives them.
        policy: Length of a cohort, and the attributes by which customers are grouped.
        since: Microseconds since 1970 UTC; None for the beginning.
        until: Microseconds since 1970 UTC.
        moment: From when the truths are looked at.
        is_postgresql: Whose SQL it is.
    """
    p = tables.predictions
    start = (p.c.at // policy.cohort * policy.cohort).label("start")
    named = [p.c[name] for name in ("revision", "mode", "split", "variant", "champion_positive", "challenger_positive")]
    groups = [raw_value(rule.attribute, is_postgresql=is_postgresql) for rule in policy.groups]
    return sa.select(
        start, *named, known_truth(moment).label("truth"), p.c.no_treatment, *groups, p.c.prediction_id
    ).where(*_within(since, until), *is_first(experiments))


def treated_predictions(
    experiments: Sequence[str], policy: OnlinePolicy, *, since: int | None, until: int, moment: int
) -> sa.Select[Any]:
    """The ids of enrolled predictions in [since, until) because of which somebody acted within the maturity window.

    What was done later can have changed no outcome that counts, so that closing late is closing in time.
    """
    p, t = tables.predictions, tables.treatments
    return (
        sa.select(p.c.prediction_id)
        .distinct()
        .select_from(t.join(p, t.c.prediction_id == p.c.prediction_id))
        .where(
            *_within(since, until),
            *enrolled(p, experiments[:1]),
            t.c.taken_at <= moment,
            t.c.taken_at <= p.c.at + policy.maturity_window,
        )
    )


def _within(since: int | None, until: int) -> list[sa.ColumnElement[bool]]:
    at = tables.predictions.c.at
    return [at < until] if since is None else [at >= since, at < until]


def raw_value(attribute: str, *, is_postgresql: bool) -> sa.ColumnElement[Any]:
    """A feature of the request as JSON text; NULL where it is not there.

    Args:
        attribute: The feature's name, without quote or backslash.
        is_postgresql: Whose SQL it is.
    """
    features = tables.predictions.c.features
    if is_postgresql:
        value = sa.cast(features, sa.JSON).op("->", return_type=sa.JSON())(sa.literal(attribute, sa.String))
        return sa.cast(value, sa.Text)
    return features.op("->", return_type=sa.Text())(sa.literal(f'$."{attribute}"', sa.String))
