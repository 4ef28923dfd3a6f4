"""What a Bento carries: `roles.json`, which names the champion that it was built around and every challenger beside it.

Packing writes it, the service reads it. The models lie in BentoML's own layout, `models/NAME/VERSION/artifact`: inside
the Bento where an image was made of it, in BentoML's model store where it is served from a folder.
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from bentos.artifact.blessing import Scope
from bentos.errors import ArtifactDamaged, NotFound

ROLES = "roles.json"
ARTIFACT = "artifact"
"""The artifact's folder inside a BentoML model, beside which BentoML keeps a file of its own."""


class PackedModel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model that a Bento carries.

    Attributes:
        name: Registered name, from the contract.
        version: Version number in the registry, as text.
        digest: Artifact digest.
        blessing: Id of the blessing under which it was packed; None where it was packed without one.
        scope: How far that blessing reaches: `split`, or `shadow`, and then its answers are returned to nobody.
    """

    name: str
    version: str
    digest: str
    blessing: str | None = None
    scope: Scope = "split"

    @property
    def tag(self) -> str:
        """The model as BentoML's model store names it: `NAME:VERSION`, from name and digest alone."""
        return f"{store_name(self.name)}:{short(self.digest)}"


class BentoRoles(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `roles.json` holds.

    Attributes:
        gauntlet: Version of Gauntlet that packed it.
        champion: The reigning champion when it was packed.
        challengers: The models that may be tried beside it.
    """

    schema_version: int = 1
    gauntlet: str
    champion: PackedModel
    challengers: tuple[PackedModel, ...] = ()

    @property
    def models(self) -> tuple[PackedModel, ...]:
        """Champion and challengers."""
        return (self.champion, *self.challengers)


def told_of(roles: BentoRoles) -> dict[str, str]:
    """Which models a Bento carries, as labels and annotations say it: digests and blessings with spaces between."""
    return {
        "champion": roles.champion.digest,
        "challengers": " ".join(model.digest for model in roles.challengers),
        "blessings": " ".join(model.blessing for model in roles.models if model.blessing is not None),
        "shadow-only": " ".join(model.digest for model in roles.models if model.scope == "shadow"),
    }


def short(digest: str) -> str:
    """The first twelve hexadecimal digits of a digest, for tags and labels that have no room for more."""
    return digest.removeprefix("sha256:")[:12]


def store_name(name: str) -> str:
    """A model's name in the form that BentoML's model store allows.

    >>> store_name("Breast cancer (biopsy)")
    'breast-cancer-biopsy'
    """
    return re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-._") or "model"


def dump_roles(roles: BentoRoles) -> bytes:
    """The roles as the bytes of `roles.json`."""
    return msgspec.json.format(msgspec.json.encode(roles), indent=2) + b"\n"


def read_roles(path: Path) -> BentoRoles:
    """Read `roles.json`.

    Raises:
        NotFound: There is none: this is no Bento that `gauntlet package` built.
        ArtifactDamaged: It cannot be read.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=BentoRoles)
    except FileNotFoundError as e:
        raise NotFound(f"there is no {path}; build a Bento with `gauntlet package`") from e
    except msgspec.MsgspecError as e:
        raise ArtifactDamaged(f"{path}: {e}") from e


def find_artifact(model: PackedModel, stores: tuple[Path, ...]) -> Path:
    """The folder of a packed model's artifact.

    Args:
        model: Which.
        stores: Folders in BentoML's layout, the first that has it wins.

    Raises:
        NotFound: None has it; the message says where was looked.
    """
    name, _, version = model.tag.partition(":")
    for store in stores:
        folder = store / name / version / ARTIFACT
        if folder.is_dir():
            return folder
    looked = " and ".join(str(store) for store in stores)
    raise NotFound(f"model {model.tag} of the Bento is not in {looked}; set BENTOML_HOME to where it was packed")
