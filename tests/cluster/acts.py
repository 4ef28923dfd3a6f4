"""What is done to an installation while it is under load: deletions, evictions, rolls, restarts and kills."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from cluster_tools import Kube, TestCluster, wait_for
from installing import Installation


def both_ready(installation: Installation) -> None:
    """Wait until no rollout is under way and two replicas are ready."""
    installation.kube("rollout", "status", "deployment/gauntlet", "--timeout=180s")
    wait_for(lambda: len(installation.kube.pods("scoring")) >= 2, "two replicas were never ready", seconds=180)


def delete(installation: Installation, pod: str) -> None:
    """With all the grace it has."""
    installation.kube("delete", "pod", pod)
    both_ready(installation)


def evict(installation: Installation, pod: str) -> None:
    """Ask for an eviction as a drain does, again and again while the disruption budget says no."""
    kube = installation.kube
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": kube.namespace}}
    path = f"/api/v1/namespaces/{kube.namespace}/pods/{pod}/eviction"

    def is_granted() -> bool:
        return "Success" in kube("create", "--raw", path, "-f", "-", given=json.dumps(body), may_fail=True)

    wait_for(is_granted, f"{pod} was never let go", seconds=180)
    both_ready(installation)


def roll_image(installation: Installation, cluster: TestCluster) -> None:
    """Another image by its name, which holds the same."""
    kube = installation.kube
    (scoring,) = kube.read("deployment", "gauntlet")["spec"]["template"]["spec"]["containers"]
    name, _, tag = scoring["image"].rpartition(":")
    other = tag.removesuffix("-again") if tag.endswith("-again") else f"{tag}-again"
    cluster.tag(f"{name}:{tag}", f"{name}:{other}")
    kube("set", "image", "deployment/gauntlet", f"scoring={name}:{other}")
    both_ready(installation)


def restart_postgres(installation: Installation) -> None:
    installation.kube("delete", "pod", "gauntlet-postgres-0")
    installation.kube("rollout", "status", "statefulset/gauntlet-postgres", "--timeout=180s")


def kill_container(installation: Installation, cluster: TestCluster, pod: str, container: str) -> None:
    """SIGKILL from the node, as the kernel does where memory runs out: no handler runs, nothing is flushed."""
    kube = installation.kube
    before = _restarts(kube, pod, container)
    cluster.kill_container(str(_status(kube, pod, container)["containerID"]).partition("//")[2])
    wait_for(
        lambda: _restarts(kube, pod, container) > before, f"{container} of {pod} was not started again", seconds=120
    )


def _status(kube: Kube, pod: str, container: str) -> Mapping[str, Any]:
    status = kube.read("pod", pod)["status"]
    found = [*status.get("initContainerStatuses", []), *status["containerStatuses"]]
    return next(one for one in found if one["name"] == container)


def _restarts(kube: Kube, pod: str, container: str) -> int:
    return int(_status(kube, pod, container)["restartCount"])
