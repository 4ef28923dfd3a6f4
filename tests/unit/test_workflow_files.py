"""What holds for every workflow: pinned, bounded, without rights it does not need, and without logic of its own."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
WORKFLOWS = {file.name: yaml.safe_load(file.read_text()) for file in FILES}
JOBS = [(name, key, job) for name, workflow in WORKFLOWS.items() for key, job in workflow["jobs"].items()]
_PINNED = re.compile(r"^[\w.-]+/[\w./-]+@[0-9a-f]{40}$")
_SHELL = re.compile(r"[|&;<>`\n]|\$\(|\bif\b|\bfor\b")


def steps() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, key, job in JOBS:
        for step in job.get("steps", []):
            yield f"{name}: {key}", step


def test_there_are_workflows() -> None:
    assert FILES


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_actions_are_pinned_by_a_commit_whose_version_stands_beside_it(file: Path) -> None:
    used = re.findall(r"uses: (\S+)(.*)", file.read_text())
    for action, comment in used:
        assert _PINNED.match(action), f"{action} is not pinned by a commit"
        assert re.match(r" # v\d+\.\d+\.\d+$", comment), f"{action} does not say which version it is"


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_has_no_rights_but_those_that_its_jobs_ask_for(name: str) -> None:
    assert WORKFLOWS[name]["permissions"] == {}
    assert WORKFLOWS[name]["concurrency"]["group"]


@pytest.mark.parametrize(("name", "key", "job"), JOBS, ids=lambda part: part if isinstance(part, str) else "")
def test_a_job_is_bounded_in_time_and_in_rights(name: str, key: str, job: dict[str, Any]) -> None:
    assert job["timeout-minutes"] <= 120
    assert isinstance(job["permissions"], dict)


def test_every_step_is_one_command_that_the_readme_names() -> None:
    readme = (ROOT / "README.md").read_text()
    for where, step in steps():
        command = step.get("run")
        if command is not None:
            assert not _SHELL.search(command.strip()), f"{where}: {command!r} is more than one command"
            assert f"`{command.strip()}`" in readme, f"{where}: the README does not name {command!r}"


def test_whoever_waits_for_an_approval_keeps_no_other_run_waiting() -> None:
    """A run of main has a group of its own; where runs change the same installation, those jobs take turns."""
    pipeline = WORKFLOWS["pipeline.yml"]
    assert "github.run_id" in pipeline["concurrency"]["group"]
    for name in ("staging", "production"):
        job = pipeline["jobs"][name]
        assert (job["environment"], job["concurrency"]) == (name, {"group": name})


def test_stages_hand_over_which_version_they_are_about() -> None:
    pipeline = WORKFLOWS["pipeline.yml"]
    for name in ("validate", "staging"):
        taken = [step["with"]["name"] for step in pipeline["jobs"][name]["steps"] if "download" in step.get("uses", "")]
        assert taken == ["candidate"]


def test_what_a_run_by_hand_does_not_name_the_variables_name() -> None:
    inputs = WORKFLOWS["pipeline.yml"][True]["workflow_dispatch"]["inputs"]  # YAML takes the key `on` for a truth
    assert {name: told["default"] for name, told in inputs.items()} == {"estimator": "", "data": ""}


def test_no_checkout_leaves_its_token_behind() -> None:
    for where, step in steps():
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False, where


def test_what_a_job_keeps_is_kept_where_it_failed_too_and_what_it_hands_over_must_be_there() -> None:
    for where, step in steps():
        if step.get("uses", "").startswith("actions/upload-artifact@"):
            is_handed_over = step["with"].get("if-no-files-found") == "error"
            assert is_handed_over != (step.get("if") == "always()"), where


def test_the_tests_run_on_every_python_that_is_supported() -> None:
    supported = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    first, end = (int(minor) for minor in re.fullmatch(r">=3\.(\d+),<3\.(\d+)", supported).groups())  # type: ignore[union-attr]
    job = WORKFLOWS["pipeline.yml"]["jobs"]["tests"]
    assert job["strategy"]["matrix"]["python"] == [f"3.{minor}" for minor in range(first, end)]
    assert job["env"]["UV_PYTHON"] == "${{ matrix.python }}"
