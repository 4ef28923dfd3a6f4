"""How an image comes to a cluster's nodes: pushed to a registry, or loaded into the nodes themselves."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bentos.errors import InvalidSetting, NotFound, Refused
from bentos.images import LIBRARY

PLACE = "{}"
_LOADERS = (
    ("kind-", "kind load image-archive {} --name CLUSTER"),
    ("k3d-", "k3d image import {} --cluster CLUSTER"),
)


@dataclass(frozen=True)
class Delivery:
    """How images are delivered: one of both.

    Attributes:
        loader: A command that hands an archive, in place of `{}`, to the nodes.
        registry: Where images are pushed to, such as `registry.example/team`.
    """

    loader: str | None = None
    registry: str | None = None

    def name(self, kind: str) -> str:
        """What an image is called."""
        return f"{self.registry}/gauntlet-{kind}" if self.registry else f"{LIBRARY}/gauntlet-{kind}"

    def load(self, archive: Path) -> None:
        """Hand an archive to the nodes.

        Raises:
            NotFound: There is no such program.
            Refused: It failed; the message ends with its last words.
        """
        words = [str(archive) if word == PLACE else word for word in shlex.split(self.loader or "")]
        if shutil.which(words[0]) is None:
            raise NotFound(f"{words[0]} is not there, and it is what loads images (--load)")
        done = subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            said = "\n".join([*done.stdout.splitlines(), *done.stderr.splitlines()][-12:])
            raise Refused(f"{shlex.join(words)} failed with exit code {done.returncode}:\n{said}")


def delivery_of(context: str, *, loader: str | None, registry: str | None) -> Delivery:
    """How images come to the nodes of a cluster: as it was said, or as clusters of that name are known to take them.

    Args:
        context: The kubeconfig context's name.
        loader: A command, with `{}` where the archive's name goes, or else at its end.
        registry: Where to push.

    Raises:
        InvalidSetting: Both were said, or neither and the context tells nothing.
    """
    if loader and registry:
        raise InvalidSetting("give --load or --registry, not both: an image is loaded into the nodes or pulled by them")
    if registry:
        return Delivery(registry=registry.rstrip("/"))
    if loader:
        return Delivery(loader=loader if PLACE in shlex.split(loader) else f"{loader} {PLACE}")
    if context == "minikube":
        return Delivery(loader=f"minikube image load {PLACE}")
    for prefix, command in _LOADERS:
        if context.startswith(prefix):
            return Delivery(loader=command.replace("CLUSTER", shlex.quote(context.removeprefix(prefix))))
    raise InvalidSetting(
        f"how do images come to the nodes of {context}? Give --registry HOST/PATH that they pull from, or --load "
        "COMMAND that loads an archive into them, such as 'ctr --namespace k8s.io images import {}'"
    )
