"""F4: two arms with customers of their own, looked at as often as one likes: asymptotic confidence sequences.

It needs many times the customers that F2c needs, so it judges what cannot be paired: outcomes that an action changed.
Asymptotic means that a floor of customers and errors per arm belongs before it, which the rules set.

Source: Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas 2024 (Annals of Statistics 52:2613, arXiv 2103.06476).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from validation.statistics.arguments import check_inside, check_whole


@dataclass(frozen=True)
class Estimate:
    """An estimate with its uncertainty.

    Attributes:
        value: The estimate, in the metric's own unit.
        standard_error: Its standard error, at least 0.
        n: Customers that it rests on.
    """

    value: float
    standard_error: float
    n: int


def asymptotic_sequence(
    estimate: float, standard_error: float, n: int, n_expected: int, alpha: float, one_sided: bool = False
) -> tuple[float, float]:
    """F4: asymptotic confidence sequence around an estimate that is approximately normal.

    Two-sided `estimate +- se sqrt(2 (n r + 1) / (n r) ln(sqrt(n r + 1) / alpha))`, and one-sided the lower end with
    `ln(1 + sqrt(n r + 1) / (2 alpha))`, where r = rho^2 makes it narrowest at `n_expected`.

    Source: Waudby-Smith et al. 2024, theorem 2.2 and its one-sided form; the same as GrowthBook's engine.

    Args:
        estimate: Of the difference, in the metric's unit.
        standard_error: Its standard error after `n` customers, at least 0.
        n: Customers so far, both arms together.
        n_expected: Customers at which one expects to decide.
        alpha: Chance, over all looks together, that the sequence ever misses, in (0, 1); for one side, in (0, 0.5).
        one_sided: Spend all of alpha on the lower end; the upper one is then open.

    Returns:
        Lower and upper end; (-inf, inf) without customers, and inf at the open end.

    Raises:
        ValueError: A number of customers that is negative or not whole, `n_expected` below 1, alpha outside its range,
            a standard error that is negative or not finite.

    Examples:
        >>> lower, upper = asymptotic_sequence(0.50386, 0.03386, 6461, n_expected=5000, alpha=0.05)
        >>> round(lower, 5), round(upper, 5)
        (0.40098, 0.60674)
    """
    n, rho2 = check_whole("n", n), _rho2(n_expected, alpha, one_sided)
    _check_standard_error(standard_error)
    if n == 0:
        return -math.inf, math.inf
    growth = n * rho2 + 1
    reach = math.log1p(math.sqrt(growth) / (2 * alpha)) if one_sided else math.log(math.sqrt(growth) / alpha)
    width = standard_error * math.sqrt(2 * growth / (n * rho2) * reach)
    return estimate - width, math.inf if one_sided else estimate + width


def asymptotic_log_e(estimate: float, standard_error: float, n: int, n_expected: int, alpha: float) -> float:
    """F4 as evidence: log e-value against "the difference is 0", from either side.

    `-ln(n r + 1) / 2 + (estimate / se)^2 n r / (2 (n r + 1))`: it reaches ln(1/alpha) exactly when the two-sided
    sequence leaves 0. Subtract a margin from the estimate to test another difference.

    Args:
        estimate: As for `asymptotic_sequence`.
        standard_error: Above 0 unless `n` is 0.
        n: As for `asymptotic_sequence`.
        n_expected: As for `asymptotic_sequence`.
        alpha: The level that it is tuned for, in (0, 1).

    Returns:
        Natural log of the e-value; 0 without customers.

    Raises:
        ValueError: As `asymptotic_sequence`, and a standard error of 0 with customers.

    Examples:
        >>> round(asymptotic_log_e(0.1, 0.03, 5000, n_expected=5000, alpha=0.05), 4)
        3.8388
    """
    n, rho2 = check_whole("n", n), _rho2(n_expected, alpha, one_sided=False)
    _check_standard_error(standard_error)
    if n == 0:
        return 0.0
    if standard_error == 0:
        raise ValueError("standard_error is 0; with customers it must be above 0")
    growth = n * rho2 + 1
    return -math.log(growth) / 2 + (estimate / standard_error) ** 2 * n * rho2 / (2 * growth)


def ratio_metric(sums: npt.ArrayLike, counts: npt.ArrayLike) -> Estimate:
    """A mean over rows of customers who have several each, by the delta method; the customer is the unit.

    `R = sum S / sum N` with `se = sd(S_i - R N_i) / (sqrt(n) mean N)`.

    Source: Deng, Knoblich & Lu 2018 (KDD), "Applying the delta method in metric analytics".

    Args:
        sums: Each customer's sum, shape `(n_customers,)`.
        counts: Each customer's number of rows, above 0, shape `(n_customers,)`; all 1 where there is one row each.

    Returns:
        The ratio, its standard error and the number of customers.

    Raises:
        ValueError: Fewer than two customers, rows of different length, or a count that is not above 0.

    Examples:
        >>> found = ratio_metric([1, 2, 0, 3, 1, 2], [1, 3, 1, 3, 2, 4])
        >>> round(found.value, 6), round(found.standard_error, 7)
        (0.642857, 0.1134444)
    """
    summed, numbers = np.asarray(sums, dtype=np.float64), np.asarray(counts, dtype=np.float64)
    if summed.ndim != 1 or summed.size < 2 or summed.shape != numbers.shape:
        raise ValueError(f"sums has shape {summed.shape} and counts {numbers.shape}; both must be rows of 2 or more")
    if not (np.isfinite(summed).all() and np.isfinite(numbers).all() and (numbers > 0).all()):
        raise ValueError("counts must be finite and above 0, and sums finite")
    ratio = float(summed.sum() / numbers.sum())
    deviation = float(np.std(summed - ratio * numbers, ddof=1))
    return Estimate(ratio, deviation / (math.sqrt(summed.size) * float(numbers.mean())), summed.size)


def share_estimate(positives: int, n: int) -> Estimate:
    """A share of customers with one row each: `ratio_metric` from two counts.

    Args:
        positives: Customers that count.
        n: All customers, at least 2.

    Returns:
        The share, its standard error and n.

    Raises:
        ValueError: A count that is negative or not whole, n below 2 or below `positives`.

    Examples:
        >>> share_estimate(30, 100).value, round(share_estimate(30, 100).standard_error, 6)
        (0.3, 0.046057)
    """
    positives = check_whole("positives", positives)
    n = check_whole("n", n, at_least=max(2, positives))
    share = positives / n
    return Estimate(share, math.sqrt(share * (1 - share) / (n - 1)), n)


def difference(arm_b: Estimate, arm_a: Estimate) -> Estimate:
    """One arm minus the other, which has customers of its own.

    Args:
        arm_b: The challenger's.
        arm_a: The champion's.

    Returns:
        The difference, its standard error, and the customers of both.

    Raises:
        ValueError: Never; it takes any two estimates.

    Examples:
        >>> found = difference(Estimate(0.5, 0.03, 100), Estimate(0.4, 0.04, 300))
        >>> round(found.value, 3), round(found.standard_error, 3), found.n
        (0.1, 0.05, 400)
    """
    error = math.hypot(arm_b.standard_error, arm_a.standard_error)
    return Estimate(arm_b.value - arm_a.value, error, arm_b.n + arm_a.n)


def stratified(phases: Sequence[Estimate]) -> Estimate:
    """One difference over the phases of an experiment, weighted by their customers.

    Arms may not be pooled over phases: a split that grew while churn rose would compare early customers of the champion
    with late ones of the challenger (Simpson's paradox). Each phase is compared within itself and counts by its
    customers, so the result is the mean effect on those who took part. Weights by inverse variance would be narrower
    under a lopsided split, but depend on the outcomes, and estimate that mean only where the effect is the same in all
    phases.

    Args:
        phases: The difference in each phase, at least one.

    Returns:
        `sum w D` with w = n / sum n, its standard error `sqrt(sum (w se)^2)`, and the customers of all.

    Raises:
        ValueError: There is no phase, or none has customers.

    Examples:
        >>> found = stratified([Estimate(0.2, 0.03, 100), Estimate(0.1, 0.02, 300)])
        >>> round(found.value, 4), round(found.standard_error, 4), found.n
        (0.125, 0.0168, 400)
    """
    total = sum(phase.n for phase in phases)
    if total == 0:
        raise ValueError("phases have no customers; at least one must have some")
    value = math.fsum(phase.value * phase.n for phase in phases) / total
    error = math.sqrt(math.fsum((phase.standard_error * phase.n / total) ** 2 for phase in phases))
    return Estimate(value, error, total)


def _rho2(n_expected: int, alpha: float, one_sided: bool) -> float:
    level = 2 * check_inside("alpha", alpha, 0, 0.5) if one_sided else check_inside("alpha", alpha, 0, 1)
    inverse = 2 * math.log(1 / level)
    return (inverse + math.log1p(inverse)) / check_whole("n_expected", n_expected, at_least=1)


def _check_standard_error(standard_error: float) -> None:
    if not 0 <= standard_error < math.inf:
        raise ValueError(f"standard_error is {standard_error}; it must be finite and at least 0")
