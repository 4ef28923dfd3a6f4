"""Reading a spool from a cursor on, a chunk at a time, and telling whether a cursor still speaks of the same segment.

A machine that lost its power may have lost the end of a segment, or a whole one, that had been shipped; what is
written afterwards can have the same name. So a cursor carries a mark: a checksum of the last bytes before it, which at
the beginning of a segment are those of the one before. A segment before the cursor is deleted if the mark is its end's;
where a mark does not fit, the segment is read from its beginning, and what was shipped already lands no second time.
"""

from __future__ import annotations

import logging
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from service.prediction_log.segments import number_of, segment_name, segments_of

logger = logging.getLogger("gauntlet.shipper")

CHUNK_BYTES = 8 * 1024 * 1024
"""How much is read for one transaction: some seven thousand predictions, a quarter of a second's work."""

_MARKED_BYTES = 64  # the end of a line, its own checksum included


@dataclass(frozen=True)
class Cursor:
    """Up to where a spool has been shipped.

    Attributes:
        segment: Number of the segment; 0 before the first.
        offset: Bytes of it.
        mark: Checksum of the last bytes before it; None where nobody took it (schema 1).
    """

    segment: int = 0
    offset: int = 0
    mark: int | None = None


@dataclass(frozen=True)
class Chunk:
    """Part of a segment: its complete lines, and where reading goes on.

    Attributes:
        lines: Without their line feeds.
        torn: What stands behind the last line of a finished segment: no line will ever be made of it.
        begin: Where its first line stands.
        after: Where reading goes on.
        is_last: Whether nothing complete stands behind it.
    """

    lines: list[bytes]
    torn: bytes
    begin: Cursor
    after: Cursor
    is_last: bool

    def line(self, place: int) -> bytes:
        """The line at a position; behind the last one stands what is torn."""
        return self.lines[place] if place < len(self.lines) else self.torn

    def offset_of(self, place: int) -> int:
        """Where the line at a position begins in its segment, bytes."""
        return self.begin.offset + sum(len(line) + 1 for line in self.lines[:place])


def read_chunk(folder: Path, cursor: Cursor) -> Chunk:
    """The next lines from a cursor on.

    Raises:
        OSError: The spool cannot be read.
    """
    numbers = [number_of(path) for path in segments_of(folder)]
    if not numbers:
        return Chunk([], b"", cursor, cursor, is_last=True)
    if cursor.segment != numbers[0]:
        _tell_of_gap(folder, cursor, numbers[0])
        cursor = Cursor(numbers[0])
    # A segment is finished if a later one was there before it was read.
    later = numbers[1] if len(numbers) > 1 else None
    with (folder / segment_name(cursor.segment)).open("rb") as file:
        return _read_on(file, _checked(file, cursor, folder.name), later)


def delete_shipped(folder: Path, cursor: Cursor) -> None:
    """Delete the segments before a cursor that was read from the store, so that what it says is committed.

    Raises:
        OSError: They cannot be deleted.
    """
    for segment in segments_of(folder):
        if number_of(segment) < cursor.segment and (cursor.mark is None or _ends_with(segment, cursor)):
            segment.unlink()


def _ends_with(segment: Path, cursor: Cursor) -> bool:
    if cursor.offset:
        return False
    with segment.open("rb") as file:
        return _mark_at(file, file.seek(0, 2)) == cursor.mark


def _tell_of_gap(folder: Path, cursor: Cursor, first: int) -> None:
    if 0 < cursor.segment < first:
        extra = {"worker": folder.name, "segment": cursor.segment, "next_segment": first}
        logger.warning("segment_gone", extra=extra)  # somebody deleted it, or the store is older than the spool


def _checked(file: BinaryIO, cursor: Cursor, worker: str) -> Cursor:
    """The cursor, or the segment's beginning if it is not the one that the cursor speaks of."""
    size = file.seek(0, 2)
    if not cursor.offset:
        return cursor
    if cursor.offset <= size and cursor.mark in (None, _mark_at(file, cursor.offset)):
        return cursor
    extra = {"worker": worker, "segment": cursor.segment, "offset": cursor.offset, "size_bytes": size}
    logger.warning("segment_changed", extra=extra)
    return Cursor(cursor.segment)


def _read_on(file: BinaryIO, begin: Cursor, later: int | None) -> Chunk:
    content, is_whole = _read_from(file, begin.offset)
    lines = content.split(b"\n")
    torn = lines.pop()
    if later is not None and is_whole:
        mark = _mark_at(file, begin.offset + len(content))
        return Chunk(lines, torn, begin, Cursor(later, 0, mark), is_last=False)
    offset = begin.offset + len(content) - len(torn)
    after = Cursor(begin.segment, offset, _mark_at(file, offset))
    return Chunk(lines, b"", begin, after, is_last=is_whole)


def _read_from(file: BinaryIO, offset: int) -> tuple[bytes, bool]:
    """At least one line if there is one, about a chunk at most; and whether that reaches the file's end."""
    file.seek(offset)
    content = file.read(CHUNK_BYTES)
    if len(content) == CHUNK_BYTES and b"\n" not in content:
        content += file.readline()
    return content, not file.read(1)


def _mark_at(file: BinaryIO, offset: int) -> int:
    length = min(offset, _MARKED_BYTES)
    file.seek(offset - length)
    return zlib.crc32(file.read(length))
