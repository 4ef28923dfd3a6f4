"""Load in the open model: requests leave when they are due, however long others take, and each answer is remembered."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp


@dataclass
class Load:
    """What came back.

    Attributes:
        sent: Requests that left.
        answers: Prediction ids that were answered, with the variant.
        failures: What went wrong, by kind, with when, in seconds from the beginning.
        slowest: The longest that an answered request took, in seconds, and when it left. Where answers come late
            around failures, something stood still; where they do not, requests were lost.
    """

    sent: int = 0
    answers: dict[str, str] = field(default_factory=dict)
    failures: list[tuple[float, str]] = field(default_factory=list)
    slowest: tuple[float, float] = (0.0, 0.0)

    @property
    def told(self) -> str:
        """In one line."""
        kinds = Counter(kind for _, kind in self.failures)
        seconds, left = self.slowest
        told = f"{self.sent:,} sent, {len(self.answers):,} answered, {dict(kinds) or 'none'} failed"
        return f"{told}, the slowest answer took {seconds:.1f} s and left at {left:.1f} s"


@contextmanager
def loading(
    url: str, *, headers: Mapping[str, str], features: Mapping[str, Any], rate: float, seconds: float = 3600
) -> Iterator[Load]:
    """Score at this rate, by a thread of its own, as long as the context lasts.

    Args:
        url: Where to POST.
        headers: Of each request.
        features: Of each customer.
        rate: Requests a second.
        seconds: The longest.
    """
    load, stop = Load(), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(_send(load, stop, url, headers, features, rate, seconds)))
    thread.start()
    try:
        yield load
    finally:
        stop.set()
        thread.join()


async def _send(
    load: Load, stop: threading.Event, url: str, headers: Mapping[str, str], features: Mapping[str, Any], rate: float,
    seconds: float,
) -> None:  # fmt: skip
    began = time.monotonic()
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=30)
    timeout = aiohttp.ClientTimeout(total=10)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, headers=headers, trust_env=False) as session:
        waiting = set()
        while not stop.is_set() and time.monotonic() - began < seconds:
            due = int((time.monotonic() - began) * rate)
            while load.sent < due:
                body = {"customer_id": f"load-{load.sent}", "features": features}
                task = asyncio.create_task(_ask(load, session, url, body, began))
                load.sent += 1
                waiting.add(task)
                task.add_done_callback(waiting.discard)
            await asyncio.sleep(0.005)
        await asyncio.gather(*waiting)


async def _ask(load: Load, session: aiohttp.ClientSession, url: str, body: Any, began: float) -> None:
    left = time.monotonic()
    try:
        async with session.post(url, json=body) as response:
            if response.status == 200:
                said = await response.json()
                load.answers[said["prediction_id"]] = said["variant"]
                load.slowest = max(load.slowest, (time.monotonic() - left, left - began))
            else:  # the Ingress answers in plain text
                load.failures.append((round(time.monotonic() - began, 1), f"status {response.status}"))
    except (aiohttp.ClientError, TimeoutError, ValueError, KeyError) as e:
        load.failures.append((round(time.monotonic() - began, 1), type(e).__name__))
