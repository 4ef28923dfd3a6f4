"""One worker's counts in one mapped file, `NAME.counts`: what was counted outlives the process, kill -9 included.

The file is a header and float64 slots. Counting is an addition in memory that the kernel keeps, other processes read
the file, and whoever starts under the same name goes on with its sums while the slots mean the same. The file belongs
to the process that holds its lock; its pages are written before they are mapped, because a full disk would otherwise
kill the process that first touches one.
"""

from __future__ import annotations

import fcntl
import logging
import mmap
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

logger = logging.getLogger("gauntlet.metrics")

SUFFIX = ".counts"
STATES = 8
"""How many numbers a worker can say about how it is now, beside what it counts."""

_MAGIC = b"gauntlet counts1"
_HEADER = struct.Struct("=16s32sdd8d")
_PID, _BEAT, _STATES, _SLOTS = 6, 7, 8, 16
"""Places of the header's numbers and of the first slot, counted in float64."""


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


class CountsFile:
    """The counts of this process.

    Attributes:
        name: Under which it counts. Where another live process counts under the wanted name, a number is added.
        slots: One float64 a slot; add to them.
        has_died: Whether the process that counted here before ended without a clean stop.
    """

    def __init__(self, name: str, memory: mmap.mmap, lock: int | None, *, has_died: bool = False) -> None:
        self.name = name
        self.has_died = has_died
        self._lock = lock
        self._memory = memory
        self._all = memoryview(memory).cast("d")
        self.slots = self._all[_SLOTS:]
        self._all[_PID] = os.getpid()
        self._all[_BEAT] = 0.0

    def beat(self, now: float) -> None:
        """Say that this process lives.

        Args:
            now: The monotonic clock, seconds.
        """
        self._all[_BEAT] = now

    def say(self, state: int, value: float) -> None:
        """Say how this process is: one of `STATES` numbers."""
        self._all[_STATES + state] = value

    def read(self) -> Counts:
        """What it says now, without the disk."""
        return _parse(self.name, bytes(self._memory))

    def close(self) -> None:
        """End cleanly: the sums stay, and are the next one's."""
        self._all[_PID] = 0.0
        if self._lock is not None:
            fcntl.flock(self._lock, fcntl.LOCK_UN)  # closing would not do: the mapping keeps the file open
            os.close(self._lock)
            self._lock = None


def open_counts(folder: Path, worker: str, *, digest: bytes, slots: int) -> CountsFile:
    """Open this process's counts; where the disk does not let it, they are counted in this process's memory alone.

    Files of other layouts are removed where nobody owns them.

    Args:
        folder: Of all workers' counts; made if needed.
        worker: Who counts: one name a process, the same again after a restart.
        digest: Of the layout, 32 bytes.
        slots: How many it has.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone_in(folder):
            found = _open(folder, worker, digest, slots)
            _remove_others(folder, digest)
        return found
    except OSError as e:
        logger.error("counts_not_shared", extra={"reason": str(e)})
        memory = mmap.mmap(-1, _HEADER.size + 8 * slots)
        memory[: _HEADER.size] = _header(digest)
        return CountsFile(worker, memory, None)


def read_counts(folder: Path, digest: bytes) -> list[Counts]:
    """What every worker of this layout counted, the dead ones' sums included, by name."""
    found = []
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        content = _read(path)
        if content[16:48] == digest:
            found.append(_parse(path.name.removesuffix(SUFFIX), content))
    return found


def read_beats(folder: Path) -> dict[int, float]:
    """The last heartbeat of each process, by its id; those that did not beat yet are left out."""
    found = {}
    for path in folder.glob(f"*{SUFFIX}"):
        content = _read(path, _HEADER.size)
        if content:
            counts = _parse(path.name, content)
            if counts.pid and counts.beat:
                found[counts.pid] = counts.beat
    return found


def lock_file(path: Path) -> int | None:
    """Open a file and hold it alone until it is closed; None where another process holds it.

    Raises:
        OSError: It cannot be opened.
    """
    while True:
        found = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(found, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(found)
            return None
        if _is_at(path, found):
            return found
        os.close(found)  # it was removed between opening and locking


def claim(folder: Path, worker: str, suffix: str) -> tuple[Path, int]:
    """The first file of worker, worker-2, worker-3 and so on that no live process holds, held until it is closed.

    Raises:
        OSError: None can be opened.
    """
    paths = (folder / f"{name}{suffix}" for name in names_of(worker))
    return next((path, lock) for path in paths if (lock := lock_file(path)) is not None)


def names_of(worker: str) -> Iterator[str]:
    """The name itself, then with numbers: worker, worker-2, worker-3 and so on."""
    yield worker
    number = 2
    while True:
        yield f"{worker}-{number}"
        number += 1


def _open(folder: Path, worker: str, digest: bytes, slots: int) -> CountsFile:
    path, lock = claim(folder, worker, SUFFIX)
    name = path.name.removesuffix(SUFFIX)
    size = _HEADER.size + 8 * slots
    try:
        header = os.pread(lock, _HEADER.size, 0)
        has_died = len(header) == _HEADER.size and _parse(name, header).pid != 0
        if header[:48] != _header(digest)[:48] or os.fstat(lock).st_size != size:
            _begin(lock, digest, size)
        memory = mmap.mmap(lock, size)
    except BaseException:
        os.close(lock)
        raise
    return CountsFile(name, memory, lock, has_died=has_died)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Hold every other worker that starts: one that looks whether a file is owned locks it for a moment."""
    with (folder / ".lock").open("a") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        yield


def _begin(file: int, digest: bytes, size: int) -> None:
    """Make every slot 0. The header is written last: until then nobody takes the file for one of this layout."""
    os.ftruncate(file, 0)
    written = os.pwrite(file, bytes(size), 0)
    if written != size:
        raise OSError(f"only {written} of {size} bytes of counts could be written")
    os.pwrite(file, _header(digest), 0)


def _header(digest: bytes) -> bytes:
    return _HEADER.pack(_MAGIC, digest, 0.0, 0.0, *[0.0] * STATES)


def _parse(name: str, content: bytes) -> Counts:
    _, _, pid, beat, *states = _HEADER.unpack_from(content)
    return Counts(name, int(pid), beat, tuple(states), content[_HEADER.size :])


def _read(path: Path, most: int = -1) -> bytes:
    """A counts file's content; empty where it is none."""
    try:
        with path.open("rb") as file:
            content = file.read(most)
    except OSError:  # it was removed just now
        return b""
    return content if content[:16] == _MAGIC and len(content) >= _HEADER.size else b""


def _remove_others(folder: Path, digest: bytes) -> None:
    for path in folder.glob(f"*{SUFFIX}"):
        if _read(path, _HEADER.size)[16:48] != digest:
            lock = lock_file(path)
            if lock is not None:
                path.unlink(missing_ok=True)
                os.close(lock)


def _is_at(path: Path, file: int) -> bool:
    try:
        return path.stat().st_ino == os.fstat(file).st_ino
    except FileNotFoundError:
        return False
