"""Rows on which a converted model would go wrong first: on and beside split thresholds, at the contract's edges."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bentos.artifact import Contract, Encoder, Feature, Numeric

Rows = NDArray[np.float32]


def edge_rows(contract: Contract, thresholds: dict[int, Rows], rows: Rows, *, n: int, rng: np.random.Generator) -> Rows:
    """Make rows whose features sit on edges; the rest of each row is a real one, which leads deep into trees.

    Args:
        contract: What is encoded.
        thresholds: By column of the encoded row, where the model splits; see `thresholds_of`.
        rows: Real rows to start from, shape (n_rows, width).
        n: How many rows to make.
        rng: Picks rows and the features that are put on an edge: half of them on average.

    Returns:
        Shape (n, width). Numbers are on, just below and just above thresholds and range ends, or missing; categories
        are each of those allowed, missing, and unseen.
    """
    encoder = Encoder(contract)
    made = rows[rng.integers(len(rows), size=n)].copy()
    for feature in contract.features:
        start, end = encoder.spans[feature.name]
        edges = _edges_of(feature, thresholds.get(start, np.empty(0, np.float32)), end - start)
        # Every edge comes before any comes twice.
        picks = np.concatenate([rng.permutation(len(edges)) for _ in range(n // len(edges) + 1)])[:n]
        replaced = rng.random(n) < 0.5
        made[replaced, start:end] = edges[picks[replaced]]
    return made


def thresholds_of(pipeline: Any) -> dict[int, Rows]:
    """Where the trees of a fitted pipeline split, by column of the encoded row; empty for a model without trees."""
    columns = _columns_of(pipeline)
    found: dict[int, list[Rows]] = {}
    for position, values in _splits(pipeline.named_steps["estimator"]):
        found.setdefault(columns[position] if columns is not None else position, []).append(values)
    return {column: np.unique(np.concatenate(parts)) for column, parts in found.items()}


def _columns_of(pipeline: Any) -> list[int] | None:
    if "columns" not in pipeline.named_steps:
        return None
    ((_, _, columns),) = pipeline.named_steps["columns"].transformers
    return list(columns)


def _splits(estimator: Any) -> Iterator[tuple[int, Rows]]:
    """The position and thresholds of each feature that a tree splits on."""
    for predictors in getattr(estimator, "_predictors", ()):
        for predictor in predictors:
            nodes = predictor.nodes[predictor.nodes["is_leaf"] == 0]
            yield from _by_position(nodes["feature_idx"], nodes["num_threshold"])
    trees = getattr(estimator, "estimators_", [estimator])
    for one in np.asarray(trees, dtype=object).ravel():
        if hasattr(one, "tree_"):
            inner = one.tree_.children_left >= 0
            yield from _by_position(one.tree_.feature[inner], one.tree_.threshold[inner])


def _by_position(positions: NDArray[Any], thresholds: NDArray[Any]) -> Iterator[tuple[int, Rows]]:
    for position in np.unique(positions):
        yield int(position), thresholds[positions == position].astype(np.float32)


def _edges_of(feature: Feature, thresholds: Rows, span: int) -> Rows:
    """What a feature's columns may hold at its edges: shape (n_edges, span)."""
    if not isinstance(feature, Numeric):
        unseen = np.zeros((1, span), dtype=np.float32)
        return np.concatenate([np.eye(span, dtype=np.float32), unseen])
    ends = np.array([feature.minimum, feature.maximum], dtype=np.float32)
    exact = np.concatenate([thresholds, ends])
    below, above = (np.nextafter(exact, np.float32(side)) for side in (-np.inf, np.inf))
    numbers = np.unique(np.concatenate([exact, below, above]))
    edges = np.zeros((len(numbers) + bool(feature.missing), span), dtype=np.float32)
    edges[: len(numbers), 0] = numbers
    if feature.missing:
        edges[-1] = (feature.fill, 1.0)
    return edges
