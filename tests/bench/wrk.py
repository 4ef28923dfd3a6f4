"""Load by wrk on its own core: one thread, keep-alive connections, each with one request on its way (closed loop)."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.bench.machine import LOAD_CORE, CannotMeasure

SCRIPT = Path(__file__).with_name("score.lua")


@dataclass(frozen=True)
class Load:
    """What came back.

    Attributes:
        connections: How many asked at once.
        seconds: How long.
        requests: How many were answered, whatever the status.
        p50_ms: Half of the answers took at most this long.
        p90_ms: Nine tenths.
        p99_ms: 99 of 100.
        highest_ms: The slowest.
        bad: Answers of status 400 and more.
        broken: Connections that failed, and requests without an answer in time.
    """

    connections: int
    seconds: float
    requests: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    highest_ms: float
    bad: int
    broken: int

    @property
    def per_second(self) -> float:
        """Answers a second."""
        return self.requests / self.seconds

    @property
    def is_good(self) -> bool:
        """Whether every request was answered, and well."""
        return self.bad == 0 and self.broken == 0 and self.requests > 0


def load(url: str, bodies: Path, *, connections: int, seconds: float, headers: Mapping[str, str] | None = None) -> Load:
    """Ask as fast as answers come.

    Args:
        url: With its path.
        bodies: A file of bodies, as `installation.write_bodies` makes one; they are sent in turn.
        connections: How many ask at once.
        seconds: How long; wrk knows whole seconds, and at least one.
        headers: Of every request.

    Raises:
        CannotMeasure: wrk failed.
    """
    given = [word for name, value in (headers or {}).items() for word in ("-H", f"{name}: {value}")]
    duration = max(1, round(seconds))
    command = [
        "taskset", "-c", str(LOAD_CORE), "wrk", "-t1", f"-c{connections}", f"-d{duration}s", "--timeout", "10s",
        "-s", str(SCRIPT), *given, url, "--", str(bodies),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=duration + 60, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode != 0 or not lines:
        raise CannotMeasure(f"wrk failed: {(done.stderr or done.stdout)[-400:]}")
    told = json.loads(lines[-1])
    return Load(
        connections=connections,
        seconds=told["micros"] / 1e6,
        requests=told["requests"],
        p50_ms=told["p50"] / 1e3,
        p90_ms=told["p90"] / 1e3,
        p99_ms=told["p99"] / 1e3,
        highest_ms=told["highest"] / 1e3,
        bad=told["bad"],
        broken=told["broken"],
    )
