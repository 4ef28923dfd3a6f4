"""What the manifests render to: each overlay, and the local one with each component that it does not take by itself."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
K8S = ROOT / "k8s"
KUBECTL = shutil.which("kubectl")

Manifest = dict[str, Any]

OVERLAYS = sorted(f"overlays/{path.name}" for path in (K8S / "overlays").iterdir() if path.is_dir())
LOCAL = "overlays/local"

COMPONENTS = {
    "batch": ("batch",),
    "gateway-api": ("gateway-api",),
    "gateway-api/tls": ("gateway-api", "gateway-api/tls"),
    "groq": ("groq",),
    "mlflow/postgres": ("mlflow/postgres",),
    "monitoring": ("monitoring",),
    "monitoring/annotations": ("monitoring/annotations",),
    "monitoring/dashboards": ("monitoring/dashboards",),
    "on-pass": ("on-pass",),
    "prometheus": ("prometheus",),
    "prometheus/alertmanager": ("prometheus", "prometheus/alertmanager"),
    "spool-durable": ("spool-durable",),
    "spool-durable/one-node": ("spool-durable", "spool-durable/one-node"),
    "tls": ("tls",),
    "tls/cert-manager": ("tls", "tls/cert-manager"),
}
"""What is taken for a component: itself, behind those that it changes."""

RENDERINGS = [*OVERLAYS, *(f"{LOCAL} with {name}" for name in COMPONENTS)]


def is_local(rendering: str) -> bool:
    return rendering.startswith(LOCAL)


def has_component(rendering: str, component: str) -> bool:
    _, _, name = rendering.partition(" with ")
    return component in COMPONENTS.get(name, ())


@cache
def rendered(rendering: str) -> tuple[Manifest, ...]:
    """The manifests of a folder of k8s, or of `<folder> with <component>`."""
    folder, _, component = rendering.partition(" with ")
    if not component:
        return _kustomize(K8S / folder)
    with tempfile.TemporaryDirectory() as place:
        return _kustomize(write_kustomization(Path(place), folder, COMPONENTS[component]))


def write_kustomization(place: Path, folder: str, components: tuple[str, ...]) -> Path:
    """A kustomization that takes a folder of k8s with components behind it."""

    def way_to(path: str) -> str:
        return os.path.relpath(K8S / path, place.resolve())

    taken = {
        "namespace": "gauntlet",
        "resources": [way_to(folder)],
        "components": [way_to(f"components/{one}") for one in components],
    }
    (place / "kustomization.yaml").write_text(yaml.safe_dump(taken))
    return place


def _kustomize(folder: Path) -> tuple[Manifest, ...]:
    done = subprocess.run([str(KUBECTL), "kustomize", str(folder)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(f"{folder} does not render: {done.stderr}")
    return tuple(yaml.safe_load_all(done.stdout))


def pod_template(manifest: Manifest) -> Manifest | None:
    """The pod template of a manifest that has one, whatever its kind."""
    spec = manifest.get("spec", {})
    template: Manifest | None = spec.get("jobTemplate", {}).get("spec", spec).get("template")
    return template


def template_of(rendering: str, kind: str, name: str) -> Manifest:
    template = pod_template(one(rendering, kind, name))
    assert template is not None
    return template


def pods(rendering: str) -> Iterator[tuple[Manifest, Manifest]]:
    for manifest in rendered(rendering):
        template = pod_template(manifest)
        if template is not None:
            yield manifest, template


def containers_in(template: Manifest) -> list[Manifest]:
    """Init containers too, sidecars among them."""
    return [*template["spec"].get("initContainers", []), *template["spec"]["containers"]]


def containers(rendering: str) -> Iterator[tuple[Manifest, Manifest]]:
    for manifest, template in pods(rendering):
        for container in containers_in(template):
            yield manifest, container


def of_kind(rendering: str, *kinds: str) -> list[Manifest]:
    return [manifest for manifest in rendered(rendering) if manifest["kind"] in kinds]


def named(manifest: Manifest) -> str:
    return f"{manifest['kind']}/{manifest['metadata']['name']}"


def one(rendering: str, kind: str, name: str) -> Manifest:
    return next(m for m in of_kind(rendering, kind) if m["metadata"]["name"] == name)


def matching(rendering: str, wanted: dict[str, str]) -> list[str]:
    """The workloads whose pods carry these labels."""
    return [named(m) for m, template in pods(rendering) if template["metadata"]["labels"].items() >= wanted.items()]
