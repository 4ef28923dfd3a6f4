"""The thin slice on a real cluster: train, gate, package, serve, experiment, with kubectl alone between the steps.

One installation serves every test; each test that changes the experiment raises its revision and leaves a valid file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster_tools import ROOT, Answer, Kube, Step, TestCluster, ask, digest_of, wait_for

from bentos.artifact import Contract, Numeric, load_artifact
from bentos.folder import Folder
from bentos.images.contexts import lay_out_jobs, lay_out_scoring
from bentos.roles import BentoRoles, find_artifact
from service import metric_names
from service.scoring.experiment import (
    Experiment,
    dump_experiment,
    first_experiment,
    parse_experiment,
    set_split,
    start_shadow,
    stop,
)

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]

HOST = "gauntlet.localhost"
INGRESS = "http://127.0.0.1"
REPLICAS = 2
POSTGRES = "15"
"""Debian's, which is what this cluster can make."""
LEAD = timedelta(seconds=15)
"""From an edit to the instant at which it holds: this cluster's kubelet brings it to the pods within 5 s."""


@dataclass(frozen=True)
class Installation:
    """A champion and a challenger behind two replicas."""

    kube: Kube
    roles: BentoRoles
    contract: Contract
    key: str

    def experiment(self) -> Experiment:
        """The experiment file as the ConfigMap holds it."""
        configmap = self.kube.read("configmap", "gauntlet-experiment")
        return parse_experiment(configmap["data"]["experiment.yaml"].encode())

    def write(self, content: bytes) -> None:
        """Put other content into the ConfigMap, as `kubectl edit` does."""
        patch = json.dumps({"data": {"experiment.yaml": content.decode()}})
        self.kube("patch", "configmap", "gauntlet-experiment", "--type=merge", "--patch", patch)

    def replicas(self) -> list[str]:
        """The URLs of the ready pods, each by its own address; all of them, or the test is about nothing."""
        addresses = self.kube.pods("scoring").values()
        assert len(addresses) == REPLICAS
        return [f"http://{address}:3000" for address in addresses]

    def change(self, to: Experiment) -> None:
        """Write another revision and wait until every replica says that it holds."""
        self.write(dump_experiment(to))
        wait_for(
            lambda: {self.ask(f"{url}/v1/experiment").json()["revision"] for url in self.replicas()} == {to.revision},
            f"not every replica came to revision {to.revision}",
        )

    def score(self, customer: str, *, url: str, host: str | None = None) -> Answer:
        """Score a customer of the contract's own making."""
        return self.ask(f"{url}/v1/score", {"customer_id": customer, "features": features_of(self.contract)}, host=host)

    def ask(self, url: str, body: Any = None, *, host: str | None = None) -> Answer:
        """Ask as a client who has a key."""
        return ask(url, body, host=host, key=self.key)


def features_of(contract: Contract) -> dict[str, Any]:
    """A customer that the contract allows."""
    return {
        feature.name: feature.minimum if isinstance(feature, Numeric) else feature.categories[0]
        for feature in contract.features
    }


@pytest.fixture(scope="session")
def installation(
    cluster: TestCluster, kube: Kube, step: Step, tmp_path_factory: pytest.TempPathFactory, gauntlet: Callable[..., str]
) -> Iterator[Installation]:
    """From nothing to two ready replicas that carry a champion and a challenger."""
    place = tmp_path_factory.mktemp("cluster")
    home = place / "home"
    with step("jobs image"):
        context = lay_out_jobs(place / "jobs")
        jobs = cluster.build("jobs", digest_of(context.folder, context.dockerfile), home)
    with step("MLflow and PostgreSQL up"):
        kube("create", "namespace", kube.namespace)
        key = make_secrets(kube, gauntlet)
        kube("apply", "-k", write_overlay(place / "making", kube, {"gauntlet-jobs": jobs}, replicas=0))
        kube("rollout", "status", "deployment/gauntlet-mlflow", "--timeout=180s")
        kube("rollout", "status", "statefulset/gauntlet-postgres", "--timeout=180s")
    with kube.forward("service/gauntlet-mlflow", 5000) as tracking:
        make_models(kube, step, lambda *arguments: gauntlet(*arguments, "--folder", home, tracking=tracking))
        with step("package"):
            gauntlet("package", "--challenger", "models:/churn@challenger", "--folder", home, tracking=tracking)
    with step("scoring image"):
        context = lay_out_scoring(place / "scoring", Folder(home), 0)
        scoring = cluster.build("scoring", digest_of(context.folder, context.dockerfile), home)
    roles = context.roles
    assert roles is not None
    with step("two replicas ready"):
        images = {"gauntlet-jobs": jobs, "gauntlet-scoring": scoring}
        kube("create", "-k", write_experiment(place / "experiment", kube, roles.champion.digest))
        kube("apply", "-k", write_overlay(place / "serving", kube, images, replicas=REPLICAS))
        kube("rollout", "status", "deployment/gauntlet", "--timeout=120s")
        kube("rollout", "status", "deployment/gauntlet-judge", "--timeout=120s")
    contract = load_artifact(find_artifact(roles.champion, (context.folder / "models",))).contract
    yield Installation(kube, roles, contract, key)
    cluster.remove("gauntlet-scoring", scoring)  # it holds this run's models; the other is kept for the next run


def make_secrets(kube: Kube, gauntlet: Callable[..., str]) -> str:
    """Make the installation's Secrets as the README says; gives the first client's admin key."""
    said: list[str] = []
    kube("create", "-f", "-", given=gauntlet("secrets", "--namespace", kube.namespace, errors=said))
    return next(line.split(": ")[1] for line in said[0].splitlines() if " for admin: " in line)


def make_models(kube: Kube, step: Step, gauntlet: Callable[..., str]) -> None:
    """A first champion and a challenger, each trained and judged by Jobs."""
    with step("train Job: logistic_regression"):
        assert kube.run_job("train-champion", "train", ESTIMATOR="logistic_regression")
    with step("gate Job: first champion"):
        assert kube.run_job("gate-champion", "gate")
    with step("promote --bootstrap"):
        gauntlet("promote", "models:/churn@challenger", "--bootstrap")
    with step("train Job: random_forest"):
        assert kube.run_job("train-challenger", "train")
    with step("gate Job: challenger against champion"):
        assert kube.run_job("gate-challenger", "gate")


def write_overlay(folder: Path, kube: Kube, images: Mapping[str, str], *, replicas: int) -> Path:
    """The local overlay in the test's namespace, with its images."""
    return write_kustomization(
        folder,
        kube,
        resources=[os.path.relpath(ROOT / "k8s" / "overlays" / "local", folder)],
        images=[{"name": name, "newTag": tag} for name, tag in {**images, "postgres": POSTGRES}.items()],
        replicas=[{"name": "gauntlet", "count": replicas}],
    )


def write_experiment(folder: Path, kube: Kube, champion: str) -> Path:
    """`k8s/experiment` in the test's namespace, with the champion filled in."""
    filled = folder / "filled"
    filled.mkdir(parents=True)
    (filled / "kustomization.yaml").write_bytes((ROOT / "k8s" / "experiment" / "kustomization.yaml").read_bytes())
    first = first_experiment(champion, now=datetime.now(UTC))
    (filled / "experiment.yaml").write_bytes(dump_experiment(first))
    return write_kustomization(folder, kube, resources=["filled"])


def write_kustomization(folder: Path, kube: Kube, **content: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    described = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": kube.namespace,
        **content,
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(described))
    return folder


def metric(url: str, name: str) -> float:
    """The value of a metric without labels, on one replica."""
    lines = [
        line
        for line in ask(f"{url.removesuffix(':3000')}:3001/metrics").text.splitlines()
        if line.startswith(f"{name} ")
    ]
    return float(lines[0].split()[-1])


def test_a_passed_gate_ends_with_zero(installation: Installation) -> None:
    assert installation.kube.exit_code("gate-champion") == 0
    assert installation.kube.exit_code("gate-challenger") == 0


def test_a_plainly_worse_candidate_is_stopped_by_the_gate(installation: Installation, step: Step) -> None:
    """A single tree, its splits drawn at random and grown to the last leaf."""
    kube = installation.kube
    with step("train and gate Jobs: a worse candidate"):
        assert kube.run_job("train-worse", "train", ESTIMATOR="sklearn.tree.ExtraTreeClassifier")
        assert not kube.run_job("gate-worse", "gate")
    assert kube.exit_code("gate-worse") == 1


def test_a_gate_that_cannot_judge_is_an_error(installation: Installation) -> None:
    assert not installation.kube.run_job("gate-nobody", "gate", CANDIDATE="models:/nobody@candidate")
    assert installation.kube.exit_code("gate-nobody") == 3


def test_two_replicas_serve_the_champion_alone_at_first(installation: Installation) -> None:
    champion = installation.roles.champion.digest
    for url in installation.replicas():
        assert ask(f"{url}/readyz").status == 200
        said = installation.ask(f"{url}/v1/experiment").json()
        assert (said["mode"], said["revision"], said["champion"]["digest"]) == ("off", 1, champion)


def test_a_score_comes_through_the_ingress(installation: Installation) -> None:
    def routed() -> Answer | None:
        answer = installation.score("7590-VHVEG", url=INGRESS, host=HOST)
        return None if answer.status in (404, 503) else answer  # the controller sees Ingress and pods a moment later

    answer = wait_for(routed, "the Ingress has no route to the service", seconds=30)
    assert answer.status == 200, answer.text
    assert 0 <= answer.json()["probability"] <= 1
    assert answer.json()["model"]["digest"] == installation.roles.champion.digest


@pytest.mark.parametrize("path", ["/metrics", "/readyz", "/"])
def test_the_ingress_leads_to_public_routes_only(installation: Installation, path: str) -> None:
    assert ask(f"{INGRESS}{path}", host=HOST).status == 404


def test_without_a_key_nobody_is_answered(installation: Installation) -> None:
    for answer in (ask(f"{INGRESS}/v1/score", {"features": {}}, host=HOST), ask(f"{INGRESS}/v1/experiment", host=HOST)):
        assert (answer.status, answer.json()["title"]) == (401, "An API key is needed")


def test_bad_input_through_the_ingress_is_a_problem_that_names_the_field(installation: Installation) -> None:
    answer = installation.ask(f"{INGRESS}/v1/score", {"customer_id": "1", "features": {"Nonsense": 1}}, host=HOST)
    assert 400 <= answer.status < 500
    assert "Nonsense" in answer.text


def test_a_shadow_is_seen_by_both_replicas_and_returned_by_none(installation: Installation, step: Step) -> None:
    challenger = installation.roles.challengers[0].digest
    with step("shadow seen by both replicas"):
        now = datetime.now(UTC)
        installation.change(start_shadow(installation.experiment(), challenger, now=now, salt="cluster", lead=LEAD))
    for url in installation.replicas():
        said = installation.ask(f"{url}/v1/experiment").json()
        assert (said["mode"], said["challenger"]["digest"]) == ("shadow", challenger)
        assert {installation.score(f"c{i}", url=url).json()["variant"] for i in range(20)} == {"champion"}


def test_a_split_gives_a_customer_the_same_variant_from_both_replicas(installation: Installation, step: Step) -> None:
    challenger = installation.roles.challengers[0].digest
    now = datetime.now(UTC)
    off = stop(installation.experiment(), now=now, lead=timedelta(0))
    shadow = start_shadow(off, challenger, now=now, salt="cluster", lead=timedelta(0))
    with step("split seen by both replicas"):
        installation.change(set_split(shadow, 0.5, now=now, lead=LEAD))
    first, second = (
        [installation.score(f"customer-{i}", url=url).json()["variant"] for i in range(200)]
        for url in installation.replicas()
    )
    assert first == second
    assert set(first) == {"champion", "challenger"}


def test_replicas_switch_at_the_instant_and_not_before(installation: Installation) -> None:
    before = installation.experiment()
    later = stop(before, now=datetime.now(UTC), lead=timedelta(hours=1))
    installation.write(dump_experiment(later))
    wait_for(
        lambda: all(has_read(installation.kube, pod, later.revision) for pod in installation.kube.pods("scoring")),
        f"not every replica read revision {later.revision}",
    )
    for url in installation.replicas():
        assert installation.ask(f"{url}/v1/experiment").json()["revision"] == before.revision


def test_a_bad_experiment_file_keeps_the_last_good_one(installation: Installation, step: Step) -> None:
    good = installation.experiment()
    with step("bad file noticed by both replicas"):
        installation.write(b"mode: split\nsplit: 7\n")
        wait_for(
            lambda: all(metric(url, metric_names.EXPERIMENT_FILE_VALID) == 0 for url in installation.replicas()),
            "not every replica noticed that the file is bad",
        )
    for url in installation.replicas():
        assert ask(f"{url}/readyz").status == 200
        assert installation.score("7590-VHVEG", url=url).status == 200
    installation.change(stop(good, now=datetime.now(UTC), lead=timedelta(0)))
    assert all(metric(url, metric_names.EXPERIMENT_FILE_VALID) == 1 for url in installation.replicas())


def has_read(kube: Kube, pod: str, revision: int) -> bool:
    """Whether a pod has logged that it read a revision."""
    events = [json.loads(line) for line in kube("logs", pod).splitlines() if line.startswith("{")]
    return any(e.get("event") == "experiment_read" and e.get("revision") == revision for e in events)


def test_what_was_answered_is_in_postgresql(installation: Installation) -> None:
    """The sidecars move it there; the ids are those that the clients got."""
    answers = [installation.score(f"logged-{i}", url=url).json() for url in installation.replicas() for i in range(20)]
    wanted = {answer["prediction_id"] for answer in answers}

    def landed() -> bool:
        return wanted <= set(ask_store(installation.kube, "select prediction_id from predictions"))

    wait_for(landed, f"not all of {len(wanted)} predictions came to PostgreSQL", seconds=60)


def test_an_outcome_reaches_the_store_and_the_judge_answers_through_scoring(installation: Installation) -> None:
    score = installation.score("told", url=INGRESS, host=HOST).json()
    observed = datetime.now(UTC).isoformat()
    told = {"prediction_id": score["prediction_id"], "outcome": installation.contract.labels.positive}
    answer = installation.ask(f"{INGRESS}/v1/outcomes", {**told, "observed_at": observed}, host=HOST)
    assert answer.status in (200, 202), answer.text
    one = f"select count(*) from outcomes where prediction_id = '{score['prediction_id']}'"
    wait_for(lambda: ask_store(installation.kube, one) == ["1"], "the outcome did not come to PostgreSQL", seconds=60)

    def judged() -> bool:
        said = installation.ask(f"{INGRESS}/v1/experiment", host=HOST).json()["judge"]
        return said["status"] == "available" and bool(said["verdict"]["verdict"])

    wait_for(judged, "the judge never answered through scoring", seconds=60)


def test_a_dump_of_the_database_is_made_and_can_be_read(installation: Installation, step: Step) -> None:
    with step("nightly dump"):
        assert installation.kube.run_job("dump-now", "gauntlet-postgres-dump", seconds=180)


def ask_store(kube: Kube, query: str) -> list[str]:
    """What PostgreSQL answers, a line a row."""
    command = ("psql", "--username=gauntlet", "--dbname=gauntlet", "--tuples-only", "--no-align", f"--command={query}")
    return kube("exec", "gauntlet-postgres-0", "--", *command).split()
