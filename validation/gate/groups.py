"""Parts of the holdout: every category and tertile of every feature, and the groups of protected attributes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np

from bentos.artifact import Categorical, Contract, Feature, Numeric, Value, categories_of
from validation.gate.metrics import BoolArray, FloatArray

MISSING = "missing"


@dataclass(frozen=True)
class RowGroup:
    """Some rows of the holdout.

    Attributes:
        name: Such as `Contract=One year`, `tenure=[0, 12)` or `gender=Female, SeniorCitizen=1`.
        rows: Whether each row belongs to it, shape (n_rows,).
    """

    name: str
    rows: BoolArray

    @property
    def n(self) -> int:
        """How many rows it has."""
        return int(np.count_nonzero(self.rows))


def slices_of(contract: Contract, columns: Mapping[str, Sequence[Value]]) -> list[RowGroup]:
    """Every category of every categorical feature, three ranges of every numeric one, and what is missing.

    Args:
        contract: The features.
        columns: The holdout's values by feature, None where missing.

    Returns:
        The slices that have rows, in the contract's order. A slice that holds every row says nothing, and is left out.
    """
    found = [part for feature in contract.features for part in _parts(feature, columns[feature.name])]
    return [part for part in found if 0 < part.n < part.rows.size]


def pairs_of(slices: Sequence[RowGroup], least: int) -> list[RowGroup]:
    """The common rows of every two slices of different features, where there are enough of them.

    Args:
        slices: As `slices_of` gives them.
        least: Rows that a pair must have.
    """
    found = []
    for one, other in combinations(slices, 2):
        if _feature(one) != _feature(other):
            rows = one.rows & other.rows
            if least <= np.count_nonzero(rows) < min(one.n, other.n):
                found.append(RowGroup(f"{one.name}, {other.name}", rows))
    return found


def groups_by(attributes: Sequence[str], groups: Mapping[str, Sequence[str]]) -> list[RowGroup]:
    """The groups of one protected attribute, or of several together.

    Args:
        attributes: One or more names.
        groups: For each protected attribute the group of each row.

    Returns:
        The groups that have rows, by name.
    """
    columns = [np.asarray(groups[name], dtype=str) for name in attributes]
    rows = zip(*columns, strict=True)
    labels = np.array([", ".join(f"{n}={v}" for n, v in zip(attributes, row, strict=True)) for row in rows])
    return [RowGroup(str(label), labels == label) for label in np.unique(labels)]


def _feature(part: RowGroup) -> str:
    return part.name.partition("=")[0]


def _parts(feature: Feature, values: Sequence[Value]) -> Iterator[RowGroup]:
    is_missing = np.array([value is None or value in feature.missing for value in values])
    if isinstance(feature, Categorical):
        names = np.array([category or MISSING for category in categories_of(feature, values)], dtype=str)
        for name in (*feature.categories, MISSING):
            yield RowGroup(f"{feature.name}={name}", names == name)
        return
    numbers = np.array([np.nan if gone else float(value) for gone, value in zip(is_missing, values, strict=True)])  # type: ignore[arg-type]
    yield from _ranges(feature, numbers)
    yield RowGroup(f"{feature.name}={MISSING}", is_missing)


def _ranges(feature: Numeric, numbers: FloatArray) -> Iterator[RowGroup]:
    """Three parts of nearly equal count; equal values stay together, so with many ties there are fewer."""
    known = numbers[~np.isnan(numbers)]
    if known.size == 0:
        return
    edges = np.unique(np.quantile(known, [1 / 3, 2 / 3], method="higher"))
    edges = edges[edges > known.min()]
    bounds = [float(known.min()), *edges.tolist(), float(known.max())]
    for position, (low, high) in enumerate(pairwise(bounds)):
        is_last = position == len(bounds) - 2
        rows = (numbers >= low) & ((numbers <= high) if is_last else (numbers < high))
        yield RowGroup(f"{feature.name}=[{low:g}, {high:g}{']' if is_last else ')'}", rows)
