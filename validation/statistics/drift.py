"""D1: population stability index (PSI) between a reference and a current window, and how large chance makes it.

Source: Yurdakul 2018 (Western Michigan University, dissertation 3208); Yurdakul & Naranjo 2020.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.stats import chi2

from validation.statistics.arguments import FloatArray, check_inside, check_row, check_whole


def psi(reference: npt.ArrayLike, current: npt.ArrayLike) -> float:
    """D1: PSI of two rows of counts over the same bins.

    `sum (p - q) ln(p / q)` over smoothed shares `(count + 1/2) / (n + B/2)`: symmetric, 0 when both have the same
    shares and n, and finite where a bin is empty.

    Args:
        reference: Counts in training, shape `(n_bins,)`; parts of a count (an `increase()` of Prometheus) are allowed.
        current: Counts in the current window, shape `(n_bins,)`.

    Returns:
        PSI, at least 0, without unit.

    Raises:
        ValueError: Counts that are negative or not finite, fewer than 2 bins, rows of different length, or a row
            without any count: no data is not "no drift".

    Examples:
        >>> round(psi([500_000, 500_000], [600_000, 400_000]), 5)
        0.04055
    """
    before, now = check_row("reference", reference), check_row("current", current)
    if now.shape != before.shape:
        raise ValueError(f"current has {now.size} bins; it must have as many as reference, {before.size}")
    p, q = _smoothed_shares("reference", before), _smoothed_shares("current", now)
    return float(np.sum((p - q) * np.log(p / q)))


def psi_limit(n_reference: float, n_current: float, bins: int, level: float) -> float:
    """D1: the PSI that windows without drift exceed with probability `level`, approximately.

    `chi2.isf(level, bins - 1) * (1 / n_reference + 1 / n_current)`. It is far too low for windows under about 200
    rows, and for requests in place of customers; neither is known here.

    Args:
        n_reference: Rows in the reference, above 0.
        n_current: Rows in the current window, above 0.
        bins: Bins of the feature, at least 2.
        level: Share of quiet windows that may exceed the limit, in (0, 1): alarms allowed a year over features x
            windows x looks a year.

    Returns:
        A PSI, above 0.

    Raises:
        ValueError: A number of rows not above 0 or not finite, fewer than 2 bins, or a level outside (0, 1).

    Examples:
        >>> round(psi_limit(5000, 100, bins=10, level=0.05), 4)
        0.1726
    """
    rows = [check_inside("n_reference", n_reference, 0, math.inf), check_inside("n_current", n_current, 0, math.inf)]
    quantile = float(chi2.isf(check_inside("level", level, 0, 1), check_whole("bins", bins, at_least=2) - 1))
    return quantile * sum(1 / n for n in rows)


def _smoothed_shares(name: str, counts: FloatArray) -> FloatArray:
    total = float(counts.sum())
    if total == 0:
        raise ValueError(f"{name} counts nothing; it must hold at least one observation")
    return (counts + 0.5) / (total + 0.5 * counts.size)
