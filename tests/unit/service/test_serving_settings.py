"""Settings of scoring: from the environment, refused by name, each explained."""

import ast
import inspect
import socket
from itertools import pairwise

import pytest

from bentos.errors import InvalidSetting
from service import settings
from service.insight import settings as insight_settings
from service.insight.settings import InsightSettings, read_insight_settings
from service.settings import Settings, read_settings


def test_the_folder_gives_what_is_not_named(monkeypatch, tmp_path):
    monkeypatch.setenv("GAUNTLET_FOLDER", str(tmp_path))
    monkeypatch.setenv("GAUNTLET_SPOOL_FOLDER", str(tmp_path / "elsewhere"))
    found = read_settings()
    assert found.experiment_path == tmp_path / "experiment.yaml"
    assert found.spool_path == tmp_path / "elsewhere"


def test_with_nothing_named_roles_are_built_in_and_the_spool_is_in_bentomls_home(monkeypatch, tmp_path):
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path))
    found = read_settings()
    assert (found.experiment_path, found.spool_path) == (None, tmp_path / "gauntlet-spool")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"),
        ("PORT", "70000"),
        ("FOLDER", "relative"),
        ("JUDGE_URL", "localhost:3002"),
        ("WATCH_INTERVAL_SECONDS", "3"),
        ("WORKER", "../x"),
    ],
)
def test_what_is_not_allowed_is_refused_by_name(monkeypatch, name, value):
    monkeypatch.setenv(f"GAUNTLET_{name}", value)
    with pytest.raises(InvalidSetting, match=f"GAUNTLET_{name}"):
        read_settings()


@pytest.mark.parametrize(("module", "kind"), [(settings, Settings), (insight_settings, InsightSettings)])
def test_every_setting_says_what_it_is_under_its_line(module, kind):
    tree = ast.parse(inspect.getsource(module))
    (body,) = [node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == kind.__name__]
    explained = {
        one.target.id
        for one, after in pairwise(body)
        if isinstance(one, ast.AnnAssign) and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
    }
    assert explained == set(kind.model_fields)


def test_defaults_listen_on_loopback_alone():
    found = read_settings()
    assert (found.host, found.port, found.worker) == ("127.0.0.1", 3000, socket.gethostname())


@pytest.mark.parametrize(("name", "value"), [("INSIGHT_WORKERS", "0"), ("INSIGHT_PORT", "x"), ("BENTO", "relative")])
def test_what_insight_is_not_allowed_is_refused_by_name(monkeypatch, name, value):
    monkeypatch.setenv(f"GAUNTLET_{name}", value)
    with pytest.raises(InvalidSetting, match=f"GAUNTLET_{name}"):
        read_insight_settings()
