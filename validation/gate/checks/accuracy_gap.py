"""Accuracy gap: is accuracy alike in the groups of a protected attribute?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from validation.gate.checks.rule import Check, JudgedRule, Limit, NamesOrAll, Number, hold
from validation.gate.evidence import Evidence
from validation.gate.intervals import measure_gap
from validation.gate.report import CheckResult


class AccuracyGap(JudgedRule, frozen=True, kw_only=True, tag="accuracy_gap"):
    """Accuracy must be alike in the groups of protected attributes.

    Attributes:
        attributes: Names of protected attributes, or `all` of the contract's; each is a check of its own.
        at_most: Largest distance of the best group's accuracy from the worst group's, from 0, below 1.
    """

    attributes: NamesOrAll
    at_most: Number

    def problems(self) -> Iterator[str]:
        """What keeps it from being judged by."""
        yield from self.judging_problems()
        if not self.attributes:
            yield "attributes is empty, so it never fails; name protected attributes, or write all"
        if not 0 <= self.at_most < 1:
            yield f"at_most is {self.at_most:g}; it must be at least 0 and below 1, or it never fails"

    def asks_for(self) -> list[str]:
        """Each attribute."""
        return (
            ["accuracy_gap of all"] if self.attributes == "all" else [f"accuracy_gap of {a}" for a in self.attributes]
        )

    def checks(self, evidence: Evidence) -> list[Check]:
        """One an attribute; where all are asked for and none is protected, one that says so."""
        names = (tuple(evidence.groups) or ("all",)) if self.attributes == "all" else self.attributes
        return [AccuracyGapCheck(self, name) for name in names]


@dataclass(frozen=True)
class AccuracyGapCheck:
    """Is accuracy alike in a protected attribute's groups?"""

    rule: AccuracyGap
    attribute: str

    @property
    def name(self) -> str:
        """Such as `accuracy_gap[gender]`."""
        return f"accuracy_gap[{self.attribute}]"

    def run(self, evidence: Evidence, rng: np.random.Generator) -> CheckResult:  # noqa: ARG002
        """Measure the gap for both models and judge the candidate's."""
        groups = evidence.groups_of(self.attribute)
        candidate, *champion = (
            measure_gap(subject.positives == evidence.truth, groups) for subject in evidence.subjects
        )
        limit = Limit("at most", self.rule.at_most, self.rule.judge_by, self.rule.on_inconclusive)
        return hold(self.name, candidate, limit, champion[0] if champion else None)
