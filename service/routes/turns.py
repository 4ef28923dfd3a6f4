"""Long work in short turns: one event loop answers everybody, so whoever has many rows lets others in between."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

TURNS = 4
"""How many turns of the event loop a single row takes from its arrival to its answer: read, asked, scored, sent."""

SLICE_SECONDS = 0.003
"""How long work goes on without a pause."""

TURN_SECONDS = 0.012
"""How long a turn with rows that are scored may be. Models are read into the processor's cache in each turn anew: with
half as long turns a row of a forest costs a tenth more."""

_LEAST_ROWS = 16
_FIRST_ROWS = 128
"""Before it is known what a row takes."""


async def let_others() -> None:
    """Let the event loop answer everything that has arrived."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


class Turns:
    """The turns of everybody in this process who works through many rows: one at a time, in order of arrival.

    Without it, ten requests with many rows would each do a slice of work before a single row gets its turn.

    Attributes:
        rows: How many rows to score in the next turn. Models differ by a factor of a hundred in what a row takes, so
            that is measured.
    """

    def __init__(self, most_rows: int) -> None:
        """Nobody waits yet.

        Args:
            most_rows: How many rows can be scored together at all.
        """
        self.rows = min(_FIRST_ROWS, most_rows)
        self._most_rows = most_rows
        self._row_seconds: float | None = None
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def take(self, rows: int = 0) -> AsyncIterator[None]:
        """Wait for a turn; do some milliseconds of work in it. Others are let in before the next turn.

        Args:
            rows: How many rows are scored in it; 0 for other work.
        """
        async with self._lock:
            began = time.perf_counter()
            yield
            if rows:
                self.note(rows, time.perf_counter() - began)
            await let_others()

    def note(self, rows: int, seconds: float) -> None:
        """Take notice of what a turn took; one that was interrupted by something else is forgotten after a few."""
        before, now = self._row_seconds, seconds / rows
        self._row_seconds = now if before is None else (before + now) / 2
        wanted = int(TURN_SECONDS / max(self._row_seconds, 1e-9))
        self.rows = max(1, min(self._most_rows, max(_LEAST_ROWS, wanted)))


class Slices:
    """Counts how long a loop has gone on, for loops whose rounds are shorter than a slice."""

    def __init__(self) -> None:
        self._began = time.perf_counter()

    async def pause_if_due(self) -> None:
        """Let others in where a slice is over."""
        if time.perf_counter() - self._began > SLICE_SECONDS:
            await let_others()
            self._began = time.perf_counter()
