"""A contract's encoding for Arrow columns: the same float32 rows as `bentos.artifact.Encoder`, a column at a time.

Text is dictionary-encoded first, so that Python looks at each distinct value of a batch once, whatever the rows. What
is allowed is what a request may carry, and what training's files may: numbers may be text, a missing value may be
spelled as the contract says, and NaN is null.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bentos.artifact import Categorical, Contract, Encoder, Feature, Numeric, category_of, is_allowed
from bentos.errors import Problem, shown
from service.files.arrow import to_numpy

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Encoded:
    """What encoding a batch found.

    Attributes:
        is_bad: Whether each row holds what the contract does not allow: shape (n_rows,).
        bad_by_feature: The same for each feature that is not allowed somewhere, in the contract's order.
    """

    is_bad: Mask
    bad_by_feature: tuple[tuple[Feature, Mask], ...]


@dataclass(frozen=True)
class _Table:
    """What the distinct values of a column mean; their type counts, as 1 and True are equal."""

    kind: pa.DataType
    distinct: list[Any]
    choices: NDArray[np.intp]


class BatchEncoder:
    """Turns Arrow record batches into the rows that `model.onnx` reads.

    Attributes:
        width: How many columns a row has.
    """

    def __init__(self, contract: Contract) -> None:
        encoder = Encoder(contract)
        self.width = encoder.width
        self._features = [(feature, *encoder.spans[feature.name]) for feature in contract.features]
        self._tables: dict[str, _Table] = {}

    def encode(self, batch: pa.RecordBatch, matrix: NDArray[np.float32]) -> Encoded:
        """Encode a batch.

        Args:
            batch: With a column for every feature, of a type that `type_problem` has nothing against.
            matrix: Shape (n_rows, width), contiguous; whatever it held is overwritten. Bad rows are worth nothing.
        """
        matrix.fill(0.0)
        flat, row_starts = matrix.reshape(-1), np.arange(len(matrix)) * self.width
        found = []
        for feature, start, end in self._features:
            column = batch.column(feature.name)
            if isinstance(feature, Numeric):
                bad = _store_numbers(feature, column, matrix[:, start:end])
            else:
                choices = self._choices(feature, column)
                bad = choices < 0
                cells = row_starts + start + choices
                flat[cells[~bad] if bad.any() else cells] = 1.0
            if bad.any():
                found.append((feature, bad))
        is_bad = np.zeros(batch.num_rows, dtype=np.bool_)
        for _, bad in found:
            is_bad |= bad
        return Encoded(is_bad, tuple(found))

    def _choices(self, feature: Categorical, column: pa.Array) -> NDArray[np.intp]:
        """Which of the feature's columns each row sets to 1; -1 where its value is not allowed."""
        distinct, index = _distinct(column)
        table = self._tables.get(feature.name)
        if table is None or (table.kind, table.distinct) != (column.type, distinct):  # the same batch after batch
            choices = np.array([_choice(feature, _plain(value)) for value in distinct], dtype=np.intp)
            table = self._tables[feature.name] = _Table(column.type, distinct, choices)
        return table.choices[index]


def problems_of(batch: pa.RecordBatch, encoded: Encoded, first_row: int) -> list[Problem]:
    """Everything that is wrong with a batch's values, by row, then in the contract's order.

    Args:
        batch: What was encoded.
        encoded: What that found.
        first_row: The row of the file that the batch begins with.
    """
    found = [
        (int(row), order, feature)
        for order, (feature, bad) in enumerate(encoded.bad_by_feature)
        for row in np.flatnonzero(bad)
    ]
    return [
        Problem(
            feature.name,
            shown(_plain(values_of(batch.column(feature.name).slice(row, 1))[0])),
            allowed_in_files(feature),
            first_row + row,
        )
        for row, _, feature in sorted(found, key=lambda problem: problem[:2])
    ]


def allowed_in_files(feature: Feature) -> str:
    """What is allowed, to be read after "must be", with how a file may spell missing."""
    spelled = " or ".join(repr(text) for text in feature.missing)
    return f"{feature.allowed} (a file may spell it {spelled})" if spelled else feature.allowed


def type_problem(feature: Feature, kind: pa.DataType) -> Problem | None:
    """What is wrong with a column's Arrow type; None where its values can be looked at."""
    inner = kind.value_type if pa.types.is_dictionary(kind) else kind
    known = _is_text(inner) or pa.types.is_integer(inner) or pa.types.is_floating(inner) or pa.types.is_null(inner)
    is_numeric = isinstance(feature, Numeric)
    if known or (pa.types.is_decimal(inner) if is_numeric else pa.types.is_boolean(inner)):
        return None
    return Problem(feature.name, f"a column of type {kind}", allowed_in_files(feature))


def values_of(column: pa.Array) -> list[Any]:
    """A column's values as Python's own; bytes that are no UTF-8 become surrogates, which no category holds."""
    try:
        found: list[Any] = column.to_pylist()
    except UnicodeDecodeError:
        plain = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
        raw = plain.cast(pa.large_string()).cast(pa.large_binary()).to_pylist()
        found = [None if text is None else text.decode(errors="surrogateescape") for text in raw]
    return found


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _choice(feature: Categorical, value: Any) -> int:
    """Which of the feature's columns a value sets; -1 where it is not allowed."""
    value = str(value) if isinstance(value, bool) else value
    if not is_allowed(feature, value):
        return -1
    category = category_of(feature, value)
    return len(feature.categories) if category is None else feature.categories.index(category)


def _store_numbers(feature: Numeric, column: pa.Array, block: NDArray[np.float32]) -> Mask:
    """Store each row's number, or what stands in for a missing one; gives the rows whose value is not allowed."""
    numbers, is_missing = _numbers(feature, column)
    allowed = _is_within(feature, numbers)
    if feature.missing:
        allowed |= is_missing
        block[:, 1] = is_missing
        numbers = np.where(is_missing, np.float64(feature.fill or 0.0), numbers)
    else:
        allowed &= ~is_missing
    with np.errstate(over="ignore", invalid="ignore"):  # a double that is no float32 is infinite here as in one row
        block[:, 0] = numbers.astype(np.float64, copy=False)
    return ~allowed


def _numbers(feature: Numeric, column: pa.Array) -> tuple[NDArray[Any], Mask]:
    """A column's numbers, as integers where they are, and which rows are missing; what is no number is NaN."""
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if _is_text(kind):
        distinct, index = _distinct(column)
        spelled = [_spelled_number(feature, text) for text in distinct]
        numbers = np.array([math.nan if number is None else number for number in spelled], dtype=np.float64)
        return numbers[index], np.array([number is None for number in spelled], dtype=np.bool_)[index]
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_integer(kind):
        return to_numpy(column)
    values, is_missing = to_numpy(pc.cast(column, pa.float64(), safe=False))
    return values, is_missing | np.isnan(values)


def _spelled_number(feature: Numeric, text: str | None) -> float | None:
    """The number that a text spells, None where it spells missing, NaN where it spells neither."""
    if text is None or text in feature.missing:
        return None
    try:
        return math.nan if "_" in text else float(text)
    except ValueError:
        return math.nan


def _is_within(feature: Numeric, numbers: NDArray[Any]) -> Mask:
    if numbers.dtype.kind in "iu":  # whole bounds: a double cannot hold every integer
        low: float = math.ceil(feature.minimum)
        high: float = math.floor(feature.maximum)
    else:
        low, high = feature.minimum, feature.maximum
    within: Mask = (numbers >= low) & (numbers <= high)
    if feature.integer and numbers.dtype.kind == "f":
        within &= np.trunc(numbers) == numbers
    return within


def _distinct(column: pa.Array) -> tuple[list[Any], NDArray[np.intp]]:
    """A column's distinct values with None at the end, and for each row which of them it holds."""
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    values = values_of(column.dictionary)
    index, is_null = to_numpy(column.indices)
    return [*values, None], np.where(is_null, len(values), index)


def _plain(value: Any) -> Any:
    """None for NaN, as pandas writes null."""
    return None if isinstance(value, float) and math.isnan(value) else value
