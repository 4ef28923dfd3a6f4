"""Replicas follow the load, there and back, and nobody who asks meanwhile is turned away."""

from __future__ import annotations

import json

import pytest
from cluster_tools import Step, wait_for
from installing import HOST, INGRESS, Installation, features_of
from load import loading

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]


def test_the_autoscaler_follows_the_load_there_and_back_without_a_failed_request(
    installation: Installation, step: Step
) -> None:
    """With a lower target and a shorter patience than shipped, so that a small machine and a minute are enough."""
    kube = installation.kube
    shipped = kube.read("hpa", "gauntlet")["spec"]
    metric = json.loads(json.dumps(shipped["metrics"]))
    metric[0]["containerResource"]["target"]["averageValue"] = "37m"
    quick = {"scaleDown": {"stabilizationWindowSeconds": 10, "policies": shipped["behavior"]["scaleDown"]["policies"]}}
    patch(installation, {"metrics": metric, "behavior": quick, "maxReplicas": 3})
    headers = {"host": HOST, "authorization": f"Bearer {installation.key}"}
    features = features_of(installation.contract)
    try:
        busy = loading(f"{INGRESS}/v1/score", headers=headers, features=features, rate=300)
        with busy as load, step("a third replica under 300 req/s"):
            wait_for(lambda: len(kube.pods("scoring")) == 3, "no third replica came", seconds=240)
        assert load.failures == [], load.told
        quiet = loading(f"{INGRESS}/v1/score", headers=headers, features=features, rate=5)
        with quiet as calm, step("back to two under 5 req/s"):
            wait_for(lambda: len(kube.pods("scoring")) == 2, "the third replica stayed", seconds=300)
        assert calm.failures == [], calm.told
    finally:
        patch(installation, {key: shipped[key] for key in ("metrics", "behavior", "maxReplicas")})


def patch(installation: Installation, spec: dict[str, object]) -> None:
    installation.kube("patch", "hpa", "gauntlet", "--type=merge", "--patch", json.dumps({"spec": spec}))
