"""From encoded columns back to the contract's features: one number a feature, and the value that was scored."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from bentos.artifact import Contract, Encoder, Numeric

Scored = float | str | None
"""A feature's value as the model reads it: a number, a category, or None where it is missing."""


def fold(columns: NDArray[np.float64], encoder: Encoder) -> NDArray[np.float64]:
    """Add up each feature's columns: SHAP values are additive, so a feature's is the sum of its parts'.

    Args:
        columns: Shape (width,).
        encoder: Says which columns are whose.

    Returns:
        Shape (n_features,), in the contract's order.
    """
    return np.array([columns[start:end].sum() for start, end in encoder.spans.values()])


def scored_values(contract: Contract, encoder: Encoder, row: NDArray[np.float32]) -> dict[str, Scored]:
    """What was scored, read back from the encoded row: float32, and so what the model has seen.

    Args:
        contract: Of the model.
        encoder: Of that contract.
        row: Shape (width,).
    """
    found: dict[str, Scored] = {}
    for feature in contract.features:
        start, end = encoder.spans[feature.name]
        block = row[start:end]
        if isinstance(feature, Numeric):
            is_missing = bool(feature.missing) and block[1] > 0
            # The shortest spelling that is this float32: 70.1, and not 70.0999984741211.
            found[feature.name] = None if is_missing else float(str(block[0]))
        else:
            position = int(block.argmax())
            found[feature.name] = feature.categories[position] if position < len(feature.categories) else None
    return found


def read_features(contract: Contract, encoder: Encoder, columns: tuple[int, ...] | None) -> Mapping[str, bool]:
    """Which features a model reads at all.

    Args:
        contract: Of the model.
        encoder: Of that contract.
        columns: Positions of the encoded row's columns that it reads; None: all.
    """
    if columns is None:
        return {feature.name: True for feature in contract.features}
    return {name: any(start <= column < end for column in columns) for name, (start, end) in encoder.spans.items()}
