"""`gauntlet experiment` as it is typed, in a folder and with --on-cluster: what it writes, prints and refuses.

The registry and the cluster are kept in memory; the experiment file is a real one.
"""

from datetime import UTC, datetime

import msgspec
import pytest
from click.testing import CliRunner
from rollout_toys import FIRST, SHADOW, A, B, C, FakeInstallation

from bentos.errors import InvalidExperiment, InvalidSetting, NotBlessed, NotFound, Refused
from bentos.folder import Folder
from bentos.registry import Version
from bentos.revocations import Revocation, add_revocation
from bentos.roles import ROLES, BentoRoles, PackedModel, dump_roles
from gauntlet import cli
from service.scoring.experiment import parse_experiment, read_experiment, write_experiment

CHALLENGER = "models:/churn@challenger"


class Names:
    """A registry that knows whom names mean, and was asked for some."""

    def __init__(self):
        self.known, self.asked = {CHALLENGER: B, "models:/churn/3": C}, []

    def resolve(self, uri):
        self.asked.append(uri)
        digest = self.known[uri]
        return Version(name="churn", number="2" if digest == B else "3", digest=digest, run="r")


@pytest.fixture
def names(monkeypatch):
    found = Names()
    monkeypatch.setattr("bentos.registry.registry_of", lambda folder: found)
    return found


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An installation whose Bento carries a champion and a challenger."""
    for name in ("MLFLOW_TRACKING_URI", "GAUNTLET_NAMESPACE", "GAUNTLET_FOLDER", "GAUNTLET_EXPERIMENT_FILE"):
        monkeypatch.delenv(name, raising=False)
    found = Folder(tmp_path / "home")
    pack(found)
    return found


def pack(folder, **challenger):
    """Write who is in the Bento."""
    champion = PackedModel(name="churn", version="1", digest=A)
    other = PackedModel(name="churn", version="2", digest=B, blessing="sha256:blessing", **challenger)
    (folder.bento / "src").mkdir(parents=True, exist_ok=True)
    roles = BentoRoles(gauntlet="0.1.0", champion=champion, challengers=(other,))
    (folder.bento / "src" / ROLES).write_bytes(dump_roles(roles))


def revoke(folder):
    told = Revocation(
        blessing="sha256:blessing", artifact=B, model="churn version 2", at=datetime(2026, 2, 1, 8, 30, tzinfo=UTC),
        who="ann", reason="unfair to the old",
    )  # fmt: skip
    add_revocation(folder.revocations, told)


def typed(folder, *words):
    return CliRunner().invoke(cli, ["experiment", *words, "--folder", str(folder.path)])


@pytest.fixture
def begun(folder):
    """The same, with its experiment."""
    write_experiment(folder.experiment, FIRST)
    return folder


@pytest.fixture
def on_trial(folder):
    """The same, with the challenger in the shadow."""
    write_experiment(folder.experiment, SHADOW)
    return folder


def written(folder):
    return read_experiment(folder.experiment)


def test_a_new_experiment_is_the_packed_champion_alone(folder):
    done = typed(folder, "begin")
    assert done.exit_code == 0
    first = written(folder)
    assert (first.revision, first.mode, first.champion, first.challenger) == (1, "off", A, None)
    assert parse_experiment(done.stdout.encode()) == first
    assert typed(folder, "show").stdout == done.stdout


def test_an_experiment_is_never_reset(begun):
    done = typed(begun, "begin")
    assert isinstance(done.exception, Refused)
    assert str(done.exception) == f"{begun.experiment} is there already, and is never reset"
    assert written(begun) == FIRST


def test_without_a_bento_there_is_nobody_to_begin_with(tmp_path):
    done = typed(Folder(tmp_path), "begin")
    assert isinstance(done.exception, NotFound)
    assert "build a Bento with `gauntlet package`" in str(done.exception)


def test_the_registrys_challenger_is_put_in_the_shadow_and_the_file_is_printed_without_its_past(begun, names):
    done = typed(begun, "shadow")
    assert done.exit_code == 0
    assert names.asked == [CHALLENGER]
    after = written(begun)
    assert (after.revision, after.mode, after.champion, after.challenger) == (2, "shadow", A, B)
    assert after.salt != FIRST.salt
    assert "history" not in done.stdout
    assert parse_experiment(done.stdout.encode()).challenger == B


def test_who_is_not_in_the_bento_is_not_put_on_trial_as_nobody_would_be_enrolled(begun, names):
    done = typed(begun, "shadow", "models:/churn/3")
    assert isinstance(done.exception, Refused)
    assert "churn version 3 is not in the Bento, which carries version 1, 2" in str(done.exception)
    assert "run `gauntlet package --challenger models:/churn/3`" in str(done.exception)
    assert written(begun) == FIRST


def test_whose_blessing_was_revoked_is_not_put_on_trial(begun, names):
    revoke(begun)
    done = typed(begun, "shadow")
    assert isinstance(done.exception, NotBlessed)
    assert "must not be tried: its blessing was revoked by ann on 2026-02-01" in str(done.exception)
    assert written(begun) == FIRST


def test_a_share_of_customers_gets_the_challengers_answer(on_trial):
    done = typed(on_trial, "split", "25")
    assert done.exit_code == 0
    after = written(on_trial)
    assert (after.mode, after.split, after.salt) == ("split", 0.25, SHADOW.salt)


def test_who_is_blessed_for_the_shadow_alone_gets_no_share(on_trial):
    pack(on_trial, scope="shadow")
    done = typed(on_trial, "split", "25")
    assert isinstance(done.exception, NotBlessed)
    assert "churn version 2 must not be given a split: it is blessed for the shadow only" in str(done.exception)
    assert written(on_trial) == SHADOW


def test_whose_blessing_was_revoked_gets_no_share(on_trial):
    revoke(on_trial)
    done = typed(on_trial, "split", "25")
    assert isinstance(done.exception, NotBlessed)
    assert "its blessing was revoked by ann on 2026-02-01" in str(done.exception)
    assert written(on_trial) == SHADOW


def test_what_befell_a_packed_model_that_is_not_on_trial_hinders_nobody(folder):
    """A challenger of the Bento that was never put on trial, beside one that is."""
    pack(folder, scope="shadow")
    write_experiment(folder.experiment, msgspec.structs.replace(SHADOW, challenger=C))
    assert typed(folder, "split", "25").exit_code == 0


@pytest.mark.parametrize(
    ("percent", "allowed"),
    [("x", "from 0 to 100, such as 25"), ("101", "from 0 to 100"), ("0.25", "say 25 or 0.25%, as you mean")],
)
def test_a_percentage_that_is_none_is_a_wrong_argument_and_what_is_allowed_is_told(on_trial, percent, allowed):
    done = typed(on_trial, "split", percent)
    assert done.exit_code == 2
    assert allowed in " ".join(done.stderr.split())
    assert written(on_trial) == SHADOW


def test_shares_that_are_given_change_and_the_others_stay(on_trial):
    assert typed(on_trial, "shares", "--holdout", "5", "--no-treatment", "10%").exit_code == 0
    after = written(on_trial)
    assert (after.sample, after.holdout, after.no_treatment) == (1.0, 0.05, 0.1)
    assert typed(on_trial, "shares", "--holdout", "0", "--sample", "50").exit_code == 0
    after = written(on_trial)
    assert (after.sample, after.holdout, after.no_treatment) == (0.5, 0.0, 0.1)


def test_without_a_share_the_options_are_named(on_trial):
    done = typed(on_trial, "shares")
    assert isinstance(done.exception, InvalidSetting)
    assert "give --sample, --holdout or --no-treatment, each a percentage" in str(done.exception)
    assert written(on_trial) == SHADOW


@pytest.mark.parametrize(
    ("option", "percent", "says"),
    [("--sample", "0", "sample is 0; it must be above 0"), ("--holdout", "100", "holdout is 1; it must be in [0, 1)")],
)
def test_a_share_that_nothing_can_be_served_by_is_not_written(on_trial, option, percent, says):
    done = typed(on_trial, "shares", option, percent)
    assert isinstance(done.exception, InvalidExperiment)
    assert says in str(done.exception)
    assert written(on_trial) == SHADOW


def test_off_lets_the_champion_answer_alone_and_keeps_the_challengers_name(on_trial):
    assert typed(on_trial, "off").exit_code == 0
    after = written(on_trial)
    assert (after.mode, after.split, after.challenger) == ("off", 0.0, B)


@pytest.fixture
def cluster(monkeypatch):
    """Runs a subcommand with --on-cluster, where an installation in memory stands for the namespace shop."""

    def run(installation, folder, *words):
        def current(namespace):
            assert namespace == "shop"
            return installation

        monkeypatch.setattr("k8s.live.current_cluster", current)
        return typed(folder, *words, "--on-cluster", "--namespace", "shop")

    return run


def test_on_a_cluster_the_first_experiment_is_its_config_map(cluster, folder):
    installation = FakeInstallation(None)
    done = cluster(installation, folder, "begin")
    assert done.exit_code == 0
    assert (installation.experiment.champion, installation.experiment.mode) == (A, "off")
    assert cluster(installation, folder, "show").stdout == done.stdout
    again = cluster(installation, folder, "begin")
    assert isinstance(again.exception, Refused)
    assert not folder.experiment.exists()


def test_on_a_cluster_a_change_tells_how_many_pods_follow_it_and_how_kubectl_does_the_same(cluster, folder):
    installation = FakeInstallation(SHADOW)
    done = cluster(installation, folder, "split", "25")
    assert done.exit_code == 0
    assert (installation.experiment.mode, installation.experiment.split) == ("split", 0.25)
    assert parse_experiment(done.stdout.encode()).split == 0.25
    assert "history" not in done.stdout
    first, second, *_ = done.stderr.splitlines()
    assert first == "all 1 pods answer by revision 3; the same by hand:"
    assert second.startswith("  kubectl --namespace shop patch configmap gauntlet-experiment ")


def test_on_a_cluster_off_holds_at_once_and_everything_else_when_every_pod_has_read_it(cluster, folder):
    installation, before = FakeInstallation(SHADOW), datetime.now(UTC)
    cluster(installation, folder, "shares", "--holdout", "5")
    assert (installation.experiment.effective_from - before).total_seconds() >= 30
    cluster(installation, folder, "off")
    assert installation.experiment.effective_from <= datetime.now(UTC)


def test_on_a_cluster_a_digest_needs_no_registry_and_a_name_is_asked_of_it(cluster, folder, names, monkeypatch):
    installation = FakeInstallation()
    assert cluster(installation, folder, "shadow", B).exit_code == 0
    assert (installation.experiment.challenger, names.asked) == (B, [])
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    installation = FakeInstallation()
    assert cluster(installation, folder, "shadow", "models:/churn/3").exit_code == 0
    assert (installation.experiment.challenger, names.asked) == (C, ["models:/churn/3"])


def test_on_a_cluster_a_name_needs_a_tracking_server(cluster, tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = Folder(tmp_path / "home")
    done = cluster(FakeInstallation(), folder, "shadow", CHALLENGER)
    assert isinstance(done.exception, InvalidSetting)
    assert "MLFLOW_TRACKING_URI is not set" in str(done.exception)
    assert "kubectl --namespace shop port-forward service/gauntlet-mlflow 5000" in str(done.exception)
    assert not folder.path.exists()
