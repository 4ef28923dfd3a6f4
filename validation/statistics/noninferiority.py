"""F2: betting on pairs one after another, with bets that learn from the pairs before. Shown beside F2c, which decides.

Its bets depend on the order of the pairs, so it cannot be computed from counts, replayed from them or merged over pods;
F2c, which can, needs no more pairs.

Source: Waudby-Smith & Ramdas 2024 (JRSSB, arXiv 2010.09686), "predictable plug-in".
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from validation.statistics.arguments import FloatArray, check_inside

_MOST_STAKED = 0.5
"""The part of the wealth that one pair may cost; confseq's default."""


def noninferiority_log_wealth(differences: npt.ArrayLike, margin: float, alpha: float) -> FloatArray:
    """F2: running log wealth against "the challenger is worse by `margin` or more".

    For d = 1[challenger right] - 1[champion right], X = (d + 1) / 2 and m = (1 - margin) / 2 the wealth is
    `prod (1 + lam_i (X_i - m))` with `lam_i = min(sqrt(2 ln(1/alpha) / (v_(i-1) i ln(i+1))), 1/(2m))`, which the pairs
    before decide: v is their regularised variance.

    Source: Waudby-Smith & Ramdas 2024 (JRSSB, arXiv 2010.09686).

    Args:
        differences: d of each pair in prediction order, shape `(n_pairs,)`, in [-1, 1].
        margin: Accuracy that may be lost, a share in (-1, 1); 0 tests superiority.
        alpha: The level that the bets are tuned for, in (0, 1); the wealth is valid at every level.

    Returns:
        Natural log of the wealth after each pair, shape `(n_pairs,)`.

    Raises:
        ValueError: Differences that are no row of numbers in [-1, 1], a margin outside (-1, 1), alpha outside (0, 1).

    Examples:
        >>> wealth = noninferiority_log_wealth([1, 0, 0, 0, -1, 0, 0, 0, 1, 0] * 5, margin=0.02, alpha=0.05)
        >>> round(float(wealth[-1]), 5)
        1.08985
    """
    row = np.asarray(differences, dtype=np.float64)
    if row.ndim != 1 or not (np.abs(row) <= 1).all():
        raise ValueError(f"differences has shape {row.shape}; it must be one row of numbers in [-1, 1]")
    mean = (1 - check_inside("margin", margin, -1, 1)) / 2
    payoffs = (row + 1) / 2
    bets = np.minimum(_bets(payoffs, check_inside("alpha", alpha, 0, 1)), _MOST_STAKED / mean)
    return np.cumsum(np.log1p(bets * (payoffs - mean)))


def _bets(payoffs: FloatArray, alpha: float) -> FloatArray:
    """What is staked on each pair, from the pairs before it alone."""
    number = np.arange(1, payoffs.size + 1)
    means = (0.5 + np.cumsum(payoffs)) / (number + 1)
    variances = (0.25 + np.cumsum((payoffs - means) ** 2)) / (number + 1)
    before = np.concatenate(([0.25], variances[:-1]))
    return np.asarray(np.sqrt(2 * math.log(1 / alpha) / (before * number * np.log(number + 1))))
