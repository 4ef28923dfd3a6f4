"""An overlay rolled out, tried and undone by itself, and an approved image's challenger advanced a step at a time."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from cluster_tools import ROOT, Step, TestCluster, run
from installing import HOST, INGRESS, REPLICAS, Installation, Patch, objects_in, write_overlay

from service.scoring.experiment import stop

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]

ANNOTATIONS = "/spec/template/metadata/annotations/gauntlet.dev~1"
NO_SUCH = f"docker.io/library/gauntlet-scoring@sha256:{'0' * 64}"

Typed = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def pinned(installation: Installation, cluster: TestCluster) -> str:
    """The scoring image by its digest, as a registry would name it."""
    named = f"docker.io/library/gauntlet-scoring:{installation.images['gauntlet-scoring']}"
    said = run(cluster.program, "ctr", "images", "list", f"name=={named}")
    found = re.search(r"sha256:[0-9a-f]{64}", said)
    assert found is not None, said
    return f"docker.io/library/gauntlet-scoring@{found[0]}"


@pytest.fixture(scope="module")
def overlay(installation: Installation, pinned: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The installation with a Prometheus and with its scoring image by digest; afterwards it is as it was."""
    place, kube = tmp_path_factory.mktemp("rollout"), installation.kube
    found = write(place / "good", installation, scoring=pinned)
    plain = write_overlay(place / "plain", kube, installation.images, replicas=REPLICAS)
    yield found
    kube("apply", "-k", plain)
    for name in sorted(objects_in(kube, found) - objects_in(kube, plain)):
        kube("delete", name, "--wait=false")
    for name in ("gauntlet", "gauntlet-judge"):
        kube("rollout", "status", f"deployment/{name}", "--timeout=180s")


def write(place: Path, installation: Installation, *, scoring: str, more: Sequence[Patch] = ()) -> Path:
    """An overlay whose scoring Deployment says which models it carries, with a Prometheus of its own."""
    kube, roles = installation.kube, installation.roles
    address = kube.read("endpoints", "kubernetes", "--namespace=default")["subsets"][0]["addresses"][0]["ip"]
    patches: list[Patch] = [
        ("NetworkPolicy", "prometheus-to-api-server", "/spec/egress/0/to/0/ipBlock/cidr", f"{address}/32"),
        ("Deployment", "gauntlet", "/spec/template/metadata/annotations", {}),
        ("Deployment", "gauntlet", f"{ANNOTATIONS}champion", roles.champion.digest),
        ("Deployment", "gauntlet", f"{ANNOTATIONS}challengers", roles.challengers[0].digest),
        *more,
    ]
    folder = write_overlay(
        place, kube, installation.images, replicas=REPLICAS, components=("prometheus",), patches=patches
    )
    return pin(folder, scoring)


def pin(folder: Path, scoring: str) -> Path:
    """Name the scoring image by its digest."""
    path = folder / "kustomization.yaml"
    described = yaml.safe_load(path.read_text())
    repository, _, digest = scoring.partition("@")
    for image in described["images"]:
        if image["name"] == "gauntlet-scoring":
            image.pop("newTag")
            image |= {"newName": repository, "digest": digest}
    path.write_text(yaml.safe_dump(described))
    return folder


@pytest.fixture(scope="module")
def typed(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Typed:
    """The command line beside the cluster, as a CI job runs it; whatever it ends with is returned."""
    summary = tmp_path_factory.mktemp("job") / "summary.md"
    environment = {
        **installation.kube.environment,
        "GAUNTLET_API_KEY": installation.key,
        "GAUNTLET_WHO": "ann",
        "GITHUB_STEP_SUMMARY": str(summary),
    }

    def type_in(*words: str | Path) -> subprocess.CompletedProcess[str]:
        summary.write_text("")
        where = ("--namespace", installation.kube.namespace)
        command = [sys.executable, "gauntlet.py", *map(str, words), *where]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        done.stdout += f"\nSUMMARY\n{summary.read_text()}"
        return done

    return type_in


@pytest.fixture(scope="module", autouse=True)
def nobody_on_trial(installation: Installation) -> Iterator[None]:
    """Before and after."""
    installation.change(stop(installation.experiment(), now=datetime.now(UTC), lead=timedelta(0)))
    yield
    installation.change(stop(installation.experiment(), now=datetime.now(UTC), lead=timedelta(0)))


def image_of(installation: Installation) -> str:
    template = installation.kube.read("deployment", "gauntlet")["spec"]["template"]
    return next(str(one["image"]) for one in template["spec"]["containers"] if one["name"] == "scoring")


def test_an_overlay_is_rolled_out_and_tried_through_the_ingress(
    installation: Installation, overlay: Path, pinned: str, typed: Typed, step: Step
) -> None:
    with step("gauntlet deploy"):
        done = typed("deploy", overlay, "--ingress", INGRESS)
    assert done.returncode == 0, done.stderr
    assert image_of(installation) == pinned
    for part in ("score ", "explain ", "outcome     1 taken", "metrics     2 pods count", "drift rules gauntlet-drift"):
        assert f"  {part}" in done.stdout, done.stdout
    assert f"kubectl apply -k {overlay}" in done.stderr
    assert f"## Deploy: {overlay} stands" in done.stdout


def test_an_image_that_does_not_come_up_is_undone_and_customers_notice_nothing(
    installation: Installation, overlay: Path, pinned: str, typed: Typed, step: Step, tmp_path: Path
) -> None:
    limit: Patch = ("ConfigMap", "gauntlet-rules", "/data/drift.yaml", "groups: []\n")
    broken = write(tmp_path / "broken", installation, scoring=NO_SUCH, more=[limit])
    with step("gauntlet deploy of a broken image, undone"):
        done = typed("deploy", broken, "--ingress", INGRESS, "--timeout", "30")
    assert done.returncode == 1, done.stderr
    assert "deployment/gauntlet did not come up" in done.stderr
    assert re.search(r"scoring (ErrImagePull|ImagePullBackOff|ErrImageNeverPull)", done.stderr), done.stderr
    assert "undone: " in done.stderr
    assert image_of(installation) == pinned
    assert "gauntlet-drift" in installation.kube.read("configmap", "gauntlet-rules")["data"]["drift.yaml"]
    assert len(installation.kube.pods("scoring")) == REPLICAS
    assert installation.score("7590-VHVEG", url=INGRESS, host=HOST).status == 200
    assert "failed" in done.stdout


def test_a_rollout_that_comes_up_and_does_not_do_its_work_is_undone(
    installation: Installation, overlay: Path, typed: Typed, tmp_path: Path
) -> None:
    """Insight is asked for at a place where nobody is: scoring is ready, and explains nothing."""
    container = installation.kube.read("deployment", "gauntlet")["spec"]["template"]["spec"]["containers"][0]
    place = [variable["name"] for variable in container["env"]].index("GAUNTLET_INSIGHT_URL")
    at = f"/spec/template/spec/containers/0/env/{place}/value"
    broken: Patch = ("Deployment", "gauntlet", at, "http://127.0.0.1:9")
    scoring = image_of(installation)
    done = typed("deploy", write(tmp_path / "mute", installation, scoring=scoring, more=[broken]), "--ingress", INGRESS)
    assert done.returncode == 1, done.stdout
    assert "the smoke test failed: explain: " in done.stderr
    said = json.dumps(installation.kube.read("deployment", "gauntlet")["spec"]["template"])
    assert "http://127.0.0.1:9" not in said
    assert "| explain | **bad** |" in done.stdout


def test_without_approval_nothing_is_rolled_out(installation: Installation, overlay: Path, typed: Typed) -> None:
    before = installation.experiment()
    for words in (("rollout", "advance"), ("deploy", overlay, "--ingress", INGRESS, "--approved")):
        done = typed(*words)
        assert done.returncode == 2
        assert "nobody approved the rollout of sha256:" in done.stderr
    assert installation.experiment() == before


def test_an_approved_image_s_challenger_is_put_in_the_shadow_and_waits_for_evidence(
    installation: Installation, overlay: Path, pinned: str, typed: Typed, step: Step
) -> None:
    done = typed("rollout", "approve", overlay)
    assert done.returncode == 0, done.stderr
    assert f"{pinned.partition('@')[2]} is approved: ann, 2" in done.stdout
    with step("gauntlet rollout advance: shadow"):
        done = typed("rollout", "advance")
    assert done.returncode == 0, done.stderr
    experiment = installation.experiment()
    assert (experiment.mode, experiment.challenger) == ("shadow", installation.roles.challengers[0].digest)
    with step("gauntlet rollout advance: wait"):
        done = typed("rollout", "advance")
    assert done.returncode == 0, done.stderr
    assert "wait: nothing has matured yet" in done.stdout
    assert installation.experiment() == experiment
    shown = typed("rollout", "show").stdout
    assert "approved   ann, 2" in shown
    assert "trial      begun 2" in shown
