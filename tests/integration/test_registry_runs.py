"""What the registry says of many runs and versions, at a real MLflow on SQLite."""

from __future__ import annotations

from pathlib import Path

import pytest

from bentos import registry as module
from bentos.errors import Unavailable
from bentos.folder import Folder
from bentos.registry import Registry, open_registry


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    return open_registry(Folder(tmp_path_factory.mktemp("runs")))


def tracked(registry: Registry, experiment: str, started_ms: int, *, status: str = "FINISHED") -> str:
    """A run with a parameter, a metric and a tag."""
    where = registry.experiment(experiment)
    run = registry.client.create_run(where, start_time=started_ms, run_name=f"began at {started_ms}").info.run_id
    registry.client.log_param(run, "max_depth", started_ms % 7)
    registry.client.log_metric(run, "cv_accuracy_mean", started_ms / 10_000)
    registry.client.set_tag(run, "estimator", "toy.Estimator")
    registry.client.set_terminated(run, status)
    return str(run)


def test_a_run_says_what_was_tried_and_what_came_of_it(registry: Registry) -> None:
    made = tracked(registry, "one", 2001)
    (run,) = registry.runs("one")
    assert (run.id, run.name, run.status, run.started_ms) == (made, "began at 2001", "FINISHED", 2001)
    assert (run.parameters, run.metrics) == ({"max_depth": "6"}, {"cv_accuracy_mean": 0.2001})
    assert run.tags["estimator"] == "toy.Estimator"
    assert run.ended_ms is not None


def test_runs_come_newest_first_with_those_that_failed_or_go_on(registry: Registry) -> None:
    tracked(registry, "several", 1000)
    tracked(registry, "several", 3000, status="FAILED")
    open_one = registry.client.create_run(registry.experiment("several"), start_time=2000).info.run_id
    found = registry.runs("several")
    assert [run.started_ms for run in found] == [3000, 2000, 1000]
    assert [run.status for run in found] == ["FAILED", "RUNNING", "FINISHED"]
    assert (found[1].id, found[1].ended_ms) == (open_one, None)


def test_all_pages_are_read(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE_SIZE", 2)
    for at in range(1, 6):
        run = tracked(registry, "paged", at)
        registry.register("paged", run=run, digest=f"sha256:{at}")
    registry.set_alias(registry.resolve("models:/paged/2"), "champion")
    assert [run.started_ms for run in registry.runs("paged")] == [5, 4, 3, 2, 1]
    versions = registry.versions("paged")
    assert [version.number for version in versions] == ["5", "4", "3", "2", "1"]
    assert [version.aliases for version in versions] == [(), (), (), ("champion",), ()]


def test_many_versions_cost_as_many_requests_as_few(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    for at in (1, 2, 3):
        registry.register("cheap", run=tracked(registry, "cheap", at), digest="sha256:x")
    monkeypatch.setattr(type(registry.client), "get_model_version", None)
    assert len(registry.versions("cheap")) == 3


def test_an_experiment_that_nobody_began_has_no_runs(registry: Registry) -> None:
    assert registry.runs("nothing") == []


def test_a_version_says_when_it_was_registered(registry: Registry) -> None:
    made = registry.register("dated", run=tracked(registry, "dated", 1), digest="sha256:x")
    assert registry.versions("dated")[0].made_ms == made.made_ms > 1_700_000_000_000


def test_files_of_a_folder_are_listed_without_its_folders(registry: Registry, tmp_path: Path) -> None:
    version = registry.register("filed", run=tracked(registry, "filed", 1), digest="sha256:x")
    for name in ("b.json", "a.json"):
        (tmp_path / name).write_text("{}")
        registry.attach(version, tmp_path / name)
    registry.attach(version, tmp_path / "a.json", under="gate/deeper")
    assert registry.files(version, "gate") == ["gate/a.json", "gate/b.json"]
    assert registry.files(version, "nothing") == []


def test_a_server_that_is_away_is_told(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    away = Registry("http://127.0.0.1:9")
    for ask in (lambda: away.runs("any"), lambda: away.versions("any")):
        with pytest.raises(Unavailable, match=r"127\.0\.0\.1:9 does not answer"):
            ask()
