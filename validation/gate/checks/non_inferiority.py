"""Non-inferiority: is the candidate worse than the champion by less than a margin, on the same rows?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import msgspec
import numpy as np

from bentos.errors import shown
from validation.gate.checks.rule import LEAST_LEVEL, Check, JudgedRule, Limit, Number, Text, hold
from validation.gate.evidence import Evidence, Subject
from validation.gate.intervals import Measured, measure_mean
from validation.gate.metrics import FloatArray, costs_of
from validation.gate.report import CheckResult
from validation.statistics import delong, tango_interval

METRICS = ("accuracy", "profit", "roc_auc")


class NonInferiority(JudgedRule, frozen=True, kw_only=True, tag="non_inferiority"):
    """The candidate must not be worse than the champion by the margin or more.

    Attributes:
        metric: `accuracy` (Tango's score interval), `profit` by the contract's costs (paired bootstrap) or `roc_auc`
            (DeLong).
        margin: What may be lost, in the metric's unit, from 0 and below 0.5; 0 asks for superiority.
        alpha: One-sided level, above 0 and below 0.5.
    """

    is_relative: ClassVar[bool] = True

    metric: Text
    margin: Number
    alpha: Number = 0.05

    def problems(self) -> Iterator[str]:
        """What keeps it from being judged by."""
        yield from self.judging_problems()
        if self.metric not in METRICS:
            yield f"metric is {shown(self.metric)}; it must be one of {', '.join(METRICS)}"
        if not 0 <= self.margin < 0.5:
            yield f"margin is {self.margin:g}; it must be at least 0 and below 0.5, or it hardly ever fails"
        if not LEAST_LEVEL <= self.alpha < 0.5:
            yield f"alpha is {self.alpha:g}; it must be at least {LEAST_LEVEL:g}, or it never fails, and below 0.5"

    def asks_for(self) -> list[str]:
        """Itself, for the metric."""
        return [f"non_inferiority in {self.metric}"]

    def checks(self, evidence: Evidence) -> list[Check]:  # noqa: ARG002
        """One."""
        return [NonInferiorityCheck(self)]


@dataclass(frozen=True)
class NonInferiorityCheck:
    """Is the candidate worse by less than the margin?"""

    rule: NonInferiority

    @property
    def name(self) -> str:
        """Such as `non_inferiority[accuracy]`."""
        return f"non_inferiority[{self.rule.metric}]"

    def run(self, evidence: Evidence, rng: np.random.Generator) -> CheckResult:
        """Measure the candidate's metric minus the champion's, and hold its interval against the margin."""
        if evidence.champion is None:
            raise ValueError("there is no champion to compare with")
        measure = {"accuracy": _accuracy, "profit": _profit, "roc_auc": _roc_auc}[self.rule.metric]
        difference = measure(evidence, evidence.champion, 1 - 2 * self.rule.alpha, rng)
        limit = Limit("above", -self.rule.margin, self.rule.judge_by, self.rule.on_inconclusive)
        result = hold(self.name, difference, limit, None)
        if result.status == "ERROR":
            return result
        reason = f"{self.rule.metric} less the champion's, {result.reason}"
        return msgspec.structs.replace(result, reason=reason)


def _accuracy(evidence: Evidence, _champion: Subject, confidence: float, _rng: np.random.Generator) -> Measured:
    b, c, n = evidence.discordant
    low, high = tango_interval(b, c, n, confidence)
    return Measured((b - c) / n, low, high, n, {"b": b, "c": c}, confidence)


def _profit(evidence: Evidence, champion: Subject, confidence: float, rng: np.random.Generator) -> Measured:
    missed, needless = costs_of(evidence.contract.false_positive_cost)

    def spared(subject: Subject) -> FloatArray:
        """What each row's answer spares beside flagging nobody."""
        flagged = subject.positives.astype(np.float64)
        return np.asarray(np.where(evidence.truth, flagged * missed, -flagged * needless))

    return measure_mean(spared(evidence.candidate) - spared(champion), rng, confidence)


def _roc_auc(evidence: Evidence, champion: Subject, confidence: float, _rng: np.random.Generator) -> Measured:
    found = delong(evidence.truth, champion.probabilities, evidence.candidate.probabilities)
    low, high = found.interval(confidence)
    details = {"candidate": found.auc_b, "champion": found.auc_a, "z": found.z, "p": found.p}
    return Measured(found.difference, low, high, evidence.truth.size, details, confidence)
