"""Opening the store, transactions in it, and what its failures are called."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from bentos.errors import InvalidSetting, Refused, Unavailable
from service.store import tables

_WAIT_SECONDS = 10
_SCHEMA_LOCK = 0x6761756E  # any number that is ours alone: "gaun"
_WRITES = "gauntlet_writes"


class Store:
    """An open store. Safe for several threads.

    Attributes:
        name: Its address without the password, for messages.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.name = engine.url.render_as_string(hide_password=True)

    @property
    def is_postgresql(self) -> bool:
        """Whether this is PostgreSQL; SQLite otherwise."""
        return self._engine.dialect.name == "postgresql"

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the store and changes nothing.

        Raises:
            Unavailable: The store does not answer, or is locked.
        """
        with self._translated(), self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that is written whole or not at all. On SQLite it is the only one that writes.

        Raises:
            Unavailable: The store does not answer, or is locked.
        """
        with (
            self._translated(),
            self._engine.connect().execution_options(**{_WRITES: True}) as connection,
            connection.begin(),
        ):
            yield connection

    def insert_new(self, connection: Connection, table: sa.Table, rows: Sequence[dict[str, Any]]) -> int:
        """Insert the rows whose key is not there yet.

        Returns:
            How many were inserted.
        """
        if not rows:
            return 0
        dialect = postgresql if self.is_postgresql else sqlite
        insert = dialect.insert(table).on_conflict_do_nothing().returning(*list(table.primary_key)[:1])
        return len(connection.execute(insert, list(rows)).all())  # not every driver counts what many rows changed

    def lock(self, connection: Connection, what: str) -> None:
        """Let nobody else hold the same lock until this writing transaction ends."""
        if self.is_postgresql:  # on SQLite a writing transaction is alone anyway
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_SCHEMA_LOCK, sa.func.hashtext(what))))

    def close(self) -> None:
        """Let go of every connection."""
        self._engine.dispose()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as e:
            text = " ".join(str(getattr(e, "orig", None) or e).split())
            raise Unavailable(f"the store {self.name} does not answer: {text[:300]}") from e


def open_store(url: str) -> Store:
    """Open the store at an SQLAlchemy URL and make its tables if they are not there.

    Args:
        url: `sqlite:///FILE` or `postgresql://USER:PASSWORD@HOST:PORT/DATABASE`.

    Raises:
        InvalidSetting: The URL is none of these.
        Unavailable: The store does not answer, is locked, or its file cannot be made.
        Refused: A newer Gauntlet made its tables.
    """
    store = Store(_engine(url))
    try:
        _make_tables(store)
    except BaseException:
        store.close()
        raise
    return store


def _engine(url: str) -> Engine:
    try:
        parsed = sa.make_url(url)
    except SQLAlchemyError as e:
        raise InvalidSetting(f"the store's address is not a URL; it must be {_ALLOWED}") from e
    if parsed.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        parsed = parsed.set(drivername="postgresql+psycopg")
        return sa.create_engine(parsed, pool_pre_ping=True, connect_args={"connect_timeout": _WAIT_SECONDS})
    if parsed.drivername not in ("sqlite", "sqlite+pysqlite") or parsed.database in (None, "", ":memory:"):
        raise InvalidSetting(f"the store cannot be {parsed.render_as_string()!r}; it must be {_ALLOWED}")
    engine = sa.create_engine(parsed, connect_args={"timeout": _WAIT_SECONDS})
    sa.event.listen(engine, "connect", _prepare_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


_ALLOWED = "sqlite:///FILE or postgresql://USER:PASSWORD@HOST:PORT/DATABASE"


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # sqlite3 would begin transactions by its own rules
    cursor = connection.cursor()
    try:
        cursor.execute("PRAGMA journal_mode=WAL")  # readers and the one writer do not wait for each other
        cursor.execute("PRAGMA synchronous=FULL")  # a shipped segment is deleted after the commit: it must be on disk
    finally:
        cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # Taking the write lock at once waits for its turn; taking it later fails where another has written meanwhile.
    is_writing = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writing else "BEGIN")


def _make_tables(store: Store) -> None:
    with store.writing() as connection:
        store.lock(connection, "schema")
        found = _schema_version(connection)
        if found is not None and found > tables.SCHEMA_VERSION:
            raise Refused(
                f"the store {store.name} has schema version {found}, and this Gauntlet knows versions up to "
                f"{tables.SCHEMA_VERSION}; use the Gauntlet that made it, or another store"
            )
        tables.metadata.create_all(connection)
        if found is None:
            connection.execute(tables.schema_version.insert().values(version=tables.SCHEMA_VERSION))


def _schema_version(connection: Connection) -> int | None:
    if not sa.inspect(connection).has_table(tables.schema_version.name):
        return None
    found: int | None = connection.execute(sa.select(sa.func.max(tables.schema_version.c.version))).scalar()
    return found
