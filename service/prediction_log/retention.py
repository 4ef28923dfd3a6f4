"""Retention: rows older than some days leave the store for the archive, month by month.

For each month the rows are written to Parquet, read back and compared by count and digest; only then it is
recorded and they are deleted, and of them only those that stand in the file. Whoever dies in the middle leaves rows in
both places at most; doing it again merges by key and goes on. Nothing is lost, and nothing is there twice in the end.

What is evidence of a trial that the experiment file still names stays, whatever its age: cohorts that are not closed
yet are counted from it, and a customer's first prediction keeps later ones from being counted again. Once the trial has
ended, nobody closes its cohorts any more, and its rows leave like all others. Truths and treatments go and stay with
their prediction. Rows whose id tells no time that can be stay too, and are counted.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from datetime import datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bentos.errors import InvalidSetting, Unavailable
from service.prediction_log.ages import Span, name_of, spans_before, tells_no_time
from service.prediction_log.archives import Archive, Key
from service.prediction_log.upkeep import alone, record
from service.scoring.experiment import RETRY_REACH, Experiment, Phase
from service.store import Store, tables

logger = logging.getLogger("gauntlet.retention")

LEAVING = (tables.predictions, tables.outcomes, tables.treatments)
"""In this order: truths without their prediction mislead nobody, a prediction without its truths would."""

_READ_ROWS = 5_000
_DELETED_ROWS = 2_000
_LOCK_WAIT = "2s"


class MonthLeft(msgspec.Struct, frozen=True, kw_only=True):
    """What left of one month.

    Attributes:
        month: As in 2026-01.
        predictions: Rows that left, or would.
        outcomes: The same of outcomes.
        treatments: The same of treatments.
        dropped: Tables of which the month's partition was dropped as a whole.
        late: Rows that landed while the month was archived: they leave the next time.
    """

    month: str
    predictions: int
    outcomes: int
    treatments: int
    dropped: tuple[str, ...] = ()
    late: int = 0


class Retained(msgspec.Struct, frozen=True, kw_only=True):
    """What retention did, or would do.

    Attributes:
        days: How old rows may become.
        cutoff: Ids that were made before are older.
        archive: Where they went.
        is_dry_run: Whether nothing was done.
        months: What left, the oldest month first.
        kept_on_trial: By experiment how many predictions stay because its trial has not ended.
        without_time: Predictions whose id tells no time that can be: they stay.
    """

    days: int
    cutoff: datetime
    archive: str
    is_dry_run: bool
    months: tuple[MonthLeft, ...]
    kept_on_trial: dict[str, int]
    without_time: int

    def __str__(self) -> str:
        would = "would leave" if self.is_dry_run else "left"
        lines = [f"older than {self.days} days: made before {self.cutoff:%Y-%m-%d %H:%M} UTC"]
        lines += [f"  {_described(month)} {would}" for month in self.months] or ["  nothing leaves"]
        if self.months:
            lines.append(f"  to {self.archive}/predictions-*.parquet, outcomes-*.parquet and treatments-*.parquet")
        for experiment, count in self.kept_on_trial.items():
            lines.append(
                f"  {count:,} predictions stay: evidence of {experiment}, which the experiment file still names"
            )
        if self.without_time:
            lines.append(f"  {self.without_time:,} predictions stay: their ids tell no time that can be")
        return "\n".join(lines)


def retain(
    store: Store, archive: Path, *, days: int, on_trial: Iterable[str], who: str, now: datetime, dry_run: bool = False
) -> Retained:
    """Let what is older than some days leave the store for the archive.

    Args:
        store: Which store.
        archive: A folder of Parquet files; made if needed.
        days: How old rows may become, by the time of their prediction id.
        on_trial: Ids of the experiments whose trials have not ended, as the experiment file names them.
        who: Who asked, for the record.
        now: The moment, with a time zone.
        dry_run: Only count.

    Raises:
        InvalidSetting: `days` is below 1, or the archive cannot be written to.
        Refused: Somebody else retains or forgets now, or a file of the archive is damaged.
        Unavailable: The store does not answer.
    """
    if days < 1:
        raise InvalidSetting(f"--days is {days}; it must be 1 or more")
    cutoff = now - timedelta(days=days)
    leaving = _Leaving(store, Archive(archive), tuple(sorted(set(on_trial))), who, now)
    with nullcontext() if dry_run else alone(store):
        if not dry_run:
            leaving.archive.prepare()
        months = tuple(chain.from_iterable(leaving.take(span, dry_run=dry_run) for span in spans_before(cutoff)))
    return Retained(
        days=days,
        cutoff=cutoff,
        archive=str(archive),
        is_dry_run=dry_run,
        months=months,
        kept_on_trial=leaving.count_on_trial(cutoff),
        without_time=leaving.count_without_time(),
    )


def ids_on_trial(experiment: Experiment, *, now: datetime) -> frozenset[str]:
    """The experiments that an experiment file puts on trial: now, or so lately that a retry may still be logged."""
    ends = [later.effective_from for later in (*experiment.history[1:], experiment)]
    lately = [phase for phase, end in zip(experiment.history, ends, strict=False) if end > now - RETRY_REACH]
    phases: tuple[Phase, ...] = (experiment, *lately)
    return frozenset(phase.experiment_id(one) for phase in phases for one, _ in phase.challengers)


class _Leaving:
    """One run."""

    def __init__(self, store: Store, archive: Archive, on_trial: tuple[str, ...], who: str, now: datetime) -> None:
        self.archive = archive
        self._store = store
        self._on_trial = on_trial
        self._who = who
        self._now = now
        self._tables = LEAVING

    def take(self, span: Span, *, dry_run: bool) -> Iterator[MonthLeft]:
        """Archive and delete what leaves of a month; nothing comes where nothing does."""
        counts = self._counts(span)
        if not any(counts.values()):
            return
        yield _left(span, counts) if dry_run else self._take(span, [table for table in LEAVING if counts[table.name]])

    def count_on_trial(self, cutoff: datetime) -> dict[str, int]:
        """How many old predictions stay for the sake of each trial."""
        p = tables.predictions
        found: dict[str, int] = {}
        with self._store.reading() as connection:
            for span in spans_before(cutoff):
                query = sa.select(p.c.experiment, sa.func.count()).where(span.holds(p.c.prediction_id), self._stays(p))
                for experiment, count in connection.execute(query.group_by(p.c.experiment)):
                    found[experiment] = found.get(experiment, 0) + count
        return found

    def count_without_time(self) -> int:
        """How many predictions tell no time."""
        p = tables.predictions
        query = sa.select(sa.func.count()).where(tells_no_time(p.c.prediction_id, now=self._now))
        with self._store.reading() as connection:
            return int(connection.execute(query).scalar_one())

    def _counts(self, span: Span) -> dict[str, int]:
        with self._store.reading() as connection:
            return {
                table.name: connection.execute(
                    sa.select(sa.func.count()).select_from(table).where(self._leaves(table, span))
                ).scalar_one()
                if self._store.has(table)
                else 0
                for table in LEAVING
            }

    def _take(self, span: Span, held: list[sa.Table]) -> MonthLeft:
        given = {table.name: self._write(table, span) for table in held}
        month = name_of(span.month)
        with self._store.writing() as connection:
            content = {"archive": str(self.archive.folder.resolve()), **given}
            record(connection, "retain", month, who=self._who, now=self._now, content=content)
        logger.info("month_archived", extra={"month": month, **given})
        dropped = tuple(table.name for table in held if self._drop(table, span, given[table.name]))
        late = sum(self._delete(table, span) for table in held if table.name not in dropped)
        logger.info("month_left", extra={"month": month, "dropped": dropped, "late": late})
        return _left(span, given, dropped=dropped, late=late)

    def _write(self, table: sa.Table, span: Span) -> int:
        """Merge what leaves into the month's file; gives how many rows that were."""
        query = sa.select(*table.columns).where(self._leaves(table, span)).order_by(*table.primary_key)
        with self._store.reading() as connection:
            rows = connection.execute(query.execution_options(yield_per=_READ_ROWS))
            return self.archive.add(table, span.month, map(tuple, rows)).given

    def _drop(self, table: sa.Table, span: Span, given: int) -> bool:
        """Drop the month's partition if all of it is in the archive; False where rows have to be deleted one by one."""
        if not (self._store.is_postgresql and span.is_whole and given):
            return False
        partition = f"{table.name}_{span.month.year:04d}_{span.month.month:02d}"
        try:
            with self._store.writing() as connection:
                return _drop_partition(self._store, connection, table.name, partition, given)
        except Unavailable as e:  # somebody reads the table for long, and whoever waits for us would wait with us
            logger.info("partition_not_dropped", extra={"partition": partition, "reason": str(e)})
            return False

    def _delete(self, table: sa.Table, span: Span) -> int:
        """Delete what leaves and stands in the archive, some rows at a time; gives how many do not stand there."""
        archived, late, last = _InOrder(self.archive.keys(table, span.month)), 0, None
        key = list(table.primary_key)
        query = sa.select(*key).where(self._leaves(table, span)).order_by(*key).limit(_DELETED_ROWS)
        deleting = sa.delete(table).where(*(column == sa.bindparam(f"its_{column.name}") for column in key))
        while True:
            further: list[Any] = [] if last is None else [sa.tuple_(*key) > sa.tuple_(*map(sa.literal, last))]
            with self._store.writing() as connection:
                page = [tuple(row) for row in connection.execute(query.where(*further))]
                gone = [row for row in page if archived.has(row)]
                if gone:
                    names = [f"its_{column.name}" for column in key]
                    connection.execute(deleting, [dict(zip(names, row, strict=True)) for row in gone])
            late += len(page) - len(gone)
            if len(page) < _DELETED_ROWS:
                return late
            last = page[-1]

    def _leaves(self, table: sa.Table, span: Span) -> sa.ColumnElement[bool]:
        """Whether a row of the month is old enough and not needed."""
        within = span.holds(table.c.prediction_id)
        if not self._on_trial:
            return within
        if table is tables.predictions:
            return within & ~self._stays(table)
        p = tables.predictions
        of_it = sa.exists().where(p.c.prediction_id == table.c.prediction_id, self._stays(p))
        return within & ~of_it

    def _stays(self, p: sa.Table) -> sa.ColumnElement[bool]:
        """Whether a prediction is evidence of a trial that has not ended; the judge counts the same ones."""
        return sa.and_(
            p.c.experiment.in_(self._on_trial),
            p.c.enrolment == "enrolled",
            p.c.purpose == "live",
            p.c.customer_id.is_not(None),
            p.c.challenger.is_not(None),
            p.c.mode.in_(("shadow", "split")),
        )


class _InOrder:
    """Whether keys are among others, asked in their order."""

    def __init__(self, keys: Iterator[Key]) -> None:
        self._keys = keys
        self._next = next(keys, None)

    def has(self, key: Key) -> bool:
        """Whether it is there."""
        while self._next is not None and self._next < key:
            self._next = next(self._keys, None)
        return self._next == key


def _drop_partition(store: Store, connection: Connection, table: str, partition: str, given: int) -> bool:
    if connection.execute(sa.select(sa.func.to_regclass(partition))).scalar() is None:
        return False
    store.lock(connection, "partitions")
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_LOCK_WAIT}'")
    # One table a transaction, so that no reader of two of them can wait for us while we wait for it.
    connection.exec_driver_sql(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
    held: Any = connection.execute(sa.select(sa.func.count()).select_from(sa.table(partition))).scalar_one()
    if held != given:  # something landed since, or stays
        return False
    connection.exec_driver_sql(f"DROP TABLE {partition}")
    return True


def _left(span: Span, counts: dict[str, int], *, dropped: tuple[str, ...] = (), late: int = 0) -> MonthLeft:
    predictions, outcomes, treatments = (counts.get(table.name, 0) for table in LEAVING)
    return MonthLeft(
        month=name_of(span.month),
        predictions=predictions,
        outcomes=outcomes,
        treatments=treatments,
        dropped=dropped,
        late=late,
    )


def _described(month: MonthLeft) -> str:
    counts = ", ".join(f"{getattr(month, table.name):,} {table.name}" for table in LEAVING)
    extra = f", {month.late:,} more landed meanwhile and leave the next time" if month.late else ""
    return f"{month.month}: {counts}{extra}"
