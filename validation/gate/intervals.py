"""Two-sided 95 % intervals for what the checks measure: Wilson for shares, Newcombe for a gap, else a seeded bootstrap.

A bootstrap whose resamples never vary says nothing about its uncertainty: in its place stands what Wilson's interval
allows when none of the rows was an exception, so that few rows never look like certainty.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
from statsmodels.stats.proportion import confint_proportions_2indep

from validation.gate.metrics import (
    LABEL_METRICS,
    RANK_METRICS,
    BoolArray,
    Confusion,
    FloatArray,
    LabelMetric,
    RankMetric,
    confusion_of,
    tie_starts,
    value_of,
)
from validation.statistics import wilson_interval

CONFIDENCE = 0.95
RESAMPLES = 2000

_SHARES: dict[str, Callable[[Confusion], tuple[FloatArray, FloatArray]]] = {
    "accuracy": lambda c: (c.tp + c.tn, c.n),
    "recall_weighted": lambda c: (c.tp + c.tn, c.n),  # the same number under another name
    "recall_positive": lambda c: (c.tp, c.tp + c.fn),
    "precision_positive": lambda c: (c.tp, c.tp + c.fp),
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
    """

    value: float
    low: float
    high: float
    n: int
    details: dict[str, float] = field(default_factory=dict)


def measure_metric(
    name: str, truth: BoolArray, probabilities: FloatArray, positives: BoolArray, rng: np.random.Generator
) -> Measured:
    """Measure a metric as `value_of` does, with its interval; `rng` is for the bootstrap, where there is one."""
    value = value_of(name, truth, probabilities, positives)
    if name in RANK_METRICS:
        return Measured(value, *_rank_interval(RANK_METRICS[name], value, truth, probabilities, rng), truth.size)
    confusion = confusion_of(truth, positives)
    if name not in _SHARES:
        return Measured(value, *_label_interval(LABEL_METRICS[name], value, confusion, rng), truth.size)
    part, whole = (int(count) for count in _SHARES[name](confusion))
    return Measured(value, *wilson_interval(part, whole, CONFIDENCE), truth.size)


def measure_gap(correct: BoolArray, groups: Iterable[str]) -> Measured:
    """Measure how far accuracy lies apart between the best and the worst group.

    The interval is Newcombe's for those two groups' difference, folded at 0, as a gap has no sign.

    Source: Newcombe 1998 (Statistics in Medicine 17:873), method 10; `statsmodels`' "newcomb".

    Args:
        correct: Whether each row was answered right, shape (n_rows,).
        groups: Each row's group.

    Raises:
        ValueError: Fewer than two groups have rows.
    """
    names = np.asarray(list(groups), dtype=str)
    counts = {str(g): (int(correct[names == g].sum()), int((names == g).sum())) for g in np.unique(names)}
    if len(counts) < 2:
        raise ValueError(f"the holdout has rows of {', '.join(counts) or 'no group'} only; a gap needs two groups")
    by_accuracy = sorted(counts, key=lambda group: (counts[group][0] / counts[group][1], group))
    (best, n_best), (worst, n_worst) = counts[by_accuracy[-1]], counts[by_accuracy[0]]
    low, high = (float(end) for end in _newcombe(best, n_best, worst, n_worst))
    details = {f"accuracy[{group}]": right / rows for group, (right, rows) in counts.items()}
    details |= {f"n[{group}]": float(rows) for group, (_, rows) in counts.items()}
    folded = (0.0 if low < 0 < high else min(abs(low), abs(high)), max(abs(low), abs(high)))
    return Measured(best / n_best - worst / n_worst, *folded, correct.size, details)


def measure_mean(values: FloatArray, rng: np.random.Generator) -> Measured:
    """Measure the mean of numbers in [-1, 1], one a row, with a percentile bootstrap over rows.

    Args:
        values: Shape (n_rows,).
        rng: For the resamples.
    """
    n = values.size
    resampled = np.array([values[rng.integers(0, n, n)].mean() for _ in range(RESAMPLES)])
    value = float(values.mean())
    return Measured(value, *_percentiles(value, resampled, n, least=-1.0), n)


def _label_interval(
    metric: LabelMetric, value: float, confusion: Confusion, rng: np.random.Generator
) -> tuple[float, float]:
    counts = np.array([confusion.tp, confusion.fp, confusion.fn, confusion.tn])
    n = int(counts.sum())
    # Rows matter through the four counts alone, so resampling rows is drawing the counts.
    resampled = metric(Confusion(*rng.multinomial(n, counts / n, size=RESAMPLES).T.astype(np.float64)))
    fewest = int(min(confusion.tp + confusion.fn, confusion.tn + confusion.fp))
    return _percentiles(value, resampled, fewest)


def _rank_interval(
    metric: RankMetric, value: float, truth: BoolArray, probabilities: FloatArray, rng: np.random.Generator
) -> tuple[float, float]:
    n = truth.size
    order = np.argsort(probabilities, kind="stable")
    truth, starts = truth[order], tie_starts(probabilities[order])
    draws = (np.bincount(rng.integers(0, n, n), minlength=n).astype(np.float64) for _ in range(RESAMPLES))
    resampled = np.array([metric(truth, starts, weights) for weights in draws])
    return _percentiles(value, resampled, int(min(truth.sum(), n - truth.sum())))


def _percentiles(value: float, resampled: FloatArray, n: int, least: float = 0.0) -> tuple[float, float]:
    # A resample without one of the classes has no value; those that have one stand for all.
    known = resampled[~np.isnan(resampled)]
    if known.size == 0:
        return float("nan"), float("nan")
    if known.min() == known.max():
        width = wilson_interval(0, n, CONFIDENCE)[1]
        return max(value - width, least), min(value + width, 1.0)
    low, high = np.quantile(known, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def _newcombe(best: int, n_best: int, worst: int, n_worst: int) -> tuple[float, float]:
    found: tuple[float, float] = confint_proportions_2indep(
        best, n_best, worst, n_worst, method="newcomb", compare="diff", alpha=1 - CONFIDENCE
    )
    return found
