"""Reading ahead: the next chunk is read and decoded while the store works on this one.

What was read ahead is used only if the store's cursor then stands exactly where reading began; otherwise (another
shipper moved it, or the spool was made again) it is forgotten, and the chunk is read from where the cursor stands.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from service.prediction_log.chunks import Chunk, Cursor, read_chunk
from service.prediction_log.rows import Decoded, decode_lines


@dataclass(frozen=True)
class Reading:
    """A chunk, and what its lines say.

    Attributes:
        chunk: As it stands in the spool.
        decoded: A kind and a row for each line; None for a line that is no record.
    """

    chunk: Chunk
    decoded: list[Decoded]

    @property
    def beginnings(self) -> set[str]:
        """What the prediction ids begin with: their times, to a minute or so."""
        return {found[1][0][:8] for found in self.decoded if found is not None}


class ReadAhead:
    """Reads one spool's chunks, each in its turn."""

    def __init__(self, pool: ThreadPoolExecutor, folder: Path, landed_at: int) -> None:
        self._pool = pool
        self._folder = folder
        self._landed_at = landed_at
        self._next: tuple[Cursor, Future[Reading]] | None = None

    def take(self, cursor: Cursor) -> Reading:
        """The chunk at a cursor; begins to read the one behind it.

        Raises:
            OSError: The spool cannot be read.
        """
        reading = self._taken(cursor) or self._read(cursor)
        after, is_same_segment = reading.chunk.after, reading.chunk.after.segment == reading.chunk.begin.segment
        # A segment that is finished is deleted first, and what is at the end now is for the next pass.
        if is_same_segment and not reading.chunk.is_last:
            self._next = after, self._pool.submit(self._read, after)
        return reading

    def _taken(self, cursor: Cursor) -> Reading | None:
        expected, self._next = self._next, None
        if expected is None or expected[0] != cursor:
            return None
        with contextlib.suppress(OSError):  # it is read again, and fails there
            return expected[1].result()
        return None

    def _read(self, cursor: Cursor) -> Reading:
        chunk = read_chunk(self._folder, cursor)
        return Reading(chunk, decode_lines(chunk.lines, self._landed_at))


@contextlib.contextmanager
def reading_ahead() -> Iterator[ThreadPoolExecutor]:
    """The one thread that reads ahead; it begins with the first chunk that another follows."""
    pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="read-ahead")
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
