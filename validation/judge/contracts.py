"""Where the judge has the champion's contract from, which says who is protected: a file, the Bento, or who scores.

On a cluster no model is in the judge's image; scoring has verified each that it carries, and tells the contracts of all
of them on its admin port. A model's contract is one of its bytes and never changes: it is asked for once a champion.
"""

from __future__ import annotations

import http.client
import urllib.request
from pathlib import Path
from typing import Protocol

import msgspec

from bentos.artifact import Contract, load_artifact, load_contract, parse_contract
from bentos.errors import NotFound, Unavailable
from bentos.folder import Folder
from bentos.roles import ROLES, find_artifact, read_roles
from service.scoring.models import find_source

PATH = "/contracts"
"""Where scoring's admin port tells them."""

_PATIENCE_SECONDS = 1.0
"""Scoring is beside the judge and has the answer at hand. A look may take a twentieth of the judge's time, so that one
second without an answer makes twenty until the next look."""


class Contracts(Protocol):
    """Where the contract is read from."""

    def of(self, champion: str) -> Contract:
        """The contract of the champion with this digest.

        Raises:
            GauntletError: It is not there, or cannot be read.
            OSError: It cannot be read.
        """


def contracts_of(folder: Folder, *, path: Path | None, scoring: str | None) -> Contracts:
    """Where to read contracts: what was named, the file first; else the folder's Bento.

    Args:
        folder: The installation.
        path: A `contract.json`.
        scoring: Base URL of scoring's admin port.
    """
    if path is not None:
        return ContractInFile(path)
    return ContractsInBento(folder) if scoring is None else ContractsOfScoring(scoring)


class ContractInFile:
    """Whose it is the user must know."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def of(self, champion: str) -> Contract:  # noqa: ARG002  # see the protocol
        """As `Contracts`; read each time, as the file may be another by now."""
        try:
            return load_contract(self._path)
        except FileNotFoundError as e:
            raise NotFound(f"there is no contract {self._path}") from e


class ContractsInBento:
    """The models' that the folder's Bento carries: the champion's, or that of whom it was built around."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._kept: tuple[str, Contract] | None = None

    def of(self, champion: str) -> Contract:
        """As `Contracts`; verified once a champion."""
        source = find_source(self._folder.bento)
        roles = read_roles(source / ROLES)
        packed = next((one for one in roles.models if one.digest == champion), roles.champion)
        if self._kept is None or self._kept[0] != packed.digest:
            stores = (source.parent / "models", self._folder.bentoml / "models")
            self._kept = packed.digest, load_artifact(find_artifact(packed, stores)).contract
        return self._kept[1]


class ContractsOfScoring:
    """The models' that scoring carries."""

    def __init__(self, url: str) -> None:
        self._url = f"{url.rstrip('/')}{PATH}"
        self._kept: tuple[str, Contract] | None = None

    def of(self, champion: str) -> Contract:
        """As `Contracts`; asked for once a champion, and until there is an answer."""
        if self._kept is None or self._kept[0] != champion:
            told = _told(self._url)
            if champion not in told:
                carried = ", ".join(told)
                raise NotFound(f"{self._url} tells the contracts of {carried}, and not the champion {champion}'s")
            self._kept = champion, parse_contract(bytes(told[champion]), self._url)
        return self._kept[1]


def _told(url: str) -> dict[str, msgspec.Raw]:
    """What scoring answers, by digest."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # it is reached as it is
    try:
        with opener.open(url, timeout=_PATIENCE_SECONDS) as answer:
            return msgspec.json.decode(answer.read(), type=dict[str, msgspec.Raw])
    except (OSError, ValueError, http.client.HTTPException, msgspec.MsgspecError) as e:
        raise Unavailable(f"scoring does not tell its models' contracts at {url}: {e}") from e
