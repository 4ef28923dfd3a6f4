"""A registry in memory that keeps files with runs, tags and aliases: as much of one as blessings need."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from bentos.artifact import BLESSING, FILES, write_files
from bentos.errors import NotFound
from bentos.registry import Version


class KeepingRegistry:
    """Versions whose runs are folders."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tags: dict[str, dict[str, str]] = {}
        self.aliases: dict[str, str] = {}
        self.digests: dict[str, str] = {}

    def add(self, name: str = "churn") -> Version:
        """Register a new artifact."""
        number = str(len(self.digests) + 1)
        files = {file: f"{file} of {number}".encode() for file in FILES}
        self.digests[number] = write_files(self.folder / number / "artifact", files)
        self.tags[number] = {}
        return self.version(number, name)

    def version(self, number: str, name: str = "churn") -> Version:
        """As it stands now."""
        aliases = tuple(alias for alias, of in self.aliases.items() if of == number)
        return Version(
            name=name,
            number=number,
            digest=self.digests[number],
            run=number,
            aliases=aliases,
            tags=dict(self.tags[number]),
        )

    def versions(self, name: str) -> list[Version]:
        return [self.version(number, name) for number in reversed(self.digests)]

    def find_by_digest(self, name: str, digest: str) -> Version | None:
        return next((one for one in self.versions(name) if one.digest == digest), None)

    def find(self, uri: str) -> Version | None:
        number = self.aliases.get(uri.rpartition("@")[2])
        return None if number is None else self.version(number)

    def fetch(self, version: Version, folder: Path) -> None:
        shutil.copytree(self.folder / version.run / "artifact", folder)

    def fetch_file(self, version: Version, path: str, folder: Path) -> Path:
        found = self.folder / version.run / path
        if not found.is_file():
            raise NotFound(f"the run of {version} has no {path}")
        folder.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copy(found, folder))

    def attach(self, version: Version, path: Path, *, under: str = "gate") -> None:
        place = self.folder / version.run / under
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)

    def bless(self, version: Version, blessing: Path) -> None:
        assert blessing.name == BLESSING
        self.attach(version, blessing, under="artifact")

    def tag(self, version: Version, **tags: str) -> None:
        self.tags[version.number] |= tags

    def set_alias(self, version: Version, alias: str) -> None:
        self.aliases[alias] = version.number

    def drop_alias(self, name: str, alias: str) -> None:
        self.aliases.pop(alias, None)

    def now(self, version: Version) -> Version:
        """The same version with the tags and aliases that it has by now."""
        return replace(version, tags=dict(self.tags[version.number]), aliases=self.version(version.number).aliases)
