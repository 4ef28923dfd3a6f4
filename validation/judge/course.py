"""How the evidence grew, cohort after cohort: what a verdict would have rested on after each of them.

The ledger is only added to, so this is what was known then, by the functions that judge now.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from validation.judge.ledger import Cohort
from validation.judge.lineage import Lineage, level
from validation.judge.payoffs import (
    all_payoffs,
    log_e_against,
    log_e_for,
    lower_end,
    matured_payoffs,
    mean_difference,
    prices_of,
    upper_end,
)
from validation.judge.phases import PhaseKey, Step, steps_of
from validation.judge.policy import OnlinePolicy

MOST_INTERVALS = 80
"""An end of an interval is found as a root, which takes twenty times as long as everything else of a look."""


class Ends(msgspec.Struct, frozen=True):
    """The confidence sequence of the difference: each end one-sided, at its own level."""

    lower: float
    upper: float


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """The evidence after one cohort; the names are those of `Evidence`.

    Attributes:
        start: Beginning of the cohort, microseconds since 1970 UTC.
        end: Its end.
        phase: Revision, mode and split of the last phase so far.
        enrolled: Customers enrolled by then.
        matured: Of these, scored by both models and with a truth.
        difference: Observed mean difference; None without matured customers.
        ends: Of its confidence sequence; None at looks between those at which it was computed.
        log_e: For promotion.
        log_e_worst: The same if every missing disagreement were a loss.
        rollback_log_e: For rollback.
        rollback_log_e_best: The same if every missing disagreement were a win.
        srm_log_e: Against the split.
    """

    start: int
    end: int
    phase: PhaseKey
    enrolled: int
    matured: int
    difference: float | None
    ends: Ends | None
    log_e: float
    log_e_worst: float
    rollback_log_e: float
    rollback_log_e_best: float
    srm_log_e: float


def course_of(
    cohorts: Sequence[Cohort],
    policy: OnlinePolicy,
    lineage: Lineage | None = None,
    *,
    most_intervals: int = MOST_INTERVALS,
) -> tuple[Look, ...]:
    """The evidence after each cohort, in their order; the last one is what `weigh` finds.

    Args:
        cohorts: The ledger's rows.
        policy: Metric, claim and error rates.
        lineage: The trials before this one, which set the level.
        most_intervals: At so many looks at most the confidence sequence is computed, evenly spread, the last included.

    Raises:
        ValueError: The counts contradict a split.
    """
    steps = list(steps_of(cohorts))
    every = -(-len(steps) // most_intervals) if steps else 1
    last = len(steps) - 1
    return tuple(_look(step, policy, lineage, has_ends=(last - place) % every == 0) for place, step in enumerate(steps))


def _look(step: Step, policy: OnlinePolicy, lineage: Lineage | None, *, has_ends: bool) -> Look:
    counts, prices, margin = step.counts, prices_of(policy.false_positive_cost), policy.margin
    matured = matured_payoffs(counts, prices)
    worst, best = (all_payoffs(counts, prices, lost=lost) for lost in (counts.missing_disagreements, 0))
    alpha, alpha_harm = level(policy.alpha_promote, lineage), policy.alpha_rollback / policy.harm_rules
    return Look(
        start=step.start,
        end=step.end,
        phase=step.phase,
        enrolled=counts.n,
        matured=counts.matured,
        difference=mean_difference(matured),
        ends=Ends(lower_end(matured, alpha), upper_end(matured, alpha_harm)) if has_ends else None,
        log_e=log_e_for(matured, margin),
        log_e_worst=log_e_for(worst, margin),
        rollback_log_e=log_e_against(matured, margin),
        rollback_log_e_best=log_e_against(best, margin),
        srm_log_e=step.srm_log_e,
    )
