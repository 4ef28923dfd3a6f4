"""A trial's ledger, and what is told of it, without a store."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from service.console.experiment.reading import Told, Trial
from service.console.experiment.standing import Running
from service.store import Store, tables
from validation.judge.course import course_of
from validation.judge.evidence import weigh
from validation.judge.ledger import Cohort, Counts
from validation.judge.policies import keep_policy
from validation.judge.policy import OnlinePolicy
from validation.judge.trial import Recorded
from validation.judge.verdict import judge

DAY = 86_400_000_000
START = datetime(2026, 3, 1, tzinfo=UTC)
CHAMPION, CHALLENGER = "sha256:" + "a" * 64, "sha256:" + "b" * 64
RULES = OnlinePolicy(
    name="toy", metric="accuracy", false_positive_cost=None, claim="non_inferiority", margin=0.02, alpha_promote=0.05,
    alpha_rollback=0.05, alpha_srm=0.001, maturity_window=30 * DAY, cohort=DAY, min_cohorts=1, min_matured=10,
    actions_follow_predictions=False,
)  # fmt: skip
RECORDED = Recorded(
    id="e", champion=CHAMPION, challenger=CHALLENGER, mode="shadow", split=0.0, revision=2, no_treatment=0.0
)
RUNNING = Running(
    id="e", champion=CHAMPION, challenger=CHALLENGER, mode="shadow", split=0.0, revision=2, no_treatment=0.0,
    effective_from=START, said_by="the experiment file",
)  # fmt: skip
TRIAL = Trial(
    experiment="e", lineage="churn", number=1, champion=CHAMPION, challenger=CHALLENGER, began=0, ended=None,
    ending=None, audit=None, running=RUNNING,
)  # fmt: skip


def ledger(days: int, *, rules: OnlinePolicy = RULES, **each: int) -> list[Cohort]:
    """So many cohorts, all alike."""
    named = {"wins_positive": 3, "losses_positive": 2, "ties": 45, "missing_champion_positive": 1} | each
    challenger = named.pop("answered_challenger", 0)
    n = sum(named.values())
    of = Counts(**named, n=n, answered_challenger=challenger, answered_champion=n - challenger)
    return [
        Cohort(
            experiment="e", start=day * DAY, end=(day + 1) * DAY, revision=2, mode="shadow", split=0.0,
            policy=rules.digest, counts=of, rows_digest="d",
        )
        for day in range(days)
    ]  # fmt: skip


def told_of(cohorts: list[Cohort], *, rules: OnlinePolicy = RULES, **changes: Any) -> Told:
    """What is told of them."""
    fields: dict[str, Any] = {
        "trial": TRIAL,
        "policy": rules,
        "verdict": judge(cohorts, rules, RECORDED),
        "evidence": weigh(cohorts, rules),
        "course": course_of(cohorts, rules),
        "cohorts": tuple(cohorts),
        "lineage": None,
        "closed_through": max((cohort.end for cohort in cohorts), default=None),
        "as_of": None,
        "ended_by": None,
        "first_at": 0,
        "now": START,
    }
    return Told(**fields | changes)


def keep(store: Store, cohorts: Sequence[Cohort], *, rules: OnlinePolicy = RULES) -> None:
    """Put cohorts into a store's ledger, with the policy that closed them."""
    with store.writing() as connection:
        for cohort in cohorts:
            own = {name: getattr(cohort, name) for name in cohort.__struct_fields__ if name != "counts"}
            own |= dict.fromkeys(("outside", "arms", "groups"))
            counts = {name: getattr(cohort.counts, name) for name in Counts.__struct_fields__}
            connection.execute(tables.cohorts.insert().values(**own, **counts, closed_at=cohort.end))
        through = max(cohort.end for cohort in cohorts)
        connection.execute(tables.closings.insert().values(experiment="e", closed_through=through, closed_at=through))
        keep_policy(store, connection, rules, moment=0)


def keep_trial(store: Store, *, number: int = 1, experiment: str = "e", **ending: Any) -> None:
    """Put a trial into a store."""
    own = {"lineage": "churn", "number": number, "experiment": experiment, "first_seen_at": number * DAY}
    with store.writing() as connection:
        connection.execute(tables.trials.insert().values(**own, champion=CHAMPION, challenger=CHALLENGER, **ending))
