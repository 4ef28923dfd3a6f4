"""The models that this process can score with: what the Bento carries, verified, behind one matrix of encoded rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from bentos.artifact import Artifact, Contract, Encoder, Reference, Scope, Value, floats_of, load_artifact
from bentos.errors import ArtifactDamaged, NotBlessed, NotFound, Refused
from bentos.roles import ROLES, PackedModel, find_artifact, read_roles

BATCH_ROWS = 256
"""How many rows are scored together at most: requests that arrived while the last ones were answered. As many as may be
in flight by default, so that what arrives beyond them is refused at once instead of waiting for its turn."""


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


class ScoresRows(Protocol):
    """What scoring asks of a scorer: the positive class's probability for rows that it was bound to, or is given."""

    def score_first(self, n: int) -> list[float]:
        """The probability for each of the first `n` bound rows as they are now."""

    def score(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """The probability for each of these rows, shape (n_rows, width)."""


@dataclass(frozen=True, slots=True)
class Model:
    """One model, ready to score the shared rows.

    Attributes:
        identity: Name, version and digest.
        contract: Its own: the cut and the risk bands may differ between champion and challenger.
        scorer: Bound to the shared rows.
    """

    identity: Identity
    contract: Contract
    scorer: ScoresRows

    @property
    def digest(self) -> str:
        """The artifact digest, by which the experiment file names it."""
        return self.identity.digest


class Rows:
    """The float32 rows that every model of this process reads; not for several threads at once.

    Attributes:
        encoder: The contract's encoding.
        values: Shape (capacity, width).
        capacity: How many rows can be scored together.
    """

    def __init__(self, encoder: Encoder, capacity: int = BATCH_ROWS) -> None:
        self.encoder = encoder
        self.capacity = capacity
        self.values = np.zeros((capacity, encoder.width), dtype=np.float32)
        self._zeros = bytes(encoder.width * 4)
        self._bytes = [memoryview(self.values[i].data).cast("B") for i in range(capacity)]
        self._floats = [floats_of(self.values[i]) for i in range(capacity)]

    def fill(self, i: int, features: Mapping[str, Value]) -> None:
        """Encode features into a row.

        Raises:
            InvalidFeatures: With every problem of the features; the row is then worth nothing until filled again.
        """
        self._bytes[i][:] = self._zeros
        self.encoder.encode_into(features, self._floats[i])

    def fill_all(self, features: Sequence[Mapping[str, Value]]) -> bool:
        """Encode many at once into the first rows; False where not all are right, and each must be looked at."""
        return self.encoder.encode_rows(features, self.values[: len(features)])


@dataclass(frozen=True)
class Models:
    """Everything that this process can score with.

    Attributes:
        built_in: The champion that the Bento was built around.
        by_digest: Champion and challengers.
        rows: What they all read.
        references: How training looked, by digest.
        gauntlet: Version of Gauntlet that packed them.
        scopes: How far the blessing of each packed model reaches, by digest, as it was packed.
        refused: Challengers that were packed and must not be loaded, by digest, and why.
    """

    built_in: Model
    by_digest: Mapping[str, Model]
    rows: Rows
    references: Mapping[str, Reference]
    gauntlet: str
    scopes: Mapping[str, Scope]
    refused: Mapping[str, str]

    @property
    def contract(self) -> Contract:
        """What requests are checked by."""
        return self.built_in.contract


class LateScorer:
    """A scorer that is made when somebody asks for its model's word: a model may kill a process by being loaded."""

    def __init__(self, make: Callable[[], ScoresRows]) -> None:
        self._make = make
        self._made: ScoresRows | None = None

    def score_first(self, n: int) -> list[float]:
        """As `ScoresRows`."""
        return self._scorer().score_first(n)

    def score(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """As `ScoresRows`."""
        return self._scorer().score(rows)

    def _scorer(self) -> ScoresRows:
        if self._made is None:
            self._made = self._make()
        return self._made


Admit = Callable[[PackedModel, Path], str | None]
"""Asked of each packed model and its verified artifact before it is loaded; says why it must not be."""


def load_models(source: Path, stores: Sequence[Path], *, is_late: bool = False, admit: Admit | None = None) -> Models:
    """Load and verify what a Bento carries.

    Args:
        source: The Bento's `src` folder, which holds `roles.json`.
        stores: Folders in which BentoML keeps models, the first that has one wins.
        is_late: Load each model when it is first asked, so that one that nobody asks can do no harm.
        admit: Says who must not be loaded; None: everybody may.

    Raises:
        NotFound: There is no Bento, or a model of it is nowhere.
        NotBlessed: The champion must not be loaded.
        ArtifactDamaged: A file of a model is not what was packed; the message names it.
        Refused: A challenger's contract asks for other rows than the champion's, or a file must not be read.
    """
    roles = read_roles(source / ROLES)
    try:
        artifacts = {packed.digest: load_artifact(find_artifact(packed, tuple(stores))) for packed in roles.models}
    except PermissionError as e:
        raise Refused(f"{e.filename} cannot be read by this process's user; let it be read and entered") from e
    contract = artifacts[roles.champion.digest].contract
    rows = Rows(Encoder(contract))
    loaded: dict[str, Model] = {}
    refused: dict[str, str] = {}
    for packed in roles.models:
        artifact = artifacts[packed.digest]
        if artifact.digest != packed.digest:
            raise ArtifactDamaged(f"{artifact.folder} is {artifact.digest}, and {ROLES} names {packed.digest}")
        reason = admit(packed, artifact.folder) if admit else None
        if reason is not None:
            if packed == roles.champion:
                raise NotBlessed(reason)
            refused[packed.digest] = reason
            continue
        if not artifact.contract.serves_as(contract):
            raise Refused(f"{packed.tag} has another contract than the champion {roles.champion.tag}")
        make = partial(_make_scorer, artifact, rows)
        loaded[packed.digest] = Model(_identity(packed), artifact.contract, LateScorer(make) if is_late else make())
    return Models(
        built_in=loaded[roles.champion.digest],
        by_digest=loaded,
        rows=rows,
        references={digest: artifacts[digest].reference for digest in loaded},
        gauntlet=roles.gauntlet,
        scopes={packed.digest: packed.scope for packed in roles.models},
        refused=refused,
    )


def _make_scorer(artifact: Artifact, rows: Rows) -> ScoresRows:
    """A scorer that is bound to the rows and has run before."""
    scorer = artifact.scorer()
    if scorer.width != rows.encoder.width:
        file, width = artifact.folder / "model.onnx", rows.encoder.width
        raise ArtifactDamaged(f"{file} reads {scorer.width} columns; the contract gives {width}")
    scorer.bind(rows.values)
    for n in (1, rows.capacity):
        scorer.score_first(n)  # the first runs of a session allocate; no customer waits for them
    return scorer


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
