"""What a shipper has moved and how far it is, for whoever asks meanwhile."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

from service.prediction_log.chunks import Cursor


@dataclass(frozen=True)
class Shipped:
    """What was moved.

    Attributes:
        predictions: Predictions that were not in the store.
        outcomes: Outcomes that were not in the store.
        treatments: Treatments that were not in the store.
        duplicates: Records that were there already.
        bad_lines: Lines that are no record; they are in the dead letters.
        forgotten: Predictions of customers who were forgotten afterwards; they are nowhere.
    """

    predictions: int = 0
    outcomes: int = 0
    treatments: int = 0
    duplicates: int = 0
    bad_lines: int = 0
    forgotten: int = 0

    def __add__(self, other: Shipped) -> Shipped:
        mine, others = dataclasses.astuple(self), dataclasses.astuple(other)
        return Shipped(*(one + another for one, another in zip(mine, others, strict=True)))


@dataclass
class Progress:
    """Since the shipper's start. One thread writes, any may read.

    Attributes:
        shipped: What was moved in all.
        passes_failed: Passes that ended with an error and were tried again.
        spools: For each spool that was looked at the cursor and the watermark, microseconds since 1970 UTC.
    """

    shipped: Shipped = field(default_factory=Shipped)
    passes_failed: int = 0
    spools: dict[str, tuple[Cursor, int]] = field(default_factory=dict)

    def passed(self, worker: str, landed: Shipped, cursor: Cursor, watermark: int) -> None:
        """Remember one transaction."""
        self.shipped += landed
        self.spools[worker] = (cursor, watermark)
