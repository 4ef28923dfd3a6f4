"""Plots of a run, from predictions on rows that the model was not fitted on."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bentos.artifact import Contract

Truth = NDArray[np.int64]
Probabilities = NDArray[np.float64]


def draw(contract: Contract, truth: Truth, probability: Probabilities, *, title: str) -> dict[str, bytes]:
    """ROC, precision-recall, calibration and confusion as PNG, by file name.

    Args:
        contract: Whose labels and cut they are.
        truth: 0 or 1, shape (n_rows,).
        probability: Shape (n_rows,), in [0, 1].
        title: Over each plot: the estimator, and that the data is synthetic where it is.
    """
    from sklearn import calibration, metrics

    answered = (probability >= contract.cut).astype(np.int64)
    names = [contract.labels.negative, contract.labels.positive]

    def confusion(axes: Any) -> None:
        metrics.ConfusionMatrixDisplay.from_predictions(
            truth, answered, display_labels=names, ax=axes, colorbar=False, cmap="Blues"
        )

    def calibrated(axes: Any) -> None:
        calibration.CalibrationDisplay.from_predictions(truth, probability, n_bins=10, strategy="quantile", ax=axes)

    displays: dict[str, Callable[[Any], Any]] = {
        "roc.png": lambda axes: metrics.RocCurveDisplay.from_predictions(truth, probability, ax=axes),
        "precision_recall.png": lambda axes: metrics.PrecisionRecallDisplay.from_predictions(
            truth, probability, ax=axes
        ),
        "calibration.png": calibrated,
        "confusion.png": confusion,
    }
    return {name: _png(display, title) for name, display in displays.items()}


def _png(display: Callable[[Any], Any], title: str) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5, 5), layout="tight")
    FigureCanvasAgg(figure)  # no window, no display, no state shared with whoever else draws
    display(figure.add_subplot())
    figure.suptitle(title, fontsize=9)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=90)
    return content.getvalue()
