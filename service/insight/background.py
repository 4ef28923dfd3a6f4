"""Rows like those of training, drawn from `reference.json`: an artifact carries distributions, and nobody's row.

Each feature is drawn by itself, as SHAP's kernel and permutation methods assume of the features that they leave out.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from bentos.artifact import Binned, Contract, Encoder, Feature, Numeric, Reference, Value
from bentos.errors import ArtifactDamaged


def draw_background(
    contract: Contract, encoder: Encoder, reference: Reference, *, n: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Draw rows.

    Args:
        contract: Of the model.
        encoder: Of that contract.
        reference: How its features were distributed.
        n: How many.
        rng: Draws.

    Returns:
        Shape (n, width).

    Raises:
        ArtifactDamaged: The reference knows nothing of a feature.
    """
    binned = {one.name: one for one in reference.features}
    columns: dict[str, Sequence[Value]] = {}
    for feature in contract.features:
        values = _values_of(feature, binned[feature.name]) if feature.name in binned else {}
        total = sum(values.values())
        if total == 0:
            raise ArtifactDamaged(f"reference.json counts no values of {feature.name}")
        known = list(values)
        drawn = rng.choice(len(known), size=n, p=[count / total for count in values.values()])
        columns[feature.name] = [known[i] for i in drawn]
    return encoder.encode_columns(columns)


def _values_of(feature: Feature, binned: Binned) -> dict[Value, int]:
    """A value for each bin, with its count: a bin's middle, its one edge where it has no other, or the category."""
    if not isinstance(feature, Numeric):
        allowed: dict[str, Value] = {category: category for category in feature.categories}
        if feature.missing:
            allowed.setdefault("missing", None)
        counted = zip(binned.bins, binned.counts, strict=True)
        return {allowed[name]: count for name, count in counted if name in allowed}
    found: dict[Value, int] = {}
    middles = _middles(feature, binned.edges)
    for middle, count in zip(middles, binned.counts, strict=False):
        found[middle] = found.get(middle, 0) + count
    if feature.missing and "missing" in binned.bins:
        found[None] = binned.counts[binned.bins.index("missing")]
    return found


def _middles(feature: Numeric, edges: Sequence[float]) -> list[float]:
    """One a bin. The contract's range says what is allowed, not what is usual: the outer ones would lie far away."""
    if not edges:
        return [(feature.minimum + feature.maximum) / 2]
    middles = [edges[0], *((low + high) / 2 for low, high in pairwise(edges)), edges[-1]]
    return [float(round(middle)) for middle in middles] if feature.integer else middles
