"""The spool: where a worker writes its part of the prediction log before its answers leave, one JSON line a record.

A folder a worker, in it numbered segments. What is answered together is written by one `write`, so that a process that
is killed loses nothing that was answered: at most the line it was writing stays cut, and nothing is ever written behind
a cut line. What a machine that dies can lose depends on `fsync`.

Nothing here stops an answer. A disk that is full, or a folder that somebody deletes, costs records only as long as it
lasts: they are counted in `lost`, `failure` says why, and writing goes on by itself.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from service.prediction_log.lines import encode_lines
from service.prediction_log.records import Record
from service.prediction_log.segments import (
    Segment,
    bytes_in,
    claim_spool,
    find_room,
    is_claimed,
    mend_tails,
    number_of,
    segments_of,
    sync_folder,
)
from service.prediction_log.syncing import Syncer

logger = logging.getLogger("gauntlet.spool")

Fsync = Literal["never", "interval", "always"]
"""When records are put on the disk itself. `never`: when the kernel likes, within about 30 s. `interval`: by a thread,
at most so many seconds later. `always`: before `append` returns."""

SEGMENT_BYTES = 64 * 1024 * 1024
SEGMENT_SECONDS = 300.0
ROOM_BYTES = 64 * 1024
"""How much room there must be before a spool that found none says that all is well again, bytes."""

_LOOK_SECONDS = 0.1
_MEASURE_SECONDS = 1.0


class Spool:
    """One worker's end of the prediction log. Open it in the process that writes, after any fork.

    Attributes:
        worker: The name of the spool. Where another live process writes under the wanted name, a number is added.
        folder: Where its segments are.
        lost: Records that could not be written: answered, and not in the log.
    """

    def __init__(
        self,
        folder: Path,
        worker: str,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        segment_seconds: float = SEGMENT_SECONDS,
        limit_bytes: int | None = None,
        fsync: Fsync = "never",
        fsync_interval_seconds: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open a new segment, whatever earlier ones end with.

        Args:
            folder: The installation's spool folder; made if needed.
            worker: Who writes: one name a process, the same again after a restart.
            segment_bytes: From which size on a new segment is begun.
            segment_seconds: From which age of its oldest record on a new segment is begun, so that the shipper can
                delete what it has moved.
            limit_bytes: How much all spools in the folder may hold; a record beyond it meets a full disk. Other
                workers' share is measured once a second. None: what the disk holds.
            fsync: When records are put on the disk itself.
            fsync_interval_seconds: With `interval`, how long a record may wait for that.
            clock: Seconds that never go back, whatever happens to the time of day.

        Raises:
            OSError: The folder cannot be written to at all.
        """
        self.lost = 0
        self._root, self._wanted = folder, worker
        self._segment_bytes, self._segment_seconds = segment_bytes, segment_seconds
        self._limit_bytes, self._used_bytes = limit_bytes, 0
        self._is_synced_at_once, self._is_synced_ever = fsync == "always", fsync != "never"
        self._clock = clock
        self._turn = threading.Lock()
        self._failure: str | None = None
        self._lock: int | None = None
        self._segment: Segment | None = None
        self._removed: list[Segment] = []
        self._number = 0
        self._look_at = self._measure_at = clock()
        self._settle()
        self._syncer = Syncer(fsync_interval_seconds) if fsync == "interval" else None
        self._begin_segment(clock())

    @property
    def failure(self) -> str | None:
        """Why records are being lost, or may be if this machine dies now; None while all is well."""
        return self._failure or (self._syncer.failure if self._syncer is not None else None)

    def append(self, record: Record) -> bool:
        """Write one record; when this returns, the end of this process cannot lose it.

        A failure to write raises nothing, because an answer is worth more than its record; it is counted in `lost`.

        Returns:
            Whether it was written.
        """
        return self.append_all((record,))[0]

    def append_all(self, records: Sequence[Record]) -> list[bool]:
        """Write records that are answered together, by one `write`; each as with `append`.

        Returns:
            For each, whether it was written. Where the disk becomes full in the middle, the first ones are.
        """
        lines = encode_lines(records)
        data = b"".join(lines)
        with self._turn:
            whole = self._put(data)
            if whole == len(data):
                return [True] * len(lines)
            kept = data.count(b"\n", 0, whole)
            self.lost += len(lines) - kept
        return [True] * kept + [False] * (len(lines) - kept)

    def check(self) -> None:
        """Look after the spool where nobody writes: call it from time to time, in a few tenths of a second.

        Begins a new segment where the last is old, goes on in a new folder where somebody deleted it, and finds out
        whether what failed works again.
        """
        with self._turn:
            if self._lock is not None:
                self._look(self._clock())

    def close(self) -> None:
        """End writing, and put what was written on the disk unless `fsync` is `never`. Later records are lost."""
        with self._turn:
            if self._lock is None:
                return
            if self._removed or (self._segment is not None and self._segment.is_gone()):
                self._look(self._clock())  # what was deleted since the last time can still be saved
            self._finish_everything()
            os.close(self._lock)
            self._lock = None

    def _put(self, data: bytes) -> int:
        """Write whole lines; how many bytes of them will stay."""
        if self._lock is None:
            self._fail(OSError(errno.EBADF, "the spool is closed"))
            return 0
        now = self._clock()
        if now >= self._look_at:
            self._look(now)
        try:
            segment = self._segment_for(len(data), now)
        except OSError as e:
            self._fail(e)
            return 0
        return self._write(segment, data)

    def _segment_for(self, length: int, now: float) -> Segment:
        """The segment to write so many bytes to."""
        if self._limit_bytes is not None and self._used_bytes + length > self._limit_bytes:
            raise self._no_room()
        segment = self._segment
        if segment is None or segment.is_torn:
            return self._begin_segment(now)
        if segment.size and segment.size + length > self._segment_bytes:
            try:
                return self._begin_segment(now)
            except OSError as e:
                self._fail(e)  # and the record goes to the old one, which is only larger than it should be
        return segment

    def _write(self, segment: Segment, data: bytes) -> int:
        before = segment.size
        try:
            segment.write(data)
        except OSError as e:
            self._fail(e)
        whole = segment.size - before
        self._used_bytes += whole
        if self._is_synced_at_once and whole:
            try:
                os.fdatasync(segment.file)
            except OSError as e:
                self._fail(e)
                return 0  # the lines stand in the file, and may be read; but nobody may rely on it
        return whole

    def _begin_segment(self, now: float) -> Segment:
        """Begin the next segment; only then let go of the last, which the shipper takes for finished from now on."""
        self._number += 1
        segment = Segment(self.folder, self._number, now, is_name_synced=self._is_synced_at_once)
        if self._syncer is not None:
            self._syncer.follow(segment)
        last, self._segment = self._segment, segment
        if last is not None:
            self._let_go(last)
        return segment

    def _let_go(self, segment: Segment) -> None:
        if self._syncer is None:
            segment.close()
        else:
            self._syncer.finish(segment)

    def _settle(self) -> None:
        """Find a folder to write to."""
        place, lock = claim_spool(self._root, self._wanted)
        if self._lock is not None:
            os.close(self._lock)
        self.folder, self._lock = place, lock
        self.worker = self.folder.name
        mended = mend_tails(self.folder)
        if mended:
            logger.info("spool_tail_mended", extra={"spool": str(self.folder), "records": mended})
        self._number = max([self._number, *(number_of(path) for path in segments_of(self.folder))])
        if self._is_synced_ever:
            sync_folder(self._root)
            with contextlib.suppress(PermissionError):  # a folder that may be passed and not read was there before
                sync_folder(self._root.parent)

    def _look(self, now: float) -> None:
        """See whether all is as it should be, and mend what is not."""
        self._look_at = now + _LOOK_SECONDS
        try:
            self._notice_removal(now)
            self._notice_age(now)
            self._carry_over()
            self._notice_room(now)
        except OSError as e:
            self._fail(e)
        else:
            self._recover()

    def _notice_removal(self, now: float) -> None:
        """Go on elsewhere where somebody deleted or moved the folder, the lock or the segment."""
        segment = self._segment
        if segment is not None and segment.is_gone():
            logger.error("spool_removed", extra={"segment": str(segment.path), "bytes": segment.size})
            self._removed.append(segment)
            self._segment = None
        if self._lock is not None and not is_claimed(self.folder, self._lock):
            self._settle()
            self._begin_segment(now)

    def _notice_age(self, now: float) -> None:
        """Begin a new segment where there is none, the last is old, or room is made by deleting it."""
        segment = self._segment
        if segment is None or segment.is_torn:
            self._begin_segment(now)
        elif not segment.size:
            segment.begun_at = now  # its age is that of its oldest record
        elif self._failure is not None or now - segment.begun_at >= self._segment_seconds:
            self._begin_segment(now)

    def _carry_over(self) -> None:
        """Write again what stands in deleted segments: while they are open, it can still be read."""
        while self._removed and self._segment is not None:
            source, target = self._removed[0], self._segment
            while lines := source.lines_from(source.carried):
                before = target.size
                try:
                    target.write(lines)
                finally:
                    source.carried += target.size - before
            if self._is_synced_at_once:
                os.fdatasync(target.file)
            self._let_go(self._removed.pop(0))

    def _notice_room(self, now: float) -> None:
        """Measure how much all spools hold; and where writing failed, find out whether there is room again."""
        if self._limit_bytes is not None and (now >= self._measure_at or self._failure is not None):
            self._measure_at = now + _MEASURE_SECONDS
            self._used_bytes = bytes_in(self._root)
        if self._failure is not None:
            if self._limit_bytes is not None and self._used_bytes + ROOM_BYTES > self._limit_bytes:
                raise self._no_room()
            find_room(self.folder, ROOM_BYTES, is_synced=self._is_synced_at_once)

    def _no_room(self) -> OSError:
        held = f"the spools hold {self._used_bytes} bytes, and GAUNTLET_SPOOL_LIMIT_BYTES allows {self._limit_bytes}"
        return OSError(errno.ENOSPC, held)

    def _fail(self, error: OSError) -> None:
        if self._failure is None:
            logger.error("spool_failing", extra={"reason": str(error)})
        self._failure = error.strerror or str(error)

    def _recover(self) -> None:
        if self._failure is not None:
            logger.info("spool_recovered", extra={"lost": self.lost})
        self._failure = None

    def _finish_everything(self) -> None:
        for segment in self._removed:
            self.lost += segment.count_lines(segment.carried)
            self._let_go(segment)
        if self._segment is not None:
            self._let_go(self._segment)
        self._removed, self._segment = [], None
        if self._syncer is not None:
            self._syncer.close()
