"""Data: are the candidate's customers those that the champion was trained on, and do its features know too much?

The holdout is a fifth of the candidate's data by a stable hash, so it is a sample of them: counted in the bins of a
reference, it tells whether they moved, without anybody's training rows.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import msgspec
import numpy as np

from bentos.artifact import Binned, Categorical, Contract, Reference, Value, category_of
from validation.gate.checks.rule import Check, JudgedRule, Limit, Number, Rule, hold
from validation.gate.evidence import Evidence
from validation.gate.intervals import measure_metric
from validation.gate.metrics import Answered, BoolArray, FloatArray, value_of
from validation.gate.report import CheckResult, Part, Status
from validation.statistics import psi, psi_limit

_NAMED = 3


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
        if not 0 < self.level <= 0.1:
            yield f"level is {self.level:g}; it must be above 0 and at most 0.1"

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


class Leakage(JudgedRule, frozen=True, kw_only=True, tag="leakage"):
    """A model or a feature that knows too much has usually seen the answer.

    Attributes:
        roc_auc_at_most: ROC-AUC above which leakage is assumed until shown otherwise, above 0.5 and below 1.
        feature_roc_auc_at_most: The same of any feature by itself.
    """

    roc_auc_at_most: Number
    feature_roc_auc_at_most: Number

    def problems(self) -> Iterator[str]:
        """What keeps it from being judged by."""
        yield from self.judging_problems()
        for key in ("roc_auc_at_most", "feature_roc_auc_at_most"):
            bound = getattr(self, key)
            if not 0.5 < bound < 1:
                yield f"{key} is {bound:g}; it must be above 0.5 and below 1, or it never fails"

    def asks_for(self) -> list[str]:
        """Itself."""
        return ["leakage"]

    def checks(self, evidence: Evidence) -> list[Check]:
        """Of the model, and of each feature."""
        del evidence
        return [ModelLeakageCheck(self), FeatureLeakageCheck(self)]


class ContradictingRows(Rule, frozen=True, kw_only=True, tag="contradicting_rows"):
    """Rows that agree in every feature and differ in truth: what no model can tell apart, or a column that is missing.

    Attributes:
        share_at_most: Largest share of rows that are contradicted by another, above 0 and below 1.
    """

    share_at_most: Number

    def problems(self) -> Iterator[str]:
        """What keeps it from being judged by."""
        if not 0 < self.share_at_most < 1:
            yield f"share_at_most is {self.share_at_most:g}; it must be above 0 and below 1, or it never fails"

    def asks_for(self) -> list[str]:
        """Itself."""
        return ["contradicting_rows"]

    def checks(self, evidence: Evidence) -> list[Check]:  # noqa: ARG002
        """One."""
        return [ContradictingRowsCheck(self)]


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
        reference = self._reference(evidence)
        known = {feature.name for feature in evidence.contract.features}
        judged = [binned for binned in reference.features if binned.name in known and len(binned.bins) > 1]
        if not judged:
            raise ValueError("the reference has no feature with two bins, so nothing can be compared")
        parts = [self._part(binned, evidence, features=len(judged)) for binned in judged]
        parts.sort(key=lambda part: (part.status != "FAIL", -(part.value or 0.0), part.name))
        moved, worst = [part for part in parts if part.status == "FAIL"], parts[0]
        bound = self.rule.psi_at_most
        whose = "the champion's training data" if self.rule.is_relative else "the training data"
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


@dataclass(frozen=True)
class ModelLeakageCheck:
    """Is the model too good to be true?"""

    rule: Leakage
    name: str = "leakage[model]"

    def run(self, evidence: Evidence, rng: np.random.Generator) -> CheckResult:
        """Hold its ROC-AUC against what honest models of this data reach."""
        candidate, *champion = (measure_metric("roc_auc", evidence.answered(s), rng) for s in evidence.subjects)
        limit = Limit("at most", self.rule.roc_auc_at_most, self.rule.judge_by, self.rule.on_inconclusive)
        return hold(self.name, candidate, limit, champion[0] if champion else None)


@dataclass(frozen=True)
class FeatureLeakageCheck:
    """Does a feature by itself tell the answer?"""

    rule: Leakage
    name: str = "leakage[features]"

    def run(self, evidence: Evidence, rng: np.random.Generator) -> CheckResult:
        """Rank the rows by each feature alone, in the direction that suits it, and judge the one that ranks best."""
        scores = {f.name: _alone(evidence, f.name) for f in evidence.contract.features}
        areas = {name: value_of("roc_auc", _as_answer(evidence.truth, score)) for name, score in scores.items()}
        if not all(np.isfinite(area) for area in areas.values()):
            raise ValueError("ROC-AUC is undefined on this holdout, so no feature can be ranked by")
        order = sorted(areas, key=lambda name: (-areas[name], name))
        best = order[0]
        measured = measure_metric("roc_auc", _as_answer(evidence.truth, scores[best]), rng)
        limit = Limit("at most", self.rule.feature_roc_auc_at_most, self.rule.judge_by, self.rule.on_inconclusive)
        parts = tuple(Part(name=name, n=evidence.truth.size, value=areas[name]) for name in order)
        result = hold(self.name, measured, limit, None, parts)
        return msgspec.structs.replace(result, reason=f"{best} by itself: {result.reason}")


@dataclass(frozen=True)
class ContradictingRowsCheck:
    """How many rows does another one contradict?"""

    rule: ContradictingRows
    name: str = "contradicting_rows"

    def run(self, evidence: Evidence, rng: np.random.Generator) -> CheckResult:  # noqa: ARG002
        """Count rows whose features another row has too, with the other truth."""
        _, places = np.unique(evidence.rows, axis=0, return_inverse=True)
        places = places.reshape(-1)
        positive = np.bincount(places, weights=evidence.truth)
        rows = np.bincount(places)
        contradicted = int(rows[(positive > 0) & (positive < rows)].sum())
        share, bound = contradicted / evidence.truth.size, self.rule.share_at_most
        held = share <= bound
        return CheckResult(
            name=self.name,
            status="PASS" if held else "FAIL",
            reason=f"{contradicted} of {evidence.truth.size:,} rows have a twin with the other truth; the share "
            f"{'is' if held else 'must be'} at most {bound:g}",
            value=share,
            bound=bound,
            allowed=f"at most {bound:g}",
            n=evidence.truth.size,
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
    for value in values:
        counts[_bin_of(binned, feature, value)] += 1
    return list(counts.values())


def _bin_of(binned: Binned, feature: object, value: Value) -> str:
    if isinstance(feature, Categorical):
        is_missing = value is None or value in feature.missing
        name = "missing" if is_missing else category_of(feature, value)
        return name if name in binned.bins else "unseen"
    if value is None or isinstance(value, str):
        if "missing" not in binned.bins:
            raise ValueError(f"{binned.name} is missing in the holdout, and the reference has no such bin")
        return "missing"
    return binned.bins[bisect_right(binned.edges, float(value))]


def _alone(evidence: Evidence, name: str) -> FloatArray:
    """A score by one feature: a number as it is or turned round, a category's share of positive rows."""
    start, end = evidence.encoder.spans[name]
    block = evidence.rows[:, start:end].astype(np.float64)
    number = next((n for n in evidence.numbers if n.name == name), None)
    if number is None:
        _, places = np.unique(block, axis=0, return_inverse=True)
        places = places.reshape(-1)
        shares = np.bincount(places, weights=evidence.truth) / np.bincount(places)
        return np.asarray(shares[places], dtype=np.float64)
    score = block[:, 0]
    area = value_of("roc_auc", _as_answer(evidence.truth, score))
    return score if area >= 0.5 else -score


def _as_answer(truth: BoolArray, score: FloatArray) -> Answered:
    return Answered(truth, score, score > np.median(score))
