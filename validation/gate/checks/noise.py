"""Noise: does accuracy survive Gaussian noise on every numeric feature?"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from validation.gate.checks.rule import Check, JudgedRule, Limit, Number, Numbers, WholeNumber, hold
from validation.gate.evidence import Evidence, Rows, Subject, add_noise
from validation.gate.intervals import Measured, measure_mean
from validation.gate.metrics import FloatArray
from validation.gate.report import CheckResult

LEAST_DRAWS = 20


class Noise(JudgedRule, frozen=True, kw_only=True, tag="noise"):
    """Accuracy must survive Gaussian noise on every numeric feature.

    Attributes:
        deviations: Sizes of the noise in each feature's training standard deviations, above 0; each is a check.
        accuracy_drop_below: Bound of the mean loss of accuracy over the draws, above 0 and below 1.
        draws: How often noise is drawn, at least 20.
    """

    deviations: Numbers
    accuracy_drop_below: Number
    draws: WholeNumber = LEAST_DRAWS

    def problems(self) -> Iterator[str]:
        """What keeps it from being judged by."""
        yield from self.judging_problems()
        if not self.deviations:
            yield "deviations is empty, so it never fails; name at least one"
        for deviation in self.deviations:
            if not 0 < deviation <= 10:
                yield f"deviations holds {deviation:g}; each must be above 0, or it never fails, and at most 10"
        drop = self.accuracy_drop_below
        if not 0 < drop < 1:
            yield f"accuracy_drop_below is {drop:g}; it must be above 0 and below 1, or it never fails"
        if not LEAST_DRAWS <= self.draws <= 1000:
            yield f"draws is {self.draws}; it must be from {LEAST_DRAWS} to 1000"

    def asks_for(self) -> list[str]:
        """Each size of noise."""
        return [f"noise of {deviation:g} deviations" for deviation in self.deviations]

    def checks(self, evidence: Evidence) -> list[Check]:  # noqa: ARG002
        """One a size."""
        return [NoiseCheck(self, deviations) for deviations in self.deviations]


@dataclass(frozen=True)
class NoiseCheck:
    """Does accuracy survive Gaussian noise of one size?"""

    rule: Noise
    deviations: float

    @property
    def name(self) -> str:
        """Such as `accuracy_drop[noise 0.05]`."""
        return f"accuracy_drop[noise {self.deviations:g}]"

    def run(self, evidence: Evidence, rng: np.random.Generator) -> CheckResult:
        """Measure the mean loss of accuracy for both models under the same draws, and judge the candidate's."""
        subjects = evidence.subjects
        losses = [np.zeros(len(evidence.rows)) for _ in subjects]
        by_draw = np.zeros((len(subjects), self.rule.draws))
        for draw in range(self.rule.draws):
            noisy = add_noise(evidence.rows, evidence.numbers, self.deviations, rng)
            for position, subject in enumerate(subjects):
                lost = _losses(subject, noisy, evidence)
                losses[position] += lost / self.rule.draws
                by_draw[position, draw] = lost.mean()
        candidate, *champion = (_measure_drop(lost, drawn, rng) for lost, drawn in zip(losses, by_draw, strict=True))
        limit = Limit("below", self.rule.accuracy_drop_below, self.rule.judge_by, self.rule.on_inconclusive)
        return hold(self.name, candidate, limit, champion[0] if champion else None)


def _losses(subject: Subject, noisy: Rows, evidence: Evidence) -> FloatArray:
    """1 for a row that noise made wrong, -1 for one that it made right, else 0; shape (n_rows,)."""
    is_right = subject.positives == evidence.truth
    is_right_still = subject.is_right_on(noisy, evidence.truth)
    return np.asarray(is_right.astype(np.float64) - is_right_still, dtype=np.float64)


def _measure_drop(losses: FloatArray, by_draw: FloatArray, rng: np.random.Generator) -> Measured:
    """Mean loss of accuracy; a row is one observation, however often noise was drawn for it."""
    measured = measure_mean(losses, rng)
    standard_error = float(by_draw.std(ddof=1) / math.sqrt(by_draw.size))
    details = {"draws": float(by_draw.size), "standard_error_of_draws": standard_error}
    return dataclasses.replace(measured, details=details)
