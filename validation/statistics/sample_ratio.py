"""F6: does the split send customers where it says, looked at as often as one likes (sample-ratio mismatch, SRM)."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln

from validation.statistics.arguments import check_inside, check_row


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
