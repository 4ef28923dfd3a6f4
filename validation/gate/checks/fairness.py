"""Fairness: is a measure alike in the groups of protected attributes, and where several are crossed?

The gap is the highest group's number minus the lowest's. With many small groups the largest of many differences is wide
by chance alone, so its interval (Newcombe's for shares, a normal one for calibration) allows for all pairs of groups
(Bonferroni). Groups with too few rows are left out where the policy says so, and are named.

Source: Newcombe 1998 (Statistics in Medicine 17:873), method 10; `statsmodels`' "newcomb".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Annotated

import numpy as np
from msgspec import Meta
from scipy.stats import norm
from statsmodels.stats.proportion import confint_proportions_2indep

from bentos.errors import shown
from validation.gate.checks.rule import Check, JudgedRule, Limit, NamesOrAll, Number, WholeNumber, YesOrNo, hold
from validation.gate.evidence import Evidence, Subject
from validation.gate.groups import RowGroup, groups_by
from validation.gate.intervals import CONFIDENCE, Measured
from validation.gate.metrics import Answered, Confusion
from validation.gate.report import CheckResult, Part
from validation.statistics import wilson_interval

_SHARES: dict[str, Callable[[Confusion], tuple[float, float]]] = {
    "accuracy": lambda c: (float(c.tp + c.tn), float(c.n)),
    "selection_rate": lambda c: (float(c.tp + c.fp), float(c.n)),
    "tpr": lambda c: (float(c.tp), float(c.tp + c.fn)),
    "fpr": lambda c: (float(c.fp), float(c.fp + c.tn)),
    "ppv": lambda c: (float(c.tp), float(c.tp + c.fp)),
}
MEASURES = (*_SHARES, "calibration")
"""`calibration` is the mean promised probability minus the share that came true; its gap is between groups."""

_Measures = Annotated[tuple[str, ...], Meta(description="a list of measures")]


class Fairness(JudgedRule, frozen=True, kw_only=True, tag="fairness"):
    """A measure must be alike in the groups of protected attributes.

    Attributes:
        measures: Of `MEASURES`; each is a check of its own for each attribute.
        attributes: Names of protected attributes, or `all` of the contract's.
        intersections: Whether attributes are crossed too (every two of them).
        at_most: Largest gap between two groups, from 0, below 1.
        min_rows: Groups with fewer rows (for a rate: rows that it is a share of) are left out, and named.
    """

    measures: _Measures
    attributes: NamesOrAll
    at_most: Number
    intersections: YesOrNo = False
    min_rows: WholeNumber = 30

    def problems(self) -> Iterator[str]:
        """What keeps it from being judged by."""
        yield from self.judging_problems()
        if not self.measures:
            yield "measures is empty, so it never fails; name at least one"
        for measure in self.measures:
            if measure not in MEASURES:
                yield f"measures holds {shown(measure)}; each must be one of {', '.join(MEASURES)}"
        if not self.attributes:
            yield "attributes is empty, so it never fails; name protected attributes, or write all"
        if not 0 <= self.at_most < 1:
            yield f"at_most is {self.at_most:g}; it must be at least 0 and below 1, or it never fails"
        if not 1 <= self.min_rows <= 1_000_000:
            yield f"min_rows is {self.min_rows}; it must be from 1 to 1000000"

    def asks_for(self) -> list[str]:
        """Each measure of each attribute."""
        names = ["all"] if self.attributes == "all" else self.attributes
        return [f"fairness in {measure} of {name}" for measure in self.measures for name in names]

    @property
    def protected(self) -> tuple[str, ...]:
        """Those whose groups are compared."""
        return () if self.attributes == "all" else tuple(self.attributes)

    def checks(self, evidence: Evidence) -> list[Check]:
        """One a measure and attribute, and one a measure and crossing."""
        names = (tuple(evidence.groups) or ("all",)) if self.attributes == "all" else self.attributes
        crossed = list(combinations(names, 2)) if self.intersections else []
        return [
            FairnessCheck(self, measure, attributes)
            for measure in self.measures
            for attributes in (*((name,) for name in names), *crossed)
        ]


@dataclass(frozen=True)
class FairnessCheck:
    """Is one measure alike in the groups of one attribute, or of two crossed?"""

    rule: Fairness
    measure: str
    attributes: tuple[str, ...]

    @property
    def name(self) -> str:
        """Such as `fairness[tpr, gender x SeniorCitizen]`."""
        return f"fairness[{self.measure}, {' x '.join(self.attributes)}]"

    def run(self, evidence: Evidence, rng: np.random.Generator) -> CheckResult:  # noqa: ARG002
        """Measure the gap for both models and judge the candidate's."""
        for attribute in self.attributes:
            evidence.groups_of(attribute)
        groups = groups_by(self.attributes, evidence.groups)
        measured = [self._measure(subject, groups, evidence) for subject in evidence.subjects]
        (candidate, own), *others = measured
        limit = Limit("at most", self.rule.at_most, self.rule.judge_by, self.rule.on_inconclusive)
        champion = others[0] if others else None
        parts = _beside(own, champion[1] if champion else None)
        return hold(self.name, candidate, limit, champion[0] if champion else None, parts)

    def _measure(self, subject: Subject, groups: list[RowGroup], evidence: Evidence) -> tuple[Measured, list[Part]]:
        measure = _calibration if self.measure == "calibration" else _rate
        found = [measure(self.measure, group, evidence.answered(subject).of(group.rows)) for group in groups]
        known = [one for one in found if one.n >= self.rule.min_rows and not math.isnan(one.value)]
        if len(known) < 2:
            sizes = ", ".join(f"{one.name} {one.n}" for one in found) or "none"
            raise ValueError(
                f"a gap needs two groups with {self.rule.min_rows} rows or more that {self.measure} is a share of; "
                f"there are: {sizes}"
            )
        parts = [_as_part(one, is_left_out=one not in known) for one in found]
        return _gap(known, self.measure, evidence.truth.size), parts


@dataclass(frozen=True)
class _Group:
    """A measure in one group, with what its interval needs: counts of a share, or a standard error."""

    name: str
    n: int
    value: float
    part: float = 0.0
    standard_error: float = 0.0


def _rate(measure: str, group: RowGroup, answered: Answered) -> _Group:
    part, whole = _SHARES[measure](answered.confusion)
    return _Group(group.name, int(whole), part / whole if whole else math.nan, part=part)


def _calibration(_measure: str, group: RowGroup, answered: Answered) -> _Group:
    excess = answered.probabilities - answered.truth
    n = excess.size
    error = float(excess.std(ddof=1) / math.sqrt(n)) if n > 1 else math.nan
    return _Group(group.name, n, float(excess.mean()) if n > 1 else math.nan, standard_error=error)


def _gap(groups: list[_Group], measure: str, n: int) -> Measured:
    """Highest minus lowest, with an interval that holds for every pair of groups at once, folded at 0."""
    ordered = sorted(groups, key=lambda group: (group.value, group.name))
    low, high = ordered[0], ordered[-1]
    pairs = len(groups) * (len(groups) - 1) // 2
    alpha = (1 - CONFIDENCE) / pairs
    if measure == "calibration":
        width = float(norm.isf(alpha / 2)) * math.hypot(low.standard_error, high.standard_error)
        ends = high.value - low.value - width, high.value - low.value + width
    else:
        found = confint_proportions_2indep(
            high.part, high.n, low.part, low.n, method="newcomb", compare="diff", alpha=alpha
        )
        ends = float(found[0]), float(found[1])
    folded = (0.0 if ends[0] < 0 < ends[1] else min(map(abs, ends)), max(map(abs, ends)))
    details = {f"{measure}[{group.name}]": group.value for group in groups}
    details |= {f"n[{group.name}]": float(group.n) for group in groups}
    return Measured(high.value - low.value, *folded, n, details)


def _as_part(group: _Group, *, is_left_out: bool) -> Part:
    value = None if math.isnan(group.value) else group.value
    low, high = None, None
    if value is not None and group.standard_error:
        width = float(norm.isf((1 - CONFIDENCE) / 2)) * group.standard_error
        low, high = value - width, value + width
    elif value is not None:
        low, high = wilson_interval(round(group.part), group.n, CONFIDENCE)
    note = "too few rows to compare" if is_left_out else ""
    return Part(name=group.name, n=group.n, value=value, low=low, high=high, note=note)


def _beside(own: list[Part], theirs: list[Part] | None) -> tuple[Part, ...]:
    """The candidate's groups with the champion's numbers beside them."""
    if theirs is None:
        return tuple(own)
    return tuple(
        Part(
            name=mine.name,
            n=mine.n,
            value=mine.value,
            low=mine.low,
            high=mine.high,
            champion=their.value,
            champion_low=their.low,
            champion_high=their.high,
            note=mine.note,
        )
        for mine, their in zip(own, theirs, strict=True)
    )
