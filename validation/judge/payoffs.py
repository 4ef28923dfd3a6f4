"""What matched pairs pay the challenger, and what their payoffs are evidence for.

A pair pays 1/2 for a tie, more where the challenger's label costs less than the champion's, less where it costs more.
Whoever plans an experiment simulates with the prices that its verdict counts by.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import msgspec

from validation.judge.ledger import Counts
from validation.statistics import payoff_log_wealth, payoff_mean_sequence

Payoffs = Mapping[float, int]
"""Customers by what their pair pays, in [0, 1]."""

_MOST_CUSTOMERS = 2**40


class Prices(msgspec.Struct, frozen=True):
    """What one pair pays the challenger, by which model was right alone and what was true."""

    win_positive: float
    win_negative: float
    loss_positive: float
    loss_negative: float


def prices_of(false_positive_cost: float | None) -> Prices:
    """Payoffs by the truth on which the models differ, with costs as parts of the dearer mistake.

    Args:
        false_positive_cost: Cost of a false positive over the cost of a false negative, above 0; None where right is
            right, as in accuracy.

    Examples:
        >>> prices_of(0.2)
        Prices(win_positive=1.0, win_negative=0.6, loss_positive=0.0, loss_negative=0.4)
    """
    cost = 1.0 if false_positive_cost is None else false_positive_cost
    missed, needless = min(1.0, 1 / cost), min(1.0, cost)
    return Prices((1 + missed) / 2, (1 + needless) / 2, (1 - missed) / 2, (1 - needless) / 2)


def matured_payoffs(counts: Counts, prices: Prices) -> dict[float, int]:
    """Matured customers by payoff."""
    return _sum_by_payoff(
        (prices.win_positive, counts.wins_positive),
        (prices.win_negative, counts.wins_negative),
        (0.5, counts.ties),
        (prices.loss_negative, counts.losses_negative),
        (prices.loss_positive, counts.losses_positive),
    )


def all_payoffs(counts: Counts, prices: Prices, *, lost: int) -> dict[float, int]:
    """All scored customers by payoff, if so many missing disagreements were losses and the others wins.

    A missing agreement is a tie whatever its truth. The dearest losses are taken first.
    """
    lost_missed = min(lost, counts.missing_champion_positive)
    lost_needless = lost - lost_missed
    return _sum_by_payoff(
        *matured_payoffs(counts, prices).items(),
        (0.5, counts.missing_agreements),
        (prices.loss_positive, lost_missed),
        (prices.win_negative, counts.missing_champion_positive - lost_missed),
        (prices.loss_negative, lost_needless),
        (prices.win_positive, counts.missing_challenger_positive - lost_needless),
    )


def log_e_for(payoffs: Payoffs, margin: float) -> float:
    """Log e-value against "worse by the margin or more" (by 0: "not better"). F2c."""
    return payoff_log_wealth(payoffs, (1 - margin) / 2)


def log_e_against(payoffs: Payoffs, margin: float) -> float:
    """Log e-value against "worse by the margin at most": harm beyond it. F2c with the arms exchanged."""
    return payoff_log_wealth(exchanged(payoffs), (1 + margin) / 2)


def exchanged(payoffs: Payoffs) -> dict[float, int]:
    """What the same pairs pay the champion."""
    return {1 - payoff: number for payoff, number in payoffs.items()}


def mean_difference(payoffs: Payoffs) -> float | None:
    """Mean difference of the metric a customer, challenger minus champion; None without customers."""
    customers = sum(payoffs.values())
    if not customers:
        return None
    return 2 * math.fsum(payoff * number for payoff, number in payoffs.items()) / customers - 1


def lower_end(payoffs: Payoffs, alpha: float) -> float:
    """Lower end of the confidence sequence of the mean difference, one-sided at a level; -1 without customers."""
    return 2 * payoff_mean_sequence(payoffs, alpha, "lower")[0] - 1


def upper_end(payoffs: Payoffs, alpha: float) -> float:
    """Upper end, one-sided at a level of its own; 1 without customers."""
    return 2 * payoff_mean_sequence(payoffs, alpha, "upper")[1] - 1


def customers_needed(payoffs: Payoffs, margin: float, alpha: float) -> int | None:
    """About how many customers show non-inferiority, if the models are equally good and differ as often as so far.

    The number at which customers with these payoffs and their mirror images in equal parts, so without any difference,
    have a wealth of 1/alpha: the expected path. `gauntlet plan` simulates what chance makes of it.

    Args:
        payoffs: What was seen.
        margin: Above 0; nothing shows by itself that equals differ.
        alpha: The level, in (0, 1).

    Returns:
        Customers; None where there are none to go by, or no number is enough.
    """
    if not sum(payoffs.values()) or margin <= 0:
        return None
    mirrored = _sum_by_payoff(*payoffs.items(), *exchanged(payoffs).items())
    seen, threshold = sum(mirrored.values()), -math.log(alpha)

    def is_enough(customers: int) -> bool:
        parts = {payoff: customers * number // seen for payoff, number in mirrored.items() if payoff != 0.5}
        return log_e_for({0.5: customers - sum(parts.values()), **parts}, margin) >= threshold

    return least_customers(is_enough, most=_MOST_CUSTOMERS)


def least_customers(is_enough: Callable[[int], bool], *, most: int) -> int | None:
    """The smallest number that is enough, to half a per cent, as those who ask estimate; None where `most` is not.

    Args:
        is_enough: Stays true from some number on.
        most: Where to give up.
    """
    high = 1
    while not is_enough(high):
        high *= 2
        if high > most:
            return None
    low = high // 2
    while high - low > max(1, high // 200):
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high


def _sum_by_payoff(*parts: tuple[float, int]) -> dict[float, int]:
    payoffs: dict[float, int] = {}
    for payoff, number in parts:
        payoffs[payoff] = payoffs.get(payoff, 0) + number
    return dict(sorted(payoffs.items()))
