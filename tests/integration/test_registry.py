from __future__ import annotations

from pathlib import Path

import pytest

from bentos.artifact import BLESSING, FILES, MANIFEST, write_files
from bentos.errors import ArtifactDamaged, BadInput, NotFound, Unavailable
from bentos.folder import Folder
from bentos.registry import Registry, Version, open_registry

CONTENTS = {name: f"the content of {name}".encode() for name in FILES}


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    return open_registry(Folder(tmp_path_factory.mktemp("registry")))


def registered(registry: Registry, folder: Path, name: str, *, content: bytes = b"", digest: str = "") -> Version:
    """A version whose artifact holds what it is given for a model."""
    run = registry.client.create_run(registry.experiment("tests")).info.run_id
    made = write_files(folder / run, {**CONTENTS, "model.onnx": content})
    registry.client.log_artifacts(run, str(folder / run), "artifact")
    return registry.register(name, run=run, digest=digest or made, tags={"made_by": "a test"})


def test_a_version_is_found_by_number_by_alias_and_as_the_latest(registry: Registry, tmp_path: Path) -> None:
    first, second = (registered(registry, tmp_path, "found") for _ in range(2))
    registry.set_alias(first, "champion")
    assert registry.resolve("models:/found/1").number == registry.resolve("models:/found@champion").number == "1"
    assert registry.resolve("models:/found/latest") == second
    assert registry.resolve("models:/found/1").aliases == ("champion",)
    assert first.uri == "models:/found/1"
    assert first.tags["made_by"] == "a test"


def test_an_alias_points_at_one_version_and_can_be_dropped(registry: Registry, tmp_path: Path) -> None:
    first, second = (registered(registry, tmp_path, "moved") for _ in range(2))
    registry.set_alias(first, "champion")
    registry.set_alias(second, "champion")
    assert registry.resolve("models:/moved@champion").number == second.number
    assert registry.resolve(first.uri).aliases == ()
    registry.drop_alias("moved", "champion")
    registry.drop_alias("moved", "champion")
    assert registry.find("models:/moved@champion") is None


def test_versions_come_newest_first_with_aliases_and_tags(registry: Registry, tmp_path: Path) -> None:
    made = [registered(registry, tmp_path, "listed", content=bytes([n])) for n in range(3)]
    registry.set_alias(made[0], "champion")
    registry.tag(made[1], status="archived")
    found = registry.versions("listed")
    assert [version.number for version in found] == ["3", "2", "1"]
    assert found[1].tags["status"] == "archived"
    assert found[2].aliases == ("champion",)
    assert registry.find_by_digest("listed", made[1].digest) == found[1]
    assert registry.find_by_digest("listed", "sha256:0") is None


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("models:/nothing@champion", "is not in the registry; it holds "),
        ("models:/known@champion", "known has the versions 1@candidate"),
        ("models:/known/7", "known has the versions 1@candidate"),
        ("models:/nothing/latest", "is not in the registry"),
    ],
)
def test_what_is_not_there_is_told_with_what_is(registry: Registry, tmp_path: Path, uri: str, told: str) -> None:
    if registry.find("models:/known/1") is None:
        registry.set_alias(registered(registry, tmp_path, "known"), "candidate")
    with pytest.raises(NotFound) as caught:
        registry.resolve(uri)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    "uri", ["known", "models:/known", "models:/known/first", "models:/@champion", "runs:/1/artifact"]
)
def test_an_address_of_another_form_is_told_the_forms(registry: Registry, uri: str) -> None:
    with pytest.raises(BadInput, match=r"write models:/NAME@ALIAS, models:/NAME/NUMBER or models:/NAME/latest"):
        registry.resolve(uri)


def test_an_empty_registry_says_what_to_do_first(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="it is empty: run `gauntlet train` first"):
        open_registry(Folder(tmp_path)).resolve("models:/churn@candidate")


def test_a_fetched_artifact_is_verified_and_whole(registry: Registry, tmp_path: Path) -> None:
    version = registered(registry, tmp_path, "fetched")
    artifact = registry.fetch(version, tmp_path / "here" / "artifact")
    assert artifact.digest == version.digest
    assert {path.name for path in artifact.folder.iterdir()} == {*FILES, MANIFEST}
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["artifact"]


def test_an_artifact_that_was_changed_at_the_server_is_refused_and_not_kept(registry: Registry, tmp_path: Path) -> None:
    version = registered(registry, tmp_path, "changed")
    (tmp_path / "model.onnx").write_bytes(b"other")
    registry.client.log_artifact(version.run, str(tmp_path / "model.onnx"), "artifact")
    with pytest.raises(ArtifactDamaged, match=r"model\.onnx"):
        registry.fetch(version, tmp_path / "here" / "artifact")
    assert list((tmp_path / "here").iterdir()) == []


def test_an_artifact_that_was_replaced_as_a_whole_is_refused(registry: Registry, tmp_path: Path) -> None:
    version = registered(registry, tmp_path, "replaced", digest="sha256:other")
    with pytest.raises(ArtifactDamaged, match="was registered as sha256:other"):
        registry.fetch(version, tmp_path / "here")


def test_a_run_without_an_artifact_is_told(registry: Registry, tmp_path: Path) -> None:
    run = registry.client.create_run(registry.experiment("tests")).info.run_id
    version = registry.register("hollow", run=run, digest="sha256:x")
    with pytest.raises(NotFound, match="hollow version 1 is not at the tracking server any more"):
        registry.fetch(version, tmp_path / "here")


def test_a_blessing_comes_with_the_artifact_from_then_on(registry: Registry, tmp_path: Path) -> None:
    version = registered(registry, tmp_path, "blessed")
    (tmp_path / BLESSING).write_bytes(b"{}")
    registry.bless(version, tmp_path / BLESSING)
    artifact = registry.fetch(version, tmp_path / "here")
    assert (artifact.folder / BLESSING).read_bytes() == b"{}"
    assert artifact.digest == version.digest


def test_only_a_blessing_is_put_beside_an_artifact(registry: Registry, tmp_path: Path) -> None:
    version = registered(registry, tmp_path, "unblessed")
    with pytest.raises(BadInput, match=BLESSING):
        registry.bless(version, tmp_path / "model.onnx")


def test_a_file_of_the_run_is_fetched_and_one_that_it_lacks_is_told(registry: Registry, tmp_path: Path) -> None:
    version = registered(registry, tmp_path, "kept")
    (tmp_path / "report.json").write_bytes(b"{}")
    registry.attach(version, tmp_path / "report.json")
    assert registry.fetch_file(version, "gate/report.json", tmp_path / "there").read_bytes() == b"{}"
    with pytest.raises(NotFound, match="has no data/holdout"):
        registry.fetch_file(version, "data/holdout.parquet", tmp_path / "there")


def test_a_server_that_does_not_answer_is_told_by_its_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(Unavailable, match=r"the tracking server http://127\.0\.0\.1:9 does not answer"):
        open_registry(Folder(tmp_path), "http://127.0.0.1:9")
