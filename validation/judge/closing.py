"""Closing cohorts: from the rows in the store to the append-only ledger, once."""

from __future__ import annotations

from collections.abc import Set
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bentos.errors import InvalidPolicy, Unavailable
from service.micros import from_micros, to_micros
from service.store import Store, tables
from validation.judge.alike import Alike, rows_alike
from validation.judge.ledger import Arms, Cell, Cohort, Counts, Groups, closable_through, count_cohorts, group_of
from validation.judge.policies import keep_policy
from validation.judge.policy import OnlinePolicy
from validation.judge.selecting import experiments_of, first_predictions, treated_predictions


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
        since = closed_through(connection, experiment_id)
        if shipped_until is None:
            return []
        until = closable_through(policy, min(moment, shipped_until))
        if since is not None and until <= since:
            return []
        _check_policy(connection, experiment_id, policy)
        closed = _count(store, connection, experiment_id, policy, since=since, until=until, moment=moment)
        keep_policy(store, connection, policy, moment=moment)
        _write(store, connection, experiment_id, closed, until=until, moment=moment)
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


def when_closed(store: Store, experiment_id: str) -> dict[tuple[int, int], int]:
    """When each cohort was closed, by its start and revision; microseconds since 1970 UTC.

    Raises:
        Unavailable: The store does not answer.
    """
    c = tables.cohorts.c
    query = sa.select(c.start, c.revision, sa.func.max(c.closed_at)).where(c.experiment == experiment_id)
    with store.reading() as connection:
        found = connection.execute(query.group_by(c.start, c.revision))
        return {(start, revision): closed_at for start, revision, closed_at in found}


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
        since = closed_through(connection, experiment_id)
        if since is not None and until <= since:
            return []
        return _count(store, connection, experiment_id, policy, since=since, until=until, moment=moment)


def next_maturity(store: Store, experiment_id: str, policy: OnlinePolicy) -> datetime | None:
    """When the earliest cohort that is not closed will have matured; None where nobody has been scored since.

    Raises:
        Unavailable: The store does not answer.
    """
    p = tables.predictions.c
    with store.reading() as connection:
        closed = closed_through(connection, experiment_id) or 0
        waits = (p.experiment == experiment_id, p.purpose == "live", p.at >= closed)
        first = connection.execute(sa.select(sa.func.min(p.at)).where(*waits)).scalar()
    if first is None:
        return None
    end = (first // policy.cohort + 1) * policy.cohort
    return from_micros(end + policy.maturity_window)


def _shipped_until(connection: Connection, moment: int) -> int | None:
    """Up to when every spool has been shipped; None if there is no spool. One given up keeps nobody waiting."""
    spools = tables.spools
    watermark = sa.case((spools.c.lost_at.is_not(None), moment), else_=spools.c.watermark)
    found: int | None = connection.execute(sa.select(sa.func.min(watermark))).scalar()
    return found


def closed_through(connection: Connection, experiment_id: str) -> int | None:
    """Up to where an experiment's cohorts are closed; None before the first closing."""
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
    store: Store,
    connection: Connection,
    experiment_id: str,
    policy: OnlinePolicy,
    *,
    since: int | None,
    until: int,
    moment: int,
) -> list[Cohort]:
    experiments = experiments_of(store, connection, experiment_id)
    treated: set[str] = set()
    # Where nobody ever acted, every prediction would be looked up in vain: a second for a million of them.
    if connection.execute(sa.select(tables.treatments.c.prediction_id).limit(1)).first() is not None:
        acted = treated_predictions(experiments, policy, since=since, until=until, moment=moment)
        treated.update(connection.execute(acted).scalars())
    query = first_predictions(
        experiments, policy, since=since, until=until, moment=moment, is_postgresql=store.is_postgresql
    )
    alike = rows_alike(store, connection, query, [*_KINDS, *(str for _ in policy.groups)])
    return count_cohorts(_cells_of(alike, treated), experiment=experiment_id, policy=policy)


def _cells_of(alike: Alike, treated: Set[str]) -> dict[Cell, list[str]]:
    """Customers who are counted alike, from those whose columns are: treatment, and groups as they are written."""
    cells: dict[Cell, list[str]] = {}
    for columns, ids in alike.items():
        groups = tuple(group_of(raw) for raw in columns[_GROUPS:])
        acted = [one for one in ids if one in treated] if treated else []
        others = [one for one in ids if one not in treated] if acted else ids
        for is_treated, members in ((True, acted), (False, others)):
            if members:
                cells.setdefault(Cell._make((*columns[:_GROUPS], is_treated, groups)), []).extend(members)
    return cells


_KINDS = (int, int, str, float, str, bool, bool, bool, bool)
_GROUPS = len(_KINDS)
"""Where the attributes' values begin in a row of `first_predictions`."""


def _write(
    store: Store, connection: Connection, experiment_id: str, closed: list[Cohort], *, until: int, moment: int
) -> None:
    if closed:
        connection.execute(tables.cohorts.insert(), _rows_of(store, closed, moment))
    closings = tables.closings
    values = {"closed_through": until, "closed_at": moment}
    moved = connection.execute(sa.update(closings).where(closings.c.experiment == experiment_id).values(**values))
    if not moved.rowcount:
        connection.execute(closings.insert().values(experiment=experiment_id, **values))


def _rows_of(store: Store, closed: list[Cohort], moment: int) -> list[dict[str, Any]]:
    """The rows of a ledger; one of an earlier schema is written only what it can hold.

    Raises:
        Unavailable: It cannot hold what was counted.
    """
    lacking = [name for name in _SINCE_3 if not store.has(tables.cohorts.c[name])]
    rows = []
    for cohort in closed:
        row = _row_of(cohort, moment)
        for name in lacking:
            if row.pop(name) != tables.cohorts.c[name].info["absent"]:
                raise Unavailable(f"the store {store.name} has schema {store.schema}, which cannot hold {name} yet")
        rows.append(row)
    return rows


_SINCE_3 = ("treated", "spoiled", "outside", "arms", "groups")
_JSON: dict[str, Any] = {"outside": Counts, "arms": Arms, "groups": Groups}


def _row_of(cohort: Cohort, moment: int) -> dict[str, Any]:
    own = {name: getattr(cohort, name) for name in cohort.__struct_fields__ if name != "counts"}
    for name in _JSON:
        own[name] = None if own[name] is None else msgspec.json.encode(own[name]).decode()
    counts = {name: getattr(cohort.counts, name) for name in Counts.__struct_fields__}
    return {**own, **counts, "closed_at": moment}


def _cohort_of(row: Any) -> Cohort:
    counts = Counts(**{name: row[name] for name in Counts.__struct_fields__})
    own = {name: row[name] for name in Cohort.__struct_fields__ if name != "counts"}
    for name, kind in _JSON.items():
        own[name] = None if own[name] is None else msgspec.json.decode(own[name], type=kind)
    return Cohort(**own, counts=counts)
