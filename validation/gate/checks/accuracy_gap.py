"""Accuracy gap: fairness in accuracy alone, for one attribute at a time, as the simplest policies ask for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
import numpy as np

from validation.gate.checks.fairness import Fairness, FairnessCheck
from validation.gate.checks.rule import Check, JudgedRule, NamesOrAll, Number
from validation.gate.evidence import Evidence
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
        yield from self.as_fairness.problems()

    def asks_for(self) -> list[str]:
        """Each attribute."""
        names = ["all"] if self.attributes == "all" else self.attributes
        return [f"accuracy_gap of {name}" for name in names]

    @property
    def protected(self) -> tuple[str, ...]:
        """Those whose groups are compared."""
        return () if self.attributes == "all" else tuple(self.attributes)

    def checks(self, evidence: Evidence) -> list[Check]:
        """One an attribute; where all are asked for and none is protected, one that says so."""
        names = (tuple(evidence.groups) or ("all",)) if self.attributes == "all" else self.attributes
        return [AccuracyGapCheck(self, name) for name in names]

    @property
    def as_fairness(self) -> Fairness:
        """The same as a rule of fairness, which leaves no group out."""
        return Fairness(
            measures=("accuracy",),
            attributes=self.attributes,
            at_most=self.at_most,
            min_rows=1,
            judge_by=self.judge_by,
            on_inconclusive=self.on_inconclusive,
        )


@dataclass(frozen=True)
class AccuracyGapCheck:
    """Is accuracy alike in a protected attribute's groups?"""

    rule: AccuracyGap
    attribute: str

    @property
    def name(self) -> str:
        """Such as `accuracy_gap[gender]`."""
        return f"accuracy_gap[{self.attribute}]"

    def run(self, evidence: Evidence, rng: np.random.Generator) -> CheckResult:
        """Measure the gap for both models and judge the candidate's."""
        check = FairnessCheck(self.rule.as_fairness, "accuracy", (self.attribute,))
        return msgspec.structs.replace(check.run(evidence, rng), name=self.name)
