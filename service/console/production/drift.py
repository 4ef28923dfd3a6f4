"""Whether what is asked and answered still looks like training. Values in, values out.

PSI over the reference's own bins, and the limit that both size and chance must be passed for (reference D1): a bare PSI
of 0.1 is passed by chance alone where there are few rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bentos.artifact import Binned, Reference
from service.counters.features import MISSING, UNSEEN
from validation.statistics.drift import psi, psi_limit

SIZE_LIMIT = 0.1
"""A smaller PSI is no drift, however many rows are sure of it."""

FEWEST = 200
"""With fewer predictions the limit is far too low, so nothing is said."""

ALARMS_A_YEAR = 1.0
LOOKS_A_YEAR = 365
"""False alarms that are allowed over all features and the score, for somebody who looks once a day."""


@dataclass(frozen=True)
class Sample:
    """The predictions that were compared.

    Attributes:
        n: How many.
        repeats: How often one customer comes in it: sum of squares over sum, so 1 where each comes once.
        counts: By feature, or `score`, the count of each of the reference's bins.
    """

    n: int
    repeats: float
    counts: Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class Drift:
    """One feature, or the score, against its reference.

    Attributes:
        name: Of the feature, or `score`.
        reference: Its distribution in training.
        counts: Of the same bins now.
        psi: Population stability index.
        limit: What it must pass to be drift.
        missing: Share of predictions without a value; None where it cannot be missing.
        unseen: Share of predictions with a value that training never saw; None where there is no such bin.
    """

    name: str
    reference: Binned
    counts: tuple[int, ...]
    psi: float
    limit: float
    missing: float | None
    unseen: float | None

    @property
    def n(self) -> int:
        """Predictions that were counted."""
        return sum(self.counts)

    @property
    def is_drifted(self) -> bool:
        """Whether it is beyond size and chance."""
        return self.psi > self.limit


def compare(reference: Reference, sample: Sample) -> tuple[Drift, ...]:
    """Every feature and the score against the reference, the furthest beyond its limit first.

    Args:
        reference: Of the champion.
        sample: At least `FEWEST` predictions; with fewer there is nothing to say.
    """
    if sample.n < FEWEST:
        return ()
    all_binned = [*reference.features, reference.score]
    level = ALARMS_A_YEAR / (len(all_binned) * LOOKS_A_YEAR)
    found = [_compare(binned, sample, level) for binned in all_binned if sum(sample.counts[binned.name]) >= FEWEST]
    return tuple(sorted(found, key=lambda drift: -drift.psi / drift.limit))


def shares(counts: Sequence[int]) -> tuple[float, ...]:
    """Counts as shares of their sum, which must not be 0."""
    total = sum(counts)
    return tuple(count / total for count in counts)


def _compare(binned: Binned, sample: Sample, level: float) -> Drift:
    counts = tuple(sample.counts[binned.name])
    n = sum(counts)
    chance = psi_limit(sum(binned.counts), n / sample.repeats, len(binned.bins), level)
    by_bin = dict(zip(binned.bins, counts, strict=True))
    return Drift(
        name=binned.name,
        reference=binned,
        counts=counts,
        psi=psi(binned.counts, counts),
        limit=max(SIZE_LIMIT, chance),
        missing=by_bin[MISSING] / n if MISSING in by_bin else None,
        unseen=by_bin[UNSEEN] / n if UNSEEN in by_bin else None,
    )
