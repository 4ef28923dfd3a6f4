"""F3: boundaries for sums that may drift: normal, gamma-exponential and beta-binomial mixtures, and stitching.

For display: "better on average so far", with bounds that hold at every look. F2c decides. The unit of a sum s is that
of one observation, and v is its intrinsic time, such as the sum of squared distances from the mean before.

Source: Howard, Ramdas, McAuliffe & Sekhon 2021 (Annals of Statistics 49:1055, arXiv 1810.08240); Choe & Ramdas 2023
(Operations Research, arXiv 2110.00115) for differences of scores under drift.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import betainc, betaln, gammainc, gammaln, log_ndtr, zeta

from validation.statistics.arguments import FloatArray, check_inside


def best_rho(v: float, alpha: float) -> float:
    """The mixture's precision that makes the boundary lowest near an intrinsic time.

    `v / (2 ln(1/alpha) + ln(1 + 2 ln(1/alpha)))`.

    Args:
        v: Intrinsic time, above 0.
        alpha: Crossing probability of a two-sided boundary, in (0, 1); twice that of a one-sided one.

    Returns:
        rho, above 0.

    Raises:
        ValueError: v not above 0, or alpha outside (0, 1).

    Examples:
        >>> round(best_rho(100, 0.05), 5)
        12.60056
    """
    inverse = 2 * math.log(1 / check_inside("alpha", alpha, 0, 1))
    return check_inside("v", v, 0, math.inf) / (inverse + math.log1p(inverse))


def normal_log_mixture(s: float, v: float, rho: float, one_sided: bool = False) -> float:
    """Log of the normal mixture supermartingale of a sub-Gaussian sum.

    Args:
        s: The sum.
        v: Its intrinsic time, at least 0.
        rho: Precision, as `best_rho` gives.
        one_sided: Bet on large sums alone.

    Returns:
        Natural log of an e-value.

    Raises:
        ValueError: rho not above 0 or v negative.

    Examples:
        >>> round(normal_log_mixture(10, 100, best_rho(100, 0.05)), 7)
        -0.6510052
    """
    rho = check_inside("rho", rho, 0, math.inf)
    if not v >= 0:
        raise ValueError(f"v is {v}; it must be at least 0")
    exponent = s * s / (2 * (v + rho))
    if not one_sided:
        return 0.5 * math.log(rho / (v + rho)) + exponent
    return 0.5 * math.log(4 * rho / (v + rho)) + exponent + float(log_ndtr(s / math.sqrt(v + rho)))


def gamma_exponential_log_mixture(s: float, v: float, rho: float, c: float) -> float:
    """Log of the gamma-exponential mixture of a sub-exponential sum, one-sided.

    Args:
        s: The sum.
        v: Its intrinsic time, at least 0.
        rho: Precision, at twice the one-sided crossing probability.
        c: Scale of the sub-exponential tail, above 0; 2 for differences in [-1, 1].

    Returns:
        Natural log of an e-value.

    Raises:
        ValueError: rho or c not above 0.

    Examples:
        >>> round(gamma_exponential_log_mixture(10, 100, best_rho(100, 0.1), 2), 7)
        -0.2490165
    """
    r = check_inside("rho", rho, 0, math.inf) / check_inside("c", c, 0, math.inf) ** 2
    y, x = (v + rho) / c**2, (c * s + v + rho) / c**2
    return float(
        r * math.log(r)
        - gammaln(r)
        - np.log(gammainc(r, r))
        + gammaln(y)
        + np.log(gammainc(y, x))
        - y * math.log(x)
        + (c * s + v) / c**2
    )


def beta_binomial_log_mixture(s: float, v: float, rho: float, g: float, h: float, one_sided: bool = False) -> float:
    """Log of the beta-binomial mixture of a sum of increments in [-g, h].

    Args:
        s: The sum.
        v: Its intrinsic time, at least 0.
        rho: Precision, above 0: `best_rho` less g h.
        g: Largest step down, above 0.
        h: Largest step up, above 0.
        one_sided: Bet on large sums alone.

    Returns:
        Natural log of an e-value.

    Raises:
        ValueError: g or h not above 0, or rho not above 0.

    Examples:
        >>> rho = best_rho(100, 0.05) - 0.2 * 0.8
        >>> round(beta_binomial_log_mixture(10, 100, rho, 0.2, 0.8), 5)
        -0.6941
    """
    g, h = check_inside("g", g, 0, math.inf), check_inside("h", h, 0, math.inf)
    r = check_inside("rho", rho, 0, math.inf)
    x = h / (g + h) if one_sided else 1.0

    def log_share(a: float, b: float) -> float:
        return float(betaln(a, b) + (0.0 if x == 1.0 else np.log(betainc(a, b, x))))

    whole = g + h
    norm = log_share(r / (g * whole), r / (h * whole))
    moved = log_share((r + v - g * s) / (g * whole), (r + v + h * s) / (h * whole))
    return float(v / (g * h) * math.log(whole) - ((v + h * s) / (h * whole)) * math.log(g)
                 - ((v - g * s) / (g * whole)) * math.log(h) + moved - norm)  # fmt: skip


def mixture_bound(v: float, alpha: float, rho: float, c: float | None = None, one_sided: bool = False) -> float:
    """The sum at which a mixture reaches 1/alpha: the boundary that the sum crosses with probability alpha at most.

    Args:
        v: Intrinsic time, above 0.
        alpha: Crossing probability, in (0, 1).
        rho: Precision, at alpha for two sides and at twice alpha for one.
        c: Scale of a sub-exponential sum, whose boundary is one-sided; None for a sub-Gaussian one.
        one_sided: Whether crossing upwards alone counts.

    Returns:
        The boundary, above 0, in the sum's unit.

    Raises:
        ValueError: As the mixtures.

    Examples:
        >>> round(mixture_bound(100, 0.05, best_rho(100, 0.05)), 5)
        30.35209
        >>> round(mixture_bound(100, 0.05, best_rho(100, 0.1), c=2), 5)
        33.02017
    """
    threshold = -math.log(check_inside("alpha", alpha, 0, 1))

    def excess(s: float) -> float:
        if c is None:
            return normal_log_mixture(s, v, rho, one_sided) - threshold
        return gamma_exponential_log_mixture(s, v, rho, c) - threshold

    high = math.sqrt(check_inside("v", v, 0, math.inf))
    while excess(high) < 0:
        high *= 2
    return float(brentq(excess, 0.0, high, xtol=1e-10))


def stitched_bound(v: float, m: float, alpha: float, c: float, s: float = 1.4, eta: float = 2.0) -> float:
    """Polynomial stitching: a closed boundary of the law of the iterated logarithm's shape.

    Args:
        v: Intrinsic time, at least 0.
        m: The time from which it is tight, above 0.
        alpha: Crossing probability, in (0, 1).
        c: Scale of the tail; 0 for sub-Gaussian sums.
        s: Shape, above 1.
        eta: Ratio of epochs, above 1.

    Returns:
        The boundary, in the sum's unit.

    Raises:
        ValueError: m not above 0, s or eta not above 1, alpha outside (0, 1).

    Examples:
        >>> round(stitched_bound(100, 10, 0.05, 3), 5)
        64.48755
    """
    time = max(v, check_inside("m", m, 0, math.inf))
    s, eta = check_inside("s", s, 1, math.inf), check_inside("eta", eta, 1, math.inf)
    log_zeta = math.log(float(zeta(s)) / (check_inside("alpha", alpha, 0, 1) * math.log(eta) ** s))
    loglog = s * math.log(math.log(eta * time / m)) + log_zeta
    first = (eta**0.25 + eta**-0.25) / math.sqrt(2)
    second = (math.sqrt(eta) + 1) / 2
    return math.sqrt(first**2 * time * loglog + (second * c * loglog) ** 2) + second * c * loglog


def running_mean_sequence(
    differences: npt.ArrayLike, alpha: float, v_expected: float = 100.0
) -> tuple[FloatArray, FloatArray]:
    """F3: two-sided confidence sequence of the running mean of differences in [-1, 1], whatever the drift.

    `mean +- u(V) / t` with `V_t = sum (d_i - mean_(i-1))^2` and u the gamma-exponential boundary at alpha/2, c = 2.

    Source: Choe & Ramdas 2023, theorem 2.

    Args:
        differences: In prediction order, shape `(n,)`, in [-1, 1].
        alpha: Chance, over all looks together, that it ever misses, in (0, 1).
        v_expected: Intrinsic time at which it is to be tight, above 0.

    Returns:
        Lower and upper ends after each pair, each of shape `(n,)`, within [-1, 1].

    Raises:
        ValueError: Differences that are no row of numbers in [-1, 1], or alpha outside (0, 1).

    Examples:
        >>> low, high = running_mean_sequence([1, 0, 0, -1, 0, 0, 0, 0] * 50, 0.05)
        >>> round(float(low[-1]), 3), round(float(high[-1]), 3)
        (-0.093, 0.093)
    """
    row = np.asarray(differences, dtype=np.float64)
    if row.ndim != 1 or not (np.abs(row) <= 1).all():
        raise ValueError(f"differences has shape {row.shape}; it must be one row of numbers in [-1, 1]")
    number = np.arange(1, row.size + 1)
    means = np.cumsum(row) / number
    times = np.cumsum((row - np.concatenate(([0.0], means[:-1]))) ** 2)
    rho = best_rho(v_expected, check_inside("alpha", alpha, 0, 1))
    known = {time: mixture_bound(time, alpha / 2, rho, c=2) if time > 0 else math.inf for time in np.unique(times)}
    widths = np.array([known[time] for time in times]) / number
    return np.maximum(means - widths, -1.0), np.minimum(means + widths, 1.0)
