"""Spools whose owner is gone: shipped to their end, and then no longer waited for.

A spool that nobody ships any more keeps cohorts open: its watermark stands still, and nobody knows what is behind it.
One that was lost with its machine is given up (`give_up_spool`). One that is still there, on a volume or in a folder
that nobody writes to, is shipped here; then everything in it is in the store, so its row says that cohorts wait for it
no longer. Nothing closes early: until its last line is shipped its watermark stays where it was.

The owner is gone if nobody holds the spool's lock. While it is shipped it is held here, so that no new owner begins to
write behind what is taken for its end.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import msgspec
import sqlalchemy as sa

from bentos.errors import InvalidSetting, NotFound, Unavailable
from service.micros import to_micros
from service.prediction_log.chunks import read_chunk
from service.prediction_log.cursors import hold_cursor
from service.prediction_log.progress import Shipped
from service.prediction_log.segments import ID_FILE, LOCK_FILE, Segment, mend_tails, number_of, segments_of
from service.prediction_log.shipper import ship
from service.prediction_log.upkeep import record
from service.store import Store, tables

State = Literal["drained", "drained before", "alive", "empty"]


class Collected(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one spool.

    Attributes:
        spool: Its folder.
        worker: Its name in the store.
        state: `drained`: all of it is in the store now. `drained before`: nothing was left. `alive`: its owner writes
            to it, so it was left alone. `empty`: there are no segments; what the store knows of it stays.
        predictions: What was moved to the store by this.
        outcomes: The same of outcomes.
        treatments: The same of treatments.
        bad_lines: Lines that are no record; they are in its dead letters.
    """

    spool: str
    worker: str
    state: State
    predictions: int = 0
    outcomes: int = 0
    treatments: int = 0
    bad_lines: int = 0

    def __str__(self) -> str:
        if self.state == "alive":
            return f"{self.spool}: left alone, a live process writes to it"
        if self.state == "empty":
            return (
                f"{self.spool}: no segments; if its records are lost: gauntlet ship --give-up {self.worker} --reason …"
            )
        moved = f"{self.predictions:,} predictions, {self.outcomes:,} outcomes, {self.treatments:,} treatments"
        bad = f"; {self.bad_lines:,} bad lines are in its dead letters" if self.bad_lines else ""
        return f"{self.spool}: {self.state}, moved {moved}{bad}; no cohort waits for it any more"


@contextmanager
def held_if_orphan(spool: Path) -> Iterator[bool]:
    """Keep every other process from writing to a spool while the block runs; gives whether that could be had.

    Raises:
        OSError: The spool cannot be written to.
    """
    lock = os.open(spool / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(lock)


def spools_in(folder: Path) -> list[Path]:
    """The spools in a folder, by name.

    Raises:
        NotFound: There is no such folder.
        InvalidSetting: It is one spool itself.
    """
    if not folder.is_dir():
        raise NotFound(f"{folder} is no folder; it must be a folder of spools, one a worker")
    if (folder / ID_FILE).exists() or segments_of(folder):
        raise InvalidSetting(f"{folder} is one spool; name the folder that it lies in, {folder.parent}")
    return sorted(path for path in folder.iterdir() if path.is_dir())


def ship_orphans(
    store: Store, folders: Sequence[Path], *, who: str, now: datetime, key_file: Path | None = None
) -> list[Collected]:
    """Ship every spool whose owner is gone to its end, and let no cohort wait for it afterwards.

    Args:
        store: Where to.
        folders: Folders of spools, such as the volumes of machines that are gone. They must be writable.
        who: Who asked, for the record.
        now: The moment, with a time zone.
        key_file: The key of tombstones.

    Returns:
        What became of each spool, those of live owners included.

    Raises:
        NotFound: A folder is not there.
        InvalidSetting: One is a spool itself, or cannot be written to.
        Unavailable: The store does not answer, or a spool cannot be read. What was moved stays moved.
    """
    spools = [spool for folder in folders for spool in spools_in(folder)]
    collecting = _Collecting(store, who, now, key_file)
    found = []
    for spool in spools:
        try:
            with held_if_orphan(spool) as is_orphan:
                found.append(collecting.collect(spool) if is_orphan else _collected(spool, "alive"))
        except OSError as e:
            raise InvalidSetting(f"the spool {spool} must be writable: {e.strerror or e}") from e
    return found


class _Collecting:
    def __init__(self, store: Store, who: str, now: datetime, key_file: Path | None) -> None:
        self._store = store
        self._who = who
        self._now = now
        self._key_file = key_file

    def collect(self, spool: Path) -> Collected:
        """Ship a spool that is held here."""
        segments = segments_of(spool)
        if not segments:
            return _collected(spool, "empty")
        spool = self._named_apart(spool)
        row = self._row(spool)
        is_drained = row is not None and row.lost_at is not None
        if is_drained and not any(segment.stat().st_size for segment in segments_of(spool)):
            return _collected(spool, "drained before")
        mend_tails(spool)
        _finish(spool)
        shipped = ship(spool.parent, self._store, workers=[spool.name], key_file=self._key_file)
        self._end(spool)
        return _collected(spool, "drained", shipped)

    def _row(self, spool: Path) -> Any:
        spools = tables.spools
        with self._store.reading() as connection:
            return connection.execute(sa.select(spools).where(spools.c.worker == spool.name)).one_or_none()

    def _named_apart(self, spool: Path) -> Path:
        """The spool under a name of its own, where the store knows its name from another: that one may be alive."""
        row = self._row(spool)
        own = (spool / ID_FILE).read_text() if (spool / ID_FILE).exists() else ""
        if row is None or row.spool_id == own:
            return spool
        apart = spool.with_name(f"{spool.name}-{own[:8] or 'orphan'}")
        return spool.rename(apart)

    def _end(self, spool: Path) -> None:
        """Let no cohort wait for it: in the transaction that finds nothing left, and says who asked."""
        spools = tables.spools
        with self._store.writing() as connection:
            held = hold_cursor(connection, self._store, spool)  # deletes what was shipped
            chunk = read_chunk(spool, held.cursor)
            if chunk.lines or chunk.torn or not chunk.is_last:
                raise Unavailable(f"{spool} grew while it was held: somebody writes to it without its lock")
            ended = sa.update(spools).where(spools.c.worker == spool.name).values(lost_at=to_micros(self._now))
            connection.execute(ended)
            content = {"spool": str(spool.resolve())}
            record(connection, "drain", spool.name, who=self._who, now=self._now, content=content)


def _finish(spool: Path) -> None:
    """Begin an empty segment, so that the last one counts as finished: what is cut at its end becomes a dead letter."""
    last = segments_of(spool)[-1]
    if last.stat().st_size:
        Segment(spool, number_of(last) + 1, 0.0, is_name_synced=True).close()


def _collected(spool: Path, state: State, shipped: Shipped | None = None) -> Collected:
    moved = shipped or Shipped()
    return Collected(
        spool=str(spool),
        worker=spool.name,
        state=state,
        predictions=moved.predictions,
        outcomes=moved.outcomes,
        treatments=moved.treatments,
        bad_lines=moved.bad_lines,
    )
