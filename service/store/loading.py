"""Thousands of rows at once into a table, each once: COPY on PostgreSQL, one prepared statement on SQLite.

Most of what is shipped is new, so on PostgreSQL rows are copied straight into their table, as fast as a plain COPY.
Where one of them is there already, that fails as a whole; then the rows go through a temporary table, from which those
that are new are inserted. Rows that the store refuses (a NUL in a text, a number beyond 64 bits) are found by halving.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg.errors import ProgramLimitExceeded
from sqlalchemy.engine import Connection

from bentos.errors import Unavailable
from service.store.connection import Store

Row = Sequence[Any]

_STAGED_LOADS = 100

# Drivers refuse some values before they ask the database, each in its own way. The limit is that of an index's row.
_REFUSED = (
    psycopg.DataError,
    psycopg.IntegrityError,
    ProgramLimitExceeded,
    sqlite3.DataError,
    sqlite3.IntegrityError,
    OverflowError,
    ValueError,
)


@dataclass
class Loaded:
    """What became of some rows.

    Attributes:
        inserted: How many were not in the table before.
        refused: The positions of those that the store cannot hold.
    """

    inserted: int = 0
    refused: list[int] = field(default_factory=list)


class Loader:
    """Loads rows of one kind into one table, again and again.

    Attributes:
        table: Which table.
        columns: The columns that a row's values are for, in their order.
    """

    def __init__(self, table: sa.Table, columns: Sequence[str]) -> None:
        self.table = table
        self.columns = tuple(columns)
        self._staged_left = 0

    def load(self, connection: Connection, store: Store, rows: Sequence[Row]) -> Loaded:
        """Insert the rows whose key is not there yet, in the caller's transaction.

        Args:
            connection: In a writing transaction.
            store: The store that it belongs to.
            rows: Their values in the order of `columns`.

        Raises:
            Unavailable: The store has an earlier schema that cannot hold these rows yet.
        """
        if not rows:
            return Loaded()
        columns, cut = self._fit(store)
        fitting = rows if cut is None else [cut(row) for row in rows]
        insert = _Insert(connection, self.table.name, columns)
        if store.is_postgresql:
            return self._load_postgresql(insert, fitting)
        return insert.halving(_insert_sqlite, fitting)

    def _load_postgresql(self, insert: _Insert, rows: Sequence[Row]) -> Loaded:
        if not self._staged_left:
            with contextlib.suppress(*_REFUSED), insert.connection.begin_nested():
                return Loaded(_copy(insert, self.table.name, rows))
        loaded = insert.halving(_insert_postgresql, rows)
        # Where duplicates come, more may follow (a spool is shipped again), and what a COPY that failed has written
        # must be vacuumed.
        has_duplicates = loaded.inserted < len(rows) - len(loaded.refused)
        self._staged_left = _STAGED_LOADS if has_duplicates else max(self._staged_left - 1, 0)
        return loaded

    def _fit(self, store: Store) -> tuple[tuple[str, ...], Callable[[Row], Row] | None]:
        """The columns that the store has, and how a row is cut to them; None where nothing is to be cut."""
        if not store.has(self.table):
            raise Unavailable(f"the store {store.name} has schema {store.schema}, which has no {self.table.name} yet")
        lacking = {place: name for place, name in enumerate(self.columns) if not store.has(self.table.c[name])}
        if not lacking:
            return self.columns, None
        kept = [place for place in range(len(self.columns)) if place not in lacking]

        def cut(row: Row) -> Row:
            for place, name in lacking.items():
                if row[place] != self.table.c[name].info["absent"]:
                    raise Unavailable(f"the store {store.name} has schema {store.schema}, which cannot hold {name} yet")
            return [row[place] for place in kept]

        return tuple(self.columns[place] for place in kept), cut


@dataclass(frozen=True)
class _Insert:
    connection: Connection
    table: str
    columns: tuple[str, ...]

    @property
    def names(self) -> str:
        return ", ".join(f'"{name}"' for name in self.columns)

    @contextlib.contextmanager
    def cursor(self) -> Iterator[Any]:
        """The driver's own cursor, in this transaction."""
        cursor = self.connection.connection.cursor()
        try:
            yield cursor
        finally:
            cursor.close()

    def halving(self, insert: Callable[[_Insert, Sequence[Row]], int], rows: Sequence[Row]) -> Loaded:
        """Insert the rows; where the store refuses, each half by itself, down to the rows that it refuses."""
        loaded, waiting = Loaded(), [(0, len(rows))]
        while waiting:
            begin, end = waiting.pop()
            try:
                with self.connection.begin_nested():
                    loaded.inserted += insert(self, rows[begin:end])
            except _REFUSED:
                middle = (begin + end) // 2
                waiting += [(begin, middle), (middle, end)] if end - begin > 1 else []
                loaded.refused += [begin] if end - begin == 1 else []
        return Loaded(loaded.inserted, sorted(loaded.refused))


def _insert_sqlite(insert: _Insert, rows: Sequence[Row]) -> int:
    marks = ", ".join("?" * len(insert.columns))
    statement = f"INSERT INTO {insert.table} ({insert.names}) VALUES ({marks}) ON CONFLICT DO NOTHING"  # noqa: S608
    with insert.cursor() as cursor:
        before = cursor.connection.total_changes
        cursor.executemany(statement, rows)
        return int(cursor.connection.total_changes - before)


def _insert_postgresql(insert: _Insert, rows: Sequence[Row]) -> int:
    staging = f"staging_{insert.table}_{len(insert.columns)}"
    making = (
        f"CREATE TEMPORARY TABLE IF NOT EXISTS {staging} ON COMMIT DELETE ROWS AS "  # noqa: S608 - names of ours
        f"SELECT {insert.names} FROM {insert.table} WITH NO DATA"
    )
    reading = f"SELECT {insert.names} FROM {staging}"  # noqa: S608
    moving = f"INSERT INTO {insert.table} ({insert.names}) {reading} ON CONFLICT DO NOTHING"
    with insert.cursor() as cursor:
        cursor.execute(making)
        _copy(insert, staging, rows)
        cursor.execute(moving)
        inserted = int(cursor.rowcount)
        cursor.execute(f"TRUNCATE {staging}")  # the other half may follow in the same transaction
    return inserted


def _copy(insert: _Insert, table: str, rows: Sequence[Row]) -> int:
    with insert.cursor() as cursor:
        with cursor.copy(f"COPY {table} ({insert.names}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        return int(cursor.rowcount)
