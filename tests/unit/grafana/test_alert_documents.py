"""Every alert has a runbook that can be followed: its commands, settings and other alerts exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import gauntlet
from service.settings import Settings

GRAFANA = Path(__file__).parents[3] / "grafana"
RULES = sorted((GRAFANA / "rules").glob("*.yaml"))
HEADINGS = ["Meaning", "Impact", "Diagnosis", "Mitigation"]
README = (GRAFANA.parent / "README.md").read_text()


NAMES = sorted({name for path in RULES for name in re.findall(r"- alert: (\w+)", path.read_text())})
every_alert = pytest.mark.parametrize("name", NAMES)


def runbook(name: str) -> str:
    return (GRAFANA / "runbooks" / f"{name}.md").read_text()


@every_alert
def test_a_runbook_has_its_four_headings_each_with_text_and_something_to_type(name: str) -> None:
    title, *parts = re.split(r"^## ", runbook(name), flags=re.M)
    assert title.startswith(f"# {name}\n")
    assert [part.partition("\n")[0] for part in parts] == HEADINGS
    assert all(part.partition("\n")[2].strip() for part in parts)
    assert "`" in parts[2]


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
