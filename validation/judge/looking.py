"""Looking at an experiment: what lies in spool, store and experiment file, judged."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import msgspec

from bentos.errors import InvalidSetting
from bentos.folder import Folder
from service.prediction_log.shipper import ship
from service.scoring.places import ExperimentFile, ExperimentPlace
from service.store import Store
from validation.judge.audit import describe, read_changes
from validation.judge.closing import next_maturity, provisional_cohorts, read_ledger
from validation.judge.late import count_late
from validation.judge.live import read_live
from validation.judge.policy import OnlinePolicy, load_policy
from validation.judge.trial import OnTrial
from validation.judge.trials import name_of_lineage, read_lineage
from validation.judge.verdict import Verdict, judge


def look(
    folder: Folder,
    *,
    store: Store,
    policy_path: Path,
    as_of: datetime | None,
    now: datetime,
    challenger: str | None = None,
    lineage: str | None = None,
    place: ExperimentPlace | None = None,
) -> Verdict:
    """Judge the current experiment of an installation.

    What stands in the folder's spool is shipped first, so that every answered request is seen. The ledger is read and
    never written: closing cohorts is the judge's own.

    Args:
        folder: The installation.
        store: Its store.
        policy_path: The online policy.
        as_of: Look from this later moment: cohorts that will have matured by then count provisionally.
        now: The moment, with a time zone.
        challenger: Digest of the one whose trial is looked at, where several are on trial.
        lineage: Registered name of the models; None for the packed champion's.
        place: Where the experiment stands; None: in the installation's file.

    Raises:
        NotFound: There is no experiment file or no policy.
        InvalidExperiment: The experiment file cannot be read.
        InvalidPolicy: The policy cannot be judged by.
        InvalidSetting: `as_of` is in the past.
        Unavailable: The store does not answer.
    """
    if as_of is not None and as_of < now:
        raise InvalidSetting(f"as-of is {as_of.isoformat()}; it must be now or later ({now.isoformat()})")
    place = place or ExperimentFile(folder.experiment)
    policy, experiment = load_policy(policy_path), place.read().focused(challenger)
    ship(folder.spool, store, now=now)
    name = lineage or name_of_lineage(folder, store)
    return judge_experiment(store, experiment, policy, lineage=name, now=now, as_of=as_of)


def judge_experiment(
    store: Store,
    experiment: OnTrial,
    policy: OnlinePolicy,
    *,
    lineage: str,
    now: datetime,
    as_of: datetime | None = None,
) -> Verdict:
    """Judge an experiment by its ledger, and by what will have matured at `as_of` if that is given.

    Args:
        store: Where ledger and trials are.
        experiment: One challenger's trial.
        policy: By which rules.
        lineage: Registered name of the models, for a trial that has no number yet.
        now: The moment, with a time zone; the last requests before it are seen by the policy's limits.
        as_of: Look from this later moment.

    Raises:
        Unavailable: The store does not answer.
    """
    cohorts = read_ledger(store, experiment.id)
    if as_of is not None:
        cohorts += provisional_cohorts(store, experiment.id, policy, as_of=as_of)
    verdict = judge(
        cohorts,
        policy,
        experiment,
        lineage=read_lineage(store, experiment, lineage=lineage),
        live=read_live(store, experiment, policy, now=now),
        late=count_late(store, experiment.id),
        as_of=as_of,
    )
    asked_next = _what_next(store, experiment, policy, verdict, moment=as_of or now)
    return msgspec.structs.replace(verdict, reasons=(*verdict.reasons, *asked_next))


def _what_next(
    store: Store, experiment: OnTrial, policy: OnlinePolicy, verdict: Verdict, *, moment: datetime
) -> Iterator[str]:
    """What somebody asks next who reads that there is nothing to decide yet."""
    if experiment.challenger is None:
        if changes := read_changes(store):
            yield f"last: {describe(changes[-1]).splitlines()[0]}"
    elif verdict.verdict == "KEEP_COLLECTING" and verdict.evidence is not None and not verdict.evidence.cohorts:
        first = next_maturity(store, experiment.id, policy)
        if first is None:
            yield "nobody has been scored in it yet"
        elif first > moment:
            yield f"the next cohort matures at {first:%Y-%m-%d %H:%M} UTC"
        else:
            yield f"a cohort was due at {first:%Y-%m-%d %H:%M} UTC; the judge closes it when all spools are shipped"
