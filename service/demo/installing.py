"""An installation made from nothing in a namespace of its own: images, manifests, Secrets, and the way in."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import yaml

from bentos.errors import InvalidSetting, Refused
from bentos.folder import Folder
from bentos.images.engines import Engine
from bentos.images.making import Image, Order, make_image
from bentos.packing import CHECKOUT
from bentos.strict_yaml import dump_yaml
from k8s.delivering import Delivery
from k8s.kubectl import Kubectl
from k8s.secrets import make_secrets
from service.demo.traffic import Door

HOST = "gauntlet.localhost"
REPLICAS = 2
CLIENT = "demo"
_LABEL = "gauntlet.dev/demo"
_LARGEST_DATA = 900_000
"""What a ConfigMap takes is a megabyte."""
_ROLLOUT = "--timeout=300s"


class Installing:
    """Makes an installation by the local overlay, with kubectl.

    Attributes:
        context: Name of the kubeconfig context.
        overlay: The kustomization that is applied.
        key_file: Where the client's API key is left, readable by its owner alone.
    """

    def __init__(
        self,
        kubectl: Kubectl,
        *,
        folder: Folder,
        delivery: Delivery,
        engine: Engine,
        build_options: Sequence[str],
        ingress: str,
    ) -> None:
        self.context = kubectl.context()
        self.overlay = folder.path / "k8s"
        self.key_file = folder.path / "api-key"
        self._kubectl, self._delivery, self._engine = kubectl, delivery, engine
        self._build_options, self._ingress = tuple(build_options), ingress.rstrip("/")
        self._settings: Mapping[str, str] = {}
        self._key = ""

    @property
    def delivered(self) -> str:
        """How images come to the nodes, in words."""
        if self._delivery.registry:
            return f"pushed to {self._delivery.registry}"
        return f"loaded into the nodes by: {self._delivery.loader}"

    def check(self) -> None:
        """Make room: an earlier demo's namespace is deleted, and nothing else ever is.

        Raises:
            InvalidSetting: The namespace is somebody else's, or another namespace answers at the host.
        """
        namespace = self._kubectl.namespace
        found = self._read("namespaces", "--field-selector", f"metadata.name={namespace}")["items"]
        if found and found[0]["metadata"].get("labels", {}).get(_LABEL) != "true":
            raise InvalidSetting(f"namespace {namespace} is there, and no demo made it; name another --namespace")
        for ingress in self._read("ingresses", "--all-namespaces")["items"]:
            where = ingress["metadata"]["namespace"]
            hosts = {rule.get("host") for rule in ingress["spec"].get("rules") or ()}
            if HOST in hosts and where != namespace:
                raise InvalidSetting(f"namespace {where} answers at {HOST} already; two would answer in turn")
        if found:
            self._kubectl("delete", "namespace", namespace, "--wait", "--timeout=180s")

    def build(self, kind: str, tag: str, folder: Folder) -> Image:
        """Build an image, and bring it to the nodes."""
        archive = None if self._delivery.registry else folder.path / "images" / f"{kind}.tar"
        order = Order(
            kind=kind,
            reference=f"{self._delivery.name(kind)}:{tag}",
            base="python:3.11-slim",
            bill=folder.path / "images" / f"{kind}.cdx.json",
            archive=archive,
            is_pushed=self._delivery.registry is not None,
            further=self._build_options,
        )
        image = make_image(order, self._engine, folder, progress=lambda _: None)
        if archive is not None:
            self._delivery.load(archive)
            archive.unlink()  # as large as the image, and of no further use
        return image

    def install(self, *, policy: Path, scoring: Mapping[str, str]) -> None:
        """Namespace, Secrets and all manifests; scoring has no pods yet, as there is no image of it.

        Args:
            policy: The online policy.
            scoring: Settings of scoring beside the manifests' own.
        """
        self._settings = scoring
        self.overlay.mkdir(parents=True, exist_ok=True)
        (self.overlay / "policy.yaml").write_bytes(policy.read_bytes())
        namespace = self._kubectl.namespace
        self._kubectl("create", "namespace", namespace, "--save-config")
        self._kubectl("label", "namespace", namespace, f"{_LABEL}=true")
        secrets, keys = make_secrets(namespace, CLIENT)
        self._kubectl("create", "-f", "-", given=_listed(secrets))
        self._key = keys["admin"]
        self.key_file.touch(mode=0o600)
        self.key_file.write_text(self._key + "\n")
        self._apply("none-yet", replicas=0)
        self._await("statefulset/gauntlet-postgres", "deployment/gauntlet-mlflow")

    def hand_over_data(self, name: str, content: bytes) -> None:
        """Give a data file to the train Jobs.

        Raises:
            InvalidSetting: It is too large for a ConfigMap.
        """
        if len(content) > _LARGEST_DATA:
            raise InvalidSetting(
                f"the history takes {len(content):,} bytes as Parquet, and a ConfigMap has room for {_LARGEST_DATA:,}; "
                "the demo needs a smaller --data file"
            )
        path = self.overlay.parent / "data" / name
        path.write_bytes(content)
        self._kubectl("create", "configmap", "gauntlet-data", f"--from-file={path}")

    def registry(self) -> AbstractContextManager[str]:
        """The way to MLflow, which no Ingress leads to; gives its URL."""
        return self._kubectl.forward("service/gauntlet-mlflow", 5000)

    def roll_out(self, tag: str) -> int:
        """Let scoring and insight run the images of this tag; gives how many replicas of scoring are ready."""
        self._apply(tag, replicas=REPLICAS)
        self._await("deployment/gauntlet", *(f"deployment/gauntlet-{one}" for one in ("judge", "insight", "console")))
        return REPLICAS

    def door(self) -> Door:
        """The way in through the Ingress, as a client who has a key."""
        return Door(self._ingress, {"host": HOST, "authorization": f"Bearer {self._key}"})

    def _apply(self, tag: str, *, replicas: int) -> None:
        (self.overlay / "kustomization.yaml").write_text(yaml.safe_dump(self._kustomization(tag, replicas)))
        self._kubectl("apply", "-k", self.overlay)

    def _kustomization(self, tag: str, replicas: int) -> dict[str, Any]:
        """The local overlay with these images, a policy of minutes, and replicas that no autoscaler counts yet."""
        tags = {"scoring": tag, "insight": tag, "jobs": "demo"}
        setting = [{"name": key, "value": value} for key, value in self._settings.items()]
        pod = {"spec": {"containers": [{"name": "scoring", "env": setting}]}}
        scoring = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "gauntlet"},
            "spec": {"template": pod},
        }
        label = [{"op": "add", "path": "/metadata/labels/gauntlet.dev~1demo", "value": "true"}]
        return {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "namespace": self._kubectl.namespace,
            "resources": [os.path.relpath(CHECKOUT / "k8s" / "overlays" / "local", self.overlay.resolve())],
            "images": [
                {"name": f"gauntlet-{kind}", "newName": self._delivery.name(kind), "newTag": named}
                for kind, named in tags.items()
            ],
            # These wait for the experiment too; a pod that waits for a ConfigMap looks again every minute or two.
            "replicas": [
                {"name": "gauntlet", "count": replicas},
                *({"name": f"gauntlet-{name}", "count": min(replicas, 1)} for name in ("judge", "insight")),
            ],
            "configMapGenerator": [
                {
                    "name": "gauntlet-policy",
                    "behavior": "replace",
                    "files": ["policy.yaml"],
                    "options": {"disableNameSuffixHash": True},
                }
            ],
            "patches": [
                {"patch": yaml.safe_dump(scoring)},
                {"patch": yaml.safe_dump(label), "target": {"kind": "Namespace"}},
            ],
        }

    def _await(self, *workloads: str) -> None:
        for workload in workloads:
            try:
                self._kubectl("rollout", "status", workload, _ROLLOUT)
            except Refused as e:
                pods = self._kubectl("get", "pods")
                events = self._kubectl("get", "events", "--field-selector=type=Warning", "--sort-by=.lastTimestamp")
                last = "\n".join(events.splitlines()[-8:])
                raise Refused(f"{workload} did not become ready: {e}\n{pods}{last}") from e

    def _read(self, *arguments: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._kubectl("get", *arguments, "-o", "json"))
        return found


def _listed(manifests: list[dict[str, Any]]) -> str:
    return dump_yaml({"apiVersion": "v1", "kind": "List", "items": manifests}).decode()
