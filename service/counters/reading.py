"""What counts files say, all of them by whoever reads: a damaged one is left out, and told of once.

Nothing that a file holds may end the process that reads it, least of all the parent of the workers, which could not
start again either as long as the file is there.
"""

from __future__ import annotations

import logging
import math
import os
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

logger = logging.getLogger("gauntlet.metrics")

SUFFIX = ".counts"
STATES = 8
"""How many numbers a worker can say about how it is now, beside what it counts."""

HEADER = struct.Struct("=16s32sdd8d")
NAMED = 48
"""How many bytes of the header say what the file is: the magic ones and the layout's digest."""

PATIENCE_SECONDS = 0.05
"""How long who reads waits for those who count: that takes microseconds, unless the kernel lets them wait amid it."""

_PAUSE_SECONDS = 0.0002
_MAGIC = b"gauntlet counts1"
_MOST_PID = 2**22
"""The kernel gives no higher one."""


@dataclass(frozen=True)
class Counts:
    """What a worker's file said when it was read.

    Attributes:
        name: The worker.
        pid: Its process; 0 after a clean stop.
        beat: Its last heartbeat on the monotonic clock, seconds; 0 before the first.
        states: What it says of itself.
        slots: What it counted, float64.
    """

    name: str
    pid: int
    beat: float
    states: tuple[float, ...]
    slots: bytes


class CountsReader:
    """Reads the counts of all workers, as often as asked."""

    def __init__(self, folder: Path) -> None:
        """Nothing is read yet.

        Args:
            folder: Of all workers' counts; it need not be there.
        """
        self._folder = folder
        self._told: set[tuple[str, str]] = set()

    def counts(self, digest: bytes, slots: int) -> list[Counts]:
        """What every worker of this layout counted, the dead ones' sums included, by name.

        Args:
            digest: Of the layout, 32 bytes.
            slots: How many it has.
        """
        size = size_of(slots)
        found = []
        for path, content in self._contents(size + 1):  # a byte more shows a file that is too long
            if content[16:NAMED] != digest:
                continue
            if len(content) != size:
                self.tell(path.name, f"it is not {size} bytes long")
            else:
                found.append(parse(path.name.removesuffix(SUFFIX), content))
        return found

    def whole_counts(self, digest: bytes, slots: int, is_whole: Callable[[bytes, bytes], bool]) -> list[Counts]:
        """As `counts`, read again while somebody is amid counting what takes more than one addition.

        Whoever was stopped or killed in the middle of it is read as they are, once patience is over.

        Args:
            digest: Of the layout, 32 bytes.
            slots: How many it has.
            is_whole: Whether a worker's slots are, by them and by the same read again behind them.
        """
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            found = self.counts(digest, slots)
            later = {one.name: one.slots for one in self.counts(digest, slots)}
            are_whole = all(is_whole(one.slots, later.get(one.name, one.slots)) for one in found)
            if are_whole or time.monotonic() > until:
                return found
            time.sleep(_PAUSE_SECONDS)

    def beats(self) -> dict[int, float]:
        """The last heartbeat of each process, by its id; those that did not beat yet are left out."""
        headers = [parse(path.name, content) for path, content in self._contents(HEADER.size)]
        return {one.pid: one.beat for one in headers if one.pid and one.beat}

    def tell(self, name: str, reason: str) -> None:
        """Say what is wrong with a file, once."""
        if (name, reason) not in self._told:
            self._told.add((name, reason))
            logger.error("counts_damaged", extra={"file": str(self._folder / name), "reason": reason})

    def _contents(self, most: int) -> Iterator[tuple[Path, bytes]]:
        """So much of every file whose header is right."""
        for path in counts_files(self._folder):
            content = read_start(path, most)
            flaw = flaw_of(content)
            if flaw is None:
                yield path, content
            elif any(content[: HEADER.size]):  # without any it is being begun, or was removed just now
                self.tell(path.name, flaw)


def size_of(slots: int) -> int:
    """How long a file of so many slots is, bytes."""
    return HEADER.size + 8 * slots


def header(digest: bytes) -> bytes:
    """The header of a file in which nobody counts yet."""
    return HEADER.pack(_MAGIC, digest, 0.0, 0.0, *[0.0] * STATES)


def flaw_of(content: bytes) -> str | None:
    """What is wrong with a header, to be read after the file's name; None where all is right."""
    if content[:16] != _MAGIC or len(content) < HEADER.size:
        return "it does not begin as counts do"
    _, _, pid, *others = HEADER.unpack_from(content)
    is_pid = 0 <= pid <= _MOST_PID and pid.is_integer()
    if is_pid and all(map(math.isfinite, others)) and others[0] >= 0:
        return None
    return "its header holds numbers that no worker writes"


def parse(name: str, content: bytes) -> Counts:
    """What a file says whose header is right."""
    _, _, pid, beat, *states = HEADER.unpack_from(content)
    return Counts(name, int(pid), beat, tuple(states), content[HEADER.size :])


def counts_files(folder: Path) -> list[Path]:
    """All that are there, by name; none where the folder cannot be read."""
    try:
        return sorted(folder.glob(f"*{SUFFIX}"))
    except OSError:  # it was removed just now
        return []


def read_start(path: Path, most: int) -> bytes:
    """The first bytes of a file; none where it cannot be read."""
    try:
        with open(path, "rb", opener=_open_at_once) as file:  # Path.open takes no opener
            return file.read(most) or b""
    except OSError:  # it was removed just now, or is a folder
        return b""


def _open_at_once(path: str, flags: int) -> int:
    """Open a file and wait for nobody, as one would who opens a named pipe."""
    return os.open(path, flags | os.O_NONBLOCK)
