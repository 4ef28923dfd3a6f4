"""The checks: small objects, each of which measures one thing on the evidence and holds it against its rule.

A check that raises, or whose number is undefined, is ERROR with the reason: what cannot be computed is never a pass.
Each check draws from a generator of its own, seeded by the policy's seed and the check's name, so that adding or
reordering rules changes no other check's numbers.
"""

from __future__ import annotations

import dataclasses
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from bentos.errors import GauntletError
from validation.gate.evidence import Evidence, Rows, Subject, add_noise
from validation.gate.intervals import CONFIDENCE, Measured, measure_gap, measure_mean, measure_metric
from validation.gate.metrics import FloatArray, value_of
from validation.gate.policy import AccuracyGap, JudgeBy, McNemar, Noise, Performance, Policy, Rule
from validation.gate.report import CheckResult, Status
from validation.statistics import mcnemar, tango_interval


class Check(Protocol):
    """One thing that is judged."""

    @property
    def name(self) -> str:
        """The check's name, alone of its kind in a policy."""

    def run(self, evidence: Evidence, rng: np.random.Generator) -> CheckResult:
        """Judge it; raises if it cannot be."""


def run_checks(policy: Policy, evidence: Evidence) -> tuple[CheckResult, ...]:
    """Judge everything that a policy asks for, in its order."""
    return tuple(run_check(check, evidence) for check in checks_of(policy, tuple(evidence.groups)))


def run_check(check: Check, evidence: Evidence) -> CheckResult:
    """Judge one thing; whatever is raised makes it an ERROR."""
    rng = np.random.default_rng([evidence.seed, zlib.crc32(check.name.encode())])
    try:
        return check.run(evidence, rng)
    except (ValueError, GauntletError) as e:
        return CheckResult(name=check.name, status="ERROR", reason=str(e))
    except Exception as e:  # a check of somebody else's fails closed too
        first_line = str(e).partition("\n")[0][:200]
        return CheckResult(name=check.name, status="ERROR", reason=f"{type(e).__name__}: {first_line}")


def checks_of(policy: Policy, protected: Sequence[str]) -> list[Check]:
    """The checks that a policy's rules ask for.

    Args:
        policy: The rules.
        protected: The contract's protected attributes, for rules about all of them.
    """
    return [check for rule in policy.rules for check in _checks_of(rule, protected, policy.bootstrap)]


def _checks_of(rule: Rule, protected: Sequence[str], bootstrap: bool) -> list[Check]:
    match rule:
        case Performance():
            return [PerformanceCheck(rule)]
        case AccuracyGap(attributes="all"):
            return [AccuracyGapCheck(rule, name) for name in protected] or [AccuracyGapCheck(rule, "all")]
        case AccuracyGap():
            return [AccuracyGapCheck(rule, name) for name in rule.attributes]
        case Noise():
            return [NoiseCheck(rule, deviations) for deviations in rule.deviations]
        case McNemar():
            return [McNemarCheck(rule, bootstrap)]


@dataclass(frozen=True)
class Limit:
    """What a number is held against.

    Attributes:
        relation: How it must stand to the bound.
        bound: The bound.
        judge_by: Whether the number or its interval decides.
    """

    relation: Literal["at least", "at most", "below"]
    bound: float
    judge_by: JudgeBy

    @property
    def allowed(self) -> str:
        """To be read after "must be"."""
        return f"{self.relation} {self.bound:g}"

    def is_met_by(self, value: float) -> bool:
        """Whether a number keeps to it; NaN never does."""
        if self.relation == "at least":
            return value >= self.bound
        return value <= self.bound if self.relation == "at most" else value < self.bound

    def judge(self, measured: Measured) -> Status:
        """PASS or FAIL where the number, or both ends of its interval, say so; else INCONCLUSIVE; ERROR for NaN."""
        numbers = [measured.value] if self.judge_by == "point" else [measured.value, measured.low, measured.high]
        if not all(math.isfinite(number) for number in numbers):
            return "ERROR"
        met = {self.is_met_by(number) for number in numbers}
        return "INCONCLUSIVE" if len(met) == 2 else "PASS" if True in met else "FAIL"


def hold(name: str, measured: Measured, limit: Limit, champion: float | None) -> CheckResult:
    """Hold what was measured against its limit; the champion's number only stands beside it."""
    status = limit.judge(measured)
    return CheckResult(
        name=name,
        status=status,
        reason=_reason(measured, limit, status),
        value=_or_none(measured.value),
        low=_or_none(measured.low),
        high=_or_none(measured.high),
        bound=limit.bound,
        allowed=limit.allowed,
        champion=None if champion is None else _or_none(champion),
        n=measured.n,
        details=measured.details,
    )


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
        answers = evidence.candidate.probabilities, evidence.candidate.positives
        candidate = measure_metric(self.rule.metric, evidence.truth, *answers, rng)
        reigning = evidence.champion
        champion = value_of(self.name, evidence.truth, reigning.probabilities, reigning.positives) if reigning else None
        return hold(self.name, candidate, Limit("at least", self.rule.at_least, self.rule.judge_by), champion)


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
        if self.attribute not in evidence.groups:
            protected = ", ".join(evidence.groups) or "nothing"
            other = "" if evidence.groups else ", such as no-protected-attributes.yaml"
            raise ValueError(
                f"the policy limits the accuracy gap of {self.attribute}, and the contract protects {protected}; "
                f"name it under protected in the use case, or choose a policy that does not ask for it{other}"
            )
        groups = evidence.groups[self.attribute]
        candidate = measure_gap(evidence.candidate.positives == evidence.truth, groups)
        reigning = evidence.champion
        champion = measure_gap(reigning.positives == evidence.truth, groups).value if reigning else None
        return hold(self.name, candidate, Limit("at most", self.rule.at_most, self.rule.judge_by), champion)


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
        subjects = [evidence.candidate, *([evidence.champion] if evidence.champion else [])]
        losses = [np.zeros(len(evidence.rows)) for _ in subjects]
        by_draw = np.zeros((len(subjects), self.rule.draws))
        for draw in range(self.rule.draws):
            noisy = add_noise(evidence.rows, evidence.numbers, self.deviations, rng)
            for position, subject in enumerate(subjects):
                lost = _losses(subject, noisy, evidence)
                losses[position] += lost / self.rule.draws
                by_draw[position, draw] = lost.mean()
        candidate = _measure_drop(losses[0], by_draw[0], rng)
        champion = float(losses[1].mean()) if evidence.champion else None
        return hold(self.name, candidate, Limit("below", self.rule.accuracy_drop_below, self.rule.judge_by), champion)


@dataclass(frozen=True)
class McNemarCheck:
    """Is the candidate significantly worse than the champion on the same rows?"""

    rule: McNemar
    bootstrap: bool
    name: str = "mcnemar"

    def run(self, evidence: Evidence, rng: np.random.Generator) -> CheckResult:  # noqa: ARG002
        """Test the rows that one model alone got right; only a loss can fail."""
        if evidence.champion is None:
            return self._without_champion()
        candidate, champion = (s.positives == evidence.truth for s in (evidence.candidate, evidence.champion))
        n, b, c = candidate.size, int((candidate & ~champion).sum()), int((champion & ~candidate).sum())
        p, (low, high) = mcnemar(b, c).mid_p, tango_interval(b, c, n, CONFIDENCE)
        is_worse = c > b and p < self.rule.alpha
        return CheckResult(
            name=self.name,
            status="FAIL" if is_worse else "PASS",
            reason=f"the candidate alone is right on {b} rows of {n}, the champion alone on {c}: accuracy differs by "
            f"{(b - c) / n:+.4f} (95 % interval {low:+.4f} to {high:+.4f}), mid-p {p:.4g}; "
            f"it must not be worse with mid-p below {self.rule.alpha:g}",
            value=p,
            bound=self.rule.alpha,
            allowed="not worse",
            n=n,
            details={"b": b, "c": c, "p": p, "difference": (b - c) / n, "low": low, "high": high},
        )

    def _without_champion(self) -> CheckResult:
        if not self.bootstrap:
            raise ValueError("there is no champion to compare with, and the policy does not say bootstrap: true")
        return CheckResult(
            name=self.name, status="NOT_APPLICABLE", reason="not applicable: first model, no champion to compare with"
        )


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


def _reason(measured: Measured, limit: Limit, status: Status) -> str:
    if status == "ERROR":
        return "it is undefined on this holdout, and what cannot be computed is no pass"
    number = f"{measured.value:.4f} (95 % interval {measured.low:.4f} to {measured.high:.4f})"
    if status == "INCONCLUSIVE":
        return (
            f"{number} must be {limit.allowed}, and the interval holds that bound: {measured.n} rows do not decide it"
        )
    by = ", judged by its interval" if limit.judge_by == "interval" else ""
    return f"{number} {'is' if status == 'PASS' else 'must be'} {limit.allowed}{by}"


def _or_none(number: float) -> float | None:
    return number if math.isfinite(number) else None
