"""Features in bins: counted once from encoded rows, whoever scored them, and shown in each model's own bins.

A row of the encoder is nearly counted already: the sum of a category's column is how often it came, that of an
indicator how often the value was missing, and that of a number's column gives its mean. Only where numbers fall is
looked up, in the edges of all models together, so that a second model costs nothing and every bin is exact.
Values are compared as float32, as the models read them.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from bentos.artifact import Binned, Categorical, Contract, Encoder, Numeric, Reference
from service.counters.scores import fold

WAITING_ROWS = 64
"""How many rows are counted together: all at once they cost a fifth of what they cost one by one."""

ROWS, WAITING, COLUMNS = 0, 1, 2
"""Places in a grid's slots: how many rows were counted, how many wait, and the sums of columns from here on.

While rows are being counted, less than 0 wait: -1 less how many do. They come first, as slots are read in their order.
"""

MISSING = "missing"
UNSEEN = "unseen"


@dataclass(frozen=True)
class NumberCells:
    """Where the values of one number fall.

    Attributes:
        name: The feature's name.
        column: Its column in an encoded row.
        missing: The column of its indicator; None where it cannot be missing.
        fill: What its column holds where it is missing.
        minimum: The least that the contract allows.
        edges: Of all models together, rising, as float32 holds them.
        start: Its first cell's place in the grid's slots.
    """

    name: str
    column: int
    missing: int | None
    fill: float
    minimum: float
    edges: tuple[float, ...]
    start: int

    @property
    def size(self) -> int:
        """How many cells there are."""
        return len(self.edges) + 1

    def cells(self, values: Sequence[float]) -> list[float]:
        """The counts without the rows whose value was missing, which are counted where the fill falls."""
        found = list(values[self.start : self.start + self.size])
        if self.missing is not None:
            found[bisect_right(self.edges, self.fill)] -= values[COLUMNS + self.missing]
        return found

    def above_minimum(self, values: Sequence[float]) -> float:
        """The sum over rows with a value of how far it is above the minimum: it only ever rises."""
        missing = 0.0 if self.missing is None else values[COLUMNS + self.missing]
        return values[COLUMNS + self.column] - missing * self.fill - (values[ROWS] - missing) * self.minimum


@dataclass(frozen=True)
class FeatureGrid:
    """The slots of all features: rows, the sum of each column, the cells of each number, and rows that wait.

    Attributes:
        name: What the layout calls it.
        contract: Whose rows are counted.
        references: By each model's label.
    """

    name: str
    contract: Contract
    references: tuple[tuple[str, Reference], ...]

    @cached_property
    def encoder(self) -> Encoder:
        """The contract's."""
        return Encoder(self.contract)

    @cached_property
    def numbers(self) -> tuple[NumberCells, ...]:
        """The cells of each number, in the contract's order."""
        found, start = [], COLUMNS + self.encoder.width
        for feature in self.contract.features:
            if isinstance(feature, Numeric):
                column = self.encoder.spans[feature.name][0]
                missing = column + 1 if feature.missing else None
                fill, minimum = as_float32(feature.fill or 0.0), as_float32(feature.minimum)
                edges = self._edges(feature.name)
                found.append(NumberCells(feature.name, column, missing, fill, minimum, edges, start))
                start += found[-1].size
        return tuple(found)

    @property
    def size(self) -> int:
        """How many slots it takes."""
        return self.waiting + WAITING_ROWS * self.encoder.width // 2

    @property
    def waiting(self) -> int:
        """The place of the rows that wait, which are float32: two in a slot."""
        return COLUMNS + self.encoder.width + sum(number.size for number in self.numbers)

    @property
    def bound(self) -> int:
        """How many lines it can at most be exported as: bins with their reference, and sums."""
        bins = sum(len(binned.bins) for _, reference in self.references for binned in reference.features)
        return 2 * bins + len(self.numbers)

    def bins(self, binned: Binned, values: Sequence[float]) -> dict[str, float]:
        """The counts of a reference's bins, by their names, from this grid's slots."""
        for number in self.numbers:
            if number.name == binned.name:
                return _number_bins(number, binned, values)
        return self._category_bins(binned, values)

    def _category_bins(self, binned: Binned, values: Sequence[float]) -> dict[str, float]:
        feature = self.contract.feature(binned.name)
        start, end = self.encoder.spans[binned.name]
        counted = values[COLUMNS + start : COLUMNS + end]
        names = feature.categories if isinstance(feature, Categorical) else ()
        counts = dict(zip((*names, MISSING), counted, strict=False))
        return {name: values[ROWS] - sum(counted) if name == UNSEEN else counts.get(name, 0.0) for name in binned.bins}

    def _edges(self, feature: str) -> tuple[float, ...]:
        found = [binned for _, r in self.references for binned in r.features if binned.name == feature]
        edges = [edge for binned in found for edge in binned.edges]
        return tuple(sorted({as_float32(edge) for edge in edges}))


def as_float32(value: float) -> float:
    """The value as float32 holds it."""
    found: float = struct.unpack("f", struct.pack("f", value))[0]
    return found


def _number_bins(number: NumberCells, binned: Binned, values: Sequence[float]) -> dict[str, float]:
    counts = fold(number.cells(values), number.edges, [as_float32(edge) for edge in binned.edges])
    missing = 0.0 if number.missing is None else values[COLUMNS + number.missing]
    return dict(zip(binned.bins, [*counts, missing], strict=False))
