"""Metrics that a policy can ask for, each named with its average.

Those of labels follow from the four counts of a confusion, for one confusion or for many at once. Those of ranks follow
from probabilities, with a weight a row, so that a bootstrap resamples weights and sorts once. Of those of probabilities
less is better.
Definitions are scikit-learn's; a class that is never answered has precision 0, and what is undefined is NaN.
`profit` is what the answers spare a customer beside flagging nobody, in units of the dearer mistake, as the online
policy counts it: a positive row that is found spares a miss, a needless flag costs `false_positive_cost` of one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from validation.statistics import equal_count_bins

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Confusion:
    """How truths and answers met: four counts, or four arrays of counts of one shape.

    Attributes:
        tp: Positive and answered so.
        fp: Negative, answered positive.
        fn: Positive, answered negative.
        tn: Negative and answered so.
    """

    tp: FloatArray
    fp: FloatArray
    fn: FloatArray
    tn: FloatArray

    @property
    def n(self) -> FloatArray:
        """All rows."""
        return self.tp + self.fp + self.fn + self.tn

    @property
    def flipped(self) -> Confusion:
        """The same with the negative class as the one that is looked for."""
        return Confusion(tp=self.tn, fp=self.fn, fn=self.fp, tn=self.tp)


@dataclass(frozen=True)
class Answered:
    """What a model answered to rows, and what they really are.

    Attributes:
        truth: Whether each row is positive, shape (n_rows,).
        probabilities: The model's, in [0, 1], shape (n_rows,).
        positives: The model's labels, shape (n_rows,).
        false_positive_cost: Cost of a false positive over the cost of a false negative, above 0; for profit alone.
    """

    truth: BoolArray
    probabilities: FloatArray
    positives: BoolArray
    false_positive_cost: float = 1.0

    @property
    def confusion(self) -> Confusion:
        """The counts of its labels."""
        return confusion_of(self.truth, self.positives)

    def of(self, rows: NDArray[np.intp] | BoolArray) -> Answered:
        """The same of some rows."""
        return Answered(self.truth[rows], self.probabilities[rows], self.positives[rows], self.false_positive_cost)


def costs_of(false_positive_cost: float) -> tuple[float, float]:
    """What a missed positive and a needless flag cost, in units of the dearer of both."""
    return min(1.0, 1 / false_positive_cost), min(1.0, false_positive_cost)


def confusion_of(truth: BoolArray, positives: BoolArray) -> Confusion:
    """Count how truths and answers met.

    Args:
        truth: Whether each row is positive, shape (n_rows,).
        positives: Whether each was answered positive, shape (n_rows,).
    """
    counts = [truth & positives, ~truth & positives, truth & ~positives, ~truth & ~positives]
    return Confusion(*(np.asarray(np.count_nonzero(rows), dtype=np.float64) for rows in counts))


def accuracy(c: Confusion) -> FloatArray:
    """Share of rows that were answered right."""
    return _ratio(c.tp + c.tn, c.n)


def precision(c: Confusion) -> FloatArray:
    """Share of the positive answers that are right; 0 without a positive answer, which is the worst value."""
    return np.asarray(c.tp / np.maximum(c.tp + c.fp, 1.0))


def recall(c: Confusion) -> FloatArray:
    """Share of the positive rows that were found."""
    return _ratio(c.tp, c.tp + c.fn)


def f1(c: Confusion) -> FloatArray:
    """Harmonic mean of precision and recall, `2 tp / (2 tp + fp + fn)`."""
    return _ratio(2 * c.tp, 2 * c.tp + c.fp + c.fn)


def profit(c: Confusion, false_positive_cost: float) -> FloatArray:
    """What the answers spare a row, beside flagging nobody."""
    missed, needless = costs_of(false_positive_cost)
    return _ratio(c.tp * missed - c.fp * needless, c.n)


def brier_losses(answered: Answered) -> FloatArray:
    """Squared distance of probability and truth, of each row."""
    return np.asarray((answered.probabilities - answered.truth) ** 2, dtype=np.float64)


def log_losses(answered: Answered) -> FloatArray:
    """Negative log likelihood of each row's truth; a certainty that is wrong counts as float64 can tell it from one."""
    promised = np.where(answered.truth, answered.probabilities, 1 - answered.probabilities)
    return np.asarray(-np.log(np.clip(promised, _LEAST_TOLD, 1.0)), dtype=np.float64)


_LEAST_TOLD = float(np.finfo(np.float64).eps)

DEAREST_ROW = -math.log(_LEAST_TOLD)
"""The largest log loss that a row can have."""


def calibration_error(truth: BoolArray, probabilities: FloatArray) -> float:
    """Expected calibration error: mean distance of promised and seen share over ten bins of equal count."""
    if truth.size == 0:
        return float("nan")
    bins = equal_count_bins(probabilities, 10)
    return float(np.abs(np.bincount(bins, weights=probabilities - truth)).sum() / truth.size)


def tie_starts(rising: FloatArray) -> NDArray[np.intp]:
    """Where in rising probabilities, shape (n_rows,), each run of equal ones begins."""
    return np.flatnonzero(np.diff(rising, prepend=-np.inf))


def roc_auc(truth: BoolArray, starts: NDArray[np.intp], weights: FloatArray) -> FloatArray:
    """Chance that a positive row is ranked above a negative one, ties counting half.

    Args:
        truth: Whether each row is positive, rows by rising probability, shape (n_rows,).
        starts: Their `tie_starts`.
        weights: How often each row counts, shape (n_rows,).
    """
    positive = np.add.reduceat(weights * truth, starts)
    negative = np.add.reduceat(weights * ~truth, starts)
    below = np.cumsum(negative) - negative
    return _ratio(positive @ (below + negative / 2), positive.sum() * negative.sum())


def average_precision(truth: BoolArray, starts: NDArray[np.intp], weights: FloatArray) -> FloatArray:
    """Area under the precision-recall curve as `sum (R_k - R_(k-1)) P_k`; arguments as for `roc_auc`."""
    positive = np.add.reduceat(weights * truth, starts)[::-1]
    rows = np.add.reduceat(weights, starts)[::-1]
    precisions = np.cumsum(positive) / np.maximum(np.cumsum(rows), 1.0)
    return _ratio(positive @ precisions, positive.sum())


LabelMetric = Callable[[Confusion], FloatArray]
RankMetric = Callable[[BoolArray, NDArray[np.intp], FloatArray], FloatArray]


def _flipped(metric: LabelMetric) -> LabelMetric:
    return lambda c: metric(c.flipped)


def _macro(metric: LabelMetric) -> LabelMetric:
    return lambda c: (metric(c) + metric(c.flipped)) / 2


def _weighted(metric: LabelMetric) -> LabelMetric:
    """Mean of both classes, weighted by how many rows each has."""
    return lambda c: _ratio((c.tp + c.fn) * metric(c) + (c.tn + c.fp) * metric(c.flipped), c.n)


def _ratio(part: FloatArray, whole: FloatArray) -> FloatArray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.true_divide(part, whole))


LABEL_METRICS: dict[str, LabelMetric] = {
    "accuracy": accuracy,
    "balanced_accuracy": _macro(recall),
    **{f"{metric.__name__}_positive": metric for metric in (precision, recall, f1)},
    **{f"{metric.__name__}_negative": _flipped(metric) for metric in (precision, recall, f1)},
    **{f"{metric.__name__}_macro": _macro(metric) for metric in (precision, recall, f1)},
    **{f"{metric.__name__}_weighted": _weighted(metric) for metric in (precision, recall, f1)},
}
RANK_METRICS: dict[str, RankMetric] = {"roc_auc": roc_auc, "pr_auc": average_precision}
ROW_LOSSES: dict[str, Callable[[Answered], FloatArray]] = {"brier": brier_losses, "log_loss": log_losses}
"""Metrics that are the mean of what each row costs."""

LOSSES: tuple[str, ...] = (*ROW_LOSSES, "ece")
"""Metrics of which less is better."""

METRICS: tuple[str, ...] = (*LABEL_METRICS, "profit", *RANK_METRICS, *LOSSES)
"""Every name that a policy may ask for."""


def value_of(name: str, answered: Answered) -> float:
    """A metric of one model, without its interval; NaN where it is undefined.

    Args:
        name: One of `METRICS`.
        answered: What the model answered.
    """
    if name in LABEL_METRICS:
        return float(LABEL_METRICS[name](answered.confusion))
    if name == "profit":
        return float(profit(answered.confusion, answered.false_positive_cost))
    if name in ROW_LOSSES:
        return float(ROW_LOSSES[name](answered).mean()) if answered.truth.size else float("nan")
    if name == "ece":
        return calibration_error(answered.truth, answered.probabilities)
    order = np.argsort(answered.probabilities, kind="stable")
    starts = tie_starts(answered.probabilities[order])
    return float(RANK_METRICS[name](answered.truth[order], starts, np.ones(answered.truth.size)))
