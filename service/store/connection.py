"""Opening the store, transactions in it, and what its failures are called."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from bentos.errors import InvalidSetting, Unavailable
from bentos.folder import Folder
from service.store import tables
from service.store.earlier import read_as_absent
from service.store.migrating import check_version, find_version, migrate
from service.store.partitions import PARTITIONED, KnownMonths, Month, make_partition, months_ahead
from service.store.silence import Silence

logger = logging.getLogger("gauntlet.store")

PASSWORD_FILE = "GAUNTLET_STORE_PASSWORD_FILE"  # noqa: S105  # a name, not a password
_WAIT_SECONDS = 10
_SCHEMA_LOCK = 0x6761756E  # any number that is ours alone: "gaun"
_WRITES = "gauntlet_writes"
_FIRST_PARTITIONED = 2
_NOWHERE = (0, 0)


class Store:
    """An open store. Safe for several threads.

    Before each transaction it is looked at: whether SQLite's file is still the one that was opened, and, after any
    failure, whether the schema is still there. A store that was replaced by an empty one gets its tables again.

    Attributes:
        name: Its address without the password, for messages.
        schema: The schema that it has; `tables.SCHEMA_VERSION`, or one beside it.
    """

    def __init__(self, engine: Engine, *, may_migrate: bool = True, silence: Silence | None = None) -> None:
        self._engine = engine
        self._silence = silence
        self.name = engine.url.render_as_string(hide_password=True)
        self.schema = 0
        self._may_migrate = may_migrate
        self._file = None if self.is_postgresql else Path(str(engine.url.database))
        self._identity: tuple[int, int] | None = None
        self._months = KnownMonths()
        self._turn = threading.RLock()
        rewrite = weakref.WeakMethod(self._rewrite)  # the engine must not hold its store, which could never be let go

        def asked(connection: Any, statement: Any, many: Any, values: Any, options: Any) -> Any:
            found = rewrite()
            return (statement, many, values) if found is None else found(connection, statement, many, values, options)

        sa.event.listen(engine, "before_execute", asked, retval=True)
        # A store that nobody holds any more leaves no connection open; one that is held to the end of its process may
        # be a forked one's too, which must not end its parent's.
        weakref.finalize(self, engine.dispose).atexit = False

    @property
    def is_postgresql(self) -> bool:
        """Whether this is PostgreSQL; SQLite otherwise."""
        return self._engine.dialect.name == "postgresql"

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the store and changes nothing.

        Raises:
            Unavailable: The store does not answer, or is locked.
            Refused: It was replaced by one that this Gauntlet cannot use.
        """
        with self._translated():
            self._look()
            with self._transaction() as connection:
                yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that is written whole or not at all. On SQLite it is the only one that writes.

        Once it has ended without an error, what it wrote survives a power cut, whatever the server's settings.

        Raises:
            Unavailable: The store does not answer, or is locked.
            Refused: It was replaced by one that this Gauntlet cannot use.
        """
        with self._translated():
            self._look()
            with self._transaction(writes=True) as connection:
                yield connection

    def has(self, thing: sa.Table | sa.Column[Any]) -> bool:
        """Whether the schema that the store has holds a table or column of ours."""
        return int(thing.info.get("since", 1)) <= self.schema

    def insert_new(self, connection: Connection, table: sa.Table, rows: Sequence[dict[str, Any]]) -> int:
        """Insert the rows whose key is not there yet. For thousands of rows there is `loading.load`.

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

    def make_partitions(self, months: set[Month], *, now: datetime) -> None:
        """Make the partitions of these months, of this one and of the next two, in a transaction of their own.

        On SQLite there are none. Rows of a month without one stand in the default partition until it is made.

        Raises:
            Unavailable: The store does not answer.
        """
        if not self.is_postgresql:
            return
        with self._translated():
            self._look()
        if self.schema < _FIRST_PARTITIONED:
            return
        wanted = self._months.missing(months | months_ahead(now))
        if not wanted:
            return
        with self.writing() as connection:
            self.lock(connection, "partitions")
            for month in sorted(wanted):
                for table in PARTITIONED:
                    make_partition(connection, table, month)
        self._months.add(wanted)

    def close(self) -> None:
        """Let go of every connection."""
        self._engine.dispose()

    def _look(self) -> None:
        """See that the store is the one that was opened; open it anew if it is not."""
        if self._silence is not None:
            self._silence.look()  # who finds out whether it is back does so in the turn, for which nobody is to wait
        with self._turn:
            is_same = self._identity == self._identity_now()
            if is_same and self.schema >= tables.SCHEMA_VERSION:  # one that is behind may be migrated at any moment
                return
            if self._identity is not None and not is_same:
                logger.warning("store_replaced", extra={"store": self.name})
                self._engine.dispose()
                self._identity = None
            self._months.forget()
            before = self._identity_now()
            try:
                self.schema = self._prepare()
            except BaseException:
                self._engine.dispose()  # what is open leads to a store that is none; the next one may be good
                raise
            # Replaced in between, it must not pass for the one that was prepared.
            self._identity = self._identity_now() if before == _NOWHERE else before

    def _identity_now(self) -> tuple[int, int] | None:
        """Which file SQLite's name leads to; None for none, and for PostgreSQL."""
        if self._file is None:
            return None
        try:
            found = self._file.stat()
        except OSError:
            return _NOWHERE
        return found.st_dev, found.st_ino

    def _prepare(self) -> int:
        """Bring the schema up to date if that is needed and allowed; gives its version."""
        with self._transaction() as connection:
            found = find_version(connection, self.name)
        if found < tables.SCHEMA_VERSION and self._may_migrate:
            with self._transaction(writes=True) as connection:
                self.lock(connection, "schema")
                found = find_version(connection, self.name)  # another may have done it meanwhile
                if found < tables.SCHEMA_VERSION:
                    logger.info("store_migrating", extra={"store": self.name, "schema_version": found})
                    found = migrate(connection, found)
        check_version(found, self.name)
        return found

    @contextmanager
    def _transaction(self, *, writes: bool = False) -> Iterator[Connection]:
        with self._engine.connect().execution_options(**{_WRITES: writes}) as connection, connection.begin():
            if self.is_postgresql:
                connection.exec_driver_sql(_DURABLE if writes else _PROMPT)
            yield connection

    def _rewrite(self, _connection: Any, statement: Any, many: Any, values: Any, _options: Any) -> Any:
        """What is asked of an earlier schema is asked in its terms."""
        if 0 < self.schema < tables.SCHEMA_VERSION:
            statement = read_as_absent(statement, self.has)
        return statement, many, values

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, sqlite3.Error, psycopg.Error) as e:
            self.schema = 0  # it may come back as another: look again before the next transaction
            text = " ".join(str(getattr(e, "orig", None) or e).split())
            raise Unavailable(f"the store {self.name} does not answer: {text[:300]}") from e


# Compiling a query takes a second or two, many times as long as what is asked here.
_PROMPT = "SELECT set_config('jit', 'off', true)"
_DURABLE = (
    f"{_PROMPT}, CASE current_setting('synchronous_commit') WHEN 'off' THEN "
    "set_config('synchronous_commit', 'on', true) END"
)


def open_store(url: str, *, migrate: bool = True, asks: bool = True, answer_seconds: float | None = None) -> Store:
    """Open the store at an SQLAlchemy URL and bring its tables up to date.

    Args:
        url: `sqlite:///FILE` or `postgresql://USER:PASSWORD@HOST:PORT/DATABASE`.
        migrate: Whether this process may make and change tables. Without it a store that is one schema behind is used
            as it is.
        asks: Whether it must answer now. Without it the first transaction finds out: for processes that go on while a
            store is away, and must begin while it is.
        answer_seconds: How long one answer of PostgreSQL is waited for; None: for ever. SQLite has its file at hand.

    Raises:
        InvalidSetting: The URL is none of these.
        Unavailable: The store does not answer, is locked, or its file cannot be made; without `migrate` there is none.
        Refused: Its schema is further away than this Gauntlet can bridge.
    """
    silence = None if answer_seconds is None else Silence(answer_seconds)
    store = Store(_engine(url, makes=migrate, silence=silence), may_migrate=migrate, silence=silence)
    if not asks:
        return store
    try:
        with store.reading():
            return store
    except BaseException:
        store.close()
        raise


def store_of(folder: Folder, *, asks: bool = True) -> Store:
    """The store that `GAUNTLET_STORE_URL` names; without it SQLite in the folder, which is made if needed.

    Args:
        folder: The installation.
        asks: As `open_store`.

    Raises:
        InvalidSetting: As `open_store`.
        Unavailable: As `open_store`.
        Refused: As `open_store`.
    """
    folder.path.mkdir(parents=True, exist_ok=True)
    return open_store(os.environ.get("GAUNTLET_STORE_URL") or folder.store_url, asks=asks)


def _engine(url: str, *, makes: bool, silence: Silence | None) -> Engine:
    try:
        parsed = sa.make_url(url)
    except SQLAlchemyError as e:
        raise InvalidSetting(f"the store's address is not a URL; it must be {_ALLOWED}") from e
    if parsed.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        parsed = parsed.set(drivername="postgresql+psycopg")
        logging.getLogger("psycopg").setLevel(logging.ERROR)  # it warns of what it raises
        engine = sa.create_engine(parsed, pool_pre_ping=True, connect_args={"connect_timeout": _WAIT_SECONDS})
        sa.event.listen(engine, "do_connect", _give_password)
        if silence is not None:
            sa.event.listen(engine, "do_connect", silence.connect)
        return engine
    if parsed.drivername not in ("sqlite", "sqlite+pysqlite") or parsed.database in (None, "", ":memory:"):
        raise InvalidSetting(f"the store cannot be {parsed.render_as_string()!r}; it must be {_ALLOWED}")
    file, seconds = Path(str(parsed.database)).absolute(), _WAIT_SECONDS

    def connect() -> sqlite3.Connection:
        # SQLite makes a file that is not there, and an empty store is none.
        uri = f"{file.as_uri()}?mode={'rwc' if makes else 'rw'}"
        return sqlite3.connect(uri, uri=True, timeout=seconds, check_same_thread=False)

    engine = sa.create_engine(parsed, creator=connect)
    sa.event.listen(engine, "connect", _prepare_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _give_password(_dialect: Any, _record: Any, _arguments: Any, parameters: dict[str, Any]) -> None:
    """Read the password's file at each connection, so that a changed one is used without a restart."""
    path = os.environ.get(PASSWORD_FILE)
    if not path or parameters.get("password"):
        return
    try:
        parameters["password"] = Path(path).read_text(encoding="utf-8").rstrip("\n")
    except (OSError, UnicodeDecodeError) as e:
        raise InvalidSetting(f"{PASSWORD_FILE} names {path}, which cannot be read: {e}") from e


_ALLOWED = "sqlite:///FILE or postgresql://USER:PASSWORD@HOST:PORT/DATABASE"


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # sqlite3 would begin transactions by its own rules
    cursor = connection.cursor()
    try:
        _use_wal(cursor)  # readers and the one writer do not wait for each other
        cursor.execute("PRAGMA synchronous=FULL")  # a shipped segment is deleted after the commit: it must be on disk
        cursor.execute("PRAGMA secure_delete=ON")  # nothing stays in the file of what is deleted: people are forgotten
        cursor.execute("PRAGMA cache_size=-32768")  # 32 MiB: the index by customer is written all over
    finally:
        cursor.close()


def _use_wal(cursor: sqlite3.Cursor) -> None:
    """Switch to the write-ahead log; SQLite does not wait here for others who open the same new file, so we do."""
    until = time.monotonic() + _WAIT_SECONDS
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    # Taking the write lock at once waits for its turn; taking it later fails where another has written meanwhile.
    is_writing = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writing else "BEGIN")
