"""The gate's shell: fetches models and holdout, has them judged, and keeps what came out.

What keeps the gate from judging (no server, damaged bytes, no holdout, no policy) is raised as a `GauntletError`; both
command lines give it exit code 3, as they give a report whose verdict is ERROR.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path

import msgspec
from msgspec import UNSET

from bentos.artifact import (
    BLESSING,
    Artifact,
    Contract,
    Encoder,
    Numeric,
    Reference,
    check_file,
    check_folder,
    signing_key_of,
    write_beside,
)
from bentos.errors import ArtifactDamaged, BadInput, Refused, Unavailable
from bentos.folder import Folder
from bentos.pipeline import load_estimator, probabilities
from bentos.registry import Registry, Version
from validation.gate.answers import answers_of
from validation.gate.blessing import Standing, sealed, settle, standing_of
from validation.gate.checks import run_checks
from validation.gate.defaults import CHAMPION_ALIAS
from validation.gate.evidence import Evidence, Facts, Number, Rows, Subject
from validation.gate.holdout import HOLDOUT, Holdout, read_holdout
from validation.gate.junit import to_junit
from validation.gate.metrics import FloatArray
from validation.gate.page import to_html
from validation.gate.policy import Policy, check_names, load_policy
from validation.gate.report import (
    EXIT_CODES,
    Answers,
    CheckResult,
    GateReport,
    JudgedBy,
    JudgedOn,
    Model,
    blessing_of,
    dump_report,
    reasons_of,
    verdict_of,
)

Progress = Callable[[str], object]
"""Told in a few words what happens next."""

_TAG_LENGTH = 500


@dataclass(frozen=True)
class _Fetched:
    """A registered model and its verified artifact."""

    version: Version
    artifact: Artifact

    @property
    def model(self) -> Model:
        return Model(name=self.version.name, version=self.version.number, digest=self.artifact.digest)


def run_gate(
    candidate_uri: str,
    *,
    against: str | None,
    policy_path: Path,
    registry: Registry,
    folder: Folder,
    now: datetime,
    progress: Progress = lambda _: None,
) -> GateReport:
    """Judge a registered candidate, and keep the report; a PASS is blessed and becomes challenger.

    Where `GAUNTLET_BLESSING_KEY_FILE` names a key, the blessing is signed. The run is counted as an attempt on the
    holdout before it judges, so that one that is broken off counts too.

    Args:
        candidate_uri: `models:/NAME@ALIAS`, `models:/NAME/NUMBER` or `models:/NAME/latest`.
        against: The champion to compare with, named alike. None: the model under the alias `champion`, and where there
            is none the candidate is a first model, which the policy must allow (`bootstrap: true`). The champion itself
            is compared with nobody, and its blessing is renewed.
        policy_path: The policy's YAML file.
        registry: Where models come from, and where report, tags, blessing and alias go.
        folder: The installation's folder, for the report.
        now: When it is judged, with a time zone.
        progress: Told what happens next.

    Raises:
        GauntletError: The gate could not judge, and nothing was blessed; or the folder no longer took the report of a
            verdict that stands, as the message then says.
    """
    started = time.perf_counter()
    if now.tzinfo is None:
        raise BadInput("now must have a time zone")
    check_folder("--folder", folder.reports)
    policy, policy_digest = load_policy(policy_path)
    key = signing_key_of(os.environ)
    candidate = registry.resolve(candidate_uri)
    champion = find_champion(registry, candidate, against, policy)
    with tempfile.TemporaryDirectory(prefix="gauntlet-gate-") as made:
        scratch = Path(made)
        progress(f"fetching {candidate}" + (f" and {champion}" if champion else ""))
        judged = _fetch(registry, candidate, scratch / "candidate")
        check_names(policy, judged.artifact.contract, str(policy_path))
        reigning = _fetch(registry, champion, scratch / "champion") if champion else None
        holdout = read_holdout(registry.fetch_file(candidate, HOLDOUT, scratch / "run"), judged.artifact)
        opponent = reigning.artifact if reigning else None
        standing = standing_of(registry, candidate, judged.artifact, opponent, holdout=holdout.digest)
        attempt = f", attempt {standing.attempts} on this holdout" if standing.attempts > 1 else ""
        progress(f"judging {candidate} on {holdout.truth.size} rows by {policy.name}{attempt}")
        evidence = gather_evidence(judged.artifact, opponent, holdout, policy.seed)
        report = _report(
            judged,
            reigning,
            judged_by=JudgedBy(policy=policy.name, policy_digest=policy_digest, seed=policy.seed, code=code_identity()),
            judged_on=_judged_on(judged.artifact, holdout, standing.attempts),
            answers=answers_of(evidence),
            checks=run_checks(policy.rules, evidence, bootstrap=policy.bootstrap, is_champion=standing.is_renewal),
            is_renewal=standing.is_renewal,
            now=now,
            valid_days=policy.valid_days,
        )
        report = msgspec.structs.replace(sealed(report, standing, key), seconds=round(time.perf_counter() - started, 3))
        progress(f"keeping the report: {report.verdict}")
        return _keep(report, standing, registry, folder, scratch, progress)


def find_champion(registry: Registry, candidate: Version, against: str | None, policy: Policy) -> Version | None:
    """Find whom a candidate is compared with.

    None for a first model, where the policy allows one, and for the reigning champion, where nobody else is named: it
    is judged anew by itself, which renews its blessing.

    Raises:
        NotFound: The one that was named is not in the registry.
        Refused: It is the candidate itself.
        BadInput: There is none, and the policy does not allow a first model.
    """
    alias = f"models:/{candidate.name}@{CHAMPION_ALIAS}"
    champion = registry.resolve(against) if against else registry.find(alias)
    if champion is None:
        if not policy.bootstrap:
            raise BadInput(
                f"{alias} does not exist, and the policy {policy.name} does not allow a first model; name a champion "
                "with --against, or choose a policy with bootstrap: true"
            )
        return None
    if champion.uri == candidate.uri and against is None:
        return None
    if champion.uri == candidate.uri or champion.digest == candidate.digest != "":
        raise Refused(
            f"{candidate} and the champion {champion} are the same artifact, so there is nothing to compare; "
            "name another model, or another champion with --against"
        )
    return champion


def gather_evidence(candidate: Artifact, champion: Artifact | None, holdout: Holdout, seed: int) -> Evidence:
    """Encode the holdout once, and open both models on it.

    Raises:
        Refused: The champion is asked other things than the candidate.
        ArtifactDamaged: A model cannot be opened, or does not read the contract's rows.
    """
    contract = candidate.contract
    if champion and not contract.serves_as(champion.contract):
        raise Refused(
            f"the candidate's contract ({contract.name}) differs from the champion's ({champion.contract.name}) in "
            "name, id, target, labels or features, so they cannot be compared on the same rows"
        )
    encoder = Encoder(contract)
    rows = encoder.encode_columns(holdout.columns)

    def subject(role: str, artifact: Artifact) -> Subject:
        scorer = artifact.scorer()
        if scorer.width != encoder.width:
            raise ArtifactDamaged(
                f"the {role}'s model.onnx reads {scorer.width} columns, and its contract gives {encoder.width}"
            )
        return Subject(role=role, score=scorer.score, cut=artifact.contract.cut, rows=rows, facts=facts_of(artifact))

    return Evidence(
        contract=contract,
        columns=holdout.columns,
        truth=holdout.truth,
        rows=rows,
        candidate=subject("candidate", candidate),
        champion=subject("champion", champion) if champion else None,
        groups=holdout.groups_of(contract),
        numbers=numbers_of(contract, encoder, candidate.reference),
        seed=seed,
    )


def facts_of(artifact: Artifact) -> Facts:
    """What an artifact says of its model."""

    def estimate(rows: Rows) -> FloatArray:
        return probabilities(load_estimator(artifact.folder / "estimator.skops"), rows)

    return Facts(
        reference=artifact.reference,
        training=artifact.training,
        model_bytes=(artifact.folder / "model.onnx").stat().st_size,
        # Without the blessing, which is added later and is no part of what is judged.
        artifact_bytes=sum(p.stat().st_size for p in artifact.folder.iterdir() if p.is_file() and p.name != BLESSING),
        estimate=estimate,
    )


def numbers_of(contract: Contract, encoder: Encoder, reference: Reference) -> tuple[Number, ...]:
    """The numeric features as they stand in encoded rows, with their standard deviations in training."""
    deviations = {binned.name: binned.deviation for binned in reference.features}
    return tuple(
        Number(
            name=feature.name,
            column=encoder.spans[feature.name][0],
            missing_column=encoder.spans[feature.name][0] + 1 if feature.missing else None,
            deviation=deviations.get(feature.name),
            minimum=feature.minimum,
            maximum=feature.maximum,
        )
        for feature in contract.features
        if isinstance(feature, Numeric)
    )


def code_identity() -> str:
    """Which code judged: Gauntlet's version and a digest of this plane's gate and statistics."""
    plane = Path(__file__).parent.parent
    digest = hashlib.sha256()
    for path in sorted([*plane.glob("gate/**/*.py"), *plane.glob("statistics/**/*.py")]):
        digest.update(path.relative_to(plane).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    try:
        number = installed_version("gauntlet")
    except PackageNotFoundError:
        number = "of a checkout"
    return f"gauntlet {number} sha256:{digest.hexdigest()}"


def _fetch(registry: Registry, version: Version, folder: Path) -> _Fetched:
    if not version.digest:
        raise Refused(f"{version} has no digest in the registry, so its bytes cannot be verified; train it again")
    return _Fetched(version, registry.fetch(version, folder))


def _judged_on(candidate: Artifact, holdout: Holdout, attempts: int) -> JudgedOn:
    return JudgedOn(
        data=candidate.training.data,
        holdout=holdout.digest,
        n=holdout.truth.size,
        is_synthetic=candidate.training.is_synthetic,
        attempts=attempts,
    )


def _report(
    candidate: _Fetched,
    champion: _Fetched | None,
    *,
    judged_by: JudgedBy,
    judged_on: JudgedOn,
    checks: tuple[CheckResult, ...],
    answers: tuple[Answers, ...],
    now: datetime,
    valid_days: int,
    is_renewal: bool,
) -> GateReport:
    verdict = verdict_of(checks)
    report = GateReport(
        verdict=verdict,
        exit_code=EXIT_CODES[verdict],
        candidate=candidate.model,
        champion=champion.model if champion else None,
        judged_by=judged_by,
        judged_on=judged_on,
        checks=checks,
        answers=answers,
        reasons=reasons_of(checks),
        blessing=None,
        judged_at=now,
        seconds=0.0,
        is_renewal=is_renewal,
    )
    return msgspec.structs.replace(report, blessing=blessing_of(report, valid_days))


def _keep(
    report: GateReport, standing: Standing, registry: Registry, folder: Folder, scratch: Path, progress: Progress
) -> GateReport:
    """Keep the report with the run, bless and raise a PASS, write the report into the folder, and last draw it."""
    candidate = standing.version
    content = dump_report(report)
    stem = f"gate-{candidate.name}-{candidate.number}-{report.judged_at.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}"
    name = f"{stem}.json"
    (scratch / name).write_bytes(content)
    registry.attach(candidate, scratch / name)
    settle(report, standing, registry, folder, now=report.judged_at)
    registry.tag(
        candidate,
        gate_verdict=report.verdict,
        gate_policy=f"{report.judged_by.policy} {report.judged_by.policy_digest}",
        gate_reason=report.reasons[0][:_TAG_LENGTH],
    )
    try:
        write_beside(folder.reports / name, content)
    except OSError as e:
        raise Unavailable(
            f"{folder.reports / name} cannot be written: {e.strerror or e}; the verdict stands: {report.verdict}"
        ) from e
    page, lost = folder.reports / f"{stem}.html", []
    for path, draw in ((page, to_html), (page.with_suffix(".xml"), to_junit)):
        # All that counts is kept by now: what cannot be drawn is told, and costs a picture and no verdict.
        try:
            write_beside(path, draw(report))
            registry.attach(candidate, path)
        except Exception as e:
            lost.append(f"{path.name}: {type(e).__name__}: {e}")
            progress(f"ERROR: could not be drawn or kept: {lost[-1]}; the verdict stands")
    return msgspec.structs.replace(
        report,
        report_path=str(folder.reports / name),
        page_path=str(page) if page.is_file() else UNSET,
        lost="; ".join(lost) or UNSET,
    )


def check_copies(*, html: Path | None, junit: Path | None) -> None:
    """Whether `write_copies` could write, asked before anything is judged.

    Raises:
        InvalidSetting: A file cannot be written; the message names its option.
    """
    for option, path in (("--html", html), ("--junit", junit)):
        if path is not None:
            check_file(option, path)


def write_copies(report: GateReport, *, html: Path | None, junit: Path | None) -> None:
    """Write the report as a page and as JUnit XML to wherever somebody wants them.

    Raises:
        BadInput: A file cannot be written.
    """
    for path, draw in ((html, to_html), (junit, to_junit)):
        if path is not None:
            try:
                write_beside(path, draw(report))
            except OSError as e:
                raise BadInput(f"{path} cannot be written: {e.strerror or e}") from e
