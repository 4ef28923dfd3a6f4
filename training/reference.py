"""The reference distributions of `reference.json`: the bins that drift is counted in, and how training fills them."""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bentos.artifact import Binned, Categorical, Contract, Numeric, Reference

BINS = 10
MISSING = "missing"
UNSEEN = "unseen"


def reference_of(contract: Contract, training: pd.DataFrame, scores: NDArray[np.float64]) -> Reference:
    """Bin the training rows.

    Args:
        contract: Whose features they are.
        training: Rows in the contract's form.
        scores: The probability of each row from a model that was not fitted on it, shape (n_rows,), in [0, 1].
    """
    features = tuple(
        _bin_numbers(feature, training[feature.name].to_numpy(np.float64))
        if isinstance(feature, Numeric)
        else _bin_categories(feature, training[feature.name])
        for feature in contract.features
    )
    # Rounded to what a model answers, so that sums in another order give the same edges.
    score = _bin(scores.astype(np.float32).astype(np.float64))
    edges, bins, counts = score
    answered = scores.astype(np.float32)
    deviation, mean = float(np.std(answered, dtype=np.float64)), float(np.mean(answered, dtype=np.float64))
    return Reference(
        n=len(training),
        features=features,
        score=Binned(name="score", edges=edges, bins=bins, counts=counts, deviation=deviation, mean=mean),
    )


def _bin_numbers(feature: Numeric, values: NDArray[np.float64]) -> Binned:
    present = values[~np.isnan(values)]
    edges, bins, counts = _bin(present)
    if feature.missing:
        bins, counts = (*bins, MISSING), (*counts, len(values) - len(present))
    deviation, mean = (float(np.std(present)), float(np.mean(present))) if len(present) else (None, None)
    return Binned(name=feature.name, edges=edges, bins=bins, counts=counts, deviation=deviation, mean=mean)


def _bin(values: NDArray[np.float64]) -> tuple[tuple[float, ...], tuple[str, ...], tuple[int, ...]]:
    """Inner edges at the deciles with ties merged, a name for each bin, and how many values fell in each."""
    edges = _edges(values)
    names = [f"{low:g} to {high:g}" for low, high in pairwise(edges)]
    bins = (f"below {edges[0]:g}", *names, f"{edges[-1]:g} and above") if edges else ("all",)
    counts = [0] * len(bins)
    for value in values.tolist():
        counts[bisect_right(edges, value)] += 1
    return edges, bins, tuple(counts)


def _edges(values: NDArray[np.float64]) -> tuple[float, ...]:
    if not len(values):
        return ()
    quantiles = np.quantile(values, np.arange(1, BINS) / BINS, method="higher")  # edges that are values
    # An edge at the smallest value would leave nothing below it.
    return tuple(float(edge) for edge in np.unique(quantiles) if edge > values.min())


def _bin_categories(feature: Categorical, values: pd.Series[Any]) -> Binned:
    bins = (*feature.categories, *([MISSING] if feature.missing else []), UNSEEN)
    names = [MISSING if value is None else str(value) for value in values.tolist()]
    return Binned(name=feature.name, bins=bins, counts=tuple(names.count(name) for name in bins))
