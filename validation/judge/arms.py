"""Outcomes by the variant that answered: the only evidence where an action has changed everybody's outcome (F4).

Customers are compared by whose answer they got, whatever was done with it (intention to treat), within each phase: a
split that grew while outcomes changed would compare the champion's early customers with the challenger's late ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import msgspec

from validation.judge.ledger import Arm, Arms, Cohort
from validation.judge.lineage import Lineage, level
from validation.judge.policy import ArmRule, OnlinePolicy
from validation.statistics import (
    Estimate,
    asymptotic_sequence,
    difference,
    mixed_srm_log_e,
    share_estimate,
    stratified,
)

MIN_TOLD, MIN_POSITIVE = 100, 10
"""Truths, and positive ones, that each arm needs: the sequence is asymptotic."""


class ArmsEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """What outcomes by arm say.

    Attributes:
        champion: Customers whom the champion answered in a split, outside the no-treatment share.
        challenger: Those whom the challenger answered.
        cohorts: Cohorts with a truth of either.
        better: Whether fewer or more positive outcomes are better.
        margin: By how much the challenger's share may be worse.
        improvement: The challenger's share of positive outcomes minus the champion's, above 0 where it is better; by
            phases, weighted by customers. None where a phase with two truths an arm is missing.
        lower: Lower end of its confidence sequence, one-sided at the level of promotion.
        upper: Upper end, one-sided at this rule's part of alpha_rollback.
        coverage_log_e: Against truths being known of both arms' customers alike.
        coverage_threshold: From which on the arms cannot be compared.
        is_enough: Whether each arm has 100 truths and 10 positive ones.
    """

    champion: Arm
    challenger: Arm
    cohorts: int
    better: str
    margin: float
    improvement: float | None
    lower: float
    upper: float
    coverage_log_e: float
    coverage_threshold: float
    is_enough: bool

    @property
    def can_tell(self) -> bool:
        """Whether anything may be concluded."""
        return self.is_enough and self.improvement is not None and self.coverage_log_e < self.coverage_threshold

    @property
    def is_shown(self) -> bool:
        """Whether the outcomes of the challenger's customers are no worse than by the margin."""
        return self.can_tell and self.lower > -self.margin

    @property
    def is_harmed(self) -> bool:
        """Whether they are worse by more than the margin."""
        return self.can_tell and self.upper < -self.margin


def weigh_arms(cohorts: Sequence[Cohort], policy: OnlinePolicy, lineage: Lineage | None = None) -> ArmsEvidence | None:
    """The evidence of outcomes by arm; None where the policy does not ask for it.

    Raises:
        ValueError: An arm has more truths than customers, or a negative count.
    """
    rule = policy.outcome_by_arm
    if rule is None:
        return None
    by_phase = _by_phase(cohorts)
    both = sum((arms for _, arms in by_phase), Arms())
    estimates = [_estimate(arms, rule) for _, arms in by_phase if min(arms.champion.told, arms.challenger.told) >= 2]
    found = stratified(estimates) if estimates else None
    lower, upper = _ends(found, rule, level(rule.alpha, lineage), policy.alpha_rollback / policy.harm_rules)
    each = (both.champion, both.challenger)
    return ArmsEvidence(
        champion=both.champion,
        challenger=both.challenger,
        cohorts=len({cohort.start for cohort in cohorts if cohort.arms is not None and _told(cohort.arms)}),
        better=rule.better,
        margin=rule.margin,
        improvement=None if found is None else found.value,
        lower=lower,
        upper=upper,
        coverage_log_e=math.fsum(_coverage_log_e(split, arms) for split, arms in by_phase),
        coverage_threshold=-math.log(policy.alpha_srm),
        is_enough=all(arm.told >= MIN_TOLD and arm.positive >= MIN_POSITIVE for arm in each),
    )


def _by_phase(cohorts: Iterable[Cohort]) -> list[tuple[float, Arms]]:
    """Split and sums of each phase, in their order."""
    sums: dict[tuple[int, str, float], Arms] = {}
    for cohort in cohorts:
        if cohort.arms is not None and cohort.mode == "split":
            _check(cohort.arms, cohort.start)
            key = (cohort.revision, cohort.mode, cohort.split)
            sums[key] = sums.get(key, Arms()) + cohort.arms
    return [(key[2], sums[key]) for key in sorted(sums)]


def _check(arms: Arms, start: int) -> None:
    for arm in (arms.champion, arms.challenger):
        if not 0 <= arm.positive <= arm.told <= arm.customers:
            raise ValueError(f"the arms of the cohort from {start} do not add up")


def _told(arms: Arms) -> int:
    return arms.champion.told + arms.challenger.told


def _estimate(arms: Arms, rule: ArmRule) -> Estimate:
    challenger = share_estimate(arms.challenger.positive, arms.challenger.told)
    champion = share_estimate(arms.champion.positive, arms.champion.told)
    return difference(challenger, champion) if rule.better == "more" else difference(champion, challenger)


def _ends(found: Estimate | None, rule: ArmRule, alpha: float, alpha_harm: float) -> tuple[float, float]:
    """Each end at its own level; the whole range where nothing is known."""
    if found is None:
        return -1.0, 1.0
    error, n, expected = found.standard_error, found.n, rule.n_expected
    lower, _ = asymptotic_sequence(found.value, error, n, expected, alpha, one_sided=True)
    upper, _ = asymptotic_sequence(-found.value, error, n, expected, alpha_harm, one_sided=True)
    return max(-1.0, lower), min(1.0, -upper)


def _coverage_log_e(split: float, arms: Arms) -> float:
    if not 0 < split < 1:
        return 0.0
    return mixed_srm_log_e([arms.champion.told, arms.challenger.told], [1 - split, split])
