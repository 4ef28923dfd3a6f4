"""Where one request's microseconds go: each stage by itself, the application as a whole, and the server around it.

`python -m tests.bench.profile_request`; README.md beside this file says how to read what it prints.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from tests.bench.catalogue import gauntlet, scoring_environment
from tests.bench.installation import Installation, default_folder, prepare, write_bodies
from tests.bench.machine import ROOT, SERVER_CORE, CannotMeasure, Facts, check, look, progress, say
from tests.bench.measuring import Measured, Skipped, empty_spool, measure
from tests.bench.processes import end_by_signals
from tests.bench.report import table

SECONDS = 10.0
WHOLE = "whole"
LINES, WRITE = "record as lines", "write, with the lines"
"""The second contains the first: what is shown of it is the difference."""
_STAGES_SECONDS = 300

Stages = Mapping[str, Mapping[str, float]]
"""Microseconds a request, by how many requests arrive together and by stage."""


def run(site: Installation, *, seconds: float = SECONDS) -> tuple[Stages, Measured]:
    """Measure the stages without HTTP, then the server with it.

    Raises:
        CannotMeasure: Either cannot be measured.
    """
    check("wrk", "taskset", "setpriv")
    server = gauntlet(site)
    progress("stages, without HTTP")
    stages = _time_stages(site, write_bodies(site, "profile", server.bodies(site.customers)))
    progress("the server, with HTTP")
    found = measure(server, site, seconds=seconds)
    if isinstance(found, Skipped):
        raise CannotMeasure(found.reason)
    if found.problem is not None:
        raise CannotMeasure(found.problem)
    return stages, found


def render(facts: Facts, stages: Stages, served: Measured) -> str:
    """The run as Markdown."""
    alone, crowded = served.alone, served.crowded
    head = ("stage, microseconds a request", *(f"{together} together" for together in stages))
    told = (
        f"With HTTP: {crowded.per_second:,.0f} req/s at c={crowded.connections}, {alone.per_second:,.0f} at c=1. "
        f"The latter are {1e6 / alone.per_second:.0f} microseconds from one request to the next, most of them "
        "outside the application: both processes fall asleep and are woken for every request."
    )
    return "\n\n".join(("\n".join(facts.to_lines()), table(head, _rows(stages, 1e6 / crowded.per_second)), told))


def main(arguments: Sequence[str]) -> int:
    """Measure and print. Exit code 2 where nothing can be measured."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.profile_request", description=__doc__)
    parser.add_argument("--folder", type=Path, default=default_folder(), help="The installation; made if needed.")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="Of each load over HTTP. Default: %(default)g.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="Write every figure.")
    options = parser.parse_args(arguments)
    end_by_signals()
    facts = look()
    try:
        stages, served = run(prepare(options.folder), seconds=options.seconds)
    except CannotMeasure as e:
        sys.stderr.write(f"cannot measure: {e}\n")
        return 2
    say(render(facts, stages, served))
    if options.json:
        told = {"facts": facts.to_json(), "stages": stages, "served": asdict(served)}
        options.json.write_text(json.dumps(told, indent=2) + "\n")
    return 0


def _rows(stages: Stages, served_micros: float) -> list[tuple[str, ...]]:
    groups = list(stages)
    shown = {together: _apart(times) for together, times in stages.items()}
    rows = [(name, *(f"{shown[together][name]:.1f}" for together in groups)) for name in shown[groups[0]]]
    rows.append(("**the application**", *(f"**{stages[together][WHOLE]:.1f}**" for together in groups)))
    before = [""] * (len(groups) - 1)  # what is measured over HTTP stands in the last column
    around = served_micros - stages[groups[-1]][WHOLE]
    rows.append(("server and sockets (uvicorn, event loop, kernel), c=32", *before, f"{around:.1f}"))
    rows.append(("**one request on a saturated core, c=32**", *before, f"**{served_micros:.1f}**"))
    return rows


def _time_stages(site: Installation, bodies: Path) -> Stages:
    server = gauntlet(site)
    empty_spool(server)
    spool = site.scratch / "spool" / "gauntlet"
    environment = {
        **os.environ,
        **scoring_environment(site, spool),
        "GAUNTLET_FOLDER": str(site.folder.path),
        "BENCH_BODIES": str(bodies),
        "BENCH_KEY": site.key,
        "OMP_NUM_THREADS": "1",
    }
    command = ["taskset", "-c", str(SERVER_CORE), sys.executable, "-m", "tests.bench.stages"]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=_STAGES_SECONDS, check=False
    )
    empty_spool(server)
    if done.returncode != 0:
        raise CannotMeasure(f"the stages cannot be timed: {done.stderr[-1500:]}")
    found: Stages = json.loads(done.stdout.splitlines()[-1])
    return found


def _apart(times: Mapping[str, float]) -> dict[str, float]:
    """The stages without overlap, and what the application spends beside them."""
    shown = {}
    for name, micros in times.items():
        if name == WRITE:
            shown["write"] = micros - times[LINES]
        elif name != WHOLE:
            shown[name] = micros
    shown["dispatch, batching, and what is between the stages"] = times[WHOLE] - sum(shown.values())
    return shown


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
