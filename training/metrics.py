"""Cross-validated metrics, each named with its average, from predictions on rows that the model was not fitted on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bentos.pipeline import probabilities
from training.estimators import Recipe, fit

Truth = NDArray[np.int64]
Probabilities = NDArray[np.float64]


@dataclass(frozen=True)
class Validated:
    """What cross-validation found.

    Attributes:
        means: Mean over the folds by metric.
        deviations: Standard deviation over the folds (n - 1) by metric.
        probabilities: Each training row's from the fold that left it out, shape (n_rows,).
    """

    means: dict[str, float]
    deviations: dict[str, float]
    probabilities: Probabilities


def cross_validate(
    recipe: Recipe,
    rows: NDArray[np.float32],
    truth: Truth,
    *,
    cut: float,
    folds: int,
    progress: Callable[[str], None],
) -> Validated:
    """Fit on all folds but one, ask about that one, for each.

    Args:
        recipe: What to fit.
        rows: Encoded, shape (n_rows, width).
        truth: 0 or 1, shape (n_rows,).
        cut: Probability from which the positive label is answered.
        folds: How many; stratified, shuffled by the recipe's seed.
        progress: Told of each fold.
    """
    from sklearn.model_selection import StratifiedKFold

    left_out = np.empty(len(rows), dtype=np.float64)
    found: list[dict[str, float]] = []
    splitter = StratifiedKFold(n_splits=folds, shuffle=True, random_state=recipe.seed)
    for number, (inside, outside) in enumerate(splitter.split(rows, truth), 1):
        progress(f"fold {number} of {folds}")
        left_out[outside] = probabilities(fit(recipe, rows[inside], truth[inside]), rows[outside])
        found.append(metrics_of(truth[outside], left_out[outside], cut=cut))
    table = {name: np.array([one[name] for one in found]) for name in found[0]}
    return Validated(
        means={name: float(values.mean()) for name, values in table.items()},
        deviations={name: float(values.std(ddof=1)) for name, values in table.items()},
        probabilities=left_out,
    )


def metrics_of(truth: Truth, probability: Probabilities, *, cut: float) -> dict[str, float]:
    """Metrics of probabilities and of the labels answered at a cut.

    `_positive` is of the positive label alone, `_weighted` the mean over both labels weighted by their rows; `brier`
    and `log_loss` are better when smaller, everything else when larger.

    >>> found = metrics_of(np.array([0, 0, 1, 1]), np.array([0.1, 0.6, 0.7, 0.9]), cut=0.5)
    >>> found["accuracy"], found["recall_positive"], found["roc_auc"]
    (0.75, 1.0, 1.0)
    """
    from sklearn import metrics

    answered = (probability >= cut).astype(np.int64)
    found = {
        "accuracy": metrics.accuracy_score(truth, answered),
        "roc_auc": metrics.roc_auc_score(truth, probability),
        "pr_auc": metrics.average_precision_score(truth, probability),
        "brier": metrics.brier_score_loss(truth, probability),
        "log_loss": metrics.log_loss(truth, probability, labels=[0, 1]),
    }
    for name, average in (("positive", "binary"), ("weighted", "weighted")):
        precision, recall, f1, _ = metrics.precision_recall_fscore_support(
            truth, answered, average=average, pos_label=1, zero_division=0.0
        )
        found |= {f"precision_{name}": precision, f"recall_{name}": recall, f"f1_{name}": f1}
    return {name: float(value) for name, value in found.items()}
