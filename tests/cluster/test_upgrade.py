"""Upgrade under load, and back: from the first commit that ran on a cluster, whose store has one migration less.

What is done here is what the README says of an upgrade: new Secrets are made beside those that stay, shippers and judge
go first, the champion goes through the gate again, as its blessing needs a signature now, and then scoring rolls.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from cluster_tools import ROOT, Kube, Step, TestCluster, ask, digest_of, wait_for
from installing import HOST, INGRESS, POSTGRES, REPLICAS, ask_store, features_of, missing
from load import loading

from bentos.artifact import load_artifact
from bentos.folder import Folder
from bentos.images.contexts import lay_out_jobs, lay_out_scoring
from bentos.roles import find_artifact, read_roles
from service.scoring.experiment import dump_experiment, first_experiment
from service.store import SCHEMA_VERSION

pytestmark = [pytest.mark.cluster, pytest.mark.alone, pytest.mark.timeout(2400)]

EARLIER = "6983a16f85f537eba59ed5900191469ef886d27b"
EARLIER_SCHEMA = 2
WORKLOADS = ("statefulset/gauntlet-postgres", "deployment/gauntlet", "deployment/gauntlet-judge")
RATE = 100
CALM = 4.0


@dataclass
class Way:
    """One of two versions of the code, in a checkout of its own, acting on one namespace.

    Attributes:
        checkout: Where its code is.
        kube: The namespace.
        home: Where its Bento is packed.
    """

    checkout: Path
    kube: Kube
    home: Path

    def __call__(self, *arguments: str | Path, tracking: str | None = None, errors: list[str] | None = None) -> str:
        """Its command line, on this machine."""
        environment = dict(self.kube.environment)
        if tracking is not None:
            environment["MLFLOW_TRACKING_URI"] = tracking
        command = [sys.executable, str(self.checkout / "gauntlet.py"), *map(str, arguments)]
        done = subprocess.run(command, cwd=self.checkout, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        if errors is not None:
            errors.append(done.stderr)
        return done.stdout

    def apply(self, place: Path, images: dict[str, str], *, replicas: int) -> None:
        """Its local overlay with these images."""
        place.mkdir(parents=True, exist_ok=True)
        described = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "namespace": self.kube.namespace,
            "resources": [os.path.relpath(self.checkout / "k8s" / "overlays" / "local", place)],
            "images": [{"name": name, "newTag": tag} for name, tag in {**images, "postgres": POSTGRES}.items()],
            "replicas": [{"name": "gauntlet", "count": replicas}],
        }
        (place / "kustomization.yaml").write_text(yaml.safe_dump(described))
        self.kube("apply", "-k", place)

    def rolled_out(self, *workloads: str) -> None:
        for workload in workloads or (
            "statefulset/gauntlet-postgres",
            "deployment/gauntlet",
            "deployment/gauntlet-judge",
        ):
            self.kube("rollout", "status", workload, "--timeout=240s")


@pytest.fixture
def earlier(cluster: TestCluster, tmp_path: Path) -> Iterator[Way]:
    """The earlier code in a worktree, and an empty namespace."""
    checkout = tmp_path / "earlier"
    added = subprocess.run(
        ["git", "-C", str(ROOT), "worktree", "add", "--detach", str(checkout), EARLIER],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if added.returncode:
        pytest.skip(f"this clone does not hold the earlier commit: {added.stderr.strip()}")
    kube = Kube(f"gauntlet-upgrade-{os.getpid()}", cluster.environment())
    try:
        kube("create", "namespace", kube.namespace)
        kube.admit_machine()
        yield Way(checkout, kube, tmp_path / "home-earlier")
    finally:
        kube("delete", "namespace", kube.namespace, "--ignore-not-found", "--timeout=120s")
        subprocess.run(["git", "-C", str(ROOT), "worktree", "remove", "--force", str(checkout)], check=False)


def build_earlier(cluster: TestCluster, way: Way, kind: str, place: Path) -> str:
    """An image as the earlier code's own Dockerfile makes it. Gives its tag."""
    dockerfile = way.checkout / "k8s" / "images" / f"{kind}.Dockerfile"
    if kind == "jobs":
        for line in re.findall(r"^COPY (?!--)(.+)$", dockerfile.read_text(), re.MULTILINE):
            for source in line.split()[:-1]:
                copy(way.checkout / source, place / source)
    else:
        copy(way.home / "bento", place)
        copy(way.home / "bentoml" / "models", place / "models")
    return cluster.build_plain(f"gauntlet-{kind}", digest_of(place, dockerfile), dockerfile, place)


def copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    else:
        shutil.copy2(source, target)


@contextmanager
def installed(cluster: TestCluster, way: Way, place: Path, step: Step) -> Iterator[tuple[dict[str, str], str]]:
    """The earlier version behind two replicas. Yields its images and the client's key."""
    with step("earlier: jobs image"):
        images = {"gauntlet-jobs": build_earlier(cluster, way, "jobs", place / "jobs")}
    said: list[str] = []
    way.kube("create", "-f", "-", given=way("secrets", "--namespace", way.kube.namespace, errors=said))
    key = next(line.split(": ")[1] for line in said[0].splitlines() if " for admin: " in line)
    with step("earlier: installed, trained, judged"):
        way.apply(place / "overlay", images, replicas=0)
        way.rolled_out("statefulset/gauntlet-postgres", "deployment/gauntlet-mlflow")
        assert way.kube.run_job("train-1", "train", ESTIMATOR="logistic_regression")
        assert way.kube.run_job("gate-1", "gate")
    with step("earlier: packed, image, two replicas"):
        with way.kube.forward("service/gauntlet-mlflow", 5000) as tracking:
            way("promote", "models:/churn@challenger", "--bootstrap", "--folder", way.home, tracking=tracking)
            way("package", "--folder", way.home, tracking=tracking)
        images["gauntlet-scoring"] = build_earlier(cluster, way, "scoring", place / "scoring")
        champion = read_roles(way.home / "bento" / "src" / "roles.json").champion.digest
        file = place / "experiment.yaml"
        file.write_bytes(dump_experiment(first_experiment(champion, now=datetime.now(UTC))))
        way.kube("create", "configmap", "gauntlet-experiment", f"--from-file={file}")
        way.apply(place / "overlay", images, replicas=REPLICAS)
        way.rolled_out()
    yield images, key
    cluster.remove("gauntlet-scoring", images["gauntlet-scoring"])


def schema_of(kube: Kube) -> int:
    """Which schema the store has."""
    return int(ask_store(kube, "select version_num from alembic_version")[0])


def test_an_upgrade_and_the_way_back_cost_no_request_and_no_prediction(
    cluster: TestCluster, earlier: Way, tmp_path: Path, step: Step, note: Callable[[str], None]
) -> None:
    kube, later = earlier.kube, Way(ROOT, earlier.kube, tmp_path / "home-later")
    with installed(cluster, earlier, tmp_path / "place", step) as (before, key):
        assert schema_of(kube) == EARLIER_SCHEMA
        with step("later: jobs image"):
            context = lay_out_jobs(tmp_path / "later-jobs")
            after = {"gauntlet-jobs": cluster.build("jobs", digest_of(context.folder, context.dockerfile), later.home)}
        headers = {"host": HOST, "authorization": f"Bearer {key}"}
        wait_for(lambda: ask(f"{INGRESS}/v1/experiment", host=HOST, key=key).status == 200, "the Ingress has no route")
        with loading(f"{INGRESS}/v1/score", headers=headers, features=features_in(earlier), rate=RATE) as load:
            time.sleep(CALM)
            with step("later: shippers and judge, the store migrated"):
                kube("create", "-f", "-", given=later("secrets", "--namespace", kube.namespace), may_fail=True)
                later.apply(tmp_path / "overlay", {**before, **after}, replicas=REPLICAS)
                later.rolled_out()
                wait_for(lambda: schema_of(kube) == SCHEMA_VERSION, "the store was not migrated")
            with step("later: the champion judged anew, packed, image"):
                assert kube.run_job("gate-later", "gate", CANDIDATE="models:/churn@champion")
                with kube.forward("service/gauntlet-mlflow", 5000) as tracking:
                    later("package", "--folder", later.home, tracking=tracking)
                context = lay_out_scoring(tmp_path / "later-scoring", Folder(later.home), 0)
                content = digest_of(context.folder, context.dockerfile)
                after["gauntlet-scoring"] = cluster.build("scoring", content, later.home)
            with step("later: scoring"):
                later.apply(tmp_path / "overlay", after, replicas=REPLICAS)
                later.rolled_out()
            time.sleep(CALM)
            upgraded = len(load.failures), len(load.answers)
            with step("back: everything as it was, on the later schema"):
                earlier.apply(tmp_path / "place" / "overlay", before, replicas=REPLICAS)
                earlier.rolled_out()
            time.sleep(CALM)
        note(f"upgrade from schema {EARLIER_SCHEMA} to {SCHEMA_VERSION} and back under {RATE} req/s: {load.told}")
        assert load.failures == [], f"{load.told}; {upgraded[0]} of them on the way there; {load.failures[:10]}"
        with step(f"{len(load.answers):,} predictions in PostgreSQL"):
            wait_for(lambda: not missing(kube, load), "not every answered prediction came to PostgreSQL", seconds=180)
        assert schema_of(kube) == SCHEMA_VERSION
        cluster.remove("gauntlet-scoring", after["gauntlet-scoring"])


def features_in(way: Way) -> dict[str, object]:
    """A customer that the packed champion's contract allows."""
    champion = read_roles(way.home / "bento" / "src" / "roles.json").champion
    return features_of(load_artifact(find_artifact(champion, (way.home / "bentoml" / "models",))).contract)
