"""The gate on a real MLflow registry (SQLite): what it fetches, what it refuses, what it keeps."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import pytest
from gate_toys import BAD, CONTRACT, GOOD, NAN, WORSE, columns, parquet, register

from bentos.artifact import check_blessing, read_blessing
from bentos.errors import (
    ArtifactDamaged,
    BadInput,
    GauntletError,
    InvalidData,
    InvalidPolicy,
    NotBlessed,
    NotFound,
    Refused,
    Unavailable,
)
from bentos.folder import Folder
from bentos.registry import Registry, open_registry
from validation.gate.defaults import POLICIES, POLICY
from validation.gate.report import parse_report
from validation.gate.run import run_gate

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NO_BOOTSTRAP = """
name: strict
description: no first model
seed: 1
valid_days: 7
rules:
  - {kind: performance, metric: accuracy, at_least: 0.75, judge_by: interval}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return Folder(tmp_path_factory.mktemp("gate") / "home")


@pytest.fixture(scope="module")
def registry(folder) -> Registry:
    return open_registry(folder)


@pytest.fixture
def name(request) -> str:
    """A registered name of its own for each test, in one registry for all."""
    return request.node.name.replace("[", "-").replace("]", "")[:80]


@pytest.fixture
def gate(registry, folder, name):
    def run(which="latest", *, against=None, policy=POLICY, now=NOW):
        return run_gate(
            f"models:/{name}/{which}" if "/" not in which else which,
            against=against,
            policy_path=policy,
            registry=registry,
            folder=folder,
            now=now,
        )

    return run


def artifact_of(registry: Registry, toy) -> Path:
    """Where MLflow keeps a toy's artifact on this disk."""
    run = registry.client.get_run(toy.version.run)
    return Path(run.info.artifact_uri.removeprefix("file://")) / "artifact"


def is_blessed(registry, version, tmp_path) -> bool:
    registry.fetch(version, tmp_path / "fetched")
    try:
        read_blessing(tmp_path / "fetched")
    except NotBlessed:
        return False
    return True


def test_a_good_first_model_passes_is_blessed_and_becomes_challenger(registry, gate, folder, name, tmp_path):
    toy = register(registry, GOOD, name=name)
    report = gate()
    assert (report.verdict, report.exit_code, report.champion) == ("PASS", 0, None)
    assert report.is_synthetic
    assert {check.status for check in report.checks} == {"PASS", "NOT_APPLICABLE"}
    registry.fetch(toy.version, tmp_path / "fetched")
    blessing = read_blessing(tmp_path / "fetched")
    assert blessing == report.blessing
    check_blessing(blessing, artifact=toy.version.digest, now=NOW + timedelta(days=89), scope="split")
    with pytest.raises(NotBlessed, match="expired"):
        check_blessing(blessing, artifact=toy.version.digest, now=NOW + timedelta(days=90), scope="split")
    challenger = registry.resolve(f"models:/{name}@challenger")
    assert challenger.number == "1"
    assert challenger.tags["gate_verdict"] == "PASS"
    assert challenger.tags["gate_policy"].startswith("baseline sha256:")
    assert challenger.tags["gate_reason"] == "10 of 11 checks passed"


def test_the_report_lies_in_the_folder_and_with_the_run(registry, gate, folder, name, tmp_path):
    toy = register(registry, GOOD, name=name)
    report = gate()
    written = Path(report.report_path)
    assert written.parent == folder.reports
    unset = msgspec.structs.replace(report, report_path=msgspec.UNSET, page_path=msgspec.UNSET)
    assert parse_report(written.read_bytes(), "r") == unset
    for ending in (".json", ".html", ".xml"):
        beside = written.with_suffix(ending)
        kept = registry.fetch_file(toy.version, f"gate/{beside.name}", tmp_path)
        assert kept.read_bytes() == beside.read_bytes()
    assert json.loads(written.read_bytes())["schema_version"] == 2
    assert report.page_path == str(written.with_suffix(".html"))
    assert report.lost is msgspec.UNSET


def test_what_cannot_be_drawn_is_told_and_costs_no_verdict(registry, gate, folder, name, monkeypatch):
    def broken(_: object) -> bytes:
        raise KeyError("colour")

    monkeypatch.setattr("validation.gate.run.to_html", broken)
    register(registry, GOOD, name=name)
    report = gate()
    assert report.verdict == "PASS"
    assert registry.resolve(f"models:/{name}@challenger").number == "1"
    written = Path(report.report_path)
    assert written.is_file()
    assert written.with_suffix(".xml").is_file()
    assert not written.with_suffix(".html").exists()
    assert report.page_path is msgspec.UNSET
    assert report.lost == f"{written.stem}.html: KeyError: 'colour'"
    assert b"colour" not in written.read_bytes()


def test_a_worse_candidate_that_meets_every_threshold_fails_by_mcnemar(registry, gate, name, tmp_path):
    champion = register(registry, GOOD, name=name)
    registry.set_alias(champion.version, "champion")
    worse = register(registry, WORSE, name=name)
    report = gate()
    assert (report.verdict, report.exit_code, report.champion.version) == ("FAIL", 1, "1")
    assert {check.name: check.status for check in report.checks if check.status != "PASS"} == {"mcnemar": "FAIL"}
    assert report.reasons[0].startswith("mcnemar: the candidate alone is right on")
    assert all(check.champion is not None for check in report.checks if check.name != "mcnemar")
    assert report.blessing is None
    assert not is_blessed(registry, worse.version, tmp_path)
    assert registry.find(f"models:/{name}@challenger") is None
    assert registry.resolve(f"models:/{name}/2").tags["gate_verdict"] == "FAIL"


def test_a_better_candidate_passes_against_the_champion_named_by_hand(registry, gate, name):
    register(registry, WORSE, name=name)
    register(registry, GOOD, name=name)
    report = gate(against=f"models:/{name}/1")
    assert report.verdict == "PASS"
    assert report.blessing.baseline == report.champion.digest
    assert next(check for check in report.checks if check.name == "mcnemar").details["difference"] > 0.05


def test_a_bad_model_fails(registry, gate, name):
    register(registry, BAD, name=name)
    assert gate().exit_code == 1


def test_a_model_that_answers_nan_is_an_error_with_a_report(registry, gate, name):
    register(registry, NAN, name=name)
    report = gate()
    assert (report.verdict, report.exit_code) == ("ERROR", 3)
    assert {check.status for check in report.checks if check.name != "mcnemar"} == {"ERROR"}
    assert registry.resolve(f"models:/{name}/1").tags["gate_verdict"] == "ERROR"


def test_few_rows_are_inconclusive_by_interval_and_not_blessed(registry, gate, name, tmp_path):
    policy = tmp_path / "strict.yaml"
    policy.write_text(NO_BOOTSTRAP + "bootstrap: true\n")
    register(registry, GOOD, name=name, n=25, seed=4)
    report = gate(policy=policy)
    assert (report.verdict, report.exit_code, report.blessing) == ("INCONCLUSIVE", 2, None)


def test_the_same_seed_gives_the_same_report_but_for_its_seconds_and_the_attempt(registry, gate, name):
    register(registry, GOOD, name=name)
    first, second = (msgspec.structs.replace(gate(), seconds=0.0) for _ in range(2))
    assert [one.judged_on.attempts for one in (first, second)] == [one.blessing.attempts for one in (first, second)]
    assert (first.judged_on.attempts, second.judged_on.attempts) == (1, 2)
    blessing = msgspec.structs.replace(second.blessing, attempts=1)
    assert first == msgspec.structs.replace(second, judged_on=first.judged_on, blessing=blessing)


def test_no_champion_is_refused_where_policy_does_not_allow_a_first_model(registry, gate, name, tmp_path):
    policy = tmp_path / "strict.yaml"
    policy.write_text(NO_BOOTSTRAP)
    register(registry, GOOD, name=name)
    with pytest.raises(BadInput, match="does not allow a first model; name a champion with --against"):
        gate(policy=policy)


def test_the_champion_is_not_compared_with_itself(registry, gate, name):
    toy = register(registry, GOOD, name=name)
    registry.set_alias(toy.version, "champion")
    with pytest.raises(Refused, match="are the same artifact, so there is nothing to compare"):
        gate(against=f"models:/{name}@champion")


def test_a_champion_that_was_named_and_is_not_there_is_no_first_model(registry, gate, name):
    register(registry, GOOD, name=name)
    with pytest.raises(NotFound, match="7"):
        gate(against=f"models:/{name}/7")


def test_a_champion_under_another_contract_is_refused(registry, gate, name):
    other = msgspec.structs.replace(CONTRACT, target="stays")
    table = columns(50, 1)
    table["stays"] = table.pop("leaves")
    register(registry, GOOD, name=name, contract=other, holdout=parquet(table))
    register(registry, GOOD, name=name)
    with pytest.raises(Refused, match="cannot be compared on the same rows"):
        gate(against=f"models:/{name}/1")


def test_a_contract_without_the_policys_protected_attribute_is_an_error(registry, gate, name):
    register(registry, GOOD, name=name, contract=msgspec.structs.replace(CONTRACT, protected=()))
    with pytest.raises(InvalidPolicy, match=r"names the protected attribute 'gender'; the contract .* none"):
        gate()
    report = gate(policy=POLICIES / "no-protected-attributes.yaml")
    assert report.verdict == "PASS"
    assert report.judged_on.attempts == 1  # what cannot be judged by costs no attempt on the holdout


@pytest.mark.parametrize("file", ["model.onnx", "contract.json", "reference.json", "training.json", "MANIFEST.json"])
def test_a_flipped_byte_in_the_registered_artifact_is_refused(registry, gate, name, file):
    toy = register(registry, GOOD, name=name)
    path = artifact_of(registry, toy) / file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ArtifactDamaged, match=file):
        gate()


def test_an_artifact_that_was_replaced_as_a_whole_is_refused(registry, gate, name):
    toy, other = register(registry, GOOD, name=name), register(registry, BAD, name=f"{name}-other")
    shutil.rmtree(artifact_of(registry, toy))
    shutil.copytree(artifact_of(registry, other), artifact_of(registry, toy))
    with pytest.raises(ArtifactDamaged, match=f"was registered as {toy.version.digest}"):
        gate()


def test_a_damaged_champion_is_refused_too(registry, gate, name):
    champion = register(registry, GOOD, name=name)
    register(registry, GOOD, name=name, seed=2)
    path = artifact_of(registry, champion) / "model.onnx"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ArtifactDamaged, match=r"model\.onnx"):
        gate(against=f"models:/{name}/1")


def test_a_holdout_other_than_the_recorded_one_is_refused(registry, gate, name):
    toy = register(registry, GOOD, name=name)
    path = artifact_of(registry, toy).parent / "data" / "holdout.parquet"
    path.write_bytes(parquet(columns(1409, 9)))
    with pytest.raises(ArtifactDamaged, match=r"holdout\.parquet is sha256:.* and training\.json names sha256:"):
        gate()


def test_a_run_without_a_holdout_is_refused(registry, gate, name):
    register(registry, GOOD, name=name, keep_holdout=False)
    with pytest.raises(NotFound, match=rf"the run of {name} version 1 has no data/holdout\.parquet"):
        gate()


@pytest.mark.parametrize("content", [b"", b"no parquet at all"])
def test_a_holdout_that_is_no_parquet_is_refused(registry, gate, name, content):
    register(registry, GOOD, name=name, holdout=content)
    with pytest.raises(ArtifactDamaged, match="is no Parquet file"):
        gate()


def test_a_holdout_outside_the_contract_is_refused(registry, gate, name):
    table = columns(50, 1)
    table["plan"][7] = "weekly"
    register(registry, GOOD, name=name, holdout=parquet(table))
    with pytest.raises(
        InvalidData, match="row 7, plan: 'weekly' is not allowed; it must be one of 'monthly', 'yearly'"
    ):
        gate()


def test_a_version_without_a_digest_cannot_be_verified_and_is_refused(registry, gate, name):
    toy = register(registry, GOOD, name=name)
    registry.client.delete_model_version_tag(name, "1", "digest")
    assert toy.version.digest
    with pytest.raises(Refused, match="has no digest in the registry"):
        gate()


@pytest.mark.parametrize(
    ("uri", "error"),
    [("models:/nobody/latest", NotFound), ("models:/nobody@candidate", NotFound), ("a/churn", BadInput)],
)
def test_a_candidate_that_is_not_there_is_refused(gate, uri, error):
    with pytest.raises(error, match="models:/"):
        gate(uri)


def test_a_policy_that_never_fails_blesses_nothing(registry, gate, name, tmp_path):
    toy = register(registry, GOOD, name=name)
    policy = tmp_path / "empty.yaml"
    policy.write_text(NO_BOOTSTRAP.partition("  - ")[0] + "  []\n")
    with pytest.raises(InvalidPolicy, match="or it never fails"):
        gate(policy=policy)
    assert not is_blessed(registry, toy.version, tmp_path)


def test_a_moment_without_a_time_zone_is_refused(gate):
    with pytest.raises(BadInput, match="time zone"):
        gate(now=datetime(2026, 3, 1))


def test_an_unreachable_tracking_server_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(Unavailable, match=r"http://127\.0\.0\.1:9 does not answer"):
        open_registry(Folder(tmp_path / "home"), "http://127.0.0.1:9")


def test_nothing_is_written_into_the_folder_when_the_gate_cannot_judge(registry, name, tmp_path):
    register(registry, GOOD, name=name, keep_holdout=False)
    with pytest.raises(GauntletError):
        run_gate(
            f"models:/{name}/latest",
            against=None,
            policy_path=POLICY,
            registry=registry,
            folder=Folder(tmp_path / "home"),
            now=NOW,
        )
    assert list(tmp_path.iterdir()) == []
    assert "gate_verdict" not in registry.resolve(f"models:/{name}/1").tags


def test_the_gate_scores_the_onnx_model_by_the_contracts_cut(registry, gate, name):
    contract = msgspec.structs.replace(CONTRACT, cut=0.9)
    toy = register(registry, GOOD, name=name, contract=contract)
    report = gate(policy=POLICIES / "no-protected-attributes.yaml")
    table = columns(1409, 1)
    assert toy.version.number == "1"
    logits = (
        -0.12 * np.array(table["tenure"])
        + 0.06 * np.array([value or 0.0 for value in table["charge"]])
        + np.where(np.array(table["plan"]) == "monthly", 2.0, -2.0)
    )
    by_hand = ((1 / (1 + np.exp(-logits)) >= 0.9) == (np.array(table["leaves"]) == "Yes")).mean()
    assert report.checks[0].value == pytest.approx(by_hand, abs=1e-12)
