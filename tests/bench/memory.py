"""Memory and start of a scoring worker: ready how soon, how large, and does it grow over a million requests.

`python -m tests.bench.memory`; README.md beside this file says how to read what it prints.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import linear_regression, median

from tests.bench.catalogue import FAST, Server, gauntlet
from tests.bench.installation import Installation, default_folder, prepare, write_bodies
from tests.bench.machine import CannotMeasure, Facts, check, look, progress, say
from tests.bench.measuring import CHECKED, empty_spool, start_of
from tests.bench.measuring import check as check_answers
from tests.bench.processes import Running, end_by_signals, free_port, rss_mb, serving
from tests.bench.report import table
from tests.bench.wrk import load

REQUESTS = 1_000_000
STARTS = 5
PARTS = 10
FLAT_MB = 5.0
"""By how much a worker may grow over a million requests and still be called flat."""
ENOUGH = 200_000
"""Over fewer requests a single page says as much as a leak."""


@dataclass(frozen=True)
class Point:
    """One look at the worker.

    Attributes:
        requests: That it had answered.
        rss_mb: Its resident memory.
        per_second: Requests a second since the last look; 0 for the first.
    """

    requests: int
    rss_mb: float
    per_second: float


@dataclass(frozen=True)
class Grown:
    """A worker's memory over its life.

    Attributes:
        starts: Seconds from the process's start until `/readyz` said 200, several times.
        fresh_mb: Resident memory when it was ready, before any request.
        points: After a warm-up, and after each tenth of the requests.
        failed: Requests that were not answered, or not well.
    """

    starts: tuple[float, ...]
    fresh_mb: float
    points: tuple[Point, ...]
    failed: int

    @property
    def growth_mb(self) -> float:
        """By how much it grows over a million requests: the least-squares line through all points but the first two.

        The first tenth is left out: caches fill in it.
        """
        points = self.points[2:]
        if len(points) < 2:
            return float("nan")
        slope = linear_regression([point.requests for point in points], [point.rss_mb for point in points]).slope
        return slope * 1e6

    @property
    def is_flat(self) -> bool | None:
        """Whether that is next to nothing; None where there were too few requests to tell."""
        if self.points[-1].requests < ENOUGH:
            return None
        return self.growth_mb <= FLAT_MB


def run(site: Installation, *, requests: int = REQUESTS, starts: int = STARTS) -> Grown:
    """Measure.

    Args:
        site: What is served.
        requests: How many in all; a tenth between two looks.
        starts: How often it is started.

    Raises:
        CannotMeasure: The server or its load failed.
    """
    check("wrk", "taskset", "setpriv")
    server = gauntlet(site)
    bodies = write_bodies(site, "memory", server.bodies(site.customers))
    log = site.scratch / "memory.log"
    _start(server, log)  # bytecode is compiled by the first
    ready = tuple(_start(server, log) for _ in range(starts))
    empty_spool(server)
    port = free_port()
    environment = {**server.environment, "BENCH_PORT": str(port)}
    with serving(start_of(server, port), port=port, ready=server.ready, log=log, environment=environment) as running:
        fresh = rss_mb(_worker(running))
        check_answers(server, running, site.customers[:CHECKED])
        points, failed = _ask(server, running, bodies, requests)
    empty_spool(server)
    return Grown(ready, fresh, tuple(points), failed)


def render(facts: Facts, grown: Grown) -> str:
    """The run as Markdown."""
    first, last = grown.points[0], grown.points[-1]
    starts = ", ".join(f"{seconds:.2f}" for seconds in grown.starts)
    verdict = {True: "flat", False: "**not flat**", None: "but these are too few requests to tell"}[grown.is_flat]
    rows = [(f"{point.requests:,}", f"{point.rss_mb:.1f}", f"{point.per_second:,.0f}") for point in grown.points]
    return "\n\n".join(
        (
            "\n".join(facts.to_lines()),
            f"Ready {median(grown.starts):.2f} s after the start of the process (each: {starts}); 2 s are allowed.",
            f"Resident memory {grown.fresh_mb:.0f} MB when ready, {first.rss_mb:.0f} MB after the warm-up, "
            f"{last.rss_mb:.0f} MB after {last.requests:,} requests; at most 250 MB are allowed. "
            f"It grows by {grown.growth_mb:+.2f} MB over a million requests: {verdict} (at most {FLAT_MB:g}).",
            table(("requests answered", "MB", "req/s"), rows),
        )
    )


def main(arguments: Sequence[str]) -> int:
    """Measure and print. Exit code 1 where requests failed, 2 where nothing can be measured."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.memory", description=__doc__)
    parser.add_argument("--folder", type=Path, default=default_folder(), help="The installation; made if needed.")
    parser.add_argument("--requests", type=int, default=REQUESTS, help="In all. Default: %(default)d.")
    parser.add_argument("--starts", type=int, default=STARTS, help="Timed starts. Default: %(default)d.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="Write every figure.")
    options = parser.parse_args(arguments)
    end_by_signals()
    facts = look()
    try:
        grown = run(prepare(options.folder), requests=options.requests, starts=options.starts)
    except CannotMeasure as e:
        sys.stderr.write(f"cannot measure: {e}\n")
        return 2
    say(render(facts, grown))
    if options.json:
        told = {**asdict(grown), "growth_mb_a_million": grown.growth_mb, "is_flat": grown.is_flat}
        options.json.write_text(json.dumps({"facts": facts.to_json(), **told}, indent=2) + "\n")
    return 1 if grown.failed else 0


def _start(server: Server, log: Path) -> float:
    """Start and stop; gives the seconds until it was ready."""
    empty_spool(server)

    port = free_port()
    environment = {**server.environment, "BENCH_PORT": str(port)}
    with serving(start_of(server, port), port=port, ready=server.ready, log=log, environment=environment) as running:
        return running.seconds


def _worker(running: Running) -> int:
    """The process that scores: the largest."""
    return max(running.pids(), key=rss_mb)


def _ask(server: Server, running: Running, bodies: Path, requests: int) -> tuple[list[Point], int]:
    worker, url = _worker(running), running.url + server.path
    warm = load(url, bodies, connections=FAST, seconds=3, headers=server.headers)
    answered, failed = CHECKED + warm.requests, warm.bad + warm.broken
    points = [Point(answered, rss_mb(worker), warm.per_second)]
    per_second = warm.per_second
    for part in range(1, PARTS + 1):
        missing = requests * part / PARTS - answered
        if missing <= 0:
            continue
        found = load(url, bodies, connections=FAST, seconds=missing / per_second, headers=server.headers)
        answered, per_second = answered + found.requests, found.per_second
        failed += found.bad + found.broken
        points.append(Point(answered, rss_mb(worker), per_second))
        progress(f"{answered:,} requests, {points[-1].rss_mb:.1f} MB")
    return points, failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
