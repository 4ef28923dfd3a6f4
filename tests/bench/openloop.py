"""Load that does not wait for answers: requests come at a rate, as from many clients who know nothing of each other.

`python -m tests.bench.openloop URL BODIES --rate N` prints what came back as one line of JSON. wrk asks again only when
it was answered, so a slow server gets less of it; here a slow server gets a queue. Each request has a connection to
itself until it is answered. While all connections wait, a request that is due is not sent, and counted. The time of an
answer counts from when its request was due, not from when it could be sent.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

import uvloop

from tests.bench.installation import BODY_END
from tests.bench.machine import LOAD_CORE, ROOT, CannotMeasure

_TICK_SECONDS = 0.001
_LAST_ANSWERS_SECONDS = 5.0
_READY_SECONDS = 20.0


@dataclass(frozen=True)
class Flood:
    """What came back.

    Attributes:
        rate: Requests a second that were due.
        seconds: How long they came.
        due: How many were due.
        unsent: How many found every connection waiting.
        unanswered: How many were sent and never answered, or their connection broke.
        statuses: Answers by status.
        p50_ms: Half of the answers with 200 came at most this long after they were due; None without any.
        p90_ms: Nine tenths.
        p99_ms: 99 of 100.
        highest_ms: The slowest.
        refused_p99_ms: The same as `p99_ms` for answers of 429.
        behind_ms: By how much this generator was late itself, 99 of 100 requests; much of it makes the rest worthless.
    """

    rate: float
    seconds: float
    due: int
    unsent: int
    unanswered: int
    statuses: dict[str, int]
    p50_ms: float | None
    p90_ms: float | None
    p99_ms: float | None
    highest_ms: float | None
    refused_p99_ms: float | None
    behind_ms: float | None

    @property
    def accepted(self) -> int:
        """Answers of 200."""
        return self.statuses.get("200", 0)

    @property
    def refused(self) -> int:
        """Answers of 429."""
        return self.statuses.get("429", 0)


def flood(
    url: str,
    bodies: Path,
    *,
    rate: float,
    seconds: float,
    connections: int,
    headers: Mapping[str, str] | None = None,
    core: int = LOAD_CORE,
) -> Flood:
    """Flood a server from a process of its own.

    Args:
        url: With its path.
        bodies: A file of bodies, sent in turn.
        rate: Requests a second, at random moments (a Poisson process).
        seconds: How long.
        connections: How many requests may wait for their answers at once.
        headers: Of every request.
        core: That the generator may use.

    Raises:
        CannotMeasure: The generator failed.
    """
    given = [word for name, value in (headers or {}).items() for word in ("--header", f"{name}: {value}")]
    command = [
        "taskset", "-c", str(core), sys.executable, "-m", "tests.bench.openloop", url, str(bodies), "--rate", str(rate),
        "--seconds", str(seconds), "--connections", str(connections), *given,
    ]  # fmt: skip
    done = subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=seconds + _READY_SECONDS + _LAST_ANSWERS_SECONDS + 60,
        check=False,
    )
    if done.returncode != 0:
        raise CannotMeasure(f"the open-loop generator failed: {done.stderr[-600:]}")
    return Flood(**json.loads(done.stdout.splitlines()[-1]))


class _Connection(asyncio.Protocol):
    """One connection with at most one request on its way."""

    def __init__(self, generator: _Generator) -> None:
        self._generator = generator
        self._transport: asyncio.Transport | None = None
        self._due: float | None = None
        self._came = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ready for a request."""
        self._transport = transport  # type: ignore[assignment]
        self._generator.idle.append(self)

    def send(self, request: bytes, due: float) -> bool:
        """Send; False where the server has closed the connection."""
        if self._transport is None or self._transport.is_closing():
            return False
        self._due = due
        self._transport.write(request)
        return True

    def data_received(self, data: bytes) -> None:
        """Read an answer; it may come in pieces."""
        came = self._came = self._came + data if self._came else data
        head_end = came.find(b"\r\n\r\n")
        if head_end < 0:
            return
        place = came.find(b"content-length: ", 0, head_end)
        length = int(came[place + 16 : came.find(b"\r", place)]) if place >= 0 else 0
        if len(came) < head_end + 4 + length:
            return
        self._came = b""
        if self._due is not None:
            self._generator.answered(came[9:12], time.perf_counter() - self._due)
            self._due = None
        self._generator.idle.append(self)

    def connection_lost(self, _exc: Exception | None) -> None:
        """The request that was on its way, if any, is lost; another connection takes this one's place."""
        if self._due is not None:
            self._generator.lost += 1
        self._transport = None
        self._generator.reopen()


class _Generator:
    """The arrivals of one flood."""

    def __init__(self, host: str, port: int, requests: Sequence[bytes]) -> None:
        self.idle: deque[_Connection] = deque()
        self.lost = 0
        self.unsent = 0
        self.sent = 0
        self._host, self._port, self._requests = host, port, requests
        self._statuses: Counter[str] = Counter()
        self._seconds: dict[str, list[float]] = {"200": [], "429": []}
        self._behind: list[float] = []
        self._is_over = False
        self._opening: set[asyncio.Task[object]] = set()

    def answered(self, status: bytes, seconds: float) -> None:
        """Note an answer."""
        text = status.decode()
        self._statuses[text] += 1
        if text in self._seconds:
            self._seconds[text].append(seconds)

    def reopen(self) -> None:
        """Open a connection in place of one that was lost."""
        if not self._is_over:
            task = asyncio.ensure_future(self._open())
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _open(self) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: _Connection(self), self._host, self._port)
        except OSError:
            await asyncio.sleep(0.1)
            self.reopen()

    async def run(self, *, rate: float, seconds: float, connections: int) -> Flood:
        """Open the connections, then send what is due when it is due."""
        await self._get_ready(connections)
        rng = random.Random(0)
        began = time.perf_counter()
        end, due = began + seconds, began + rng.expovariate(rate)
        while due < end:
            now = time.perf_counter()
            while due <= now and due < end:
                self._send(due, now)
                due += rng.expovariate(rate)
            await asyncio.sleep(min(_TICK_SECONDS, max(0.0, due - time.perf_counter())))
        await self._await_last()
        self._is_over = True
        return self._told(rate, seconds)

    async def _get_ready(self, connections: int) -> None:
        """Open the connections, and ask once over each, so that the server has accepted them all; nothing of it counts.

        A busy server accepts one connection a turn of its event loop, which would be measured otherwise.
        """
        for _ in range(connections):
            await self._open()
        for connection in [self.idle.popleft() for _ in range(len(self.idle))]:
            connection.send(self._requests[0], time.perf_counter())
        until = time.perf_counter() + _READY_SECONDS
        while len(self.idle) < connections and time.perf_counter() < until:
            await asyncio.sleep(0.01)
        self.lost = 0
        self._statuses.clear()
        for seconds in self._seconds.values():
            seconds.clear()

    def _send(self, due: float, now: float) -> None:
        self._behind.append(now - due)
        while self.idle:
            if self.idle.popleft().send(self._requests[self.sent % len(self._requests)], due):
                self.sent += 1
                return
        self.unsent += 1

    async def _await_last(self) -> None:
        until = time.perf_counter() + _LAST_ANSWERS_SECONDS
        while self._statuses.total() + self.lost < self.sent and time.perf_counter() < until:
            await asyncio.sleep(0.01)

    def _told(self, rate: float, seconds: float) -> Flood:
        accepted = sorted(self._seconds["200"])
        return Flood(
            rate=rate,
            seconds=seconds,
            due=self.sent + self.unsent,
            unsent=self.unsent,
            unanswered=self.sent - self._statuses.total(),
            statuses=dict(self._statuses),
            p50_ms=_milliseconds(accepted, 0.5),
            p90_ms=_milliseconds(accepted, 0.9),
            p99_ms=_milliseconds(accepted, 0.99),
            highest_ms=_milliseconds(accepted, 1.0),
            refused_p99_ms=_milliseconds(sorted(self._seconds["429"]), 0.99),
            behind_ms=_milliseconds(sorted(self._behind), 0.99),
        )


def _milliseconds(ordered: Sequence[float], share: float) -> float | None:
    """A quantile of ordered seconds; None where there are none."""
    return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None


def _as_request(path: str, host: str, headers: Sequence[str], body: bytes) -> bytes:
    lines = [f"POST {path} HTTP/1.1", f"host: {host}", *headers, f"content-length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def main(arguments: Sequence[str]) -> None:
    """Flood, and print what came back."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.openloop", description=__doc__)
    parser.add_argument("url")
    parser.add_argument("bodies", type=Path)
    parser.add_argument("--rate", type=float, required=True, help="Requests a second.")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--connections", type=int, default=512)
    parser.add_argument("--header", action="append", default=[], help="NAME: VALUE; repeatable.")
    options = parser.parse_args(arguments)
    parts = urlsplit(options.url)
    bodies = options.bodies.read_bytes().split(BODY_END)[:-1]
    requests = [_as_request(parts.path, parts.netloc, options.header, body) for body in bodies]
    generator = _Generator(parts.hostname or "127.0.0.1", parts.port or 80, requests)
    found = uvloop.run(generator.run(rate=options.rate, seconds=options.seconds, connections=options.connections))
    sys.stdout.write(json.dumps(asdict(found)) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
