"""Which slot counts what: label combinations are laid out when a worker starts, and no request can add one."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from service.counters.exemplars import ExemplarGrid
from service.counters.features import FeatureGrid
from service.counters.scores import ScoreGrid

Series = tuple[str, ...]
"""One label combination, in the order of the family's labels."""


@dataclass(frozen=True)
class CounterFamily:
    """One counter with every label combination that it can ever have: a slot each.

    Attributes:
        name: Of the metric.
        labels: Names of its labels.
        series: Their values.
        at_zero: Combinations that are exported before they were counted; None for all of them.
    """

    name: str
    labels: tuple[str, ...] = ()
    series: tuple[Series, ...] = ((),)
    at_zero: tuple[Series, ...] | None = None

    @property
    def size(self) -> int:
        """How many slots it takes."""
        return len(self.series)

    @property
    def bound(self) -> int:
        """How many lines it can at most be exported as."""
        return len(self.series)


@dataclass(frozen=True)
class HistogramFamily:
    """One histogram of seconds: for each series a slot a bucket, and one for the sum.

    Attributes:
        name: Of the metric.
        label: The name of its one label.
        series: That label's values.
        edges: Upper edges of its buckets in seconds, rising; values above the last one have a bucket of their own.
        at_zero: Values that are exported before anything was counted; None for all of them.
    """

    name: str
    label: str
    series: tuple[str, ...]
    edges: tuple[float, ...]
    at_zero: tuple[str, ...] | None = None

    @property
    def stride(self) -> int:
        """How many slots one series takes."""
        return len(self.edges) + 2

    @property
    def size(self) -> int:
        """How many slots it takes."""
        return self.stride * len(self.series)

    @property
    def bound(self) -> int:
        """How many lines it can at most be exported as: the buckets, the one above, count and sum."""
        return (len(self.edges) + 3) * len(self.series)


Family = CounterFamily | HistogramFamily | ScoreGrid | FeatureGrid | ExemplarGrid


@dataclass(frozen=True)
class Layout:
    """The order of everything that one worker counts.

    Attributes:
        families: In the order of their slots and of their export.
    """

    families: tuple[Family, ...]

    @cached_property
    def starts(self) -> dict[str, int]:
        """The first slot of each family, by its name."""
        found, at = {}, 0
        for family in self.families:
            found[family.name] = at
            at += family.size
        return found

    @cached_property
    def size(self) -> int:
        """How many slots there are."""
        return sum(family.size for family in self.families)

    @cached_property
    def digest(self) -> bytes:
        """32 bytes that are the same where every slot means the same."""
        return hashlib.sha256(repr(self.families).encode()).digest()

    @property
    def bound(self) -> int:
        """How many lines of samples its families can at most be exported as, whatever is asked of the service."""
        return sum(family.bound for family in self.families)


def combinations(*values: Sequence[str]) -> tuple[Series, ...]:
    """Every combination of label values, the last label turning fastest.

    >>> combinations(("a", "b"), ("1", "2"))
    (('a', '1'), ('a', '2'), ('b', '1'), ('b', '2'))
    """
    found: tuple[Series, ...] = ((),)
    for choices in values:
        found = tuple((*before, choice) for before in found for choice in choices)
    return found
