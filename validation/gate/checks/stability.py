"""Stability: how many customers are told something else than the champion told them?

A model may be as good as the champion and still change the answer of every fifth customer; those who act on answers
notice.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.stats import norm, spearmanr

from bentos.errors import shown
from validation.gate.checks.rule import Bound, Check, JudgedRule, Limit, Relation, Text, hold
from validation.gate.evidence import Evidence, Subject
from validation.gate.intervals import CONFIDENCE, Measured, measure_mean
from validation.gate.metrics import BoolArray
from validation.gate.report import CheckResult
from validation.statistics import wilson_interval

RANKS = "rank_correlation"
MEASURES = ("label_changes", "band_changes", "mean_difference", RANKS)


class Stability(JudgedRule, frozen=True, kw_only=True, tag="stability"):
    """The candidate must not answer too differently from the champion.

    Attributes:
        measure: `label_changes` (share of rows whose label differs), `band_changes` (whose risk band differs),
            `mean_difference` (mean absolute difference of probability) or `rank_correlation` (Spearman's).
        at_most: The bound of the first three, above 0 and below 1.
        at_least: The bound of `rank_correlation`, above -1 and below 1.
    """

    is_relative: ClassVar[bool] = True

    measure: Text
    at_most: Bound = None
    at_least: Bound = None

    def problems(self) -> Iterator[str]:
        """What keeps it from being judged by."""
        yield from self.judging_problems()
        if self.measure not in MEASURES:
            yield f"measure is {shown(self.measure)}; it must be one of {', '.join(MEASURES)}"
            return
        wanted, other, least = ("at_least", "at_most", -1) if self.measure == RANKS else ("at_most", "at_least", 0)
        bound = getattr(self, wanted)
        if getattr(self, other) is not None:
            yield f"{other} is given for {self.measure}; its bound must be {wanted}"
        if bound is None:
            yield f"it lacks the key {wanted!r}, the bound of {self.measure}"
        elif not least < bound < 1:
            yield f"{wanted} is {bound:g}; it must be above {least} and below 1, or it never fails"

    def asks_for(self) -> list[str]:
        """Itself, for the measure."""
        return [f"stability in {self.measure}"]

    def checks(self, evidence: Evidence) -> list[Check]:  # noqa: ARG002
        """One."""
        return [StabilityCheck(self)]

    @property
    def limit(self) -> Limit:
        """The bound that is given."""
        bound = self.at_least if self.measure == RANKS else self.at_most
        relation: Relation = "at least" if self.measure == RANKS else "at most"
        return Limit(relation, math.nan if bound is None else bound, self.judge_by, self.on_inconclusive)


@dataclass(frozen=True)
class StabilityCheck:
    """How differently does the candidate answer?"""

    rule: Stability

    @property
    def name(self) -> str:
        """Such as `stability[label_changes]`."""
        return f"stability[{self.rule.measure}]"

    def run(self, evidence: Evidence, rng: np.random.Generator) -> CheckResult:
        """Compare both models' answers to the same rows; every measure stands in the details."""
        if evidence.champion is None:
            raise ValueError("there is no champion to compare with")
        candidate, champion = evidence.candidate, evidence.champion
        starts = [band.from_probability for band in evidence.contract.risk_bands][1:]
        measured = self._measure(candidate, champion, starts, rng)
        return hold(
            self.name,
            dataclasses.replace(measured, details=_details(candidate, champion, starts)),
            self.rule.limit,
            None,
        )

    def _measure(
        self, candidate: Subject, champion: Subject, starts: list[float], rng: np.random.Generator
    ) -> Measured:
        match self.rule.measure:
            case "label_changes":
                return _share(candidate.positives != champion.positives)
            case "band_changes":
                if not starts:
                    raise ValueError("the contract has one risk band, so no row can change it; leave the rule out")
                return _share(_rebanded(candidate, champion, starts))
            case "mean_difference":
                return measure_mean(np.abs(candidate.probabilities - champion.probabilities), rng)
        return _rank_correlation(candidate, champion)


def _share(changed: BoolArray) -> Measured:
    count, n = int(np.count_nonzero(changed)), changed.size
    return Measured(count / n, *wilson_interval(count, n, CONFIDENCE), n)


def _rebanded(candidate: Subject, champion: Subject, starts: list[float]) -> BoolArray:
    return np.not_equal(*(np.digitize(subject.probabilities, starts) for subject in (candidate, champion)))


def _varies(subject: Subject) -> bool:
    return bool(np.ptp(subject.probabilities) > 0)


def _rank_correlation(candidate: Subject, champion: Subject) -> Measured:
    """Spearman's, with Fisher's interval and the standard error of Bonett & Wright 2000 (Psychometrika 65:23)."""
    constant = [subject.role for subject in (candidate, champion) if not _varies(subject)]
    if constant:
        raise ValueError(f"the {constant[0]} gives every row the same probability, so ranks say nothing")
    value = float(spearmanr(candidate.probabilities, champion.probabilities).statistic)
    n = candidate.probabilities.size
    if n <= 3 or abs(value) >= 1:  # what Wilson's interval allows when none of the rows was an exception
        width = wilson_interval(0, n, CONFIDENCE)[1]
        return Measured(value, max(value - width, -1.0), min(value + width, 1.0), n)
    error = math.sqrt((1 + value**2 / 2) / (n - 3))
    width = float(norm.isf((1 - CONFIDENCE) / 2)) * error
    return Measured(value, math.tanh(math.atanh(value) - width), math.tanh(math.atanh(value) + width), n)


def _details(candidate: Subject, champion: Subject, starts: list[float]) -> dict[str, float]:
    details = {
        "label_changes": float(np.mean(candidate.positives != champion.positives)),
        "now_positive": float(np.count_nonzero(candidate.positives & ~champion.positives)),
        "no_longer_positive": float(np.count_nonzero(champion.positives & ~candidate.positives)),
        "mean_difference": float(np.abs(candidate.probabilities - champion.probabilities).mean()),
    }
    if starts:
        details["band_changes"] = float(np.mean(_rebanded(candidate, champion, starts)))
    if _varies(candidate) and _varies(champion):
        details[RANKS] = float(spearmanr(candidate.probabilities, champion.probabilities).statistic)
    return details
