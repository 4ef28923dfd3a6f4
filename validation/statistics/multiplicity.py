"""Many e-values: which of a family to believe (e-BH), and which of a line of challengers to promote (e-LOND)."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp

from validation.statistics.arguments import check_inside, check_whole


def e_benjamini_hochberg(log_es: npt.ArrayLike, alpha: float) -> npt.NDArray[np.bool_]:
    """e-BH: which nulls of a family are rejected, with the false discovery rate at most alpha under any dependence.

    The k largest are rejected, k the largest number for which the k-th largest e-value is at least `m / (k alpha)`.

    Source: Wang & Ramdas 2022 (JRSSB 84:822, arXiv 2009.02824), theorem 2: no assumption on dependence is made.

    Args:
        log_es: Log e-values, shape `(m,)`.
        alpha: Share of false ones among the rejected, on average at most, in (0, 1).

    Returns:
        Whether each is rejected, shape `(m,)`.

    Raises:
        ValueError: It is no row of numbers (infinities are allowed), or alpha outside (0, 1).

    Examples:
        >>> e_benjamini_hochberg([math.log(100), math.log(3), math.log(45)], 0.05).tolist()
        [True, False, True]
    """
    row = np.asarray(log_es, dtype=np.float64)
    if row.ndim != 1 or np.isnan(row).any():
        raise ValueError(f"log_es has shape {row.shape}; it must be one row of numbers")
    falling = np.sort(row)[::-1]
    ranks = np.arange(1, row.size + 1)
    enough = np.flatnonzero(falling >= np.log(row.size / (ranks * check_inside("alpha", alpha, 0, 1))))
    return np.asarray(row >= falling[enough[-1]]) if enough.size else np.zeros(row.size, dtype=np.bool_)


def e_lond_level(alpha: float, t: int, discoveries: int) -> float:
    """e-LOND: the level at which the t-th of a line of tests may reject: `alpha gamma_t (discoveries + 1)`.

    gamma_t = 6 / (pi^2 t^2), which sums to 1 over all t: the first challenger gets 0.61 alpha, and no promise has to be
    made of how many will come. Reject when the e-value reaches 1 / level. The false discovery rate of all decisions is
    at most alpha at every time, under any dependence of the e-values.

    Source: Xu & Ramdas 2024 (AISTATS, "Online multiple testing with e-values", arXiv 2311.06412).

    Args:
        alpha: Share of false ones among the rejected, on average at most, in (0, 1).
        t: Which test it is, from 1. A test that was given up has its number too.
        discoveries: Nulls rejected before it, below t.

    Returns:
        A level in (0, 1).

    Raises:
        ValueError: alpha outside (0, 1), t below 1, or `discoveries` negative, not whole or not below t.

    Examples:
        >>> round(e_lond_level(0.05, 1, 0), 5), round(e_lond_level(0.05, 3, 2), 5)
        (0.0304, 0.01013)
    """
    number = check_whole("t", t, at_least=1)
    rejected = check_whole("discoveries", discoveries)
    if rejected >= number:
        raise ValueError(f"discoveries is {discoveries}; it must be below t, {t}")
    return check_inside("alpha", alpha, 0, 1) * 6 / (math.pi * number) ** 2 * (rejected + 1)


def e_mean(log_es: npt.ArrayLike) -> float:
    """The mean of e-values, which is an e-value under any dependence: evidence that one of several nulls is false.

    Args:
        log_es: Log e-values, shape `(m,)`, two or more, each at least -inf.

    Returns:
        Natural log of their mean.

    Raises:
        ValueError: It is no row of two or more numbers.

    Examples:
        >>> round(math.exp(e_mean([0.0, math.log(3)])), 6)
        2.0
    """
    row = np.asarray(log_es, dtype=np.float64)
    if row.ndim != 1 or row.size < 2 or np.isnan(row).any():
        raise ValueError(f"log_es has shape {row.shape}; it must be one row of at least 2 numbers")
    return float(logsumexp(row) - math.log(row.size))
