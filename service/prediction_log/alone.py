"""One at a time: whoever takes rows out of the store and rewrites the archive must not meet another who does."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from bentos.errors import Refused
from service.store import Store

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
    path = Path(f"{sa.make_url(store.name).database}.lock")
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as e:
            raise Refused(_BUSY) from e
        yield


_BUSY = "`gauntlet log retain` or `gauntlet forget` is at work in this store; wait until it has ended"
