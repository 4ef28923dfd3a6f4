"""The pipeline's stages 3 to 7, each by the commands of its workflow file, in a clean clone against a real cluster.

Stages 1 and 2 are `bash .ci/quality` and `bash .ci/tests`, which CI runs as they are. A registry of Debian's stands in
place of the remote one; what only the forge itself has (keyless signing, reviewers) is left out.
"""

from __future__ import annotations

import base64
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from cluster_tools import REGISTRY, ROOT, Kube, Step, lent, wait_for
from installing import HOST, INGRESS, POSTGRES, REPLICAS, Installation, objects_in, write_overlay
from workflow_runs import Runner

from bentos.folder import Folder
from service.demo.preparing import prepare
from service.demo.traffic import Customer, Door, ask, tell_truths
from service.scoring.experiment import stop
from training.use_case import load_use_case

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(3000)]

LATER = timedelta(days=32)
"""When everybody who is asked now has matured."""
WINDOW = timedelta(days=30)
FEW, ENOUGH = 300, 1500
BEGIN_UNTIL = "GAUNTLET_TESTS_BEGIN_UNTIL"
"""Until when it may begin, in seconds since 1970 UTC, as it takes ten minutes; without it, at any time."""
SEARCHED = 'unqualified-search-registries = ["docker.io"]\n'
CONFIGURED = """
version: 0.1
storage: {filesystem: {rootdirectory: PLACE}}
http: {addr: ADDRESS}
"""


@pytest.fixture(scope="module")
def registry(kube: Kube, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """HOST:PORT of an image registry of this machine, which the node's containerd takes without HTTPS."""
    program = shutil.which("docker-registry")
    if program is None:
        pytest.fail("docker-registry is not installed; on Debian: apt-get install docker-registry")
    place = tmp_path_factory.mktemp("registry")
    address = kube.environment.get(REGISTRY) or _free_address()
    config = place / "config.yml"
    config.write_text(CONFIGURED.replace("PLACE", str(place / "images")).replace("ADDRESS", address))
    with (place / "log").open("w") as log:
        process = subprocess.Popen([program, "serve", str(config)], stdout=log, stderr=log)
    wait_for(lambda: _listens(address), (place / "log").read_text() or "the registry never listened", seconds=30)
    yield address
    process.terminate()
    process.wait(20)


def _free_address() -> str:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{found.getsockname()[1]}"


def _listens(address: str) -> bool:
    host, _, port = address.partition(":")
    with socket.socket() as tried:
        return tried.connect_ex((host, int(port))) == 0


@pytest.fixture(scope="module")
def customers(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Sequence[Customer]]:
    """A history to train on, and customers who come later."""
    folder = Folder(tmp_path_factory.mktemp("customers"))
    use_case = load_use_case(ROOT / "training" / "use_cases" / "telco_churn.yaml")
    prepared = prepare(use_case, None, folder=folder, seed=0)
    return prepared.history_file, prepared.live


@pytest.fixture(scope="module")
def runner(
    installation: Installation,
    registry: str,
    customers: tuple[Path, Sequence[Customer]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Runner]:
    """A clean clone whose overlays are those of the test's namespace; afterwards the installation is as it was."""
    if time.time() > float(os.environ.get(BEGIN_UNTIL, "inf")):
        pytest.skip(f"too late to begin, by {BEGIN_UNTIL}; alone: pytest -m cluster tests/cluster/test_workflows.py")
    place, kube = tmp_path_factory.mktemp("pipeline"), installation.kube
    checkout = place / "checkout"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(checkout)], check=True)
    for name in ("staging", "production"):
        write_stage(checkout / "k8s" / "overlays" / name, installation)
    kubeconfig = Path(kube.environment["KUBECONFIG"])
    yield Runner(
        checkout=checkout,
        environment={
            **{key: value for key, value in kube.environment.items() if key not in ("KUBECONFIG", "VIRTUAL_ENV")},
            "BUILDAH_ISOLATION": "chroot",
            "CONTAINERS_REGISTRIES_CONF": str(_registries(place, registry)),
            "GAUNTLET_BUILD_OPTIONS": " ".join(lent()),
            "GAUNTLET_IMAGE_ENGINE": "buildah",
            "GAUNTLET_INGRESS": INGRESS,
            "GAUNTLET_NAMESPACE": kube.namespace,
            "GAUNTLET_ISSUE": "no",
            "GITHUB_STEP_SUMMARY": str(place / "summary.md"),
        },
        settings={
            "vars.GAUNTLET_DATA": str(customers[0]),
            "vars.GAUNTLET_GATE_POLICY_FILE": "validation/policies/baseline.yaml",
            "secrets.KUBECONFIG": kubeconfig.read_text(),
            "secrets.GAUNTLET_API_KEY": installation.key,
            # The key whose signatures the pods ask for: without it the gate's blessing is nobody's there.
            "secrets.GAUNTLET_BLESSING_KEY": _signing_key(installation),
            "github.repository_owner": "shop",
            "github.sha": "0123abc",
            "github.run_id": "77",
            "github.repository": "shop/gauntlet",
            "github.server_url": "https://github.example",
        },
        overruled={"GAUNTLET_SIGN": "no", "GAUNTLET_REGISTRY": registry, "GAUNTLET_SOAK": "0m"},
    )
    plain = write_overlay(place / "plain", kube, installation.images, replicas=REPLICAS)
    installation.change(stop(installation.experiment(), now=datetime.now(UTC), lead=timedelta(0)))
    kube("apply", "-k", plain)
    for name in sorted(objects_in(kube, checkout / "k8s" / "overlays" / "production") - objects_in(kube, plain)):
        kube("delete", name, "--wait=false")


def _signing_key(installation: Installation) -> str:
    kept = installation.kube.read("secret", "gauntlet-blessing-key")["data"]["key.pem"]
    return base64.b64decode(kept).decode()


def _registries(place: Path, registry: str) -> Path:
    """The machine's own settings of registries, and that this one has no HTTPS.

    Settings in the form of version 1 (`[registries.search]`) cannot be added to; then the usual ones stand for them.
    """
    own = Path("/etc/containers/registries.conf")
    content = own.read_text() if own.exists() else SEARCHED
    if re.search(r"^\[registries\.", content, re.MULTILINE):
        content = SEARCHED
    path = place / "registries.conf"
    path.write_text(f'{content}\n[[registry]]\nlocation = "{registry}"\ninsecure = true\n')
    return path


def write_stage(folder: Path, installation: Installation) -> None:
    """A stage's overlay as a user writes it for a cluster of his own, around the release that `.ci/images` fills in."""
    kube = installation.kube
    address = kube.read("endpoints", "kubernetes", "--namespace=default")["subsets"][0]["addresses"][0]["ip"]
    ahead = {"name": "GAUNTLET_OBSERVED_AHEAD_SECONDS", "value": str(int(2 * LATER.total_seconds()))}
    pod = {"spec": {"containers": [{"name": "scoring", "env": [ahead]}]}}
    scoring = {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "gauntlet"}, "spec": {"template": pod},
    }  # fmt: skip
    shutil.copy(ROOT / "validation" / "policies" / "demo.yaml", folder / "policy.yaml")
    described = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": kube.namespace,
        "resources": ["../local"],
        "components": ["../../components/prometheus", "release"],
        "images": [{"name": "postgres", "newTag": POSTGRES}],
        "replicas": [{"name": "gauntlet", "count": REPLICAS}],
        "configMapGenerator": [
            {
                "name": "gauntlet-policy", "behavior": "replace", "files": ["policy.yaml"],
                "options": {"disableNameSuffixHash": True},
            }
        ],
        "patches": [
            {
                "target": {"kind": "NetworkPolicy", "name": "prometheus-to-api-server"},
                "patch": yaml.safe_dump(
                    [{"op": "replace", "path": "/spec/egress/0/to/0/ipBlock/cidr", "value": f"{address}/32"}]
                ),
            },
            {"patch": yaml.safe_dump(scoring)},
        ],
    }  # fmt: skip
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(described))


@contextmanager
def tracked(runner: Runner, installation: Installation) -> Iterator[None]:
    """With the tracking server in reach, as the repository's variable says it is."""
    with installation.kube.forward("service/gauntlet-mlflow", 5000) as url:
        runner.settings["vars.MLFLOW_TRACKING_URI"] = url
        yield
    del runner.settings["vars.MLFLOW_TRACKING_URI"]


def train_and_validate(runner: Runner, installation: Installation, estimator: str) -> int:
    """Stages 3 and 4, by hand with an estimator. Returns how they ended."""
    runner.settings["inputs.estimator"] = estimator
    with tracked(runner, installation):
        return runner.job("pipeline.yml", "train") or runner.job("pipeline.yml", "validate")


def last_of(runner: Runner) -> str:
    """What the last step said."""
    return next(reversed(runner.said.values()))


def door(installation: Installation) -> Door:
    return Door(INGRESS, {"host": HOST, "authorization": f"Bearer {installation.key}"})


def come(installation: Installation, customers: Sequence[Customer]) -> None:
    """Customers are scored through the Ingress, and their truths come a month later."""
    answered = ask(door(installation), customers)
    assert tell_truths(door(installation), answered, now=datetime.now(UTC), window=WINDOW) == len(customers)


def image_of(installation: Installation) -> str:
    template = installation.kube.read("deployment", "gauntlet")["spec"]["template"]
    return next(str(one["image"]) for one in template["spec"]["containers"] if one["name"] == "scoring")


def test_a_bad_candidate_stops_at_stage_4_in_the_gate_s_own_words(
    runner: Runner, installation: Installation, step: Step
) -> None:
    with step("stages 3 and 4: a bad candidate"):
        code = train_and_validate(runner, installation, "sklearn.tree.ExtraTreeClassifier")
    assert code == 1, last_of(runner)
    assert "FAIL" in runner.said["Validate"]
    assert re.search(r"accuracy: 0\.\d+ .* must be at least 0\.75", runner.said["Validate"])
    assert "## Gate: FAIL, churn version" in Path(runner.environment["GITHUB_STEP_SUMMARY"]).read_text()
    assert sorted(path.name for path in runner.artifacts["gate"].iterdir())[-2:] == ["gate.html", "gate.xml"]


def test_a_good_candidate_comes_to_staging(runner: Runner, installation: Installation, step: Step) -> None:
    with step("stages 3 and 4: a good candidate"):
        assert train_and_validate(runner, installation, "random_forest") == 0, last_of(runner)
    assert "PASS" in runner.said["Validate"]
    with step("stage 5: package, images, staging"), tracked(runner, installation):
        assert runner.job("pipeline.yml", "staging") == 0, last_of(runner)
    for part in ("score ", "explain ", "outcome ", "metrics ", "drift rules "):
        assert f"  {part}" in runner.said["Staging"], runner.said["Staging"]
    assert re.search(r"/gauntlet-scoring@sha256:[0-9a-f]{64}$", image_of(installation))


def test_a_broken_image_is_undone_at_stage_5(runner: Runner, installation: Installation, step: Step) -> None:
    before = image_of(installation)
    release = runner.checkout / "k8s" / "overlays" / "staging" / "release" / "kustomization.yaml"
    good = release.read_text()
    try:
        release.write_text(good.replace(before.partition("@")[2], f"sha256:{'0' * 64}"))
        with step("stage 5: a broken image, undone"):
            done = replace(runner, said={})
            code = only(done, "Staging")
    finally:
        release.write_text(good)
    assert code == 1, last_of(done)
    assert "deployment/gauntlet did not come up" in done.said["Staging"]
    assert image_of(installation) == before
    assert installation.score("7590-VHVEG", url=INGRESS, host=HOST).status == 200


def only(runner: Runner, name: str) -> int:
    """One step of the pipeline again."""
    content = yaml.safe_load((runner.checkout / ".github" / "workflows" / "pipeline.yml").read_text())
    (step,) = [step for job in content["jobs"].values() for step in job["steps"] if step.get("name") == name]
    return runner.step(step)


def test_without_approval_nothing_passes_stage_6(runner: Runner, installation: Installation) -> None:
    shutil.copytree(
        runner.artifacts["release"], runner.checkout / "k8s" / "overlays" / "production" / "release", dirs_exist_ok=True
    )
    before = installation.experiment()
    for name in ("Production", "Shadow"):
        assert only(runner, name) == 2
        assert "nobody approved the rollout of sha256:" in runner.said[name]
    assert installation.experiment() == before


def test_a_good_candidate_is_approved_tried_and_promoted_and_then_watched(
    runner: Runner, installation: Installation, customers: tuple[Path, Sequence[Customer]], step: Step
) -> None:
    live = customers[1]
    champion = installation.experiment().champion
    with step("stage 6: approval, production, shadow"):
        assert runner.job("pipeline.yml", "production") == 0, last_of(runner)
    assert "is approved: https://github.example/shop/gauntlet/actions/runs/77, 2" in runner.said["Approval"]
    challenger = installation.experiment().challenger
    assert (installation.experiment().mode, installation.experiment().champion) == ("shadow", champion)
    taken = []
    later = (datetime.now(UTC) + LATER).isoformat()
    runner = replace(
        runner, environment={**runner.environment, "GAUNTLET_AS_OF": later, "GAUNTLET_MONITOR_AS_OF": later}
    )
    come(installation, live[:FEW])
    shown, looks = FEW, 0
    while (not taken or taken[-1] != "promote") and looks < 8:
        with step(f"stage 6: the next day's step, {shown} customers"):
            assert runner.job("rollout.yml", "advance") == 0, runner.said["Next step"]
        taken.append(action_in(runner.said["Next step"]))
        looks += 1
        come(installation, live[shown : shown + ENOUGH // 3])
        shown += ENOUGH // 3
    assert taken[-1] == "promote", taken
    assert "split" in taken, taken
    assert installation.experiment().champion == challenger
    with step("stage 7: monitor"):
        assert runner.job("monitor.yml", "monitor") == 0, last_of(runner)
    assert f"Champion `{challenger}`" in runner.said["Monitor"]
    assert "| drift |" in runner.said["Monitor"]


def action_in(said: str) -> str:
    """Which step `gauntlet rollout advance` says it took."""
    found = re.search(r"^(shadow|split|promote|rollback|wait|done)\b.*\(revision \d+\)$", said, re.MULTILINE)
    assert found is not None, said
    return found[1]


def test_the_registry_follows_the_promotion(runner: Runner, installation: Installation) -> None:
    with installation.kube.forward("service/gauntlet-mlflow", 5000) as url:
        done = subprocess.run(
            ["bash", ".ci/gauntlet", "blessing", "show", "models:/churn@champion", "--json"],
            cwd=runner.checkout, env={**runner.environment, "MLFLOW_TRACKING_URI": url},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    assert installation.experiment().champion in done.stdout
