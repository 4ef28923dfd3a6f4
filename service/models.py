"""The models that this process can score with: what the Bento carries, verified, behind one encoded row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec
import numpy as np

from bentos.artifact import Contract, Encoder, Value, floats_of, load_artifact
from bentos.errors import ArtifactDamaged, NotFound, Refused
from bentos.roles import ROLES, PackedModel, find_artifact, read_roles


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """A model's identity, as answers, records and metrics give it.

    Attributes:
        name: Registered name.
        version: Version number in the registry, as text.
        digest: Artifact digest.
    """

    name: str
    version: str
    digest: str

    def __str__(self) -> str:
        return f"{self.name}:{self.version}"


class ScoresBoundRow(Protocol):
    """What scoring asks of a scorer: the positive class's probability for the row that it was bound to."""

    def score_bound(self) -> float:
        """The probability for the bound row as it is now."""


@dataclass(frozen=True, slots=True)
class Model:
    """One model, ready to score the shared row.

    Attributes:
        identity: Name, version and digest.
        contract: Its own: the cut and the risk bands may differ between champion and challenger.
        scorer: Bound to the shared row.
    """

    identity: Identity
    contract: Contract
    scorer: ScoresBoundRow

    @property
    def digest(self) -> str:
        """The artifact digest, by which the experiment file names it."""
        return self.identity.digest


class Row:
    """The one float32 row that every model of this process reads; not for several threads at once.

    Attributes:
        encoder: The contract's encoding.
        values: Shape (1, width).
    """

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self.values = np.zeros((1, encoder.width), dtype=np.float32)
        self._floats = floats_of(self.values)

    def fill(self, features: Mapping[str, Value]) -> None:
        """Encode features into the row.

        Raises:
            InvalidFeatures: With every problem of the features; the row is then worth nothing until filled again.
        """
        self.values.fill(0.0)
        self.encoder.encode_into(features, self._floats)


@dataclass(frozen=True)
class Models:
    """Everything that this process can score with.

    Attributes:
        built_in: The champion that the Bento was built around.
        by_digest: Champion and challengers.
        row: What they all read.
        gauntlet: Version of Gauntlet that packed them.
    """

    built_in: Model
    by_digest: Mapping[str, Model]
    row: Row
    gauntlet: str

    @property
    def contract(self) -> Contract:
        """What requests are checked by."""
        return self.built_in.contract


def load_models(source: Path, stores: Sequence[Path]) -> Models:
    """Load and verify what a Bento carries.

    Args:
        source: The Bento's `src` folder, which holds `roles.json`.
        stores: Folders in which BentoML keeps models, the first that has one wins.

    Raises:
        NotFound: There is no Bento, or a model of it is nowhere.
        ArtifactDamaged: A file of a model is not what was packed; the message names it.
        Refused: A challenger's contract asks for other rows than the champion's, or a file must not be read.
    """
    roles = read_roles(source / ROLES)
    try:
        artifacts = {packed.digest: load_artifact(find_artifact(packed, tuple(stores))) for packed in roles.models}
    except PermissionError as e:
        raise Refused(f"{e.filename} cannot be read by this process's user; let it be read and entered") from e
    contract = artifacts[roles.champion.digest].contract
    row = Row(Encoder(contract))
    loaded = {}
    for packed in roles.models:
        artifact = artifacts[packed.digest]
        if artifact.digest != packed.digest:
            raise ArtifactDamaged(f"{artifact.folder} is {artifact.digest}, and {ROLES} names {packed.digest}")
        if not artifact.contract.serves_as(contract):
            raise Refused(f"{packed.tag} has another contract than the champion {roles.champion.tag}")
        scorer = artifact.scorer()
        if scorer.width != row.encoder.width:
            raise ArtifactDamaged(
                f"{artifact.folder / 'model.onnx'} reads {scorer.width} columns; the contract gives {row.encoder.width}"
            )
        scorer.bind_row(row.values)
        scorer.score_bound()  # the first run of a session allocates; no customer waits for it
        loaded[packed.digest] = Model(_identity(packed), artifact.contract, scorer)
    return Models(loaded[roles.champion.digest], loaded, row, roles.gauntlet)


def find_source(start: Path) -> Path:
    """The Bento's `src` folder: a Bento's folder, its `src`, or a link to either.

    Raises:
        NotFound: It is none of them.
    """
    for folder in (start, start / "src"):
        if (folder / ROLES).is_file():
            return folder.resolve()
    raise NotFound(f"{start} is no Bento that can be served: it has no {ROLES}; build one with `gauntlet package`")


def _identity(packed: PackedModel) -> Identity:
    return Identity(name=packed.name, version=packed.version, digest=packed.digest)
