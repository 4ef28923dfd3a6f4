"""A blessing's life on a real MLflow registry: given, chained, counted, signed, verified, renewed, revoked."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa
from gate_toys import BAD, GOOD, WORSE, register
from serving_toys import make_bento

import gauntlet
from bentos.artifact import add_blessing, blessing_id, make_keys, read_blessing, read_public_keys
from bentos.blessings import chain_of
from bentos.errors import InvalidSetting, NotBlessed, Refused
from bentos.folder import Folder
from bentos.registry import open_registry
from bentos.revocations import Revocation, add_revocation, read_revocations, trust_of
from bentos.roles import ROLES, BentoRoles, dump_roles, read_roles
from service.scoring.experiment import first_experiment, start_shadow, write_experiment
from service.store import store_of, tables
from validation.blessing import blessing_of, verify
from validation.gate import run
from validation.gate.defaults import POLICY
from validation.gate.run import run_gate
from validation.judge.blessed import check_blessed

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
STRICT = """
name: strict
description: nobody passes
seed: 1
valid_days: 7
bootstrap: true
rules:
  - {kind: performance, metric: accuracy, at_least: 0.999, judge_by: point}
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("blessing-life") / "home"


@pytest.fixture(scope="module")
def registry(home):
    return open_registry(Folder(home))


@pytest.fixture
def folder(tmp_path):
    """The registry is shared by all tests, what lies beside it is not."""
    return Folder(tmp_path / "home")


@pytest.fixture
def name(request) -> str:
    return request.node.name.replace("[", "-").replace("]", "")[:60]


@pytest.fixture
def gate(registry, folder, name):
    def run(which="latest", *, policy=POLICY, now=NOW, against=None):
        uri = f"models:/{name}@{which}" if which.isalpha() and which != "latest" else f"models:/{name}/{which}"
        return run_gate(uri, against=against, policy_path=policy, registry=registry, folder=folder, now=now)

    return run


@pytest.fixture
def command(home, folder, monkeypatch, capsys):
    """The command line, in this process, on the module's registry."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{home / 'mlflow.db'}")

    def run(*arguments) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["gauntlet", *arguments])
        with pytest.raises(SystemExit) as ended:
            gauntlet.main()
        printed = capsys.readouterr()
        return int(ended.value.code), printed.out, printed.err

    return run


@pytest.fixture
def champion(registry, name, gate):
    """A first champion, as `promote --bootstrap` leaves it."""
    version = register(registry, WORSE, name=name).version
    report = gate()
    registry.set_alias(version, "champion")
    registry.drop_alias(name, "challenger")
    return report


def find(registry, uri):
    return registry.resolve(uri)


def test_a_challengers_blessing_is_chained_to_the_champions_and_counts_the_attempts(
    registry, folder, gate, name, champion
):
    register(registry, GOOD, name=name)
    first, again = gate(now=NOW + DAY).blessing, gate(now=NOW + 2 * DAY).blessing
    assert (champion.blessing.attempts, champion.blessing.previous, champion.blessing.baseline) == (1, None, None)
    assert (first.attempts, again.attempts) == (2, 3)
    assert first.previous == again.previous == blessing_id(champion.blessing)
    version = registry.resolve(f"models:/{name}@challenger")
    assert version.tags["blessing"] == blessing_id(again)
    assert blessing_of(registry, version) == again
    assert [link.blessing for link in chain_of(registry, name, again)] == [again, champion.blessing]


def test_a_run_that_is_broken_off_is_counted_too(registry, gate, name, monkeypatch):
    register(registry, GOOD, name=name)
    with monkeypatch.context() as patched:
        patched.setattr("validation.gate.run.run_checks", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            gate()
    assert gate().blessing.attempts == 2


def test_the_champion_is_judged_anew_by_itself_and_challengers_of_either_blessing_are_chained(
    registry, folder, gate, name, champion
):
    register(registry, GOOD, name=name)
    before = gate(now=NOW + DAY).blessing
    report = gate("champion", now=NOW + 89 * DAY)
    assert (report.verdict, report.champion, report.is_renewal) == ("PASS", None, True)
    relative = [check for check in report.checks if check.name == "mcnemar"]
    assert [(check.status, check.reason) for check in relative] == [
        ("NOT_APPLICABLE", "not applicable: this is the champion itself")
    ]
    renewed = report.blessing
    assert renewed.baseline == renewed.artifact == champion.candidate.digest
    assert renewed.previous == blessing_id(champion.blessing)
    assert renewed.expires_at == NOW + 89 * DAY + 90 * DAY
    version = registry.resolve(f"models:/{name}@champion")
    assert version.aliases == ("champion",)
    assert [link.blessing for link in chain_of(registry, name, before)] == [before, champion.blessing]
    after = gate("2", now=NOW + 90 * DAY).blessing
    assert [link.blessing for link in chain_of(registry, name, after)] == [after, renewed, champion.blessing]


def test_a_champion_of_before_chains_is_renewed_and_its_challengers_stay_chained(registry, gate, name, champion):
    version = registry.resolve(f"models:/{name}@champion")
    old = msgspec.structs.replace(champion.blessing, schema_version=1, holdout=None, attempts=None)
    run = registry.client.get_run(version.run)
    artifact = Path(run.info.artifact_uri.removeprefix("file://"))
    add_blessing(artifact / "artifact", old)
    for kept in (artifact / "blessings").iterdir():
        kept.unlink()
    register(registry, GOOD, name=name)
    challenger = gate(now=NOW + DAY).blessing
    assert challenger.previous == blessing_id(old)
    gate("champion", now=NOW + 2 * DAY)
    assert [link.blessing for link in chain_of(registry, name, challenger)] == [challenger, old]


def test_a_later_fail_revokes_the_blessing_and_takes_the_alias_away(registry, folder, gate, name, tmp_path):
    register(registry, GOOD, name=name)
    given = gate().blessing
    policy = tmp_path / "strict.yaml"
    policy.write_text(STRICT)
    assert gate(policy=policy, now=NOW + DAY).verdict == "FAIL"
    assert registry.find(f"models:/{name}@challenger") is None
    (revocation,) = read_revocations(folder.revocations)
    assert (revocation.blessing, revocation.who) == (blessing_id(given), "gate")
    assert revocation.reason.startswith("it fails the policy strict: accuracy")
    version = registry.resolve(f"models:/{name}/1")
    assert json.loads(version.tags["blessing_revoked"])["blessing"] == blessing_id(given)
    gate(policy=policy, now=NOW + 2 * DAY)
    assert read_revocations(folder.revocations) == (revocation,)
    again = gate(now=NOW + 3 * DAY)
    assert again.verdict == "PASS"
    assert verify(registry, registry.resolve(f"models:/{name}/1"), now=NOW + 4 * DAY, trust=trust(folder)).holds


@pytest.mark.parametrize("ends_last", ["PASS", "FAIL"])
def test_of_two_gates_at_once_that_disagree_nothing_blessed_is_left(
    registry, folder, gate, name, tmp_path, monkeypatch, ends_last
):
    """Whichever ends last: each looks at what the registry says when it ends."""
    register(registry, GOOD, name=name)
    strict = tmp_path / "strict.yaml"
    strict.write_text(STRICT)
    real, begun = run.run_checks, []

    def meanwhile(*arguments, **options):
        if not begun:
            begun.append(1)
            assert (gate(policy=strict) if ends_last == "PASS" else gate()).verdict != ends_last
        return real(*arguments, **options)

    monkeypatch.setattr(run, "run_checks", meanwhile)
    if ends_last == "PASS":
        with pytest.raises(Refused, match=r"is not blessed: another gate of it failed at .*, while this one"):
            gate()
    else:
        assert gate(policy=strict).verdict == "FAIL"
    assert registry.find(f"models:/{name}@challenger") is None
    version = registry.resolve(f"models:/{name}/1")
    assert not verify(registry, version, now=NOW + DAY, trust=trust(folder)).holds
    assert version.tags["gate_verdict"] == "FAIL"


def test_reports_of_two_gates_in_one_second_are_both_kept(registry, folder, gate, name):
    register(registry, GOOD, name=name)
    for microsecond in (1, 2):
        gate(now=NOW.replace(microsecond=microsecond))
    assert len(list(folder.reports.glob("*.json"))) == 2


def test_a_fail_of_a_model_that_was_never_blessed_revokes_nothing(registry, folder, gate, name):
    register(registry, BAD, name=name)
    assert gate().verdict == "FAIL"
    assert not folder.revocations.exists()


def trust(folder, **environment):
    return trust_of(folder, environment)


def test_a_gate_with_a_key_signs_and_one_with_a_bad_key_does_not_judge(
    registry, folder, gate, name, tmp_path, monkeypatch
):
    make_keys(tmp_path / "key")
    register(registry, GOOD, name=name)
    monkeypatch.setenv("GAUNTLET_BLESSING_KEY_FILE", str(tmp_path / "key"))
    blessing = gate().blessing
    assert read_public_keys(tmp_path / "key.pub").is_signed(blessing)
    monkeypatch.setenv("GAUNTLET_BLESSING_KEY_FILE", str(tmp_path / "key.pub"))
    with pytest.raises(InvalidSetting, match="holds a public key"):
        gate()
    assert registry.resolve(f"models:/{name}/1").tags["gate_attempts"] == "1"


def findings(registry, folder, uri, **options):
    found = verify(registry, registry.resolve(uri), now=NOW + DAY, trust=trust(folder), **options)
    return {finding.test: finding.says for finding in found.findings if not finding.holds}


def test_every_test_of_a_good_blessing_passes_and_says_what_it_saw(registry, folder, gate, name, champion):
    register(registry, GOOD, name=name)
    gate(now=NOW + DAY)
    found = verify(registry, registry.resolve(f"models:/{name}@challenger"), now=NOW + 2 * DAY, trust=trust(folder))
    assert found.holds
    says = {finding.test: finding.says for finding in found.findings}
    assert list(says) == [
        "bytes", "record", "verdict", "signature", "revocation", "expiry", "scope", "data", "chain", "baseline",
    ]  # fmt: skip
    assert says["chain"] == f"2 blessings, from {name} version 2 back to {name} version 1, the first champion"
    assert says["baseline"] == f"it was compared with {name} version 1, which reigns"


def test_a_record_that_was_changed_in_the_registry_is_found_out_without_a_key(registry, folder, gate, name):
    toy = register(registry, GOOD, name=name)
    gate()
    artifact = Path(registry.client.get_run(toy.version.run).info.artifact_uri.removeprefix("file://")) / "artifact"
    add_blessing(artifact, msgspec.structs.replace(read_blessing(artifact), expires_at=NOW + 3650 * DAY))
    problems = findings(registry, folder, f"models:/{name}/1")
    assert list(problems) == ["record"]
    assert "was changed after it was given" in problems["record"]
    add_blessing(artifact, msgspec.structs.replace(read_blessing(artifact), data="sha256:other", holdout="sha256:o"))
    assert list(findings(registry, folder, f"models:/{name}/1")) == ["record", "data"]


def test_damaged_bytes_are_one_of_the_tests(registry, folder, gate, name):
    toy = register(registry, GOOD, name=name)
    gate()
    artifact = Path(registry.client.get_run(toy.version.run).info.artifact_uri.removeprefix("file://")) / "artifact"
    (artifact / "model.onnx").write_bytes(b"x")
    problems = findings(registry, folder, f"models:/{name}/1")
    assert list(problems) == ["bytes"]
    assert "model.onnx" in problems["bytes"]


def test_another_policy_and_a_scope_that_is_too_small_are_named(registry, folder, gate, name):
    register(registry, GOOD, name=name)
    gate()
    problems = findings(registry, folder, f"models:/{name}/1", policy=("mine.yaml", "sha256:mine"), scope="split")
    assert list(problems) == ["policy"]
    assert problems["policy"].endswith("and mine.yaml is sha256:mine")


def test_show_and_verify_and_revoke_at_the_command_line(
    registry, folder, gate, name, command, champion, monkeypatch, tmp_path
):
    register(registry, GOOD, name=name)
    gate(now=datetime.now(UTC) - DAY)
    model, where = f"models:/{name}@challenger", ("--folder", str(folder.path))
    code, out, _ = command("blessing", "show", model, *where)
    assert code == 0
    assert "attempts   2 on this holdout, this one included" in out
    assert f"against    {champion.candidate.digest}" in out
    code, out, _ = command("blessing", "verify", model, "--policy", str(POLICY), *where)
    assert (code, out.splitlines()[-1]) == (0, f"{name} version 2: the blessing holds")
    monkeypatch.setenv("GAUNTLET_WHO", "ann")
    code, out, err = command("blessing", "revoke", model, "--reason", "unfair to the old", *where)
    assert (code, err) == (0, "")
    assert "is revoked (ann: unfair to the old)" in out
    assert "it is challenger no more" in out
    assert registry.find(model) is None
    code, out, _ = command("blessing", "verify", f"models:/{name}/2", *where)
    assert code == 1
    assert "WRONG  revocation" in out
    assert f"{name} version 2: the blessing does not hold: 1 of 10 tests" in out
    elsewhere = Folder(tmp_path / "elsewhere")
    code, out, _ = command("blessing", "verify", f"models:/{name}/2", "--folder", str(elsewhere.path))
    assert (code, "WRONG  revocation" in out) == (1, True)  # the registry says so where no list does
    with store_of(folder).reading() as connection:
        (row,) = connection.execute(sa.select(tables.upkeep)).mappings()
    assert (row["action"], row["who"], row["subject"]) == ("revoke", "ann", f"{name} version 2")
    assert json.loads(row["content"])["reason"] == "unfair to the old"


def test_a_revocation_does_not_wait_for_the_store(registry, folder, gate, name, command, monkeypatch):
    register(registry, GOOD, name=name)
    gate()
    monkeypatch.setenv("GAUNTLET_STORE_URL", "postgresql://nobody@127.0.0.1:9/none")
    where = ("--folder", str(folder.path))
    code, _, err = command("blessing", "revoke", f"models:/{name}/1", "--reason", "unfair", *where)
    assert code == 2
    assert "is revoked, in" in err
    assert "the same command again writes it" in err
    assert len(read_revocations(folder.revocations)) == 1


def test_json_at_the_command_line(registry, folder, gate, name, command):
    register(registry, GOOD, name=name)
    gate()
    where = ("--folder", str(folder.path), "--json")
    _, out, _ = command("blessing", "show", f"models:/{name}/1", *where)
    assert json.loads(out)["blessing"]["verdict"] == "PASS"
    code, out, _ = command("blessing", "verify", f"models:/{name}/1", *where)
    assert [finding["test"] for finding in json.loads(out)["findings"] if not finding["holds"]] in ([], ["expiry"])
    assert code in (0, 1)


def test_a_key_pair_at_the_command_line(command, tmp_path):
    code, out, _ = command("blessing", "key", str(tmp_path / "gate.pem"))
    assert code == 0
    (fingerprint,) = read_public_keys(tmp_path / "gate.pem.pub").fingerprints
    assert fingerprint in out
    code, _, err = command("blessing", "key", str(tmp_path / "gate.pem"))
    assert (code, "is there already; a key is not overwritten" in err) == (2, True)


def test_what_was_never_blessed_is_neither_shown_nor_revoked(registry, folder, name, command):
    register(registry, GOOD, name=name)
    for arguments in (("show",), ("verify",), ("revoke", "--reason", "x")):
        verb, *rest = arguments
        code, _, err = command("blessing", verb, f"models:/{name}/1", *rest, "--folder", str(folder.path))
        assert code == 2
        assert "passed no gate; run `gauntlet gate` on it" in err


@pytest.fixture
def on_trial(folder, tmp_path):
    """A folder whose Bento carries a challenger of some scope and blessing, in the shadow."""

    def make(**changes):
        digests = make_bento(folder.bento, [0.3, 0.7])
        path = folder.bento / "src" / ROLES
        roles = read_roles(path)
        challenger = msgspec.structs.replace(roles.challengers[0], **changes)
        path.write_bytes(dump_roles(BentoRoles(gauntlet="1", champion=roles.champion, challengers=(challenger,))))
        now = datetime.now(UTC)
        experiment = start_shadow(
            first_experiment(digests[0], now=now), digests[1], now=now, salt="s", lead=timedelta(0)
        )
        write_experiment(folder.experiment, experiment)
        return folder

    return make


def test_a_split_is_refused_at_the_command_line_where_the_blessing_reaches_the_shadow_only(on_trial, command):
    folder = on_trial(scope="shadow")
    before = folder.experiment.read_bytes()
    code, _, err = command("experiment", "split", "25", "--folder", str(folder.path))
    assert code == 2
    assert "toy version 2 must not be given a split: it is blessed for the shadow only" in err
    assert folder.experiment.read_bytes() == before


def test_a_split_is_refused_at_the_command_line_where_the_blessing_was_revoked(on_trial, command):
    folder = on_trial(blessing="sha256:" + "4" * 64)
    assert command("experiment", "split", "25", "--folder", str(folder.path))[0] == 0
    revocation = Revocation(
        blessing="sha256:" + "4" * 64, artifact="sha256:a", model="toy", at=NOW, who="ann", reason="unfair"
    )
    add_revocation(folder.revocations, revocation)
    code, _, err = command("experiment", "split", "50", "--folder", str(folder.path))
    assert code == 2
    assert "its blessing was revoked by ann" in err


def test_an_unreadable_list_of_revocations_lets_nobody_through(on_trial, command):
    folder = on_trial()
    folder.revocations.write_text("{")
    code, _, err = command("experiment", "split", "25", "--folder", str(folder.path))
    assert code == 2
    assert "revocations.json cannot be read" in err


def test_the_blessing_of_another_model_is_no_blessing(registry, folder, gate, name):
    one, two = register(registry, GOOD, name=name).version, register(registry, WORSE, name=name).version
    gate("1")
    theirs = registry.fetch(one, folder.path / "one").folder
    (folder.path / "blessing.json").write_bytes((theirs / "blessing.json").read_bytes())
    registry.bless(two, folder.path / "blessing.json")
    found = findings(registry, folder, f"models:/{name}/2")
    assert f"the blessing is for {one.digest}, not for {two.digest}" in found["bytes"]
    with pytest.raises(NotBlessed):
        check_blessed(registry, registry.resolve(f"models:/{name}/2"), now=NOW, trust=trust(folder), champion=None)
