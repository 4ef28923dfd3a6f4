"""The shipper: moves the prediction log from the spools to the store, each record once, however often it is tried.

Where a spool has been read up to stands in the store and moves in the transaction that inserts what was read. So a
shipper may die at any moment, and two may work at once: neither loses a record nor doubles one.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DataError, IntegrityError

from bentos.errors import NotFound, Unavailable
from service.micros import to_micros
from service.records import Outcome, Prediction, Record
from service.spool import ID_FILE, number_of, segment_name, segments_of
from service.stopping import Stop, stop_at_signals
from service.store import Store, tables

DEAD_LETTERS = "dead-letters.txt"
"""Beside a spool's segments: lines that are no record, as they were found."""

_LOG = logging.getLogger("gauntlet.shipper")
_CHUNK_BYTES = 4 * 1024 * 1024
_LONGEST_PAUSE_SECONDS = 30.0
_DECODER: msgspec.json.Decoder[Record] = msgspec.json.Decoder(Record)


@dataclass(frozen=True)
class Shipped:
    """What one pass moved.

    Attributes:
        predictions: Predictions that were not in the store.
        outcomes: Outcomes that were not in the store.
        duplicates: Records that were there already.
        bad_lines: Lines that are no record; they are in the dead letters.
    """

    predictions: int = 0
    outcomes: int = 0
    duplicates: int = 0
    bad_lines: int = 0

    def __add__(self, other: Shipped) -> Shipped:
        return Shipped(
            self.predictions + other.predictions,
            self.outcomes + other.outcomes,
            self.duplicates + other.duplicates,
            self.bad_lines + other.bad_lines,
        )


def ship(spool_folder: Path, store: Store, *, now: datetime | None = None) -> Shipped:
    """Move everything that stands complete in the spools to the store, and the watermarks to the moment it began.

    Args:
        spool_folder: A folder of spools; one that is not there holds nothing.
        store: Where to.
        now: The moment before reading begins; the clock's if it is not given.

    Raises:
        Unavailable: The store does not answer, or the spool cannot be read. What was moved before stays moved.
    """
    began = to_micros(now or datetime.now(UTC))
    shipped = Shipped()
    try:
        for folder in sorted(path for path in spool_folder.glob("*") if path.is_dir()):
            shipped += _ship_spool(folder, store, began)
    except OSError as e:
        raise Unavailable(f"the spool {spool_folder} cannot be read: {e}") from e
    return shipped


def run_shipper(
    spool_folder: Path,
    store: Store,
    *,
    once: bool = False,
    stop: Stop | threading.Event | None = None,
    interval_seconds: float = 0.5,
) -> Shipped:
    """Ship again and again until told to stop, then once more, so that nothing stays behind.

    Args:
        spool_folder: A folder of spools.
        store: Where to. While it does not answer the pauses grow, up to half a minute, and nothing is lost.
        once: Ship what is there, and end; then a store that does not answer is an error.
        stop: Ends it; SIGTERM and SIGINT do where none is given (in the main thread only).
        interval_seconds: Pause between two passes.

    Returns:
        What was moved in all.

    Raises:
        Unavailable: The store does not answer at the very end, or at all with `once`.
    """
    if once:
        return ship(spool_folder, store)
    stop = stop or stop_at_signals()
    shipped, pause = Shipped(), interval_seconds
    while not stop.wait(pause):
        try:
            shipped += ship(spool_folder, store)
            pause = interval_seconds
        except Unavailable as e:
            pause = min(max(2 * pause, interval_seconds), _LONGEST_PAUSE_SECONDS)
            _LOG.warning("ship_failed", extra={"reason": str(e), "next_try_seconds": pause})
    return shipped + ship(spool_folder, store)


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


@dataclass(frozen=True)
class _Chunk:
    """Part of a segment: its complete lines, and where reading goes on."""

    lines: list[bytes]
    torn: bytes
    segment: int
    offset: int
    is_last: bool


def _ship_spool(folder: Path, store: Store, began: int) -> Shipped:
    """Everything complete in one spool, a transaction a chunk."""
    shipped = Shipped()
    while True:
        with store.writing() as connection:
            cursor = _hold_cursor(connection, store, folder)
            chunk = _read_chunk(folder, *cursor)
            shipped += _land(connection, store, folder, chunk, began)
            _move_cursor(connection, folder.name, chunk, began)
        if chunk.is_last:
            return shipped


def _hold_cursor(connection: Connection, store: Store, folder: Path) -> tuple[int, int]:
    """Segment and offset to go on from; no other shipper moves them until this transaction ends."""
    spools, spool_id = tables.spools, _spool_id(folder)
    fresh = {"worker": folder.name, "spool_id": spool_id, "segment": 0, "offset": 0, "watermark": 0}
    store.insert_new(connection, spools, [fresh])
    found = connection.execute(sa.select(spools).where(spools.c.worker == folder.name).with_for_update()).one()
    if found.spool_id != spool_id:  # the folder was made again: the segments that the cursor speaks of are gone
        renewed = sa.update(spools).where(spools.c.worker == folder.name)
        connection.execute(renewed.values(spool_id=spool_id, segment=0, offset=0))
        return 0, 0
    for segment in segments_of(folder):
        if number_of(segment) < found.segment:  # shipped, and committed: this cursor was read from the store
            segment.unlink(missing_ok=True)
    return found.segment, found.offset


def _read_chunk(folder: Path, segment: int, offset: int) -> _Chunk:
    """The next lines from a cursor on."""
    numbers = [number_of(path) for path in segments_of(folder)]
    if not numbers:
        return _Chunk([], b"", segment, offset, is_last=True)
    if numbers[0] > segment:
        segment, offset = numbers[0], 0
    # A segment is finished if a later one was there before it was read.
    later = numbers[1] if len(numbers) > 1 else None
    content, is_whole = _read_from(folder / segment_name(segment), offset)
    end = content.rfind(b"\n") + 1
    lines = content[:end].split(b"\n")[:-1]
    if later is not None and is_whole:
        return _Chunk(lines, content[end:], later, 0, is_last=False)
    return _Chunk(lines, b"", segment, offset + end, is_last=is_whole)


def _read_from(path: Path, offset: int) -> tuple[bytes, bool]:
    """At least one line if there is one, about a chunk at most; and whether that reaches the file's end."""
    with path.open("rb") as file:
        file.seek(offset)
        content = file.read(_CHUNK_BYTES)
        if len(content) == _CHUNK_BYTES and b"\n" not in content:
            content += file.readline()
        return content, not file.read(1)


def _land(connection: Connection, store: Store, folder: Path, chunk: _Chunk, began: int) -> Shipped:
    """Insert what a chunk holds; what is no record goes to the dead letters."""
    bad = [chunk.torn] if chunk.torn else []
    predictions: list[tuple[bytes, dict[str, Any]]] = []
    outcomes: list[tuple[bytes, dict[str, Any]]] = []
    for line in chunk.lines:
        try:
            record = _DECODER.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            bad.append(line)
            continue
        kept = predictions if isinstance(record, Prediction) else outcomes
        kept.append((line, _row_of(record, began)))
    landed_predictions = _insert(connection, store, tables.predictions, predictions, bad)
    landed_outcomes = _insert(connection, store, tables.outcomes, outcomes, bad)
    duplicates = len(chunk.lines) + bool(chunk.torn) - len(bad) - landed_predictions - landed_outcomes
    if bad:
        _keep_dead_letters(folder, bad)
    return Shipped(landed_predictions, landed_outcomes, duplicates, len(bad))


def _insert(
    connection: Connection, store: Store, table: sa.Table, rows: list[tuple[bytes, dict[str, Any]]], bad: list[bytes]
) -> int:
    """Insert all rows; if the store refuses one of them, row by row without those that it refuses."""
    try:
        with connection.begin_nested():
            return store.insert_new(connection, table, [row for _, row in rows])
    except _REFUSED:
        landed = 0
    for line, row in rows:
        try:
            with connection.begin_nested():
                landed += store.insert_new(connection, table, [row])
        except _REFUSED:
            bad.append(line)
    return landed


# A number beyond 64 bits or a NUL in a text: drivers say so before they ask the database, each in its own way.
_REFUSED = (DataError, IntegrityError, OverflowError, ValueError)


def _row_of(record: Record, began: int) -> dict[str, Any]:
    row = {field: getattr(record, field) for field in record.__struct_fields__ if field != "v"}
    row["landed_at"] = began
    if isinstance(record, Outcome):
        return row
    return {**row, "features": msgspec.json.encode(record.features).decode()}


def _move_cursor(connection: Connection, worker: str, chunk: _Chunk, began: int) -> None:
    spools = tables.spools
    values: dict[str, Any] = {"segment": chunk.segment, "offset": chunk.offset, "lost_at": None}
    if chunk.is_last:
        values["watermark"] = sa.case((spools.c.watermark > began, spools.c.watermark), else_=began)
    connection.execute(sa.update(spools).where(spools.c.worker == worker).values(values))


def _keep_dead_letters(folder: Path, lines: Iterable[bytes]) -> None:
    """Keep what the store refuses. A full disk must not hold up the good lines behind it: then it is counted only."""
    kept = list(lines)
    try:
        with (folder / DEAD_LETTERS).open("ab") as file:
            file.write(b"".join(line + b"\n" for line in kept))
    except OSError as e:
        _LOG.error("dead_letters_lost", extra={"lines": len(kept), "reason": str(e)})


def _spool_id(folder: Path) -> str:
    try:
        return (folder / ID_FILE).read_text()
    except FileNotFoundError:
        return ""
