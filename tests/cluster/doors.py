"""Trying doors: what a pod of a component reaches, by the network policies of its namespace."""

from __future__ import annotations

import json
from collections.abc import Mapping

from cluster_tools import Kube, wait_for

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


def doors_open_to(kube: Kube, component: str, doors: Mapping[str, tuple[str, int]]) -> set[str]:
    """Which of these doors (a host and a port by name) a pod of a component finds open."""
    judge = kube.read("deployment", "gauntlet-judge")["spec"]["template"]["spec"]
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
                    "image": judge["containers"][0]["image"],
                    "command": ["python", "-c", TRY.format(doors=json.dumps(doors))],
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
