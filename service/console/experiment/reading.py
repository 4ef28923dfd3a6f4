"""Trials as the store tells them: the ledger, replayed by the judge's own functions, verdicts, and the audit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import sqlalchemy as sa

from bentos.errors import Refused
from service.console.experiment.standing import Running
from service.micros import from_micros
from service.store import Store, tables
from validation.judge.audit import Change, read_changes
from validation.judge.closing import closed_through, provisional_cohorts, read_ledger
from validation.judge.course import Look, course_of
from validation.judge.evidence import Evidence, weigh
from validation.judge.late import count_late
from validation.judge.ledger import Cohort
from validation.judge.lineage import Lineage
from validation.judge.looking import judge_experiment
from validation.judge.policies import read_policies
from validation.judge.policy import OnlinePolicy, load_policy
from validation.judge.status import read_verdicts
from validation.judge.trials import UNNAMED
from validation.judge.verdict import Verdict


@dataclass(frozen=True)
class Trial:
    """One trial, running or ended.

    Attributes:
        experiment: Its id.
        lineage: Registered name of its models; None before the judge has seen it.
        number: In the lineage; None likewise.
        champion: Digest.
        challenger: Digest.
        began: When the judge first saw it, microseconds since 1970 UTC; None likewise.
        ended: When it ended; None while nobody has ended it.
        ending: `promoted`, `rolled_back` or `abandoned`.
        audit: Number of the audit row that ended it.
        running: What holds of it now, where it is the one of the experiment file.
    """

    experiment: str
    lineage: str | None
    number: int | None
    champion: str
    challenger: str
    began: int | None
    ended: int | None
    ending: str | None
    audit: int | None
    running: Running | None

    @property
    def is_on(self) -> bool:
        """Whether it enrols customers now."""
        return self.running is not None and self.running.is_on


@dataclass(frozen=True)
class Told:
    """Everything that the store tells of one trial.

    Attributes:
        trial: Which.
        policy: By which rules it is judged.
        verdict: What the evidence allows now; of a trial that is over, what it ended on; None where none was stored.
        evidence: The ledger's, weighed now.
        course: How it grew.
        cohorts: The ledger's rows, with provisional ones if `as_of` is given.
        lineage: The trials before it.
        closed_through: Up to where cohorts are closed, microseconds since 1970 UTC; None before the first.
        as_of: The later moment from which open cohorts count; None for closed cohorts alone.
        ended_by: The change of roles that ended it.
        first_at: When the first customer was scored; None where nobody was.
        now: When this was read.
    """

    trial: Trial
    policy: OnlinePolicy
    verdict: Verdict | None
    evidence: Evidence
    course: tuple[Look, ...]
    cohorts: tuple[Cohort, ...]
    lineage: Lineage | None
    closed_through: int | None
    as_of: datetime | None
    ended_by: Change | None
    first_at: int | None
    now: datetime

    @property
    def first_closes(self) -> datetime | None:
        """When its first cohort closes or closed."""
        if self.first_at is None:
            return None
        end = (self.first_at // self.policy.cohort + 1) * self.policy.cohort
        return from_micros(end + self.policy.maturity_window)


def read_trials(store: Store, running: Sequence[Running]) -> tuple[Trial, ...]:
    """Every trial that the judge has seen, and those of the experiment file; the running ones and the newest first.

    Raises:
        Unavailable: The store does not answer.
    """
    by_id = {one.id: one for one in running if one.challenger is not None}
    rows: Sequence[sa.Row[tuple[object, ...]]] = []
    if store.has(tables.trials):
        with store.reading() as connection:
            rows = connection.execute(sa.select(tables.trials)).all()
    trials = [_trial_of(row, by_id.pop(row.experiment, None)) for row in rows]
    trials += [_unseen(one) for one in by_id.values() if one.is_on]
    return tuple(sorted(trials, key=lambda trial: (trial.is_on, trial.began or 2**63), reverse=True))


def _trial_of(row: sa.Row[tuple[object, ...]], running: Running | None) -> Trial:
    return Trial(
        experiment=row.experiment,
        lineage=row.lineage,
        number=row.number,
        champion=row.champion,
        challenger=row.challenger,
        began=row.first_seen_at,
        ended=row.ended_at,
        ending=row.ending,
        audit=row.audit,
        running=running,
    )


def _unseen(running: Running) -> Trial:
    """A trial that no judge has numbered yet."""
    return Trial(
        experiment=running.id,
        lineage=None,
        number=None,
        champion=running.champion,
        challenger=running.challenger or "",
        began=None,
        ended=None,
        ending=None,
        audit=None,
        running=running,
    )


def read_told(
    store: Store, trial: Trial, *, policy_file: Path, with_open: bool, now: datetime, changes: Sequence[Change] = ()
) -> Told:
    """Read a trial, and judge it anew by its ledger.

    Args:
        store: Where everything is.
        trial: Which.
        policy_file: The rules where the store has kept none of this trial's.
        with_open: Whether cohorts that are still open count too, as if every truth that is told were final.
        now: The moment, with a time zone.
        changes: The audit's changes of roles.

    Raises:
        NotFound: There is no policy.
        Refused: The ledger contradicts itself, or its policy was not kept.
        Unavailable: The store does not answer.
    """
    stored = [verdict for _, verdict in read_verdicts(store, trial.experiment)]
    ended_by = next((change for change in changes if change.number == trial.audit), None)
    cohorts = read_ledger(store, trial.experiment)
    policy = _policy_of(store, stored, cohorts, policy_file)
    last = ended_by.verdict if ended_by and ended_by.verdict else stored[-1] if stored else None
    as_of = _later_moment(last if trial.ended else None, policy, now) if with_open else None
    if as_of is not None:
        cohorts += provisional_cohorts(store, trial.experiment, policy, as_of=as_of)
    lineage = last.lineage if last else None
    verdict = last
    if trial.running is not None and not trial.ended:
        name = trial.lineage or UNNAMED
        verdict = judge_experiment(store, trial.running, policy, lineage=name, now=now, as_of=as_of)
        lineage = verdict.lineage
    try:
        course = course_of(cohorts, policy, lineage)
        evidence = verdict.evidence if verdict and verdict is not last and verdict.evidence else None
        late = count_late(store, trial.experiment)
        evidence = evidence or weigh(cohorts, policy, lineage=lineage, late=late)
    except (ValueError, ArithmeticError) as e:
        raise Refused(f"the evidence of experiment {trial.experiment} cannot be computed: {e}") from e
    first_at, through = _ends_of(store, trial.experiment)
    return Told(
        trial=trial,
        policy=policy,
        verdict=verdict,
        evidence=evidence,
        course=course,
        cohorts=tuple(cohorts),
        lineage=lineage,
        closed_through=through,
        as_of=as_of,
        ended_by=ended_by,
        first_at=first_at,
        now=now,
    )


def read_mark(store: Store) -> tuple[int | None, ...]:
    """Something that changes when there is a new cohort, verdict, trial or change of roles; and cheap to ask.

    Raises:
        Unavailable: The store does not answer.
    """
    highest = [tables.closings.c.closed_at, tables.verdicts.c.number, tables.audit.c.number]
    if store.has(tables.trials):
        highest.append(tables.trials.c.first_seen_at)
    with store.reading() as connection:
        return tuple(connection.execute(sa.select(sa.func.max(column))).scalar() for column in highest)


def read_lineage_changes(store: Store) -> tuple[Change, ...]:
    """Every change of roles, the oldest first.

    Raises:
        Unavailable: The store does not answer.
    """
    return tuple(read_changes(store))


def _policy_of(store: Store, stored: Sequence[Verdict], cohorts: Sequence[Cohort], policy_file: Path) -> OnlinePolicy:
    """The rules of the last verdict, else those that closed the cohorts, else those that this folder judges by."""
    digest = stored[-1].policy_digest if stored else cohorts[0].policy if cohorts else None
    if digest is None:
        return load_policy(policy_file)
    kept = read_policies(store).get(digest)
    if kept is None:
        named = load_policy(policy_file)
        if named.digest != digest:
            raise Refused(f"the policy {digest} that this trial is judged by was not kept in the store")
        return named
    return kept


def _later_moment(last: Verdict | None, policy: OnlinePolicy, now: datetime) -> datetime:
    """From when everybody who was scored by now has matured; of an ended trial, from when it was looked at then."""
    if last is not None and last.as_of is not None:
        return last.as_of
    return now + timedelta(microseconds=policy.maturity_window + policy.cohort)


def _ends_of(store: Store, experiment: str) -> tuple[int | None, int | None]:
    p = tables.predictions.c
    with store.reading() as connection:
        first = connection.execute(sa.select(sa.func.min(p.at)).where(p.experiment == experiment)).scalar()
        return first, closed_through(connection, experiment)
