"""Robustness: does accuracy survive what happens to data: noise, wrong categories, missing and unseen values?

Both models are tried on the same draws. A row is one observation however often something was drawn for it: what counts
is each row's mean loss over the draws, and the interval is over rows.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import msgspec
import numpy as np

from bentos.artifact import Numeric
from validation.gate.checks.rule import Check, JudgedRule, Limit, Number, Numbers, WholeNumber, hold, or_none
from validation.gate.evidence import Evidence, Rows, Subject
from validation.gate.evidence import Number as Moved
from validation.gate.intervals import CONFIDENCE, Measured, measure_mean
from validation.gate.metrics import FloatArray
from validation.gate.perturbing import add_noise, flip_categories, lose_values, shift, unsee_categories
from validation.gate.report import CheckResult, Part

LEAST_DRAWS = 20

_ANSWERS = ("mean_change_of_probability", "share_of_labels_that_change")
"""What is told of answers beside accuracy, for both models."""

Perturb = Callable[[np.random.Generator], Rows]


class _DropRule(JudgedRule, frozen=True, kw_only=True):
    """What all of them share.

    Attributes:
        accuracy_drop_below: Bound of the mean loss of accuracy, above 0 and below 1.
    """

    accuracy_drop_below: Number

    def drop_problems(self) -> Iterator[str]:
        """What is wrong with the bound."""
        yield from self.judging_problems()
        drop = self.accuracy_drop_below
        if not 0 < drop < 1:
            yield f"accuracy_drop_below is {drop:g}; it must be above 0 and below 1, or it never fails"

    @property
    def limit(self) -> Limit:
        """The bound."""
        return Limit("below", self.accuracy_drop_below, self.judge_by, self.on_inconclusive)


class _DrawnRule(_DropRule, frozen=True, kw_only=True):
    """Perturbations that are drawn.

    Attributes:
        draws: How often, at least 20.
    """

    draws: WholeNumber = LEAST_DRAWS

    def draw_problems(self) -> Iterator[str]:
        """What is wrong with these."""
        yield from self.drop_problems()
        if not LEAST_DRAWS <= self.draws <= 1000:
            yield f"draws is {self.draws}; it must be from {LEAST_DRAWS} to 1000"


class Noise(_DrawnRule, frozen=True, kw_only=True, tag="noise"):
    """Accuracy must survive Gaussian noise on every numeric feature.

    Whole numbers become fractions by it, as a measurement that was off would be; they stay in the contract's range.

    Attributes:
        deviations: Sizes of the noise in each feature's training standard deviations, above 0; each is a check.
    """

    deviations: Numbers

    def problems(self) -> Iterator[str]:
        """What keeps it from being judged by."""
        yield from self.draw_problems()
        yield from _size_problems("deviations", self.deviations, 10)

    def asks_for(self) -> list[str]:
        """Each size of noise."""
        return [f"noise of {deviation:g} deviations" for deviation in self.deviations]

    def checks(self, evidence: Evidence) -> list[Check]:
        """One a size."""
        return [
            DrawnCheck(self, f"noise {size:g}", partial(add_noise, evidence.rows, evidence.numbers, size))
            for size in self.deviations
        ]


class _ShareRule(_DrawnRule, frozen=True, kw_only=True):
    """Perturbations that hit a share of cells.

    Attributes:
        shares: Shares of cells, above 0 and at most 1; each is a check.
    """

    shares: Numbers

    def problems(self) -> Iterator[str]:
        """What keeps it from being judged by."""
        yield from self.draw_problems()
        yield from _size_problems("shares", self.shares, 1)

    def asks_for(self) -> list[str]:
        """Each share."""
        return [f"{self.kind} in a share of {share:g}" for share in self.shares]


class Flips(_ShareRule, frozen=True, kw_only=True, tag="flips"):
    """Accuracy must survive wrong categories: each replaced by another of its feature."""

    def checks(self, evidence: Evidence) -> list[Check]:
        """One a share."""
        return [
            DrawnCheck(self, f"flips {share:g}", partial(flip_categories, evidence.rows, evidence.contract, share))
            for share in self.shares
        ]


class Missing(_ShareRule, frozen=True, kw_only=True, tag="missing"):
    """Accuracy must survive missing values, of the features that may be missing; the reason names them."""

    def checks(self, evidence: Evidence) -> list[Check]:
        """One a share."""
        names = ", ".join(feature.name for feature in evidence.contract.features if feature.missing)
        where = f"in {names}, as nothing else may be missing: "
        return [
            DrawnCheck(self, f"missing {share:g}", partial(lose_values, evidence.rows, evidence.contract, share), where)
            for share in self.shares
        ]


class Unseen(_ShareRule, frozen=True, kw_only=True, tag="unseen"):
    """Accuracy must survive categories that nobody has seen."""

    def checks(self, evidence: Evidence) -> list[Check]:
        """One a share."""
        return [
            DrawnCheck(self, f"unseen {share:g}", partial(unsee_categories, evidence.rows, evidence.contract, share))
            for share in self.shares
        ]


class Shift(_DropRule, frozen=True, kw_only=True, tag="shift"):
    """Accuracy must survive that one numeric feature moves for everybody, whichever it is and wherever it moves.

    The worst move is judged, so its interval is the wider by how many moves there are (Bonferroni).

    Attributes:
        deviations: How far, in the feature's training standard deviations, up and down; each is a check.
    """

    deviations: Numbers

    def problems(self) -> Iterator[str]:
        """What keeps it from being judged by."""
        yield from self.drop_problems()
        yield from _size_problems("deviations", self.deviations, 10)

    def asks_for(self) -> list[str]:
        """Each distance."""
        return [f"shift by {deviation:g} deviations" for deviation in self.deviations]

    def checks(self, evidence: Evidence) -> list[Check]:  # noqa: ARG002
        """One a distance."""
        return [ShiftCheck(self, deviation) for deviation in self.deviations]


@dataclass(frozen=True)
class DrawnCheck:
    """Does accuracy survive a perturbation that is drawn many times?"""

    rule: _DrawnRule
    what: str
    perturb: Perturb
    where: str = ""

    @property
    def name(self) -> str:
        """Such as `accuracy_drop[noise 0.05]`."""
        return f"accuracy_drop[{self.what}]"

    def run(self, evidence: Evidence, rng: np.random.Generator) -> CheckResult:
        """Measure the mean loss of accuracy for both models under the same draws, and judge the candidate's."""
        effects: list[list[_Effect]] = [[] for _ in evidence.subjects]
        for _ in range(self.rule.draws):
            perturbed = self.perturb(rng)
            for found, subject in zip(effects, evidence.subjects, strict=True):
                found.append(_effect_on(subject, perturbed, evidence))
        candidate, *champion = (_measure_drop(found, rng) for found in effects)
        if champion:
            beside = {f"champion_{name}": champion[0].details[name] for name in _ANSWERS}
            candidate = dataclasses.replace(candidate, details=candidate.details | beside)
        result = hold(self.name, candidate, self.rule.limit, champion[0] if champion else None)
        return _with_reason(result, f"{self.where}{result.reason}")


@dataclass(frozen=True)
class ShiftCheck:
    """Does accuracy survive that one numeric feature moves?"""

    rule: Shift
    deviations: float

    @property
    def name(self) -> str:
        """Such as `accuracy_drop[shift 0.5]`."""
        return f"accuracy_drop[shift {self.deviations:g}]"

    def run(self, evidence: Evidence, rng: np.random.Generator) -> CheckResult:
        """Move each feature up and down, measure both models, and judge the candidate's worst."""
        if not evidence.numbers:
            raise ValueError("the contract has no numeric feature, so nothing can shift; leave the rule out")
        moves = [(number, sign * self.deviations) for number in evidence.numbers for sign in (1, -1)]
        found = [self._measure(subject, moves, evidence, rng) for subject in evidence.subjects]  # the candidate first
        drops = list(zip(*found, strict=True))
        names = [f"{number.name} {deviations:+g} sd" for number, deviations in moves]
        order = sorted(range(len(moves)), key=lambda i: (-drops[i][0].value, names[i]))
        worst, *champion = drops[order[0]]
        parts = tuple(_as_part(names[i], *drops[i]) for i in order)
        result = hold(self.name, worst, self.rule.limit, champion[0] if champion else None, parts)
        return _with_reason(result, f"the worst of {len(parts)} shifts, {names[order[0]]}: {result.reason}")

    def _measure(
        self, subject: Subject, moves: list[tuple[Moved, float]], evidence: Evidence, rng: np.random.Generator
    ) -> list[Measured]:
        """A model's loss of accuracy at each move, with intervals that all hold together."""
        confidence = 1 - (1 - CONFIDENCE) / len(moves)
        found = []
        for number, deviations in moves:
            feature = evidence.contract.feature(number.name)
            is_whole = isinstance(feature, Numeric) and feature.integer
            shifted = shift(evidence.rows, number, deviations, is_whole=is_whole)
            found.append(measure_mean(_effect_on(subject, shifted, evidence).lost, rng, confidence))
        return found


@dataclass(frozen=True)
class _Effect:
    """What a perturbation does to a model's answers.

    Attributes:
        lost: 1 for a row that became wrong, -1 for one that became right, else 0, shape (n_rows,).
        moved: Mean absolute change of probability.
        relabelled: Share of rows whose label changed, whether for the better or not.
    """

    lost: FloatArray
    moved: float
    relabelled: float


def _with_reason(result: CheckResult, reason: str) -> CheckResult:
    return msgspec.structs.replace(result, reason=reason)


def _as_part(name: str, candidate: Measured, champion: Measured | None = None) -> Part:
    return Part(
        name=name,
        n=candidate.n,
        value=candidate.value,
        low=or_none(candidate.low),
        high=or_none(candidate.high),
        champion=None if champion is None else champion.value,
        champion_low=None if champion is None else or_none(champion.low),
        champion_high=None if champion is None else or_none(champion.high),
    )


def _effect_on(subject: Subject, perturbed: Rows, evidence: Evidence) -> _Effect:
    probabilities = subject.probabilities_of(perturbed)
    positives = probabilities >= subject.cut
    was_right, is_right = subject.positives == evidence.truth, positives == evidence.truth
    return _Effect(
        lost=np.asarray(was_right.astype(np.float64) - is_right, dtype=np.float64),
        moved=float(np.abs(probabilities - subject.probabilities).mean()),
        relabelled=float((positives != subject.positives).mean()),
    )


def _measure_drop(effects: list[_Effect], rng: np.random.Generator) -> Measured:
    """Mean loss of accuracy; a row is one observation, however often it was drawn for."""
    lost = np.array([effect.lost for effect in effects])
    by_draw = lost.mean(axis=1)
    details = {
        "draws": float(by_draw.size),
        "standard_error_of_draws": float(by_draw.std(ddof=1) / math.sqrt(by_draw.size)),
        "mean_change_of_probability": float(np.mean([effect.moved for effect in effects])),
        "share_of_labels_that_change": float(np.mean([effect.relabelled for effect in effects])),
    }
    return dataclasses.replace(measure_mean(lost.mean(axis=0), rng), details=details)


_LEAST_SIZE = 0.001
"""A smaller share or shift changes nothing in a holdout of thousands."""


def _size_problems(key: str, sizes: tuple[float, ...], most: float) -> Iterator[str]:
    if not sizes:
        yield f"{key} is empty, so it never fails; name at least one"
    for size in sizes:
        if not _LEAST_SIZE <= size <= most:
            least = f"at least {_LEAST_SIZE:g}, or it never fails"
            yield f"{key} holds {size:g}; each must be {least}, and at most {most:g}"
