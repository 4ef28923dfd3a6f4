"""What people call a model that the store knows by its digest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bentos.errors import GauntletError
from bentos.registry import Version
from service.console.sources import Sources

_SHOWN = 12


@dataclass(frozen=True)
class Names:
    """Names by digest.

    Attributes:
        versions: What the registry holds, the newest first.
        problem: Why there are no names, where the registry cannot say any.
    """

    versions: tuple[Version, ...] = ()
    problem: str | None = None
    _by_digest: Mapping[str, Version] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_digest = {version.digest: version for version in reversed(self.versions)}
        object.__setattr__(self, "_by_digest", by_digest)

    def of(self, digest: str | None) -> str:
        """A model's name; the beginning of its digest where the registry does not know it.

        >>> Names().of("sha256:0123456789abcdef"), Names().of(None)
        ('0123456789ab', 'nobody')
        """
        if digest is None:
            return "nobody"
        version = self._by_digest.get(digest)
        return digest.removeprefix("sha256:")[:_SHOWN] if version is None else short(version)


def short(version: Version) -> str:
    """A version as pictures name it.

    >>> short(Version("toy", "3", "sha256:a", "run"))
    'toy v3'
    """
    return f"{version.name} v{version.number}"


def read_names(sources: Sources) -> Names:
    """Every version of the model that the pages are about; without a registry none, and why."""
    try:
        return sources.kept("model names", lambda: Names(tuple(sources.registry().versions(sources.model()))))
    except GauntletError as e:
        return Names(problem=f"Models are named by the beginning of their digests: {e}")
