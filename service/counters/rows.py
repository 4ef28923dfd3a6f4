"""Counting encoded rows into the slots of a feature grid: many at once, as that is what numpy is fast at.

Until there are enough they wait in the same shared memory: they outlive the process as everything counted does, and
whoever reads the slots counts them into a copy. Counting them takes some microseconds. Who reads meanwhile would find
them in some bins and not in others, or twice, so it is said that they are being counted, and `is_whole` sees it. A
process that is killed in these microseconds may leave some counted twice.
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

from service.counters.features import COLUMNS, ROWS, WAITING, WAITING_ROWS, FeatureGrid

_MOST_COUNT = 2.0**53
"""From here on one more makes no other float64."""

_PLACES = struct.Struct("8s d")
"""The slots of `ROWS`, of which it matters only whether they are the same, and of `WAITING`."""


class RowCounter:
    """Counts the rows of live customers."""

    def __init__(self, grid: FeatureGrid, slots: memoryview[float]) -> None:
        """Prepare what does not change, and count what a process before this one left waiting.

        Args:
            grid: What is counted.
            slots: The grid's, of all the worker's.
        """
        self._slots = slots
        array, width = np.frombuffer(slots.cast("B"), dtype=np.float64), grid.encoder.width
        self._columns = array[COLUMNS : COLUMNS + width]
        self._cells = array[COLUMNS + width : grid.waiting]
        self._waiting_rows = array[grid.waiting :].view(np.float32).reshape(WAITING_ROWS, width)
        self._waiting_bytes = slots[grid.waiting :].cast("B")
        self._row_bytes = self._waiting_rows.strides[0]
        edges = [edge for number in grid.numbers for edge in number.edges]
        self._edges = np.array(edges, dtype=np.float32)
        self._edge_columns = np.array([n.column for n in grid.numbers for _ in n.edges], dtype=np.intp)
        self._lower, self._upper = _borders([len(number.edges) for number in grid.numbers])
        self._waiting = _rows_that_wait(slots[WAITING])
        slots[WAITING] = self._waiting
        self.settle()

    def count(self, rows: NDArray[np.float32]) -> None:
        """Count rows, now or soon.

        Args:
            rows: Shape (n_rows, width), float32, as the contract's encoder makes them.
        """
        n = len(rows)
        end = self._waiting + n
        if end > WAITING_ROWS:
            self.settle()
            end = n
        if n > WAITING_ROWS:
            self._add(rows)
            return
        # Bytes, as copying one row by numpy's indices takes twice as long.
        self._waiting_bytes[self._waiting * self._row_bytes : end * self._row_bytes] = rows.tobytes()
        self._slots[WAITING] = self._waiting = end

    def settle(self) -> None:
        """Count the rows that wait."""
        if self._waiting:
            self._add(self._waiting_rows[: self._waiting])

    def _add(self, rows: NDArray[np.float32]) -> None:
        """Count rows, behind which none waits."""
        n = len(rows)
        self._slots[WAITING] = -1 - self._waiting
        self._columns += rows.sum(axis=0, dtype=np.float64)
        reached = (rows[:, self._edge_columns] >= self._edges).sum(axis=0)
        at_least = np.concatenate(((n,), reached, (0,)))
        self._cells += at_least[self._lower] - at_least[self._upper]
        self._slots[ROWS] += n
        self._slots[WAITING] = self._waiting = 0


class SlotBounds:
    """What each slot can hold; anything else was not counted, and would stay in every sum for ever."""

    def __init__(self, size: int, grid: FeatureGrid, start: int, apart: slice) -> None:
        """Counts and sums are at least 0, but for the sums of columns.

        Args:
            size: How many slots there are.
            grid: The feature grid among them.
            start: The grid's first slot.
            apart: Slots that hold no numbers.
        """
        self._least, self._most = np.zeros(size), np.full(size, _MOST_COUNT)
        columns = slice(start + COLUMNS, start + COLUMNS + grid.encoder.width)
        self._most[columns] = _MOST_COUNT * float(np.finfo(np.float32).max)
        self._least[columns] = -self._most[columns]
        self._least[start + WAITING], self._most[start + WAITING] = -1 - WAITING_ROWS, WAITING_ROWS
        self._is_sum = np.ones(size, dtype=np.bool_)
        self._is_sum[start + grid.waiting : start + grid.size] = False  # rows that wait: any bytes
        self._is_sum[apart] = False

    def mend(self, slots: NDArray[np.float64]) -> int:
        """Let what no counting leaves in a slot be 0: not a number, infinite, below 0 or too much to add one to.

        Args:
            slots: A worker's, shape (size,).

        Returns:
            How many there were.
        """
        with np.errstate(invalid="ignore"):
            bad = self._is_sum & ~((slots >= self._least) & (slots <= self._most))
        found = int(np.count_nonzero(bad))
        if found:
            slots[bad] = 0.0
        return found


def is_whole(start: int, slots: bytes, later: bytes) -> bool:
    """Whether no rows were being counted while slots of a worker that lives were read.

    Args:
        start: The feature grid's first slot.
        slots: All of the worker's.
        later: The same, read again behind them.
    """
    (rows, waiting), (rows_later, waiting_later) = (_PLACES.unpack_from(one, 8 * start) for one in (slots, later))
    is_counting = waiting < 0 or waiting_later < 0
    return not is_counting and rows == rows_later


def settled(grid: FeatureGrid, start: int, slots: bytes) -> NDArray[np.float64]:
    """A worker's slots with the rows that wait counted and nothing waiting.

    Args:
        grid: Its feature grid.
        start: The grid's first slot.
        slots: All that it counted.
    """
    copy = bytearray(slots)
    own = memoryview(copy).cast("d")[start : start + grid.size]
    RowCounter(grid, own)
    found = np.frombuffer(copy, dtype=np.float64)
    found[start + grid.waiting : start + grid.size] = 0.0  # float32, which are no sums
    return found


def _rows_that_wait(slot: float) -> int:
    """How many do, whether or not they were being counted when nobody counted on."""
    return int(slot if slot >= 0 else -1 - slot)


def _borders(lengths: list[int]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """For each cell, where in `n, rows that reached each edge, 0` stands who reached its lower and its upper border."""
    lower, upper, at = [], [], 1
    for length in lengths:
        own = range(at, at + length)
        lower += [0, *own]
        upper += [*own, sum(lengths) + 1]
        at += length
    return np.array(lower, dtype=np.intp), np.array(upper, dtype=np.intp)
