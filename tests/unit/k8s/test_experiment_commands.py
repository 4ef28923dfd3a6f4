"""`gauntlet experiment --on-cluster`, where it says what is wrong before a cluster is asked."""

from click.testing import CliRunner

from bentos.errors import InvalidSetting
from gauntlet import cli


def test_a_models_name_needs_a_tracking_server_and_a_digest_does_not(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    command = ["experiment", "shadow", "models:/churn@challenger", "--on-cluster", "--folder", str(tmp_path / "home")]
    done = CliRunner().invoke(cli, command)
    assert isinstance(done.exception, InvalidSetting)
    assert "MLFLOW_TRACKING_URI is not set" in str(done.exception)
    assert "port-forward service/gauntlet-mlflow 5000" in str(done.exception)
    assert not (tmp_path / "home").exists()
