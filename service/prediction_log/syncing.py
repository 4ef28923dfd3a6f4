"""Putting what a spool wrote on the disk from time to time, so that a machine that dies takes little of it along."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections import deque
from pathlib import Path

from service.prediction_log.segments import Segment, sync_folder

logger = logging.getLogger("gauntlet.spool")


class Syncer:
    """A thread that syncs one spool's segments, so that whoever writes them never waits for the disk.

    It takes no lock: it alone closes the segments that are handed to it, so a file that it syncs stays open.

    Attributes:
        failure: Why the last attempt failed; None where it did not.
    """

    def __init__(self, interval_seconds: float) -> None:
        """Begin to sync, at most once an interval."""
        self.failure: str | None = None
        self._interval_seconds = interval_seconds
        self._current: Segment | None = None
        self._synced: tuple[Segment | None, int] = (None, 0)
        self._finished: deque[Segment] = deque()
        self._folders: deque[Path] = deque()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="spool-syncer", daemon=True)
        self._thread.start()

    def follow(self, segment: Segment) -> None:
        """Sync this segment from now on, and its name in the folder."""
        self._folders.append(segment.path.parent)
        self._current = segment

    def finish(self, segment: Segment) -> None:
        """Sync this segment, to which nothing is written any more, and close it."""
        if self._current is segment:
            self._current = None
        self._finished.append(segment)

    def close(self) -> None:
        """Sync what is not synced yet, and end."""
        self._stop.set()
        self._thread.join()
        self._sync()

    def _run(self) -> None:
        while not self._stop.wait(self._interval_seconds):
            self._sync()

    def _sync(self) -> None:
        failure = None
        for step in (self._sync_folders, self._sync_finished, self._sync_current):
            try:
                step()
            except OSError as e:
                failure = f"what was written cannot be put on the disk: {e.strerror}"
        if failure is not None and self.failure is None:
            logger.error("spool_sync_failing", extra={"reason": failure})
        if failure is None and self.failure is not None:
            logger.info("spool_sync_recovered")
        self.failure = failure

    def _sync_folders(self) -> None:
        while self._folders:
            with contextlib.suppress(FileNotFoundError):  # deleted: the spool notices by itself, and goes on elsewhere
                sync_folder(self._folders[0])
            self._folders.popleft()

    def _sync_finished(self) -> None:
        while self._finished:
            segment = self._finished.popleft()
            try:
                os.fdatasync(segment.file)
            finally:
                segment.close()

    def _sync_current(self) -> None:
        segment = self._current
        if segment is None or self._synced == (state := (segment, segment.size)):
            return
        os.fdatasync(segment.file)
        self._synced = state
