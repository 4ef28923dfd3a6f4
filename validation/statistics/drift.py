"""D1: how far a current window is from a reference, by four measures, and how far chance alone would bring it.

Sources: Yurdakul 2018 (Western Michigan University, dissertation 3208) and Yurdakul & Naranjo 2020 for PSI and its
limit; Lin 1991 for the Jensen-Shannon divergence; Smirnov 1939 for the largest difference of two distributions;
Bhatia & Davis 2000 for the variance of what lies in [0, 1].
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.stats import chi2, f, norm, t

from validation.statistics.arguments import FloatArray, check_inside, check_row, check_unit, check_whole


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
    q, p = _both(reference, current)
    return float(np.sum((p - q) * np.log(p / q)))


def jensen_shannon(reference: npt.ArrayLike, current: npt.ArrayLike) -> float:
    """D1: Jensen-Shannon divergence of the same smoothed shares, in bits.

    The mean of both shares' divergences from the shares between them: symmetric, and bounded where PSI is not.

    Args:
        reference: Counts in training, shape `(n_bins,)`.
        current: Counts in the current window, shape `(n_bins,)`.

    Returns:
        Bits, in [0, 1].

    Raises:
        ValueError: As `psi`.

    Examples:
        >>> round(jensen_shannon([500_000, 500_000], [600_000, 400_000]), 5)
        0.0073
        >>> round(jensen_shannon([1e9, 0], [0, 1e9]), 5)
        1.0
    """
    q, p = _both(reference, current)
    between = p + q
    return float(np.sum(0.5 * p * np.log2(2 * p / between) + 0.5 * q * np.log2(2 * q / between)))


def kolmogorov_smirnov(reference: npt.ArrayLike, current: npt.ArrayLike) -> float:
    """D1: the largest difference between the shares below a border, over the borders between ordered bins.

    Shares are not smoothed, and of the ordered bins alone: what is missing lies below no border.

    Args:
        reference: Counts in training by rising bin, shape `(n_bins,)`.
        current: Counts in the current window, shape `(n_bins,)`.

    Returns:
        A difference of shares, in [0, 1].

    Raises:
        ValueError: As `psi`.

    Examples:
        >>> kolmogorov_smirnov([10, 10, 20], [20, 10, 10])
        0.25
    """
    before, now = _rows(reference, current)
    difference = np.cumsum(now) / now.sum() - np.cumsum(before) / before.sum()
    return float(np.abs(difference[:-1]).max())


def psi_limit(
    n_reference: float,
    n_current: float,
    bins: int,
    level: float,
    *,
    repeats: float = 1.0,
    estimated_from: int | None = None,
) -> float:
    """D1: the PSI that windows without drift exceed with probability `level`, approximately.

    `chi2.isf(level, bins - 1) * (1 / n_reference + repeats / n_current)`. It is far too low for windows under about 200
    rows, which are not known here. Where `repeats` is an estimate with as many degrees of freedom as it has bits,
    chi-square over its degrees of freedom becomes F.

    Args:
        n_reference: Rows in the reference, above 0.
        n_current: Rows in the current window, above 0.
        bins: Bins of the feature, at least 2.
        level: Share of quiet windows that may exceed the limit, in (0, 1): alarms allowed a year over features x
            windows x looks a year.
        repeats: Rows of a customer in the current window, as `row_repeats` gives them; at least 1.
        estimated_from: Of how many bits of a hash they were estimated; None where they are known.

    Returns:
        A PSI, above 0.

    Raises:
        ValueError: A number of rows not above 0 or not finite, fewer than 2 bins, a level outside (0, 1), repeats below
            1, or fewer than 1 bit.

    Examples:
        >>> round(psi_limit(5000, 100, bins=10, level=0.05), 4)
        0.1726
        >>> round(psi_limit(5000, 100, bins=10, level=0.05, repeats=2), 4)
        0.3418
    """
    freedom = check_whole("bins", bins, at_least=2) - 1
    level = check_inside("level", level, 0, 1)
    if estimated_from is None:
        quantile = float(chi2.isf(level, freedom))
    else:
        quantile = freedom * float(f.isf(level, freedom, check_whole("estimated_from", estimated_from, at_least=1)))
    return quantile * _variance(1.0, n_reference, 1.0, n_current, repeats)


def share_limit(
    reference_share: float,
    n_reference: float,
    share: float,
    n_current: float,
    level: float,
    *,
    repeats: float = 1.0,
    estimated_from: int | None = None,
) -> float:
    """D1: how far a share, or the mean of what lies in [0, 1], gets from the reference's by chance, to either side.

    Standard errors of the difference, where `share (1 - share)` is the variance of a share and the largest variance of
    anything in [0, 1] with that mean (Bhatia & Davis 2000): of a mean probability it is never too narrow.

    Args:
        reference_share: In training, in [0, 1].
        n_reference: Rows in the reference, above 0.
        share: In the current window, in [0, 1].
        n_current: Rows in the current window, above 0.
        level: Share of quiet windows that may be further away, in (0, 1).
        repeats: As for `psi_limit`.
        estimated_from: As for `psi_limit`; normal becomes t.

    Returns:
        A difference, at least 0.

    Raises:
        ValueError: As `psi_limit`, or a share outside [0, 1].

    Examples:
        >>> round(share_limit(0.27, 5000, 0.30, 1000, level=0.05), 4)
        0.031
    """
    half = check_inside("level", level, 0, 1) / 2
    if estimated_from is None:
        errors = float(norm.isf(half))
    else:
        errors = float(t.isf(half, check_whole("estimated_from", estimated_from, at_least=1)))
    before, now = check_unit("reference_share", reference_share), check_unit("share", share)
    return errors * math.sqrt(_variance(before * (1 - before), n_reference, now * (1 - now), n_current, repeats))


def row_repeats(rows: npt.ArrayLike) -> float:
    """D1: rows of a customer as a row sees them, `sum m^2 / sum m`: by so much fewer customers are worth than rows.

    Args:
        rows: How many rows each customer has, whole and above 0, shape `(n_customers,)`.

    Returns:
        At least 1.

    Raises:
        ValueError: There are no customers, or one with no row.

    Examples:
        >>> row_repeats([1, 1, 1])
        1.0
        >>> row_repeats([1, 3])
        2.5
    """
    counts = np.asarray(rows, dtype=np.float64)
    if counts.size == 0 or not (np.isfinite(counts).all() and (counts >= 1).all()):
        raise ValueError("rows must hold at least one customer, and each must have at least 1 row")
    return float(np.sum(counts**2) / counts.sum())


def smoothed_shares(counts: npt.ArrayLike) -> FloatArray:
    """D1: `(count + 1/2) / (n + B/2)`: no bin is empty, and one more row changes little.

    Args:
        counts: Of one row of bins, shape `(n_bins,)`.

    Returns:
        Shares that add up to 1, shape `(n_bins,)`.

    Raises:
        ValueError: Counts that are negative or not finite, fewer than 2 bins, or no count at all.

    Examples:
        >>> smoothed_shares([3, 0])
        array([0.875, 0.125])
    """
    return _smoothed_shares("counts", check_row("counts", counts))


def _variance(before: float, n_reference: float, now: float, n_current: float, repeats: float) -> float:
    """Of the difference of two means, whose rows have these variances."""
    rows = [check_inside("n_reference", n_reference, 0, math.inf), check_inside("n_current", n_current, 0, math.inf)]
    if not 1 <= repeats < math.inf:
        raise ValueError(f"repeats is {repeats}; it must be at least 1 and finite")
    return before / rows[0] + now * repeats / rows[1]


def _both(reference: npt.ArrayLike, current: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    before, now = _rows(reference, current)
    return _smoothed_shares("reference", before), _smoothed_shares("current", now)


def _rows(reference: npt.ArrayLike, current: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    before, now = check_row("reference", reference), check_row("current", current)
    if now.shape != before.shape:
        raise ValueError(f"current has {now.size} bins; it must have as many as reference, {before.size}")
    for name, row in (("reference", before), ("current", now)):
        _check_counted(name, row)
    return before, now


def _smoothed_shares(name: str, counts: FloatArray) -> FloatArray:
    _check_counted(name, counts)
    return (counts + 0.5) / (float(counts.sum()) + 0.5 * counts.size)


def _check_counted(name: str, counts: FloatArray) -> None:
    if counts.sum() == 0:
        raise ValueError(f"{name} counts nothing; it must hold at least one observation")
