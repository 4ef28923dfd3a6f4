"""What the ledger's counts say: wealth for and against the challenger, its interval, and the health of the split."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby

import msgspec

from validation.judge.ledger import Cohort, Counts, total
from validation.judge.policy import OnlinePolicy
from validation.statistics import payoff_log_wealth, payoff_mean_sequence, srm_log_e

_SRM_TUNINGS = (100.0, 10_000.0)
"""Deviations of about 5 points and of half a point; the mean of two e-processes is one."""


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


class Phase(msgspec.Struct, frozen=True, kw_only=True):
    """Who answered the scored customers of one phase."""

    revision: int
    mode: str
    split: float
    answered_champion: int
    answered_challenger: int


def weigh(cohorts: Sequence[Cohort], policy: OnlinePolicy, *, late: int = 0) -> Evidence:
    """Compute the evidence in a ledger.

    Args:
        cohorts: The ledger's rows, in any order.
        policy: Metric, claim and error rates.
        late: Rows that landed too late, for information.

    Raises:
        ValueError: The counts contradict each other.
    """
    counts = total(cohorts)
    _check(cohorts)
    matured = _payoffs(counts, policy)
    phases = _phases(cohorts)
    spread = _spread(cohorts, policy)
    scored = counts.n - counts.unscored
    return Evidence(
        cohorts=len({cohort.start for cohort in cohorts if cohort.counts.matured}),
        counts=counts,
        matured=counts.matured,
        wins=counts.wins,
        ties=counts.ties,
        losses=counts.losses,
        missing_agreements=counts.missing_agreements,
        missing_disagreements=counts.missing_disagreements,
        unscored=counts.unscored,
        late=late,
        champion_accuracy=_share(counts.ties_right + counts.losses, counts.matured),
        challenger_accuracy=_share(counts.ties_right + counts.wins, counts.matured),
        difference=_mean_difference(matured),
        lower=2 * payoff_mean_sequence(matured, policy.alpha_promote, "lower")[0] - 1,
        upper=2 * payoff_mean_sequence(matured, policy.alpha_rollback, "upper")[1] - 1,
        log_e=_log_e_for(matured, policy),
        log_e_worst=_log_e_for(_all_payoffs(counts, policy, lost=counts.missing_disagreements), policy),
        threshold=-math.log(policy.alpha_promote),
        rollback_log_e=_log_e_against(matured, policy),
        rollback_log_e_best=_log_e_against(_all_payoffs(counts, policy, lost=0), policy),
        rollback_threshold=-math.log(policy.alpha_rollback),
        tipping_point=_tipping_point(counts, policy),
        missing_swing=_share(counts.missing_disagreements, scored) or 0.0,
        spread=spread,
        srm_log_e=math.fsum(_phase_log_e(phase) for phase in phases if phase.mode == "split"),
        srm_threshold=-math.log(policy.alpha_srm),
        phases=phases,
    )


def _check(cohorts: Iterable[Cohort]) -> None:
    for cohort in cohorts:
        counts = cohort.counts
        if min(getattr(counts, name) for name in counts.__struct_fields__) < 0:
            raise ValueError(f"the cohort from {cohort.start} has a negative count")
        scored = counts.matured + counts.missing_agreements + counts.missing_disagreements
        if not counts.n - counts.unscored == scored == counts.answered_champion + counts.answered_challenger:
            raise ValueError(f"the counts of the cohort from {cohort.start} do not add up to its {counts.n} customers")


# payoffs: what a pair pays the challenger, in [0, 1]


class _Prices(msgspec.Struct, frozen=True):
    """What one pair pays: 1/2 for a tie, more where the challenger's label costs less than the champion's."""

    win_positive: float
    win_negative: float
    loss_positive: float
    loss_negative: float


def _prices(policy: OnlinePolicy) -> _Prices:
    """Payoffs by the truth on which the models differ, with costs as parts of the dearer mistake."""
    cost = 1.0 if policy.false_positive_cost is None else policy.false_positive_cost
    missed, needless = min(1.0, 1 / cost), min(1.0, cost)
    return _Prices((1 + missed) / 2, (1 + needless) / 2, (1 - missed) / 2, (1 - needless) / 2)


def _payoffs(counts: Counts, policy: OnlinePolicy) -> dict[float, int]:
    """Matured customers by payoff."""
    prices = _prices(policy)
    return _sum_by_payoff(
        (prices.win_positive, counts.wins_positive),
        (prices.win_negative, counts.wins_negative),
        (0.5, counts.ties),
        (prices.loss_negative, counts.losses_negative),
        (prices.loss_positive, counts.losses_positive),
    )


def _all_payoffs(counts: Counts, policy: OnlinePolicy, *, lost: int) -> dict[float, int]:
    """All scored customers by payoff, if so many missing disagreements were losses and the others wins.

    A missing agreement is a tie whatever its truth.
    """
    prices = _prices(policy)
    lost_missed = min(lost, counts.missing_champion_positive)
    lost_needless = lost - lost_missed
    return _sum_by_payoff(
        *_payoffs(counts, policy).items(),
        (0.5, counts.missing_agreements),
        (prices.loss_positive, lost_missed),
        (prices.win_negative, counts.missing_champion_positive - lost_missed),
        (prices.loss_negative, lost_needless),
        (prices.win_positive, counts.missing_challenger_positive - lost_needless),
    )


def _sum_by_payoff(*parts: tuple[float, int]) -> dict[float, int]:
    payoffs: dict[float, int] = {}
    for payoff, number in parts:
        payoffs[payoff] = payoffs.get(payoff, 0) + number
    return dict(sorted(payoffs.items()))


def _log_e_for(payoffs: dict[float, int], policy: OnlinePolicy) -> float:
    """Against "worse by the margin or more" (by 0: "not better")."""
    return payoff_log_wealth(payoffs, (1 - policy.margin) / 2)


def _log_e_against(payoffs: dict[float, int], policy: OnlinePolicy) -> float:
    """Against "worse by the margin at most": harm beyond it."""
    return payoff_log_wealth({1 - payoff: number for payoff, number in payoffs.items()}, (1 + policy.margin) / 2)


def _mean_difference(payoffs: dict[float, int]) -> float | None:
    customers = sum(payoffs.values())
    if not customers:
        return None
    return 2 * math.fsum(payoff * number for payoff, number in payoffs.items()) / customers - 1


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _tipping_point(counts: Counts, policy: OnlinePolicy) -> int | None:
    """How many missing disagreements must go against the decision that matured customers allow, to undo it."""
    missing, matured = counts.missing_disagreements, _payoffs(counts, policy)

    def promotes(against: int) -> bool:
        return _log_e_for(_all_payoffs(counts, policy, lost=against), policy) >= -math.log(policy.alpha_promote)

    def rolls_back(against: int) -> bool:
        payoffs = _all_payoffs(counts, policy, lost=missing - against)
        return _log_e_against(payoffs, policy) >= -math.log(policy.alpha_rollback)

    if _log_e_for(matured, policy) >= -math.log(policy.alpha_promote):
        return _first_failing(promotes, missing)
    if _log_e_against(matured, policy) >= -math.log(policy.alpha_rollback):
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


# cohorts and phases


def _spread(cohorts: Iterable[Cohort], policy: OnlinePolicy) -> tuple[float, float] | None:
    by_start = groupby(sorted(cohorts, key=lambda cohort: cohort.start), key=lambda cohort: cohort.start)
    means = [_mean_difference(_payoffs(total(members), policy)) for _, members in by_start]
    known = [mean for mean in means if mean is not None]
    return (min(known), max(known)) if known else None


def _phases(cohorts: Iterable[Cohort]) -> tuple[Phase, ...]:
    def phase_of(cohort: Cohort) -> tuple[int, str, float]:
        return cohort.revision, cohort.mode, cohort.split

    phases = []
    for (revision, mode, split), members in groupby(sorted(cohorts, key=phase_of), key=phase_of):
        counts = total(members)
        phases.append(
            Phase(
                revision=revision,
                mode=mode,
                split=split,
                answered_champion=counts.answered_champion,
                answered_challenger=counts.answered_challenger,
            )
        )
    return tuple(phases)


def _phase_log_e(phase: Phase) -> float:
    """SRM of one phase: never pooled with another's, whose shares differ."""
    if not 0 < phase.split < 1:
        if phase.answered_champion and phase.split == 1:
            raise ValueError(f"the champion answered {phase.answered_champion} customers of a phase with split 1")
        return 0.0
    counts = [phase.answered_champion, phase.answered_challenger]
    logs = [srm_log_e(counts, [1 - phase.split, phase.split], k) for k in _SRM_TUNINGS]
    highest = max(logs)
    return highest + math.log(math.fsum(math.exp(log - highest) for log in logs) / len(logs))
