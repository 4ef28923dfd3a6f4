"""One worker's counts in one mapped file, `NAME.counts`: what was counted outlives the process, kill -9 included.

The file is a header and float64 slots. Counting is an addition in memory that the kernel keeps, other processes read
the file, and whoever starts under the same name goes on with its sums while the slots mean the same. The file belongs
to the process that holds its lock; its pages are written before they are mapped, because a full disk would otherwise
kill the process that first touches one. Whoever truncates the file of a live worker kills it so all the same: counting
in memory of its own and copying would avoid that, and would lose with every kill -9 what was not copied yet.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.counters.reading import (
    HEADER,
    NAMED,
    SUFFIX,
    Counts,
    counts_files,
    flaw_of,
    header,
    parse,
    read_start,
    size_of,
)

logger = logging.getLogger("gauntlet.metrics")

_PID, _BEAT, _STATES, _SLOTS = 6, 7, 8, 16
"""Places of the header's numbers and of the first slot, counted in float64."""


class CountsFile:
    """The counts of this process.

    Attributes:
        path: Of its file; where there is none, of the one that could not be made.
        name: Under which it counts. Where another live process counts under the wanted name, a number is added.
        slots: One float64 a slot; add to them.
        has_died: Whether the process that counted here before ended without a clean stop.
    """

    def __init__(self, path: Path, memory: mmap.mmap, lock: int | None, *, has_died: bool = False) -> None:
        self.name = path.name.removesuffix(SUFFIX)
        self.has_died = has_died
        self.path = path
        self._lock = lock
        self._memory = memory
        self._named = memory[:NAMED]
        self._pid = float(os.getpid())
        self._is_missed = False
        self._all = memoryview(memory).cast("d")
        self.slots = self._all[_SLOTS:]
        self.beat(0.0)

    def beat(self, now: float) -> None:
        """Say that this process lives. What somebody else wrote into the header is put right.

        Args:
            now: The monotonic clock, seconds.
        """
        self._memory[:NAMED] = self._named
        self._all[_PID] = self._pid
        self._all[_BEAT] = now

    def say(self, state: int, value: float) -> None:
        """Say how this process is: one of `STATES` numbers."""
        self._all[_STATES + state] = value

    def read(self) -> Counts:
        """What it says now, without the disk."""
        states = tuple(self._all[_STATES:_SLOTS])
        return Counts(self.name, int(self._pid), self._all[_BEAT], states, bytes(self.slots))

    def renew(self) -> CountsFile | None:
        """Go on in a new file where somebody deleted or moved this one: what is mapped can still be read.

        Returns:
            The new one, with the same sums; None where nothing is amiss, or the disk does not let it.
        """
        if self._lock is None or not _is_gone(self.path, self._lock):
            return None
        try:
            found = _claim_counts(self.path.parent, self.name, self._named[16:], len(self.slots))
        except OSError as e:
            if not self._is_missed:  # it is tried again at every heartbeat
                logger.error("counts_not_shared", extra={"file": str(self.path), "reason": str(e)})
            self._is_missed = True
            return None
        found._all[_BEAT:] = self._all[_BEAT:]
        logger.error("counts_removed", extra={"file": str(self.path), "now": str(found.path)})
        self.close()
        self._memory[:NAMED] = bytes(NAMED)  # wherever it was moved to, nothing is counted twice
        return found

    def close(self) -> None:
        """End cleanly: the sums stay, and are the next one's."""
        self._all[_PID] = self._pid = 0.0
        if self._lock is not None:
            fcntl.flock(self._lock, fcntl.LOCK_UN)  # closing would not do: the mapping keeps the file open
            os.close(self._lock)
            self._lock = None


def open_counts(folder: Path, worker: str, *, digest: bytes, slots: int) -> CountsFile:
    """Open this process's counts; where the disk does not let it, they are counted in this process's memory alone.

    A file that is damaged is begun anew. Files of other layouts are removed where nobody owns them.

    Args:
        folder: Of all workers' counts; made if needed.
        worker: Who counts: one name a process, the same again after a restart.
        digest: Of the layout, 32 bytes.
        slots: How many it has.
    """
    try:
        return _claim_counts(folder, worker, digest, slots)
    except OSError as e:
        logger.error("counts_not_shared", extra={"reason": str(e)})
        memory = mmap.mmap(-1, size_of(slots))
        memory[: HEADER.size] = header(digest)
        return CountsFile(folder / f"{worker}{SUFFIX}", memory, None)


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


def _claim_counts(folder: Path, worker: str, digest: bytes, slots: int) -> CountsFile:
    folder.mkdir(parents=True, exist_ok=True)
    with _alone_in(folder):
        found = _open(folder, worker, digest, size_of(slots))
        _remove_others(folder, digest)
    return found


def _open(folder: Path, worker: str, digest: bytes, size: int) -> CountsFile:
    path, lock = claim(folder, worker, SUFFIX)
    try:
        before = os.pread(lock, HEADER.size, 0)
        is_other = before[:NAMED] != header(digest)[:NAMED]
        flaw = flaw_of(before)
        if flaw is None and not is_other and os.fstat(lock).st_size != size:
            flaw = f"it is not {size} bytes long"
        if flaw is not None and any(before):
            logger.error("counts_damaged", extra={"file": str(path), "reason": f"{flaw}; it is begun anew"})
        if flaw is not None or is_other:
            _begin(lock, digest, size)
        memory = mmap.mmap(lock, size)
    except BaseException:
        os.close(lock)
        raise
    return CountsFile(path, memory, lock, has_died=flaw_of(before) is None and parse(path.name, before).pid != 0)


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
    os.pwrite(file, header(digest), 0)


def _remove_others(folder: Path, digest: bytes) -> None:
    for path in counts_files(folder):
        if read_start(path, HEADER.size)[16:NAMED] != digest:
            with contextlib.suppress(OSError):  # what cannot be removed is nobody's, and is not read
                _remove_unowned(path)


def _remove_unowned(path: Path) -> None:
    lock = lock_file(path)
    if lock is not None:
        try:
            path.unlink(missing_ok=True)
        finally:
            os.close(lock)


def _is_at(path: Path, file: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file))
    except (FileNotFoundError, NotADirectoryError):
        return False


def _is_gone(path: Path, file: int) -> bool:
    try:
        return not _is_at(path, file)
    except OSError:  # that says nothing about the file
        return False
