"""Counting protected groups for people to see: of the newest closed customers, once after every closing.

The ledger keeps no group that the policy does not name. To count the others when a cohort is closed would cost a fifth
and more of a closing, as every customer's features must be read; so they are read here, outside its transaction, of so
many predictions as cost a few per cent of closing a million customers. Who counts, and by which truth, is what the
ledger went by: first predictions of closed cohorts, with what had landed when each was closed. What was erased since
is not there to be counted.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bentos.artifact import Contract
from bentos.errors import GauntletError
from service.store import Store, tables
from validation.judge.closing import closed_through
from validation.judge.contracts import Contracts
from validation.judge.policy import OnlinePolicy
from validation.judge.protected import Attribute, Customers, GroupTally, attributes_of, tally
from validation.judge.selecting import experiments_of, is_first, known_truth, raw_value
from validation.judge.status import Status

NEWEST = 20_000
"""How many predictions of closed cohorts are looked at, whoever they are of; shares of so many are known to a point."""

Tallies = Mapping[str, Sequence[GroupTally]]
"""Groups by experiment."""

_LOG = logging.getLogger("gauntlet.judge")


class _Moment(NamedTuple):
    """What the counts of an experiment depend on.

    Attributes:
        through: Up to where its cohorts are closed; None before the first closing.
        upkeep: The last time that rows left the store, or a person was erased.
    """

    through: int | None
    upkeep: int


class GroupWatch:
    """The groups of every trial, counted anew where since the last look cohorts were closed or a person was erased.

    Attributes:
        knows_contract: Whether the champion's contract could be read at the last look; None before the first.
    """

    def __init__(self, store: Store, policy: OnlinePolicy, contracts: Contracts) -> None:
        """Nothing is counted yet.

        Args:
            store: Where ledger and rows are.
            policy: Of the verdict.
            contracts: Say what is protected.
        """
        self._store, self._policy, self._contracts = store, policy, contracts
        self.knows_contract: bool | None = None
        self._kept: dict[str, tuple[_Moment, tuple[Attribute, ...], tuple[GroupTally, ...]]] = {}
        self._problems: dict[str, str | None] = {}

    def look(self, status: Status) -> Tallies:
        """The groups by experiment; none where they cannot be counted, which the log says once.

        Args:
            status: Who is on trial.
        """
        trials = [one.experiment for one in (status, *status.further) if one.challenger]
        try:
            attributes = attributes_of(self._contract_of(status.champion), self._policy)
            found = {name: self._of_trial(name, attributes) for name in trials} if attributes else {}
        except GauntletError as e:  # no verdict waits for what is only shown
            self._say("groups_not_counted", str(e))
            found = {}
        else:
            self._say("groups_not_counted", None)
        self._kept = {name: kept for name, kept in self._kept.items() if name in found}
        return found

    def _contract_of(self, champion: str) -> Contract | None:
        """None where it cannot be read: what the policy names is shown even so."""
        contract, problem = None, None
        try:
            contract = self._contracts.of(champion)
        except (GauntletError, OSError) as e:
            problem = str(e)
        self._say("contract_not_read", problem)
        self.knows_contract = contract is not None
        return contract

    def _say(self, event: str, problem: str | None) -> None:
        """Log a problem when it begins, and not at every look."""
        if problem is not None and self._problems.get(event) != problem:
            _LOG.warning(event, extra={"reason": problem})
        self._problems[event] = problem

    def _of_trial(self, experiment_id: str, attributes: tuple[Attribute, ...]) -> tuple[GroupTally, ...]:
        with self._store.reading() as connection:
            moment = _Moment(closed_through(connection, experiment_id), _last_upkeep(self._store, connection))
        kept = self._kept.get(experiment_id)
        if kept is None or kept[:2] != (moment, attributes):
            kept = (moment, attributes, tally_groups(self._store, experiment_id, self._policy, attributes))
            self._kept[experiment_id] = kept
        return kept[2]


def tally_groups(
    store: Store, experiment_id: str, policy: OnlinePolicy, attributes: Sequence[Attribute]
) -> tuple[GroupTally, ...]:
    """Count the groups of the newest closed customers.

    Args:
        store: Where ledger and rows are.
        experiment_id: Whose.
        policy: Length of a cohort, and who is evidence. Cohorts that were closed by other rules do not count.
        attributes: By what customers are grouped.

    Raises:
        Unavailable: The store does not answer.
    """
    with store.reading() as connection:
        through = closed_through(connection, experiment_id)
        if through is None or not attributes:
            return ()
        experiments = experiments_of(store, connection, experiment_id)
        since = connection.execute(_beginning(experiment_id, through)).scalar() or 0
        customers = _seen_at_closing(experiments, policy, attributes, is_postgresql=store.is_postgresql)
        at = tables.predictions.c.at
        within = customers.where(at >= since, at < through).subquery()
        # Asked for a truth in SQL as well, PostgreSQL would look each of them up twice.
        found = connection.execute(sa.select(*within.c, sa.func.count()).group_by(*within.c))
        return tally((_customers_of(row) for row in found if row.truth is not None), attributes)


def _last_upkeep(store: Store, connection: Connection) -> int:
    number = sa.select(sa.func.max(tables.upkeep.c.number))
    return (connection.execute(number).scalar() or 0) if store.has(tables.upkeep) else 0


def _customers_of(row: sa.Row[Any]) -> Customers:
    *raw, champion, challenger, truth, number = row
    return Customers(raw=tuple(raw), champion=champion, challenger=challenger, truth=truth, number=number)


def _beginning(experiment_id: str, through: int) -> sa.Select[Any]:
    """When the oldest of the newest predictions was made; nothing where there are fewer."""
    p = tables.predictions.c
    closed = sa.select(p.at).where(p.experiment == experiment_id, p.at < through)
    return closed.order_by(p.at.desc()).offset(NEWEST - 1).limit(1)


def _seen_at_closing(
    experiments: Sequence[str], policy: OnlinePolicy, attributes: Sequence[Attribute], *, is_postgresql: bool
) -> sa.Select[Any]:
    """First predictions that both models scored, as their cohort's row in the ledger saw them; the truth last."""
    p, c, o = tables.predictions.c, tables.cohorts.c, tables.outcomes.c
    of_cohort = sa.and_(
        c.experiment == p.experiment,
        c.start == p.at // policy.cohort * policy.cohort,
        c.revision == p.revision,
        c.mode == p.mode,
        c.split == p.split,
    )
    raw = [raw_value(one.name, is_postgresql=is_postgresql).label(f"raw_{i}") for i, one in enumerate(attributes)]
    truth = known_truth(c.closed_at, o.landed_at <= c.closed_at).label("truth")
    query = sa.select(*raw, p.champion_positive, p.challenger_positive, truth)
    return query.select_from(tables.predictions.join(tables.cohorts, of_cohort)).where(
        *is_first(experiments),
        c.policy == policy.digest,
        p.landed_at <= c.closed_at,
        p.champion_positive.is_not(None),
        p.challenger_positive.is_not(None),
        *(_untouched(policy) if policy.actions_follow_predictions else ()),
    )


def _untouched(policy: OnlinePolicy) -> list[sa.ColumnElement[bool]]:
    """Where actions follow predictions: customers from whom they were to be withheld, and were."""
    p, c, t = tables.predictions, tables.cohorts, tables.treatments
    acted = sa.exists().where(
        t.c.prediction_id == p.c.prediction_id,
        t.c.taken_at <= p.c.at + policy.maturity_window,
        t.c.landed_at <= c.c.closed_at,
    )
    return [p.c.no_treatment, ~acted]
