"""G3: the areas under two ROC curves on the same rows, compared with their correlation (DeLong)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import norm, rankdata

from validation.statistics.arguments import FloatArray, check_inside


@dataclass(frozen=True)
class DeLong:
    """Two areas under ROC curves, of the champion (a) and the challenger (b), and their difference b - a.

    Attributes:
        auc_a: Area of score a, in [0, 1].
        auc_b: Area of score b, in [0, 1].
        difference: auc_b - auc_a.
        standard_error: Of the difference, at least 0.
        z: Difference over standard error; 0 where both are 0.
        p: Two-sided p-value; 1 where the areas cannot differ.
    """

    auc_a: float
    auc_b: float
    difference: float
    standard_error: float
    z: float
    p: float

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Normal interval of the difference, within [-1, 1].

        Raises:
            ValueError: Confidence outside (0, 1).
        """
        width = float(norm.isf((1 - check_inside("confidence", confidence, 0, 1)) / 2)) * self.standard_error
        return max(self.difference - width, -1.0), min(self.difference + width, 1.0)


def delong(y_true: npt.ArrayLike, score_a: npt.ArrayLike, score_b: npt.ArrayLike) -> DeLong:
    """G3: DeLong's test that two scores rank the same rows equally well, by midranks.

    Source: DeLong, DeLong & Clarke-Pearson 1988 (Biometrics 44:837); Sun & Xu 2014 (IEEE Signal Processing Letters
    21:1389) for the computation in n log n.

    Args:
        y_true: Whether each row is positive, shape `(n_rows,)`; two rows or more of each class.
        score_a: The champion's scores, higher for positive, shape `(n_rows,)`.
        score_b: The challenger's.

    Returns:
        Areas, difference, standard error, z and p.

    Raises:
        ValueError: Rows of different length, scores that are not finite, truths that are not 0 and 1, or fewer than two
            rows of a class.

    Examples:
        >>> found = delong([0, 0, 0, 1, 1, 1], [1, 2, 3, 2.5, 4, 5], [1, 2, 3, 4, 5, 6])
        >>> round(found.auc_a, 4), found.auc_b, round(found.z, 4)
        (0.8889, 1.0, 0.7071)
    """
    truth = np.asarray(y_true)
    scores = np.asarray([score_a, score_b], dtype=np.float64)
    if truth.ndim != 1 or scores.shape != (2, truth.size):
        raise ValueError(f"y_true has shape {truth.shape} and the scores {scores.shape[1:]}; all must be one row each")
    if not np.isfinite(scores).all():
        raise ValueError("score_a and score_b must be finite")
    if not np.isin(truth, (0, 1)).all():
        raise ValueError("y_true must hold 0 and 1, or False and True, alone")
    positive = truth.astype(bool)
    if min(int(positive.sum()), int((~positive).sum())) < 2:
        raise ValueError(f"y_true has {int(positive.sum())} positive rows of {truth.size}; each class needs 2 or more")
    areas, of_positives, of_negatives = _placements(scores[:, positive], scores[:, ~positive])
    covariance = np.cov(of_positives) / positive.sum() + np.cov(of_negatives) / (~positive).sum()
    found = float(areas[1] - areas[0])
    # Rounding may leave a negative variance where both scores rank alike.
    error = math.sqrt(max(float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]), 0.0))
    z = found / error if error > 0 else 0.0 if found == 0 else math.copysign(math.inf, found)
    return DeLong(float(areas[0]), float(areas[1]), found, error, z, float(2 * norm.sf(abs(z))))


def auc_interval(y_true: npt.ArrayLike, score: npt.ArrayLike, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of the area under one ROC curve: DeLong's variance on the logit scale, which keeps it inside (0, 1).

    Source: DeLong, DeLong & Clarke-Pearson 1988; Qin & Hotilovac 2008 (Statistical Methods in Medical Research 17:207)
    for the logit.

    Args:
        y_true: Whether each row is positive, shape `(n_rows,)`; two rows or more of each class.
        score: Higher for positive, shape `(n_rows,)`.
        confidence: Two-sided confidence, in (0, 1).

    Returns:
        Lower and upper end in [0, 1]; both the area itself where it has no variance (a perfect or a constant score).

    Raises:
        ValueError: As `delong`, or confidence outside (0, 1).

    Examples:
        >>> low, high = auc_interval([0, 0, 0, 1, 1, 1], [1, 2, 3, 2.5, 4, 5])
        >>> round(low, 3), round(high, 3)
        (0.261, 0.995)
    """
    z = float(norm.isf((1 - check_inside("confidence", confidence, 0, 1)) / 2))
    # Beside a constant score, whose area is 1/2 without variance, the difference's error is the area's own.
    truth = np.asarray(y_true)
    found = delong(truth, np.zeros(truth.shape), score)
    area, error = found.auc_b, found.standard_error
    if error == 0 or not 0 < area < 1:
        return area, area
    logit, width = math.log(area / (1 - area)), z * error / (area * (1 - area))
    return 1 / (1 + math.exp(width - logit)), 1 / (1 + math.exp(-width - logit))


def _placements(positives: FloatArray, negatives: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The areas, and for each row the share of the other class that it is ranked right against (ties count half).

    Args:
        positives: Scores of the positive rows, shape `(2, m)`.
        negatives: Scores of the negative rows, shape `(2, n)`.
    """
    m, n = positives.shape[1], negatives.shape[1]
    together = rankdata(np.concatenate([positives, negatives], axis=1), axis=1)
    of_positives = (together[:, :m] - rankdata(positives, axis=1)) / n
    of_negatives = 1 - (together[:, m:] - rankdata(negatives, axis=1)) / m
    return of_positives.mean(axis=1), of_positives, of_negatives
