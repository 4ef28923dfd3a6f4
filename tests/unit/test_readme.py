"""The README says what is there: its metrics, settings, routes and commands are compared with the code."""

import re
from pathlib import Path

import gauntlet
from service.console.settings import ConsoleSettings
from service.insight.settings import InsightSettings
from service.metric_names import HELP, INSIGHT_HELP, JUDGE_HELP, SHIPPER_HELP
from service.settings import Settings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def commands_in(group, before=""):
    for name, command in group.commands.items():
        yield f"{before}{name}", command
        if hasattr(command, "commands"):
            yield from commands_in(command, f"{before}{name} ")


def test_every_metric_is_listed_with_its_help():
    listed = dict(re.findall(r"^\| `(gauntlet_\w+)` \| (.*) \|$", README, re.M))
    assert listed == HELP | SHIPPER_HELP | JUDGE_HELP | INSIGHT_HELP


def test_every_setting_of_scoring_is_listed_and_no_other():
    listed = re.findall(r"^\| `GAUNTLET_(\w+)` \| scoring \|", README, re.M)
    assert sorted(name.lower() for name in listed) == sorted(set(Settings.model_fields) - {"folder"})


def test_every_setting_of_insight_is_listed_and_no_other():
    listed = re.findall(r"^\| `GAUNTLET_(\w+)` \| insight \|", README, re.M)
    shared = {"folder", "bento", "experiment_file"}
    assert sorted(name.lower() for name in listed) == sorted(set(InsightSettings.model_fields) - shared)


def test_every_setting_of_the_console_is_listed_and_no_other():
    listed = re.findall(r"^\| `GAUNTLET_CONSOLE_(\w+)` \| console \|", README, re.M)
    assert sorted(name.lower() for name in listed) == sorted(set(ConsoleSettings.model_fields) - {"folder"})


def test_every_command_that_the_readme_types_exists():
    known = {name for name, _ in commands_in(gauntlet.cli)}
    typed = re.findall(
        r"^ *gauntlet ([a-z-]+(?: (?:shadow|split|off|show|shares|add|revoke|export|outcomes|retain))?)", README, re.M
    )
    assert typed
    assert set(typed) <= known


def test_every_command_and_option_explains_itself():
    for name, command in commands_in(gauntlet.cli):
        assert command.help, name
        for option in command.params:
            if option.param_type_name == "option" and option.name not in ("help", "host", "port"):
                assert option.help or option.show_default, f"{name} --{option.name}"


def test_the_readme_gives_one_command_for_the_demo_and_one_for_the_tests():
    for mark, word in (("demo", "gauntlet demo"), ("tests", "pytest")):
        block = README.split(f"<!-- {mark} -->")[1].split("<!-- end -->")[0]
        commands = [line for line in block.splitlines() if line and not line.startswith("```")]
        assert len(commands) == 1
        assert word in commands[0]


def test_the_top_level_is_what_the_design_says():
    wanted = {
        "bentos", "service", "k8s", "grafana", "training", "validation", "tests", ".github", "bentofile.yaml",
        "README.md", "gauntlet.py", "pyproject.toml", "uv.lock", "LICENSE", ".ci", ".gitignore", ".bentoignore",
    }  # fmt: skip
    made = {".git", ".uv", ".venv", "gauntlet-demo", "gauntlet-home", "reports", "__pycache__"}
    found = {path.name for path in ROOT.iterdir() if not path.name.endswith("_cache")} - made
    assert {name for name in found - wanted if not name.startswith(".venv-")} <= {".hypothesis"}
    assert wanted <= found
