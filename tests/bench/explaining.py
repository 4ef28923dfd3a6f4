"""Scoring while others ask for explanations: what the slowest scores take then, and what they take without.

`python -m tests.bench.explaining`; README.md beside this file says how to read what it prints. Scoring, insight, its
workers, who asks to be scored and who asks for explanations share two cores, as on one small machine.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.bench.catalogue import gauntlet
from tests.bench.installation import Installation, default_folder, prepare, write_bodies
from tests.bench.machine import LOAD_CORE, SERVER_CORE, CannotMeasure, Facts, check, look, progress, say
from tests.bench.measuring import empty_spool, start_of
from tests.bench.openloop import Flood, flood
from tests.bench.processes import end_by_signals, free_port, serving
from tests.bench.report import table
from tests.bench.wrk import Load, load

GOAL = 1.5
CLIENTS = 8
RATE = 300.0
SECONDS = 10.0
PAIRS = 3
NICENESS = (19, 0)
LATE_MS = 5.0
"""A generator that was later (99 of 100 requests) says more of the machine than of the server."""
_BOTH = f"{SERVER_CORE},{LOAD_CORE}"


@dataclass(frozen=True)
class Pair:
    """Scoring alone, and right after it scoring beside explanations.

    Attributes:
        alone: Scores, with nobody else.
        beside: Scores, while explanations were asked for.
        explained: Those explanations.
    """

    alone: Flood
    beside: Flood
    explained: Load

    @property
    def ratio(self) -> float:
        """Of the scores' p99."""
        return (self.beside.p99_ms or float("nan")) / (self.alone.p99_ms or float("nan"))

    @property
    def is_good(self) -> bool:
        """Whether everybody was answered."""
        floods = (self.alone, self.beside)
        return self.explained.is_good and all(one.accepted == one.due for one in floods)


@dataclass(frozen=True)
class Run:
    """Pairs with workers of one priority.

    Attributes:
        niceness: By how much insight's workers stand back.
        pairs: One after the other.
    """

    niceness: int
    pairs: tuple[Pair, ...]

    @property
    def ratio(self) -> float:
        """The pairs' median."""
        return statistics.median(pair.ratio for pair in self.pairs)


def run(
    site: Installation,
    *,
    niceness: int,
    rate: float = RATE,
    seconds: float = SECONDS,
    pairs: int = PAIRS,
    clients: int = CLIENTS,
) -> Run:
    """Measure scoring with and without explanations, several times in turn.

    Args:
        site: What is served.
        niceness: By how much insight's workers stand back.
        rate: Scores a second.
        seconds: Of each load.
        pairs: How many times.
        clients: How many ask for explanations, each again when it was answered.

    Raises:
        CannotMeasure: A server or a generator failed.
    """
    server = gauntlet(site)
    scores = write_bodies(site, "explaining-scores", server.bodies(site.customers))
    rows = write_bodies(site, "explaining", [json.dumps({"features": c.features}).encode() for c in site.customers])
    empty_spool(server)
    behind, port = free_port(), free_port()
    with ExitStack() as stack:
        insight = stack.enter_context(
            serving(
                [sys.executable, "gauntlet.py", "insight", "--folder", str(site.folder.path), "--port", str(behind)],
                port=behind,
                ready="/readyz",
                log=site.scratch / "insight.log",
                # Nothing is kept, so that each request is one to explain.
                environment={"GAUNTLET_INSIGHT_CACHE_ROWS": "0", "GAUNTLET_INSIGHT_NICENESS": str(niceness)},
                core=_BOTH,
            )
        )
        scoring = stack.enter_context(
            serving(
                start_of(server, port),
                port=port,
                ready=server.ready,
                log=site.scratch / "explaining.log",
                environment={**server.environment, "BENCH_PORT": str(port), "GAUNTLET_INSIGHT_URL": insight.url},
                core=_BOTH,
            )
        )
        url = scoring.url

        def score() -> Flood:
            return flood(url + server.path, scores, rate=rate, seconds=seconds, connections=256, headers=server.headers)

        def explain(seconds: float) -> Load:
            return load(url + "/v1/explain", rows, connections=clients, seconds=seconds, headers=server.headers)

        explain(2)
        score()
        found = tuple(_pair(score, explain, seconds) for _ in range(pairs))
    empty_spool(server)
    return Run(niceness, found)


def _pair(score: Callable[[], Flood], explain: Callable[[float], Load], seconds: float) -> Pair:
    alone = score()
    told: list[Load | CannotMeasure] = []

    def ask() -> None:
        try:
            told.append(explain(seconds + 2))
        except CannotMeasure as e:
            told.append(e)

    asking = threading.Thread(target=ask)
    asking.start()
    beside = score()
    asking.join()
    (explained,) = told
    if isinstance(explained, CannotMeasure):
        raise explained
    return Pair(alone, beside, explained)


def render(facts: Facts, runs: Sequence[Run], clients: int) -> str:
    """The run as Markdown."""
    head = (
        "workers' niceness", "alone p50 ms", "alone p99 ms", f"with {clients} clients p50 ms", "p99 ms", "ratio of p99",
        "explanations/s", "their p99 ms", "generator late ms",
    )  # fmt: skip
    rows = [
        (
            str(one.niceness),
            _shown(pair.alone.p50_ms),
            _shown(pair.alone.p99_ms),
            _shown(pair.beside.p50_ms),
            _shown(pair.beside.p99_ms),
            f"{pair.ratio:.2f}",
            f"{pair.explained.per_second:.1f}",
            f"{pair.explained.p99_ms:.0f}",
            f"{_shown(pair.alone.behind_ms)} / {_shown(pair.beside.behind_ms)}",
        )
        for one in runs
        for pair in one.pairs
    ]
    medians = "; ".join(f"niceness {one.niceness}: {one.ratio:.2f}" for one in runs)
    first = runs[0].pairs[0].alone
    return "\n\n".join(
        (
            "\n".join(facts.to_lines()),
            f"{first.rate:,.0f} scores a second, open loop, {first.seconds:g} s each; scoring, insight with two "
            "workers and both generators on two cores.",
            table(head, rows),
            f"Median ratio of p99, {medians}. Goal at most {GOAL:g} with niceness {runs[0].niceness}: "
            f"{_judged(runs[0])}.",
        )
    )


def _judged(first: Run) -> str:
    floods = [flood for pair in first.pairs for flood in (pair.alone, pair.beside)]
    late = max(flood.behind_ms or float("inf") for flood in floods)
    if not late <= LATE_MS:
        return f"cannot be said, as the generator itself was late by up to {late:.0f} ms; the machine was not quiet"
    return "reached" if first.ratio <= GOAL else "not reached"


def main(arguments: Sequence[str]) -> int:
    """Measure and print. Exit code 1 where somebody was not answered, 2 where nothing can be measured."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.explaining", description=__doc__)
    parser.add_argument("--folder", type=Path, default=default_folder(), help="The installation; made if needed.")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="Of each load. Default: %(default)g.")
    parser.add_argument("--rate", type=float, default=RATE, help="Scores a second. Default: %(default)g.")
    parser.add_argument("--pairs", type=int, default=PAIRS, help="Without and with. Default: %(default)d.")
    parser.add_argument("--clients", type=int, default=CLIENTS, help="Who ask to explain. Default: %(default)d.")
    parser.add_argument("--niceness", type=int, nargs="+", default=list(NICENESS), help="Each is measured.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="Write every figure.")
    options = parser.parse_args(arguments)
    end_by_signals()
    facts = look()
    try:
        check("wrk", "taskset", "setpriv")
        site = prepare(options.folder)
        runs = []
        for niceness in options.niceness:
            progress(f"workers with niceness {niceness}")
            given = {"rate": options.rate, "seconds": options.seconds}
            runs.append(run(site, niceness=niceness, pairs=options.pairs, clients=options.clients, **given))
    except CannotMeasure as e:
        sys.stderr.write(f"cannot measure: {e}\n")
        return 2
    say(render(facts, runs, options.clients))
    if options.json:
        told = {"facts": facts.to_json(), "runs": [asdict(one) for one in runs]}
        options.json.write_text(json.dumps(told, indent=2) + "\n")
    return 0 if all(pair.is_good for one in runs for pair in one.pairs) else 1


def _shown(milliseconds: float | None) -> str:
    return "-" if milliseconds is None else f"{milliseconds:.1f}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
