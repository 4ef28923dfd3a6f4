"""The model that scores a file: the champion of what is served, or a blessed version of the registry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bentos.artifact import Artifact, Contract, Encoder, Trust, check_blessing, load_artifact, read_blessing
from bentos.errors import ArtifactDamaged, NotFound
from bentos.folder import Folder
from bentos.roles import ROLES, find_artifact, read_roles
from service.scoring.experiment import read_experiment
from service.scoring.models import Identity, find_source


class ScoresRows(Protocol):
    """What is asked of a scorer: the positive class's probability of many rows."""

    def score(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Shape (n_rows, width) in, shape (n_rows,) out."""


@dataclass(frozen=True)
class FileModel:
    """A model, ready to score encoded rows.

    Attributes:
        identity: Name, version and digest, as answers give them.
        contract: What its rows are, and how its answers are read.
        scorer: Its ONNX session.
    """

    identity: Identity
    contract: Contract
    scorer: ScoresRows


def champion_of(folder: Folder) -> FileModel:
    """The champion that the folder's experiment file names; without such a file, the Bento's own.

    Raises:
        NotFound: There is no Bento, or it does not carry the champion.
        InvalidExperiment: The experiment file cannot be read.
        ArtifactDamaged: The model is not what was packed.
    """
    source = find_source(folder.bento)
    roles = read_roles(source / ROLES)
    digest = read_experiment(folder.experiment).champion if folder.experiment.exists() else roles.champion.digest
    packed = next((model for model in roles.models if model.digest == digest), None)
    if packed is None:
        carried = ", ".join(f"version {model.version}" for model in roles.models)
        raise NotFound(
            f"the Bento does not carry the champion of {folder.experiment}, {digest}; it carries {carried}: "
            "pack it with `gauntlet package`, or name it with --model"
        )
    artifact = load_artifact(find_artifact(packed, (source.parent / "models", folder.bentoml / "models")))
    return open_model(Identity(name=packed.name, version=packed.version, digest=packed.digest), artifact)


def registered(
    identity: Identity, artifact: Artifact, *, trust: Trust | None = None, expected: str | None = None
) -> FileModel:
    """A version of the registry, if it passed the gate.

    An expired blessing will do: expiry blocks packaging and promotion, and a champion reigns on.

    Args:
        identity: Name, version and digest.
        artifact: Its artifact.
        trust: Whose signatures count, and what was revoked; None: neither is looked at, as for a champion that reigns.
        expected: The id of the blessing by which the registry knows it; None where it knows none.

    Raises:
        NotBlessed: It never passed, or only to be scored in the shadow, or its blessing was revoked or is not signed.
        ArtifactDamaged: It is not what was registered.
    """
    blessing = read_blessing(artifact.folder)
    check_blessing(
        blessing,
        artifact=artifact.digest,
        now=blessing.judged_at,
        scope="split",
        trust=trust or Trust(),
        expected=expected,
    )
    return open_model(identity, artifact)


def open_model(identity: Identity, artifact: Artifact) -> FileModel:
    """Open a model's session.

    Raises:
        ArtifactDamaged: The artifact is another, or its model reads other rows than its contract gives.
    """
    if artifact.digest != identity.digest:
        raise ArtifactDamaged(f"{artifact.folder} is {artifact.digest}, and {identity} is {identity.digest}")
    scorer, width = artifact.scorer(), Encoder(artifact.contract).width
    if scorer.width != width:
        raise ArtifactDamaged(
            f"{artifact.folder / 'model.onnx'} reads {scorer.width} columns; the contract gives {width}"
        )
    return FileModel(identity, artifact.contract, scorer)
