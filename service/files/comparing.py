"""One part of an output beside the rows of the input that it stands for: the ids of both, value by value, in order.

Past the rows that were set aside, both must be the same, which is what "each row once" means. It takes the memory of
one chunk.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bentos.errors import Refused
from service.files.arrow import to_arrow, to_numpy
from service.files.chunks import BATCH_ROWS, CHUNK_ROWS, BadRow
from service.files.parts import ANSWERS, PROBABILITY
from service.files.places import Place
from service.files.reading import open_source
from service.scoring.models import Identity

_WHO = ANSWERS[3:]
"""The columns that say who scored, as `Identity` has them."""


class Rows:
    """Batches of rows, of which any number is taken at a time."""

    def __init__(self, batches: Iterator[pa.RecordBatch]) -> None:
        """Take rows of these batches, none of which is empty."""
        self._batches = batches
        self._rest: pa.RecordBatch | None = None

    def take(self, count: int) -> list[pa.RecordBatch]:
        """The next rows; fewer where there are no more."""
        taken: list[pa.RecordBatch] = []
        while count:
            batch = self._rest if self._rest is not None else next(self._batches, None)
            if batch is None:
                break
            taken.append(batch.slice(0, count))
            self._rest = batch.slice(count) if batch.num_rows > count else None
            count -= taken[-1].num_rows
        return taken


def compare_part(place: Place, ids: Rows, start: int, stop: int, *, model: Identity) -> int:
    """Take a shard's rows off the input's, and compare its part with them.

    Args:
        place: Where the part and the rows that were set aside lie.
        ids: The input's ids alone, from the shard's first row on; its rows are taken.
        start: The shard's first row.
        stop: The row after its last.
        model: Who must have scored each row.

    Returns:
        How many rows were set aside.

    Raises:
        Refused: The part has other rows, or answers that are none or another model's.
        InvalidData: It cannot be read.
    """
    names = open_source(place.part).names
    columns = [names[0], PROBABILITY, *_WHO]
    if not set(columns) <= set(names):
        raise spoiled(place, f"has the columns {', '.join(names)[:500]}")
    answers = Rows(open_source(place.part, keep=columns[:1]).batches(columns, rows=BATCH_ROWS))
    aside, n_aside = _SetAside(place, start, stop), 0
    for row in range(start, stop, CHUNK_ROWS):
        end = min(row + CHUNK_ROWS, stop)
        bad = aside.below(end)
        n_aside += len(bad)
        wanted, is_good = ids.take(end - row), np.ones(end - row, dtype=np.bool_)
        if sum(batch.num_rows for batch in wanted) != end - row:
            raise spoiled(place, "stands for rows that the input does not have")
        is_good[bad - row] = False
        found = answers.take(int(is_good.sum()))
        if not _are_equal(columns[0], found, wanted, is_good):
            raise spoiled(place, f"has other ids than rows {row:,} to {end - 1:,} of the input")
        _check_answers(place, found, model)
    if answers.take(1):
        raise spoiled(place, "has more rows than the input")
    return n_aside


def spoiled(place: Place, what: str) -> Refused:
    """The refusal of a part, with what to do about it."""
    return Refused(f"{place.part} {what}; remove it and score shard {place.shard} again")


def _are_equal(
    column: str, found: Sequence[pa.RecordBatch], wanted: Sequence[pa.RecordBatch], is_good: NDArray[np.bool_]
) -> bool:
    """Whether the ids found are those that are wanted, but for those of bad rows."""
    if sum(batch.num_rows for batch in found) != is_good.sum():
        return False
    if not found:
        return True
    given = pa.concat_arrays([batch.column(column) for batch in found])
    ids = pa.concat_arrays([batch.column(0) for batch in wanted])
    return bool(given.equals(ids if is_good.all() else ids.take(to_arrow(np.flatnonzero(is_good)))))


def _check_answers(place: Place, found: Sequence[pa.RecordBatch], model: Identity) -> None:
    """Check that each row has a probability, and of whom."""
    for batch in found:
        chances, is_null = to_numpy(batch.column(PROBABILITY))
        if is_null.any() or not ((chances >= 0) & (chances <= 1)).all():
            raise spoiled(place, "has rows without a probability")
        for name, value in zip(_WHO, (model.name, model.version, model.digest), strict=True):
            if batch.column(name).unique().to_pylist() != [value]:
                raise spoiled(place, f"has rows whose {name} is not {value}")


class _SetAside:
    """The rows that a shard set aside, in their order; none where a bad row ends it."""

    def __init__(self, place: Place, start: int, stop: int) -> None:
        self._rows = _rows_aside(place, start, stop)
        self._next = next(self._rows, None)

    def below(self, end: int) -> NDArray[np.int64]:
        """The next ones before a row of the input."""
        found = []
        while self._next is not None and self._next < end:
            found.append(self._next)
            self._next = next(self._rows, None)
        return np.array(found, dtype=np.int64)


def _rows_aside(place: Place, start: int, stop: int) -> Iterator[int]:
    if place.bad_rows is None:
        return
    if not place.bad_rows.is_file():
        raise spoiled(place, f"set rows aside in {place.bad_rows}, which is not there")
    least = start
    with place.bad_rows.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                row = msgspec.json.decode(line, type=BadRow).row
            except (msgspec.MsgspecError, UnicodeDecodeError) as e:
                raise spoiled(place, f"set rows aside in {place.bad_rows}, whose line {number} is damaged") from e
            if not least <= row < stop:
                told = f"set row {row:,} aside in line {number} of {place.bad_rows}"
                raise spoiled(place, f"{told}, which is twice or not among its rows {start:,} to {stop - 1:,}")
            yield row
            least = row + 1
