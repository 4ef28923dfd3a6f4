"""F6 and F5: do customers, or errors, fall into the arms as the split says, looked at as often as one likes.

F6 is the sample-ratio mismatch (SRM). F5 asks the same of errors: with equal error rates the next error is the
challenger's with the split's probability, whatever the time of day does to both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln

from validation.statistics.arguments import FloatArray, check_inside, check_row, check_whole
from validation.statistics.beta_tails import log_mass_above
from validation.statistics.multiplicity import e_mean

TUNINGS = (100.0, 10_000.0)
"""Concentrations for deviations of about 5 points and of half a point, at half and half."""


def srm_log_e(counts: npt.ArrayLike, shares: npt.ArrayLike, k: float) -> float:
    """F6: log e-value against "customers are assigned with these shares", a Dirichlet(k shares) mixture.

    `lnG(k) - lnG(k+n) + sum(lnG(k s_i + n_i) - lnG(k s_i)) - sum n_i ln s_i`. Count unique customers at their first
    assignment. Phases with other shares have e-values of their own, whose logs add.

    Source: Lindon & Malek, NeurIPS 2022 (arXiv 2011.03567).

    Args:
        counts: Customers in each arm, shape `(n_arms,)`.
        shares: Share that each arm should get, shape `(n_arms,)`, all above 0, summing to 1.
        k: Concentration, above 0: tuned for deviations of about sqrt(s (1-s) / (k+1)); 100 is 5 points at half and
            half, 10000 half a point.

    Returns:
        Natural log of the e-value; exactly 0 without customers. The always-valid p-value is the running minimum of
        exp(-log).

    Raises:
        ValueError: Counts that are negative or not whole, shares of another length, not above 0 or not summing to 1,
            k not above 0 or not finite.

    Examples:
        >>> round(math.exp(-srm_log_e([500, 600], [0.5, 0.5], k=100)), 5)
        0.05338
    """
    observed, expected = check_row("counts", counts), check_row("shares", shares)
    if not (observed == np.floor(observed)).all():
        raise ValueError(f"counts is {observed.tolist()}; every number in it must be whole")
    if expected.shape != observed.shape:
        raise ValueError(f"shares has {expected.size} numbers; it must have as many as counts, {observed.size}")
    if not (expected > 0).all() or not math.isclose(math.fsum(expected), 1, abs_tol=1e-9):
        raise ValueError(f"shares is {expected.tolist()}; every share must be above 0 and their sum 1")
    prior = check_inside("k", k, 0, math.inf) * expected
    mixture = gammaln(k) - gammaln(k + observed.sum()) + np.sum(gammaln(prior + observed) - gammaln(prior))
    return float(mixture - observed @ np.log(expected))


def mixed_srm_log_e(counts: npt.ArrayLike, shares: npt.ArrayLike, tunings: Sequence[float] = TUNINGS) -> float:
    """F6 for large and for small deviations at once: the mean of several e-values is one.

    Args:
        counts: As for `srm_log_e`.
        shares: As for `srm_log_e`.
        tunings: Concentrations k, two or more.

    Returns:
        Natural log of the mean of the e-values.

    Raises:
        ValueError: As `srm_log_e`, or there are fewer than two tunings.

    Examples:
        >>> round(math.exp(-mixed_srm_log_e([500, 600], [0.5, 0.5])), 5)
        0.0989
    """
    return e_mean([srm_log_e(counts, shares, k) for k in tunings])


def running_p(log_es: npt.ArrayLike) -> FloatArray:
    """The always-valid p-value at each of many looks: the smallest `1 / e` so far, at most 1.

    Args:
        log_es: Log e-value at each look, in order, shape `(n_looks,)`.

    Returns:
        p after each look, shape `(n_looks,)`, never rising.

    Raises:
        ValueError: It is no row of numbers.

    Examples:
        >>> running_p([0.0, math.log(50), math.log(10)]).round(3).tolist()
        [1.0, 0.02, 0.02]
    """
    row = np.asarray(log_es, dtype=np.float64)
    if row.ndim != 1 or np.isnan(row).any():
        raise ValueError(f"log_es has shape {row.shape}; it must be one row of numbers")
    return np.exp(-np.maximum(np.maximum.accumulate(row), 0.0))


def error_rate_log_e(errors_a: int, errors_b: int, split: float, k: float) -> float:
    """F5: log e-value against "the challenger's error rate is at most the champion's".

    `ln B(a+nB, b+nA) - ln B(a, b) - nB ln s - nA ln(1-s)` and the log of the posterior's share above s over the
    prior's, with a = k s, b = k (1 - s): one row a customer, each error the challenger's with probability s. It needs
    a clean split (F6) and equal coverage of labels; swap the arms and take 1 - split to test the champion.

    Source: Lindon & Malek, NeurIPS 2022 (arXiv 2011.03567).

    Args:
        errors_a: Customers of the champion whose label was wrong.
        errors_b: Customers of the challenger whose label was wrong.
        split: The challenger's share of customers, in (0, 1).
        k: Concentration, above 0, as for `srm_log_e`.

    Returns:
        Natural log of the e-value; exactly 0 without errors.

    Raises:
        ValueError: A count that is negative or not whole, a split outside (0, 1), k not above 0 or not finite.

    Examples:
        >>> round(math.exp(error_rate_log_e(50, 80, split=0.5, k=100)), 4)
        9.2268
    """
    a_errors, b_errors = check_whole("errors_a", errors_a), check_whole("errors_b", errors_b)
    share, concentration = check_inside("split", split, 0, 1), check_inside("k", k, 0, math.inf)
    a, b = concentration * share, concentration * (1 - share)
    expected = b_errors * math.log(share) + a_errors * math.log1p(-share)
    return log_mass_above(a + b_errors, b + a_errors, share) - log_mass_above(a, b, share) - expected
