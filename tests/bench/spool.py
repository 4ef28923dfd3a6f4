"""What one record costs on its way into the spool: alone and in company, under each fsync policy, all in one run.

`python -m tests.bench.spool`; README.md beside this file says how to read what it prints.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import get_args

from service.prediction_log.lines import encode_lines
from service.prediction_log.records import Prediction
from service.prediction_log.spool import Fsync, Spool
from tests.bench.machine import ROOT, look, progress, say

DATA = ROOT.parent / "shared" / "data" / "telco.csv"
"""The public Telco file; where it is absent, rows of the same form take its place."""
BATCHES = (1, 8, 32, 64)
ROWS = 500
POLICIES: tuple[Fsync, ...] = get_args(Fsync)
RATE, PACED_BATCH = 5000, 8
"""Records a second and records a call where the longest call is measured: what one busy worker writes."""


@dataclass(frozen=True)
class Cost:
    """What one record cost.

    Attributes:
        wall_us: Microseconds that its caller waited.
        cpu_us: Microseconds of processor time in this process, the syncing thread's included.
    """

    wall_us: float
    cpu_us: float


@dataclass(frozen=True)
class Waits:
    """How long calls took at a steady rate, microseconds."""

    p50_us: float
    p99_us: float
    p999_us: float
    highest_us: float


@dataclass(frozen=True)
class Way:
    """One way to write: how many records a call, and under which policy.

    Attributes:
        batch: Records that one `append_all` writes; 0: `append`, record by record.
        fsync: The policy; None: nothing is written at all, lines are only made.
    """

    batch: int
    fsync: Fsync | None

    def __str__(self) -> str:
        call = f"append_all of {self.batch}" if self.batch else "append"
        return f"{call}, {self.fsync}" if self.fsync else f"lines of {self.batch}, not written"


def predictions(count: int) -> list[Prediction]:
    """Different ones, as a scoring worker with two models writes them."""
    return [_prediction(number, row) for number, row in enumerate(islice(cycle(_rows()), count))]


def measure_costs(folder: Path, *, records: int, rounds: int, tell: Callable[[str], None]) -> dict[Way, Cost]:
    """The median over rounds, in each of which every way has its turn."""
    taken = predictions(ROWS)
    ways = [Way(64, None), *(Way(batch, fsync) for fsync in POLICIES for batch in (0, *BATCHES))]
    found: dict[Way, list[Cost]] = {way: [] for way in ways}
    for number in range(rounds):
        tell(f"round {number + 1} of {rounds}")
        for way in ways:
            found[way].append(_cost(folder, way, taken, records if way.fsync != "always" else records // 20))
    return {
        way: Cost(median(cost.wall_us for cost in costs), median(cost.cpu_us for cost in costs))
        for way, costs in found.items()
    }


def measure_waits(folder: Path, fsync: Fsync, *, seconds: float) -> Waits:
    """How long each call takes, at a steady rate."""
    taken, pause = predictions(PACED_BATCH), PACED_BATCH / RATE
    waits: list[float] = []
    with _spool(folder, fsync, interval_seconds=1.0) as spool:
        began = due = time.perf_counter()
        while due < began + seconds:
            time.sleep(max(0.0, due - time.perf_counter()))
            called = time.perf_counter()
            spool.append_all(taken)
            waits.append((time.perf_counter() - called) * 1e6)
            due += pause
    waits.sort()
    p50, p99, p999 = (waits[int(share * len(waits))] for share in (0.5, 0.99, 0.999))
    return Waits(p50, p99, p999, waits[-1])


def main(arguments: Sequence[str]) -> int:
    """Measure and print."""
    options = _parse(arguments)
    for line in look().to_lines():
        say(line)
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="gauntlet-spool-bench-") as name:
        folder = Path(name)
        costs = measure_costs(folder, records=options.records, rounds=options.rounds, tell=progress)
        progress(f"{RATE:,} records a second under each policy, {options.seconds:g} s each")
        waits = {fsync: measure_waits(folder, fsync, seconds=options.seconds) for fsync in POLICIES}
    for line in (*_cost_lines(costs), "", *_wait_lines(waits)):
        say(line)
    return 0


def _cost(folder: Path, way: Way, taken: Sequence[Prediction], records: int) -> Cost:
    calls = max(1, records // max(1, way.batch))
    batches = list(islice(_batches(taken, max(1, way.batch)), min(calls, ROWS)))
    if way.fsync is None:
        return _timed(lambda batch: encode_lines(batch), batches, calls)
    with _spool(folder, way.fsync, interval_seconds=0.05) as spool:  # often enough that every turn meets a sync
        if way.batch:
            return _timed(spool.append_all, batches, calls)
        return _timed(lambda batch: spool.append(batch[0]), batches, calls)


def _timed(call: Callable[[Sequence[Prediction]], object], batches: Sequence[Sequence[Prediction]], calls: int) -> Cost:
    work = list(islice(cycle(batches), calls))
    count = sum(len(batch) for batch in work)
    wall, cpu = time.perf_counter(), time.process_time()
    for batch in work:
        call(batch)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return Cost(wall / count * 1e6, cpu / count * 1e6)


@contextmanager
def _spool(folder: Path, fsync: Fsync, *, interval_seconds: float) -> Iterator[Spool]:
    spool = Spool(folder, "bench", limit_bytes=2**33, fsync=fsync, fsync_interval_seconds=interval_seconds)
    try:
        yield spool
    finally:
        spool.close()
        for path in spool.folder.iterdir():
            path.unlink()
    if spool.lost:
        raise OSError(f"{spool.lost} records were lost: {spool.failure}")


def _batches(taken: Sequence[Prediction], size: int) -> Iterator[list[Prediction]]:
    rows = cycle(taken)
    while True:
        yield list(islice(rows, size))


def _cost_lines(costs: dict[Way, Cost]) -> list[str]:
    base = costs[Way(0, "never")].wall_us
    lines = [
        f"A record is a line of {len(encode_lines(predictions(1))[0]):,} bytes.",
        "",
        "| call, fsync | waited, µs a record | processor, µs a record | `append`, never = 1 |",
        "|---|---|---|---|",
    ]
    return lines + [
        f"| {way} | {cost.wall_us:.2f} | {cost.cpu_us:.2f} | {cost.wall_us / base:.2f} |" for way, cost in costs.items()
    ]


def _wait_lines(waits: dict[Fsync, Waits]) -> list[str]:
    lines = [
        f"One call of {PACED_BATCH} records, at {RATE:,} records a second; `interval` is 1 s:",
        "",
        "| fsync | p50, µs | p99, µs | p99.9, µs | longest, µs |",
        "|---|---|---|---|---|",
    ]
    return lines + [
        f"| {fsync} | {one.p50_us:.0f} | {one.p99_us:.0f} | {one.p999_us:.0f} | {one.highest_us:.0f} |"
        for fsync, one in waits.items()
    ]


def _rows() -> list[dict[str, str]]:
    if DATA.exists():
        with DATA.open(newline="") as file:
            return list(islice(csv.DictReader(file), ROWS))
    return [{"customerID": f"c{number}", "tenure": str(number % 72), "Contract": "One year"} for number in range(ROWS)]


def _prediction(number: int, row: dict[str, str]) -> Prediction:
    features = {name: _value(text) for name, text in row.items() if name not in ("customerID", "Churn")}
    return Prediction(
        prediction_id=f"0192f3c4-aaaa-7bbb-8ccc-{number:012d}",
        at=1_772_366_400_000_000 + number,
        customer_id=row["customerID"],
        purpose="live",
        experiment="5f0c1d2e3a4b5c6d",
        revision=2,
        mode="shadow",
        split=0.0,
        variant="champion",
        champion="sha256:" + "a" * 64,
        challenger="sha256:" + "b" * 64,
        champion_probability=0.25 + number / 10_000,
        challenger_probability=0.35 + number / 10_000,
        champion_positive=False,
        challenger_positive=True,
        features=features,
        latency_us=345,
        request_id=f"0192f3c4-aaaa-7bbb-8ccc-{number:012d}",
        client="shop",
    )


def _value(text: str) -> str | float:
    try:
        return float(text)
    except ValueError:
        return text


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.spool", description=__doc__)
    folder = Path(os.environ.get("TMPDIR", tempfile.gettempdir()))
    parser.add_argument("--folder", type=Path, default=folder, help="On the disk to measure. Default: %(default)s.")
    parser.add_argument("--records", type=int, default=20_000, help="A way and round. Default: %(default)d.")
    parser.add_argument("--rounds", type=int, default=7, help="Default: %(default)d.")
    parser.add_argument("--seconds", type=float, default=10.0, help="A policy at a steady rate. Default: %(default)g.")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
