"""Prometheus takes the committed rules, and they do what their tests say; each alert can be acted on."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

GRAFANA = Path(__file__).parents[3] / "grafana"
RULES = sorted((GRAFANA / "rules").glob("*.yaml"))
TESTS = sorted((GRAFANA / "rules" / "tests").glob("*.yaml"))
PROMTOOL = shutil.which("promtool")
SECTIONS = ("Meaning", "Impact", "Diagnosis", "Mitigation")

needs_promtool = pytest.mark.skipif(
    PROMTOOL is None, reason="promtool, which checks Prometheus's rules, is not on PATH"
)


def alerts() -> list[dict[str, Any]]:
    groups = [group for path in RULES for group in yaml.safe_load(path.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


@pytest.mark.servers
@needs_promtool
@pytest.mark.parametrize("path", RULES, ids=lambda path: path.name)
def test_promtool_takes_the_rules(path: Path) -> None:
    done = subprocess.run([str(PROMTOOL), "check", "rules", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.servers
@needs_promtool
@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.name)
def test_the_rules_do_what_their_tests_say(path: Path) -> None:
    done = subprocess.run([str(PROMTOOL), "test", "rules", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_shown_to_fire_and_to_be_silent() -> None:
    asked = [one for path in TESTS for test in yaml.safe_load(path.read_text())["tests"] for one in alerts_in(test)]
    for name in {alert["alert"] for alert in alerts()}:
        told = [bool(one["exp_alerts"]) for one in asked if one["alertname"] == name]
        assert True in told, f"no test shows {name} to fire"
        assert False in told, f"no test shows {name} to be silent"


def alerts_in(test: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = test.get("alert_rule_test", [])
    return found


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: f"{alert['alert']} {alert['labels'].get('window', '')}")
def test_every_alert_says_what_it_means_and_what_to_do(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in ("critical", "warning", "info")
    assert alert["for"]
    notes = alert["annotations"]
    assert notes["summary"].endswith(".")
    assert "{{" not in notes["summary"]
    assert len(notes["description"]) > len(notes["summary"])
    page = GRAFANA / "runbooks" / f"{alert['alert']}.md"
    assert notes["runbook_url"].endswith(f"/{page.name}")
    assert tuple(re.findall(r"^## (\w+)$", page.read_text(), re.M)) == SECTIONS
