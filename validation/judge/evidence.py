"""What the ledger's counts say: wealth for and against the challenger, its interval, and the health of the split."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from validation.judge.arms import ArmsEvidence, weigh_arms
from validation.judge.groups import GroupEvidence, weigh_groups
from validation.judge.ledger import Cohort, Counts, total, total_outside
from validation.judge.lineage import Lineage, level
from validation.judge.payoffs import (
    Prices,
    all_payoffs,
    log_e_against,
    log_e_for,
    lower_end,
    matured_payoffs,
    mean_difference,
    prices_of,
    upper_end,
)
from validation.judge.phases import Phase, by_start, phase_log_e, phases_of, steps_of
from validation.judge.policy import OnlinePolicy


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a verdict rests on.

    Logs of e-values are natural; each is compared with its threshold, ln(1/alpha). Differences are challenger minus
    champion, for accuracy in shares, for profit in units of the dearer mistake, a customer.

    Attributes:
        cohorts: Cohorts with at least one matured customer.
        counts: The sums over them all.
        matured: Customers scored by both models whose truth is known.
        wins: Of these the challenger alone was right.
        ties: Both or neither were right.
        losses: The champion alone was right.
        missing_agreements: No truth, and the models agree.
        missing_disagreements: No truth, and the models disagree.
        unscored: A model could not answer.
        late: Rows that landed after their cohort was closed and are not counted.
        champion_accuracy: Share of matured customers that the champion got right; None without any.
        challenger_accuracy: The same of the challenger.
        difference: Observed mean difference in the policy's metric; None without matured customers.
        lower: Lower end of its confidence sequence, one-sided at alpha_promote.
        upper: Upper end, one-sided at alpha_rollback.
        log_e: For promotion, from matured customers.
        log_e_worst: The same if every missing disagreement were a loss.
        threshold: What both must reach.
        rollback_log_e: For rollback, from matured customers.
        rollback_log_e_best: The same if every missing disagreement were a win.
        rollback_threshold: What both must reach.
        tipping_point: How many of the missing disagreements, going against it, keep a decision from being made; None
            where missing truths keep none.
        missing_swing: By how much missing disagreements could move the difference either way, over all scored.
        spread: Lowest and highest difference of a single cohort; None without matured customers.
        srm_log_e: Against the split that the experiment file says, summed over phases.
        srm_threshold: From which on the split is not to be trusted.
        phases: The customers of each phase.
        lower_worst: Lower end of the sequence if every missing disagreement were a loss.
        log_e_max: The highest that `log_e` was after any cohort, in their order: whether it ever crossed.
        rollback_log_e_max: The same of `rollback_log_e`.
        srm_log_e_max: The same of `srm_log_e`. An alarm stands however later cohorts dilute it, and decides.
        treated: Customers of whom a treatment was known when their cohort was closed.
        spoiled: Of those from whom actions were to be withheld, how many were treated; their truths are missing.
        outside: The sums over customers whom actions may reach; None unless actions follow predictions.
        groups: The evidence of each group that the policy asks for.
        arms: Outcomes by the variant that answered; None where the policy does not ask for them.
    """

    cohorts: int
    counts: Counts
    matured: int
    wins: int
    ties: int
    losses: int
    missing_agreements: int
    missing_disagreements: int
    unscored: int
    late: int
    champion_accuracy: float | None
    challenger_accuracy: float | None
    difference: float | None
    lower: float
    upper: float
    log_e: float
    log_e_worst: float
    threshold: float
    rollback_log_e: float
    rollback_log_e_best: float
    rollback_threshold: float
    tipping_point: int | None
    missing_swing: float
    spread: tuple[float, float] | None
    srm_log_e: float
    srm_threshold: float
    phases: tuple[Phase, ...]
    lower_worst: float = -1.0
    log_e_max: float = 0.0
    rollback_log_e_max: float = 0.0
    srm_log_e_max: float = 0.0
    treated: int = 0
    spoiled: int = 0
    outside: Counts | None = None
    groups: tuple[GroupEvidence, ...] = ()
    arms: ArmsEvidence | None = None


def weigh(
    cohorts: Sequence[Cohort], policy: OnlinePolicy, *, lineage: Lineage | None = None, late: int = 0
) -> Evidence:
    """Compute the evidence in a ledger.

    Args:
        cohorts: The ledger's rows, in any order.
        policy: Metric, claim and error rates.
        lineage: The trials before this one; without it the first of a lineage is asked no more than alpha.
        late: Rows that landed too late, for information.

    Raises:
        ValueError: The counts contradict each other.
    """
    counts, prices = total(cohorts), prices_of(policy.false_positive_cost)
    _check(cohorts)
    matured, missing = matured_payoffs(counts, prices), counts.missing_disagreements
    worst, best = (all_payoffs(counts, prices, lost=lost) for lost in (missing, 0))
    alpha, alpha_harm = level(policy.alpha_promote, lineage), policy.alpha_rollback / policy.harm_rules
    phases = phases_of(cohorts)
    crossed = _Crossed.over(cohorts, policy, prices)
    return Evidence(
        cohorts=len({cohort.start for cohort in cohorts if cohort.counts.matured}),
        counts=counts,
        matured=counts.matured,
        wins=counts.wins,
        ties=counts.ties,
        losses=counts.losses,
        missing_agreements=counts.missing_agreements,
        missing_disagreements=missing,
        unscored=counts.unscored,
        late=late,
        champion_accuracy=_share(counts.ties_right + counts.losses, counts.matured),
        challenger_accuracy=_share(counts.ties_right + counts.wins, counts.matured),
        difference=mean_difference(matured),
        lower=lower_end(matured, alpha),
        upper=upper_end(matured, alpha_harm),
        log_e=log_e_for(matured, policy.margin),
        log_e_worst=log_e_for(worst, policy.margin),
        threshold=-math.log(alpha),
        rollback_log_e=log_e_against(matured, policy.margin),
        rollback_log_e_best=log_e_against(best, policy.margin),
        rollback_threshold=-math.log(alpha_harm),
        tipping_point=_tipping_point(counts, prices, policy.margin, -math.log(alpha), -math.log(alpha_harm)),
        missing_swing=_share(missing, counts.n - counts.unscored) or 0.0,
        spread=_spread(cohorts, prices),
        srm_log_e=math.fsum(phase_log_e(phase) for phase in phases),
        srm_threshold=-math.log(policy.alpha_srm),
        phases=phases,
        lower_worst=lower_end(worst, alpha),
        log_e_max=crossed.log_e,
        rollback_log_e_max=crossed.rollback_log_e,
        srm_log_e_max=crossed.srm_log_e,
        treated=sum(cohort.treated for cohort in cohorts),
        spoiled=sum(cohort.spoiled for cohort in cohorts),
        outside=total_outside(cohorts) if policy.actions_follow_predictions else None,
        groups=weigh_groups(cohorts, policy, prices, lineage),
        arms=weigh_arms(cohorts, policy, lineage),
    )


def _check(cohorts: Iterable[Cohort]) -> None:
    for cohort in cohorts:
        for counts in _all_counts(cohort):
            if min(getattr(counts, name) for name in counts.__struct_fields__) < 0:
                raise ValueError(f"the cohort from {cohort.start} has a negative count")
            scored = counts.matured + counts.missing_agreements + counts.missing_disagreements
            if not counts.n - counts.unscored == scored == counts.answered_champion + counts.answered_challenger:
                raise ValueError(
                    f"the counts of the cohort from {cohort.start} do not add up to its {counts.n} customers"
                )
        for attribute, by_value in (cohort.groups or {}).items():
            if sum((counts for counts in by_value.values()), Counts()) != cohort.counts:
                raise ValueError(f"the groups by {attribute} of the cohort from {cohort.start} do not add up to it")
        if not 0 <= cohort.spoiled <= cohort.treated:
            raise ValueError(f"the cohort from {cohort.start} has {cohort.spoiled} spoiled of {cohort.treated} treated")


def _all_counts(cohort: Cohort) -> Iterator[Counts]:
    yield cohort.counts
    if cohort.outside is not None:
        yield cohort.outside
    for by_value in (cohort.groups or {}).values():
        yield from by_value.values()


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _tipping_point(
    counts: Counts, prices: Prices, margin: float, threshold: float, rollback_threshold: float
) -> int | None:
    """How many missing disagreements must go against the decision that matured customers allow, to undo it."""
    missing, matured = counts.missing_disagreements, matured_payoffs(counts, prices)

    def promotes(against: int) -> bool:
        return log_e_for(all_payoffs(counts, prices, lost=against), margin) >= threshold

    def rolls_back(against: int) -> bool:
        return log_e_against(all_payoffs(counts, prices, lost=missing - against), margin) >= rollback_threshold

    if log_e_for(matured, margin) >= threshold:
        return _first_failing(promotes, missing)
    if log_e_against(matured, margin) >= rollback_threshold:
        return _first_failing(rolls_back, missing)
    return None


def _first_failing(holds: Callable[[int], bool], most: int) -> int | None:
    """The smallest number in [0, most] for which a condition that only ever breaks fails; None if it holds for all."""
    if holds(most):
        return None
    low, high = 0, most
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if holds(middle) else (low, middle)
    return low


# cohorts


class _Crossed(msgspec.Struct, frozen=True):
    """The highest values that the ledger's logs had after any cohort."""

    log_e: float = 0.0
    rollback_log_e: float = 0.0
    srm_log_e: float = 0.0

    @staticmethod
    def over(cohorts: Iterable[Cohort], policy: OnlinePolicy, prices: Prices) -> _Crossed:
        """Add cohort after cohort."""
        highest = _Crossed()
        for step in steps_of(cohorts):
            matured = matured_payoffs(step.counts, prices)
            highest = _Crossed(
                max(highest.log_e, log_e_for(matured, policy.margin)),
                max(highest.rollback_log_e, log_e_against(matured, policy.margin)),
                max(highest.srm_log_e, step.srm_log_e),
            )
        return highest


def _spread(cohorts: Iterable[Cohort], prices: Prices) -> tuple[float, float] | None:
    means = [mean_difference(matured_payoffs(total(members), prices)) for members in by_start(cohorts)]
    known = [mean for mean in means if mean is not None]
    return (min(known), max(known)) if known else None
