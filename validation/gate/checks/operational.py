"""Operational: is `model.onnx` the model that was fitted, is it fast and small enough, and sane at the edges?"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from validation.gate.checks.rule import Check, Number, Rule
from validation.gate.evidence import Evidence, Rows, Subject
from validation.gate.report import CheckResult

_CALLS = 300
_WARM = 30
_MEGABYTE = 1_000_000


class OnnxParity(Rule, frozen=True, kw_only=True, tag="onnx_parity"):
    """`model.onnx` must give the probabilities of the fitted estimator.

    Attributes:
        at_most: Largest difference of probability on the holdout, above 0 and below 0.01.
    """

    at_most: Number = 1e-6

    def problems(self) -> Iterator[str]:
        """What keeps it from being judged by."""
        if not 0 < self.at_most < 0.01:
            yield f"at_most is {self.at_most:g}; it must be above 0 and below 0.01"

    def asks_for(self) -> list[str]:
        """Itself."""
        return ["onnx_parity"]

    def checks(self, evidence: Evidence) -> list[Check]:  # noqa: ARG002
        """One."""
        return [OnnxParityCheck(self)]


class Latency(Rule, frozen=True, kw_only=True, tag="latency"):
    """One row must be scored in time, on the machine that judges.

    Attributes:
        p99_us_at_most: 99th percentile of one row's score in microseconds, above 0.
    """

    p99_us_at_most: Number

    def problems(self) -> Iterator[str]:
        """What keeps it from being judged by."""
        if not 0 < self.p99_us_at_most <= 1e6:
            yield f"p99_us_at_most is {self.p99_us_at_most:g}; it must be above 0 and at most 1000000, a second"

    def asks_for(self) -> list[str]:
        """Itself."""
        return ["latency"]

    def checks(self, evidence: Evidence) -> list[Check]:  # noqa: ARG002
        """One."""
        return [LatencyCheck(self)]


class ArtifactSize(Rule, frozen=True, kw_only=True, tag="artifact_size"):
    """The artifact must fit where it is to be served.

    Attributes:
        megabytes_at_most: Of all its files together, above 0.
    """

    megabytes_at_most: Number

    def problems(self) -> Iterator[str]:
        """What keeps it from being judged by."""
        if not 0 < self.megabytes_at_most <= 10_000:
            yield f"megabytes_at_most is {self.megabytes_at_most:g}; it must be above 0 and at most 10000"

    def asks_for(self) -> list[str]:
        """Itself."""
        return ["artifact_size"]

    def checks(self, evidence: Evidence) -> list[Check]:  # noqa: ARG002
        """One."""
        return [ArtifactSizeCheck(self)]


class EdgeRows(Rule, frozen=True, kw_only=True, tag="edge_rows"):
    """Every number at the ends of its range, and every value that may be missing, must get a probability."""

    def problems(self) -> Iterator[str]:
        """Nothing can be wrong with it."""
        return iter(())

    def asks_for(self) -> list[str]:
        """Itself."""
        return ["edge_rows"]

    def checks(self, evidence: Evidence) -> list[Check]:  # noqa: ARG002
        """One."""
        return [EdgeRowsCheck(self)]


@dataclass(frozen=True)
class OnnxParityCheck:
    """Are both forms of the model the same?"""

    rule: OnnxParity
    name: str = "onnx_parity"

    def run(self, evidence: Evidence, rng: np.random.Generator) -> CheckResult:  # noqa: ARG002
        """Ask both about every row of the holdout."""
        candidate = evidence.candidate
        difference = float(np.max(np.abs(candidate.probabilities - candidate.facts.estimate(evidence.rows))))
        held = difference <= self.rule.at_most
        return CheckResult(
            name=self.name,
            status="PASS" if held else "FAIL",
            reason=f"model.onnx and the estimator differ by {difference:.2g} in probability at most; it "
            f"{'is' if held else 'must be'} at most {self.rule.at_most:g}",
            value=difference,
            bound=self.rule.at_most,
            allowed=f"at most {self.rule.at_most:g}",
            n=evidence.truth.size,
        )


@dataclass(frozen=True)
class LatencyCheck:
    """Is one row scored in time?"""

    rule: Latency
    name: str = "latency"

    def run(self, evidence: Evidence, rng: np.random.Generator) -> CheckResult:
        """Time both models on the same rows in turn, so that what else the machine does hits both."""
        rows = [evidence.rows[i : i + 1] for i in rng.integers(0, len(evidence.rows), _CALLS)]
        timed = [np.zeros(_CALLS) for _ in evidence.subjects]
        for number, row in enumerate([*rows[:_WARM], *rows], -_WARM):
            for times, subject in zip(timed, evidence.subjects, strict=True):
                spent = _microseconds(subject, row)
                if number >= 0:
                    times[number] = spent
        p99, *theirs = (float(np.quantile(times, 0.99)) for times in timed)
        held, bound = p99 <= self.rule.p99_us_at_most, self.rule.p99_us_at_most
        # What a clock says is no number that a seed decides: it stands in details, under a name that says so.
        details = {"p99_us": p99, "p50_us": float(np.median(timed[0]))}
        details |= {"champion_p99_us": theirs[0]} if theirs else {}
        return CheckResult(
            name=self.name,
            status="PASS" if held else "FAIL",
            reason=f"the 99th percentile of one row's score {'is' if held else 'must be'} at most {bound:g} us",
            bound=bound,
            allowed=f"at most {bound:g} us",
            n=_CALLS,
            details=details,
        )


@dataclass(frozen=True)
class ArtifactSizeCheck:
    """Does the artifact fit?"""

    rule: ArtifactSize
    name: str = "artifact_size"

    def run(self, evidence: Evidence, rng: np.random.Generator) -> CheckResult:  # noqa: ARG002
        """Add up its files."""
        size, *theirs = (subject.facts.artifact_bytes / _MEGABYTE for subject in evidence.subjects)
        bound, held = self.rule.megabytes_at_most, size <= self.rule.megabytes_at_most
        return CheckResult(
            name=self.name,
            status="PASS" if held else "FAIL",
            reason=f"its files have {size:.2f} MB, {evidence.candidate.facts.model_bytes / _MEGABYTE:.2f} of it "
            f"model.onnx; it {'is' if held else 'must be'} at most {bound:g} MB",
            value=size,
            bound=bound,
            allowed=f"at most {bound:g} MB",
            champion=theirs[0] if theirs else None,
        )


@dataclass(frozen=True)
class EdgeRowsCheck:
    """Does every edge of the contract get a probability?"""

    rule: EdgeRows
    name: str = "edge_rows"

    def run(self, evidence: Evidence, rng: np.random.Generator) -> CheckResult:  # noqa: ARG002
        """Score rows of the holdout with one feature at a time at each of its ends."""
        edges = np.concatenate(list(_edge_rows(evidence)) or [evidence.rows[:1]])
        evidence.candidate.probabilities_of(edges)  # raises for what is none
        return CheckResult(
            name=self.name,
            status="PASS",
            reason=f"{len(edges):,} rows with a feature at an end of its range, or missing, get a probability",
            n=len(edges),
        )


def _edge_rows(evidence: Evidence) -> Iterator[Rows]:
    base = evidence.rows[: min(len(evidence.rows), 20)]
    for number in evidence.numbers:
        for value in (number.minimum, number.maximum):
            rows = base.copy()
            rows[:, number.column] = value
            if number.missing_column is not None:
                rows[:, number.missing_column] = 0.0
            yield rows
    for feature in evidence.contract.features:
        if feature.missing:
            start, end = evidence.encoder.spans[feature.name]
            rows = base.copy()
            rows[:, start:end] = 0.0
            rows[:, end - 1] = 1.0
            rows[:, start] = getattr(feature, "fill", None) or rows[:, start]
            yield rows


def _microseconds(subject: Subject, row: Rows) -> float:
    began = time.perf_counter_ns()
    subject.score(row)
    return (time.perf_counter_ns() - began) / 1000
