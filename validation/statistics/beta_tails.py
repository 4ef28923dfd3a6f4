"""Logs of incomplete beta integrals, far into the tails where the integral itself underflows."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import betaincc, betaln

_LEAST_DIRECT = 1e-280


def log_mass_above(a: float, b: float, x: float) -> float:
    """Log of the integral of `t^(a-1) (1-t)^(b-1)` over (x, 1).

    Args:
        a: Above 0.
        b: Above 0.
        x: In (0, 1).

    Examples:
        >>> round(math.exp(log_mass_above(1, 1, 0.5)), 12)
        0.5
        >>> round(log_mass_above(1, 5000, 0.5), 6)  # ln(2^-5000 / 5000)
        -3474.253096
    """
    share = float(betaincc(a, b, x))
    if share > _LEAST_DIRECT:
        return float(betaln(a, b)) + math.log(share)
    # Far in the tail the share underflows, while the integral is x^a (1-x)^b / b times a series (DLMF 8.17.7 and
    # 15.8.1) whose terms shrink at least by the first ratio.
    first_ratio = (a + b) * (1 - x) / (b + 1)
    steps = np.arange(math.ceil(-40 / math.log(first_ratio)))
    series = 1 + np.cumprod((a + b + steps) * (1 - x) / (b + 1 + steps)).sum()
    return float(a * math.log(x) + b * math.log1p(-x) - math.log(b) + math.log(series))
