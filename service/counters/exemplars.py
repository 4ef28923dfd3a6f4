"""Exemplars: for each bucket of a histogram one request that fell into it, by its prediction, for who asks what it was.

A worker keeps the first request of a bucket after each of its heartbeats, so four a second at most. In a bucket that is
seldom met, as those of the slow are, that is every request, and the last one stays; in a busy bucket all but four a
second pay one look into a set and no more. Prometheus takes one a bucket at each scrape anyway.

A record is written while other processes read it, and its writer may die in the middle: a checksum tells, as half of
one id and half of another would name a prediction that nobody was answered. An id is kept as the 128 bits that it is,
so nothing else can get into an exposition.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID
from zlib import crc32

TOLD_SECONDS = 3600.0
"""An older one is not told: whoever scrapes has it long since, and ids of predictions that were erased shall go too."""

_RECORD = struct.Struct("<16sddQ")
_SUMMED = struct.Struct("<16sdd")
_SLOTS = _RECORD.size // 8


@dataclass(frozen=True)
class ExemplarGrid:
    """The slots of a histogram's exemplars: a record for each of its slots. They are no numbers, and have no sum.

    Attributes:
        name: What the layout calls it.
        histogram: The histogram's name.
        places: How many slots the histogram has.
    """

    name: str
    histogram: str
    places: int

    @property
    def size(self) -> int:
        """How many slots it takes."""
        return _SLOTS * self.places

    @property
    def bound(self) -> int:
        """How many lines it can at most be exported as: exemplars stand behind the buckets' own."""
        return 0


@dataclass(frozen=True)
class Exemplar:
    """One request of a bucket.

    Attributes:
        prediction_id: What was answered.
        seconds: What it took.
        at: When it was answered, in seconds since 1970 UTC.
    """

    prediction_id: str
    seconds: float
    at: float


class ExemplarKeeper:
    """Keeps a worker's exemplars.

    Attributes:
        kept: The histogram's slots that need no other one before the next heartbeat.
    """

    def __init__(self, slots: memoryview[float], first: int) -> None:
        """Keep on in what is there.

        Args:
            slots: The grid's, of all the worker's.
            first: The histogram's first slot.
        """
        self._memory = slots.cast("B")
        self._first = first
        self.kept: set[int] = set()

    def keep(self, slot: int, found: Exemplar) -> None:
        """Keep one for a bucket.

        Args:
            slot: The bucket's.
            found: A request that was counted in it.
        """
        content = _SUMMED.pack(bytes.fromhex(found.prediction_id.replace("-", "")), found.seconds, found.at)
        at = _RECORD.size * (slot - self._first)
        self._memory[at : at + _RECORD.size] = content + crc32(content).to_bytes(8, "little")
        self.kept.add(slot)

    def beat(self) -> None:
        """Let every bucket have another one."""
        self.kept.clear()


def newest(workers: Iterable[bytes], now: float) -> dict[int, Exemplar]:
    """The newest exemplar of each bucket over all workers, by the bucket's place among the histogram's slots.

    Args:
        workers: The grid's slots of each.
        now: Seconds since 1970 UTC.
    """
    found: dict[int, Exemplar] = {}
    for slots in workers:
        for place, record in enumerate(_RECORD.iter_unpack(slots)):
            *content, check = record
            own_id, seconds, at = content
            if not 0 <= now - at <= TOLD_SECONDS or crc32(_SUMMED.pack(*content)) != check:
                continue
            if place not in found or found[place].at < at:
                found[place] = Exemplar(str(UUID(bytes=own_id)), seconds, at)
    return found
