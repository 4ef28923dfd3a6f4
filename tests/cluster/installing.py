"""The installation that the cluster tests share: from nothing to a champion and a challenger behind two replicas."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster_tools import ROOT, Answer, Kube, Step, TestCluster, ask, digest_of, wait_for
from load import Load

from bentos.artifact import Contract, Numeric, load_artifact
from bentos.folder import Folder
from bentos.images.contexts import Context, lay_out_insight, lay_out_jobs, lay_out_scoring
from bentos.roles import BentoRoles, find_artifact
from service.scoring.experiment import (
    Experiment,
    dump_experiment,
    first_experiment,
    parse_experiment,
)

HOST = "gauntlet.localhost"
INGRESS = "http://127.0.0.1"
REPLICAS = 2
POSTGRES = "15"
"""Debian's, which is what this cluster can make."""
LEAD = timedelta(seconds=15)
"""From an edit to the instant at which it holds: this cluster's kubelet brings it to the pods within 5 s."""

Patch = tuple[str, str, str, Any]
"""Kind and name of an object, the place in it, and the value that is to stand there."""


@dataclass(frozen=True)
class Installation:
    """A champion and a challenger behind two replicas."""

    kube: Kube
    roles: BentoRoles
    contract: Contract
    key: str
    images: Mapping[str, str]

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

    @contextmanager
    def taking(self, folder: Path, *components: str, patches: Sequence[Patch] = ()) -> Iterator[None]:
        """The installation with components, which are taken away again with all that they brought.

        Args:
            folder: An empty one.
            components: In this order; a later one may change what an earlier one brought.
            patches: What the components leave to whoever takes them.
        """
        plain = write_overlay(folder / "plain", self.kube, self.images, replicas=REPLICAS)
        taken = write_overlay(
            folder / "taken", self.kube, self.images, replicas=REPLICAS, components=components, patches=patches
        )
        before, after = objects_in(self.kube, plain), objects_in(self.kube, taken)
        try:
            self.kube("apply", "-k", taken)
            self._replace(before - after)
            yield
        finally:
            self.kube("apply", "-k", plain)
            self._replace(after - before)

    def _replace(self, gone: Set[str]) -> None:
        """Delete what was applied and is in no manifest any more, and wait until new pods have taken over."""
        for name in sorted(gone):
            self.kube("delete", name, "--wait=false")
        for name in ("gauntlet", "gauntlet-judge"):
            self.kube("rollout", "status", f"deployment/{name}", "--timeout=180s")

    def ask(self, url: str, body: Any = None, *, host: str | None = None) -> Answer:
        """Ask as a client who has a key."""
        return ask(url, body, host=host, key=self.key)


def objects_in(kube: Kube, kustomization: Path) -> Set[str]:
    """What a kustomization holds, as `kind/name`."""
    manifests = yaml.safe_load_all(kube("kustomize", kustomization))
    return {f"{manifest['kind'].lower()}/{manifest['metadata']['name']}" for manifest in manifests}


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
        jobs = build(cluster, lay_out_jobs(place / "jobs"), home)
    with step("MLflow and PostgreSQL up"):
        kube("create", "namespace", kube.namespace)
        kube.admit_machine()
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
        scoring = build(cluster, context, home)
    with step("insight image"):
        insight = build(cluster, lay_out_insight(place / "insight", Folder(home), 0), home)
    roles = context.roles
    assert roles is not None
    with step("two replicas ready"):
        images = {"gauntlet-jobs": jobs, "gauntlet-scoring": scoring, "gauntlet-insight": insight}
        kube("create", "-k", write_experiment(place / "experiment", kube, roles.champion.digest))
        kube("apply", "-k", write_overlay(place / "serving", kube, images, replicas=REPLICAS))
        for name in ("gauntlet", "gauntlet-judge", "gauntlet-insight", "gauntlet-console"):
            kube("rollout", "status", f"deployment/{name}", "--timeout=120s")
    contract = load_artifact(find_artifact(roles.champion, (Folder(home).bentoml / "models",))).contract
    yield Installation(kube, roles, contract, key, images)
    for tag in (scoring, f"{scoring}-again"):  # it holds this run's models; the other is kept for the next run
        cluster.remove("gauntlet-scoring", tag)


def make_secrets(kube: Kube, gauntlet: Callable[..., str]) -> str:
    """Make the installation's Secrets as the README says; gives the first client's admin key."""
    said: list[str] = []
    kube("create", "-f", "-", given=gauntlet("secrets", "--namespace", kube.namespace, errors=said))
    return next(line.split(": ")[1] for line in said[0].splitlines() if " for admin: " in line)


def build(cluster: TestCluster, context: Context, home: Path) -> str:
    """Have the image of a context in the cluster. Returns its tag."""
    return cluster.build(context.dockerfile.stem, digest_of(context.folder, context.dockerfile), home)


def make_models(kube: Kube, step: Step, gauntlet: Callable[..., str]) -> None:
    """A first champion and a challenger, each trained and judged by Jobs."""
    with step("train Job: logistic_regression"):
        assert kube.run_job("train-champion", "train", ESTIMATOR="logistic_regression")
    with step("gate Job: first champion"):
        assert kube.run_job("gate-champion", "gate")
    with step("promote --bootstrap, on the cluster"):
        gauntlet("promote", "--bootstrap", "--on-cluster", "--namespace", kube.namespace)
    with step("train Job: random_forest"):
        assert kube.run_job("train-challenger", "train")
    with step("gate Job: challenger against champion"):
        assert kube.run_job("gate-challenger", "gate")


def write_overlay(
    folder: Path,
    kube: Kube,
    images: Mapping[str, str],
    *,
    replicas: int,
    components: Sequence[str] = (),
    patches: Sequence[Patch] = (),
) -> Path:
    """The local overlay in the test's namespace, with its images."""
    return write_kustomization(
        folder,
        kube,
        resources=[os.path.relpath(ROOT / "k8s" / "overlays" / "local", folder)],
        components=[os.path.relpath(ROOT / "k8s" / "components" / name, folder) for name in components],
        images=[{"name": name, "newTag": tag} for name, tag in {**images, "postgres": POSTGRES}.items()],
        replicas=[
            {"name": "gauntlet", "count": replicas},
            # Where the experiment that a pod mounts is not there yet, its kubelet looks again a minute later only.
            *({"name": f"gauntlet-{name}", "count": min(replicas, 1)} for name in ("insight", "console", "judge")),
        ],
        patches=[
            {"target": {"kind": kind, "name": name}, "patch": json.dumps([{"op": "add", "path": at, "value": to}])}
            for kind, name, at, to in patches
        ],
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


def missing(kube: Kube, load: Load) -> set[str]:
    """Answered predictions that the store does not hold; its primary key lets none in twice."""
    return set(load.answers) - set(ask_store(kube, "select prediction_id from predictions"))


def ask_store(kube: Kube, query: str, *, database: str = "gauntlet") -> list[str]:
    """What PostgreSQL answers, a line a row."""
    command = (
        "psql",
        "--username=gauntlet",
        f"--dbname={database}",
        "--tuples-only",
        "--no-align",
        f"--command={query}",
    )
    return kube("exec", "gauntlet-postgres-0", "--", *command).split()
