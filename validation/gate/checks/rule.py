"""What all kinds of rules share: how a rule is written, what it makes of itself, and how a number meets its limit."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, Protocol, get_args

import msgspec
import numpy as np
from msgspec import Meta
from scipy.stats import norm

from validation.gate.evidence import Evidence
from validation.gate.intervals import Measured
from validation.gate.report import CheckResult, Part, Status

JudgeBy = Literal["point", "interval"]
"""`point`: the number alone decides. `interval`: FAIL and PASS only where the whole interval says so."""

OnInconclusive = Literal["block", "shadow", "point"]
"""What an interval that contains the bound leads to. `block`: INCONCLUSIVE, no blessing. `shadow`: INCONCLUSIVE, and
blessed for the shadow, where live customers decide it. `point`: the number alone decides, and the reason says so."""

Number = Annotated[float, Meta(description="a number")]
Bound = Annotated[float | None, Meta(description="a number")]
WholeNumber = Annotated[int, Meta(description="a whole number")]
Numbers = Annotated[tuple[float, ...], Meta(description="a list of numbers")]
Names = Annotated[tuple[str, ...], Meta(description="a list of names")]
NamesOrAll = Annotated[tuple[str, ...] | Literal["all"], Meta(description="a list of names, or all")]
Text = Annotated[str, Meta(description="text")]
YesOrNo = Annotated[bool, Meta(description="true or false")]
JudgeByKey = Annotated[JudgeBy, Meta(description=" or ".join(get_args(JudgeBy)))]
OnInconclusiveKey = Annotated[OnInconclusive, Meta(description="block, shadow or point")]
# The description is what a message puts after "must be"; every key of a policy has a type with one.

Relation = Literal["at least", "above", "at most", "below"]
"""How a number must stand to its bound."""

LEAST_LEVEL = 1e-6
"""The smallest level of a test: below it there is no evidence that rows in their thousands could give."""

_POWER = 0.8


class Check(Protocol):
    """One thing that is judged."""

    @property
    def name(self) -> str:
        """The check's name, alone of its kind in a policy."""

    @property
    def rule(self) -> Rule:
        """The rule that asks for it."""

    def run(self, evidence: Evidence, rng: np.random.Generator) -> CheckResult:
        """Judge it; raises if it cannot be."""


class Rule(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """One rule of a policy; each kind of check has its own, whose tag is the kind's name."""

    is_relative: ClassVar[bool] = False
    """Whether it compares with the champion: it judges no first model, and live customers can settle it."""

    def problems(self) -> Iterator[str]:
        """What keeps a well-formed rule from being judged by, above all that it could never fail."""
        raise NotImplementedError

    def asks_for(self) -> list[str]:
        """What it asks for, as far as a policy may ask for it only once."""
        raise NotImplementedError

    def checks(self, evidence: Evidence) -> list[Check]:
        """The checks that it asks for; at least one."""
        raise NotImplementedError

    @property
    def features(self) -> tuple[str, ...]:
        """Features that it names."""
        return ()

    @property
    def protected(self) -> tuple[str, ...]:
        """Protected attributes that it names."""
        return ()

    @property
    def kind(self) -> str:
        """As a policy writes it."""
        return str(type(self).__struct_config__.tag)


class JudgedRule(Rule, frozen=True, kw_only=True):
    """A rule whose number has an interval.

    Attributes:
        judge_by: Whether the number or its interval decides.
        on_inconclusive: What an interval that contains the bound leads to.
    """

    judge_by: JudgeByKey
    on_inconclusive: OnInconclusiveKey = "block"

    def judging_problems(self) -> Iterator[str]:
        """What is wrong with how it is judged."""
        if self.judge_by == "point" and self.on_inconclusive != "block":
            yield "on_inconclusive is set; with judge_by point nothing is inconclusive: leave it out"
        if self.on_inconclusive == "shadow" and not self.is_relative:
            yield (
                "on_inconclusive is shadow; live customers settle comparisons with the champion alone, so here it must "
                "be block or point"
            )


@dataclass(frozen=True)
class Limit:
    """What a number is held against.

    Attributes:
        relation: How it must stand to the bound.
        bound: The bound.
        judge_by: Whether the number or its interval decides.
        on_inconclusive: What an interval that contains the bound leads to.
    """

    relation: Relation
    bound: float
    judge_by: JudgeBy
    on_inconclusive: OnInconclusive = "block"

    @property
    def allowed(self) -> str:
        """To be read after "must be"."""
        return f"{self.relation} {self.bound:g}"

    def is_met_by(self, value: float) -> bool:
        """Whether a number keeps to it; NaN never does."""
        match self.relation:
            case "at least":
                return value >= self.bound
            case "above":
                return value > self.bound
            case "at most":
                return value <= self.bound
            case "below":
                return value < self.bound

    def judge(self, measured: Measured) -> Status:
        """PASS or FAIL where the number, or both ends of its interval, say so; else INCONCLUSIVE; ERROR for NaN."""
        numbers = [measured.value] if self.judge_by == "point" else [measured.value, measured.low, measured.high]
        if not all(math.isfinite(number) for number in numbers):
            return "ERROR"
        met = {self.is_met_by(number) for number in numbers}
        if len(met) == 2 and self.on_inconclusive != "point":
            return "INCONCLUSIVE"
        return "PASS" if self.is_met_by(measured.value) else "FAIL"

    def is_decided_by(self, measured: Measured) -> bool:
        """Whether the whole interval lies on one side of the bound."""
        return self.is_met_by(measured.low) == self.is_met_by(measured.high) == self.is_met_by(measured.value)


def hold(
    name: str, measured: Measured, limit: Limit, champion: Measured | None, parts: tuple[Part, ...] = ()
) -> CheckResult:
    """Hold what was measured against its limit; the champion's number only stands beside it.

    Args:
        name: The check's name.
        measured: The candidate's number.
        limit: What it must keep to.
        champion: The champion's number on the same rows and draws.
        parts: What the number is made of (groups, slices, draws), for the report.
    """
    status = limit.judge(measured)
    return CheckResult(
        name=name,
        status=status,
        reason=_reason(measured, limit, status),
        value=or_none(measured.value),
        low=or_none(measured.low),
        high=or_none(measured.high),
        bound=limit.bound,
        allowed=limit.allowed,
        champion=None if champion is None else or_none(champion.value),
        champion_low=None if champion is None else or_none(champion.low),
        champion_high=None if champion is None else or_none(champion.high),
        n=measured.n,
        rows_needed=rows_needed(measured, limit.bound) if status == "INCONCLUSIVE" else None,
        on_inconclusive=limit.on_inconclusive if status == "INCONCLUSIVE" else "block",
        parts=parts,
        details=measured.details,
    )


def rows_needed(measured: Measured, bound: float) -> int | None:
    """How many rows would decide it, at the interval's confidence and 80 % power; None where no number of rows would.

    `n ((z_alpha + z_.8) SE / |estimate - bound|)^2`, with the standard error read off the interval.
    """
    distance = abs(measured.value - bound)
    z_alpha, z_power = float(norm.isf((1 - measured.confidence) / 2)), float(norm.ppf(_POWER))
    standard_error = (measured.high - measured.low) / (2 * z_alpha)
    if not (distance > 0 and math.isfinite(standard_error)):
        return None
    needed = measured.n * ((z_alpha + z_power) * standard_error / distance) ** 2
    # What a company will never have is "never" too; it keeps the number readable.
    return math.ceil(needed) if needed < 1e9 else None


def _reason(measured: Measured, limit: Limit, status: Status) -> str:
    if status == "ERROR":
        return "it is undefined on this holdout, and what cannot be computed is no pass"
    percent = f"{100 * measured.confidence:g} %"
    number = f"{measured.value:.4f} ({percent} interval {measured.low:.4f} to {measured.high:.4f})"
    if status == "INCONCLUSIVE":
        needed = rows_needed(measured, limit.bound)
        how_many = "no number of rows would" if needed is None else f"about {needed:,} would"
        return (
            f"{number} must be {limit.allowed}, and the interval holds that bound: {measured.n:,} rows do not decide "
            f"it, {how_many}"
        )
    by = ", judged by its interval" if limit.judge_by == "interval" else ""
    if by and not limit.is_decided_by(measured):
        by = ", by the number alone, as its interval holds the bound"
    return f"{number} {'is' if status == 'PASS' else 'must be'} {limit.allowed}{by}"


def or_none(number: float) -> float | None:
    """The number; None, as JSON has no other, where it is not finite."""
    return number if math.isfinite(number) else None
