"""McNemar: is the candidate significantly worse than the champion on the same rows?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from validation.gate.checks.rule import LEAST_LEVEL, Check, Number, Rule
from validation.gate.evidence import Evidence
from validation.gate.intervals import CONFIDENCE
from validation.gate.report import CheckResult
from validation.statistics import mcnemar, tango_interval


class McNemar(Rule, frozen=True, kw_only=True, tag="mcnemar"):
    """The candidate must not be significantly worse than the champion on the same rows.

    Attributes:
        alpha: Level of the two-sided mid-p, above 0 and at most 0.5.
    """

    is_relative: ClassVar[bool] = True

    alpha: Number

    def problems(self) -> Iterator[str]:
        """What keeps it from being judged by."""
        if not LEAST_LEVEL <= self.alpha <= 0.5:
            yield f"alpha is {self.alpha:g}; it must be at least {LEAST_LEVEL:g}, or it never fails, and at most 0.5"

    def asks_for(self) -> list[str]:
        """Itself."""
        return ["mcnemar"]

    def checks(self, evidence: Evidence) -> list[Check]:  # noqa: ARG002
        """One."""
        return [McNemarCheck(self)]


@dataclass(frozen=True)
class McNemarCheck:
    """Is the candidate significantly worse than the champion on the same rows?"""

    rule: McNemar
    name: str = "mcnemar"

    def run(self, evidence: Evidence, rng: np.random.Generator) -> CheckResult:  # noqa: ARG002
        """Test the rows that one model alone got right; only a loss can fail."""
        b, c, n = evidence.discordant
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
