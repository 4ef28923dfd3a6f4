"""Single rows a second: Gauntlet beside its floor and beside the usual servers, all in one run.

`python -m tests.bench.serving`; README.md beside this file says how to read what it prints.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.bench.catalogue import Server, catalogue
from tests.bench.installation import Installation, default_folder, prepare
from tests.bench.machine import CannotMeasure, check, look, progress, say
from tests.bench.measuring import Measured, Skipped, measure
from tests.bench.processes import end_by_signals
from tests.bench.report import Bench, render, to_json

PAIRED = ("floor", "gauntlet")
SECONDS = 10.0
PAIRS = 3


def run(
    site: Installation,
    *,
    only: Sequence[str] = (),
    seconds: float = SECONDS,
    pairs: int = PAIRS,
    tell: Callable[[str], None] = progress,
) -> Bench:
    """Measure.

    Args:
        site: What is served.
        only: Names of servers; empty: all.
        seconds: Of each measurement; a server takes two of them and a warm-up.
        pairs: How often gauntlet is measured, each time between two measurements of the floor.
        tell: Gets a line whenever something begins.

    Raises:
        CannotMeasure: This machine cannot, or a name is unknown.
    """
    check("wrk", "taskset", "setpriv")
    facts = look()
    servers = {server.name: server for server in catalogue(site)}
    unknown = [name for name in only if name not in servers]
    if unknown:
        raise CannotMeasure(f"there is no server {', '.join(unknown)}; there are {', '.join(servers)}")
    wanted = [server for name, server in servers.items() if not only or name in only]
    measured: list[Measured] = []
    skipped: dict[str, Skipped] = {}
    for server in _in_order(wanted, pairs):
        if server.name in skipped:
            continue
        tell(f"{server.name}: {server.what}")
        found = measure(server, site, seconds=seconds)
        if isinstance(found, Skipped):
            tell(f"{server.name} is skipped: {found.reason}")
            skipped[server.name] = found
        else:
            tell(f"  {found.alone.per_second:,.0f} and {found.crowded.per_second:,.0f} req/s")
            measured.append(found)
    return Bench(facts, site.source, seconds, tuple(measured), tuple(skipped.values()))


def main(arguments: Sequence[str]) -> int:
    """Measure and print. Exit code 1 where a figure is worth nothing, 2 where nothing can be measured."""
    options = _parse(arguments)
    end_by_signals()
    try:
        site = prepare(options.folder)
        bench = run(site, only=options.only, seconds=options.seconds, pairs=options.pairs)
    except CannotMeasure as e:
        sys.stderr.write(f"cannot measure: {e}\n")
        return 2
    say(render(bench))
    if options.json:
        options.json.write_text(json.dumps(to_json(bench), indent=2) + "\n")
    return 1 if len(bench.good) < len(bench.measured) else 0


def _in_order(servers: Sequence[Server], pairs: int) -> Iterator[Server]:
    """Floor, gauntlet, floor, gauntlet, floor … in the place of the two; the others once each around them."""
    paired = {server.name: server for server in servers if server.name in PAIRED}
    rest = [server for server in servers if server.name not in PAIRED]
    yield from (server for server in rest if server.name == "hello")
    for _ in range(pairs):
        yield from paired.values()
    if len(paired) == len(PAIRED):
        yield paired["floor"]
    yield from (server for server in rest if server.name != "hello")


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.serving", description=__doc__)
    parser.add_argument("--folder", type=Path, default=default_folder(), help="The installation; made if needed.")
    parser.add_argument(
        "--only", type=lambda text: text.split(","), default=(), metavar="NAME,…", help="These servers."
    )
    parser.add_argument("--seconds", type=float, default=SECONDS, help="Of each measurement. Default: %(default)g.")
    parser.add_argument("--pairs", type=int, default=PAIRS, help="Of gauntlet and floor. Default: %(default)d.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="Write every figure.")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
