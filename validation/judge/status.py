"""The judge's memory of verdicts, and what it says of the current experiment."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from service.micros import to_micros
from service.prediction_log.records import Mode
from service.scoring.experiment import Experiment
from service.store import Store, tables
from validation.judge.closing import closed_through
from validation.judge.ledger import closable_through
from validation.judge.policies import keep_policy
from validation.judge.policy import OnlinePolicy
from validation.judge.verdict import Verdict


class Logged(msgspec.Struct, frozen=True, kw_only=True):
    """What the prediction log holds of an experiment, matured or not.

    Attributes:
        predictions: Every prediction, whatever its purpose.
        answered_champion: Live ones that the champion answered.
        answered_challenger: Live ones that the challenger answered.
        outcomes: Predictions for which a truth was told.
    """

    predictions: int
    answered_champion: int
    answered_challenger: int
    outcomes: int


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to `GET /v1/experiment`.

    Attributes:
        experiment: The experiment's id.
        revision: Of the experiment file.
        effective_from: From when that holds.
        mode: `off`, `shadow` or `split`.
        split: The challenger's share.
        champion: Digest.
        challenger: Digest, if somebody is on trial.
        logged: What the store holds of it.
        verdict: What the evidence allows.
        looked_at: When this was found out.
        cohort_lag_seconds: By how much the closing of cohorts is behind: 0 where every one that is due is closed.
        waiting: Live predictions whose cohort is not closed.
        further: The same of every other challenger that is on trial.
    """

    experiment: str
    revision: int
    effective_from: datetime
    mode: Mode
    split: float
    champion: str
    challenger: str | None
    logged: Logged
    verdict: Verdict
    looked_at: datetime
    cohort_lag_seconds: float = 0.0
    waiting: int = 0
    further: tuple[Status, ...] = ()


def describe_status(
    store: Store, experiment: Experiment, verdict: Verdict, policy: OnlinePolicy, *, now: datetime
) -> Status:
    """Put together what is said of an experiment.

    Raises:
        Unavailable: The store does not answer.
    """
    return Status(
        experiment=experiment.id,
        revision=experiment.revision,
        effective_from=experiment.effective_from,
        mode=experiment.mode,
        split=experiment.split,
        champion=experiment.champion,
        challenger=experiment.challenger,
        logged=count_logged(store, experiment.id),
        verdict=verdict,
        looked_at=now,
        cohort_lag_seconds=_lag(store, experiment.id, policy, to_micros(now)) / 1e6,
        waiting=_count_waiting(store, experiment.id),
    )


def _lag(store: Store, experiment_id: str, policy: OnlinePolicy, now: int) -> int:
    """From where cohorts are closed, but not before the first one, to the last boundary that is due; microseconds."""
    p = tables.predictions.c
    with store.reading() as connection:
        closed = closed_through(connection, experiment_id) or 0
        first = connection.execute(sa.select(sa.func.min(p.at)).where(p.experiment == experiment_id)).scalar()
    if first is None:
        return 0
    begin = max(closed, int(first) // policy.cohort * policy.cohort)
    return max(0, closable_through(policy, now) - begin)


def _count_waiting(store: Store, experiment_id: str) -> int:
    p = tables.predictions.c
    with store.reading() as connection:
        closed = closed_through(connection, experiment_id) or 0
        waits = (p.experiment == experiment_id, p.purpose == "live", p.at >= closed)
        found: int = connection.execute(sa.select(sa.func.count()).where(*waits)).scalar_one()
    return found


def count_logged(store: Store, experiment_id: str) -> Logged:
    """Count the rows of an experiment.

    Raises:
        Unavailable: The store does not answer.
    """
    p, o = tables.predictions, tables.outcomes
    is_live = p.c.purpose == "live"
    counts = sa.select(
        sa.func.count(),
        *(sa.func.count().filter(is_live, p.c.variant == variant) for variant in ("champion", "challenger")),
    ).where(p.c.experiment == experiment_id)
    told = (
        sa.select(sa.func.count(o.c.prediction_id.distinct()))
        .select_from(o.join(p, o.c.prediction_id == p.c.prediction_id))
        .where(p.c.experiment == experiment_id)
    )
    with store.reading() as connection:
        predictions, champion, challenger = connection.execute(counts).one()
        outcomes = connection.execute(told).scalar_one()
    return Logged(
        predictions=predictions, answered_champion=champion, answered_challenger=challenger, outcomes=outcomes
    )


def keep_verdict(store: Store, verdict: Verdict, policy: OnlinePolicy, *, now: datetime) -> bool:
    """Store a verdict, with the rules it was reached by, if it differs from the last one of its experiment.

    What the last requests say changes at every look; it is stored with a verdict and is no reason to store one.

    Returns:
        Whether it was stored.

    Raises:
        Unavailable: The store does not answer.
    """
    table = tables.verdicts
    last = sa.select(table.c.content).where(table.c.experiment == verdict.experiment)
    with store.writing() as connection:
        store.lock(connection, "verdicts")
        before = connection.execute(last.order_by(table.c.number.desc()).limit(1)).scalar()
        if before is not None and _lasting(msgspec.json.decode(before, type=Verdict)) == _lasting(verdict):
            return False
        keep_policy(store, connection, policy, moment=to_micros(now))
        content = msgspec.json.encode(verdict).decode()
        values: dict[str, Any] = {"experiment": verdict.experiment, "at": to_micros(now), "verdict": verdict.verdict}
        connection.execute(table.insert().values(**values, content=content))
    return True


def _lasting(verdict: Verdict) -> Verdict:
    """A verdict without what changes at every look."""
    return verdict if verdict.live is None else msgspec.structs.replace(verdict, live=None, reasons=())


def read_verdicts(store: Store, experiment_id: str) -> list[tuple[int, Verdict]]:
    """The stored verdicts of an experiment with the microsecond of each, the oldest first.

    Raises:
        Unavailable: The store does not answer.
    """
    table = tables.verdicts
    query = sa.select(table.c.at, table.c.content).where(table.c.experiment == experiment_id).order_by(table.c.number)
    with store.reading() as connection:
        return [(at, msgspec.json.decode(content, type=Verdict)) for at, content in connection.execute(query)]
