"""Who is on trial, as a verdict asks it: the experiment file says it, or a stored verdict remembers it."""

from __future__ import annotations

from typing import Protocol

import msgspec

from service.prediction_log.records import Mode


class OnTrial(Protocol):
    """What is asked of an experiment."""

    @property
    def id(self) -> str:
        """What evidence is keyed by."""

    @property
    def champion(self) -> str:
        """Digest of the champion."""

    @property
    def challenger(self) -> str | None:
        """Digest of the challenger; None where nobody is on trial."""

    @property
    def mode(self) -> Mode:
        """`off`, `shadow` or `split`."""

    @property
    def split(self) -> float:
        """The challenger's share."""

    @property
    def revision(self) -> int:
        """Of the file."""

    @property
    def no_treatment(self) -> float:
        """The share of customers from whom actions are withheld."""


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """An experiment as a verdict remembers it."""

    id: str
    champion: str
    challenger: str | None
    mode: Mode
    split: float
    revision: int
    no_treatment: float
