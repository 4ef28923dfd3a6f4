"""Rows as Parquet files: written in order beside their place, counted and digested, read back a group at a time.

A file of the archive holds rows of one table as the store holds them, in the order of their key. Its metadata say how
many rows there are and what they digest to, so that whoever reads it later knows whether it is whole. Times are
timestamps in UTC. `pyarrow` is imported by whoever imports this module: the shipper does not.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa

from bentos.errors import Refused
from service.prediction_log.segments import sync_folder

GROUP_ROWS = 16_384
"""Rows that are written, and later read, at a time: some 20 MB of predictions."""

MOMENT = pa.timestamp("us", tz="UTC")

_ROWS = b"gauntlet.rows"
_DIGEST = b"gauntlet.rows_digest"
_MOMENTS = frozenset({"at", "observed_at", "received_at", "taken_at", "landed_at"})

Values = tuple[Any, ...]

_encode = msgspec.json.Encoder().encode


class Sum(NamedTuple):
    """What rows come to.

    Attributes:
        rows: How many.
        digest: SHA-256 of them in their order.
    """

    rows: int
    digest: str


class Adder:
    """Adds rows up, one after the other."""

    def __init__(self) -> None:
        self._rows = 0
        self._digest = hashlib.sha256()

    def add(self, rows: Iterable[Values]) -> None:
        """Add rows, after those that were added before."""
        for row in rows:
            self._digest.update(_encode(row))
            self._rows += 1

    @property
    def sum(self) -> Sum:
        """Of all that were added."""
        return Sum(self._rows, f"sha256:{self._digest.hexdigest()}")


class SheetWriter:
    """A Parquet file that grows beside its place; it takes the place when the block ends without an error."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._path = path
        self._beside = path.with_name(f".{path.name}.partial")
        self._schema = schema
        self._adder = Adder()
        self._waiting: list[Values] = []
        path.parent.mkdir(parents=True, exist_ok=True)
        self._writer = pq.ParquetWriter(self._beside, schema, compression="zstd")

    def __enter__(self) -> SheetWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, _error: Any, _trace: TracebackType | None) -> None:
        if kind is None:
            self._finish()
        else:
            self._writer.close()
            self._beside.unlink(missing_ok=True)

    @property
    def sum(self) -> Sum:
        """Of the rows that were given."""
        return self._adder.sum

    def write(self, rows: Iterable[Values]) -> None:
        """Write rows, each with a value a column."""
        self._waiting += rows
        while len(self._waiting) >= GROUP_ROWS:
            self._write_group(self._waiting[:GROUP_ROWS])
            del self._waiting[:GROUP_ROWS]

    def _write_group(self, rows: list[Values]) -> None:
        self._adder.add(rows)
        columns = zip(*rows, strict=True)
        arrays = [_array(list(values), field.type) for values, field in zip(columns, self._schema, strict=True)]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema))

    def _finish(self) -> None:
        try:
            if self._waiting:
                self._write_group(self._waiting)
            rows, digest = self._adder.sum
            self._writer.add_key_value_metadata({_ROWS: str(rows).encode(), _DIGEST: digest.encode()})
            self._writer.close()
            _sync(self._beside)
            check_sheet(self._beside)
            self._beside.replace(self._path)
            sync_folder(self._path.parent)
        except BaseException:
            self._beside.unlink(missing_ok=True)
            raise


def schema_of(columns: Sequence[sa.Column[Any]]) -> pa.Schema:
    """The Parquet columns that columns of the store become."""
    return pa.schema([pa.field(column.name, _type_of(column), nullable=bool(column.nullable)) for column in columns])


def read_rows(path: Path, columns: Sequence[str] | None = None) -> Iterator[list[Values]]:
    """The rows of a file in their order, some at a time.

    Args:
        path: The file.
        columns: The columns whose values are wanted; None for all.

    Raises:
        Refused: It is no Parquet file, or cannot be read.
    """
    with _readable(path), pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=GROUP_ROWS, columns=None if columns is None else list(columns)):
            found = batch if columns is None else batch.select(list(columns))
            yield list(zip(*(_values(column) for column in found.columns), strict=True))


def columns_in(path: Path) -> list[str]:
    """The names of a file's columns.

    Raises:
        Refused: It is no Parquet file.
    """
    with _readable(path):
        return list(pq.read_schema(path).names)


def check_sheet(path: Path) -> Sum:
    """Read a file back and compare it with what its metadata say.

    Returns:
        What its rows come to.

    Raises:
        Refused: It is damaged, or not one of ours.
    """
    adder = Adder()
    for rows in read_rows(path):
        adder.add(rows)
    check_sum(path, adder.sum)
    return adder.sum


def check_sum(path: Path, found: Sum) -> None:
    """Compare what was read of a file with what its metadata say.

    Raises:
        Refused: They differ.
    """
    with _readable(path):
        said = pq.read_metadata(path).metadata or {}
    rows, digest = said.get(_ROWS, b"").decode(), said.get(_DIGEST, b"").decode()
    if (rows, digest) != (str(found.rows), found.digest):
        raise Refused(
            f"{path} holds {found.rows} rows that digest to {found.digest}, and says that it holds {rows or 'none'} of "
            f"{digest or 'no digest'}: it is damaged, or no file of this archive; nothing was deleted"
        )


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, UnicodeDecodeError, OSError) as e:
        if isinstance(e, OSError) and e.errno is not None:  # the file system's word, not the reader's
            raise
        raise Refused(f"{path} cannot be read as Parquet: it is damaged, or another file ({e})") from e


def _type_of(column: sa.Column[Any]) -> pa.DataType:
    if column.name in _MOMENTS:
        return MOMENT
    kinds = {sa.Boolean: pa.bool_(), sa.BigInteger: pa.int64(), sa.Double: pa.float64(), sa.String: pa.string()}
    return next(arrow for kind, arrow in kinds.items() if isinstance(column.type, kind))


def _array(values: list[Any], kind: pa.DataType) -> pa.Array:
    if kind == MOMENT:
        return pa.array(values, pa.int64()).view(MOMENT)
    return pa.array(values, kind)


def _values(column: pa.Array) -> list[Any]:
    return list((column.view(pa.int64()) if column.type == MOMENT else column).to_pylist())


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
