"""The file by which a training tells the gate that comes after it what it made."""

import pytest
from click.testing import CliRunner

from validation.gate import commands


@pytest.fixture
def judged(monkeypatch):
    """What the gate was asked to judge."""
    asked = []

    def run(candidate, **_):
        asked.append(candidate)
        return 0

    monkeypatch.setattr(commands, "run_and_print_gate", run)
    return asked


def test_the_version_in_the_file_is_judged(judged, tmp_path):
    (tmp_path / "candidate").write_text("models:/churn/7\n")
    assert CliRunner().invoke(commands.gate, ["--candidate-file", str(tmp_path / "candidate")]).exit_code == 0
    assert judged == ["models:/churn/7"]


def test_a_named_candidate_wins_and_without_either_the_alias_says_who_it_is(judged, tmp_path):
    (tmp_path / "candidate").write_text("models:/churn/7\n")
    environment = {"GAUNTLET_CANDIDATE_FILE": str(tmp_path / "candidate")}
    CliRunner().invoke(commands.gate, ["models:/churn/3"], env=environment)
    CliRunner().invoke(commands.gate, [], env=environment)
    CliRunner().invoke(commands.gate, [])
    assert judged == ["models:/churn/3", "models:/churn/7", "models:/churn@candidate"]


def test_a_file_that_is_not_there_is_told_and_nothing_is_judged(judged, tmp_path):
    done = CliRunner().invoke(commands.gate, ["--candidate-file", str(tmp_path / "nobody")])
    assert "names no candidate, as it cannot be read" in str(done.exception)
    (tmp_path / "empty").write_text("\n")
    done = CliRunner().invoke(commands.gate, ["--candidate-file", str(tmp_path / "empty")])
    assert "names no candidate, as it is empty" in str(done.exception)
    (tmp_path / "other").write_text("root:x:0:0:root:/root:/bin/bash\n" * 100_000)
    done = CliRunner().invoke(commands.gate, ["--candidate-file", str(tmp_path / "other")])
    assert "names no candidate: it holds 'root:x:0:0:" in str(done.exception)
    assert len(str(done.exception)) < 200 + len(str(tmp_path))
    assert judged == []
