"""Data: are the holdout's columns what training saw, and can its rows be told apart at all?

That values are what the contract allows, and that the champion's contract asks the same, holds before any check runs:
the gate refuses a holdout or a champion of which it is not true.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bentos.artifact import Binned, Feature, Reference, Value
from bentos.errors import shown
from validation.gate.checks.rule import Check, Number, Rule
from validation.gate.evidence import Evidence
from validation.gate.report import CheckResult, Part
from validation.statistics import wilson_interval

_LEVEL = 0.001
"""Chance that a feature is called broken which is not."""


class Schema(Rule, frozen=True, kw_only=True, tag="schema"):
    """No column may have become empty, or constant, since training.

    Attributes:
        missing_rise_at_most: Largest rise of a feature's share of missing values, above 0 and below 1.
    """

    missing_rise_at_most: Number = 0.05

    def problems(self) -> Iterator[str]:
        """What keeps it from being judged by."""
        rise = self.missing_rise_at_most
        if not 0 < rise < 1:
            yield f"missing_rise_at_most is {rise:g}; it must be above 0 and below 1, or it never fails"

    def asks_for(self) -> list[str]:
        """Itself."""
        return ["schema"]

    def checks(self, evidence: Evidence) -> list[Check]:  # noqa: ARG002
        """One."""
        return [SchemaCheck(self)]


class ContradictingRows(Rule, frozen=True, kw_only=True, tag="contradicting_rows"):
    """Rows that agree in every feature and differ in truth: what no model can tell apart, or a column that is missing.

    Attributes:
        share_at_most: Largest share of rows that are contradicted by another, above 0 and below 1.
    """

    share_at_most: Number

    def problems(self) -> Iterator[str]:
        """What keeps it from being judged by."""
        if not 0 < self.share_at_most < 1:
            yield f"share_at_most is {self.share_at_most:g}; it must be above 0 and below 1, or it never fails"

    def asks_for(self) -> list[str]:
        """Itself."""
        return ["contradicting_rows"]

    def checks(self, evidence: Evidence) -> list[Check]:  # noqa: ARG002
        """One."""
        return [ContradictingRowsCheck(self)]


@dataclass(frozen=True)
class SchemaCheck:
    """Is every column filled as it was in training?"""

    rule: Schema
    name: str = "schema"

    def run(self, evidence: Evidence, rng: np.random.Generator) -> CheckResult:  # noqa: ARG002
        """Compare each feature's share of missing values, and whether it varies, with the candidate's reference."""
        references = [subject.facts.reference for subject in evidence.subjects]
        parts = [self._part(feature, evidence, references) for feature in evidence.contract.features]
        parts.sort(key=lambda part: (part.status != "FAIL", -(part.value or 0.0), part.name))
        wrong, most = [part for part in parts if part.status == "FAIL"], parts[0]
        bound = self.rule.missing_rise_at_most
        return CheckResult(
            name=self.name,
            status="FAIL" if wrong else "PASS",
            reason="; ".join(f"{part.name}: {part.note}" for part in wrong)
            if wrong
            else f"{len(parts)} features are filled as in training; {most.name}: {most.note}",
            value=most.value,
            bound=bound,
            allowed=f"at most {bound:g}",
            n=evidence.truth.size,
            parts=tuple(parts),
        )

    def _part(self, feature: Feature, evidence: Evidence, references: list[Reference]) -> Part:
        values, n = evidence.columns[feature.name], evidence.truth.size
        binned, *theirs = (_binned(reference, feature.name) for reference in references)
        missing = sum(_is_missing(feature, value) for value in values)
        before = _share_missing(binned)
        low, high = wilson_interval(missing, n, 1 - 2 * _LEVEL / len(evidence.contract.features))
        has_risen = missing / n - before > self.rule.missing_rise_at_most and low > before
        is_constant = missing < n and len(set(values)) == 1 and _chance_of_one_bin(binned, n) < _LEVEL
        note = f"missing in {missing / n:.1%} of rows, {before:.1%} in training"
        note += f", {_share_missing(theirs[0]):.1%} in the champion's" if theirs else ""
        note += f", and {shown(values[0])} in every row, which it was not in training" if is_constant else ""
        return Part(
            name=feature.name,
            n=n,
            value=missing / n - before,
            low=low - before,
            high=high - before,
            status="FAIL" if has_risen or is_constant else "PASS",
            note=note,
        )


@dataclass(frozen=True)
class ContradictingRowsCheck:
    """How many rows does another one contradict?"""

    rule: ContradictingRows
    name: str = "contradicting_rows"

    def run(self, evidence: Evidence, rng: np.random.Generator) -> CheckResult:  # noqa: ARG002
        """Count rows whose features another row has too, with the other truth."""
        _, places = np.unique(evidence.rows, axis=0, return_inverse=True)
        places = places.reshape(-1)
        positive = np.bincount(places, weights=evidence.truth)
        rows = np.bincount(places)
        contradicted = int(rows[(positive > 0) & (positive < rows)].sum())
        share, bound = contradicted / evidence.truth.size, self.rule.share_at_most
        held = share <= bound
        return CheckResult(
            name=self.name,
            status="PASS" if held else "FAIL",
            reason=f"{contradicted} of {evidence.truth.size:,} rows have a twin with the other truth; the share "
            f"{'is' if held else 'must be'} at most {bound:g}",
            value=share,
            bound=bound,
            allowed=f"at most {bound:g}",
            n=evidence.truth.size,
        )


def _binned(reference: Reference, name: str) -> Binned:
    for binned in reference.features:
        if binned.name == name:
            return binned
    raise ValueError(f"the reference lacks {name}, so how it was filled in training is not known")


def _is_missing(feature: Feature, value: Value) -> bool:
    return value is None or value in feature.missing


def _share_missing(binned: Binned) -> float:
    counts = dict(zip(binned.bins, binned.counts, strict=True))
    return counts.get("missing", 0) / sum(counts.values())


def _chance_of_one_bin(binned: Binned, n: int) -> float:
    """How likely it is that n rows all fall in one bin, if they are as in training; 1 where there was one bin."""
    return float((max(binned.counts) / sum(binned.counts)) ** n)
