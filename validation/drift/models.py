"""The models whose drift can be told: what the folder's Bento carries."""

from __future__ import annotations

from bentos.artifact import load_artifact
from bentos.errors import NotFound, shown
from bentos.folder import Folder
from bentos.roles import ROLES, find_artifact, read_roles
from service.scoring.models import Identity, find_source
from validation.drift.counting import ReferenceModel


def packed_models(folder: Folder, *, named: str | None = None) -> list[ReferenceModel]:
    """The champion and the challengers that a folder's Bento carries, or the one that is named.

    Args:
        folder: The installation.
        named: Name and version as metrics give them, such as `churn:3`, or a digest; None for all.

    Raises:
        NotFound: There is no Bento, or it does not carry that model.
        ArtifactDamaged: A model is not what was packed.
    """
    source = find_source(folder.bento)
    stores = (source.parent / "models", folder.bentoml / "models")
    found = []
    for packed in read_roles(source / ROLES).models:
        artifact = load_artifact(find_artifact(packed, stores))
        label = str(Identity(name=packed.name, version=packed.version, digest=packed.digest))
        found.append(
            ReferenceModel(label=label, digest=packed.digest, contract=artifact.contract, reference=artifact.reference)
        )
    chosen = [model for model in found if named in (None, model.label, model.digest)]
    if not chosen:
        carried = ", ".join(model.label for model in found)
        raise NotFound(f"the Bento does not carry {shown(named)}; it carries {carried}")
    return chosen
