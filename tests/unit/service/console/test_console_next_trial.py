"""What the page Experiment says is to be done next, where nobody is on trial."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from model_toys import FAILED, FakeRegistry, report_of, sources_of

from bentos.registry import Version
from service.console.experiment.page import _next_trial
from service.console.sources import NextStep


def step_with(tmp_path: Path, registry: FakeRegistry, **aliases: Version) -> NextStep:
    """The next step where versions have these roles."""

    def find(uri: str) -> Any:
        return aliases.get(uri.rpartition("@")[2])

    registry.find = find  # type: ignore[attr-defined]
    return _next_trial(sources_of(registry, tmp_path))


def test_a_candidate_is_judged_once_and_then_another_is_trained(tmp_path: Path) -> None:
    registry = FakeRegistry()
    candidate = registry.add_version("2", tags={})
    assert step_with(tmp_path, registry, candidate=candidate).command.startswith("gauntlet gate models:/toy@candidate")

    judged = FakeRegistry()
    candidate = judged.add_version("2")
    judged.add_report(candidate, report_of("2", FAILED))
    step = step_with(tmp_path, judged, candidate=candidate)
    assert step.command.startswith("gauntlet train")
    assert "toy v2, already: FAIL (0 of 1 checks passed), not blessed" in step.says


def test_a_challenger_is_tried_and_without_anybody_a_model_is_trained(tmp_path: Path) -> None:
    registry = FakeRegistry()
    challenger = registry.add_version("2")
    assert "shadow models:/toy@challenger" in step_with(tmp_path, registry, challenger=challenger).command
    assert step_with(tmp_path, registry).command.startswith("gauntlet train")
