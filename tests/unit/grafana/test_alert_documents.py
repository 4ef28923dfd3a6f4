"""Every alert says what to do: its text, its runbook with commands that exist, and tests of silence and of firing."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

import gauntlet
from service.settings import Settings

GRAFANA = Path(__file__).parents[3] / "grafana"
RULES = sorted((GRAFANA / "rules").glob("*.yaml"))
TESTS = sorted((GRAFANA / "rules" / "tests").glob("*.yaml"))
HEADINGS = ["Meaning", "Impact", "Diagnosis", "Mitigation"]
README = (GRAFANA.parent / "README.md").read_text()


def alerts() -> Iterator[dict[str, Any]]:
    for path in RULES:
        for group in yaml.safe_load(path.read_text())["groups"]:
            yield from (rule for rule in group["rules"] if "alert" in rule)


NAMES = sorted({rule["alert"] for rule in alerts()})
every_alert = pytest.mark.parametrize("name", NAMES)


def runbook(name: str) -> str:
    return (GRAFANA / "runbooks" / f"{name}.md").read_text()


@pytest.mark.parametrize("rule", list(alerts()), ids=lambda rule: rule["alert"])
def test_an_alert_says_whom_it_calls_what_is_wrong_and_where_to_read_on(rule: dict[str, Any]) -> None:
    said = rule["annotations"]
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert re.fullmatch(r"\d+[smhd]", rule["for"])
    assert "{{" not in said["summary"]
    assert len(said["description"]) > 60
    assert said["runbook_url"].endswith(f"/{rule['alert']}.md")
    assert "namespace" in rule["expr"] or rule["alert"] in {"GauntletPodDown"} or "gauntlet:" in rule["expr"]


@every_alert
def test_a_runbook_has_its_four_headings_each_with_text(name: str) -> None:
    title, *parts = re.split(r"^## ", runbook(name), flags=re.M)
    assert title.strip() == f"# {name}"
    assert [part.partition("\n")[0] for part in parts] == HEADINGS
    assert all(part.partition("\n")[2].strip() for part in parts)
    assert "```bash" in parts[2]


def test_every_runbook_is_of_an_alert() -> None:
    assert {path.stem for path in (GRAFANA / "runbooks").glob("*.md")} == set(NAMES)


def commands(text: str) -> Iterator[list[str]]:
    """What is typed at `gauntlet`, in blocks and between backticks."""
    blocks = "\n".join(re.findall(r"```bash\n(.*?)```", text, re.S))
    inline = re.findall(r"`(gauntlet [^`]*)`", re.sub(r"```bash.*?```", "", text, flags=re.S))
    for line in [*blocks.splitlines(), *inline]:
        if line.startswith("gauntlet "):
            yield shlex.split(line.partition("|")[0])[1:]


@every_alert
def test_every_command_of_a_runbook_exists_with_its_options(name: str) -> None:
    for words in commands(runbook(name)):
        command: click.Command = gauntlet.cli
        while words and isinstance(command, click.Group):
            assert words[0] in command.commands, f"gauntlet {words[0]}"
            command = command.commands[words.pop(0)]
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, f"{command.name} {words}"


@every_alert
def test_every_setting_that_a_runbook_names_exists(name: str) -> None:
    named = set(re.findall(r"\bGAUNTLET_(\w+)", runbook(name)))
    known = {field.upper() for field in Settings.model_fields} | set(re.findall(r"`GAUNTLET_(\w+)`", README))
    assert named <= known


@every_alert
def test_other_alerts_that_a_runbook_names_exist(name: str) -> None:
    assert set(re.findall(r"\bGauntlet[A-Z]\w+", runbook(name))) <= set(NAMES)


@every_alert
def test_promtool_looks_at_its_silence_and_at_its_firing(name: str) -> None:
    checks = [
        check
        for path in TESTS
        for test in yaml.safe_load(path.read_text())["tests"]
        for check in test.get("alert_rule_test", [])
        if check["alertname"] == name
    ]
    assert any(check.get("exp_alerts") for check in checks), "nothing shows that it fires"
    assert any(not check.get("exp_alerts") for check in checks), "nothing shows that it is silent"
