"""Two-sided 95 % intervals for what the checks measure: Wilson for shares, else a seeded bootstrap.

A comparison with the champion at a one-sided level alpha has a two-sided interval of 1 - 2 alpha instead, and says so.

A bootstrap whose resamples never vary says nothing about its uncertainty: in its place stands what Wilson's interval
allows when none of the rows was an exception, so that few rows never look like certainty.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from validation.gate.metrics import (
    LABEL_METRICS,
    RANK_METRICS,
    ROW_LOSSES,
    Answered,
    BoolArray,
    Confusion,
    FloatArray,
    LabelMetric,
    RankMetric,
    profit,
    tie_starts,
    value_of,
)
from validation.statistics import auc_interval, equal_count_bins, wilson_interval

CONFIDENCE = 0.95
RESAMPLES = 2000

SHARES: dict[str, Callable[[Confusion], tuple[FloatArray, FloatArray]]] = {
    "accuracy": lambda c: (c.tp + c.tn, c.n),
    "recall_weighted": lambda c: (c.tp + c.tn, c.n),  # the same number under another name
    "recall_positive": lambda c: (c.tp, c.tp + c.fn),
    "precision_positive": lambda c: (c.tp, c.tp + c.fp),
    "recall_negative": lambda c: (c.tn, c.tn + c.fp),
    "precision_negative": lambda c: (c.tn, c.tn + c.fn),
}
"""Metrics that are one share of rows: how many of how many."""


@dataclass(frozen=True)
class Measured:
    """One number with its interval.

    Attributes:
        value: The number; NaN where it is undefined.
        low: Lower end of its interval.
        high: Upper end.
        n: Rows that it was measured on.
        details: Further numbers for the report.
        confidence: Of the interval, two-sided.
    """

    value: float
    low: float
    high: float
    n: int
    details: dict[str, float] = field(default_factory=dict)
    confidence: float = CONFIDENCE


def measure_metric(name: str, answered: Answered, rng: np.random.Generator) -> Measured:
    """Measure a metric as `value_of` does, with its interval; `rng` is for the bootstrap, where there is one."""
    return Measured(value_of(name, answered), *_interval_of(name, answered, rng), answered.truth.size)


def _interval_of(name: str, answered: Answered, rng: np.random.Generator) -> tuple[float, float]:
    value, truth = value_of(name, answered), answered.truth
    if name in SHARES:
        part, whole = (int(count) for count in SHARES[name](answered.confusion))
        return wilson_interval(part, whole, CONFIDENCE)
    if name == "profit":
        cost = answered.false_positive_cost
        return _label_interval(lambda c: profit(c, cost), value, answered.confusion, rng, least=-1.0)
    if name in LABEL_METRICS:
        return _label_interval(LABEL_METRICS[name], value, answered.confusion, rng)
    if name in ROW_LOSSES:
        measured = measure_mean(ROW_LOSSES[name](answered), rng)
        return measured.low, measured.high
    if name == "ece":
        return _calibration_interval(value, answered, rng)
    fewest = int(min(truth.sum(), truth.size - truth.sum()))
    if name == "roc_auc" and fewest >= _FEWEST_FOR_DELONG:
        low, high = auc_interval(truth, answered.probabilities, CONFIDENCE)
        if low < high:
            return low, high
    return _rank_interval(RANK_METRICS[name], value, truth, answered.probabilities, rng)


_FEWEST_FOR_DELONG = 20
"""Rows of the rarer class from which DeLong's normal approximation is trusted; below, rows are resampled."""


def _calibration_interval(value: float, answered: Answered, rng: np.random.Generator) -> tuple[float, float]:
    """Basic bootstrap with the bins held fast: chance alone makes an error above 0, and a resample doubles that bias.

    The basic interval, twice the value less the resamples' quantiles, takes it back once.
    """
    n = answered.truth.size
    if n == 0:
        return float("nan"), float("nan")
    bins = equal_count_bins(answered.probabilities, 10)
    excess, width = answered.probabilities - answered.truth, int(bins.max()) + 1
    draws = rng.integers(0, n, (_RESAMPLES_OF_CALIBRATION, n))
    # A resample's sum a bin, all resamples at once: each has bins of its own.
    of_bin = bins[draws] + width * np.arange(_RESAMPLES_OF_CALIBRATION)[:, np.newaxis]
    sums = np.bincount(of_bin.ravel(), weights=excess[draws].ravel(), minlength=width * _RESAMPLES_OF_CALIBRATION)
    resampled = np.abs(sums.reshape(-1, width)).sum(axis=1) / n
    low, high = np.quantile(resampled, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return max(2 * value - float(high), 0.0), max(2 * value - float(low), value)


_RESAMPLES_OF_CALIBRATION = 1000


def measure_mean(values: FloatArray, rng: np.random.Generator, confidence: float = CONFIDENCE) -> Measured:
    """Measure the mean of numbers in [-1, 1], one a row, with a percentile bootstrap over rows.

    Args:
        values: Shape (n_rows,).
        rng: For the resamples.
        confidence: Of the interval, two-sided.
    """
    n = values.size
    resampled = _resampled_means(values, rng)
    value = float(values.mean())
    low, high = _percentiles(value, resampled, n, least=-1.0, confidence=confidence)
    return Measured(value, low, high, n, confidence=confidence)


_FEW_VALUES = 40
"""Beyond so many drawing their counts takes longer than drawing rows."""

_AT_ONCE = 100
"""Resamples drawn together: a few megabytes."""


def _resampled_means(values: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Means of resampled rows; where rows have few different values, their counts are drawn, which is the same."""
    distinct, counts = np.unique(values, return_counts=True)
    n = values.size
    if distinct.size <= _FEW_VALUES:
        return np.asarray(rng.multinomial(n, counts / n, size=RESAMPLES) @ distinct / n)
    blocks = (rng.integers(0, n, (_AT_ONCE, n), dtype=np.int32) for _ in range(RESAMPLES // _AT_ONCE))
    return np.concatenate([values[block].mean(axis=1) for block in blocks])


def _label_interval(
    metric: LabelMetric, value: float, confusion: Confusion, rng: np.random.Generator, least: float = 0.0
) -> tuple[float, float]:
    counts = np.array([confusion.tp, confusion.fp, confusion.fn, confusion.tn])
    n = int(counts.sum())
    # Rows matter through the four counts alone, so resampling rows is drawing the counts.
    resampled = metric(Confusion(*rng.multinomial(n, counts / n, size=RESAMPLES).T.astype(np.float64)))
    fewest = int(min(confusion.tp + confusion.fn, confusion.tn + confusion.fp))
    return _percentiles(value, resampled, fewest, least)


def _rank_interval(
    metric: RankMetric, value: float, truth: BoolArray, probabilities: FloatArray, rng: np.random.Generator
) -> tuple[float, float]:
    n = truth.size
    order = np.argsort(probabilities, kind="stable")
    truth, starts = truth[order], tie_starts(probabilities[order])
    draws = (np.bincount(rng.integers(0, n, n), minlength=n).astype(np.float64) for _ in range(RESAMPLES))
    resampled = np.array([metric(truth, starts, weights) for weights in draws])
    return _percentiles(value, resampled, int(min(truth.sum(), n - truth.sum())))


def _percentiles(
    value: float, resampled: FloatArray, n: int, least: float = 0.0, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    # A resample without one of the classes has no value; those that have one stand for all.
    known = resampled[~np.isnan(resampled)]
    if known.size == 0:
        return float("nan"), float("nan")
    if known.min() == known.max():
        width = wilson_interval(0, n, confidence)[1]
        return max(value - width, least), min(value + width, 1.0)
    low, high = np.quantile(known, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
