"""Values for the examples of OpenAPI and `/docs`: what a contract allows and, where it is known, what is usual."""

from __future__ import annotations

from bentos.artifact import Contract, Feature, Numeric, Reference, Value
from bentos.artifact.reference import Binned

EXAMPLE_ID = "0190163d-8694-739b-aea5-966c26f8ad91"
EXAMPLE_MOMENT = "2024-07-14T12:00:00Z"
"""A month after the moment in the id."""


def example_features(contract: Contract, reference: Reference | None = None) -> dict[str, Value]:
    """A row that the contract allows.

    Args:
        contract: Says what is allowed: the middle of a range, the first of a list.
        reference: How training looked, if it is known: the median of a range, the most frequent of a list.
    """
    seen = {} if reference is None else {binned.name: binned for binned in reference.features}
    return {feature.name: _example(feature, seen.get(feature.name)) for feature in contract.features}


def _example(feature: Feature, seen: Binned | None) -> Value:
    if isinstance(feature, Numeric):
        middle = (feature.minimum + feature.maximum) / 2
        return _allowed(feature, _median(seen, middle) if seen is not None and seen.edges else middle)
    if seen is None:
        return feature.categories[0]
    counts = dict(zip(seen.bins, seen.counts, strict=True))
    return max(feature.categories, key=lambda category: counts.get(category, 0))


def _median(seen: Binned, middle: float) -> float:
    """The inner edge that halves the training rows best."""
    counts = seen.counts[: len(seen.edges) + 1]
    half, below = sum(counts) / 2, 0
    found, least = middle, float("inf")
    for edge, count in zip(seen.edges, counts, strict=False):
        below += count
        if abs(below - half) < least:
            found, least = edge, abs(below - half)
    return found


def _allowed(feature: Numeric, value: float) -> float | int:
    """The value, rounded as people write it, within the range."""
    if feature.integer:
        lowest, highest = int(-(-feature.minimum // 1)), int(feature.maximum // 1)
        return min(max(round(value), lowest), highest)
    rounded = round(value, 2)
    return (
        rounded if feature.minimum <= rounded <= feature.maximum else min(max(value, feature.minimum), feature.maximum)
    )
