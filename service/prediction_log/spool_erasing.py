"""Erasing a person from the spools and dead letters of this machine.

A spool that nobody writes to is written anew without the person's lines, a segment at a time, while its row in the
store is held: no shipper reads it meanwhile, and none loses its place. A spool that a live process writes to is left
alone: what is not shipped yet is dropped by the tombstone, and what is shipped is deleted with its segment, some
minutes after it was begun.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from service.prediction_log.chunks import Cursor, delete_shipped
from service.prediction_log.dead_letters import DEAD_LETTERS
from service.prediction_log.lines import BadLine, decode_line
from service.prediction_log.orphans import held_if_orphan
from service.prediction_log.records import Prediction
from service.prediction_log.segments import ID_FILE, number_of, segments_of, sync_folder
from service.store import Store, tables

_ID = re.compile(rb'"prediction_id":"([^"\\]*)"')
_CUSTOMER = re.compile(rb'"customer_id"\s*:\s*"((?:[^"\\]|\\.)*)("?)', re.DOTALL)


@dataclass(frozen=True)
class Person:
    """Who is to be forgotten.

    Attributes:
        customer: The customer's id.
        ids: Of the customer's predictions, as far as they are known.
    """

    customer: str
    ids: set[str] = field(default_factory=set)

    def is_in(self, line: bytes) -> bool:
        """Whether a line, of a spool or a dead letter, is about this person."""
        found = _ID.search(line)
        if found is not None and found.group(1).decode(errors="replace") in self.ids:
            return True
        return self._is_named_in(line)

    def prediction_in(self, line: bytes) -> str | None:
        """The id of this person's prediction in a line; None where it holds none."""
        if not self._is_named_in(line):
            return None
        found = _ID.search(line)
        return None if found is None else found.group(1).decode(errors="replace")

    def _is_named_in(self, line: bytes) -> bool:
        if b"customer_id" not in line:
            return False
        try:
            record = decode_line(line)
        except BadLine:
            return _is_named(line, self.customer)
        return isinstance(record, Prediction) and record.customer_id == self.customer

    @property
    def marks(self) -> tuple[bytes, ...]:
        """What a line that names this person holds, however its JSON was written."""
        return msgspec.json.encode(self.customer)[1:-1], json.dumps(self.customer)[1:-1].encode()


@dataclass
class SpoolsErased:
    """What was found in the spools of one folder.

    Attributes:
        lines: Lines erased, by spool.
        left_alone: Lines that stand in spools of live owners, by spool.
        dead_letters: Dead letters erased, in files.
    """

    lines: dict[str, int] = field(default_factory=dict)
    left_alone: dict[str, int] = field(default_factory=dict)
    dead_letters: int = 0


def ids_in_spools(folder: Path, person: Person) -> set[str]:
    """The ids of a person's predictions that stand in the spools of a folder."""
    found = set()
    for path in (path for spool in _spools_of(folder) for path in [*segments_of(spool), spool / DEAD_LETTERS]):
        found |= {one for line in _lines_of(path, person.marks) if (one := person.prediction_in(line)) is not None}
    return found


def erase_from_spools(folder: Path, store: Store, person: Person, *, dry_run: bool) -> SpoolsErased:
    """Write spools and dead letters anew without a person's lines.

    Raises:
        Unavailable: The store does not answer.
        OSError: A spool cannot be written to.
    """
    erased = SpoolsErased()
    for spool in _spools_of(folder):
        count = sum(_count(segment, person) for segment in segments_of(spool))
        letters = _count(spool / DEAD_LETTERS, person)
        if count:
            with held_if_orphan(spool) as is_orphan:
                (erased.lines if is_orphan else erased.left_alone)[spool.name] = count
                if is_orphan and not dry_run:
                    _erase_segments(spool, store, person)
        if letters:
            erased.dead_letters += letters
            if not dry_run:
                with store.writing() as connection:
                    _hold_row(connection, spool)  # no shipper adds to it meanwhile
                    _rewrite(spool / DEAD_LETTERS, person.is_in)
    return erased


def _erase_segments(spool: Path, store: Store, person: Person) -> None:
    with store.writing() as connection:
        cursor = _hold_row(connection, spool)
        if cursor is not None:
            delete_shipped(spool, cursor)
        for segment in [segment for segment in segments_of(spool) if _count(segment, person)]:
            reached = cursor.offset if cursor is not None and number_of(segment) == cursor.segment else 0
            moved_to = _rewrite(segment, person.is_in, reached)
            if moved_to != reached:
                _move_cursor(connection, store, spool, moved_to)


def _hold_row(connection: Connection, spool: Path) -> Cursor | None:
    """Keep shippers away from a spool, and say how far they are; None where no shipper has begun, or with another."""
    spools = tables.spools
    found = connection.execute(sa.select(spools).where(spools.c.worker == spool.name).with_for_update()).one_or_none()
    own = spool / ID_FILE
    if found is None or not own.exists() or found.spool_id != own.read_text():
        return None
    return Cursor(found.segment, found.offset, found.mark)


def _move_cursor(connection: Connection, store: Store, spool: Path, offset: int) -> None:
    """Say where the same place of the segment is now. Whoever dies before this is committed lets it be read again."""
    spools = tables.spools
    values: dict[str, int | None] = {"offset": offset}
    if store.has(spools.c.mark):
        values["mark"] = None
    connection.execute(sa.update(spools).where(spools.c.worker == spool.name).values(values))


def _rewrite(path: Path, is_erased: Callable[[bytes], bool], reached: int = 0) -> int:
    """Write a file of lines anew without some; gives where the place `reached` is afterwards, bytes."""
    beside = path.with_name(f".{path.name}.partial")
    at = moved_to = 0
    with path.open("rb") as old, beside.open("wb") as new:
        os.fchmod(new.fileno(), path.stat().st_mode & 0o777)
        for line in old:
            at += len(line)
            if not is_erased(line.removesuffix(b"\n")):
                new.write(line)
            if at <= reached:
                moved_to = new.tell()
        new.flush()
        os.fsync(new.fileno())
    beside.replace(path)
    sync_folder(path.parent)
    return moved_to


def _count(path: Path, person: Person) -> int:
    return sum(person.is_in(line) for line in _lines_of(path))


def _lines_of(path: Path, marks: tuple[bytes, ...] = ()) -> Iterator[bytes]:
    """The lines of a file without their line feeds, those alone that hold a mark if any is given."""
    try:
        file = path.open("rb")
    except FileNotFoundError:  # no dead letters, or shipped and deleted meanwhile
        return
    with file:
        for line in file:
            if not marks or any(mark in line for mark in marks):
                yield line.removesuffix(b"\n")


def _spools_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.is_dir())


def _is_named(line: bytes, customer: str) -> bool:
    """Whether a line that is no record names a customer. One that is cut inside the name may mean anybody it fits."""
    found = _CUSTOMER.search(line)
    if found is None:
        return False
    text, end = found.groups()
    try:
        named = json.loads(b'"' + text + b'"')
    except ValueError:
        named = text.decode(errors="replace")
    return bool(named == customer if end else named and customer.startswith(named))
