"""Performance: does a metric reach its bound?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bentos.errors import shown
from validation.gate.checks.rule import Check, JudgedRule, Limit, Number, Text, hold
from validation.gate.evidence import Evidence
from validation.gate.intervals import measure_metric
from validation.gate.metrics import METRICS
from validation.gate.report import CheckResult


class Performance(JudgedRule, frozen=True, kw_only=True, tag="performance"):
    """A metric must reach a bound.

    Attributes:
        metric: One of `METRICS`, named with its average.
        at_least: The bound, above 0 and at most 1.
    """

    metric: Text
    at_least: Number

    def problems(self) -> Iterator[str]:
        """What keeps it from being judged by."""
        yield from self.judging_problems()
        if self.metric not in METRICS:
            yield f"metric is {shown(self.metric)}; it must be one of {', '.join(METRICS)}"
        if not 0 < self.at_least <= 1:
            yield f"at_least is {self.at_least:g}; it must be above 0, or it never fails, and at most 1"

    def asks_for(self) -> list[str]:
        """The metric."""
        return [self.metric]

    def checks(self, evidence: Evidence) -> list[Check]:  # noqa: ARG002
        """One."""
        return [PerformanceCheck(self)]


@dataclass(frozen=True)
class PerformanceCheck:
    """Does a metric reach its bound?"""

    rule: Performance

    @property
    def name(self) -> str:
        """The metric's name."""
        return self.rule.metric

    def run(self, evidence: Evidence, rng: np.random.Generator) -> CheckResult:
        """Measure it for both models and judge the candidate's."""
        candidate, *champion = (
            measure_metric(self.rule.metric, evidence.truth, subject.probabilities, subject.positives, rng)
            for subject in evidence.subjects
        )
        limit = Limit("at least", self.rule.at_least, self.rule.judge_by, self.rule.on_inconclusive)
        return hold(self.name, candidate, limit, champion[0] if champion else None)
