"""The files of a spool: who holds its folder, what its segments are called, and one that is being written.

```
<spool folder>/<worker>/.lock             held by the process that writes here, until it ends
                        spool-id          names this run of segments: a cursor that speaks of another is void
                        000001.jsonl …    segments, a line a record; a higher number was begun later
                        dead-letters.txt  the shipper's
```

Who reads may read at any moment, so a segment only ever grows by whole lines: what a failed write left of a line is
cut off again before anything else is written, and nothing before that is ever changed.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import uuid
from pathlib import Path
from typing import NoReturn

from service.prediction_log.lines import BadLine, decode_line

logger = logging.getLogger("gauntlet.spool")

ID_FILE = "spool-id"
LOCK_FILE = ".lock"
"""Held by the process that writes to a spool, until it ends."""

_ROOM_FILE = ".room"
_SEGMENT_SUFFIX = ".jsonl"
_BLOCK_BYTES = 8 * 1024 * 1024


class Segment:
    """A segment that is being written.

    Attributes:
        path: Where it was begun.
        file: The open file.
        size: Its whole lines, bytes: what a reader can count on.
        begun_at: When, on the clock of whoever began it, seconds.
        carried: How much of it stands in a later segment too, bytes, because it was deleted.
        is_torn: Whether it ends with part of a line that could not be cut off: nothing may be written behind it.
    """

    def __init__(self, folder: Path, number: int, begun_at: float, *, is_name_synced: bool) -> None:
        """Begin it, and put its name on the disk if asked to.

        Raises:
            OSError: It cannot be made, or is there already.
        """
        self.path = folder / segment_name(number)
        self.begun_at = begun_at
        self.size = self.carried = 0
        self.is_torn = False
        # Read as well as write: what it holds can be saved as long as it is open, even once it has been deleted.
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        self.file = os.open(self.path, flags, 0o644)
        if is_name_synced:
            try:
                sync_folder(folder)
            except OSError:
                os.close(self.file)
                self.path.unlink(missing_ok=True)
                raise

    def write(self, data: bytes) -> None:
        """Write whole lines. `size` says how many bytes of them stand there, also where this raises.

        Raises:
            OSError: Not all could be written; what there was of a line that is not whole is cut off.
        """
        written = 0
        try:
            written = os.write(self.file, data)
            while written < len(data):  # the next try says why the last one ended early
                written += os.write(self.file, data[written:]) or _refuse()
        except OSError:
            self.size += data.rfind(b"\n", 0, written) + 1
            self._cut()
            raise
        self.size += written

    def lines_from(self, offset: int) -> bytes:
        """Its next whole lines, at least one and a few megabytes at most; nothing at its end.

        Raises:
            OSError: It cannot be read.
        """
        block = os.pread(self.file, min(_BLOCK_BYTES, self.size - offset), offset)
        end = block.rfind(b"\n") + 1
        return block[:end] or os.pread(self.file, self.size - offset, offset)

    def count_lines(self, offset: int) -> int:
        """How many lines there are from an offset on, as far as they can be read."""
        count = 0
        with contextlib.suppress(OSError):
            while lines := self.lines_from(offset):
                offset += len(lines)
                count += lines.count(b"\n")
        return count

    def is_gone(self) -> bool:
        """Whether it has been deleted, moved or replaced: whoever looks for it by its name does not find it."""
        return is_gone(self.path, self.file)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self.file)

    def _cut(self) -> None:
        try:
            os.ftruncate(self.file, self.size)
        except OSError:
            self.is_torn = True


def segment_name(number: int) -> str:
    """What a segment is called."""
    return f"{number:06d}{_SEGMENT_SUFFIX}"


def number_of(segment: Path) -> int:
    """A segment's number; higher ones were begun later."""
    return int(segment.name.removesuffix(_SEGMENT_SUFFIX))


def segments_of(folder: Path) -> list[Path]:
    """A spool's segments, the oldest first."""
    found = (path for path in folder.glob(f"*{_SEGMENT_SUFFIX}") if path.name.removesuffix(_SEGMENT_SUFFIX).isdecimal())
    return sorted(found, key=number_of)


def claim_spool(folder: Path, worker: str) -> tuple[Path, int]:
    """The first of worker, worker-2, worker-3 … that no live process writes to, and the lock that keeps it so.

    The lock is an open file: it ends with this process, however that ends.

    Raises:
        OSError: The folder cannot be written to.
    """
    attempt = 1
    while True:
        place = folder / (worker if attempt == 1 else f"{worker}-{attempt}")
        place.mkdir(parents=True, exist_ok=True)
        lock = os.open(place / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            attempt += 1
            continue
        _name_spool(place)
        return place, lock


def is_claimed(place: Path, lock: int) -> bool:
    """Whether a lock still keeps others out: whoever opens the lock's file gets this one."""
    return not is_gone(place / LOCK_FILE, lock)


def is_gone(path: Path, file: int) -> bool:
    """Whether an open file is no longer what its path leads to."""
    try:
        found = path.stat()
    except OSError as e:
        return e.errno in (errno.ENOENT, errno.ENOTDIR, errno.ESTALE)  # anything else says nothing about the file
    return not os.path.samestat(found, os.fstat(file))


def mend_tails(place: Path) -> int:
    """Finish records that lack nothing but their line feed; leave what is cut inside a record as it is.

    A process or a machine that died in the middle of a write leaves at most one cut line at the end of what it wrote.
    If it lacks only the line feed, its checksum shows that it is whole: it gets the line feed, and is a record like any
    other. Otherwise nobody can finish it; nothing is written behind it (a new segment is begun at every start), and the
    shipper counts it and keeps it in the dead letters. It is not cut off here, because that would hide that something
    was cut.

    Returns:
        How many were finished.
    """
    return sum([_mend_tail(segment) for segment in segments_of(place)])


def bytes_in(folder: Path) -> int:
    """What all spools in a folder hold, dead letters included, bytes.

    Raises:
        OSError: The folder cannot be read.
    """
    return sum(_size(entry) for place in os.scandir(folder) if place.is_dir() for entry in os.scandir(place.path))


def find_room(place: Path, length: int, *, is_synced: bool) -> None:
    """Show that there is room for so many bytes, by writing them, and to the disk itself if asked to.

    Raises:
        OSError: There is not, or nothing can be written for another reason.
    """
    path = place / _ROOM_FILE
    try:
        with path.open("wb", buffering=0) as file:
            if file.write(bytes(length)) < length:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if is_synced:
                os.fdatasync(file.fileno())
    finally:
        path.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Put a folder's entries on the disk: a file whose name is lost is lost as well.

    Raises:
        OSError: The disk failed.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _refuse() -> NoReturn:
    raise OSError(errno.EIO, "the disk takes nothing, and does not say why")


def _size(entry: os.DirEntry[str]) -> int:
    with contextlib.suppress(FileNotFoundError):  # the shipper deletes while this looks
        return entry.stat(follow_symlinks=False).st_size
    return 0


def _mend_tail(segment: Path) -> bool:
    try:
        with segment.open("r+b", buffering=0) as file:
            decode_line(_tail_of(file.fileno()))
            file.seek(0, os.SEEK_END)
            return file.write(b"\n") == 1
    except (BadLine, FileNotFoundError):  # cut inside a record, or shipped and deleted
        return False
    except OSError as e:  # a full disk must not keep a worker from starting: the line goes to the dead letters
        logger.warning("spool_tail_not_mended", extra={"segment": str(segment), "reason": str(e)})
        return False


def _tail_of(file: int) -> bytes:
    """What stands behind a file's last line feed."""
    size = os.fstat(file).st_size
    length = min(size, 4096)
    while True:
        found = os.pread(file, length, size - length)
        if length == size or b"\n" in found:
            return found[found.rfind(b"\n") + 1 :]
        length = min(size, 2 * length)


def _name_spool(place: Path) -> None:
    """Give a spool without segments a new id, so that no cursor in the store is taken to be about its next ones."""
    if not segments_of(place) or not (place / ID_FILE).exists():
        beside = place / f".{ID_FILE}"
        beside.write_text(uuid.uuid4().hex)
        beside.replace(place / ID_FILE)
