"""Under load through the Ingress: what happens in good order costs no request and no answered prediction."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from cluster_tools import Kube, Step, wait_for
from installing import HOST, INGRESS, Installation, both_ready, features_of, missing
from load import Load, loading

from service.scoring.experiment import start_shadow, stop

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]

RATE = 200
CALM = 4.0
"""Seconds of load before and after each event."""


@pytest.fixture
def shadowing(installation: Installation) -> Installation:
    """The challenger in the shadow, from which a split may follow."""
    now = datetime.now(UTC)
    off = stop(installation.experiment(), now=now, lead=timedelta(0))
    challenger = installation.roles.challengers[0].digest
    installation.change(start_shadow(off, challenger, now=now, salt="load", lead=timedelta(0)))
    return installation


def evict(kube: Kube, pod: str) -> None:
    """Ask for an eviction as a drain does, again and again while the disruption budget says no."""
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": kube.namespace}}
    path = f"/api/v1/namespaces/{kube.namespace}/pods/{pod}/eviction"

    def is_granted() -> bool:
        return "Success" in kube("create", "--raw", path, "-f", "-", given=json.dumps(body), may_fail=True)

    wait_for(is_granted, f"{pod} was never let go", seconds=180)


def test_nothing_that_happens_in_good_order_costs_a_request_or_a_prediction(
    shadowing: Installation, gauntlet: Callable[..., str], step: Step
) -> None:
    installation, kube = shadowing, shadowing.kube
    headers = {"host": HOST, "authorization": f"Bearer {installation.key}"}
    features = features_of(installation.contract)
    seen: dict[str, int] = {}

    def event(name: str, act: Callable[[], object], load: Load) -> None:
        time.sleep(CALM)
        before = len(load.failures)
        with step(f"under {RATE} req/s: {name}"):
            act()
        time.sleep(CALM)
        seen[name] = len(load.failures) - before

    with loading(f"{INGRESS}/v1/score", headers=headers, features=features, rate=RATE) as load:
        where = ("--on-cluster", "--namespace", kube.namespace)
        event("split 50", lambda: gauntlet("experiment", "split", "50", *where), load)
        first = sorted(kube.pods("scoring"))[0]
        event("a pod deleted", lambda: (kube("delete", "pod", first), both_ready(installation)), load)
        for pod in sorted(kube.pods("scoring")):
            event("a pod evicted", lambda pod=pod: (evict(kube, pod), both_ready(installation)), load)  # type: ignore[misc]
        event(
            "rolling update",
            lambda: (kube("rollout", "restart", "deployment/gauntlet"), both_ready(installation)),
            load,
        )
        event("PostgreSQL restarted", lambda: restart_postgres(kube), load)
        pod = sorted(kube.pods("scoring"))[0]
        event("a shipper killed", lambda: kill_shipper(kube, pod), load)
        event("challenger off", lambda: gauntlet("experiment", "off", *where), load)
    assert load.failures == [], f"{load.told}; by event {seen}; {load.failures[:10]}"
    assert set(load.answers.values()) == {"champion", "challenger"}
    with step(f"{len(load.answers):,} predictions in PostgreSQL"):
        wait_for(lambda: not missing(kube, load), "not every answered prediction came to PostgreSQL", seconds=180)


def restart_postgres(kube: Kube) -> None:
    kube("delete", "pod", "gauntlet-postgres-0")
    kube("rollout", "status", "statefulset/gauntlet-postgres", "--timeout=180s")


def kill_shipper(kube: Kube, pod: str) -> None:
    """It ends at once, and its container is started again beside scoring, which goes on."""
    before = restarts(kube, pod)
    kube("exec", pod, "-c", "shipper", "--", "python", "-c", "import os; os.kill(1, 15)", may_fail=True)
    wait_for(lambda: restarts(kube, pod) > before, "the shipper was not started again", seconds=120)


def restarts(kube: Kube, pod: str) -> int:
    (shipper,) = kube.read("pod", pod)["status"]["initContainerStatuses"]
    return int(shipper["restartCount"])
