"""Tombstones: people who were forgotten, known only by an HMAC of their customer id.

`gauntlet forget` puts one into the store before it erases anything. From then on shippers drop what was predicted of
that customer before: a spool that comes late, from a machine that was down, brings nobody back. What is predicted
afterwards is kept: the person came back. Nothing here can be turned into an id again without the key, and the key
alone says nothing about who was a customer.

The key is a file of 32 random bytes, `tombstone.key` beside the spools, or what GAUNTLET_TOMBSTONE_KEY_FILE names: a
Secret on Kubernetes, the same for everyone who ships into one store. A shipper without it ships what is newer than the
newest tombstone, and holds what is older in its spool: dropping it unread would lose others' records, and inserting it
could bring back who was forgotten. A lost key is the end of its tombstones.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bentos.errors import InvalidSetting, Refused, Unavailable
from service.store import Store, tables

KEY_FILE = "tombstone.key"
"""Beside the folder of spools."""

KEY_VARIABLE = "GAUNTLET_TOMBSTONE_KEY_FILE"
KEY_BYTES = 32

_AT = re.compile(rb'"at":(\d+)')


@dataclass(frozen=True)
class Key:
    """What tombstones are made with.

    Attributes:
        secret: 32 random bytes.
    """

    secret: bytes = field(repr=False)

    @property
    def name(self) -> str:
        """What tells this key from another, and says nothing about it."""
        return hashlib.sha256(b"gauntlet tombstone key\n" + self.secret).hexdigest()[:16]

    def tombstone(self, customer: str) -> str:
        """A customer's tombstone: HMAC-SHA256 of the id, in hexadecimal.

        Examples:
            >>> Key(bytes(32)).tombstone("7590-VHVEG")[:16]
            '0beb24f3a855b54a'
        """
        return hmac.digest(self.secret, customer.encode(), "sha256").hex()


def key_file_of(spool_folder: Path) -> Path:
    """Where the key of an installation lies, there or not."""
    named = os.environ.get(KEY_VARIABLE)
    return Path(named) if named else spool_folder.parent / KEY_FILE


def read_key(path: Path) -> Key | None:
    """The key in a file; None where there is no file.

    Raises:
        InvalidSetting: The file cannot be read, or holds something else.
    """
    try:
        secret = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as e:
        raise InvalidSetting(f"the tombstone key {path} cannot be read: {e.strerror or e}") from e
    if len(secret) != KEY_BYTES:
        raise InvalidSetting(f"the tombstone key {path} has {len(secret)} bytes; it must have {KEY_BYTES} random ones")
    return Key(secret)


def make_key(path: Path) -> Key:
    """Make a key that only its owner may read; one that is there already, or made meanwhile, stays.

    Raises:
        InvalidSetting: What is there is no key.
        OSError: It cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, beside = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)  # readable by its owner alone
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(os.urandom(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(beside, path)
    finally:
        Path(beside).unlink()
    found = read_key(path)
    if found is None:
        raise InvalidSetting(f"the tombstone key {path} was deleted as soon as it was made")
    return found


def set_tombstone(connection: Connection, store: Store, key: Key, customer: str, *, now: int) -> None:
    """Put a customer's tombstone into the store, and wait for every shipper that began without knowing of it.

    Args:
        connection: In a writing transaction of its own: only once it has ended, erase what the tombstone is about.
        store: The store that it belongs to.
        key: What it is made with.
        customer: The customer's id.
        now: Everything predicted before is forgotten, microseconds since 1970 UTC.

    Raises:
        Refused: The store's other tombstones were made with another key, or it cannot hold any yet.
    """
    table = tables.tombstones
    if not store.has(table):
        raise Refused(f"the store {store.name} has schema {store.schema}, which has no tombstones; migrate it")
    if store.is_postgresql:  # a shipper reads the table, and so holds it, until its transaction ends
        connection.exec_driver_sql(f"LOCK TABLE {table.name} IN ACCESS EXCLUSIVE MODE")
    check_key(connection, key)
    mine = table.c.customer == key.tombstone(customer)
    later = sa.case((table.c.forgotten_at > now, table.c.forgotten_at), else_=now)
    if not connection.execute(sa.update(table).where(mine).values(forgotten_at=later)).rowcount:
        row = {"customer": key.tombstone(customer), "key": key.name, "forgotten_at": now}
        connection.execute(table.insert().values(**row))


def check_key(connection: Connection, key: Key) -> None:
    """See that a key is the one that the store's tombstones were made with.

    Raises:
        Refused: It is another.
    """
    table = tables.tombstones
    if connection.execute(sa.select(sa.func.count()).where(table.c.key != key.name)).scalar_one():
        raise Refused(
            "the store's tombstones were made with another key; give that one in "
            f"{KEY_VARIABLE}, because nobody honours tombstones of two keys"
        )


@dataclass(frozen=True)
class Forgotten:
    """Those whose tombstones bear on some lines.

    Attributes:
        key: What the tombstones were made with.
        moments: When each was forgotten, by tombstone, microseconds since 1970 UTC.
        newest: The latest of these moments: what was predicted afterwards needs no further look.
    """

    key: Key
    moments: dict[str, int]
    newest: int

    def covers(self, customer: str | None, at: int) -> bool:
        """Whether a prediction is about somebody who was forgotten after it was made."""
        if at >= self.newest or customer is None:
            return False
        return at < self.moments.get(self.key.tombstone(customer), 0)


def find_forgotten(connection: Connection, store: Store, key_file: Path, lines: Sequence[bytes]) -> Forgotten | None:
    """Those whose tombstones bear on these lines; None for nobody, which costs one short query and no key.

    Args:
        connection: In the transaction that will insert what the lines hold.
        store: The store that it belongs to.
        key_file: Where the key lies.
        lines: Of a spool.

    Raises:
        Unavailable: Some lines are older than a tombstone, and the key to find out whose they are is not here.
    """
    table = tables.tombstones
    if not store.has(table):
        return None
    newest = connection.execute(sa.select(sa.func.max(table.c.forgotten_at))).scalar()
    if newest is None or (oldest := _oldest(lines)) is None or oldest >= newest:
        return None
    found = connection.execute(sa.select(table).where(table.c.forgotten_at > oldest)).all()
    key = _needed_key(key_file, {row.key for row in found})
    return Forgotten(key, {row.customer: row.forgotten_at for row in found}, newest)


def _oldest(lines: Sequence[bytes]) -> int | None:
    """When the oldest prediction in the lines was made; None where there is none."""
    moments = []
    for line in lines:
        if found := _AT.search(line):  # the record's own stands before its features
            moments.append(int(found.group(1)))
        elif b"customer_id" in line:
            return 0  # a prediction in a form that is not ours: look at everything
    return min(moments, default=None)


def _needed_key(path: Path, names: set[str]) -> Key:
    try:
        key = read_key(path)
    except InvalidSetting as e:
        raise Unavailable(f"{e}; what was predicted before the newest tombstone stays in its spool until then") from e
    if key is None or names != {key.name}:
        found = f"there is no key {path}" if key is None else f"{path} is another key"
        raise Unavailable(
            f"people were forgotten, and {found}: what was predicted before the newest tombstone stays in its spool; "
            f"give the key of the tombstones in {KEY_VARIABLE}"
        )
    return key
