"""What chance explains: quantiles at the level that the allowed false alarms leave, as numbers and as PromQL.

How often customers come back is estimated, from as many bits as there are degrees of freedom, so chi-square becomes F
and the normal becomes t: a limit by the plain quantiles would be passed a thousand times as often, so far out.
"""

from __future__ import annotations

import math

from scipy.stats import chi2, f, t

from grafana.drift.settings import DriftSettings, Window
from service.metric_names import HASH_BITS


def quantile(bins: int, level: float) -> float:
    """What `PSI / (repeats / n + 1 / m)` exceeds without drift with probability `level`: (bins - 1) F."""
    return (bins - 1) * float(f.isf(level, bins - 1, HASH_BITS))


def quantile_table(window: Window, settings: DriftSettings) -> str:
    """The quantiles by the number of bins, as PromQL: features have as many bins as their contract gives them."""
    level = settings.level(window)
    rows = (
        f'label_replace(vector({quantile(bins, level):.12g}), "bins", "{bins}", "", "")'
        for bins in range(2, settings.most_bins + 1)
    )
    return "\nor ".join(rows)


def quantile_bound(bins: str, window: Window, settings: DriftSettings) -> str:
    """A number above the quantile for any number of bins above the table's, as PromQL.

    Half the level for chi-square, which exceeds `k + 2 sqrt(k x) + 2 x` with probability at most exp(-x) (Laurent and
    Massart 2000), and half for the estimate of how often customers come back to be too low.

    Args:
        bins: The series that counts them.
        window: Of the look.
        settings: How many alarms are allowed.
    """
    half = settings.level(window) / 2
    x, low = -math.log(half), float(chi2.ppf(half, HASH_BITS)) / HASH_BITS
    k = f"({bins} > {settings.most_bins}) - 1"
    return f"({k} + 2 * sqrt(({k}) * {x:.12g}) + {2 * x:.12g}) / {low:.12g}"


def standard_errors(window: Window, settings: DriftSettings) -> float:
    """How many standard errors chance reaches, to both sides."""
    return float(f"{t.isf(settings.level(window) / 2, HASH_BITS):.12g}")
