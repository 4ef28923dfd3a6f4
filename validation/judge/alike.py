"""Millions of rows out of the store, sorted into those that are alike: a look-up and an append a row, and no more.

The drivers are asked directly. SQLite hands its rows over as tuples, in which all that is yes, no or unknown is one
number, as each column costs. PostgreSQL copies them out as text, of which all but the id is a key as it stands. What a
key says is read once for all of its rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from service.store import Store

Alike = dict[tuple[Any, ...], list[str]]
"""Ids by the values of the columns before them."""

_MAPPED_BYTES = 2**36
_WORK_MEMORY = "256MB"
_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\"}


def rows_alike(store: Store, connection: Connection, query: sa.Select[Any], kinds: Sequence[type]) -> Alike:
    """Ask, and sort the answer.

    Args:
        store: The store that the transaction belongs to.
        connection: In a transaction.
        query: Its last column is an id.
        kinds: What the values of the other columns are, in their order: int, float, str or bool; any may be None.

    Returns:
        The ids by the other columns' values. Their order is the store's.
    """
    said = _copied(connection, query) if store.is_postgresql else _fetched(connection, query, kinds)
    alike: Alike = defaultdict(list)
    for values, ids in said:
        alike[tuple(_typed(value, kind) for value, kind in zip(values, kinds, strict=True))] += ids
    return dict(alike)


def _fetched(
    connection: Connection, query: sa.Select[Any], kinds: Sequence[type]
) -> list[tuple[Sequence[Any], list[str]]]:
    found: dict[tuple[Any, ...], list[str]] = defaultdict(list)
    # Looking customers up goes all over the file: mapped, that costs no call and no copy. The mapping ends with this.
    connection.exec_driver_sql(f"PRAGMA mmap_size={_MAPPED_BYTES}")
    cursor = connection.connection.cursor()
    try:
        for row in cursor.execute(_text(connection, _packed(query, kinds))):
            found[row[:-1]].append(row[-1])
    finally:
        cursor.close()
        connection.exec_driver_sql("PRAGMA mmap_size=0")
    return [(_unpacked(row, kinds), ids) for row, ids in found.items()]


def _packed(query: sa.Select[Any], kinds: Sequence[type]) -> sa.Select[Any]:
    """The query with every column of truth values packed into one number to base 3, which stands before the id."""
    *columns, last = query.subquery().c
    digits = [column for column, kind in zip(columns, kinds, strict=True) if kind is bool]
    others = [column for column, kind in zip(columns, kinds, strict=True) if kind is not bool]
    packed = sum((sa.func.coalesce(digit, 2) * 3**place for place, digit in enumerate(digits)), sa.literal(0))
    return sa.select(*others, packed, last)


def _unpacked(row: Sequence[Any], kinds: Sequence[type]) -> list[Any]:
    *others, packed = row
    values, rest = iter(others), int(packed)
    found = []
    for kind in kinds:
        if kind is not bool:
            found.append(next(values))
            continue
        rest, digit = divmod(rest, 3)
        found.append(None if digit == 2 else digit)
    return found


def _copied(connection: Connection, query: sa.Select[Any]) -> list[tuple[Sequence[Any], list[str]]]:
    found: dict[bytes, list[str]] = defaultdict(list)
    connection.execute(sa.select(sa.func.set_config("work_mem", _WORK_MEMORY, True)))  # one pass over the customers
    cursor: Any = connection.connection.cursor()
    try:
        with cursor.copy(f"COPY ({_text(connection, query)}) TO STDOUT") as copy:
            for line in copy:
                key, _, prediction_id = bytes(line).rpartition(b"\t")
                found[key].append(prediction_id[:-1].decode())
    finally:
        cursor.close()
    return [
        (
            [_unescaped(value) for value in key.decode().split("\t")],
            [str(_unescaped(one)) if "\\" in one else one for one in ids],
        )
        for key, ids in found.items()
    ]


def _text(connection: Connection, query: sa.Select[Any]) -> str:
    """The query with its values in it, as drivers that take none (COPY) want it."""
    compiled = query.compile(dialect=connection.dialect, compile_kwargs={"literal_binds": True})
    # SQLAlchemy doubles what would mark a value for the driver; nothing is left for it to fill in here.
    return str(compiled).replace("%%", "%") if connection.dialect.name == "postgresql" else str(compiled)


def _unescaped(text: str) -> str | None:
    """A value of COPY's text form; None for NULL."""
    if "\\" not in text:
        return text
    if text == r"\N":
        return None
    parts = iter(text)
    return "".join(_ESCAPES.get(following := next(parts), following) if one == "\\" else one for one in parts)


def _typed(value: Any, kind: type) -> Any:
    if value is None:
        return None
    if kind is bool:
        return value in (1, "t")
    make: Callable[[Any], Any] = kind
    return make(value)
