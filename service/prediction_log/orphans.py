"""Spools whose owner is gone: shipped to their end, and then no longer waited for.

A spool that nobody ships any more keeps cohorts open: its watermark stands still, and nobody knows what is behind it.
One that was lost with its machine is given up (`give_up_spool`). One that is still there, on a volume or in a folder
that nobody writes to, is shipped here; then everything in it is in the store, so its row says that cohorts wait for it
no longer. Nothing closes early: until its last line is shipped its watermark stays where it was.

The owner is gone if nobody holds the spool's lock. While it is shipped it is held here, so that no new owner begins to
write behind what is taken for its end.

A lock says who writes as long as those who share a disk see each other's: processes of one machine do, machines on
NFS 4 or CephFS too, on other network file systems they may not. A second sign does not need the disk: an owner who
lives has a shipper beside it, which moves the spool's watermark in the store with every pass. So whoever is told to
watch looks at the watermarks twice, and leaves alone what moved: somebody ships it, whoever holds its lock.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
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
from service.prediction_log.dead_letters import DEAD_LETTERS
from service.prediction_log.progress import Shipped
from service.prediction_log.segments import ID_FILE, LOCK_FILE, Segment, mend_tails, number_of, segments_of
from service.prediction_log.shipper import ship
from service.prediction_log.upkeep import record
from service.store import Store, tables

State = Literal["drained", "drained before", "alive", "attended", "empty"]

Way = tuple[str, int, int, int]
"""How far a spool is: its id, segment and offset of its cursor, its watermark."""

_NOBODYS = "lost+found"
"""What a file system makes by itself where it is mounted."""


class Collected(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one spool.

    Attributes:
        spool: Its folder.
        worker: Its name in the store.
        state: `drained`: all of it is in the store now. `drained before`: nothing was left. `alive`: its owner writes
            to it, so it was left alone. `attended`: somebody else ships it, so it was left alone too. `empty`: there
            are no segments; what the store knows of it stays.
        predictions: What was moved to the store by this.
        outcomes: The same of outcomes.
        treatments: The same of treatments.
        bad_lines: Lines that are no record; they are in its dead letters.
        is_cleared: Whether nothing but its lock is left of it, so that nobody looks at it again.
    """

    spool: str
    worker: str
    state: State
    predictions: int = 0
    outcomes: int = 0
    treatments: int = 0
    bad_lines: int = 0
    is_cleared: bool = False

    def __str__(self) -> str:
        if self.state == "alive":
            return f"{self.spool}: left alone, a live process writes to it"
        if self.state == "attended":
            return f"{self.spool}: left alone, a live shipper is at work on it"
        if self.state == "empty":
            return (
                f"{self.spool}: no segments; if its records are lost: gauntlet ship --give-up {self.worker} --reason …"
            )
        moved = f"{self.predictions:,} predictions, {self.outcomes:,} outcomes, {self.treatments:,} treatments"
        bad = f"; {self.bad_lines:,} bad lines are in its dead letters" if self.bad_lines else ""
        cleared = "; it is cleared away" if self.is_cleared else ""
        return f"{self.spool}: {self.state}, moved {moved}{bad}; no cohort waits for it any more{cleared}"


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
    """The spools in a folder, and in folders of spools in it, such as those of the pods that share a volume; by name.

    Raises:
        NotFound: There is no such folder.
        InvalidSetting: It is one spool itself, or cannot be read.
    """
    if not folder.is_dir():
        raise NotFound(f"{folder} is no folder; it must be a folder of spools, one a worker")
    if _is_spool(folder):
        raise InvalidSetting(f"{folder} is one spool; name the folder that it lies in, {folder.parent}")
    found: list[Path] = []
    try:
        for path in _folders_in(folder):
            found += [path] if _is_spool(path) else filter(_is_spool, _folders_in(path))
    except OSError as e:
        raise InvalidSetting(f"{e.filename or folder} must be readable: {e.strerror or e}") from e
    return found


def _is_spool(folder: Path) -> bool:
    return (folder / ID_FILE).exists() or bool(segments_of(folder))


def _folders_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and path.name != _NOBODYS)


def attended(before: Mapping[str, Way], after: Mapping[str, Way]) -> Set[str]:
    """The spools that somebody ships: those that came on, or became known, between two looks.

    Examples:
        >>> still, once, later = ("a", 1, 0, 5), ("b", 1, 0, 5), ("b", 1, 0, 6)
        >>> sorted(attended({"pod-1": still, "pod-2": once}, {"pod-1": still, "pod-2": later, "pod-3": still}))
        ['pod-2', 'pod-3']
    """
    return {worker for worker, way in after.items() if before.get(worker) != way}


def ship_orphans(
    store: Store,
    folders: Sequence[Path],
    *,
    who: str,
    now: datetime,
    key_file: Path | None = None,
    watch_seconds: float = 0.0,
    pause: Callable[[float], object] = time.sleep,
) -> list[Collected]:
    """Ship every spool whose owner is gone to its end, and let no cohort wait for it afterwards.

    Args:
        store: Where to.
        folders: Folders of spools or of such folders, as the volumes of machines that are gone. They must be writable.
        who: Who asked, for the record.
        now: The moment, with a time zone.
        key_file: The key of tombstones.
        watch_seconds: For how long to watch whether somebody else ships a spool; 0 trusts the locks alone. Shippers
            pause for half a minute at most.
        pause: Waits so many seconds.

    Returns:
        What became of each spool, those of live owners included. One that cannot be written to keeps none of the others
        waiting.

    Raises:
        NotFound: A folder is not there.
        InvalidSetting: One is a spool itself, or cannot be written to.
        Unavailable: The store does not answer, or a spool cannot be read. What was moved stays moved.
    """
    spools = [spool for folder in folders for spool in spools_in(folder)]
    in_hand: Set[str] = set()
    if watch_seconds and spools:
        before = _ways(store, spools)
        pause(watch_seconds)
        in_hand = attended(before, _ways(store, spools))
    collecting = _Collecting(store, who, now, key_file)
    found, problems = [], []
    for spool in spools:
        try:
            found.append(_collected(spool, "attended") if spool.name in in_hand else collecting.take(spool))
        except OSError as e:
            problems.append((spool, e))
    if problems:
        spool, error = problems[0]
        raise InvalidSetting(f"the spool {spool} must be writable: {error.strerror or error}") from error
    return found


def _ways(store: Store, spools: Sequence[Path]) -> dict[str, Way]:
    """How far the store knows spools to be; not those of the same name that lie elsewhere."""
    table, own = tables.spools, {spool.name: _id_of(spool) for spool in spools}
    query = sa.select(table.c.worker, table.c.spool_id, table.c.segment, table.c.offset, table.c.watermark)
    with store.reading() as connection:
        found = connection.execute(query).all()
    return {worker: (spool_id, *way) for worker, spool_id, *way in found if own.get(worker) == spool_id}


def _id_of(spool: Path) -> str:
    return (spool / ID_FILE).read_text() if (spool / ID_FILE).exists() else ""


class _Collecting:
    def __init__(self, store: Store, who: str, now: datetime, key_file: Path | None) -> None:
        self._store = store
        self._who = who
        self._now = now
        self._key_file = key_file

    def take(self, spool: Path) -> Collected:
        """Ship a spool, if nobody writes to it.

        Raises:
            OSError: It cannot be written to.
        """
        with held_if_orphan(spool) as is_orphan:
            return self._collect(spool) if is_orphan else _collected(spool, "alive")

    def _collect(self, spool: Path) -> Collected:
        segments = segments_of(spool)
        if not segments:
            return _collected(spool, "empty")
        spool = self._named_apart(spool)
        row = self._row(spool)
        is_drained = row is not None and row.lost_at is not None
        if is_drained and not any(segment.stat().st_size for segment in segments_of(spool)):
            return _collected(spool, "drained before", is_cleared=_clear(spool))
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
        own = _id_of(spool)
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


def _clear(spool: Path) -> bool:
    """Clear away a spool that was drained before and is empty still: whoever wrote to it did not come back.

    Its lock stays in its folder: without it, somebody who waits for it could write where nobody looks. Dead letters
    stay, with all that is around them. The id goes first: what a death in between leaves is collected once more.
    """
    if (spool / DEAD_LETTERS).exists():
        return False
    for path in (spool / ID_FILE, *segments_of(spool)):
        path.unlink(missing_ok=True)
    return True


def _collected(spool: Path, state: State, shipped: Shipped | None = None, *, is_cleared: bool = False) -> Collected:
    moved = shipped or Shipped()
    return Collected(
        spool=str(spool),
        worker=spool.name,
        state=state,
        predictions=moved.predictions,
        outcomes=moved.outcomes,
        treatments=moved.treatments,
        bad_lines=moved.bad_lines,
        is_cleared=is_cleared,
    )
