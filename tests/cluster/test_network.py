"""Who reaches whom: a pod of each component tries each door, by the network policies of the installation."""

from __future__ import annotations

import json

import pytest
from cluster_tools import Kube, wait_for
from installing import Installation

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]

DOORS = {
    "scoring": ("gauntlet", 80),
    "judge": ("gauntlet-judge", 3002),
    "mlflow": ("gauntlet-mlflow", 5000),
    "postgres": ("gauntlet-postgres", 5432),
}
ALLOWED = {
    "scoring": {"judge", "postgres"},
    "judge": {"postgres"},
    "train": {"mlflow"},
    "gate": {"mlflow"},
    "roles": {"mlflow", "postgres"},
    "somebody": set[str](),
}

TRY = """
import json, socket
open_doors = []
for name, door in json.loads({doors!r}).items():
    for _ in range(2):
        try:
            socket.create_connection(tuple(door), timeout=3).close()
        except OSError:
            continue
        open_doors.append(name)
        break
print(json.dumps(open_doors))
"""


def doors_open_to(kube: Kube, component: str, image: str) -> set[str]:
    """Which doors a pod of a component finds open."""
    name = f"tries-{component}"
    restricted = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            # No ReplicaSet takes it for its own: each asks for the hash of its template too.
            "labels": {"app.kubernetes.io/name": "gauntlet", "app.kubernetes.io/component": component},
        },
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": {
                "runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "tries",
                    "image": image,
                    "command": ["python", "-c", TRY.format(doors=json.dumps(DOORS))],
                    "securityContext": restricted,
                    # Never ready: a Service must not send anybody here.
                    "readinessProbe": {"exec": {"command": ["false"]}},
                }
            ],
        },
    }  # fmt: skip
    kube("create", "-f", "-", given=json.dumps(pod))
    try:
        wait_for(
            lambda: kube.read("pod", name)["status"]["phase"] in ("Succeeded", "Failed"),
            f"{name} never ended",
            seconds=120,
        )
        return set(json.loads(kube("logs", name).splitlines()[-1]))
    finally:
        kube("delete", "pod", name, "--wait=false")


@pytest.mark.parametrize("component", sorted(ALLOWED))
def test_a_component_reaches_what_it_needs_and_nothing_else(installation: Installation, component: str) -> None:
    kube = installation.kube
    judge = kube.read("deployment", "gauntlet-judge")
    image = judge["spec"]["template"]["spec"]["containers"][0]["image"]
    assert doors_open_to(kube, component, image) == ALLOWED[component]
