"""Scoring a chunk of rows: checked, encoded and scored together, bad rows set aside or refused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import IO

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bentos.errors import InvalidData, Problem, Refused
from service.files.arrow import to_arrow
from service.files.encoding import BatchEncoder, Mask, problems_of, values_of
from service.files.ids import Ids
from service.files.model import FileModel
from service.files.parts import PROBABILITY, Done

CHUNK_ROWS = 65_536
"""Rows that are done and kept at a time: a second of a forest's work, and 12 MB of encoded Telco rows."""
BATCH_ROWS = 8_192
"""Rows that are read, and scored, at a time: forests are fastest between 4,096 and 16,384, boosting does not care."""


class BadRow(msgspec.Struct, frozen=True):
    """A row that was set aside: one line of JSON.

    Attributes:
        row: Of the input, counted from 0.
        id: Its id as text; null where it has none.
        problems: What is wrong with it.
    """

    row: int
    id: str | None
    problems: list[str]


class ChunkScorer:
    """Scores the rows of one file, some at a time, in memory that does not grow."""

    def __init__(self, path: Path, model: FileModel, *, schema: pa.Schema, ids: Ids, chunk_rows: int) -> None:
        """Prepare for a file.

        Args:
            path: The file, for messages.
            model: Who scores.
            schema: Of the chunks: the id and the kept columns, then the probability.
            ids: What is known of the file's ids.
            chunk_rows: How many rows a chunk has at most.
        """
        self._path = path
        self._model = model
        self._schema = schema
        self._ids = ids
        self._encoder = BatchEncoder(model.contract)
        self._matrix = np.empty((chunk_rows, self._encoder.width), dtype=np.float32)

    def score(
        self, pieces: Sequence[pa.RecordBatch], first_row: int, *, aside: IO[bytes] | None
    ) -> tuple[pa.Table, Done]:
        """Score a chunk. It is encoded whole first, so that small row groups make no small batches.

        Args:
            pieces: Its rows, no more than a chunk has.
            first_row: The row of the file that they begin with.
            aside: Gets a line for each bad row; None where a bad row ends it.

        Returns:
            Ids, kept columns and probabilities of its good rows, and what it stands for.

        Raises:
            InvalidData: Rows are bad and are not set aside.
            Refused: The model answers no probability.
        """
        n_rows = sum(piece.num_rows for piece in pieces)
        is_good = np.ones(n_rows, dtype=np.bool_)
        at = 0
        for piece in pieces:
            end = at + piece.num_rows
            problems = self._encode(piece, self._matrix[at:end], first_row + at)
            if problems:
                is_good[at:end] = self._set_aside(piece, problems, first_row + at, aside)
            at = end
        table = pa.Table.from_batches(pieces).select(self._schema.names[:-1])
        rows = self._matrix[:n_rows]
        if not is_good.all():
            rows, table = rows[is_good], table.take(to_arrow(np.flatnonzero(is_good)))
        chances = to_arrow(self._chances(rows, first_row))
        done = Done(n_rows=n_rows, n_set_aside=int(n_rows - is_good.sum()))
        return table.append_column(PROBABILITY, chances).cast(self._schema), done

    def _encode(self, piece: pa.RecordBatch, matrix: NDArray[np.float32], first_row: int) -> list[Problem]:
        id_column = self._model.contract.id
        encoded = self._encoder.encode(piece, matrix)
        found = self._ids.problems(id_column, piece.column(id_column), first_row)
        if encoded.bad_by_feature:
            found += problems_of(piece, encoded, first_row)
        return sorted(found, key=_row)

    def _set_aside(
        self, piece: pa.RecordBatch, problems: Sequence[Problem], first_row: int, aside: IO[bytes] | None
    ) -> Mask:
        """Write bad rows with their reasons; gives the rows that are good."""
        if aside is None:
            raise InvalidData(str(self._path), problems)
        is_good = np.ones(piece.num_rows, dtype=np.bool_)
        ids = piece.column(self._model.contract.id)
        for row, about in groupby(problems, _row):
            is_good[row - first_row] = False
            (value,) = values_of(ids.slice(row - first_row, 1))
            told = None if value is None else str(value).encode(errors="backslashreplace").decode()
            line = BadRow(row, told, [str(replace(problem, row=None)) for problem in about])
            aside.write(msgspec.json.encode(line) + b"\n")
        return is_good

    def _chances(self, rows: NDArray[np.float32], first_row: int) -> NDArray[np.float32]:
        chances = np.empty(len(rows), dtype=np.float32)
        for start in range(0, len(rows), BATCH_ROWS):
            end = start + BATCH_ROWS
            chances[start:end] = self._model.scorer.score(rows[start:end])
        is_chance = (chances >= 0) & (chances <= 1)  # NaN is neither
        if not is_chance.all():
            odd = chances[~is_chance][0]
            raise Refused(
                f"{self._model.identity} answers {odd:g} for a row from {first_row} on, which is no probability; "
                "nothing more is scored with it"
            )
        return chances


def in_chunks(batches: Iterable[pa.RecordBatch], n_rows: int, *, chunk_rows: int) -> Iterator[list[pa.RecordBatch]]:
    """Cut the first `n_rows` of batches into chunks of `chunk_rows`, the last one shorter."""
    pieces: list[pa.RecordBatch] = []
    room = min(chunk_rows, n_rows)
    for batch in batches:
        at = 0
        while room and at < batch.num_rows:
            pieces.append(batch.slice(at, room))
            taken = pieces[-1].num_rows
            at, room, n_rows = at + taken, room - taken, n_rows - taken
            if not room:
                yield pieces
                pieces, room = [], min(chunk_rows, n_rows)
        if not n_rows:
            return


def _row(problem: Problem) -> int:
    return problem.row or 0
