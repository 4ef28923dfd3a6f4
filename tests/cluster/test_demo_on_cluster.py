"""`gauntlet demo --on-cluster`, from nothing to a promotion through the Ingress and a rollback."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cluster_tools import CommandFailed, Kube, Step, TestCluster, ask, lent, run

pytestmark = [pytest.mark.cluster, pytest.mark.alone, pytest.mark.timeout(2400)]

HOST, INGRESS = "gauntlet.localhost", "http://127.0.0.1"
SEED = "7"


def demo(cluster: TestCluster, kube: Kube, folder: Path) -> str:
    """The command as a person types it, with what this machine needs to build and load images."""
    options = ["--namespace", kube.namespace, "--folder", folder, "--json", f"{folder}.json", "--seed", SEED]
    options += ["--engine", "buildah", *(f"--build-option={one}" for one in lent())]
    options += ["--load", f"{cluster.program} load {{}}"]
    environment = {**kube.environment, "BUILDAH_ISOLATION": "chroot"}
    return run(sys.executable, "gauntlet.py", "demo", "--on-cluster", *options, env=environment)


@pytest.fixture(scope="module")
def kube(cluster: TestCluster) -> Iterator[Kube]:
    found = Kube(f"gauntlet-demo-{os.getpid()}", cluster.environment())
    yield found
    found("delete", "namespace", found.namespace, "--ignore-not-found", "--timeout=120s")


@pytest.fixture(scope="module")
def played(
    cluster: TestCluster, kube: Kube, step: Step, note: Callable[[str], None], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("demo") / "demo"
    cluster.tag("postgres:15", "postgres:17")
    with step("gauntlet demo --on-cluster"):
        demo(cluster, kube, folder)
    record = json.loads(Path(f"{folder}.json").read_text())
    parts: dict[str, float] = {}
    for one in record["cluster"]["steps"]:
        parts[one["step"]] = round(parts.get(one["step"], 0.0) + one["seconds"], 1)
    note(f"gauntlet demo --on-cluster: {record['seconds'] / 60:.1f} minutes, of which seconds by step {parts}")
    yield folder, record
    for bento in record["bentos"]:
        for kind in ("scoring", "insight"):
            cluster.remove(f"gauntlet-{kind}", bento["tag"].partition(":")[2])


def test_a_better_challenger_is_promoted_and_a_harmful_one_rolled_back(played: tuple[Path, dict[str, Any]]) -> None:
    _, record = played
    assert [decision["verdict"] for decision in record["decisions"]] == ["PROMOTE", "ROLLBACK"]
    for decision in record["decisions"]:
        assert decision["matured"] > 0
        assert decision["log_e"] >= math.log(20)
    assert [gate["verdict"] for gate in record["gates"]] == ["PASS", "PASS", "PASS", "FAIL"]
    assert [one["change"]["aliases"] for one in record["experiments"]] == ["moved", "moved"]


def test_it_says_what_the_local_demo_says(played: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    """The same seed, the same evidence at each look and the same decisions, on one machine and on a cluster."""
    _, record = played
    local = tmp_path / "local"
    run(sys.executable, "gauntlet.py", "demo", "--folder", local, "--json", f"{local}.json", "--seed", SEED)
    there = json.loads(Path(f"{local}.json").read_text())
    assert record.keys() - there.keys() == {"cluster"}
    assert record["decisions"] == there["decisions"]
    assert record["data"] == there["data"]
    assert [one["looks"] for one in record["experiments"]] == [one["looks"] for one in there["experiments"]]


def test_the_new_champion_answers_through_the_ingress(played: tuple[Path, dict[str, Any]]) -> None:
    folder, record = played
    key = (folder / "api-key").read_text().strip()
    said = ask(f"{INGRESS}/v1/score", json.loads((folder / "data" / "customer.json").read_text()), host=HOST, key=key)
    assert said.status == 200
    assert said.json()["model"]["digest"] == record["models"][1]["digest"]
    assert (folder / "api-key").stat().st_mode & 0o077 == 0


def test_the_new_champions_word_is_explained_through_the_ingress(played: tuple[Path, dict[str, Any]]) -> None:
    folder, record = played
    key = (folder / "api-key").read_text().strip()
    features = json.loads((folder / "data" / "customer.json").read_text())["features"]
    said = ask(f"{INGRESS}/v1/explain", {"features": features}, host=HOST, key=key, seconds=30)
    assert said.status == 200, said.text
    assert said.json()["model"]["digest"] == record["models"][1]["digest"]
    assert said.json()["explanation"]["contributions"].keys() == features.keys()


def test_what_runs_there_keeps_to_what_the_namespace_allows(played: tuple[Path, dict[str, Any]], kube: Kube) -> None:
    warnings = kube("get", "events", "--field-selector=reason=FailedCreate", "-o", "name")
    assert warnings == ""
    statuses = [
        status
        for component in ("scoring", "judge", "insight", "mlflow", "postgres")
        for name in kube.pods(component)
        for status in kube.read("pod", name)["status"]["containerStatuses"]
    ]
    assert len(statuses) >= 6
    assert {status["restartCount"] for status in statuses} == {0}


def test_a_namespace_that_no_demo_made_is_left_alone(cluster: TestCluster, kube: Kube, tmp_path: Path) -> None:
    other = Kube(f"{kube.namespace}-other", kube.environment)
    other("create", "namespace", other.namespace)
    try:
        with pytest.raises(CommandFailed, match="no demo made it; name another --namespace"):
            demo(cluster, other, tmp_path / "demo")
        assert other.read("namespace", other.namespace)["status"]["phase"] == "Active"
    finally:
        other("delete", "namespace", other.namespace, "--wait=false")
