"""Direction: does the probability move with a feature as people who know the customers would expect?

It is found out from answers alone, so it holds for any model: that feature alone is moved over its range, for every row
of the holdout (individual conditional expectation, Goldstein et al. 2015, JCGS 24:44).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Literal

import numpy as np
from msgspec import Meta

from bentos.artifact import Numeric
from validation.gate.checks.rule import Check, Number, Rule
from validation.gate.evidence import Evidence, Rows, Subject
from validation.gate.intervals import CONFIDENCE
from validation.gate.metrics import FloatArray
from validation.gate.report import CheckResult, Part
from validation.statistics import wilson_interval

_GRID = 9
"""Values of a numeric feature that are tried: quantiles of the holdout, its least and its greatest value among them."""

_NOTICED = 0.01
"""A change of the mean probability below this is no direction."""

_At = Annotated[Literal["every_step", "ends"], Meta(description="every_step or ends")]
_Expectations = Annotated[
    dict[str, str | tuple[str, ...]],
    Meta(description="a mapping of features to rising, falling, or a list of categories by falling probability"),
]


class Direction(Rule, frozen=True, kw_only=True, tag="direction"):
    """Which way the probability must move with a feature, on average and for nearly every row.

    Attributes:
        expect: For each feature `rising`, `falling`, or its categories in the order in which the probability falls.
        at: `every_step` on the way, or `ends` where only the last value is held against the first.
        tolerance: How far a row's probability may move the other way, anywhere on its way, above 0 and below 1. Sums
            of trees are no smooth curves: on Telco 9 % of rows move back by more than .05 somewhere, none by .1.
        against_at_most: Share of rows that may move further the other way, from 0 and below 0.5.
    """

    expect: _Expectations
    at: _At = "every_step"
    tolerance: Number = 0.1
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
        if not 0 < self.tolerance < 1:
            yield f"tolerance is {self.tolerance:g}; it must be above 0 and below 1"
        if not 0 <= self.against_at_most < 0.5:
            yield f"against_at_most is {self.against_at_most:g}; it must be at least 0 and below 0.5"

    def asks_for(self) -> list[str]:
        """Each feature."""
        return [f"direction of {name}" for name in self.expect]

    @property
    def features(self) -> tuple[str, ...]:
        """Those of which something is expected."""
        return tuple(self.expect)

    def checks(self, evidence: Evidence) -> list[Check]:  # noqa: ARG002
        """One a feature."""
        return [DirectionCheck(self, name) for name in self.expect]


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
        """Move the feature over its range for every row; judge the mean at each step, and the rows that go astray."""
        names, steps = zip(*self._steps(evidence), strict=True)
        sign = 1.0 if self.rule.expect[self.feature] == "rising" else -1.0
        curves = [_curve(subject, steps) for subject in evidence.subjects]
        judged = slice(None) if self.rule.at == "every_step" else slice(None, None, len(steps) - 1)
        against, *theirs = (_share_against(sign * curve[judged], self.rule.tolerance) for curve in curves)
        means = [curve.mean(axis=1) for curve in curves]
        wrong = self._wrong(sign, means[0][judged], names[judged], against)
        low, high = wilson_interval(round(against * evidence.truth.size), evidence.truth.size, CONFIDENCE)
        return CheckResult(
            name=self.name,
            status="FAIL" if wrong else "PASS",
            reason=self._reason(means[0], names, against, wrong),
            value=against,
            low=low,
            high=high,
            bound=self.rule.against_at_most,
            allowed=f"at most {self.rule.against_at_most:g}",
            champion=theirs[0] if theirs else None,
            n=evidence.truth.size,
            parts=tuple(
                Part(
                    name=f"{self.feature} {name}",
                    n=evidence.truth.size,
                    value=float(means[0][i]),
                    champion=float(means[1][i]) if theirs else None,
                )
                for i, name in enumerate(names)
            ),
        )

    def _wrong(self, sign: float, means: FloatArray, names: Sequence[str], against: float) -> list[str]:
        wrong = []
        changes = sign * np.diff(means)
        if changes.sum() < _NOTICED:
            wrong.append("on average it does not move that way")
        elif changes.min() < -_NOTICED:
            before, after = list(pairwise(names))[int(changes.argmin())]
            wrong.append(f"from {before} to {after} the mean moves the other way by {-changes.min():.3f}")
        if against > self.rule.against_at_most:
            wrong.append(f"at most {self.rule.against_at_most:.0%} of rows may move the other way")
        return wrong

    def _reason(self, means: FloatArray, names: Sequence[str], against: float, wrong: list[str]) -> str:
        order = self.rule.expect[self.feature]
        words = order if isinstance(order, str) else f"falling in the order {', '.join(order)}"
        says = (
            f"from {names[0]} to {names[-1]} the mean probability goes from {means[0]:.3f} to {means[-1]:.3f}, and "
            f"{against:.1%} of rows move the other way by more than {self.rule.tolerance:g}"
        )
        return f"{says}; it must be {words}: {'; '.join(wrong)}" if wrong else f"{says}; it is {words}"

    def _steps(self, evidence: Evidence) -> Iterator[tuple[str, Rows]]:
        """Each value of the feature in the order in which it is moved, and all rows with it."""
        if self.feature not in evidence.encoder.spans:
            raise ValueError(f"the contract has no feature {self.feature}; it has {', '.join(evidence.encoder.spans)}")
        feature, (start, end) = evidence.contract.feature(self.feature), evidence.encoder.spans[self.feature]
        order = self.rule.expect[self.feature]
        if isinstance(order, str) != isinstance(feature, Numeric):
            kind = "numeric: expect rising or falling" if isinstance(feature, Numeric) else "categorical: expect a list"
            raise ValueError(f"{self.feature} is {kind}{'' if isinstance(feature, Numeric) else ' of its categories'}")
        if isinstance(feature, Numeric):
            for value in _grid_of(feature, evidence.rows[:, start:end]):
                yield f"{value:g}", _at(evidence.rows, start, end, start, value)
            return
        for category in order:
            if category not in feature.categories:
                raise ValueError(f"{self.feature} has no category {category!r}")
            yield category, _at(evidence.rows, start, end, start + feature.categories.index(category), 1.0)


def _grid_of(feature: Numeric, block: Rows) -> list[float]:
    """Quantiles of the values that are there; whole where the feature is."""
    there = block[block[:, 1] == 0, 0] if feature.missing else block[:, 0]
    if there.size == 0:
        raise ValueError(f"{feature.name} is missing in every row of the holdout, so it cannot be moved over its range")
    values = np.quantile(there, np.linspace(0, 1, _GRID))
    grid = sorted(set((np.round(values) if feature.integer else values).tolist()))
    if len(grid) < 2:
        raise ValueError(f"{feature.name} is {grid[0]:g} in every row of the holdout, so it has no range to move over")
    return grid


def _at(rows: Rows, start: int, end: int, column: int, value: float) -> Rows:
    changed = rows.copy()
    changed[:, start:end] = 0.0
    changed[:, column] = value
    return changed


def _curve(subject: Subject, steps: Sequence[Rows]) -> FloatArray:
    """The probability of each row at each step, shape (n_steps, n_rows)."""
    return np.array([subject.probabilities_of(rows) for rows in steps])


def _share_against(curve: FloatArray, tolerance: float) -> float:
    """Share of rows that fall from the highest point so far by more than the tolerance, where they ought to rise."""
    fall = (np.maximum.accumulate(curve, axis=0) - curve).max(axis=0)
    return float(np.mean(fall > tolerance))
