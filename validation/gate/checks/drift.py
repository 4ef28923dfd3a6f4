"""Drift: are the candidate's customers those that the champion, or the candidate itself, was trained on?

The holdout is a fifth of the candidate's data by a stable hash, so it is a sample of them: counted in the bins of a
reference, it tells whether they moved, without anybody's training rows.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bentos.artifact import Binned, Categorical, Contract, Reference, Value, categories_of
from validation.gate.checks.rule import LEAST_LEVEL, Check, Number, Rule
from validation.gate.evidence import Evidence
from validation.gate.report import CheckResult, Part, Status
from validation.statistics import psi, psi_limit

_NAMED = 3

_FEWEST_ROWS = 200
"""Below it the limit of chance does not hold (D1)."""


class _DriftRule(Rule, frozen=True, kw_only=True):
    """What both kinds share.

    Attributes:
        psi_at_most: Size of PSI from which a feature has moved, above 0 and at most 1.
        level: Chance that features which did not move are called so, over all of them, above 0 and at most 0.1.
    """

    psi_at_most: Number = 0.2
    level: Number = 0.01

    def problems(self) -> Iterator[str]:
        """What keeps it from being judged by."""
        if not 0 < self.psi_at_most <= 1:
            yield f"psi_at_most is {self.psi_at_most:g}; it must be above 0 and at most 1, or it never fails"
        if not LEAST_LEVEL <= self.level <= 0.1:
            yield f"level is {self.level:g}; it must be at least {LEAST_LEVEL:g}, or it never fails, and at most 0.1"

    def asks_for(self) -> list[str]:
        """Itself."""
        return [self.kind]


class DriftFromChampion(_DriftRule, frozen=True, kw_only=True, tag="drift_from_champion"):
    """The candidate's data must not have moved away from the champion's training data."""

    is_relative: ClassVar[bool] = True

    def checks(self, evidence: Evidence) -> list[Check]:  # noqa: ARG002
        """One."""
        return [DriftCheck(self)]


class DriftFromTraining(_DriftRule, frozen=True, kw_only=True, tag="drift_from_training"):
    """The holdout must look like the candidate's training data; where it does not, the split or the file is wrong."""

    def checks(self, evidence: Evidence) -> list[Check]:  # noqa: ARG002
        """One."""
        return [DriftCheck(self)]


@dataclass(frozen=True)
class DriftCheck:
    """Did a feature move between a reference and the holdout?"""

    rule: DriftFromChampion | DriftFromTraining

    @property
    def name(self) -> str:
        """The rule's own."""
        return self.rule.kind

    def run(self, evidence: Evidence, rng: np.random.Generator) -> CheckResult:  # noqa: ARG002
        """Count the holdout in the reference's bins, feature by feature."""
        reference, n = self._reference(evidence), evidence.truth.size
        whose = "the champion's training data" if self.rule.is_relative else "the training data"
        if n < _FEWEST_ROWS:
            raise ValueError(f"the holdout has {n} rows, and PSI has no limit of chance below {_FEWEST_ROWS}")
        lacking = {feature.name for feature in evidence.contract.features} - {b.name for b in reference.features}
        if lacking:
            raise ValueError(f"the reference of {whose} lacks {', '.join(sorted(lacking))}")
        # What had one value in training has one bin: whether it moved cannot be counted there.
        judged = [binned for binned in reference.features if len(binned.bins) > 1]
        if not judged:
            raise ValueError("the reference has no feature with two bins, so nothing can be compared")
        parts = [self._part(binned, evidence, features=len(judged)) for binned in judged]
        parts.sort(key=lambda part: (part.status != "FAIL", -(part.value or 0.0), part.name))
        moved, worst = [part for part in parts if part.status == "FAIL"], parts[0]
        bound = self.rule.psi_at_most
        named = "; ".join(f"{part.name} (PSI {part.value:.3f})" for part in moved[:_NAMED])
        return CheckResult(
            name=self.name,
            status="FAIL" if moved else "PASS",
            reason=f"{len(moved)} of {len(parts)} features moved away from {whose}: {named}"
            if moved
            else f"none of {len(parts)} features moved away from {whose}; {worst.name} most, PSI {worst.value:.3f}",
            value=worst.value,
            bound=bound,
            allowed=f"at most {bound:g}",
            n=evidence.truth.size,
            parts=tuple(parts),
        )

    def _reference(self, evidence: Evidence) -> Reference:
        if not self.rule.is_relative:
            return evidence.candidate.facts.reference
        if evidence.champion is None:
            raise ValueError("there is no champion to compare with")
        return evidence.champion.facts.reference

    def _part(self, binned: Binned, evidence: Evidence, *, features: int) -> Part:
        counts = count_in_bins(binned, evidence.contract, evidence.columns[binned.name])
        found = psi(binned.counts, counts)
        limit = psi_limit(sum(binned.counts), sum(counts), len(binned.bins), self.rule.level / features)
        status: Status = "FAIL" if found > self.rule.psi_at_most and found > limit else "PASS"
        return Part(
            name=binned.name, n=int(sum(counts)), value=found, status=status, note=f"chance reaches {limit:.3f}"
        )


def count_in_bins(binned: Binned, contract: Contract, values: Sequence[Value]) -> list[int]:
    """Count values in a reference's bins, as training and the service count them.

    Args:
        binned: The feature's bins.
        contract: What the values are.
        values: Checked values, None where missing.
    """
    feature = contract.feature(binned.name)
    counts = dict.fromkeys(binned.bins, 0)
    if isinstance(feature, Categorical):
        for value, category in zip(values, categories_of(feature, values), strict=True):
            name = "missing" if value is None or value in feature.missing else category
            counts[name if name in counts else "unseen"] += 1
    else:
        for value in values:
            counts[_range_of(binned, value)] += 1
    return list(counts.values())


def _range_of(binned: Binned, value: Value) -> str:
    if value is None or isinstance(value, str):
        if "missing" not in binned.bins:
            raise ValueError(f"{binned.name} is missing in the holdout, and the reference has no such bin")
        return "missing"
    return binned.bins[bisect_right(binned.edges, float(value))]
