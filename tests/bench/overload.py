"""Load beyond capacity: what happens to the requests that are answered, and to those that are not.

`python -m tests.bench.overload`; README.md beside this file says how to read what it prints.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tests.bench.catalogue import FAST, gauntlet
from tests.bench.installation import Installation, default_folder, prepare, write_bodies
from tests.bench.machine import CannotMeasure, Facts, check, look, progress, say
from tests.bench.measuring import empty_spool, start_of
from tests.bench.openloop import Flood, flood
from tests.bench.processes import end_by_signals, free_port, serving
from tests.bench.report import table
from tests.bench.wrk import Load, load

TIMES = (0.5, 0.8, 1.0, 2.0, 4.0)
"""Of capacity."""
CONNECTIONS = 512
SECONDS = 10.0


def run(
    site: Installation, *, times: Sequence[float] = TIMES, connections: int = CONNECTIONS, seconds: float = SECONDS
) -> tuple[Load, list[Flood]]:
    """Measure capacity with wrk, then flood one server with multiples of it.

    Returns:
        The capacity, and a flood for each multiple.

    Raises:
        CannotMeasure: The server or a generator failed.
    """
    check("wrk", "taskset", "setpriv")
    server = gauntlet(site)
    bodies = write_bodies(site, "overload", server.bodies(site.customers))
    empty_spool(server)
    port = free_port()
    environment = {**server.environment, "BENCH_PORT": str(port)}
    log = site.scratch / "overload.log"
    with serving(start_of(server, port), port=port, ready=server.ready, log=log, environment=environment) as running:
        url, headers = running.url + server.path, server.headers
        load(url, bodies, connections=FAST, seconds=2, headers=headers)
        capacity = load(url, bodies, connections=FAST, seconds=seconds, headers=headers)
        floods = []
        for times_capacity in times:
            rate = times_capacity * capacity.per_second
            progress(f"{times_capacity:g} times capacity: {rate:,.0f} requests a second")
            floods.append(flood(url, bodies, rate=rate, seconds=seconds, connections=connections, headers=headers))
    empty_spool(server)
    return capacity, floods


def render(facts: Facts, capacity: Load, floods: Sequence[Flood], connections: int) -> str:
    """The run as Markdown."""
    head = (
        "offered, of capacity", "req/s", "200 a second", "p50 ms", "p99 ms", "highest ms", "429", "429 p99 ms",
        "not sent", "not answered", "other",
    )  # fmt: skip
    return "\n\n".join(
        (
            "\n".join(facts.to_lines()),
            f"Capacity, by wrk with {capacity.connections} connections: {capacity.per_second:,.0f} req/s, p99 "
            f"{capacity.p99_ms:.1f} ms. Open loop, at most {connections} connections, {floods[0].seconds:g} s each; "
            "times count from when a request was due.",
            table(head, [_row(found, capacity) for found in floods]),
            "By how much the generator itself was late (99 of 100): "
            + ", ".join(f"{_shown(found.behind_ms)} ms" for found in floods),
        )
    )


def main(arguments: Sequence[str]) -> int:
    """Measure and print. Exit code 1 where an answer was 5xx or none came, 2 where nothing can be measured."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.overload", description=__doc__)
    parser.add_argument("--folder", type=Path, default=default_folder(), help="The installation; made if needed.")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="Of each load. Default: %(default)g.")
    parser.add_argument("--connections", type=int, default=CONNECTIONS, help="At most. Default: %(default)d.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="Write every figure.")
    options = parser.parse_args(arguments)
    end_by_signals()
    facts = look()
    try:
        site = prepare(options.folder)
        capacity, floods = run(site, connections=options.connections, seconds=options.seconds)
    except CannotMeasure as e:
        sys.stderr.write(f"cannot measure: {e}\n")
        return 2
    say(render(facts, capacity, floods, options.connections))
    if options.json:
        told = {"facts": facts.to_json(), "capacity": asdict(capacity), "floods": [asdict(found) for found in floods]}
        options.json.write_text(json.dumps(told, indent=2) + "\n")
    return 1 if any(_others(found) or found.unanswered for found in floods) else 0


def _others(found: Flood) -> int:
    return sum(count for status, count in found.statuses.items() if status not in ("200", "429"))


def _row(found: Flood, capacity: Load) -> tuple[str, ...]:
    return (
        f"{found.rate / capacity.per_second:.1f}",
        f"{found.due / found.seconds:,.0f}",
        f"{found.accepted / found.seconds:,.0f}",
        _shown(found.p50_ms),
        _shown(found.p99_ms),
        _shown(found.highest_ms),
        f"{found.refused / found.due:.1%}",
        _shown(found.refused_p99_ms),
        f"{found.unsent / found.due:.1%}",
        str(found.unanswered),
        str(_others(found)),
    )


def _shown(milliseconds: float | None) -> str:
    return "-" if milliseconds is None else f"{milliseconds:.1f}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
