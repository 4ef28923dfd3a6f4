"""How much is let in: a rate for each client, and a bound on what is being answered at once, and patience."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable
from typing import Any, TypeVar

from service.http.problems import BUSY, TOO_MANY, TOO_SLOW, HttpRefusal

_Waited = TypeVar("_Waited")

EVERYBODY = "everybody"
"""Whose bucket it is where no keys are asked for."""

_MEMORY_REQUESTS = 256
"""Over so many requests what one takes is averaged: a pause of the machine shall not turn clients away."""


class RateLimit:
    """A bucket of tokens for each client: it fills at the rate, and holds a burst at most."""

    def __init__(self, per_second: float, burst: float) -> None:
        """Begin with full buckets.

        Args:
            per_second: Rows a second that a client may ask for; 0 for no limit.
            burst: How many at once.
        """
        self._per_second = per_second
        self._burst = max(burst, 1.0)
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, client: str, rows: int, now: float) -> None:
        """Take tokens for so many rows.

        Args:
            client: Whose bucket.
            rows: How many; a call that asks for more than a full bucket holds is let in when it is full.
            now: Monotonic, in seconds; of a request that took long to arrive it may lie before others that were let in.

        Raises:
            HttpRefusal: There are not enough; `Retry-After` says when there will be.
        """
        if not self._per_second:
            return
        left, since = self._buckets.get(client, (self._burst, now))
        now = max(now, since)  # a bucket is not emptied by time
        left = min(self._burst, left + (now - since) * self._per_second)
        wanted = min(float(rows), self._burst)
        if left < wanted:
            self._buckets[client] = (left, now)
            seconds = math.ceil((wanted - left) / self._per_second)
            raise HttpRefusal(
                TOO_MANY,
                f"{client} asks for more than {self._per_second:g} rows a second; try again in {seconds} s",
                (b"retry-after", str(seconds).encode()),
            )
        self._buckets[client] = (left - rows, now)

    async def pay(self, client: str, rows: int, *, may_wait: bool) -> None:
        """Take tokens for rows of a stream.

        Args:
            client: Whose bucket.
            rows: How many.
            may_wait: Slow the client down where there are not enough, as its answer has begun; else it is refused.

        Raises:
            HttpRefusal: There are not enough, and nothing of the stream was taken yet.
        """
        while True:
            try:
                self.take(client, rows, time.perf_counter())
            except HttpRefusal as e:
                if not may_wait:
                    raise
                await asyncio.sleep(float(dict(e.headers).get(b"retry-after", b"1")))
            else:
                return


class Bound:
    """How many requests are being answered at once; more are told to come again.

    What is to be answered within a time is a number of requests only once it is known what one takes, which differs
    between models by a factor of a hundred: so that is measured. No more are let in than can be answered in time.

    Attributes:
        inside: How many are being answered.
        most: How many there may be now.
    """

    def __init__(self, most: int, longest_seconds: float = math.inf) -> None:
        """Begin with as many as there may ever be.

        Args:
            most: How many there may ever be.
            longest_seconds: How long the last one may wait for those before it.
        """
        self.inside = 0
        self.most = most
        self._highest = most
        self._longest_seconds = longest_seconds
        self._each_seconds = 0.0

    def enter(self) -> None:
        """Count one in.

        Raises:
            HttpRefusal: There are as many as there may be.
        """
        if self.inside >= self.most:
            raise HttpRefusal(
                BUSY, f"{self.most} requests are being answered; try again in a second", (b"retry-after", b"1")
            )
        self.inside += 1

    def leave(self) -> None:
        """Count one out."""
        self.inside -= 1

    def note(self, requests: int, seconds: float) -> None:
        """Take notice of what it took to answer some requests together; many tell more than few."""
        weight = requests / (requests + _MEMORY_REQUESTS)
        self._each_seconds += weight * (seconds / requests - self._each_seconds)
        if self._each_seconds * self._highest > self._longest_seconds:
            self.most = max(1, int(self._longest_seconds / self._each_seconds))
        else:
            self.most = self._highest


class Patience:
    """How long a client may take to send or to read.

    `asyncio.timeout` sets and cancels a timer for each wait, which costs a tenth of a request; here a wait costs an
    entry in a dictionary, and `sweep`, called a few times a second, ends those that are overdue.
    """

    def __init__(self, seconds: float) -> None:
        """Wait for nobody yet.

        Args:
            seconds: How long one wait may take.
        """
        self.seconds = seconds
        self._until: dict[asyncio.Task[Any], float] = {}
        self._overdue: set[asyncio.Task[Any]] = set()

    async def wait(self, what: Awaitable[_Waited]) -> _Waited:
        """Wait for a client.

        Raises:
            HttpRefusal: 408, it took too long.
        """
        task = asyncio.current_task()
        if task is None:
            return await what
        self._until[task] = time.monotonic() + self.seconds
        try:
            return await what
        except asyncio.CancelledError:
            if task not in self._overdue:
                raise
            task.uncancel()
            raise HttpRefusal(TOO_SLOW, f"the client took longer than {self.seconds:g} s") from None
        finally:
            del self._until[task]
            self._overdue.discard(task)

    def sweep(self) -> None:
        """End every wait that is overdue."""
        now = time.monotonic()
        for task, until in list(self._until.items()):
            if until < now and task not in self._overdue:
                self._overdue.add(task)
                task.cancel()
