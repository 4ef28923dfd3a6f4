"""F2c: betting on the payoffs of matched pairs, from counts alone. It decides the online verdict.

A pair pays the challenger x in [0, 1]: 1 when it alone was right, 1/2 for a tie, 0 when the champion alone was right;
with costs, values between. Fixed bets against "the mean payoff is at most m" multiply up to a wealth whose log is
computed here. As the bets are fixed, it depends on the counts only: not on the order of the pairs, on how many pods
counted them or on how often somebody looked. As the log is concave, it speaks of the running mean of the conditional
means, whatever the drift.

Source: Robbins 1970; Waudby-Smith & Ramdas 2024 (JRSSB, arXiv 2010.09686) for betting on bounded means.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq

from validation.statistics.arguments import FloatArray, check_inside, check_unit, check_whole

Side = Literal["both", "lower", "upper"]
"""Which ends of a sequence are wanted; "both" spends alpha/2 on each."""

_SHARES_STAKED = np.geomspace(0.02, 0.98, 24)
_BETS = 2 * _SHARES_STAKED / (1 - _SHARES_STAKED)


def payoff_log_wealth(counts: Mapping[float, int], mean: float) -> float:
    """F2c: log e-value against "the running mean payoff is at most `mean`".

    With theta_j = 2 g_j / (1 - g_j) and g = geomspace(.02, .98, 24), the log of the mean over j of
    `prod_x ((1 + theta_j x) / (1 + theta_j mean)) ** n_x`. It falls in `mean`. The null "at least `mean`" is tested by
    turning every payoff x into 1 - x and `mean` into 1 - mean.

    Args:
        counts: How many pairs paid each value; payoffs in [0, 1], higher is better for the challenger.
        mean: The null's mean payoff, in [0, 1].

    Returns:
        Natural log of the e-value; exactly 0 without pairs. At most ln(1/alpha) with probability 1 - alpha under the
        null, over all looks together.

    Raises:
        ValueError: A payoff or `mean` outside [0, 1], or a count that is negative or not whole.

    Examples:
        >>> round(payoff_log_wealth({1: 40, 0.6: 20, 0.5: 900, 0.4: 30, 0: 10}, 0.5), 6)
        6.208422
    """
    payoffs, numbers = _as_arrays(counts)
    return _log_wealth(payoffs, numbers, check_unit("mean", mean))


def payoff_log_wealths(payoffs: npt.ArrayLike, counts: npt.ArrayLike, mean: float) -> FloatArray:
    """F2c for many ledgers at once, for simulations: `payoff_log_wealth` of each.

    Args:
        payoffs: Shape `(n_payoffs,)`, in [0, 1].
        counts: How many pairs paid each, shape `(..., n_payoffs)`, whole and not negative.
        mean: The null's mean payoff, in [0, 1].

    Returns:
        Natural logs of the e-values, shape `(...)`.

    Raises:
        ValueError: A payoff or `mean` outside [0, 1], or counts of another shape, negative or not whole.

    Examples:
        >>> payoff_log_wealths([1, 0.5, 0], [[60, 900, 40], [0, 0, 0]], 0.5).round(6).tolist()
        [1.062853, 0.0]
    """
    paid, numbers = np.asarray(payoffs, dtype=np.float64), np.asarray(counts, dtype=np.float64)
    if paid.ndim != 1 or not ((paid >= 0) & (paid <= 1)).all():
        raise ValueError(f"payoffs has shape {paid.shape}; it must be one row of numbers in [0, 1]")
    if numbers.shape[-1:] != paid.shape or not ((numbers >= 0) & (numbers == np.floor(numbers))).all():
        raise ValueError(
            f"counts has shape {numbers.shape}; it must hold rows of {paid.size} whole numbers, none negative"
        )
    return _log_wealths(paid, numbers, check_unit("mean", mean))


def paired_log_wealth(wins: int, ties: int, losses: int, margin: float) -> float:
    """F2c for accuracy: log e-value against "the challenger is worse by `margin` or more".

    The null is E[d] <= -margin for d = 1[challenger right] - 1[champion right]. A margin of 0 tests superiority, a
    positive one non-inferiority. Harm beyond delta is the same test with wins and losses swapped and margin -delta.

    Args:
        wins: Pairs that the challenger alone got right.
        ties: Pairs that both or neither got right; they are evidence as soon as `margin` is not 0.
        losses: Pairs that the champion alone got right.
        margin: Accuracy that may be lost, a share in (-1, 1).

    Returns:
        Natural log of the e-value; exactly 0 without pairs.

    Raises:
        ValueError: A count that is negative or not whole, or a margin outside (-1, 1).

    Examples:
        >>> round(paired_log_wealth(60, 900, 40, margin=0.01), 6)
        3.023017
        >>> round(paired_log_wealth(60, 900, 40, margin=-0.01), 6)  # harm of (40, 900, 60) beyond .01
        -0.099729
    """
    return payoff_log_wealth(_accuracy_payoffs(wins, ties, losses), (1 - check_inside("margin", margin, -1, 1)) / 2)


def payoff_mean_sequence(counts: Mapping[float, int], alpha: float, side: Side = "both") -> tuple[float, float]:
    """F2c turned round: confidence sequence for the running mean payoff.

    The lower end is the root in m of `payoff_log_wealth(counts, m) = ln(1/alpha)`, the upper end the same of 1 - x.

    Args:
        counts: How many pairs paid each value; payoffs in [0, 1].
        alpha: Chance, over all looks together, that the sequence ever misses, in (0, 1).
        side: "both" spends alpha/2 on each end; "lower" and "upper" spend alpha on one and leave the other open.

    Returns:
        Lower and upper end in [0, 1]; 0 or 1 at an open end, (0, 1) without pairs.

    Raises:
        ValueError: A payoff outside [0, 1], a count that is negative or not whole, alpha outside (0, 1), another side.

    Examples:
        >>> lower, upper = payoff_mean_sequence({1: 60, 0.5: 900, 0: 40}, 0.05, side="lower")
        >>> round(lower, 6), upper
        (0.495056, 1.0)
    """
    payoffs, numbers = _as_arrays(counts)
    level = _level_of_an_end(alpha, side)
    lower = 0.0 if side == "upper" else _lower_end(payoffs, numbers, level)
    upper = 1.0 if side == "lower" else 1 - _lower_end(1 - payoffs, numbers, level)
    return lower, upper


def accuracy_difference_sequence(
    wins: int, ties: int, losses: int, alpha: float, side: Side = "both"
) -> tuple[float, float]:
    """F2c for accuracy: confidence sequence for the running mean of the challenger's accuracy minus the champion's.

    It is 2 m - 1 at both ends m of `payoff_mean_sequence`.

    Args:
        wins: Pairs that the challenger alone got right.
        ties: Pairs that both or neither got right.
        losses: Pairs that the champion alone got right.
        alpha: Chance, over all looks together, that the sequence ever misses, in (0, 1).
        side: "both" spends alpha/2 on each end; "lower" and "upper" spend alpha on one and leave the other open.

    Returns:
        Lower and upper end in [-1, 1]; -1 or 1 at an open end, (-1, 1) without pairs.

    Raises:
        ValueError: A count that is negative or not whole, alpha outside (0, 1), another side.

    Examples:
        >>> lower, upper = accuracy_difference_sequence(30, 100, 10, 0.05, side="lower")
        >>> round(lower, 6), upper
        (0.010922, 1.0)
    """
    lower, upper = payoff_mean_sequence(_accuracy_payoffs(wins, ties, losses), alpha, side)
    return 2 * lower - 1, 2 * upper - 1


def _accuracy_payoffs(wins: int, ties: int, losses: int) -> dict[float, int]:
    return {1.0: check_whole("wins", wins), 0.5: check_whole("ties", ties), 0.0: check_whole("losses", losses)}


def _as_arrays(counts: Mapping[float, int]) -> tuple[FloatArray, FloatArray]:
    payoffs = [check_unit("a payoff in counts", payoff) for payoff in counts]
    numbers = [check_whole(f"the count of payoff {payoff}", number) for payoff, number in counts.items()]
    return np.asarray(payoffs, dtype=np.float64), np.asarray(numbers, dtype=np.float64)


def _level_of_an_end(alpha: float, side: Side) -> float:
    if side not in get_args(Side):
        raise ValueError(f"side is {side!r}; it must be one of {', '.join(get_args(Side))}")
    alpha = check_inside("alpha", alpha, 0, 1)
    return alpha / 2 if side == "both" else alpha


def _log_wealth(payoffs: FloatArray, numbers: FloatArray, mean: float) -> float:
    return float(_log_wealths(payoffs, numbers, mean))


def _log_wealths(payoffs: FloatArray, numbers: FloatArray, mean: float) -> FloatArray:
    bets = _BETS[:, np.newaxis]
    # ln((1 + bet x) / (1 + bet mean)) in one log: a payoff at the mean adds exactly 0, however often it was paid.
    log_wealths = numbers @ np.log1p(bets * (payoffs - mean) / (1 + bets * mean)).T
    highest = log_wealths.max(axis=-1)
    return np.asarray(highest + np.log(np.exp(log_wealths - highest[..., np.newaxis]).mean(axis=-1)))


def _lower_end(payoffs: FloatArray, numbers: FloatArray, alpha: float) -> float:
    threshold = -math.log(alpha)

    def excess(mean: float) -> float:
        return _log_wealth(payoffs, numbers, mean) - threshold

    # No payoff exceeds 1, so the wealth against a mean of 1 never grows and the root lies below 1.
    return 0.0 if excess(0.0) <= 0 else float(brentq(excess, 0.0, 1.0, xtol=1e-13))
