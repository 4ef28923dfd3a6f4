"""Bringing the store's schema up to date, by whoever opens it for writing first.

The Gauntlet of schema N runs on N-1 and on N+1, so that a rollout needs no moment in which everybody stops:

* A schema is only added to. New columns have a default in the database; names are never dropped or given new meanings
  before nobody who reads them is two schemas away.
* On N+1 (a newer shipper came first): inserts and reads name their columns, so what is new takes its defaults.
* On N-1 (this process may not migrate: `open_store(url, migrate=False)`): a column that is not there reads as what a
  row without it means. What schema N-1 cannot hold is not written: the shipper leaves it in its spool until somebody
  has migrated the store.
* Anything further away is refused.
"""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bentos.errors import Refused
from service.store import tables

SCRIPTS = Path(__file__).parent / "migrations"
VERSION_TABLE = "alembic_version"

_ONE_AT_A_TIME = threading.Lock()  # a script finds its connection in alembic.op, of which a process has one


def find_version(connection: Connection, name: str) -> int:
    """The schema that the store has; 0 for none.

    Args:
        connection: In any transaction.
        name: The store's name, for the message.

    Raises:
        Refused: Its version cannot be read.
    """
    inspector = sa.inspect(connection)
    if inspector.has_table(VERSION_TABLE):
        numbers = sa.select(sa.column("version_num", sa.String)).select_from(sa.table(VERSION_TABLE))
        found = list(connection.execute(numbers).scalars())
        if len(found) != 1 or not re.fullmatch(r"\d{4}", found[0]):
            shown = ", ".join(found) or "none"
            raise Refused(f"the store {name} has the schema version {shown}, which is no Gauntlet's")
        return int(found[0])
    if inspector.has_table(tables.schema_version.name):  # made before there were scripts
        version: int | None = connection.execute(sa.select(sa.func.max(tables.schema_version.c.version))).scalar()
        return version or 0
    return 0


def check_version(found: int, name: str, *, known: int = tables.SCHEMA_VERSION) -> None:
    """See whether this Gauntlet runs on a schema.

    Raises:
        Refused: It is further away than one; the message says what to do.
    """
    if found > known + 1:
        raise Refused(
            f"the store {name} has schema version {found}, and this Gauntlet knows versions up to {known} and runs on "
            f"{known + 1}; use the Gauntlet that made it, or another store"
        )
    if found < known - 1 or found == 0:
        raise Refused(
            f"the store {name} has schema version {found}, and this Gauntlet runs on {known - 1} to {known + 1}; let a "
            "process that may migrate it open it first, such as `gauntlet ship`"
        )


def migrate(connection: Connection, found: int, *, scripts: Path = SCRIPTS) -> int:
    """Run the scripts that a store lacks, in the caller's transaction, which must hold the schema's lock.

    Args:
        connection: In a writing transaction.
        found: The version that it has, as `find_version` says.
        scripts: The folder of scripts.

    Returns:
        The version that it has now.
    """
    # Most openings migrate nothing, and alembic takes as long to import as all the rest.
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    directory = ScriptDirectory(str(scripts))

    def steps(revision: Any, _context: MigrationContext) -> list[Any]:
        return directory._upgrade_revs("head", revision)  # as alembic's own `upgrade` command does

    context = MigrationContext.configure(connection, opts={"fn": steps, "version_table": VERSION_TABLE})
    with _ONE_AT_A_TIME, Operations.context(context):
        if found == 1 and context.get_current_revision() is None:
            context.stamp(directory, "0001")
        context.run_migrations()
    return find_version(connection, "")
