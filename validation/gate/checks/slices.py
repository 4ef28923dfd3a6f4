"""Slices: is the candidate good enough in every part of the customers, whatever feature one looks by?

With sixty slices some look bad by chance. So a slice fails only if its shortfall is significant after Benjamini and
Yekutieli's correction, which holds under any dependence (slices overlap); one that looks bad and is not significant is
named, and one with too few rows is not judged.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, cast

import msgspec
import numpy as np
from scipy.stats import binom, norm
from statsmodels.stats.multitest import multipletests

from bentos.errors import shown
from validation.gate.checks.rule import LEAST_LEVEL, Check, Number, Rule, Text, WholeNumber, or_none
from validation.gate.evidence import Evidence, Subject
from validation.gate.groups import RowGroup, pairs_of, slices_of
from validation.gate.intervals import CONFIDENCE, SHARES
from validation.gate.metrics import Answered
from validation.gate.report import CheckResult, Part, Status
from validation.statistics import tango_interval, tango_z, wilson_interval

METRICS = tuple(name for name in SHARES if name != "recall_weighted")
"""Metrics of a slice: shares of rows, for which there is an exact test."""

_NAMED = 3


class _SliceRule(Rule, frozen=True, kw_only=True):
    """What both kinds share.

    Attributes:
        false_discovery_rate: Share of wrongly accused slices among the accused, on average at most.
        min_rows: Rows from which a slice is judged.
        depth: 1 for single slices, 2 for every two of different features as well.
    """

    false_discovery_rate: Number = 0.05
    min_rows: WholeNumber = 50
    depth: WholeNumber = 1

    def slice_problems(self) -> Iterator[str]:
        """What is wrong with these."""
        if not LEAST_LEVEL <= self.false_discovery_rate <= 0.5:
            yield (
                f"false_discovery_rate is {self.false_discovery_rate:g}; it must be at least {LEAST_LEVEL:g}, or it "
                "never fails, and at most 0.5"
            )
        if not 10 <= self.min_rows <= 1_000_000:
            yield f"min_rows is {self.min_rows}; it must be from 10 to 1000000"
        if self.depth not in (1, 2):
            yield f"depth is {self.depth}; it must be 1 or 2"

    def parts_of(self, evidence: Evidence) -> list[RowGroup]:
        """The slices to look at."""
        single = slices_of(evidence.contract, evidence.columns)
        return [*single, *pairs_of(single, self.min_rows)] if self.depth == 2 else single


class Slices(_SliceRule, frozen=True, kw_only=True, tag="slices"):
    """A share (accuracy, recall, precision) must not fall below a floor in any slice.

    Attributes:
        metric: One of `METRICS`.
        at_least: The floor, above 0 and below 1.
    """

    metric: Text
    at_least: Number

    def problems(self) -> Iterator[str]:
        """What keeps it from being judged by."""
        yield from self.slice_problems()
        if self.metric not in METRICS:
            yield f"metric is {shown(self.metric)}; it must be one of {', '.join(METRICS)}"
        if not 0 < self.at_least < 1:
            yield f"at_least is {self.at_least:g}; it must be above 0, or it never fails, and below 1"

    def asks_for(self) -> list[str]:
        """Itself, for the metric."""
        return [f"slices by {self.metric}"]

    def checks(self, evidence: Evidence) -> list[Check]:  # noqa: ARG002
        """One."""
        return [SlicesCheck(self)]


class SlicesAgainstChampion(_SliceRule, frozen=True, kw_only=True, tag="slices_against_champion"):
    """In no slice may the candidate be less accurate than the champion by more than a margin.

    Attributes:
        margin: Accuracy that may be lost in a slice, from 0 and below 0.5.
    """

    is_relative: ClassVar[bool] = True

    margin: Number

    def problems(self) -> Iterator[str]:
        """What keeps it from being judged by."""
        yield from self.slice_problems()
        if not 0 <= self.margin < 0.5:
            yield f"margin is {self.margin:g}; it must be at least 0 and below 0.5, or it hardly ever fails"

    def asks_for(self) -> list[str]:
        """Itself."""
        return ["slices_against_champion"]

    def checks(self, evidence: Evidence) -> list[Check]:  # noqa: ARG002
        """One."""
        return [SlicesAgainstChampionCheck(self)]


class _Looked(msgspec.Struct, frozen=True):
    """One slice: its part of the report, how unlikely its number is if it keeps to the bound, and how bad it looks."""

    part: Part
    p: float
    shortfall: float


@dataclass(frozen=True)
class SlicesCheck:
    """Does a share fall below its floor in a slice?"""

    rule: Slices

    @property
    def name(self) -> str:
        """Such as `slices[accuracy]`."""
        return f"slices[{self.rule.metric}]"

    def run(self, evidence: Evidence, rng: np.random.Generator) -> CheckResult:  # noqa: ARG002
        """Measure every slice for both models and judge the candidate's."""
        looked = [self._look(part, evidence) for part in self.rule.parts_of(evidence)]
        return _judge(
            self.name, self.rule, looked, bound=self.rule.at_least, allowed=f"at least {self.rule.at_least:g}"
        )

    def _look(self, part: RowGroup, evidence: Evidence) -> _Looked:
        right, n = _share(self.rule.metric, evidence.answered(evidence.candidate).of(part.rows))
        low, high = wilson_interval(right, n, CONFIDENCE)
        champion = _champion(self.rule.metric, evidence.champion, evidence, part)
        if n < self.rule.min_rows:
            return _Looked(_part(part, n, right, (low, high), champion, note="too few rows to judge"), 1.0, 0.0)
        # The exact chance of no more right answers than these, were the share at its floor.
        p = float(binom.cdf(right, n, self.rule.at_least))
        return _Looked(_part(part, n, right, (low, high), champion), p, self.rule.at_least - right / n)


@dataclass(frozen=True)
class SlicesAgainstChampionCheck:
    """Is the candidate less accurate than the champion in a slice, by more than the margin?"""

    rule: SlicesAgainstChampion
    name: str = "slices_against_champion"

    def run(self, evidence: Evidence, rng: np.random.Generator) -> CheckResult:  # noqa: ARG002
        """Compare both models on every slice."""
        if evidence.champion is None:
            raise ValueError("there is no champion to compare with")
        candidate, champion = (s.positives == evidence.truth for s in (evidence.candidate, evidence.champion))
        looked = []
        for part in self.rule.parts_of(evidence):
            b = int(np.count_nonzero(candidate & ~champion & part.rows))
            c = int(np.count_nonzero(champion & ~candidate & part.rows))
            looked.append(self._look(part, b, c))
        margin = self.rule.margin
        return _judge(self.name, self.rule, looked, bound=-margin, allowed=f"above {-margin:g}")

    def _look(self, part: RowGroup, b: int, c: int) -> _Looked:
        difference = (b - c) / part.n
        low, high = tango_interval(b, c, part.n, CONFIDENCE)
        found = Part(name=part.name, n=part.n, value=difference, low=low, high=high)
        if part.n < self.rule.min_rows:
            return _Looked(msgspec.structs.replace(found, note="too few rows to judge"), 1.0, 0.0)
        p = float(norm.cdf(tango_z(b, c, part.n, self.rule.margin))) if b + c else 1.0
        return _Looked(found, p, -self.rule.margin - difference)


def _share(metric: str, answered: Answered) -> tuple[int, int]:
    """How many of how many rows."""
    part, whole = SHARES[metric](answered.confusion)
    return int(part), int(whole)


def _champion(metric: str, champion: Subject | None, evidence: Evidence, part: RowGroup) -> tuple[int, int] | None:
    return None if champion is None else _share(metric, evidence.answered(champion).of(part.rows))


def _part(
    part: RowGroup,
    n: int,
    right: int,
    interval: tuple[float, float],
    champion: tuple[int, int] | None,
    note: str = "",
) -> Part:
    their_right, their_n = champion or (0, 0)
    theirs = wilson_interval(their_right, their_n, CONFIDENCE) if their_n else (None, None)
    return Part(
        name=part.name,
        n=n,
        value=right / n if n else None,
        low=interval[0] if n else None,
        high=interval[1] if n else None,
        champion=their_right / their_n if their_n else None,
        champion_low=theirs[0],
        champion_high=theirs[1],
        note=note,
    )


def _judge(name: str, rule: _SliceRule, looked: list[_Looked], *, bound: float, allowed: str) -> CheckResult:
    judged = [one for one in looked if not one.part.note]
    if not judged:
        raise ValueError(f"no slice has {rule.min_rows} rows, so none can be judged")
    rejected = multipletests([one.p for one in judged], alpha=rule.false_discovery_rate, method="fdr_by")[0]
    parts: list[tuple[float, Part]] = []
    for one, is_rejected in zip(judged, rejected, strict=True):
        # A slice can only be accused of a number that is on the wrong side.
        status: Status = "FAIL" if is_rejected and one.shortfall > 0 else "PASS"
        note = "looks bad; not shown beyond chance" if status == "PASS" and one.shortfall > 0 else ""
        parts.append((one.shortfall, msgspec.structs.replace(one.part, status=status, note=note)))
    parts.sort(key=lambda pair: (pair[1].status != "FAIL", -pair[0], pair[1].name))
    ordered = [part for _, part in parts]
    worst = ordered[0]
    bad, doubtful = [p for p in ordered if p.status == "FAIL"], [p for p in ordered if p.note]
    return CheckResult(
        name=name,
        status="FAIL" if bad else "PASS",
        reason=_reason(judged=len(judged), of=len(looked), rule=rule, allowed=allowed, bad=bad, doubtful=doubtful),
        value=or_none(cast(float, worst.value)),
        low=worst.low,
        high=worst.high,
        bound=bound,
        allowed=allowed,
        champion=worst.champion,
        champion_low=worst.champion_low,
        champion_high=worst.champion_high,
        n=worst.n,
        parts=(*ordered, *(one.part for one in looked if one.part.note)),
        details={"slices": len(looked), "judged": len(judged), "failed": len(bad), "doubtful": len(doubtful)},
    )


def _reason(*, judged: int, of: int, rule: _SliceRule, allowed: str, bad: list[Part], doubtful: list[Part]) -> str:
    left_out = f" ({of - judged} with fewer than {rule.min_rows} rows are not judged)" if of > judged else ""
    if bad:
        what = f"{len(bad)} of {judged} slices must be {allowed} and are significantly not: {_named(bad)}"
    elif doubtful:
        what = (
            f"no slice is shown not to be {allowed}, {judged} of them judged together; {len(doubtful)} look as if they "
            f"were not: {_named(doubtful)}"
        )
    else:
        what = f"all {judged} slices are {allowed}"
    return f"{what}{left_out}"


def _named(parts: list[Part]) -> str:
    names = [f"{part.name} {part.value:.3f} on {part.n:,}" for part in parts[:_NAMED]]
    return "; ".join(names) + (f"; and {len(parts) - _NAMED} more" if len(parts) > _NAMED else "")
