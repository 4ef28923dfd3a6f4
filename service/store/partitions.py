"""Months on PostgreSQL: each a partition of predictions, outcomes and treatments, found by the id's own time.

A UUIDv7 in lower case begins with its milliseconds in hexadecimal, so under collation "C" ids sort by time and a month
is a range of ids. The primary key therefore needs no column beside the id, and a month that leaves is one DROP TABLE.
Ids that are no UUIDv7, or of a time that cannot be, stand in a default partition: nothing is ever refused for its id.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

PARTITIONED = ("predictions", "outcomes", "treatments")

_BEGINNING = re.compile(r"[0-9a-f]{8}")
_AHEAD = 2
_FIRST_YEAR = 2020


class Month(NamedTuple):
    """A calendar month in UTC."""

    year: int
    month: int

    @property
    def next(self) -> Month:
        """The month that follows."""
        return Month(self.year + self.month // 12, self.month % 12 + 1)

    @property
    def first_id(self) -> str:
        """What every id of the month's first millisecond begins with, and which none before it reaches.

        Examples:
            >>> Month(2026, 1).first_id
            '019b76da-a800'
        """
        milliseconds = int(datetime(self.year, self.month, 1, tzinfo=UTC).timestamp()) * 1000
        text = f"{milliseconds:012x}"
        return f"{text[:8]}-{text[8:]}"


def month_at(moment: datetime) -> Month:
    """The month of a moment."""
    there = moment.astimezone(UTC)
    return Month(there.year, there.month)


def months_ahead(now: datetime) -> set[Month]:
    """This month and the next two, which are made before anybody needs them."""
    months = [month_at(now)]
    for _ in range(_AHEAD):
        months.append(months[-1].next)
    return set(months)


def months_of(beginnings: Iterable[str], *, now: datetime) -> set[Month]:
    """The months that ids may fall into, without those that no honest clock tells.

    Args:
        beginnings: The first eight characters of ids: a minute or so, which may touch two months.
        now: The moment; ids more than two months ahead of it, or from before 2020, get no partition.
    """
    first, last = Month(_FIRST_YEAR, 1), max(months_ahead(now))
    found = set()
    for beginning in beginnings:
        if _BEGINNING.fullmatch(beginning):
            milliseconds = int(beginning, 16) << 16
            if milliseconds < _LAST_MILLISECOND:
                found |= {_month_of(milliseconds), _month_of(milliseconds + 0xFFFF)}
    return {month for month in found if first <= month <= last}


_LAST_MILLISECOND = 4_102_444_800_000  # 2100


def _month_of(milliseconds: int) -> Month:
    return month_at(datetime.fromtimestamp(milliseconds / 1000, tz=UTC))


def id_beginning(moment: sa.ColumnElement[int], *, is_postgresql: bool) -> sa.ColumnElement[str]:
    """What ids begin with that were made at a moment, or at most a minute or so before it: eight characters.

    Args:
        moment: In SQL, microseconds since 1970 UTC.
        is_postgresql: Whose SQL it is.
    """
    number = moment // (1000 * 0x10000)
    return sa.func.lpad(sa.func.to_hex(number), 8, "0") if is_postgresql else sa.func.printf("%08x", number)


def make_default(connection: Connection, table: str) -> None:
    """Make the partition for ids of no month."""
    connection.exec_driver_sql(f"CREATE TABLE {table}_default PARTITION OF {table} DEFAULT")
    _watch_way(connection, table, f"{table}_default")


def make_partition(connection: Connection, table: str, month: Month) -> None:
    """Make a month's partition if it is not there, and move into it what waits for it in the default one."""
    name = f"{table}_{month.year:04d}_{month.month:02d}"
    if connection.execute(sa.select(sa.func.to_regclass(name))).scalar() is not None:
        return
    low, high = month.first_id, month.next.first_id
    run = connection.exec_driver_sql
    run(f"CREATE TABLE {name} (LIKE {table} INCLUDING DEFAULTS)")
    moving = f"DELETE FROM {table}_default WHERE prediction_id >= '{low}' AND prediction_id < '{high}' RETURNING *"  # noqa: S608
    run(f"WITH moved AS ({moving}) INSERT INTO {name} SELECT * FROM moved")  # noqa: S608
    run(f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ('{low}') TO ('{high}')")
    _watch_way(connection, table, name)


def _watch_way(connection: Connection, table: str, partition: str) -> None:
    """Let PostgreSQL know how few predictions were long under way: it would not use their index otherwise."""
    if table == "predictions":
        connection.exec_driver_sql(f"CREATE STATISTICS {partition}_way ON (landed_at - at) FROM {partition}")


class KnownMonths:
    """The months whose partitions this process has seen. Safe for several threads."""

    def __init__(self) -> None:
        self._known: set[Month] = set()
        self._turn = threading.Lock()

    def missing(self, months: set[Month]) -> set[Month]:
        """Those of the months that have not been seen."""
        with self._turn:
            return months - self._known

    def add(self, months: set[Month]) -> None:
        """Remember that these are there."""
        with self._turn:
            self._known |= months

    def forget(self) -> None:
        """The store may be another one now."""
        with self._turn:
            self._known.clear()
