"""Cursors and watermarks: how far each spool has been shipped, kept in the store with what was shipped.

A watermark is a promise: every record of the spool that was made before it is in the store. Cohorts close by it, so it
must never promise too much:

* It is the moment before the pass began to read, by the shipper's clock, which is the worker's too; and not later than
  the store's own clock where that is another machine's (PostgreSQL), so that a clock that runs ahead promises nothing.
* It stays while lines are unread, and never goes back: a pass that began earlier and ends later leaves it as it is.
* One that lies ahead of the clock is no promise. The clock was wrong when it was made, and was set back; what is
  written now carries earlier times than it. The next complete pass sets it to its own beginning. What was closed by it
  stays closed: the judge never closes beyond its own clock, and what lands later is counted as late.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bentos.errors import NotFound
from service.micros import to_micros
from service.prediction_log.chunks import Chunk, Cursor, delete_shipped
from service.prediction_log.segments import ID_FILE
from service.store import Store, tables

logger = logging.getLogger("gauntlet.shipper")


@dataclass(frozen=True)
class Moments:
    """The clock of one pass.

    Attributes:
        clock: Gives the moment, microseconds since 1970 UTC.
        began: Before reading began.
        is_given: Whether somebody said what time it is; then the store's clock is not asked.
    """

    clock: Callable[[], int]
    began: int
    is_given: bool = False


@dataclass(frozen=True)
class Held:
    """A spool whose cursor nobody else moves until the transaction ends.

    Attributes:
        folder: The spool.
        spool_id: Which run of segments it holds.
        cursor: Up to where it has been shipped.
        watermark: What the store promises of it, microseconds since 1970 UTC.
        stored_at: The store's own clock when the cursor was taken; None where it is this machine's.
    """

    folder: Path
    spool_id: str
    cursor: Cursor
    watermark: int
    stored_at: int | None


def hold_cursor(connection: Connection, store: Store, folder: Path) -> Held:
    """Take a spool's cursor, and delete the segments that lie behind it.

    Raises:
        OSError: The spool cannot be read.
    """
    spools, spool_id = tables.spools, _spool_id(folder)
    fresh = {"worker": folder.name, "spool_id": spool_id, "segment": 0, "offset": 0, "watermark": 0}
    store.insert_new(connection, spools, [fresh])
    found = connection.execute(sa.select(spools).where(spools.c.worker == folder.name).with_for_update()).one()
    cursor = Cursor(found.segment, found.offset, found.mark)
    if found.spool_id != spool_id:  # the folder was made again: the segments that the cursor speaks of are gone
        cursor = Cursor()
    delete_shipped(folder, cursor)
    stored_at = connection.execute(_STORES_CLOCK).scalar_one() if store.is_postgresql else None
    return Held(folder, spool_id, cursor, found.watermark, stored_at)


_STORES_CLOCK = sa.select(sa.cast(sa.func.extract("epoch", sa.func.clock_timestamp()) * 1_000_000, sa.BigInteger))


def move_cursor(connection: Connection, store: Store, held: Held, chunk: Chunk, moments: Moments) -> int:
    """Move a cursor behind what was shipped, and the watermark if nothing is left.

    Returns:
        The watermark.
    """
    spools, after = tables.spools, chunk.after
    watermark = _next_watermark(held, moments) if chunk.is_last else held.watermark
    values: dict[str, Any] = {"segment": after.segment, "offset": after.offset, "watermark": watermark}
    values |= {"spool_id": held.spool_id, "lost_at": None}
    if store.has(spools.c.mark):
        values["mark"] = after.mark
    connection.execute(sa.update(spools).where(spools.c.worker == held.folder.name).values(values))
    return watermark


def _next_watermark(held: Held, moments: Moments) -> int:
    began, now = moments.began, moments.clock()
    if held.stored_at is not None and not moments.is_given:
        began, now = min(began, held.stored_at), held.stored_at
    if held.watermark > now:
        extra = {"worker": held.folder.name, "ahead_seconds": (held.watermark - now) / 1e6}
        logger.warning("watermark_taken_back", extra=extra)
        return began
    return max(held.watermark, began)


def give_up_spool(store: Store, worker: str, *, who: str, reason: str, now: datetime) -> None:
    """Declare a spool lost (its node is gone), so that it no longer keeps cohorts open. Writes an audit row.

    Raises:
        NotFound: The store knows no spool of that name.
        Unavailable: The store does not answer.
    """
    spools = tables.spools
    with store.writing() as connection:
        given_up = sa.update(spools).where(spools.c.worker == worker).values(lost_at=to_micros(now))
        if not connection.execute(given_up).rowcount:
            known = ", ".join(connection.execute(sa.select(spools.c.worker).order_by(spools.c.worker)).scalars())
            raise NotFound(f"the store knows no spool {worker!r}; it knows {known or 'none'}")
        connection.execute(
            tables.audit.insert().values(
                at=to_micros(now),
                who=who,
                action="spool_lost",
                subject=worker,
                manual=True,
                reason=reason,
                provisional=False,
                aliases="none",
            )
        )


def _spool_id(folder: Path) -> str:
    try:
        return (folder / ID_FILE).read_text()
    except FileNotFoundError:
        return ""
