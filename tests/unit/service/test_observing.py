"""What `gauntlet observe` writes for Prometheus, and what it says where Prometheus is not."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from bentos.errors import InvalidSetting, NotFound
from bentos.folder import Folder
from gauntlet import cli
from service.observing import Watching, observe, prometheus_configuration, targets_of
from service.whereabouts import Whereabouts

BY = Watching(Path("/rules"), Path("/alertmanager.yaml"), "file:///runbooks")


def test_prometheus_gets_rules_targets_and_where_alerts_go() -> None:
    found = yaml.safe_load(prometheus_configuration(BY, Path("/targets.json"), "127.0.0.1:9093"))
    assert found["rule_files"] == ["/rules/*.yaml"]
    assert found["global"]["external_labels"] == {"runbooks": "file:///runbooks"}
    assert found["scrape_configs"] == [{"job_name": "gauntlet", "file_sd_configs": [{"files": ["/targets.json"]}]}]
    assert found["alerting"]["alertmanagers"] == [{"static_configs": [{"targets": ["127.0.0.1:9093"]}]}]
    assert "alerting" not in yaml.safe_load(prometheus_configuration(BY, Path("/targets.json"), None))


def test_targets_carry_the_labels_that_pods_have() -> None:
    at = "http://127.0.0.1"
    found = targets_of(Whereabouts(scoring=f"{at}:1", shipper=f"{at}:2", insight=f"{at}:3"))
    assert [(one["targets"], one["labels"]) for one in found] == [
        (["127.0.0.1:1"], {"app_kubernetes_io_component": "scoring", "container": "scoring"}),
        (["127.0.0.1:2"], {"app_kubernetes_io_component": "scoring", "container": "shipper"}),
        (["127.0.0.1:3"], {"app_kubernetes_io_component": "insight", "container": "insight"}),
    ]


@pytest.mark.parametrize("target", ["http://10.0.0.7:3001/metrics", "10.0.0.7", "a b:1", "::1:3001", 'x"\n:1'])
def test_a_target_that_is_none_is_named_with_what_is_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    monkeypatch.setattr("service.observing._find", lambda *names: names[0])
    with pytest.raises(InvalidSetting, match=r"--target is .*; it must be HOST:PORT"):
        observe(Folder(tmp_path / "nowhere"), BY, targets=["10.0.0.7:3001", "[::1]:3001", target])
    assert list(tmp_path.iterdir()) == []


def test_where_prometheus_is_not_installed_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotFound, match=r"prometheus is not on PATH.*apt-get install prometheus"):
        observe(Folder(tmp_path), BY)


def test_the_rules_that_the_command_names_are_there() -> None:
    assert "DIR/observing" in CliRunner().invoke(cli, ["observe", "--help"]).output
    import grafana

    place = Path(grafana.__file__).parent
    assert list((place / "rules").glob("*.yaml"))
    assert (place / "alertmanager.yaml").is_file()
