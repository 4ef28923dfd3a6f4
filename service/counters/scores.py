"""Probabilities: counted once, in cells fine enough for the reference's bins and for a histogram's buckets."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from bentos.artifact import Binned

BUCKETS = tuple(round(0.05 * step, 2) for step in range(1, 21))
"""Upper edges of the histogram of probabilities."""


@dataclass(frozen=True)
class ScoreGrid:
    """The cells of one model's probabilities, one slot each, and a slot for their sum.

    A bin of the reference begins at its edge and a bucket ends with its own, so a bucket's edge is moved to the next
    number: `p <= edge` is `p < next number`. Both are then unions of cells.

    Attributes:
        name: What the layout calls it.
        model: The model's label.
        reference: How training's probabilities were distributed.
    """

    name: str
    model: str
    reference: Binned

    @cached_property
    def edges(self) -> tuple[float, ...]:
        """Where a cell ends and the next begins, rising."""
        return tuple(sorted({*self.reference.edges, *(math.nextafter(edge, math.inf) for edge in BUCKETS)}))

    @property
    def size(self) -> int:
        """How many slots it takes."""
        return len(self.edges) + 2

    @property
    def bound(self) -> int:
        """How many lines it can at most be exported as: bins, reference and its mean; buckets, +Inf, count, sum."""
        return 2 * len(self.reference.bins) + 1 + len(BUCKETS) + 3

    def cell(self, probability: float) -> int:
        """In which cell a probability falls."""
        return bisect_right(self.edges, probability)

    def bins(self, values: Sequence[float]) -> list[float]:
        """The reference's bins, from this grid's slots."""
        cells = values[: len(self.edges) + 1]
        return fold(cells, self.edges, self.reference.edges)

    def buckets(self, values: Sequence[float]) -> list[float]:
        """How many were at or below each of `BUCKETS`, and then how many there were, from this grid's slots."""
        cells = values[: len(self.edges) + 1]
        found, total = [], 0.0
        for count in fold(cells, self.edges, [math.nextafter(edge, math.inf) for edge in BUCKETS]):
            total += count
            found.append(total)
        return found

    def total(self, values: Sequence[float]) -> float:
        """The sum of the probabilities, from this grid's slots."""
        return values[len(self.edges) + 1]


def fold(cells: Sequence[float], fine: Sequence[float], coarse: Sequence[float]) -> list[float]:
    """Counts between coarse edges from counts between fine ones, among which every coarse one is.

    >>> fold([1, 2, 3, 4], [0.25, 0.5, 0.75], [0.5])
    [3, 7]
    """
    cuts = [0, *(bisect_right(fine, edge) for edge in coarse), len(cells)]
    return [sum(cells[low:high]) for low, high in pairwise(cuts)]
