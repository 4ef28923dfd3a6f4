"""The spool: where a worker writes its part of the prediction log before its answer leaves, one JSON line a record.

A folder a worker, in it numbered segments. One `write` a line, so that a process that is killed loses nothing that was
answered: at most the line it was writing stays cut, and nothing is ever written behind a cut line.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import uuid
from pathlib import Path

import msgspec

from service.records import Record

logger = logging.getLogger("gauntlet.spool")

SEGMENT_BYTES = 64 * 1024 * 1024
ID_FILE = "spool-id"
_LOCK_FILE = ".lock"
_SEGMENT_SUFFIX = ".jsonl"


class Spool:
    """One worker's end of the prediction log. Open it in the process that writes, after any fork.

    Attributes:
        worker: The name of the spool. Where another live process writes under the wanted name, a number is added.
        folder: Where its segments are.
        lost: Records that could not be written (disk full, folder gone): answered, and not in the log.
    """

    def __init__(self, folder: Path, worker: str, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        """Open a new segment, whatever earlier ones end with.

        Args:
            folder: The installation's spool folder; made if needed.
            worker: Who writes: one name a process, the same again after a restart.
            segment_bytes: From which size on a new segment is begun.

        Raises:
            OSError: The folder cannot be written to at all.
        """
        self.lost = 0
        self._segment_bytes = segment_bytes
        self._encoder = msgspec.json.Encoder()
        self._turn = threading.Lock()
        self._file: int | None = None
        self._lock: int | None
        self.folder, self._lock = _claim(folder, worker)
        self.worker = self.folder.name
        self._number = max((number_of(path) for path in segments_of(self.folder)), default=0)
        self._open_segment()

    def append(self, record: Record) -> bool:
        """Write one record; when this returns, the end of this process cannot lose it.

        A failure to write raises nothing, because an answer is worth more than its record; it is counted in `lost`.

        Returns:
            Whether it was written.
        """
        line = self._encoder.encode(record) + b"\n"
        with self._turn:
            try:
                self._write(line)
            except OSError as e:
                if not self.lost:
                    logger.error("spool_record_lost", extra={"reason": str(e)})  # the metric counts the others
                self.lost += 1
                return False
        return True

    def close(self) -> None:
        """End writing. What is appended later counts as lost."""
        with self._turn:
            self._close_segment()
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None

    def _write(self, line: bytes) -> None:
        if self._lock is None:
            raise OSError("the spool is closed")
        file = self._file
        if file is None or (self._size and self._size + len(line) > self._segment_bytes):
            self._close_segment()
            file = self._open_segment()
        written = os.write(file, line)
        self._size += written
        if written != len(line):
            self._close_segment()  # the disk is full, and the next line must not stand behind half a line
            raise OSError(f"only {written} of {len(line)} bytes were written")

    def _open_segment(self) -> int:
        self._number += 1
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        self._file = os.open(self.folder / segment_name(self._number), flags, 0o644)
        self._size = 0
        return self._file

    def _close_segment(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def segment_name(number: int) -> str:
    """What a segment is called."""
    return f"{number:06d}{_SEGMENT_SUFFIX}"


def number_of(segment: Path) -> int:
    """A segment's number; higher ones were begun later."""
    return int(segment.name.removesuffix(_SEGMENT_SUFFIX))


def segments_of(folder: Path) -> list[Path]:
    """A spool's segments, the oldest first."""
    found = (path for path in folder.glob(f"*{_SEGMENT_SUFFIX}") if path.name.removesuffix(_SEGMENT_SUFFIX).isdigit())
    return sorted(found, key=number_of)


def _claim(folder: Path, worker: str) -> tuple[Path, int]:
    """The first of worker, worker-2, worker-3 … that no live process writes to, locked until this process ends."""
    attempt = 1
    while True:
        place = folder / (worker if attempt == 1 else f"{worker}-{attempt}")
        place.mkdir(parents=True, exist_ok=True)
        lock = os.open(place / _LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            attempt += 1
            continue
        _name(place)
        return place, lock


def _name(place: Path) -> None:
    """Give a spool without segments a new id, so that no cursor in the store is taken to be about its next ones."""
    if not segments_of(place):
        beside = place / f".{ID_FILE}"
        beside.write_text(uuid.uuid4().hex)
        beside.replace(place / ID_FILE)
