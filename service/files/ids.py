"""Ids: every row has one that is no other row's, found out in constant memory over files of any length.

A 64-bit hash of each id goes to one of 64 temporary files by its highest bits, so that equal ids meet in one file,
which is small enough to sort. Only where a hash comes twice are the ids themselves compared, in a second reading.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bentos.errors import Problem, shown
from service.files.arrow import nulls_of, to_arrow, to_numpy
from service.files.encoding import values_of
from service.files.reading import Source

UNIQUE = "an id of its own: this one is used above"
NAMED = "text that is not blank, or a whole number"

_READ_ROWS = 65_536
_FILES_BITS = 6
_HASH_BYTES = 8


@dataclass(frozen=True)
class Ids:
    """What a file's ids say.

    Attributes:
        n_rows: Rows of the file.
        repeated: The rows, rising, whose id an earlier row has.
    """

    n_rows: int
    repeated: NDArray[np.int64]

    def problems(self, column: str, ids: pa.Array, first_row: int) -> list[Problem]:
        """What is wrong with the ids of some rows, by row.

        Args:
            column: The id's.
            ids: The rows' ids.
            first_row: The row of the file that they begin with.
        """
        nameless = np.flatnonzero(~_is_named(ids))
        low, high = np.searchsorted(self.repeated, (first_row, first_row + len(ids)))
        again = self.repeated[low:high] - first_row
        found = [(int(row), NAMED) for row in nameless] + [(int(row), UNIQUE) for row in again]
        return [
            Problem(column, shown(values_of(ids.slice(row, 1))[0]), allowed, first_row + row)
            for row, allowed in sorted(found)
        ]


def type_problem(column: str, kind: pa.DataType) -> Problem | None:
    """What is wrong with the id column's Arrow type; None where its values can be looked at."""
    if pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return None
    return Problem(column, f"a column of type {kind}", NAMED)


def read_ids(source: Source, column: str, *, beside: Path) -> Ids:
    """Read a file's ids once, and again where some may come twice.

    Args:
        source: The file.
        column: The id's.
        beside: A folder for temporary files: 8 bytes a row, gone when this returns, or dies.
    """
    with ExitStack() as stack:
        files = [stack.enter_context(tempfile.TemporaryFile(dir=beside)) for _ in range(1 << _FILES_BITS)]
        n_rows = 0
        for batch in source.batches([column], rows=_READ_ROWS):
            ids = batch.column(column)
            _scatter(hashes(ids)[_is_named(ids)], files)
            n_rows += batch.num_rows
        suspects = np.concatenate([_twice(file) for file in files])
    return Ids(n_rows, _repeated(source, column, suspects))


def hashes(ids: pa.Array) -> NDArray[np.uint64]:
    """A 64-bit hash of each id's text: its bytes and its length times fixed random odd numbers, modulo 2**64.

    Each byte's place has a number of its own (multilinear hashing), so short ids that differ spread evenly.
    """
    text = ids.cast(pa.large_string()).cast(pa.large_binary())
    _, offsets_buffer, content_buffer = text.buffers()
    offsets = np.frombuffer(offsets_buffer, np.int64)[text.offset : text.offset + len(text) + 1]
    lengths = np.diff(offsets)
    content = np.frombuffer(content_buffer or b"", np.uint8)[offsets[0] : offsets[-1]].astype(np.uint64)
    longest = int(lengths.max(initial=0))
    odd = np.random.default_rng(0).integers(0, 2**63, longest + 1, dtype=np.uint64) * 2 + 1
    if len(lengths) and longest == lengths.min():  # most ids are of one length, and then it is five times as fast
        summed = content.reshape(len(lengths), longest) @ odd[1:]
    else:
        place = np.arange(len(content)) - np.repeat(offsets[:-1] - offsets[0], lengths)
        sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(content * odd[place + 1])])
        summed = np.diff(sums[offsets - offsets[0]])
    found: NDArray[np.uint64] = summed + lengths.astype(np.uint64) * odd[0]
    return found


def _is_named(ids: pa.Array) -> NDArray[np.bool_]:
    """Whether each id is there, not blank, and readable text."""
    named = ~nulls_of(ids)
    if not pa.types.is_integer(ids.type):
        lengths, _ = to_numpy(pc.binary_length(pc.ascii_trim_whitespace(ids)))
        named &= (lengths > 0) & _is_utf8(ids)
    return named


def _is_utf8(text: pa.Array) -> NDArray[np.bool_]:
    try:
        text.validate(full=True)
    except pa.ArrowInvalid:
        return np.array([value is None or _encodes(value) for value in values_of(text)], dtype=np.bool_)
    return np.ones(len(text), dtype=np.bool_)


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _scatter(values: NDArray[np.uint64], files: Sequence[IO[bytes]]) -> None:
    """Append each hash to the file of its highest bits."""
    ordered = np.sort(values)
    borders = np.arange(1, len(files), dtype=np.uint64) << np.uint64(64 - _FILES_BITS)
    for file, part in zip(files, np.split(ordered, np.searchsorted(ordered, borders)), strict=True):
        file.write(part.tobytes())


def _twice(file: IO[bytes]) -> NDArray[np.uint64]:
    """The hashes that a file holds more than once."""
    file.seek(0)
    values = np.sort(np.frombuffer(file.read(), dtype=np.uint64))
    return np.unique(values[1:][values[1:] == values[:-1]])


def _repeated(source: Source, column: str, suspects: NDArray[np.uint64]) -> NDArray[np.int64]:
    """The rows whose id an earlier row has; only ids with such a hash are looked at."""
    return np.fromiter(_repeated_rows(source, column, suspects), dtype=np.int64) if len(suspects) else _NONE


_NONE: NDArray[np.int64] = np.empty(0, dtype=np.int64)


def _repeated_rows(source: Source, column: str, suspects: NDArray[np.uint64]) -> Iterator[int]:
    seen: set[object] = set()
    first_row = 0
    for batch in source.batches([column], rows=_READ_ROWS):
        ids = batch.column(column)
        rows = np.flatnonzero(np.isin(hashes(ids), suspects) & _is_named(ids))
        for row, value in zip(rows.tolist(), values_of(ids.take(to_arrow(rows))), strict=True):
            if value in seen:
                yield first_row + row
            seen.add(value)
        first_row += batch.num_rows
