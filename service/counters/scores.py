"""Probabilities: counted once, in cells fine enough for the reference's bins and for a histogram's buckets."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from typing import get_args

from bentos.artifact import Binned
from service.prediction_log.records import Variant

BUCKETS = tuple(round(0.05 * step, 2) for step in range(1, 21))
"""Upper edges of the histogram of probabilities."""


@dataclass(frozen=True)
class ScoreGrid:
    """The cells of one model's probabilities, one slot each, and a slot for their sum; all of it once for each role.

    A bin of the reference begins at its edge and a bucket ends with its own, so a bucket's edge is moved to the next
    number: `p <= edge` is `p < next number`. Both are then unions of cells.

    Attributes:
        name: What the layout calls it.
        model: The model's label.
        reference: How training's probabilities were distributed.
        variants: The roles that it may score in, one stretch of slots after the other.
    """

    name: str
    model: str
    reference: Binned
    variants: tuple[Variant, ...] = get_args(Variant)

    @cached_property
    def edges(self) -> tuple[float, ...]:
        """Where a cell ends and the next begins, rising."""
        return tuple(sorted({*self.reference.edges, *(math.nextafter(edge, math.inf) for edge in BUCKETS)}))

    @property
    def stride(self) -> int:
        """How many slots one role takes."""
        return len(self.edges) + 2

    @property
    def size(self) -> int:
        """How many slots it takes."""
        return self.stride * len(self.variants)

    @property
    def bound(self) -> int:
        """How many lines it can at most be exported as: bins, reference, mean; by role buckets, +Inf, count, sum."""
        return 2 * len(self.reference.bins) + 1 + (len(BUCKETS) + 3) * len(self.variants)

    def start(self, variant: Variant) -> int:
        """A role's first slot, which counts its first cell."""
        return self.stride * self.variants.index(variant)

    def total_at(self, variant: Variant) -> int:
        """The slot of the sum of a role's probabilities."""
        return self.start(variant) + self.stride - 1

    def cell(self, probability: float) -> int:
        """In which cell a probability falls."""
        return bisect_right(self.edges, probability)

    def bins(self, values: Sequence[float]) -> list[float]:
        """The reference's bins over all roles, from this grid's slots."""
        cells = [sum(one) for one in zip(*(self._cells(values, variant) for variant in self.variants), strict=True)]
        return fold(cells, self.edges, self.reference.edges)

    def buckets(self, values: Sequence[float], variant: Variant) -> list[float]:
        """How many of a role's were at or below each of `BUCKETS`, then how many there were, from this grid's slots."""
        edges = [math.nextafter(edge, math.inf) for edge in BUCKETS]
        return [*accumulate(fold(self._cells(values, variant), self.edges, edges))]

    def total(self, values: Sequence[float], variant: Variant) -> float:
        """The sum of a role's probabilities, from this grid's slots."""
        return values[self.total_at(variant)]

    def _cells(self, values: Sequence[float], variant: Variant) -> Sequence[float]:
        return values[self.start(variant) : self.total_at(variant)]


def fold(cells: Sequence[float], fine: Sequence[float], coarse: Sequence[float]) -> list[float]:
    """Counts between coarse edges from counts between fine ones, among which every coarse one is.

    >>> fold([1, 2, 3, 4], [0.25, 0.5, 0.75], [0.5])
    [3, 7]
    """
    cuts = [0, *(bisect_right(fine, edge) for edge in coarse), len(cells)]
    return [sum(cells[low:high]) for low, high in pairwise(cuts)]
