"""A window's counts against a reference: how far each distribution is, what chance explains of it, what follows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import msgspec

from bentos.artifact import Binned, Reference
from validation.drift.limits import LIMITS, Limits
from validation.statistics import (
    jensen_shannon,
    kolmogorov_smirnov,
    psi,
    psi_limit,
    share_limit,
    smoothed_shares,
)

Finding = Literal["drifted", "quiet", "unknown"]
"""What is said: unknown where there are too few rows, which is not quiet."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """A stretch of time.

    Attributes:
        since: From when on, with a time zone.
        until: Up to when, itself left out.
    """

    since: datetime
    until: datetime

    @property
    def seconds(self) -> float:
        """How long it is."""
        return (self.until - self.since).total_seconds()


@dataclass(frozen=True, kw_only=True)
class Counted:
    """What came in a window, as one model's reference counts it.

    Attributes:
        rows: Live rows that could be read.
        unreadable: Live rows whose features are not those of the contract, and count nowhere.
        customers: Different customers among the rows that named one.
        repeats: Rows of a customer as a row sees them; 1 where nobody was named.
        features: By feature the counts of its bins, in the reference's order.
        scores: Counts of the score's bins.
        score_sum: Sum of the probabilities.
        answered: Rows that this model answered.
        positive: Of them, those that it gave the positive label.
    """

    rows: int
    unreadable: int
    customers: int
    repeats: float
    features: Mapping[str, tuple[float, ...]]
    scores: tuple[float, ...]
    score_sum: float
    answered: int
    positive: int


class Bin(msgspec.Struct, frozen=True, kw_only=True):
    """One bin of a distribution.

    Attributes:
        name: Its name.
        rows: Live rows in it.
        share: Smoothed share of live rows, in (0, 1).
        reference_share: The same of training.
        psi: Its part of the PSI.
    """

    name: str
    rows: float
    share: float
    reference_share: float
    psi: float


class Rise(msgspec.Struct, frozen=True, kw_only=True):
    """How much more often a feature is missing, or unseen, than in training.

    Attributes:
        ratio: Share of live rows, in [0, 1].
        rise: Smoothed share less training's.
        limit: The larger of what matters and of what chance explains.
        finding: What follows.
    """

    ratio: float
    rise: float
    limit: float
    finding: Finding


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """One distribution. Numbers are None where the rows are worth too few customers, or there is no such number.

    Attributes:
        name: The feature's name, or `score`.
        finding: Of the whole distribution.
        n: Live rows.
        psi: Population stability index.
        psi_limit: The larger of what matters and of what chance explains.
        js: Jensen-Shannon divergence, bits.
        ks: Kolmogorov-Smirnov's largest difference; of bins that have an order.
        missing: Of a feature that may be missing.
        unseen: Of a feature with categories.
        bins: In the reference's order.
    """

    name: str
    finding: Finding
    n: float
    psi: float | None = None
    psi_limit: float | None = None
    js: float | None = None
    ks: float | None = None
    missing: Rise | None = None
    unseen: Rise | None = None
    bins: tuple[Bin, ...] = ()


class MeanShift(msgspec.Struct, frozen=True, kw_only=True):
    """How far the mean probability is from training's.

    Attributes:
        mean: Over live rows, in [0, 1].
        reference: On training rows that the model was not fitted on.
        shift: Their difference.
        low: Lower end of the interval around it.
        high: Upper end.
        finding: Whether it moved by more than matters and the interval leaves 0 out.
    """

    mean: float
    reference: float
    shift: float
    low: float
    high: float
    finding: Finding


class ModelDrift(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that one model's reference says of a window.

    Attributes:
        model: Name and version.
        digest: Artifact digest.
        since: Begin of the window.
        until: Its end.
        finding: The worst of all: drifted if anything did, unknown if nothing could be said.
        rows: Live rows.
        unreadable: Live rows that could not be counted.
        customers: Different customers among them.
        repeats: Rows of a customer as a row sees them.
        positive_ratio: Share of this model's answers that were positive; None where it gave too few.
        score: Its probabilities.
        mean: Their mean; None where there are too few, or an older Gauntlet trained the model.
        features: Those that moved most first.
    """

    model: str
    digest: str
    since: datetime
    until: datetime
    finding: Finding
    rows: int
    unreadable: int
    customers: int
    repeats: float
    positive_ratio: float | None
    score: Drift
    mean: MeanShift | None
    features: tuple[Drift, ...]


def compare(
    reference: Reference, counted: Counted, window: Window, *, model: str, digest: str, limits: Limits = LIMITS
) -> ModelDrift:
    """What a window's counts say beside a reference.

    Args:
        reference: How training looked.
        counted: What came.
        window: When.
        model: Name and version.
        digest: Artifact digest.
        limits: From where on drift is told.
    """
    level = limits.level(window.seconds)
    named = [_drift(one, counted.features[one.name], counted, level, limits) for one in reference.features]
    score = _drift(reference.score, counted.scores, counted, level, limits)
    mean = _mean(reference.score, counted, level, limits)
    findings = [*(finding for one in (*named, score) for finding in _findings(one)), *([mean.finding] if mean else [])]
    return ModelDrift(
        model=model,
        digest=digest,
        since=window.since,
        until=window.until,
        finding=worst(findings),
        rows=counted.rows,
        unreadable=counted.unreadable,
        customers=counted.customers,
        repeats=counted.repeats,
        positive_ratio=counted.positive / counted.answered if counted.answered >= limits.rows else None,
        score=score,
        mean=mean,
        features=tuple(sorted(named, key=lambda one: (-(one.psi or 0.0), one.name))),
    )


def worst(findings: list[Finding]) -> Finding:
    """Drifted if anything did; quiet if something could be said; unknown otherwise.

    >>> worst(["quiet", "unknown", "drifted"]), worst(["quiet", "unknown"]), worst([])
    ('drifted', 'quiet', 'unknown')
    """
    order: tuple[Finding, ...] = ("drifted", "quiet")
    return next((one for one in order if one in findings), "unknown")


def _findings(drift: Drift) -> list[Finding]:
    return [drift.finding, *(rise.finding for rise in (drift.missing, drift.unseen) if rise is not None)]


def _drift(binned: Binned, counts: tuple[float, ...], counted: Counted, level: float, limits: Limits) -> Drift:
    n, m = sum(counts), sum(binned.counts)
    # What had one value in training has one bin, and whether it moved cannot be counted there.
    if n / counted.repeats < limits.rows or m == 0 or len(counts) < 2:
        return Drift(name=binned.name, finding="unknown", n=n)
    found = psi(binned.counts, counts)
    limit = max(limits.psi_size, psi_limit(m, n, len(counts), level, repeats=counted.repeats))
    ordered = len(binned.ordered)
    has_ordered = ordered > 1 and sum(counts[:ordered]) > 0 and sum(binned.counts[:ordered]) > 0
    return Drift(
        name=binned.name,
        finding="drifted" if found > limit else "quiet",
        n=n,
        psi=found,
        psi_limit=limit,
        js=jensen_shannon(binned.counts, counts),
        ks=kolmogorov_smirnov(binned.counts[:ordered], counts[:ordered]) if has_ordered else None,
        missing=_rise("missing", limits.missing_size, binned, counts, counted, level),
        unseen=_rise("unseen", limits.unseen_size, binned, counts, counted, level),
        bins=_bins(binned, counts),
    )


def _bins(binned: Binned, counts: tuple[float, ...]) -> tuple[Bin, ...]:
    before, now = smoothed_shares(binned.counts), smoothed_shares(counts)
    return tuple(
        Bin(name=name, rows=rows, share=p, reference_share=q, psi=(p - q) * math.log(p / q))
        for name, rows, p, q in zip(binned.bins, counts, now.tolist(), before.tolist(), strict=True)
    )


def _rise(
    name: str, size: float, binned: Binned, counts: tuple[float, ...], counted: Counted, level: float
) -> Rise | None:
    if name not in binned.bins:
        return None
    place, n, m = binned.bins.index(name), sum(counts), sum(binned.counts)
    before, now = float(smoothed_shares(binned.counts)[place]), float(smoothed_shares(counts)[place])
    limit = max(size, share_limit(before, m, now, n, level, repeats=counted.repeats))
    finding: Finding = "drifted" if now - before > limit else "quiet"
    return Rise(ratio=counts[place] / n, rise=now - before, limit=limit, finding=finding)


def _mean(score: Binned, counted: Counted, level: float, limits: Limits) -> MeanShift | None:
    n, m = sum(counted.scores), sum(score.counts)
    if n / counted.repeats < limits.rows or m == 0 or score.mean is None:
        return None
    mean = min(max(counted.score_sum / n, 0.0), 1.0)  # a sum of floats may pass n by its last bit
    shift, half = mean - score.mean, share_limit(score.mean, m, mean, n, level, repeats=counted.repeats)
    is_far = abs(shift) > limits.mean_size and abs(shift) > half
    return MeanShift(
        mean=mean,
        reference=score.mean,
        shift=shift,
        low=shift - half,
        high=shift + half,
        finding="drifted" if is_far else "quiet",
    )
