"""Many rows a call: `POST /v1/score/batch` beside its floor, and single rows while batches run.

`python -m tests.bench.batch`; README.md beside this file says how to read what it prints.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from tests.bench.catalogue import Server, floor, gauntlet, scoring_headers
from tests.bench.installation import Customer, Installation, default_folder, prepare, write_bodies
from tests.bench.machine import CannotMeasure, Facts, check, look, progress, say
from tests.bench.measuring import TOLERANCE, empty_spool, start_of
from tests.bench.openloop import Flood, flood
from tests.bench.processes import Running, ask, end_by_signals, free_port, serving
from tests.bench.report import table
from tests.bench.wrk import Load, load

ROWS = 1000
FORMS = {"json": "application/json", "ndjson": "application/x-ndjson"}
PATH = "/v1/score/batch"
SECONDS = 10.0
PAIRS = 3
SINGLE_RATE = 500.0
"""Single rows a second that come while batches run: a small part of what the server can answer alone."""
GOAL = 0.6
_BODIES = 16
_CONNECTIONS = 2
"""Batches on their way at once: the next one waits at the server when one is done."""


@dataclass(frozen=True)
class Pair:
    """One form, measured at Gauntlet and at its floor, one after the other.

    Attributes:
        form: `json` or `ndjson`.
        ours: Calls of Gauntlet.
        floors: Calls of the floor.
    """

    form: str
    ours: Load
    floors: Load

    @property
    def share(self) -> float:
        """Gauntlet's rows a second, of the floor's."""
        return self.ours.per_second / self.floors.per_second


@dataclass(frozen=True)
class Together:
    """Single rows with and without batches beside them.

    Attributes:
        quiet: Single rows alone.
        busy: Single rows while batches run.
        batches: The batches meanwhile.
    """

    quiet: Flood
    busy: Flood
    batches: Load


def run(site: Installation, *, seconds: float = SECONDS, pairs: int = PAIRS) -> tuple[list[Pair], Together]:
    """Measure.

    Raises:
        CannotMeasure: A server does not answer batches as it should, or a generator failed.
    """
    check("wrk", "taskset", "setpriv")
    found = []
    for form in FORMS:
        bodies = write_bodies(site, f"batch-{form}", batch_bodies(site.customers, form))
        for number in range(1, pairs + 1):
            progress(f"{form}, pair {number} of {pairs}")
            found.append(_pair(site, form, bodies, seconds))
    progress("single rows beside batches")
    together = _with(site, _gauntlet(site, "json"), lambda running: _together(running, site, seconds))
    return found, together


def batch_bodies(customers: Sequence[Customer], form: str) -> list[bytes]:
    """Batches of 1,000 rows, each in another order; customers come as often as they must."""
    rng = random.Random(0)
    bodies = []
    for _ in range(_BODIES):
        chosen = [
            customer for _ in range(-(-ROWS // len(customers))) for customer in rng.sample(customers, len(customers))
        ]
        rows = [{"customer_id": one.customer_id, "features": one.features} for one in chosen[:ROWS]]
        lines = msgspec.json.Encoder().encode_lines(rows)
        bodies.append(lines if form == "ndjson" else msgspec.json.encode({"rows": rows}))
    return bodies


def render(facts: Facts, pairs: Sequence[Pair], together: Together) -> str:
    """The run as Markdown."""
    rows = [_row(form, [pair for pair in pairs if pair.form == form]) for form in FORMS]
    head = ("form", "rows/s", "floor rows/s", "share, median", "each pair", "p50 ms a call", "p99 ms", "failed")
    singles = [
        ("alone", *_single(together.quiet)),
        (f"with batches ({together.batches.per_second * ROWS:,.0f} rows/s)", *_single(together.busy)),
    ]
    return "\n\n".join(
        (
            "\n".join(facts.to_lines()),
            f"{ROWS:,} rows a call, {_CONNECTIONS} calls at once. The floor decodes, encodes, asks both models once "
            f"and answers. The share must be at least {GOAL:g}.",
            table(head, rows),
            f"Single rows at {SINGLE_RATE:g} a second (open loop, times count from when a request was due):",
            table(("single rows", "p50 ms", "p99 ms", "highest ms", "200", "other"), singles),
        )
    )


def main(arguments: Sequence[str]) -> int:
    """Measure and print. Exit code 1 where requests failed, 2 where nothing can be measured."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.batch", description=__doc__)
    parser.add_argument("--folder", type=Path, default=default_folder(), help="The installation; made if needed.")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="Of each measurement. Default: %(default)g.")
    parser.add_argument("--pairs", type=int, default=PAIRS, help="Of Gauntlet and floor. Default: %(default)d.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="Write every figure.")
    options = parser.parse_args(arguments)
    end_by_signals()
    facts = look()
    try:
        pairs, together = run(prepare(options.folder), seconds=options.seconds, pairs=options.pairs)
    except CannotMeasure as e:
        sys.stderr.write(f"cannot measure: {e}\n")
        return 2
    say(render(facts, pairs, together))
    if options.json:
        told = {"pairs": [{**asdict(pair), "share": pair.share} for pair in pairs], "together": asdict(together)}
        options.json.write_text(json.dumps({"facts": facts.to_json(), **told}, indent=2) + "\n")
    is_good = all(pair.ours.is_good and pair.floors.is_good for pair in pairs) and together.batches.is_good
    return 0 if is_good and together.busy.accepted == together.busy.due else 1


def _pair(site: Installation, form: str, bodies: Path, seconds: float) -> Pair:
    def ours(running: Running) -> Load:
        _check(running, site, form)
        return _load(running, PATH, bodies, seconds, scoring_headers(site, FORMS[form]))

    def floors(running: Running) -> Load:
        return _load(running, "/", bodies, seconds, {})

    return Pair(form, _with(site, _gauntlet(site, form), ours), _with(site, _floor(site, form), floors))


def _gauntlet(site: Installation, form: str) -> Server:
    return replace(gauntlet(site), path=PATH, headers=scoring_headers(site, FORMS[form]))


def _floor(site: Installation, form: str) -> Server:
    base = floor(site)
    command = (sys.executable, "-m", "tests.bench.servers.floor_batch")
    return replace(
        base, name="floor-batch", command=lambda _port: command, environment={**base.environment, "BENCH_FORM": form}
    )


def _with(site: Installation, server: Server, act: Callable[[Running], Any]) -> Any:
    """What comes of acting on a server while it runs."""
    empty_spool(server)
    port = free_port()
    environment = {**server.environment, "BENCH_PORT": str(port)}
    log = site.scratch / "batch.log"
    try:
        with serving(
            start_of(server, port), port=port, ready=server.ready, log=log, environment=environment
        ) as running:
            return act(running)
    finally:
        empty_spool(server)


def _load(running: Running, path: str, bodies: Path, seconds: float, headers: dict[str, str]) -> Load:
    load(running.url + path, bodies, connections=_CONNECTIONS, seconds=2, headers=headers)
    return load(running.url + path, bodies, connections=_CONNECTIONS, seconds=seconds, headers=headers)


def _check(running: Running, site: Installation, form: str) -> None:
    """See that a batch is answered row by row, as scikit-learn would answer.

    Raises:
        CannotMeasure: It is not.
    """
    headers = scoring_headers(site, FORMS[form])
    rows = [{"customer_id": one.customer_id, "features": one.features} for one in site.customers]
    body = msgspec.json.Encoder().encode_lines(rows) if form == "ndjson" else msgspec.json.encode({"rows": rows})
    status, said = ask(running.url + PATH, method="POST", body=body, headers=headers)
    if status != 200:
        raise CannotMeasure(f"{PATH} answers {status} to {FORMS[form]}: {said[:300].decode(errors='replace')}")
    try:
        answers = (
            [json.loads(line) for line in said.splitlines()] if form == "ndjson" else json.loads(said)["predictions"]
        )
        found = [float(answer["probability"]) for answer in answers]
    except (ValueError, LookupError, TypeError) as e:
        raise CannotMeasure(f"the answer to a batch cannot be read: {said[:300].decode(errors='replace')}") from e
    if len(found) != len(rows):
        raise CannotMeasure(f"{len(found)} answers came to {len(rows)} rows")
    worst = max(abs(value - one.probability) for value, one in zip(found, site.customers, strict=True))
    if not worst <= TOLERANCE:
        raise CannotMeasure(f"a probability of a batch differs from scikit-learn's by {worst:.2g}")


def _together(running: Running, site: Installation, seconds: float) -> Together:
    single = gauntlet(site)
    singles = write_bodies(site, "batch-single", single.bodies(site.customers))
    batches = write_bodies(site, "batch-json", batch_bodies(site.customers, "json"))

    def ask_singles() -> Flood:
        url = running.url + single.path
        return flood(url, singles, rate=SINGLE_RATE, seconds=seconds, connections=64, headers=single.headers)

    ask_singles()
    quiet = ask_singles()
    with ThreadPoolExecutor(1) as pool:
        # The batches begin before the single rows and end after them.
        headers = scoring_headers(site)
        running_batches = pool.submit(
            load, running.url + PATH, batches, connections=_CONNECTIONS, seconds=seconds + 3, headers=headers
        )
        busy = ask_singles()
        return Together(quiet, busy, running_batches.result())


def _row(form: str, pairs: Sequence[Pair]) -> tuple[str, ...]:
    middle = sorted(pairs, key=lambda pair: pair.ours.per_second)[len(pairs) // 2]
    failed = sum(part.bad + part.broken for pair in pairs for part in (pair.ours, pair.floors))
    share = median(pair.share for pair in pairs)
    return (
        FORMS[form],
        f"{middle.ours.per_second * ROWS:,.0f}",
        f"{median(pair.floors.per_second for pair in pairs) * ROWS:,.0f}",
        f"{share:.2f}, {'reached' if share >= GOAL else '**not reached**'}",
        ", ".join(f"{pair.share:.2f}" for pair in pairs),
        f"{middle.ours.p50_ms:.1f}",
        f"{middle.ours.p99_ms:.1f}",
        str(failed),
    )


def _single(found: Flood) -> tuple[str, ...]:
    times = (found.p50_ms, found.p99_ms, found.highest_ms)
    shown = tuple("-" if value is None else f"{value:.2f}" for value in times)
    return *shown, str(found.accepted), str(found.due - found.accepted)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
