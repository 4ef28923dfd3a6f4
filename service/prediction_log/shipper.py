"""The shipper: moves the prediction log from the spools to the store, each record once, however often it is tried.

Where a spool has been read up to stands in the store and moves in the transaction that inserts what was read. So a
shipper may die at any moment, and two may work at once: neither loses a record nor doubles one. A segment is deleted
after the commit that ended it. From then on its records are in the store alone: a store that is lost loses them, and
nothing but its own backup brings them back; what still lies in the spools is shipped to the new store by itself.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy.engine import Connection

from bentos.errors import Unavailable
from service.micros import from_micros, to_micros
from service.prediction_log.ahead import ReadAhead, Reading, reading_ahead
from service.prediction_log.cursors import Held, Moments, give_up_spool, hold_cursor, move_cursor
from service.prediction_log.dead_letters import DEAD_LETTERS, keep_dead_letters
from service.prediction_log.progress import Progress, Shipped
from service.prediction_log.records import Outcome, Prediction, Treatment
from service.prediction_log.rows import TABLES, Kind, Rows, columns_of
from service.prediction_log.tombstones import find_forgotten, key_file_of
from service.stopping import Stop, stop_at_signals
from service.store import Store
from service.store.loading import Loader
from service.store.partitions import months_of

__all__ = ["DEAD_LETTERS", "Progress", "Shipped", "give_up_spool", "run_shipper", "ship"]

logger = logging.getLogger("gauntlet.shipper")

_LONGEST_PAUSE_SECONDS = 30.0


def _now() -> datetime:
    return datetime.now(UTC)


def ship(
    spool_folder: Path,
    store: Store,
    *,
    now: datetime | None = None,
    clock: Callable[[], datetime] = _now,
    progress: Progress | None = None,
    workers: Collection[str] | None = None,
    key_file: Path | None = None,
) -> Shipped:
    """Move everything that stands complete in the spools to the store, and the watermarks to the moment it began.

    A spool that cannot be read keeps none of the others waiting.

    Args:
        spool_folder: A folder of spools; one that is not there holds nothing.
        store: Where to.
        now: The moment before reading begins; the clock's if it is not given.
        clock: The time.
        progress: Where to tell how far it is, after each transaction.
        workers: The spools to ship; None for all.
        key_file: The key of tombstones, where it is not beside the folder of spools.

    Returns:
        What was moved.

    Raises:
        Unavailable: The store does not answer, or a spool cannot be read. What was moved before stays moved.
    """
    shipping = _Shipping(spool_folder, store, progress or Progress(), workers=workers, key_file=key_file)
    return shipping.ship(_moments(now, clock))


def run_shipper(
    spool_folder: Path,
    store: Store,
    *,
    once: bool = False,
    stop: Stop | threading.Event | None = None,
    interval_seconds: float = 0.5,
    metrics_port: int | None = None,
    metrics_host: str = "127.0.0.1",
) -> Shipped:
    """Ship again and again until told to stop, then once more, so that nothing stays behind.

    Args:
        spool_folder: A folder of spools.
        store: Where to. While it does not answer the pauses grow, up to half a minute, and nothing is lost.
        once: Ship what is there, and end; then a store that does not answer is an error.
        stop: Ends it; SIGTERM and SIGINT do where none is given (in the main thread only).
        interval_seconds: Pause between two passes.
        metrics_port: Where to answer `/metrics` in Prometheus's text form; 0 for any port, None for nowhere.
        metrics_host: The address for that.

    Returns:
        What was moved in all.

    Raises:
        InvalidSetting: The port for metrics cannot be had.
        Unavailable: The store does not answer at the very end, or at all with `once`.
    """
    if once:
        return ship(spool_folder, store)
    stop, progress = stop or stop_at_signals(), Progress()
    if metrics_port is None:
        return _run(spool_folder, store, stop, interval_seconds, progress)
    from service.prediction_log.lag import serving_metrics  # most shippers are not asked

    with serving_metrics(progress, spool_folder, host=metrics_host, port=metrics_port):
        return _run(spool_folder, store, stop, interval_seconds, progress)


def _run(
    spool_folder: Path, store: Store, stop: Stop | threading.Event, interval_seconds: float, progress: Progress
) -> Shipped:
    pause, shipping = interval_seconds, _Shipping(spool_folder, store, progress)
    while not stop.wait(pause):
        try:
            shipping.ship(_moments(None, _now))
            pause = interval_seconds
        except Unavailable as e:
            pause = min(max(2 * pause, interval_seconds), _LONGEST_PAUSE_SECONDS)
            progress.passes_failed += 1
            logger.warning("ship_failed", extra={"reason": str(e), "next_try_seconds": pause})
    shipping.ship(_moments(None, _now))
    return progress.shipped


def _moments(now: datetime | None, clock: Callable[[], datetime]) -> Moments:
    def moment() -> int:
        # Who says what time it is may say it late: the clock must not seem to stand behind other shippers'.
        return to_micros(clock() if now is None else max(now, clock()))

    return Moments(moment, moment() if now is None else to_micros(now), is_given=now is not None)


class _Shipping:
    """Shipping from one folder of spools to one store, pass after pass."""

    def __init__(
        self,
        spool_folder: Path,
        store: Store,
        progress: Progress,
        *,
        workers: Collection[str] | None = None,
        key_file: Path | None = None,
    ) -> None:
        self._spool_folder = spool_folder
        self._store = store
        self._progress = progress
        self._workers = workers
        self._key_file = key_file or key_file_of(spool_folder)
        self._loaders = {kind: Loader(table, columns_of(kind)) for kind, table in TABLES.items()}

    def ship(self, moments: Moments) -> Shipped:
        """One pass over all spools."""
        self._store.make_partitions(set(), now=from_micros(moments.began))
        shipped, problems = Shipped(), []
        with reading_ahead() as pool:
            for folder in self._folders():
                try:
                    shipped += self._ship_spool(folder, ReadAhead(pool, folder, moments.began), moments)
                except OSError as e:
                    problems.append(e)
        if problems:
            raise Unavailable(f"a spool cannot be read: {problems[0]}") from problems[0]
        return shipped

    def _folders(self) -> list[Path]:
        try:
            found = sorted(path for path in self._spool_folder.glob("*") if path.is_dir())
        except OSError as e:
            raise Unavailable(f"the spool {self._spool_folder} cannot be read: {e}") from e
        return found if self._workers is None else [path for path in found if path.name in self._workers]

    def _ship_spool(self, folder: Path, spool: ReadAhead, moments: Moments) -> Shipped:
        """Everything complete in one spool, a transaction a chunk."""
        shipped = Shipped()
        while True:
            with self._store.writing() as connection:
                held = hold_cursor(connection, self._store, folder)
                reading = spool.take(held.cursor)
                self._make_room(reading, moments)
                landed = self._land(connection, held, reading, moments)
                chunk = reading.chunk
                watermark = move_cursor(connection, self._store, held, chunk, moments)
            shipped += landed
            self._progress.passed(folder.name, landed, chunk.after, watermark)
            if chunk.is_last:
                return shipped

    def _make_room(self, reading: Reading, moments: Moments) -> None:
        """Make the partitions of the months that a chunk needs, in a transaction of their own."""
        if self._store.is_postgresql:
            now = from_micros(moments.began)
            self._store.make_partitions(months_of(reading.beginnings, now=now), now=now)

    def _land(self, connection: Connection, held: Held, reading: Reading, moments: Moments) -> Shipped:
        """Insert what a chunk holds; what is no record goes to the dead letters."""
        chunk = reading.chunk
        forgotten = find_forgotten(connection, self._store, self._key_file, chunk.lines)
        rows = Rows(reading.decoded, forgotten)
        inserted: dict[Kind, int] = {}
        refused: list[int] = []
        for kind, loader in self._loaders.items():
            loaded = loader.load(connection, self._store, rows.of(kind))
            inserted[kind] = loaded.inserted
            refused += [rows.place(kind, number) for number in loaded.refused]
        bad = [*rows.bad, *refused, *([len(chunk.lines)] if chunk.torn else [])]
        if bad:
            keep_dead_letters(connection, self._store, held, chunk, bad, landed_at=moments.began)
        return Shipped(
            predictions=inserted[Prediction],
            outcomes=inserted[Outcome],
            treatments=inserted[Treatment],
            duplicates=len(chunk.lines) + bool(chunk.torn) - len(bad) - rows.forgotten - sum(inserted.values()),
            bad_lines=len(bad),
            forgotten=rows.forgotten,
        )
