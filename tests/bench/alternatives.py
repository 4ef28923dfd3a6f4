"""What was tried to be faster still, or is done the other way by most: each beside the entry as it is, in one run.

`python -m tests.bench.alternatives`; README.md beside this file says how to read what it prints.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median

from tests.bench.catalogue import Server, gauntlet
from tests.bench.installation import Installation, default_folder, prepare, write_bodies
from tests.bench.machine import ROOT, SERVER_CORE, CannotMeasure, Facts, check, look, progress, say
from tests.bench.measuring import Measured, Skipped, measure
from tests.bench.processes import end_by_signals
from tests.bench.report import table

SECONDS = 8.0
GRANIAN = "granian==2.8.7"
SIZES = "rows"
"""What stands for how many requests arrive together, among the pieces."""
_UV = ROOT / ".uv" / "bin" / "uv"
_WHAT = {
    "uvicorn": "uvicorn as it comes: a task, ASGI messages and two writes a request",
    "granian": "granian instead of uvicorn, the same application",
    "unfrozen": "garbage collector not frozen",
    "a-write-each": "a write to the spool for each record",
    "a-row-each": "every request scored alone",
}
_PIECES_SECONDS = 300


@dataclass(frozen=True)
class Tried:
    """One alternative beside the entry as it is.

    Attributes:
        name: Its name.
        found: What was measured.
        before: The entry just before it.
        after: The entry just after it.
    """

    name: str
    found: Measured
    before: Measured
    after: Measured

    @property
    def crowded(self) -> float:
        """Requests a second by many, over the entry's."""
        ours = (self.before.crowded.per_second + self.after.crowded.per_second) / 2
        return self.found.crowded.per_second / ours

    @property
    def alone(self) -> float:
        """Median latency of one, over the entry's."""
        return self.found.alone.p50_ms / ((self.before.alone.p50_ms + self.after.alone.p50_ms) / 2)


def run(site: Installation, *, seconds: float = SECONDS) -> tuple[list[Tried], list[Skipped], dict[str, list[float]]]:
    """Measure every alternative, each between two measurements of the entry as it is, and the pieces without HTTP.

    Raises:
        CannotMeasure: The entry itself cannot be measured.
    """
    check("wrk", "taskset", "setpriv")
    tried, skipped = [], []
    before = _measure_ours(site, seconds)
    for server in _alternatives(site):
        progress(f"{server.name}: {server.what}")
        found = measure(server, site, seconds=seconds)
        if isinstance(found, Skipped):
            skipped.append(found)
            continue
        if found.problem is not None:
            skipped.append(Skipped(server.name, server.what, found.problem))
            continue
        after = _measure_ours(site, seconds)
        tried.append(Tried(server.name, found, before, after))
        before = after
    progress("pieces, without HTTP")
    return tried, skipped, _time_pieces(site)


def render(facts: Facts, tried: Sequence[Tried], skipped: Sequence[Skipped], pieces: dict[str, list[float]]) -> str:
    """The run as Markdown."""
    head = ("done otherwise", "req/s, c=32", "over the entry's", "p99 ms", "p50 ms, c=1", "over the entry's")
    rows = [
        (
            _WHAT[one.name],
            f"{one.found.crowded.per_second:,.0f}",
            f"{one.crowded:.2f}",
            f"{one.found.crowded.p99_ms:.2f}",
            f"{one.found.alone.p50_ms:.2f}",
            f"{one.alone:.2f}",
        )
        for one in tried
    ]
    ours = [run for one in tried for run in (one.before, one.after)]
    if ours:
        crowded, alone = [run.crowded.per_second for run in ours], [run.alone.p50_ms for run in ours]
        told = f"{median(crowded):,.0f} ({min(crowded):,.0f} to {max(crowded):,.0f})"
        p99 = median(run.crowded.p99_ms for run in ours)
        rows.insert(0, ("the entry as it is", told, "1", f"{p99:.2f}", f"{median(alone):.2f}", "1"))
    parts = ["\n".join(facts.to_lines()), table(head, rows)]
    columns = (f"{size:.0f} together" for size in pieces[SIZES])
    shown = [(name, *(f"{micros:.2f}" for micros in found)) for name, found in pieces.items() if name != SIZES]
    parts.append(table(("microseconds a request, without HTTP", *columns), shown))
    parts.extend(f"- **{one.server}** was not measured: {one.reason}" for one in skipped)
    return "\n\n".join(parts)


def main(arguments: Sequence[str]) -> int:
    """Measure and print. Exit code 2 where nothing can be measured."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.alternatives", description=__doc__)
    parser.add_argument("--folder", type=Path, default=default_folder(), help="The installation; made if needed.")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="Of each measurement. Default: %(default)g.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="Write every figure.")
    options = parser.parse_args(arguments)
    end_by_signals()
    facts = look()
    try:
        tried, skipped, pieces = run(prepare(options.folder), seconds=options.seconds)
    except CannotMeasure as e:
        sys.stderr.write(f"cannot measure: {e}\n")
        return 2
    if options.json:
        told = {"facts": facts.to_json(), "tried": [asdict(one) for one in tried], "pieces": pieces}
        options.json.write_text(json.dumps(told, indent=2) + "\n")
    say(render(facts, tried, skipped, pieces))
    return 0


def _alternatives(site: Installation) -> Iterator[Server]:
    entry = gauntlet(site)
    module = ("-m", "tests.bench.servers.alternative")
    environment = {**entry.environment, "GAUNTLET_FOLDER": str(site.folder.path)}
    for name, what in _WHAT.items():
        with_granian = (str(_UV), "run", "--quiet", "--frozen", "--all-groups", "--with", GRANIAN, "python")
        python = with_granian if name == "granian" else (sys.executable,)
        command = (*python, *module, name)
        yield replace(entry, name=name, what=what, environment=environment, command=_constantly(command))


def _constantly(command: tuple[str, ...]) -> Callable[[int], Sequence[str]]:
    return lambda _port: command


def _measure_ours(site: Installation, seconds: float) -> Measured:
    progress("the entry as it is")
    found = measure(gauntlet(site), site, seconds=seconds)
    if isinstance(found, Skipped):
        raise CannotMeasure(found.reason)
    if found.problem is not None:
        raise CannotMeasure(found.problem)
    return found


def _time_pieces(site: Installation) -> dict[str, list[float]]:
    bodies = write_bodies(site, "pieces", gauntlet(site).bodies(site.customers))
    environment = {
        **os.environ,
        "BENCH_ARTIFACTS": os.pathsep.join(str(artifact.folder) for artifact in site.artifacts),
        "BENCH_BODIES": str(bodies),
        "OMP_NUM_THREADS": "1",
    }
    command = ["taskset", "-c", str(SERVER_CORE), sys.executable, "-m", "tests.bench.pieces"]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=_PIECES_SECONDS, check=False
    )
    if done.returncode != 0:
        raise CannotMeasure(f"the pieces cannot be timed: {done.stderr[-1500:]}")
    found: dict[str, list[float]] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
