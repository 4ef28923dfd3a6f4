"""Leakage: a model or a feature that knows too much has usually seen the answer.

No training rows are here, so what is looked for is what leakage leaves in the holdout: a model that ranks too well, a
feature that ranks too well by itself, and a category whose customers nearly all have the rarer truth.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import msgspec
import numpy as np
from numpy.typing import NDArray

from bentos.artifact import Categorical, Feature
from validation.gate.checks.rule import Bound, Check, JudgedRule, Limit, Number, hold
from validation.gate.evidence import Evidence
from validation.gate.intervals import CONFIDENCE, Measured, measure_metric
from validation.gate.metrics import Answered, BoolArray, FloatArray, value_of
from validation.gate.report import CheckResult, Part
from validation.statistics import wilson_interval

_FEWEST_IN_CATEGORY = 30
_FOLDS = 5
_PARTS = 20

Codes = NDArray[np.intp]


class Leakage(JudgedRule, frozen=True, kw_only=True, tag="leakage"):
    """A model, a feature or a category that knows too much has usually seen the answer.

    Attributes:
        roc_auc_at_most: ROC-AUC above which leakage is assumed until shown otherwise, above 0.5 and below 1.
        feature_roc_auc_at_most: The same of any feature by itself.
        category_rate_at_most: Largest share of the rarer truth among the rows of any category or tenth of a number, of
            30 rows or more, above 0 and below 1; where it is left out, categories are not judged.
    """

    roc_auc_at_most: Number
    feature_roc_auc_at_most: Number
    category_rate_at_most: Bound = None

    def problems(self) -> Iterator[str]:
        """What keeps it from being judged by."""
        yield from self.judging_problems()
        for key in ("roc_auc_at_most", "feature_roc_auc_at_most"):
            bound = getattr(self, key)
            if not 0.5 < bound < 1:
                yield f"{key} is {bound:g}; it must be above 0.5 and below 1, or it never fails"
        rate = self.category_rate_at_most
        if rate is not None and not 0 < rate < 1:
            yield f"category_rate_at_most is {rate:g}; it must be above 0 and below 1, or it never fails"

    def asks_for(self) -> list[str]:
        """Itself."""
        return ["leakage"]

    def checks(self, evidence: Evidence) -> list[Check]:
        """Of the model, of each feature, and where a bound is given of each category."""
        del evidence
        found: list[Check] = [ModelLeakageCheck(self), FeatureLeakageCheck(self)]
        if self.category_rate_at_most is not None:
            found.append(CategoryLeakageCheck(self, self.category_rate_at_most))
        return found

    def at_most(self, bound: float) -> Limit:
        """A bound, judged as the rule says."""
        return Limit("at most", bound, self.judge_by, self.on_inconclusive)


@dataclass(frozen=True)
class ModelLeakageCheck:
    """Is the model too good to be true?"""

    rule: Leakage
    name: str = "leakage[model]"

    def run(self, evidence: Evidence, rng: np.random.Generator) -> CheckResult:
        """Hold its ROC-AUC against what honest models of this data reach."""
        candidate, *champion = (measure_metric("roc_auc", evidence.answered(s), rng) for s in evidence.subjects)
        limit = self.rule.at_most(self.rule.roc_auc_at_most)
        return hold(self.name, candidate, limit, champion[0] if champion else None)


@dataclass(frozen=True)
class FeatureLeakageCheck:
    """Does a feature by itself tell the answer?"""

    rule: Leakage
    name: str = "leakage[features]"

    def run(self, evidence: Evidence, rng: np.random.Generator) -> CheckResult:
        """Rank the rows by each feature alone, as suits it best, and judge the one that ranks best."""
        if evidence.truth.all() or not evidence.truth.any():
            raise ValueError("ROC-AUC is undefined on this holdout, so no feature can be ranked by")
        folds = rng.permutation(evidence.truth.size) % _FOLDS
        scores = {feature.name: _alone(evidence, feature, folds) for feature in evidence.contract.features}
        areas = {name: _area(evidence.truth, score) for name, score in scores.items()}
        order = sorted(areas, key=lambda name: (-areas[name], name))
        measured = measure_metric("roc_auc", _as_answer(evidence.truth, scores[order[0]]), rng)
        parts = tuple(Part(name=name, n=evidence.truth.size, value=areas[name]) for name in order)
        result = hold(self.name, measured, self.rule.at_most(self.rule.feature_roc_auc_at_most), None, parts)
        return msgspec.structs.replace(result, reason=f"{order[0]} by itself: {result.reason}")


@dataclass(frozen=True)
class CategoryLeakageCheck:
    """Have nearly all customers of a category the rarer truth?"""

    rule: Leakage
    bound: float
    name: str = "leakage[categories]"

    def run(self, evidence: Evidence, rng: np.random.Generator) -> CheckResult:  # noqa: ARG002
        """Judge the category with the largest share; its interval is the wider by how many there are (Bonferroni)."""
        rarer = evidence.truth if evidence.truth.mean() <= 0.5 else ~evidence.truth
        label = evidence.contract.labels.positive if rarer is evidence.truth else evidence.contract.labels.negative
        counts = [
            (f"{feature.name} {name}", int((codes == code).sum()), int((rarer & (codes == code)).sum()))
            for feature in evidence.contract.features
            for names, codes in [_codes_of(evidence, feature)]
            for code, name in enumerate(names)
        ]
        large = [(name, n, hits) for name, n, hits in counts if n >= _FEWEST_IN_CATEGORY]
        if not large:
            raise ValueError(f"no category has {_FEWEST_IN_CATEGORY} rows, so no share can be judged")
        large.sort(key=lambda one: (-one[2] / one[1], one[0]))
        confidence = 1 - (1 - CONFIDENCE) / len(large)
        measured = [Measured(h / n, *wilson_interval(h, n, confidence), n, confidence=confidence) for _, n, h in large]
        parts = tuple(
            Part(name=name, n=one.n, value=one.value, low=one.low, high=one.high)
            for (name, _, _), one in zip(large[:_PARTS], measured, strict=False)
        )
        result = hold(self.name, measured[0], self.rule.at_most(self.bound), None, parts)
        says = f"{evidence.contract.target} {label} among {large[0][0]}, the most of {len(large)} categories"
        return msgspec.structs.replace(result, reason=f"{says}: {result.reason}")


def _alone(evidence: Evidence, feature: Feature, folds: Codes) -> FloatArray:
    """A score by one feature: a number as it is or turned round, else the share of positive rows of its category.

    Shares are of other rows than those that they score, or a feature with a category a row would seem to know it all.
    """
    _, codes = _codes_of(evidence, feature)
    score = _rates_of_others(codes, evidence.truth, folds)
    if isinstance(feature, Categorical):
        return score
    value = evidence.rows[:, evidence.encoder.spans[feature.name][0]].astype(np.float64)
    return max((value, -value, score), key=lambda found: _area(evidence.truth, found))


def _codes_of(evidence: Evidence, feature: Feature) -> tuple[list[str], Codes]:
    """The categories of a feature, or the tenths of a number and missing; and for each row which of them it has."""
    start, end = evidence.encoder.spans[feature.name]
    block = evidence.rows[:, start:end]
    if isinstance(feature, Categorical):
        names = [*feature.categories, *(["missing"] if feature.missing else []), "unseen"]
        return names, np.where(block.any(axis=1), block.argmax(axis=1), len(names) - 1)
    is_missing = block[:, 1] == 1 if feature.missing else np.zeros(len(block), dtype=np.bool_)
    there = block[~is_missing, 0]
    edges = np.unique(np.quantile(there, np.arange(1, 10) / 10, method="higher")) if there.size else np.zeros(0)
    edges = edges[edges > there.min()] if there.size else edges
    ends = ["", *(f"{edge:g}" for edge in edges), ""]
    names = [_tenth(low, high) for low, high in pairwise(ends)]
    codes = np.where(is_missing, len(names), np.searchsorted(edges, block[:, 0], side="right"))
    return [*names, "missing"], codes


def _tenth(low: str, high: str) -> str:
    if low and high:
        return f"from {low} to {high}"
    return f"from {low}" if low else f"below {high}" if high else "of any size"


def _rates_of_others(codes: Codes, truth: BoolArray, folds: Codes) -> FloatArray:
    """For each row the share of positive rows with its code in the other folds, drawn towards the share of all."""
    scores = np.empty(truth.size)
    for fold in range(_FOLDS):
        mine, others = folds == fold, folds != fold
        n = np.bincount(codes[others], minlength=codes.max() + 1)
        positive = np.bincount(codes[others], weights=truth[others], minlength=codes.max() + 1)
        scores[mine] = ((positive + truth.mean()) / (n + 1))[codes[mine]]
    return scores


def _area(truth: BoolArray, score: FloatArray) -> float:
    return value_of("roc_auc", _as_answer(truth, score))


def _as_answer(truth: BoolArray, score: FloatArray) -> Answered:
    return Answered(truth, score, score > np.median(score))
