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


async def let_others() -> None:
    """Let the event loop answer everything that has arrived."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


class Turns:
    """The turns of everybody in this process who works through many rows: one at a time, in order of arrival.

    Without it, ten requests with many rows would each do a slice of work before a single row gets its turn.
    """

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def take(self) -> AsyncIterator[None]:
        """Wait for a turn; do some milliseconds of work in it. Others are let in before the next turn."""
        async with self._lock:
            yield
            await let_others()


class Slices:
    """Counts how long a loop has gone on, for loops whose rounds are shorter than a slice."""

    def __init__(self) -> None:
        self._began = time.perf_counter()

    async def pause_if_due(self) -> None:
        """Let others in where a slice is over."""
        if time.perf_counter() - self._began > SLICE_SECONDS:
            await let_others()
            self._began = time.perf_counter()
