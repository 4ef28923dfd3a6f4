"""Dead letters: lines that are no record, or that the store cannot hold, kept as they were found.

They stand in a file beside the spool's segments. Where that cannot be written (a full disk) they stand in the store's
table `dead_letters`, in the transaction that moves the cursor past them; if that fails too, the cursor does not move
and the shipper tries again. So a bad line holds up no good ones as long as there is room anywhere, and is never
dropped. Each is logged with its place and length, never with its content.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from sqlalchemy.engine import Connection

from service.prediction_log.chunks import Chunk
from service.prediction_log.cursors import Held
from service.store import Store, tables

logger = logging.getLogger("gauntlet.shipper")

DEAD_LETTERS = "dead-letters.txt"
"""Beside a spool's segments."""

_LOGGED = 20


def keep_dead_letters(
    connection: Connection, store: Store, held: Held, chunk: Chunk, places: list[int], *, landed_at: int
) -> None:
    """Keep the lines at these positions of a chunk.

    Raises:
        OSError: Neither the file nor a store of an earlier schema can take them.
    """
    found = [_letter_of(held, chunk, place, landed_at) for place in sorted(places)]
    try:
        _append(held.folder / DEAD_LETTERS, b"".join(letter["line"] + b"\n" for letter in found))
        where = "file"
    except OSError as e:
        if not store.has(tables.dead_letters):
            raise
        store.insert_new(connection, tables.dead_letters, found)
        where = "store"
        logger.error("dead_letters_file_failed", extra={"worker": held.folder.name, "reason": str(e)})
    for letter in found[:_LOGGED]:
        named = {key: letter[key] for key in ("worker", "segment", "offset")}
        logger.error("bad_line", extra={**named, "length_bytes": len(letter["line"]), "kept_in": where})
    if len(found) > _LOGGED:
        logger.error("bad_lines", extra={"worker": held.folder.name, "lines": len(found), "kept_in": where})


def _letter_of(held: Held, chunk: Chunk, place: int, landed_at: int) -> dict[str, Any]:
    return {
        "worker": held.folder.name,
        "spool_id": held.spool_id,
        "segment": chunk.begin.segment,
        "offset": chunk.offset_of(place),
        "line": chunk.line(place),
        "landed_at": landed_at,
    }


def _append(path: Path, content: bytes) -> None:
    """Put all of it at the file's end, on the disk itself, or nothing: the segment is deleted afterwards."""
    with path.open("ab", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        try:
            written = 0
            while written < len(content):
                written += file.write(content[written:]) or 0
            os.fsync(file.fileno())
        except OSError:
            file.truncate(size)
            raise
