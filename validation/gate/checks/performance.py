"""Performance: does a metric keep to its bound?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bentos.errors import shown
from validation.gate.checks.rule import Bound, Check, JudgedRule, Limit, Relation, Text, hold
from validation.gate.evidence import Evidence
from validation.gate.intervals import measure_metric
from validation.gate.metrics import DEAREST_ROW, LOSSES, METRICS, costs_of
from validation.gate.report import CheckResult


class Performance(JudgedRule, frozen=True, kw_only=True, tag="performance"):
    """A metric must keep to a bound.

    Attributes:
        metric: One of `METRICS`, named with its average.
        at_least: The bound of what is to be high: above 0 and at most 1; for profit above -1.
        at_most: The bound of a loss (Brier, ECE, log loss): from 0, below 1; for log loss below 36.04.
    """

    metric: Text
    at_least: Bound = None
    at_most: Bound = None

    def problems(self) -> Iterator[str]:
        """What keeps it from being judged by."""
        yield from self.judging_problems()
        if self.metric not in METRICS:
            yield f"metric is {shown(self.metric)}; it must be one of {', '.join(METRICS)}"
            return
        wanted, other = ("at_most", "at_least") if self.metric in LOSSES else ("at_least", "at_most")
        if getattr(self, other) is not None:
            why = "less of it is better" if self.metric in LOSSES else "more of it is better"
            yield f"{other} is given for {self.metric}; {why}, so its bound must be {wanted}"
        if getattr(self, wanted) is None:
            yield f"it lacks the key {wanted!r}, the bound of {self.metric}"
        elif self.metric in LOSSES:
            yield from self._loss_problems(self.bound)
        elif not (-1 if self.metric == "profit" else 0) < self.bound <= 1:
            least = -1 if self.metric == "profit" else 0
            yield f"at_least is {self.bound:g}; it must be above {least}, or it never fails, and at most 1"

    def _loss_problems(self, bound: float) -> Iterator[str]:
        most = DEAREST_ROW if self.metric == "log_loss" else 1.0
        if not 0 <= bound < most:
            yield f"at_most is {bound:g}; it must be at least 0 and below {most:.4g}, or it never fails"

    @property
    def bound(self) -> float:
        """The one that is given."""
        found = self.at_most if self.metric in LOSSES else self.at_least
        return math.nan if found is None else found

    def asks_for(self) -> list[str]:
        """The metric."""
        return [self.metric]

    def checks(self, evidence: Evidence) -> list[Check]:  # noqa: ARG002
        """One."""
        return [PerformanceCheck(self)]


@dataclass(frozen=True)
class PerformanceCheck:
    """Does a metric keep to its bound?"""

    rule: Performance

    @property
    def name(self) -> str:
        """The metric's name."""
        return self.rule.metric

    def run(self, evidence: Evidence, rng: np.random.Generator) -> CheckResult:
        """Measure it for both models and judge the candidate's."""
        if self.rule.metric == "profit":
            self._refuse_what_nobody_falls_below(evidence)
        candidate, *champion = (
            measure_metric(self.rule.metric, evidence.answered(subject), rng) for subject in evidence.subjects
        )
        relation: Relation = "at most" if self.rule.metric in LOSSES else "at least"
        limit = Limit(relation, self.rule.bound, self.rule.judge_by, self.rule.on_inconclusive)
        return hold(self.name, candidate, limit, champion[0] if champion else None)

    def _refuse_what_nobody_falls_below(self, evidence: Evidence) -> None:
        """How little profit there can be hangs on costs and rows, which a policy does not know when it is read.

        Raises:
            ValueError: Even flagging every negative row and no other keeps to the bound.
        """
        least = -costs_of(evidence.contract.false_positive_cost)[1] * float(np.mean(~evidence.truth))
        if self.rule.bound <= least:
            raise ValueError(
                f"at_least is {self.rule.bound:g}, and the least profit that any model has on this holdout is "
                f"{least:.4f}, so the rule never fails; it must be above that"
            )
