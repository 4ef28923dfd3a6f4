"""An overlay as it renders: which workloads it has, which models its scoring image carries, and its way in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from bentos.errors import BadInput, Refused

SCORING = "gauntlet"
"""Name of the scoring Deployment, of its Service and of its Ingress."""

_CHAMPION, _CHALLENGERS = "gauntlet.dev/champion", "gauntlet.dev/challengers"
_SHADOW_ONLY = "gauntlet.dev/shadow-only"
_WORKLOADS = ("Deployment", "StatefulSet")


@dataclass(frozen=True)
class Carried:
    """What a scoring image holds.

    Attributes:
        image: As the Deployment names it.
        champion: Digest of the model that was packed as champion.
        challengers: Digests of the others.
        shadow_only: Digests of those that are blessed for the shadow alone.
    """

    image: str
    champion: str
    challengers: tuple[str, ...]
    shadow_only: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """By which the image is pulled.

        Raises:
            Refused: It is named by a tag, which may mean another image tomorrow.
        """
        name, _, digest = self.image.partition("@")
        if not digest:
            raise Refused(
                f"the scoring image {name} is named by a tag, and a rollout is one of a digest, {name}@sha256:..."
            )
        return digest

    @property
    def models(self) -> tuple[str, ...]:
        """Every digest, the champion's first."""
        return (self.champion, *self.challengers)


@dataclass(frozen=True)
class Overlay:
    """What `kubectl kustomize` makes of an overlay.

    Attributes:
        manifests: The objects, in its order.
    """

    manifests: tuple[Mapping[str, Any], ...]

    @property
    def workloads(self) -> tuple[str, ...]:
        """What has pods that are waited for, as `deployment/NAME`."""
        return tuple(name_of(found) for found in self.manifests if found["kind"] in _WORKLOADS)

    @property
    def host(self) -> str | None:
        """The name that the Ingress answers for; None where there is no Ingress or it names none."""
        ingress = self._named("Ingress")
        rules = ingress["spec"].get("rules") if ingress else None
        return rules[0].get("host") if rules else None

    @property
    def is_https(self) -> bool:
        """Whether the Ingress answers by HTTPS."""
        return bool((self._named("Ingress") or {}).get("spec", {}).get("tls"))

    @property
    def has_prometheus(self) -> bool:
        """Whether the installation has a Prometheus of its own."""
        return "service/gauntlet-prometheus" in [name_of(found) for found in self.manifests]

    @property
    def carried(self) -> Carried:
        """What the scoring image holds.

        Raises:
            BadInput: The overlay has no scoring Deployment, or its pods do not say which models they carry.
        """
        deployment = self._named("Deployment")
        if deployment is None:
            raise BadInput(f"this is no overlay of Gauntlet: it has no Deployment {SCORING}")
        return carried_of(deployment)

    def _named(self, kind: str) -> Mapping[str, Any] | None:
        wanted = f"{kind.lower()}/{SCORING}"
        return next((found for found in self.manifests if name_of(found) == wanted), None)


def parse_overlay(text: str) -> Overlay:
    """Read what `kubectl kustomize` printed."""
    return Overlay(tuple(found for found in yaml.safe_load_all(text) if found))


def name_of(manifest: Mapping[str, Any]) -> str:
    """An object as kubectl names it: `deployment/gauntlet`."""
    return f"{manifest['kind'].lower()}/{manifest['metadata']['name']}"


def carried_of(deployment: Mapping[str, Any]) -> Carried:
    """What the image of a scoring Deployment holds, as its pods' annotations say.

    Raises:
        BadInput: They do not say it.
    """
    template = deployment["spec"]["template"]
    told = template["metadata"].get("annotations") or {}
    if not told.get(_CHAMPION):
        raise BadInput(
            f"Deployment {SCORING} does not say which models its image carries: `gauntlet image scoring --push "
            "--release DIR` writes it"
        )
    return Carried(
        image=_image(template["spec"]["containers"]),
        champion=told[_CHAMPION],
        challengers=tuple(told.get(_CHALLENGERS, "").split()),
        shadow_only=tuple(told.get(_SHADOW_ONLY, "").split()),
    )


def _image(containers: Sequence[Mapping[str, Any]]) -> str:
    return next(str(container["image"]) for container in containers if container["name"] == "scoring")
