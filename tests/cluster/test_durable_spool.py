"""What was answered outlives its pod: one is deleted by force with the database away, and what it left is collected."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from cluster_tools import Kube, Step, wait_for
from installing import REPLICAS, Installation, ask_store

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]

CUSTOMERS = 50
"""Of each pod."""
PREDICTIONS = "select prediction_id from predictions"

LOOK = """
import fcntl, json, pathlib, time
place = pathlib.Path("/spools") / {pod!r} / {pod!r}
lock = open(place / ".lock", "r+")
held = 0
while True:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        break
    except BlockingIOError:
        held += 1
        if {is_once}:
            break
        time.sleep(0.2)
lines = sum(len(segment.read_bytes().splitlines()) for segment in place.glob("*.jsonl"))
print(json.dumps([bool(held), lines]))
"""


def look_at(kube: Kube, pod: str, *, is_once: bool) -> tuple[bool, int]:
    """Have another pod look at a pod's spool: once, or until nobody holds its lock.

    Returns:
        Whether somebody held it at first, and the lines in it.
    """
    judge = kube.read("deployment", "gauntlet-judge")["spec"]["template"]["spec"]
    name = f"looks-{'once' if is_once else 'long'}"
    container = {
        "name": "looks",
        "image": judge["containers"][0]["image"],
        "command": ["python", "-c", LOOK.format(pod=pod, is_once=is_once)],
        "securityContext": judge["containers"][0]["securityContext"],
        "volumeMounts": [{"name": "spool", "mountPath": "/spools"}],
    }
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": judge["securityContext"],
        "containers": [container],
        "volumes": [{"name": "spool", "persistentVolumeClaim": {"claimName": "gauntlet-spool"}}],
    }
    made = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
    kube("create", "-f", "-", given=json.dumps(made))
    try:
        wait_for(
            lambda: kube.read("pod", name)["status"]["phase"] in ("Succeeded", "Failed"),
            f"{name} never ended",
            seconds=180,
        )
        held, lines = json.loads(kube("logs", name))
        return bool(held), int(lines)
    finally:
        kube("delete", "pod", name, "--wait=false")


@contextmanager
def without_store(kube: Kube) -> Iterator[None]:
    """PostgreSQL away, and back with all that it held."""
    kube("scale", "statefulset/gauntlet-postgres", "--replicas=0")
    try:
        kube("wait", "--for=delete", "pod/gauntlet-postgres-0", "--timeout=120s")
        yield
    finally:
        kube("scale", "statefulset/gauntlet-postgres", "--replicas=1")
        kube("rollout", "status", "statefulset/gauntlet-postgres", "--timeout=180s")


def score_by_each(installation: Installation) -> dict[str, list[str]]:
    """Score customers by each pod alone. Returns the prediction ids that were answered, by pod."""
    return {
        pod: [
            installation.score(f"durable-{number}", url=f"http://{address}:3000").json()["prediction_id"]
            for number in range(CUSTOMERS)
        ]
        for pod, address in installation.kube.pods("scoring").items()
    }


@pytest.fixture
def durable(installation: Installation, step: Step, tmp_path: Path) -> Iterator[Installation]:
    """The installation with its spools on one volume; nobody collects orphans but the test."""
    suspended = ("CronJob", "ship-orphans", "/spec/suspend", True)
    with ExitStack() as taken:
        with step("spools on a volume"):
            components = ("spool-durable", "spool-durable/one-node")
            taken.enter_context(installation.taking(tmp_path, *components, patches=[suspended]))
        yield installation
        with step("spools in their pods again"):
            taken.close()


def test_what_a_pod_answered_is_collected_once_when_the_pod_is_lost_with_the_database_away(
    durable: Installation, step: Step
) -> None:
    kube = durable.kube
    with without_store(kube):
        answered = score_by_each(durable)
        assert len(answered) == REPLICAS
        lost = sorted(answered)[0]
        assert look_at(kube, lost, is_once=True) == (True, CUSTOMERS)
        with step("a pod deleted by force"):
            kube("delete", "pod", lost, "--grace-period=0", "--force")
            assert look_at(kube, lost, is_once=False)[1] == CUSTOMERS
    assert not set(answered[lost]) & set(ask_store(kube, PREDICTIONS))
    kube("rollout", "status", "deployment/gauntlet", "--timeout=180s")
    with step("orphans collected"):
        assert kube.run_job("orphans-1", "ship-orphans")
    told = {line.split(": ")[0].split("/")[-1]: line for line in kube("logs", "job/orphans-1").splitlines()}
    assert f": drained, moved {CUSTOMERS} predictions, " in told.pop(lost)
    assert set(told) >= set(kube.pods("scoring"))
    assert all(": left alone, " in told[pod] for pod in kube.pods("scoring"))
    wanted = {prediction for ids in answered.values() for prediction in ids}
    wait_for(lambda: wanted <= set(ask_store(kube, PREDICTIONS)), "not every answered prediction came", seconds=60)
    assert [prediction for prediction in sorted(ask_store(kube, PREDICTIONS)) if prediction in wanted] == sorted(wanted)
    assert all(durable.score("afterwards", url=url).status == 200 for url in durable.replicas())
