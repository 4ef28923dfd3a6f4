"""What everyone shares who takes things out of the log: one at a time, and a row that says what was done."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bentos.errors import Refused
from service.micros import to_micros
from service.store import Store, tables

_LOCK = 0x67617565  # any number that is ours alone: "gaue"


@contextmanager
def alone(store: Store) -> Iterator[None]:
    """Let nobody else retain or forget in this store, on any machine, until the block ends or this process does.

    Raises:
        Refused: Somebody does.
        Unavailable: The store does not answer.
    """
    if store.is_postgresql:
        with store.writing() as connection:  # its session holds the lock; nothing else is done in it
            if not connection.execute(sa.select(sa.func.pg_try_advisory_xact_lock(_LOCK))).scalar_one():
                raise Refused(_BUSY)
            yield
        return
    file = Path(str(sa.make_url(store.name).database))
    with file.with_name(f".{file.name}.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as e:
            raise Refused(_BUSY) from e
        yield


_BUSY = "`gauntlet log retain` or `gauntlet forget` is at work in this store; wait until it has ended"


def record(
    connection: Connection,
    action: Literal["retain", "forget", "drain", "revoke"],
    subject: str,
    *,
    who: str,
    now: datetime,
    content: dict[str, Any],
) -> None:
    """Write who did what, in the transaction of the caller.

    Args:
        connection: In a writing transaction.
        action: What was done.
        subject: To what: a month, a tombstone, a spool, a model.
        who: Who asked.
        now: When, with a time zone.
        content: What it came to; it names nobody.
    """
    written = msgspec.json.encode(content).decode()
    values = {"at": to_micros(now), "who": who, "action": action, "subject": subject, "content": written}
    connection.execute(tables.upkeep.insert().values(**values))
