"""One server measured: started, checked against scikit-learn, warmed up, asked by one and by many, and ended."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.catalogue import Server, isolated
from tests.bench.installation import Customer, Installation, write_bodies
from tests.bench.machine import CannotMeasure
from tests.bench.processes import Running, ask, free_port, serving
from tests.bench.wrk import Load, load

CHECKED = 20
TOLERANCE = 1e-5
"""How far a probability may be from scikit-learn's."""
_WARM_UP_SECONDS = 2.0
_INSTALL_SECONDS = 600


@dataclass(frozen=True)
class Measured:
    """One server, measured once.

    Attributes:
        server: Its name.
        what: For people.
        versions: Of what it is made of, where it has an environment of its own.
        alone: With one connection.
        crowded: With many.
        memory_mb: Resident memory of all its processes after the load.
        start_seconds: From the start of its process until it was ready; an own environment's making included.
        largest_difference: From scikit-learn's probability, over those who were checked; None: it scores nothing.
        logged: Lines in its prediction log; None where it has none.
        asked: Requests that it answered in all.
    """

    server: str
    what: str
    versions: str
    alone: Load
    crowded: Load
    memory_mb: float
    start_seconds: float
    largest_difference: float | None
    logged: int | None
    asked: int

    @property
    def problem(self) -> str | None:
        """Why these figures are worth nothing; None where they are."""
        for part in (self.alone, self.crowded):
            if not part.is_good:
                return f"{part.bad} answers of 4xx or 5xx and {part.broken} broken requests of {part.requests}"
        if self.logged is not None and self.logged < self.asked:
            return f"{self.asked} requests were answered and {self.logged} logged"
        return None


@dataclass(frozen=True)
class Skipped:
    """A server that was not measured.

    Attributes:
        server: Its name.
        what: For people.
        reason: Why.
    """

    server: str
    what: str
    reason: str


def measure(server: Server, site: Installation, *, seconds: float) -> Measured | Skipped:
    """Measure a server, or say why that is impossible.

    Args:
        server: Which.
        site: What is served.
        seconds: Of each of the two measurements.
    """
    try:
        versions = install(server.packages) if server.packages else ""
        return _measure(server, site, versions, seconds)
    except CannotMeasure as e:
        return Skipped(server.name, server.what, str(e))


def start_of(server: Server, port: int) -> list[str]:
    """The command that starts a server on a port, in its own environment if it has one."""
    return [*(isolated(server.packages) if server.packages else ()), *server.command(port)]


def install(packages: Sequence[str]) -> str:
    """Install an environment, so that what is measured later starts at once.

    Returns:
        The versions that were installed.

    Raises:
        CannotMeasure: It does not install; the message says why.
    """
    names = [re.split(r"[=<\[]", package)[0] for package in packages]
    program = f"import importlib.metadata as m; print(', '.join(f'{{n}} {{m.version(n)}}' for n in {names!r}))"
    command = [*isolated(packages), "python", "-c", program]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_INSTALL_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as e:
        raise CannotMeasure(f"it does not install: {e}") from e
    if done.returncode != 0:
        raise CannotMeasure(f"it does not install: {' '.join(done.stderr.split())[-300:]}")
    return done.stdout.strip()


def check(server: Server, running: Running, customers: Sequence[Customer]) -> float | None:
    """Ask for some customers, and compare with scikit-learn.

    Returns:
        The largest difference of probability; None for a server that scores nothing.

    Raises:
        CannotMeasure: It answers something else.
    """
    if server.probability is None:
        return None
    differences = []
    for customer in customers:
        body = json.dumps(server.body(customer)).encode()
        status, said = ask(running.url + server.path, method="POST", body=body, headers=server.headers)
        if status != 200:
            raise CannotMeasure(f"it answers {status}: {said[:300].decode(errors='replace')}")
        try:
            found = server.probability(json.loads(said))
        except (ValueError, LookupError, TypeError) as e:
            raise CannotMeasure(f"its answer has no probability: {said[:300].decode(errors='replace')}") from e
        differences.append(abs(found - customer.probability))
    worst = max(differences)
    if math.isnan(worst) or worst > TOLERANCE:
        raise CannotMeasure(f"its probability differs from scikit-learn's by {worst:.2g}; {TOLERANCE:g} is allowed")
    return worst


def check_log(server: Server) -> None:
    """See that both models were scored and logged, for a server that keeps a prediction log.

    Raises:
        CannotMeasure: They were not: it would be measured with less than everything on.
    """
    if server.spool is None:
        return
    lines = [line for path in server.spool.glob("*/*.jsonl") for line in path.read_bytes().splitlines()]
    if len(lines) < CHECKED or json.loads(lines[-1])["challenger_probability"] is None:
        raise CannotMeasure(f"{len(lines)} of {CHECKED} predictions are in its log, or the challenger was not scored")


def empty_spool(server: Server) -> None:
    """Throw away what a server logged."""
    if server.spool is not None:
        shutil.rmtree(server.spool, ignore_errors=True)
        server.spool.mkdir(parents=True)


def lines_in(spool: Path) -> int:
    """Lines in the segments of all spools in a folder."""
    return sum(_lines(path) for path in spool.glob("*/*.jsonl"))


def _measure(server: Server, site: Installation, versions: str, seconds: float) -> Measured:
    bodies = write_bodies(site, server.name, server.bodies(site.customers))
    empty_spool(server)
    port = free_port()
    log = site.scratch / f"{server.name}.log"
    environment = {**server.environment, "BENCH_PORT": str(port)}
    with serving(start_of(server, port), port=port, ready=server.ready, log=log, environment=environment) as running:
        difference = check(server, running, site.customers[:CHECKED])
        check_log(server)
        url, headers = running.url + server.path, server.headers
        warm = load(url, bodies, connections=server.connections, seconds=_WARM_UP_SECONDS, headers=headers)
        alone = load(url, bodies, connections=1, seconds=seconds, headers=headers)
        crowded = load(url, bodies, connections=server.connections, seconds=seconds, headers=headers)
        memory_mb = running.memory_mb()
    logged = None if server.spool is None else lines_in(server.spool)
    empty_spool(server)
    return Measured(
        server=server.name,
        what=server.what,
        versions=versions,
        alone=alone,
        crowded=crowded,
        memory_mb=memory_mb,
        start_seconds=running.seconds,
        largest_difference=difference,
        logged=logged,
        asked=CHECKED + warm.requests + alone.requests + crowded.requests,
    )


def _lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(2**20), b""))
