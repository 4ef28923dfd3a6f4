"""What a gate gives back: one result a check, the verdict that follows, and the report as the bytes of its file."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from bentos.artifact import BlessedCheck, Blessing
from bentos.errors import BadInput

Verdict = Literal["PASS", "FAIL", "INCONCLUSIVE", "ERROR"]
Status = Literal["PASS", "FAIL", "INCONCLUSIVE", "ERROR", "NOT_APPLICABLE"]

SCHEMA = Path(__file__).with_name("report.schema.json")
"""For those who read reports in another language."""

EXIT_CODES: dict[Verdict, int] = {"PASS": 0, "FAIL": 1, "INCONCLUSIVE": 2, "ERROR": 3}
WORST_FIRST: tuple[Status, ...] = ("ERROR", "FAIL", "INCONCLUSIVE", "PASS", "NOT_APPLICABLE")


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of the numbers that a check's number is made of: a group, a slice, a feature, a size of noise.

    Attributes:
        name: What it is of, such as `SeniorCitizen=1`.
        n: Rows that it was measured on.
        value: The candidate's number; None where it could not be measured.
        low: Lower end of its interval, where there is one.
        high: Upper end.
        champion: The champion's number on the same rows and draws.
        champion_low: Lower end of its interval.
        champion_high: Upper end.
        status: Where a part is judged by itself, how it came out.
        note: What should be known of it.
    """

    name: str
    n: int | None = None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    champion: float | None = None
    champion_low: float | None = None
    champion_high: float | None = None
    status: Status | None = None
    note: str = ""


class CheckResult(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one check came out.

    Attributes:
        name: The check's name, such as `accuracy` or `accuracy_gap[gender]`.
        kind: The kind of rule that asked for it.
        status: NOT_APPLICABLE is no pass: it says that policy allows the check to be left out here.
        reason: One sentence with the numbers.
        value: What was measured; None where it could not be.
        low: Lower end of its 95 % interval, where there is one.
        high: Upper end.
        bound: What it was held against.
        allowed: The same in words, to be read after "must be".
        champion: The champion's value on the same rows and draws; None without a champion or where it has none.
        champion_low: Lower end of its interval.
        champion_high: Upper end.
        n: Rows that it was measured on.
        rows_needed: Where it is INCONCLUSIVE, about how many rows would decide it; None where no number would.
        on_inconclusive: What INCONCLUSIVE leads to here: `block` or `shadow`.
        parts: What the number is made of: groups, slices, features.
        details: Further numbers.
    """

    name: str
    kind: str = ""
    status: Status
    reason: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    bound: float | None = None
    allowed: str = ""
    champion: float | None = None
    champion_low: float | None = None
    champion_high: float | None = None
    n: int | None = None
    rows_needed: int | None = None
    on_inconclusive: str = "block"
    parts: tuple[Part, ...] = ()
    details: dict[str, float] = {}


class Curve(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Points of a curve, by rising x."""

    x: tuple[float, ...]
    y: tuple[float, ...]


class Answers(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one model answered to the holdout, for pictures.

    Attributes:
        role: `candidate` or `champion`.
        cut: Probability from which it answers positive.
        tp: Positive rows that it called so.
        fp: Negative rows that it called positive.
        fn: Positive rows that it called negative.
        tn: Negative rows that it called so.
        roc: Share of positives found against share of negatives called positive, over all cuts.
        precision_recall: Precision against recall, over all cuts.
        calibration: Ten bins of equal count: the mean promised probability as `name`, the share that came true.
        histogram: Counts in twenty equal bins of probability: of negative rows, then of positive ones.
        metrics: Every metric with its interval.
        slope: Of truths on the probabilities' logits: 1 when calibrated, below 1 when too sure; None where truths do
            not determine it.
        intercept: Calibration in the large: 0 when calibrated, below 0 when probabilities are too high.
    """

    role: str
    cut: float
    tp: int
    fp: int
    fn: int
    tn: int
    roc: Curve
    precision_recall: Curve
    calibration: tuple[Part, ...]
    histogram: tuple[tuple[int, ...], tuple[int, ...]]
    metrics: tuple[Part, ...]
    slope: float | None = None
    intercept: float | None = None


class Model(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A registered model's identity: name, version and artifact digest."""

    name: str
    version: str
    digest: str

    def __str__(self) -> str:
        return f"{self.name} version {self.version}"


class JudgedBy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What judged: the policy's name and the digest of its file, its seed, and the judging code's identity."""

    policy: str
    policy_digest: str
    seed: int
    code: str


class JudgedOn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which rows were judged, and how often.

    Attributes:
        data: Digest of the data.
        holdout: Digest of the holdout's file.
        n: Rows of the holdout.
        is_synthetic: Whether they came from the embedded generator.
        attempts: Gate runs on this holdout by models of this name, this one included.
    """

    data: str
    holdout: str
    n: int
    is_synthetic: bool
    attempts: int = 1


class GateReport(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that a gate says.

    Attributes:
        schema_version: Version of this form.
        verdict: The worst of the checks.
        exit_code: 0 PASS, 1 FAIL, 2 INCONCLUSIVE, 3 ERROR.
        candidate: Who was judged.
        champion: Who it was compared with; None for a first model, and where the champion itself was judged.
        is_renewal: Whether it is the reigning champion, judged anew.
        judged_by: Policy, seed and code.
        judged_on: Data and holdout.
        checks: In the policy's order.
        answers: What the candidate, and then the champion, answered; empty in reports of version 1.
        reasons: Sentences that explain the verdict, the most important first.
        blessing: The record of a PASS; None for any other verdict.
        judged_at: When.
        seconds: How long it took; the only number that the seed does not decide.
        report_path: Where the file lies; not in the file itself.
        page_path: Where the same lies as a page, if it could be drawn; not in the file itself.
        lost: What could not be drawn or kept beside the report, and why; not in the file itself.
    """

    schema_version: int = 2
    verdict: Verdict
    exit_code: int
    candidate: Model
    champion: Model | None
    judged_by: JudgedBy
    judged_on: JudgedOn
    checks: tuple[CheckResult, ...]
    answers: tuple[Answers, ...] = ()
    reasons: tuple[str, ...]
    blessing: Blessing | None
    judged_at: datetime
    seconds: float
    report_path: str | UnsetType = UNSET
    page_path: str | UnsetType = UNSET
    lost: str | UnsetType = UNSET
    is_renewal: bool = False

    @property
    def is_synthetic(self) -> bool:
        """Whether the rows came from the embedded generator."""
        return self.judged_on.is_synthetic


def awaited_in(checks: Sequence[CheckResult]) -> list[str]:
    """The checks that live customers are to settle: all inconclusive ones, if each of them says so; else none."""
    inconclusive = [check for check in checks if check.status == "INCONCLUSIVE"]
    if verdict_of(checks) != "INCONCLUSIVE" or any(check.on_inconclusive != "shadow" for check in inconclusive):
        return []
    return [check.name for check in inconclusive]


def verdict_of(checks: Sequence[CheckResult]) -> Verdict:
    """The worst status wins; without any check that judged something it is ERROR, never PASS."""
    statuses = {check.status for check in checks}
    for status in WORST_FIRST:
        if status in statuses and status != "NOT_APPLICABLE":
            return status
    return "ERROR"


def reasons_of(checks: Sequence[CheckResult]) -> tuple[str, ...]:
    """Sentences that explain the verdict: what is not a pass, the worst first, then how many passed."""
    passed = sum(check.status == "PASS" for check in checks)
    wrong = [sentence for status in ("ERROR", "FAIL", "INCONCLUSIVE") for sentence in _sentences(checks, status)]
    if not wrong and not passed:
        wrong.append("no check could judge anything, and that is no pass")
    return (*wrong, f"{passed} of {len(checks)} checks passed", *_sentences(checks, "NOT_APPLICABLE"))


def _sentences(checks: Sequence[CheckResult], status: str) -> list[str]:
    """One sentence a reason, with the names of all checks that give it."""
    names: dict[str, list[str]] = {}
    for check in checks:
        if check.status == status:
            names.setdefault(check.reason, []).append(check.name)
    return [f"{', '.join(of_reason)}: {reason}" for reason, of_reason in names.items()]


def blessing_of(report: GateReport, valid_days: int) -> Blessing | None:
    """The stored record of a PASS, or of what live customers are to settle; None for every other verdict.

    Args:
        report: What was judged.
        valid_days: Days until the blessing expires.
    """
    awaits = awaited_in(report.checks)
    if report.verdict != "PASS" and not awaits:
        return None
    return Blessing(
        artifact=report.candidate.digest,
        baseline=report.champion.digest if report.champion else None,
        data=report.judged_on.data,
        policy=report.judged_by.policy_digest,
        code=report.judged_by.code,
        n=report.judged_on.n,
        seed=report.judged_by.seed,
        verdict=report.verdict,
        checks=[
            BlessedCheck(name=c.name, value=c.value, low=c.low, high=c.high, bound=c.bound)
            for c in report.checks
            if c.status == "PASS"
        ],
        scope="shadow" if awaits else "split",
        awaits=awaits,
        judged_at=report.judged_at,
        expires_at=report.judged_at + timedelta(days=valid_days),
    )


def dump_report(report: GateReport) -> bytes:
    """The report as the bytes of its file: sorted keys, without its own path; the same report gives the same bytes."""
    itself = msgspec.structs.replace(report, report_path=UNSET, page_path=UNSET, lost=UNSET)
    return msgspec.json.format(msgspec.json.encode(itself, order="sorted"), indent=2) + b"\n"


def report_schema() -> bytes:
    """The JSON Schema of a report's file, as it is committed beside this module."""
    schema = _undented(msgspec.json.schema(GateReport))
    return msgspec.json.format(msgspec.json.encode(schema, order="sorted"), indent=2) + b"\n"


def _undented(schema: Any) -> Any:
    """A schema whose descriptions, which are docstrings, are the same on every Python: from 3.13 on it undents them."""
    if isinstance(schema, list):
        return [_undented(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: inspect.cleandoc(one) if key == "description" and isinstance(one, str) else _undented(one)
        for key, one in schema.items()
    }


def same_judgement(report: GateReport) -> bytes:
    """What a seed decides of a report, as bytes: two runs on the same models, data, policy and code give the same.

    Left out is what a clock or the registry's memory says: when, how long, how often, and the blessing that follows.
    """
    checks = tuple(
        msgspec.structs.replace(c, details={k: v for k, v in c.details.items() if not k.endswith("_us")})
        for c in report.checks
    )
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    judged_on = msgspec.structs.replace(report.judged_on, attempts=0)
    return dump_report(
        msgspec.structs.replace(report, checks=checks, judged_at=epoch, seconds=0.0, blessing=None, judged_on=judged_on)
    )


def parse_report(content: bytes, source: str) -> GateReport:
    """Read a report's file.

    Raises:
        BadInput: It is none, or of another version.
    """
    try:
        report = msgspec.json.decode(content, type=GateReport)
    except msgspec.MsgspecError as e:
        raise BadInput(f"{source} is no gate report: {e}") from e
    if report.schema_version not in (1, 2):
        raise BadInput(f"{source} has schema_version {report.schema_version}; this version of Gauntlet reads 1 and 2")
    return report
