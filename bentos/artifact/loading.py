"""Loading an artifact: verified first, parsed when asked."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import msgspec

from bentos.artifact.contract import Contract, load_contract
from bentos.artifact.manifest import verify
from bentos.artifact.reference import Reference, TrainingRecord
from bentos.artifact.scorer import Scorer
from bentos.errors import ArtifactDamaged

T = TypeVar("T")


@dataclass(frozen=True)
class Artifact:
    """A verified artifact.

    Attributes:
        folder: Where it lies.
        digest: The digest of its manifest, which names it everywhere.
    """

    folder: Path
    digest: str

    @cached_property
    def contract(self) -> Contract:
        """What the model is asked."""
        return load_contract(self.folder / "contract.json")

    @cached_property
    def reference(self) -> Reference:
        """How features and score were distributed in training."""
        return _read(self.folder / "reference.json", Reference)

    @cached_property
    def training(self) -> TrainingRecord:
        """Where the model comes from."""
        return _read(self.folder / "training.json", TrainingRecord)

    def scorer(self) -> Scorer:
        """A new scorer of its model."""
        return Scorer((self.folder / "model.onnx").read_bytes())


def load_artifact(folder: Path) -> Artifact:
    """Verify an artifact and open it.

    Raises:
        NotFound: There is none.
        ArtifactDamaged: A byte differs from the manifest; the message names the file.
    """
    return Artifact(folder=folder, digest=verify(folder))


def _read(path: Path, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as e:
        raise ArtifactDamaged(f"{path}: {e}") from e
