"""The registry's aliases follow the experiment file: what a change of roles means there, tried a few times over."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from bentos.errors import GauntletError, NotFound, Unavailable
from bentos.registry import STATUS_TAG, Version
from service.store import Store
from validation.judge.audit import Change, settle

CHAMPION = "champion"
CHALLENGER = "challenger"
_ARCHIVED = "archived"
_ATTEMPTS = 3
_FIRST_PAUSE_SECONDS = 0.2


class RegistryPort(Protocol):
    """What is asked of a model registry; `bentos.registry.Registry` is one."""

    def find(self, uri: str) -> Version | None:
        """A version by `models:/NAME@ALIAS`."""

    def find_by_digest(self, name: str, digest: str) -> Version | None:
        """A version by its artifact's digest."""

    def fetch(self, version: Version, folder: Path) -> object:
        """Copy its artifact into a folder that is not there yet, verified."""

    def fetch_file(self, version: Version, path: str, folder: Path) -> Path:
        """Copy one file of the run that made a version into a folder."""

    def set_alias(self, version: Version, alias: str) -> None:
        """Let an alias point at it."""

    def drop_alias(self, name: str, alias: str) -> None:
        """Let an alias point at nothing."""

    def tag(self, version: Version, **tags: str) -> None:
        """Say something of it."""


def follow(store: Store, registry: RegistryPort, change: Change, sleep: Callable[[float], None]) -> Change:
    """Move the aliases, a few times over; the audit row says how it ended."""
    problem: GauntletError | None = None
    for attempt in range(_ATTEMPTS):
        if attempt:
            sleep(_FIRST_PAUSE_SECONDS * 2 ** (attempt - 1))
        try:
            _move_aliases(registry, change)
        except Unavailable as e:
            problem = e
        except GauntletError as e:
            problem = e
            break
        else:
            return settle(store, change, "moved")
    return settle(store, change, "pending", str(problem))


def _move_aliases(registry: RegistryPort, change: Change) -> None:
    """What a change means in the registry. Doing it twice is doing it once."""
    is_promotion = change.action == "promote"
    winner, loser = (change.challenger, change.champion) if is_promotion else (change.champion, change.challenger)
    won = registry.find_by_digest(change.model, winner or "")
    if won is not None:
        _crown(registry, won)
        if is_promotion:
            _drop_challenger(registry, won)
    elif is_promotion:
        raise NotFound(f"no version of {change.model} in the registry has the digest {change.challenger}")
    lost = registry.find_by_digest(change.model, loser or "")
    if lost is not None:
        _drop_challenger(registry, lost)
        registry.tag(lost, **{STATUS_TAG: _ARCHIVED})


def _crown(registry: RegistryPort, version: Version) -> None:
    """After most rollbacks it is champion already; after one that takes a promotion back it is so again."""
    if CHAMPION not in version.aliases:
        registry.set_alias(version, CHAMPION)
    if version.tags.get(STATUS_TAG) == _ARCHIVED:
        registry.tag(version, **{STATUS_TAG: CHAMPION})


def _drop_challenger(registry: RegistryPort, version: Version) -> None:
    """Another model may be challenger by now, and stays it."""
    if CHALLENGER in version.aliases:
        registry.drop_alias(version.name, CHALLENGER)
