"""What MLFLOW_TRACKING_URI may name."""

import pytest

from bentos.errors import InvalidSetting
from bentos.folder import Folder
from bentos.registry import registry_of
from bentos.tracking_uri import tracking_uri_of


@pytest.mark.parametrize(
    ("uri", "taken"),
    [
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("https://mlflow.example/path", "https://mlflow.example/path"),
        ("sqlite:////var/lib/mlflow.db", "sqlite:////var/lib/mlflow.db"),
        ("postgresql+psycopg://u@db/mlflow", "postgresql+psycopg://u@db/mlflow"),
        ("postgresql://u@db/mlflow", "postgresql+psycopg://u@db/mlflow"),
        ("", None),
    ],
)
def test_servers_and_databases_are_taken_and_nothing_named_is_none(uri, taken):
    assert tracking_uri_of({"MLFLOW_TRACKING_URI": uri}) == taken
    assert tracking_uri_of({}) is None


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("foo", "'foo'"),
        ("mlflow.example:5000", "'mlflow.example:5000'"),
        ("./mlruns", "'./mlruns'"),
        ("file:///tmp/mlruns", "file://..."),
        ("ftp://u:s3cret@host", "ftp://..."),
        ("mysql://u:s3cret@host/mlflow", "mysql://..."),
        ("http://", "http://..."),
        ("http://[host", "http://..."),
        ("http://host:port", "http://..."),
        ("sqlite://", "sqlite://..."),
        ("sqlite:///", "sqlite://..."),
    ],
)
def test_what_can_be_no_tracking_server_is_told_with_the_setting_and_what_is_allowed(tmp_path, monkeypatch, uri, told):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(InvalidSetting) as refused:
        registry_of(Folder(tmp_path))
    assert str(refused.value).startswith(f"MLFLOW_TRACKING_URI is {told}; it must be https://HOST, http://HOST:PORT, ")
    assert "s3cret" not in str(refused.value)
