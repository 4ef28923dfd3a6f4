"""The API server takes every rendering as it is: schemas, strictly, and pods that may run in a restricted namespace."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
from cluster_tools import Kube
from renderings import RENDERINGS, rendered

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

ELSEWHERE = {"PodMonitor", "PrometheusRule"}
"""Kinds of an operator that this cluster does not have."""


@pytest.fixture(scope="module")
def restricted(kube: Kube) -> Iterator[Kube]:
    """A namespace with nothing in it that refuses what `gauntlet` would refuse."""
    found = replace(kube, namespace=f"{kube.namespace}-schemas")
    found("create", "namespace", found.namespace)
    found("label", "namespace", found.namespace, *(f"pod-security.kubernetes.io/{mode}=restricted" for mode in MODES))
    try:
        yield found
    finally:
        found("delete", "namespace", found.namespace, "--wait=false")


MODES = ("enforce", "warn")


@pytest.mark.parametrize("rendering", RENDERINGS)
def test_the_api_server_would_take_every_manifest_without_a_warning(restricted: Kube, rendering: str) -> None:
    manifests = [manifest for manifest in rendered(rendering) if manifest["kind"] not in ELSEWHERE]
    placed = [{**m, "metadata": {**m["metadata"], "namespace": restricted.namespace}} for m in manifests]
    said: list[str] = []
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": placed})
    taken = restricted("apply", "--dry-run=server", "--validate=strict", "-f", "-", given=listed, errors=said)
    assert said == [""]
    assert len(taken.splitlines()) == len(manifests)
