"""Probabilities as probabilities: how well they are calibrated, and (D4) what they promise before truths are known."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

from validation.statistics.arguments import FloatArray, check_inside, check_whole

_ITERATIONS = 100
_EDGE = 1e-12
"""How near to 0 and 1 a probability may come before its logit is taken."""


@dataclass(frozen=True)
class Calibration:
    """How probabilities stand to truths.

    Attributes:
        brier: Mean squared distance of probability and truth, in [0, 1].
        ece: Expected calibration error: mean distance of promised and seen share over bins of equal count, in [0, 1].
        slope: Of truths on the probabilities' logits: 1 when calibrated, below 1 when too extreme; NaN where truths do
            not determine it.
        intercept: Of truths on the logits with slope 1 (calibration in the large): 0 when calibrated, above 0 when
            probabilities are too low; infinite where all truths are alike.
        n: Rows.
    """

    brier: float
    ece: float
    slope: float
    intercept: float
    n: int


def calibration(y_true: npt.ArrayLike, probabilities: npt.ArrayLike, bins: int = 10) -> Calibration:
    """Brier score, expected calibration error, and Cox's calibration slope and intercept.

    Source: Brier 1950; Cox 1958 (Biometrika 45:562); Van Calster et al. 2019 (BMC Medicine 17:230) for their reading.

    Args:
        y_true: Whether each row is positive, shape `(n_rows,)`.
        probabilities: What was promised, in [0, 1], shape `(n_rows,)`.
        bins: Bins of (nearly) equal count, by rising probability; equal probabilities stay together.

    Returns:
        The four numbers.

    Raises:
        ValueError: No row, rows of different length, probabilities outside [0, 1], truths other than 0 and 1, no bin.

    Examples:
        >>> found = calibration([0, 0, 1, 1], [0.25, 0.25, 0.75, 0.75], bins=2)
        >>> found.brier, found.ece
        (0.0625, 0.25)
    """
    truth, promised = _rows(y_true, probabilities)
    return Calibration(
        brier=float(np.mean((promised - truth) ** 2)),
        ece=_expected_error(truth, promised, check_whole("bins", bins, at_least=1)),
        slope=_slope(truth, promised),
        intercept=_intercept(truth, promised),
        n=truth.size,
    )


def equal_count_bins(probabilities: FloatArray, bins: int) -> npt.NDArray[np.intp]:
    """The bin of each probability: bins of nearly equal count, in which equal probabilities stay together.

    Args:
        probabilities: Shape `(n_rows,)`.
        bins: How many, at most.

    Returns:
        Numbers from 0, rising with probability, shape `(n_rows,)`.

    Raises:
        ValueError: Never.

    Examples:
        >>> equal_count_bins(np.array([0.1, 0.9, 0.1, 0.5]), 2).tolist()
        [0, 1, 0, 1]
    """
    rising = np.sort(probabilities)
    edges = np.unique(rising[[len(rising) * number // bins for number in range(1, bins)]])
    return np.searchsorted(edges, probabilities, side="right")


@dataclass(frozen=True)
class ExpectedConfusion:
    """What a model's own probabilities say of its answers, in rows.

    Attributes:
        tp: Expected true positives.
        fp: Expected false positives.
        fn: Expected false negatives.
        tn: Expected true negatives.
    """

    tp: float
    fp: float
    fn: float
    tn: float

    @property
    def accuracy(self) -> float:
        """Expected share of right answers; NaN without rows."""
        rows = self.tp + self.fp + self.fn + self.tn
        return (self.tp + self.tn) / rows if rows else math.nan

    @property
    def f1(self) -> float:
        """Expected F1 of the positive class; NaN where nothing is or is called positive."""
        found = 2 * self.tp + self.fp + self.fn
        return 2 * self.tp / found if found else math.nan


def cbpe(probabilities: npt.ArrayLike, cut: float) -> ExpectedConfusion:
    """D4: the confusion that calibrated probabilities promise, before any truth is known.

    An early warning about one model, and blind to concept drift. Never compare models by it: each grades itself.

    Source: "confidence-based performance estimation", NannyML; Guillory et al. 2021 (arXiv 2107.03315).

    Args:
        probabilities: Calibrated probabilities of the positive class, in [0, 1], shape `(n_rows,)`.
        cut: Probability from which the answer is positive, in (0, 1).

    Returns:
        Expected counts.

    Raises:
        ValueError: Probabilities outside [0, 1] or a cut outside (0, 1).

    Examples:
        >>> found = cbpe([0.9, 0.8, 0.6, 0.4, 0.3, 0.1], 0.5)
        >>> round(found.tp, 1), round(found.fp, 1), round(found.fn, 1), round(found.tn, 1)
        (2.3, 0.7, 0.8, 2.2)
    """
    promised = _probabilities(probabilities)
    answered = promised >= check_inside("cut", cut, 0, 1)
    tp, fn = float(promised[answered].sum()), float(promised[~answered].sum())
    return ExpectedConfusion(tp, float(answered.sum()) - tp, fn, float((~answered).sum()) - fn)


def _rows(y_true: npt.ArrayLike, probabilities: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    truth, promised = np.asarray(y_true), _probabilities(probabilities)
    if truth.shape != promised.shape or truth.size == 0:
        raise ValueError(f"y_true has shape {truth.shape} and probabilities {promised.shape}; both must be one row")
    if not np.isin(truth, (0, 1)).all():
        raise ValueError("y_true must hold 0 and 1, or False and True, alone")
    return truth.astype(np.float64), promised


def _probabilities(probabilities: npt.ArrayLike) -> FloatArray:
    promised = np.asarray(probabilities, dtype=np.float64)
    if promised.ndim != 1 or not ((promised >= 0) & (promised <= 1)).all():
        raise ValueError(f"probabilities has shape {promised.shape}; it must be one row of numbers in [0, 1]")
    return promised


def _expected_error(truth: FloatArray, promised: FloatArray, bins: int) -> float:
    number = equal_count_bins(promised, bins)
    gaps = np.abs(np.bincount(number, weights=promised - truth))
    return float(gaps.sum() / truth.size)


def _slope(truth: FloatArray, promised: FloatArray) -> float:
    logits = logit(np.clip(promised, _EDGE, 1 - _EDGE))
    columns = np.column_stack([np.ones_like(logits), logits])
    return float(_logistic(columns, truth, np.zeros_like(logits))[1])


def _intercept(truth: FloatArray, promised: FloatArray) -> float:
    if truth.min() == truth.max():
        return math.inf if truth[0] else -math.inf
    logits = logit(np.clip(promised, _EDGE, 1 - _EDGE))
    return float(_logistic(np.ones((truth.size, 1)), truth, logits)[0])


def _logistic(columns: FloatArray, truth: FloatArray, offset: FloatArray) -> FloatArray:
    """Maximum likelihood by Newton's method; NaN where it does not exist (separated or constant data).

    Two parameters need no library of 190 MB, which the judge would have to carry; tests compare it with statsmodels.
    """
    weights = np.zeros(columns.shape[1])
    for _ in range(_ITERATIONS):
        expected = expit(columns @ weights + offset)
        gradient = columns.T @ (truth - expected)
        curvature = (columns * (expected * (1 - expected))[:, np.newaxis]).T @ columns
        if not np.isfinite(curvature).all() or np.linalg.cond(curvature) > 1e12:
            break
        step = np.linalg.solve(curvature, gradient)
        weights = weights + np.clip(step, -5, 5)
        if np.abs(step).max() < 1e-10:
            return np.asarray(weights)
    return np.full(columns.shape[1], math.nan)
