"""`gauntlet train`: where its candidate's name is written for the gate that comes after it."""

import pytest
from click.testing import CliRunner

from bentos.errors import InvalidSetting, Unavailable
from bentos.registry import Version
from training import commands
from training.train import Trained

VERSION = Version(name="churn", number="7", digest="sha256:" + "a" * 64, run="r")
TRAINED = Trained(
    version=VERSION, digest=VERSION.digest, estimator="e", metrics={}, deviations={}, folds=5, parity=0.0, rows=8,
    holdout_rows=2, holdout_seen=0, data="sha256:d", source="s", is_synthetic=True, seconds=1.0,
)  # fmt: skip


@pytest.fixture
def typed(monkeypatch, tmp_path):
    """Runs the command with a training that does nothing but what it is told to; gives what came out and its calls."""
    monkeypatch.delenv("GAUNTLET_CANDIDATE_FILE", raising=False)
    trainings = []

    def run(*words, meanwhile=lambda: None, **environment):
        def train(*_, **__):
            trainings.append(words)
            meanwhile()
            return TRAINED

        monkeypatch.setattr("training.train.train", train)
        monkeypatch.setattr("bentos.registry.registry_of", lambda _: None)
        words = ["--json", "--folder", str(tmp_path / "home"), *words]
        return CliRunner().invoke(commands.train, words, env=environment), trainings

    return run


def test_the_version_is_written_for_the_gate(typed, tmp_path):
    done, _ = typed("--candidate-file", str(tmp_path / "made" / "candidate"))
    assert done.exit_code == 0
    assert (tmp_path / "made" / "candidate").read_text() == "models:/churn/7\n"


def test_a_candidate_file_that_cannot_be_written_is_told_before_anything_is_trained(typed, tmp_path):
    (tmp_path / "file").write_text("")
    away = str(tmp_path / "file" / "candidate")
    for done, trainings in (typed("--candidate-file", away), typed(GAUNTLET_CANDIDATE_FILE=away)):
        assert isinstance(done.exception, InvalidSetting)
        assert (
            str(done.exception)
            == f"--candidate-file: {tmp_path / 'file'} cannot be made: {tmp_path / 'file'} is a file"
        )
        assert trainings == []


def test_where_it_can_no_longer_be_written_the_version_that_was_registered_is_named(typed, tmp_path):
    file = tmp_path / "candidate"
    done, trainings = typed("--candidate-file", str(file), meanwhile=file.mkdir)
    assert isinstance(done.exception, Unavailable)
    assert "--candidate-file: " in str(done.exception)
    assert str(done.exception).endswith("models:/churn/7 is registered")
    assert len(trainings) == 1
