"""F1: sequential McNemar, a bet on who wins the pairs in which exactly one model was right.

Shown beside F2c. It sees discordant pairs only, so it tests superiority and harm, never non-inferiority.

Source: Robbins 1970; Howard, Ramdas, McAuliffe & Sekhon 2021 (arXiv 1810.08240), with a Beta(1/2, 1/2) mixture.
"""

from __future__ import annotations

import math
import sys

from scipy.optimize import brentq
from scipy.special import betaln

from validation.statistics.arguments import check_inside, check_whole
from validation.statistics.beta_tails import log_mass_above

_PRIOR = 0.5
_LEAST_NORMAL = sys.float_info.min


def sequential_mcnemar(wins: int, losses: int, two_sided: bool = False) -> float:
    """F1: log e-value against "the challenger wins at most half of the discordant pairs".

    `(W+L) ln 2 + ln B(a+W, b+L) - ln B(a, b)`, and for one side the log of the posterior's share above 1/2 over the
    prior's: a Beta(1/2, 1/2) mixture cut to (1/2, 1). Swap wins and losses to test for harm, at its own alpha.

    Args:
        wins: Discordant pairs that the challenger got right.
        losses: Discordant pairs that the champion got right.
        two_sided: Test "exactly half" instead, against either direction.

    Returns:
        Natural log of the e-value; exactly 0 without discordant pairs.

    Raises:
        ValueError: A count that is negative or not whole.

    Examples:
        >>> round(math.exp(sequential_mcnemar(5, 0)), 4)
        15.6418
        >>> math.exp(sequential_mcnemar(5, 0, two_sided=True))  # doctest: +ELLIPSIS
        7.875...
    """
    won, lost = check_whole("wins", wins) + _PRIOR, check_whole("losses", losses) + _PRIOR
    if two_sided:
        return float((wins + losses) * math.log(2) + betaln(won, lost) - betaln(_PRIOR, _PRIOR))
    return (wins + losses) * math.log(2) + log_mass_above(won, lost, 0.5) - log_mass_above(_PRIOR, _PRIOR, 0.5)


def win_rate_sequence(wins: int, losses: int, alpha: float) -> tuple[float, float]:
    """F1 turned round: two-sided confidence sequence for the challenger's share of the discordant pairs.

    All t with `t^W (1-t)^L >= alpha B(a+W, b+L) / B(a, b)`, a = b = 1/2.

    Args:
        wins: Discordant pairs that the challenger got right.
        losses: Discordant pairs that the champion got right.
        alpha: Chance, over all looks together, that the sequence ever misses, in (0, 1).

    Returns:
        Lower and upper end in [0, 1]; (0, 1) without discordant pairs.

    Raises:
        ValueError: A count that is negative or not whole, or alpha outside (0, 1).

    Examples:
        >>> lower, upper = win_rate_sequence(15, 5, 0.05)
        >>> round(lower, 4), round(upper, 4)
        (0.4111, 0.9527)
    """
    won, lost = check_whole("wins", wins), check_whole("losses", losses)
    log_evidence = betaln(won + _PRIOR, lost + _PRIOR) - betaln(_PRIOR, _PRIOR)
    log_least = math.log(check_inside("alpha", alpha, 0, 1)) + float(log_evidence)
    return _lower_end(won, lost, log_least), 1 - _lower_end(lost, won, log_least)


def _lower_end(wins: int, losses: int, log_least: float) -> float:
    """The smallest t whose log likelihood reaches `log_least`; the likelihood rises from 0 to the share of wins."""

    def excess(rate: float) -> float:
        lost = losses * math.log1p(-rate) if losses else 0.0
        return wins * math.log(rate) + lost - log_least

    if wins == 0 or excess(_LEAST_NORMAL) >= 0:
        return 0.0
    return float(brentq(excess, _LEAST_NORMAL, wins / (wins + losses), xtol=1e-300, maxiter=2000))
