"""Groups of customers: that none of them is worse off, each by its own counts and its own margin.

A gap between two groups is not compared with the champion's gap: that would reward making the better one worse.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import msgspec

from validation.judge.ledger import Cohort, Counts
from validation.judge.lineage import Lineage, level
from validation.judge.payoffs import (
    Prices,
    all_payoffs,
    customers_needed,
    log_e_against,
    log_e_for,
    lower_end,
    matured_payoffs,
    mean_difference,
    upper_end,
)
from validation.judge.policy import GroupRule, OnlinePolicy


class GroupEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """What one group's counts say, as `Evidence` says it of everybody.

    Attributes:
        attribute: The feature.
        value: Its value in this group.
        margin: What the group may lose.
        matured: Customers scored by both models whose truth is known.
        wins: Of these the challenger alone was right.
        losses: The champion alone was right.
        missing_disagreements: No truth, and the models disagree.
        difference: Observed mean difference; None without matured customers.
        lower: Lower end of its confidence sequence, one-sided at the level of promotion.
        upper: Upper end, one-sided at this group's part of alpha_rollback.
        log_e: For non-inferiority by the margin.
        log_e_worst: The same if every missing disagreement were a loss.
        threshold: What both must reach.
        rollback_log_e: For harm beyond the margin.
        rollback_log_e_best: The same if every missing disagreement were a win.
        rollback_threshold: What both must reach.
        needed: About how many matured customers show non-inferiority if the models are equally good in this group;
            None where that cannot be said.
    """

    attribute: str
    value: str
    margin: float
    matured: int
    wins: int
    losses: int
    missing_disagreements: int
    difference: float | None
    lower: float
    upper: float
    log_e: float
    log_e_worst: float
    threshold: float
    rollback_log_e: float
    rollback_log_e_best: float
    rollback_threshold: float
    needed: int | None

    @property
    def is_shown(self) -> bool:
        """Whether the group is no worse off, whatever the missing truths are."""
        return min(self.log_e, self.log_e_worst) >= self.threshold

    @property
    def is_harmed(self) -> bool:
        """Whether the group is worse off by more than its margin, whatever the missing truths are."""
        return min(self.rollback_log_e, self.rollback_log_e_best) >= self.rollback_threshold

    @property
    def is_underpowered(self) -> bool:
        """Whether too few customers have matured to tell, even if nothing is wrong."""
        return not self.is_shown and (self.needed is None or self.matured < self.needed)


def weigh_groups(
    cohorts: Sequence[Cohort], policy: OnlinePolicy, prices: Prices, lineage: Lineage | None = None
) -> tuple[GroupEvidence, ...]:
    """The evidence of every group that the policy asks for, by attribute and value."""
    found = []
    for rule in policy.groups:
        counts = _counts_by_value(cohorts, rule)
        budget = policy.alpha_rollback / policy.harm_rules
        alphas = _shares_of(budget, _values_by_appearance(cohorts, rule))
        found += [
            _weigh(rule, value, counts[value], policy, prices, lineage, alphas[value]) for value in sorted(counts)
        ]
    return tuple(found)


def _weigh(
    rule: GroupRule,
    value: str,
    counts: Counts,
    policy: OnlinePolicy,
    prices: Prices,
    lineage: Lineage | None,
    alpha_harm: float,
) -> GroupEvidence:
    matured, alpha = matured_payoffs(counts, prices), level(policy.alpha_promote, lineage)
    missing = counts.missing_disagreements
    return GroupEvidence(
        attribute=rule.attribute,
        value=value,
        margin=rule.margin,
        matured=counts.matured,
        wins=counts.wins,
        losses=counts.losses,
        missing_disagreements=missing,
        difference=mean_difference(matured),
        lower=lower_end(matured, alpha),
        upper=upper_end(matured, alpha_harm),
        log_e=log_e_for(matured, rule.margin),
        log_e_worst=log_e_for(all_payoffs(counts, prices, lost=missing), rule.margin),
        threshold=-math.log(alpha),
        rollback_log_e=log_e_against(matured, rule.margin),
        rollback_log_e_best=log_e_against(all_payoffs(counts, prices, lost=0), rule.margin),
        rollback_threshold=-math.log(alpha_harm),
        needed=customers_needed(matured, rule.margin, alpha),
    )


def _counts_by_value(cohorts: Iterable[Cohort], rule: GroupRule) -> dict[str, Counts]:
    sums: dict[str, Counts] = {}
    for cohort in cohorts:
        for value, counts in (cohort.groups or {}).get(rule.attribute, {}).items():
            sums[value] = sums.get(value, Counts()) + counts
    return sums


def _values_by_appearance(cohorts: Iterable[Cohort], rule: GroupRule) -> list[list[str]]:
    """The values that the first cohort has, then those that each later one adds."""
    known: set[str] = set()
    by_start: dict[int, set[str]] = {}
    for cohort in cohorts:
        by_start.setdefault(cohort.start, set()).update((cohort.groups or {}).get(rule.attribute, {}))
    waves = []
    for start in sorted(by_start):
        new = by_start[start] - known
        if new:
            waves.append(sorted(new))
            known |= new
    return waves


def _shares_of(budget: float, waves: Sequence[Sequence[str]]) -> dict[str, float]:
    """Each value's part of an attribute's budget for false alarms; the parts never sum to more than it.

    How many values there are nobody knows at the start. Those of the first cohort get equal parts, and one further part
    is kept for values that come later: the j-th of them gets 6/(pi j)^2 of it. So nobody's part depends on what comes.
    """
    if not waves:
        return {}
    part = budget / (len(waves[0]) + 1)
    later = [value for wave in waves[1:] for value in wave]
    return dict.fromkeys(waves[0], part) | {
        value: part * 6 / (math.pi * number) ** 2 for number, value in enumerate(later, start=1)
    }
