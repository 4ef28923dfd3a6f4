"""A registry of toys: versions whose artifacts lie in folders, fetched as from MLflow, verified the same."""

from __future__ import annotations

import shutil
from pathlib import Path

from serving_toys import bless, write_artifact

from bentos.artifact import Artifact, load_artifact
from bentos.registry import Version


class ToyRegistry:
    """Gives out copies of the artifacts that were added."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.versions: list[Version] = []

    def add(self, probability: float, *, aliases=(), blessing: dict | None = None, **artifact) -> Version:
        """Register a toy; `blessing` are the arguments of `bless`, None for no blessing at all."""
        number = str(len(self.versions) + 1)
        digest = write_artifact(self.folder / number, probability, **artifact)
        if blessing is not None:
            bless(self.folder / number, **blessing)
        version = Version(name="toy", number=number, digest=digest, run=number, aliases=tuple(aliases))
        self.versions.append(version)
        return version

    def fetch(self, version: Version, folder: Path) -> Artifact:
        """As the registry does."""
        load_artifact(self.folder / version.run)
        shutil.copytree(self.folder / version.run, folder)
        return load_artifact(folder)
