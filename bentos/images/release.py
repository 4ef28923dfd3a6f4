"""A release: which images an overlay runs, by digest, and which blessed models the scoring image holds.

It is a kustomize component, which `gauntlet image --push --release FOLDER` writes: nobody copies digests by
hand, and the API server finds on the Deployment what it asks for (`k8s/cluster`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from yaml import YAMLError

from bentos.artifact import write_beside
from bentos.errors import BadInput
from bentos.roles import BentoRoles, told_of
from bentos.strict_yaml import dump_yaml, load_yaml

FILE, MODELS = "kustomization.yaml", "models.yaml"
_HEAD = b"# Written by `gauntlet image --push --release`: images by digest, and what the scoring image holds.\n"


def write_release(folder: Path, *, name: str, repository: str, digest: str, roles: BentoRoles | None) -> Path:
    """Put an image into a release, and leave the others as they are.

    Args:
        folder: The component's folder; made where it is not there.
        name: As the base names the image, such as `gauntlet-scoring`.
        repository: Where it was pushed.
        digest: By which it is pulled.
        roles: The models inside; None for an image without.

    Returns:
        The file.

    Raises:
        BadInput: What is there is no release.
    """
    path = folder / FILE
    found = _read(path)
    images = [image for image in found.get("images", []) if image["name"] != name]
    images.append({"name": name, "newName": repository, "digest": digest})
    release = {**found, "images": sorted(images, key=lambda image: str(image["name"]))}
    folder.mkdir(parents=True, exist_ok=True)
    if roles is not None:
        release["patches"] = [{"path": MODELS}]
        write_beside(folder / MODELS, _HEAD + dump_yaml(_annotated(roles)))
    write_beside(path, _HEAD + dump_yaml(release))
    return path


def check_release(folder: Path) -> None:
    """Make sure that an image can be put into a release.

    Args:
        folder: The component's folder, there or not.

    Raises:
        BadInput: What is there is no release.
    """
    _read(folder / FILE)


def _read(path: Path) -> Mapping[str, Any]:
    if not path.exists():
        return {"apiVersion": "kustomize.config.k8s.io/v1alpha1", "kind": "Component"}
    try:
        found = load_yaml(path.read_bytes())
    except YAMLError as e:
        raise BadInput(f"{path} is no release: {' '.join(str(e).split())[:200]}") from e
    if not isinstance(found, dict) or found.get("kind") != "Component":
        raise BadInput(f"{path} is no release: its kind must be Component")
    images = found.get("images") or []
    if not isinstance(images, list) or not all(isinstance(image, dict) and "name" in image for image in images):
        raise BadInput(f"{path} is no release: its images must be a list, each with a name")
    return {**found, "images": images}


def _annotated(roles: BentoRoles) -> dict[str, Any]:
    """The scoring Deployment's pods say which models they carry."""
    annotations = {f"gauntlet.dev/{name}": text for name, text in told_of(roles).items()}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "gauntlet"},
        "spec": {"template": {"metadata": {"annotations": annotations}}},
    }
