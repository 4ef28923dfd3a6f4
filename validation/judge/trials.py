"""Trials in the store: each takes its number in the lineage when the judge first sees it, whatever becomes of it."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bentos.errors import NotFound
from bentos.folder import Folder
from bentos.roles import ROLES, read_roles
from service.micros import to_micros
from service.scoring.experiment import Experiment
from service.store import Store, tables
from validation.judge.lineage import Ended, Lineage, after
from validation.judge.trial import OnTrial

Ending = Literal["promoted", "rolled_back", "abandoned"]

UNNAMED = "model"
"""The lineage of an installation that neither packed a model nor had one on trial."""

_LOG = logging.getLogger("gauntlet.judge")


def name_of_lineage(folder: Folder, store: Store) -> str:
    """The registered name of what an installation serves: its packed champion's.

    Who runs without the Bento, as on a cluster, goes by the store: the model whose roles were changed last, which for a
    new installation is the first champion, or else the lineage of the last trial.

    Raises:
        Unavailable: The store does not answer.
    """
    try:
        return read_roles(folder.bento / "src" / ROLES).champion.name
    except NotFound:
        pass
    a, t = tables.audit.c, tables.trials.c
    changed = sa.select(a.subject).where(a.action != "spool_lost").order_by(a.number.desc()).limit(1)
    tried = sa.select(t.lineage).order_by(t.first_seen_at.desc(), t.number.desc()).limit(1)
    for table, newest in ((tables.audit, changed), (tables.trials, tried)):
        if store.has(table):
            with store.reading() as connection:
                found = connection.execute(newest).scalar()
            if found:
                return str(found)
    return UNNAMED


def register_trials(store: Store, experiment: Experiment, *, lineage: str, now: datetime) -> None:
    """Give every trial of the experiment file that has none its number, and say which others were abandoned.

    Args:
        store: Where trials are; one of an earlier schema knows none.
        experiment: The whole file, with all its challengers. In mode `off` nobody is put on trial; one whose cohorts
            were closed was on trial, though.
        lineage: The registered model's name.
        now: The moment, with a time zone.

    Raises:
        Unavailable: The store does not answer.
    """
    if not store.has(tables.trials):
        return
    with store.reading() as connection:
        if not any(_changes(connection, experiment, _lineage_of(connection, experiment, lineage))):
            return
    with store.writing() as connection:
        store.lock(connection, "trials")
        lineage = _lineage_of(connection, experiment, lineage)
        new, abandoned, again = _changes(connection, experiment, lineage)
        for trial in new:
            own = _own(trial, lineage, _next_number(connection, lineage), to_micros(now))
            connection.execute(tables.trials.insert().values(**own))
            _LOG.info("trial_begun", extra={"experiment": trial.id, "lineage": lineage, "number": own["number"]})
        for ids, ending, moment in ((abandoned, "abandoned", to_micros(now)), (again, None, None)):
            of_them = sa.update(tables.trials).where(tables.trials.c.experiment.in_(ids))
            connection.execute(of_them.values(ending=ending, ended_at=moment))


def read_lineage(store: Store, experiment: OnTrial, *, lineage: str) -> Lineage | None:
    """What the trials before an experiment leave it.

    An experiment that the judge has not seen yet is looked at as if it were the next one.

    Args:
        store: Where trials are.
        experiment: One challenger's trial.
        lineage: The registered model's name, for an experiment that the judge has not seen.

    Returns:
        The lineage; None where nobody is on trial, or the store is of an earlier schema.

    Raises:
        Unavailable: The store does not answer.
    """
    if experiment.challenger is None or not store.has(tables.trials):
        return None
    t = tables.trials.c
    with store.reading() as connection:
        own = connection.execute(sa.select(t.lineage, t.number).where(t.experiment == experiment.id)).one_or_none()
        name = own.lineage if own else _lineage_of(connection, experiment, lineage)
        rows = connection.execute(sa.select(tables.trials).where(t.lineage == name).order_by(t.number)).all()
    promoted = sorted((row for row in rows if row.ending == "promoted"), key=lambda row: row.audit or 0)
    ended = [
        Ended(challenger=r.challenger, margin_spent=r.margin_spent or 0.0, is_anchor=bool(r.anchor)) for r in promoted
    ]
    anchor, spent = after(ended, rows[0].champion if rows else experiment.champion)
    number = own.number if own else (rows[-1].number + 1 if rows else 1)
    before = sum(row.number < number for row in promoted)
    return Lineage(name=name, number=number, promotions=before, anchor=anchor, spent=spent)


def close_trial(
    store: Store,
    connection: Connection,
    experiment: Experiment,
    *,
    lineage: str,
    ending: Ending,
    audit: int,
    at: int,
    margin_spent: float | None = None,
    anchor: str | None = None,
) -> None:
    """Write how a trial ended, in the transaction of its audit row. One that the judge never saw takes its number now.

    Args:
        store: The store that the transaction belongs to.
        connection: In a writing transaction.
        experiment: The challenger's trial.
        lineage: The registered model's name.
        ending: How it ended.
        audit: Number of the audit row.
        at: When, microseconds since 1970 UTC.
        margin_spent: What a promotion spent.
        anchor: Digest of the challenger, if it takes the anchor's place.
    """
    if not store.has(tables.trials):
        return
    store.lock(connection, "trials")
    t = tables.trials
    values: dict[str, Any] = {"ending": ending, "ended_at": at, "audit": audit}
    values |= {"margin_spent": margin_spent, "anchor": anchor}
    moved = connection.execute(sa.update(t).where(t.c.experiment == experiment.id).values(**values))
    if not moved.rowcount:
        lineage = _lineage_of(connection, experiment, lineage)
        own = _own(experiment, lineage, _next_number(connection, lineage), at)
        connection.execute(t.insert().values(**own, **values))


def reopen_trial(store: Store, connection: Connection, *, audit: int) -> None:
    """Take an ending back whose change of roles never reached the experiment file."""
    if store.has(tables.trials):
        none = dict.fromkeys(("ending", "ended_at", "audit", "margin_spent", "anchor"))
        connection.execute(sa.update(tables.trials).where(tables.trials.c.audit == audit).values(**none))


def _lineage_of(connection: Connection, experiment: OnTrial, name: str) -> str:
    """The lineage in which the champion stood before; a champion that no trial has seen begins or joins the named one.

    So nothing is forgotten where one process knows the registered name, and another, without the Bento, does not.
    """
    t = tables.trials.c
    stood = (t.champion == experiment.champion) | (t.challenger == experiment.champion)
    newest = sa.select(t.lineage).where(stood).order_by(t.first_seen_at.desc(), t.number.desc()).limit(1)
    return connection.execute(newest).scalar() or name


def _own(trial: Experiment, lineage: str, number: int, first_seen_at: int) -> dict[str, Any]:
    return {
        "lineage": lineage,
        "number": number,
        "experiment": trial.id,
        "champion": trial.champion,
        "challenger": trial.challenger,
        "first_seen_at": first_seen_at,
    }


def _changes(
    connection: Connection, experiment: Experiment, lineage: str
) -> tuple[list[Experiment], list[str], list[str]]:
    """Trials of the file without a number; those that nobody ended and the file names no more; those taken up again."""
    t = tables.trials.c
    named = {trial.id: trial for trial in experiment.trials if trial.challenger is not None}
    query = sa.select(t.experiment, t.ending).where(
        t.experiment.in_(named) | ((t.lineage == lineage) & t.ending.is_(None))
    )
    known = {row.experiment: row.ending for row in connection.execute(query)}
    new = [trial for id_, trial in named.items() if id_ not in known and _was_on_trial(connection, trial)]
    abandoned = sorted(set(known) - set(named))
    again = [id_ for id_, trial in named.items() if known.get(id_) == "abandoned" and trial.mode != "off"]
    return new, abandoned, again


def _was_on_trial(connection: Connection, trial: Experiment) -> bool:
    if trial.mode != "off":
        return True
    closed = sa.select(tables.cohorts.c.experiment).where(tables.cohorts.c.experiment == trial.id).limit(1)
    return connection.execute(closed).scalar() is not None


def _next_number(connection: Connection, lineage: str) -> int:
    t = tables.trials.c
    highest: int | None = connection.execute(sa.select(sa.func.max(t.number)).where(t.lineage == lineage)).scalar()
    return (highest or 0) + 1
