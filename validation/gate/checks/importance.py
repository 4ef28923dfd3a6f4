"""Importance: does the model lean on what people who know the customers would expect?

It is found out from answers alone, so it holds for any model: a feature is as important as shuffling it costs ROC-AUC.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from msgspec import Meta
from scipy.stats import norm, rankdata

from validation.gate.checks.rule import Check, Number, Rule, WholeNumber
from validation.gate.evidence import Evidence, Subject
from validation.gate.intervals import CONFIDENCE
from validation.gate.metrics import BoolArray, FloatArray
from validation.gate.perturbing import permute
from validation.gate.report import CheckResult, Part

_FewNames = Annotated[tuple[str, ...], Meta(description="a list of features")]


class Importance(Rule, frozen=True, kw_only=True, tag="importance"):
    """What the model leans on: importance by shuffling.

    Attributes:
        top: Features that must be among the most important ones.
        first: How many of the most important ones that means, at least as many as `top`.
        most_share: Largest share of all importance that one feature may have, above 0 and below 1.
        repeats: How often each feature is shuffled, at least 3.
    """

    top: _FewNames = ()
    first: WholeNumber = 5
    most_share: Number = 0.8
    repeats: WholeNumber = 5

    def problems(self) -> Iterator[str]:
        """What keeps it from being judged by."""
        if not len(self.top) <= self.first <= 100:
            yield f"first is {self.first}; it must be at least as many as top names, {len(self.top)}, and at most 100"
        if not 0 < self.most_share < 1:
            yield f"most_share is {self.most_share:g}; it must be above 0 and below 1, or it never fails"
        if not 3 <= self.repeats <= 100:
            yield f"repeats is {self.repeats}; it must be from 3 to 100"

    def asks_for(self) -> list[str]:
        """Itself."""
        return ["importance"]

    @property
    def features(self) -> tuple[str, ...]:
        """Those that must lead."""
        return self.top

    def checks(self, evidence: Evidence) -> list[Check]:  # noqa: ARG002
        """One."""
        return [ImportanceCheck(self)]


@dataclass(frozen=True)
class ImportanceCheck:
    """Does the model lean on what it should?"""

    rule: Importance
    name: str = "importance"

    def run(self, evidence: Evidence, rng: np.random.Generator) -> CheckResult:
        """Shuffle each feature, and judge what leads and how much it carries."""
        names = list(evidence.encoder.spans)
        unknown = [name for name in self.rule.top if name not in names]
        if unknown:
            raise ValueError(f"top names {', '.join(unknown)}, and the contract has {', '.join(names)}")
        if self.rule.top and self.rule.first >= len(names):
            raise ValueError(f"first is {self.rule.first}, and there are {len(names)} features, so it never fails")
        if evidence.truth.all() or not evidence.truth.any():
            raise ValueError("ROC-AUC is undefined on this holdout, so nothing can be lost of it")
        seeds = rng.integers(2**32, size=len(names)).tolist()  # the same shuffles for both models
        own, *others = (self._losses(subject, evidence, seeds) for subject in evidence.subjects)
        order = sorted(range(len(names)), key=lambda i: (-own[i].value, names[i]))
        if all(loss.value <= 0 for loss in own):
            raise ValueError("shuffling no feature costs anything: the model answers the same whatever it is told")
        left_out = evidence.candidate.facts.training.left_out
        parts = tuple(
            _part(names[i], own[i], others[0][i] if others else None, evidence.truth.size, left_out) for i in order
        )
        return self._judge([names[i] for i in order], [own[i] for i in order], parts, left_out)

    def _losses(self, subject: Subject, evidence: Evidence, seeds: list[int]) -> list[_Loss]:
        """What shuffling each feature costs a model."""
        whole = _placements(evidence.truth, subject.probabilities)
        found = []
        for span, seed in zip(evidence.encoder.spans.values(), seeds, strict=True):
            rng = np.random.default_rng(seed)
            shuffled = [subject.probabilities_of(permute(evidence.rows, span, rng)) for _ in range(self.rule.repeats)]
            lost = np.mean([whole - _placements(evidence.truth, probabilities) for probabilities in shuffled], axis=0)
            is_read = any((probabilities != subject.probabilities).any() for probabilities in shuffled)
            found.append(_loss_of(lost, evidence.truth, is_read))
        return found

    def _judge(
        self, names: list[str], losses: list[_Loss], parts: tuple[Part, ...], left_out: tuple[str, ...]
    ) -> CheckResult:
        """Judge features and what they cost, the dearest first."""
        leading = names[: self.rule.first]
        share = losses[0].value / sum(max(loss.value, 0.0) for loss in losses)
        lacking = [name for name in self.rule.top if name not in leading]
        read_anyway = [name for name, loss in zip(names, losses, strict=True) if name in left_out and loss.is_read]
        wrong = []
        if lacking:
            wrong.append(f"{', '.join(lacking)} must be among the first {self.rule.first}")
        if share > self.rule.most_share:
            wrong.append(f"{names[0]} alone carries {share:.0%} of all importance, at most {self.rule.most_share:.0%}")
        if read_anyway:
            wrong.append(f"{', '.join(read_anyway)} was to be left out and changes answers")
        summary = f"it leans on {', '.join(leading)}"
        return CheckResult(
            name=self.name,
            status="FAIL" if wrong else "PASS",
            reason=f"{summary}; {'; '.join(wrong)}" if wrong else f"{summary}; {names[0]} carries {share:.0%}",
            value=share,
            bound=self.rule.most_share,
            allowed=f"at most {self.rule.most_share:g}",
            n=parts[0].n,
            parts=parts,
        )


@dataclass(frozen=True)
class _Loss:
    """What shuffling one feature costs in ROC-AUC.

    Attributes:
        value: Mean over the shuffles.
        low: Lower end of its 95 % interval over rows.
        high: Upper end.
        is_read: Whether it changed any answer at all.
    """

    value: float
    low: float
    high: float
    is_read: bool


def _placements(truth: BoolArray, probabilities: FloatArray) -> FloatArray:
    """For each row the share of the other class that it is ranked right against; the mean of either class is the AUC.

    Source: DeLong, DeLong & Clarke-Pearson 1988 (Biometrics 44:837). Ties count half.
    """
    ranks = np.asarray(rankdata(probabilities), dtype=np.float64)
    found = np.empty(truth.size)
    for mine in (truth, ~truth):
        below = ranks[mine] - rankdata(probabilities[mine])  # rows of the other class that are ranked below
        others = truth.size - int(mine.sum())
        found[mine] = below / others if mine is truth else 1 - below / others
    return found


def _loss_of(lost: FloatArray, truth: BoolArray, is_read: bool) -> _Loss:
    """The mean loss of area, with DeLong's variance of the rows' own losses."""
    value = float(lost[truth].mean())
    variance = sum(
        float(lost[mine].var(ddof=1)) / int(mine.sum()) if mine.sum() > 1 else 1.0 for mine in (truth, ~truth)
    )
    width = float(norm.isf((1 - CONFIDENCE) / 2)) * math.sqrt(variance)
    return _Loss(value, max(value - width, -1.0), min(value + width, 1.0), is_read)


def _part(name: str, own: _Loss, theirs: _Loss | None, n: int, left_out: tuple[str, ...]) -> Part:
    return Part(
        name=name,
        n=n,
        value=own.value,
        low=own.low,
        high=own.high,
        champion=None if theirs is None else theirs.value,
        champion_low=None if theirs is None else theirs.low,
        champion_high=None if theirs is None else theirs.high,
        note="left out in training" if name in left_out else "",
    )
