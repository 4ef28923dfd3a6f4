"""Rows as they might have arrived: with noise, with another category, with a value missing, unseen or shifted.

What the contract does not allow cannot arrive, so it is not tried: values stay in their range, and only what may be
missing goes missing. Over HTTP an unseen category is refused; it reaches models in rows that were checked elsewhere.
"""

from __future__ import annotations

import math

import numpy as np

from bentos.artifact import Categorical, Contract, Encoder
from validation.gate.evidence import Number, Rows


def add_noise(rows: Rows, numbers: tuple[Number, ...], deviations: float, rng: np.random.Generator) -> Rows:
    """Add Gaussian noise to every numeric feature, clipped to the contract's range; a missing value stays missing.

    Whole numbers become fractions, as in a measurement that was off: rounding would undo all noise below a half.

    Args:
        rows: Shape (n_rows, width).
        numbers: Features to change.
        deviations: Size of the noise in each feature's training standard deviations.
        rng: Draws the noise.

    Raises:
        ValueError: There is no numeric feature, or one has no standard deviation.
    """
    if not numbers:
        raise ValueError("the contract has no numeric feature, so noise changes nothing")
    noisy = rows.copy()
    for number in numbers:
        _move(noisy, rows, number, deviations * _deviation(number) * rng.standard_normal(len(rows)))
    return noisy


def shift(rows: Rows, number: Number, deviations: float, *, is_whole: bool) -> Rows:
    """Move one numeric feature by so many of its training standard deviations, clipped to the contract's range.

    Args:
        rows: Shape (n_rows, width).
        number: The feature.
        deviations: How far; below 0 it falls.
        is_whole: Whether it holds whole numbers: it then moves by one, and by 1 at least.

    Raises:
        ValueError: It has no standard deviation.
    """
    by = deviations * _deviation(number)
    if is_whole:
        by = math.copysign(max(round(abs(by)), 1), by)
    shifted = rows.copy()
    _move(shifted, rows, number, np.full(len(rows), by))
    return shifted


def flip_categories(rows: Rows, contract: Contract, share: float, rng: np.random.Generator) -> Rows:
    """Replace each category by another of its feature, in a share of all cells; each other category is as likely.

    Raises:
        ValueError: There is no categorical feature.
    """
    changed = rows.copy()
    for start, count in _categorical_spans(contract):
        block = changed[:, start : start + count]
        known = block.any(axis=1)  # what is missing or unseen stays so
        hit = np.flatnonzero(known & (rng.random(len(rows)) < share))
        before = block[hit].argmax(axis=1)
        after = (before + rng.integers(1, count, len(hit))) % count
        block[hit, before] = 0.0
        block[hit, after] = 1.0
    return changed


def lose_values(rows: Rows, contract: Contract, share: float, rng: np.random.Generator) -> Rows:
    """Let values go missing, in a share of the cells of features that may be missing.

    Raises:
        ValueError: No feature may be missing.
    """
    encoder, changed = Encoder(contract), rows.copy()
    features = [feature for feature in contract.features if feature.missing]
    if not features:
        raise ValueError("the contract allows no feature to be missing, so no value can go missing; leave the rule out")
    for feature in features:
        start, end = encoder.spans[feature.name]
        hit = rng.random(len(rows)) < share
        changed[hit, start:end] = 0.0
        changed[hit, end - 1] = 1.0  # the last column says that it is missing
        if not isinstance(feature, Categorical):
            changed[hit, start] = feature.fill
    return changed


def unsee_categories(rows: Rows, contract: Contract, share: float, rng: np.random.Generator) -> Rows:
    """Replace categories by one that nobody has seen, in a share of all cells: every column of the feature is 0.

    Raises:
        ValueError: There is no categorical feature.
    """
    changed = rows.copy()
    for start, count in _categorical_spans(contract):
        hit = rng.random(len(rows)) < share
        changed[hit, start : start + count] = 0.0
    return changed


def permute(rows: Rows, span: tuple[int, int], rng: np.random.Generator) -> Rows:
    """Give each row the value that another row has for one feature."""
    changed = rows.copy()
    start, end = span
    changed[:, start:end] = rows[rng.permutation(len(rows)), start:end]
    return changed


def _categorical_spans(contract: Contract) -> list[tuple[int, int]]:
    """Where each categorical feature's categories begin, and how many there are."""
    encoder = Encoder(contract)
    spans = [
        (encoder.spans[feature.name][0], len(feature.categories))
        for feature in contract.features
        if isinstance(feature, Categorical)
    ]
    if not spans:
        raise ValueError("the contract has no categorical feature, so this changes nothing; leave the rule out")
    return spans


def _deviation(number: Number) -> float:
    if number.deviation is None or not np.isfinite(number.deviation):
        raise ValueError(f"reference.json gives no standard deviation for {number.name}")
    return number.deviation


def _move(changed: Rows, rows: Rows, number: Number, by: np.ndarray) -> None:
    values = np.clip(rows[:, number.column] + by, number.minimum, number.maximum)
    if number.missing_column is not None:
        values = np.where(rows[:, number.missing_column] == 1, rows[:, number.column], values)
    changed[:, number.column] = values
