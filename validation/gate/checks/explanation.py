"""Explanation sanity: does the model lean on what people who know the customers would expect, and in that direction?

It is found out from answers alone, so it holds for any model: importance is what shuffling a feature costs in ROC-AUC,
and a direction is what happens to each row's probability when that feature alone moves over its range.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from msgspec import Meta

from validation.gate.checks.rule import Check, Number, Rule, WholeNumber, or_none
from validation.gate.evidence import Evidence, Rows, Subject
from validation.gate.metrics import Answered, FloatArray, value_of
from validation.gate.perturbing import permute
from validation.gate.report import CheckResult, Part

_GRID = 5
"""Values of a numeric feature that are tried: quantiles of the holdout."""

_NOTICED = 0.01
"""A change of probability below this is no direction."""

_FewNames = Annotated[tuple[str, ...], Meta(description="a list of features")]
_Expectations = Annotated[
    dict[str, str | tuple[str, ...]],
    Meta(description="a mapping of features to rising, falling, or a list of categories by falling probability"),
]


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

    def checks(self, evidence: Evidence) -> list[Check]:  # noqa: ARG002
        """One."""
        return [ImportanceCheck(self)]


class Direction(Rule, frozen=True, kw_only=True, tag="direction"):
    """Which way the probability must move with a feature.

    Attributes:
        expect: For each feature `rising`, `falling`, or its categories in the order in which the probability falls.
        against_at_most: Share of rows that may move the other way by more than .01, from 0 and below 0.5.
    """

    expect: _Expectations
    against_at_most: Number = 0.1

    def problems(self) -> Iterator[str]:
        """What keeps it from being judged by."""
        if not self.expect:
            yield "expect is empty, so it never fails; name at least one feature"
        for name, order in self.expect.items():
            if isinstance(order, str) and order not in ("rising", "falling"):
                yield f"expect.{name} is {order!r}; it must be rising, falling, or a list of categories"
            elif not isinstance(order, str) and (len(order) < 2 or len(set(order)) < len(order)):
                yield f"expect.{name} must list two or more categories, each once"
        if not 0 <= self.against_at_most < 0.5:
            yield f"against_at_most is {self.against_at_most:g}; it must be at least 0 and below 0.5"

    def asks_for(self) -> list[str]:
        """Each feature."""
        return [f"direction of {name}" for name in self.expect]

    def checks(self, evidence: Evidence) -> list[Check]:  # noqa: ARG002
        """One a feature."""
        return [DirectionCheck(self, name) for name in self.expect]


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
        shuffles = [rng.spawn(1)[0].bit_generator for _ in names]  # the same for both models
        seeds = [int(np.random.Generator(bits).integers(2**32)) for bits in shuffles]
        own, *others = (self._importances(subject, evidence, seeds) for subject in evidence.subjects)
        order = sorted(range(len(names)), key=lambda i: (-own[i].mean(), names[i]))
        parts = tuple(_part(names[i], own[i], others[0][i] if others else None, evidence) for i in order)
        means = np.maximum([one.mean() for one in own], 0.0)
        if means.sum() == 0:
            raise ValueError("shuffling no feature costs anything: the model answers the same whatever it is told")
        return self._judge(names, order, means, own, parts, evidence)

    def _importances(self, subject: Subject, evidence: Evidence, seeds: list[int]) -> list[FloatArray]:
        """For each feature the loss of ROC-AUC at each shuffle."""
        whole = value_of("roc_auc", evidence.answered(subject))
        if not np.isfinite(whole):
            raise ValueError("ROC-AUC is undefined on this holdout, so nothing can be lost of it")
        found = []
        for span, seed in zip(evidence.encoder.spans.values(), seeds, strict=True):
            rng = np.random.default_rng(seed)
            drops = [
                whole - _area(subject, permute(evidence.rows, span, rng), evidence) for _ in range(self.rule.repeats)
            ]
            found.append(np.array(drops))
        return found

    def _judge(
        self,
        names: list[str],
        order: list[int],
        means: FloatArray,
        own: list[FloatArray],
        parts: tuple[Part, ...],
        evidence: Evidence,
    ) -> CheckResult:
        leading = [names[i] for i in order[: self.rule.first]]
        share = float(means[order[0]] / means.sum())
        lacking = [name for name in self.rule.top if name not in leading]
        left_out = evidence.candidate.facts.training.left_out
        read_anyway = [name for name, drops in zip(names, own, strict=True) if name in left_out and drops.any()]
        wrong = []
        if lacking:
            wrong.append(f"{', '.join(lacking)} must be among the first {self.rule.first}")
        if share > self.rule.most_share:
            wrong.append(
                f"{leading[0]} alone carries {share:.0%} of all importance, at most {self.rule.most_share:.0%}"
            )
        if read_anyway:
            wrong.append(f"{', '.join(read_anyway)} was to be left out and changes answers")
        summary = f"it leans on {', '.join(leading)}"
        return CheckResult(
            name=self.name,
            status="FAIL" if wrong else "PASS",
            reason=f"{summary}; {'; '.join(wrong)}" if wrong else f"{summary}; {leading[0]} carries {share:.0%}",
            value=share,
            bound=self.rule.most_share,
            allowed=f"at most {self.rule.most_share:g}",
            n=evidence.truth.size,
            parts=parts,
        )


@dataclass(frozen=True)
class DirectionCheck:
    """Does the probability move with a feature as expected?"""

    rule: Direction
    feature: str

    @property
    def name(self) -> str:
        """Such as `direction[tenure]`."""
        return f"direction[{self.feature}]"

    def run(self, evidence: Evidence, rng: np.random.Generator) -> CheckResult:  # noqa: ARG002
        """Move the feature over its range for every row, and count the rows that move the other way."""
        against, *others = (self._against(subject, evidence) for subject in evidence.subjects)
        bound = self.rule.against_at_most
        expected = self.rule.expect[self.feature]
        words = expected if isinstance(expected, str) else f"falling in the order {', '.join(expected)}"
        held = against <= bound
        return CheckResult(
            name=self.name,
            status="PASS" if held else "FAIL",
            reason=f"with {self.feature} {words}, {against:.1%} of rows move the other way; it "
            f"{'is' if held else 'must be'} at most {bound:.0%}",
            value=against,
            bound=bound,
            allowed=f"at most {bound:g}",
            champion=or_none(others[0]) if others else None,
            n=evidence.truth.size,
        )

    def _against(self, subject: Subject, evidence: Evidence) -> float:
        steps = [subject.probabilities_of(rows) for rows in self._steps(evidence)]
        moved = steps[-1] - steps[0]
        wanted = 1.0 if self.rule.expect[self.feature] == "rising" else -1.0
        return float(np.mean(moved * wanted < -_NOTICED))

    def _steps(self, evidence: Evidence) -> Iterator[Rows]:
        """All rows with the feature at each of its values, in the order in which it is moved."""
        if self.feature not in evidence.encoder.spans:
            raise ValueError(f"the contract has no feature {self.feature}; it has {', '.join(evidence.encoder.spans)}")
        start, end = evidence.encoder.spans[self.feature]
        order = self.rule.expect[self.feature]
        number = next((n for n in evidence.numbers if n.name == self.feature), None)
        if isinstance(order, str) != (number is not None):
            kind = "numeric: expect rising or falling" if number else "categorical: expect a list of its categories"
            raise ValueError(f"{self.feature} is {kind}")
        if number is not None:
            for value in np.quantile(evidence.rows[:, number.column], np.linspace(0, 1, _GRID)):
                yield _at(evidence.rows, start, end, start, float(value))
            return
        columns = {name: i for i, name in enumerate(evidence.encoder.columns)}
        for category in order:
            column = columns.get(f"{self.feature}={category}")
            if column is None:
                raise ValueError(f"{self.feature} has no category {category!r}")
            yield _at(evidence.rows, start, end, column, 1.0)


def _at(rows: Rows, start: int, end: int, column: int, value: float) -> Rows:
    changed = rows.copy()
    changed[:, start:end] = 0.0
    changed[:, column] = value
    return changed


def _area(subject: Subject, rows: Rows, evidence: Evidence) -> float:
    probabilities = subject.probabilities_of(rows)
    return value_of("roc_auc", Answered(evidence.truth, probabilities, probabilities >= subject.cut))


def _part(name: str, drops: FloatArray, theirs: FloatArray | None, evidence: Evidence) -> Part:
    """Mean loss over the shuffles; the ends are the least and the greatest of them."""
    left_out = " (left out in training)" if name in evidence.candidate.facts.training.left_out else ""
    return Part(
        name=name,
        n=evidence.truth.size,
        value=float(drops.mean()),
        low=float(drops.min()),
        high=float(drops.max()),
        champion=None if theirs is None else float(theirs.mean()),
        champion_low=None if theirs is None else float(theirs.min()),
        champion_high=None if theirs is None else float(theirs.max()),
        note=left_out.strip(),
    )
