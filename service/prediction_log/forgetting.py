"""Forgetting a person: everything in the prediction log that is about one customer goes, and does not come back.

In this order, so that whoever dies in the middle can begin again and finish:

1. The tombstone. From its commit on shippers drop what comes late (`tombstones`).
2. Truths and treatments of the customer's predictions: in the archives, then in the store.
3. Spools of this machine that nobody writes to, and dead letters.
4. The predictions, from which 2. knew whose truths they were: in the archives, then in the store.
5. A row that says who asked and what was erased, with the tombstone in the place of the id.

The ledger stays as it is: its counts name nobody, and verdicts that were reached replay. What is not closed yet is
counted without the customer. Whoever comes back afterwards is a new customer, and may be counted once more in a trial
that counted the old one. A truth that arrives for an erased prediction is one of an unknown id: it says nothing about
anybody, and leaves by age.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bentos.errors import InvalidSetting, Refused
from service import ids as prediction_ids
from service.micros import to_micros
from service.prediction_log.ages import name_of
from service.prediction_log.spool_erasing import Person, SpoolsErased, erase_from_spools, ids_in_spools
from service.prediction_log.tombstones import KEY_VARIABLE, Key, make_key, read_key, set_tombstone
from service.prediction_log.unreachable import Beyond, beyond_reach
from service.prediction_log.upkeep import alone, record
from service.store import Store, tables
from service.store.partitions import month_at

logger = logging.getLogger("gauntlet.forgetting")

_AT_A_TIME = 500
_CLOCKS_APART = 3_600_000_000
"""By how much a worker's clock may be ahead of ours, microseconds: its tombstone is set that much later at most."""

_Files = list[tuple[sa.Table, Path]]


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where a person may be, beside the store.

    Attributes:
        spools: The folder of spools.
        archives: Folders that retention wrote to; those that are not there hold nothing.
        key_file: The key of tombstones; made with the first one.
    """

    spools: Path
    archives: tuple[Path, ...]
    key_file: Path


class Erased(msgspec.Struct, frozen=True, kw_only=True):
    """What was erased, or would be.

    Attributes:
        tombstone: What stands for the customer now; None in a dry run.
        is_dry_run: Whether nothing was done.
        predictions: Rows of the store.
        outcomes: Rows of the store.
        treatments: Rows of the store.
        dead_letters: Lines that were no record, in files and in the store.
        archives: Rows by file.
        spools: Lines by spool.
        left_alone: Lines by spool of those that a live process writes to.
        beyond: What is out of reach.
    """

    tombstone: str | None
    is_dry_run: bool
    predictions: int
    outcomes: int
    treatments: int
    dead_letters: int
    archives: dict[str, int]
    spools: dict[str, int]
    left_alone: dict[str, int]
    beyond: tuple[Beyond, ...]

    @property
    def is_any(self) -> bool:
        """Whether anything named the customer."""
        in_store = self.predictions + self.outcomes + self.treatments + self.dead_letters
        return in_store > 0 or any(map(any, (self.archives.values(), self.spools.values(), self.left_alone.values())))

    def __str__(self) -> str:
        lines = [
            f"{'would erase' if self.is_dry_run else 'erased'}:",
            f"  store: {self.predictions:,} predictions, {self.outcomes:,} outcomes, {self.treatments:,} treatments",
            *(f"  archive {file}: {rows:,} rows" for file, rows in self.archives.items()),
            *(f"  spool {spool}: {count:,} lines" for spool, count in self.spools.items()),
            f"  dead letters: {self.dead_letters:,}",
        ]
        if self.tombstone is not None:
            lines.append(f"tombstone {self.tombstone}: what was predicted before now is not shipped any more")
        lines.append("closed cohorts keep their counts, which name nobody")
        return "\n".join([*lines, "out of reach:", *(f"  - {one}" for one in self.beyond)])


def forget(store: Store, customer: str, *, places: Places, who: str, now: datetime, dry_run: bool = False) -> Erased:
    """Erase a customer from store, spools, archives and dead letters, and let nothing about them come late.

    Args:
        store: Which store.
        customer: The customer's id. Nobody needs to have heard of it: a spool may still bring it.
        places: Where to look beside the store.
        who: Who asked, for the record.
        now: The moment, with a time zone.
        dry_run: Only count.

    Raises:
        InvalidSetting: The id is empty or no text, or the key is none.
        Refused: The key is another than that of earlier tombstones, an archive is damaged, or somebody else is at work.
        Unavailable: The store does not answer.
        OSError: A spool or an archive cannot be written.
    """
    if not customer or any("\ud800" <= letter <= "\udfff" for letter in customer):
        raise InvalidSetting("CUSTOMER must be a customer id, as it was sent to be scored: text in UTF-8, not empty")
    forgetting = _Forgetting(store, customer, places, dry_run=dry_run)
    with nullcontext() if dry_run else alone(store):
        key = None if dry_run else _key(store, places.key_file)
        if key is not None:
            forgetting.set_tombstone(key, to_micros(now))
        tombstone = None if key is None else key.tombstone(customer)
        erased = forgetting.erase(tombstone)
        if tombstone is not None:
            _record(store, tombstone, erased, who=who, now=now)
    return erased


class _Forgetting:
    """One customer."""

    def __init__(self, store: Store, customer: str, places: Places, *, dry_run: bool) -> None:
        self._store = store
        self._person = Person(customer)
        self._places = places
        self._dry_run = dry_run
        self._files: _Files = []

    def set_tombstone(self, key: Key, now: int) -> None:
        """Put the tombstone into the store, late enough for a worker whose clock is ahead."""
        with self._store.reading() as connection:
            latest = max((at for _, at in _found_in_store(connection, self._person.customer)), default=0)
        moment = min(max(now, latest + 1), now + _CLOCKS_APART)
        with self._store.writing() as connection:
            set_tombstone(connection, self._store, key, self._person.customer, now=moment)

    def erase(self, tombstone: str | None) -> Erased:
        """Find the customer's predictions, and erase everything in the order that the module tells."""
        self._files = _archived(self._places.archives, dry_run=self._dry_run)
        self._find()
        archives = self._erase_files(tables.outcomes, tables.treatments)
        outcomes, treatments = self._delete(tables.outcomes), self._delete(tables.treatments)
        spools = erase_from_spools(self._places.spools, self._store, self._person, dry_run=self._dry_run)
        letters = spools.dead_letters + self._delete_dead_letters()
        archives |= self._erase_files(tables.predictions)
        predictions = self._delete(tables.predictions)
        is_log_empty = self._dry_run or _forget_old_pages(self._store)
        return Erased(
            tombstone=tombstone,
            is_dry_run=self._dry_run,
            predictions=predictions,
            outcomes=outcomes,
            treatments=treatments,
            dead_letters=letters,
            archives=archives,
            spools=spools.lines,
            left_alone=spools.left_alone,
            beyond=self._beyond(spools, is_log_empty=is_log_empty),
        )

    def _find(self) -> None:
        """Learn the ids of the customer's predictions, wherever they stand."""
        with self._store.reading() as connection:
            self._person.ids.update(one for one, _ in _found_in_store(connection, self._person.customer))
        self._person.ids.update(ids_in_spools(self._places.spools, self._person))
        for table, path in self._files:
            if table is tables.predictions:
                self._person.ids.update(_ids_in_file(path, self._person.customer))

    def _erase_files(self, *held: sa.Table) -> dict[str, int]:
        months = _months_of(self._person.ids)
        found = {}
        for table, path in self._files:
            if table not in held or path.stem.removeprefix(f"{table.name}-") not in months:
                continue
            if gone := self._erase_file(table, path):
                found[str(path)] = gone
        return found

    def _erase_file(self, table: sa.Table, path: Path) -> int:
        from service.prediction_log.archives import erase_rows

        customer, ids = self._person.customer, self._person.ids
        if table is tables.predictions:
            is_kept, by = _is_not("customer_id", {customer}), "customer_id"
        else:
            is_kept, by = _is_not("prediction_id", ids), "prediction_id"
        return erase_rows(path, is_kept, by=[by], dry_run=self._dry_run)

    def _delete(self, table: sa.Table) -> int:
        """Delete the rows of the customer's predictions, some at a time; gives how many there were."""
        if not self._store.has(table):
            return 0
        count, ids = 0, sorted(self._person.ids)
        for begin in range(0, len(ids), _AT_A_TIME):
            these = table.c.prediction_id.in_(ids[begin : begin + _AT_A_TIME])
            if self._dry_run:
                with self._store.reading() as connection:
                    count += connection.execute(sa.select(sa.func.count()).where(these)).scalar_one()
                continue
            with self._store.writing() as connection:
                count += connection.execute(sa.delete(table).where(these)).rowcount
        return count

    def _delete_dead_letters(self) -> int:
        table = tables.dead_letters
        if not self._store.has(table):
            return 0
        with self._store.reading() if self._dry_run else self._store.writing() as connection:
            found = connection.execute(sa.select(table)).mappings()
            keys = [
                [row[column.name] for column in table.primary_key] for row in found if self._person.is_in(row["line"])
            ]
            for key in [] if self._dry_run else keys:
                mine = (column == value for column, value in zip(table.primary_key, key, strict=True))
                connection.execute(sa.delete(table).where(*mine))
        return len(keys)

    def _beyond(self, spools: SpoolsErased, *, is_log_empty: bool) -> tuple[Beyond, ...]:
        with self._store.reading() as connection:
            found = beyond_reach(
                connection,
                self._store,
                spools=self._places.spools,
                archives=self._places.archives,
                left_alone=spools.left_alone,
                is_log_empty=is_log_empty,
            )
        return tuple(found)


def _key(store: Store, path: Path) -> Key:
    """The key; made if nobody was forgotten in this store yet."""
    found = read_key(path)
    if found is not None:
        return found
    with store.reading() as connection:
        count = sa.select(sa.func.count()).select_from(tables.tombstones)
        if store.has(tables.tombstones) and connection.execute(count).scalar_one():
            raise Refused(f"the store has tombstones, and there is no key {path}; give theirs in {KEY_VARIABLE}")
    return make_key(path)


def _found_in_store(connection: Connection, customer: str) -> Iterator[tuple[str, int]]:
    """Id and time of each of a customer's predictions; experiment by experiment, because the index begins with it."""
    p = tables.predictions
    experiment: str | None = None
    while True:
        further = [] if experiment is None else [p.c.experiment > experiment]
        experiment = connection.execute(sa.select(sa.func.min(p.c.experiment)).where(*further)).scalar()
        if experiment is None:
            return
        of_customer = sa.select(p.c.prediction_id, p.c.at).where(
            p.c.experiment == experiment, p.c.customer_id == customer
        )
        for row in connection.execute(of_customer):
            yield row.prediction_id, row.at


def _archived(folders: Sequence[Path], *, dry_run: bool) -> _Files:
    """Every file of the archives, and whose rows it holds; what somebody who died left beside them is removed."""
    present = [folder for folder in folders if folder.is_dir()]
    if not present:
        return []
    from service.prediction_log.archives import Archive  # only who has an archive needs what reads it

    found: _Files = []
    for archive in map(Archive, present):
        if not dry_run:
            archive.prepare()
        for table in (tables.predictions, tables.outcomes, tables.treatments):
            found += [(table, path) for path in archive.files_of(table)]
    return found


def _ids_in_file(path: Path, customer: str) -> set[str]:
    from service.prediction_log.sheets import read_rows

    return {
        one for rows in read_rows(path, ["customer_id", "prediction_id"]) for whose, one in rows if whose == customer
    }


def _is_not(name: str, values: set[str]) -> Callable[[dict[str, Any]], bool]:
    return lambda row: row[name] not in values


def _months_of(ids: set[str]) -> set[str]:
    """In whose files ids stand: those of the month that their time falls into."""
    known = (prediction_ids.millis_of(one) for one in ids if prediction_ids.normalized(one) is not None)
    return {name_of(month_at(datetime.fromtimestamp(millis / 1000, tz=UTC))) for millis in known}


def _forget_old_pages(store: Store) -> bool:
    """Empty SQLite's write-ahead log, which still holds pages as they were; False where somebody reads from it now."""
    if store.is_postgresql:
        return True
    with closing(sqlite3.connect(str(sa.make_url(store.name).database))) as connection:
        is_busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return not is_busy


def _record(store: Store, tombstone: str, erased: Erased, *, who: str, now: datetime) -> None:
    counts = {name: getattr(erased, name) for name in ("predictions", "outcomes", "treatments", "dead_letters")}
    counts |= {"archived": sum(erased.archives.values()), "spooled": sum(erased.spools.values())}
    with store.writing() as connection:
        record(connection, "forget", tombstone, who=who, now=now, content=counts)
    logger.info("customer_forgotten", extra=counts)
