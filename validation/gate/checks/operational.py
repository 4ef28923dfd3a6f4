"""Operational: is `model.onnx` the model that was fitted, is it fast and small enough, and sane at the edges?"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from msgspec.structs import replace

from bentos.artifact import Categorical
from validation.gate.checks.rule import Bound, Check, Number, Rule
from validation.gate.evidence import Evidence, Rows, Subject
from validation.gate.metrics import FloatArray
from validation.gate.perturbing import lose_values, unsee_categories
from validation.gate.report import CheckResult

_CALLS = 1000
_WARM = 50
_EDGE_ROWS = 20
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
    """One row must be scored in time, on the machine that judges, and in not much more than the champion takes.

    Attributes:
        p99_us_at_most: 99th percentile of one row's score in microseconds, above 0.
        times_champion_at_most: Median over the champion's median, above 1; where it is left out, and for a first model,
            only the time itself is judged.
    """

    p99_us_at_most: Number
    times_champion_at_most: Bound = None

    def problems(self) -> Iterator[str]:
        """What keeps it from being judged by."""
        if not 0 < self.p99_us_at_most <= 1e6:
            yield f"p99_us_at_most is {self.p99_us_at_most:g}; it must be above 0 and at most 1000000, a second"
        times = self.times_champion_at_most
        if times is not None and not 1 < times <= 1000:
            yield f"times_champion_at_most is {times:g}; it must be above 1 and at most 1000"

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
    """Rows at the edges of the contract must get a probability.

    Those are every number at the ends of its range, every value that may be missing, every category that nobody has
    seen, and all of them together.
    """

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
        times = _time(evidence.subjects, rows)
        p50, p99 = np.median(times, axis=1), np.quantile(times, 0.99, axis=1)
        # What a clock says is no number that a seed decides: it stands in details, under names that say so.
        details = {
            f"{prefix}{name}": float(number)
            for i, prefix in enumerate(("", "champion_")[: len(times)])
            for name, number in (("p50_us", p50[i]), ("p99_us", p99[i]))
        }
        bound, ratio = self.rule.p99_us_at_most, self.rule.times_champion_at_most
        claims = [(bool(p99[0] <= bound), "the 99th percentile of one row's score", f"at most {bound:g} us")]
        if ratio is not None and len(times) > 1:
            claims.append((bool(p50[0] <= ratio * p50[1]), "its median", f"at most {ratio:g} times the champion's"))
        says = [f"{what} {'is' if held else 'must be'} {allowed}" for held, what, allowed in claims]
        return CheckResult(
            name=self.name,
            status="PASS" if all(held for held, _, _ in claims) else "FAIL",
            reason="; ".join(says),
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
        """Score rows of the holdout with one feature at a time at each of its edges, and with all of them."""
        edges = list(_edges(evidence))
        wrong = [name for name, rows in edges if not _are_probabilities(evidence.candidate, rows)]
        n = sum(len(rows) for _, rows in edges)
        return CheckResult(
            name=self.name,
            status="FAIL" if wrong else "PASS",
            reason=f"no probability in [0, 1] with {'; '.join(wrong)}"
            if wrong
            else f"{n:,} rows at {len(edges)} edges get a probability: ends of ranges, missing and unseen values",
            n=n,
            details={"edges": float(len(edges)), "edges_without_probability": float(len(wrong))},
        )


def _edges(evidence: Evidence) -> Iterator[tuple[str, Rows]]:
    """Some rows of the holdout for each edge, and the edge's name."""
    base, contract, rng = evidence.rows[:_EDGE_ROWS], evidence.contract, np.random.default_rng(0)
    lowest, highest = base.copy(), base.copy()
    for number in evidence.numbers:
        for end, value, extreme in (("least", number.minimum, lowest), ("greatest", number.maximum, highest)):
            rows = base.copy()
            for changed in (rows, extreme):
                changed[:, number.column] = value
                if number.missing_column is not None:
                    changed[:, number.missing_column] = 0.0
            yield f"{number.name} at its {end}, {value:g}", rows
    if evidence.numbers:
        yield "every number at its least", lowest
        yield "every number at its greatest", highest
    if any(feature.missing for feature in contract.features):
        yield "everything missing that may be", lose_values(base, contract, 1.0, rng)
    for feature in contract.features:
        alone = replace(contract, features=(feature,))
        start, end_of = evidence.encoder.spans[feature.name]
        if feature.missing:
            rows = base.copy()
            rows[:, start:end_of] = lose_values(base[:, start:end_of], alone, 1.0, rng)
            yield f"{feature.name} missing", rows
        if isinstance(feature, Categorical):
            rows = base.copy()
            rows[:, start:end_of] = 0.0
            yield f"{feature.name} unseen", rows
    if any(isinstance(feature, Categorical) for feature in contract.features):
        yield "every category unseen", unsee_categories(base, contract, 1.0, rng)


def _are_probabilities(subject: Subject, rows: Rows) -> bool:
    answers = np.asarray(subject.score(rows), dtype=np.float64)
    return answers.shape == (len(rows),) and bool(((answers >= 0) & (answers <= 1)).all())


def _time(subjects: Sequence[Subject], rows: Sequence[Rows]) -> FloatArray:
    """Microseconds of each model for each row, shape (n_models, n_rows); warm, and each is first in its turn."""
    times = np.zeros((len(subjects), len(rows)))
    for row in rows[:_WARM]:
        for subject in subjects:
            subject.score(row)
    for number, row in enumerate(rows):
        for position in sorted(range(len(subjects)), reverse=number % 2 == 1):
            began = time.perf_counter_ns()
            subjects[position].score(row)
            times[position, number] = (time.perf_counter_ns() - began) / 1000
    return times
