"""How fast the prediction log moves from spool to store, beside what the databases do with the same rows at best.

`python -m tests.bench.shipping` ships Telco predictions into PostgreSQL (a server of its own) and SQLite, and times the
questions that the judge asks of a large store. Needs PostgreSQL's server programs; nothing listens beyond loopback.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import gc
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Any
from zlib import crc32

import msgspec

from service.ids import make_id
from service.prediction_log.chunks import CHUNK_BYTES
from service.prediction_log.lines import encode_line
from service.prediction_log.records import Outcome, Prediction
from service.prediction_log.rows import TABLES, columns_of, row_of
from service.prediction_log.segments import ID_FILE
from service.prediction_log.shipper import ship
from service.prediction_log.spool import Spool
from service.store import Store, open_store, tables
from service.store.loading import Loader
from service.store.reports import outcome_report
from tests.bench.machine import ROOT, look, progress, say
from tests.integration.postgresql_toys import Server, running_server
from validation.judge.late import count_late

DATA = ROOT.parent / "shared" / "data" / "telco.csv"
"""The public Telco file; where it is absent, rows of the same form take its place."""
DAY = 86_400_000_000
START = 1_795_000_000_000_000
"""When the first prediction is made, microseconds since 1970 UTC."""
_FORM = {"gender": "Female", "Contract": "Month-to-month", "PaymentMethod": "Electronic check", "TotalCharges": 29.85}


@dataclass(frozen=True)
class Run:
    """What one way to move rows took.

    Attributes:
        what: Which way.
        rows: How many.
        seconds: In all.
        own_us: Processor time a row in this process, microseconds.
        server_us: Processor time a row in the server's processes, microseconds; None for SQLite.
    """

    what: str
    rows: int
    seconds: float
    own_us: float
    server_us: float | None

    @property
    def rate(self) -> float:
        """Rows a second."""
        return self.rows / self.seconds


def telco_predictions(count: int, *, seed: int = 0, step: int = 200) -> Iterator[Prediction]:
    """Predictions as a worker with two models writes them, a few thousand a second, each of another customer.

    Args:
        count: How many.
        seed: Of the probabilities and ids.
        step: Microseconds from one to the next.
    """
    rng = random.Random(seed)
    for number, row in enumerate(islice(cycle(_telco_rows()), count)):
        at = START + number * step
        champion, challenger = rng.random(), rng.random()
        yield Prediction(
            prediction_id=make_id(at, rng.randbytes(8)),
            at=at,
            customer_id=f"{rng.getrandbits(32):08X}-{number}",
            purpose="live",
            experiment="5f0f6a3c9b1d2e47",
            revision=3,
            mode="shadow",
            split=0.0,
            variant="champion",
            champion=f"sha256:{'a' * 64}",
            challenger=f"sha256:{'b' * 64}",
            champion_probability=champion,
            challenger_probability=challenger,
            champion_positive=champion >= 0.5,
            challenger_positive=challenger >= 0.5,
            features=row,
            latency_us=rng.randrange(80, 900),
            request_id=f"{rng.getrandbits(128):032x}",
        )


def _telco_rows() -> list[dict[str, Any]]:
    if not DATA.exists():
        return [{**_FORM, **{f"feature {number}": "No" for number in range(15)}}]
    with DATA.open() as file:
        return [_features(row) for row in csv.DictReader(file)]


def _features(row: dict[str, str]) -> dict[str, Any]:
    del row["customerID"], row["Churn"]
    number = {name: float(row[name]) if row[name].strip() else None for name in ("MonthlyCharges", "TotalCharges")}
    return {**row, **number, "tenure": int(row["tenure"]), "SeniorCitizen": int(row["SeniorCitizen"])}


class Material:
    """The rows to move, made once: as a spool, as lines, and as the rows that a store takes."""

    def __init__(self, place: Path, count: int) -> None:
        self.spools = place / "spools"
        spool = Spool(self.spools, "w")
        self.lines: list[bytes] = []
        for record in telco_predictions(count):
            spool.append(record)
            self.lines.append(encode_line(record)[:-1])
        spool.close()
        self.rows = [row_of(line, START)[1] for line in self.lines]

    @contextlib.contextmanager
    def spooled(self) -> Iterator[Path]:
        """A copy of the spool, because shipping deletes it; with an id of its own, so that no cursor speaks of it."""
        with tempfile.TemporaryDirectory(dir=self.spools.parent) as copy:
            spools = Path(shutil.copytree(self.spools, Path(copy) / "spools"))
            (spools / "w" / ID_FILE).write_text(Path(copy).name)
            yield spools

    def batches(self) -> Iterator[list[Any]]:
        """The rows in transactions of the shipper's size."""
        size = CHUNK_BYTES * len(self.lines) // sum(map(len, self.lines))
        for begin in range(0, len(self.rows), size):
            yield self.rows[begin : begin + size]


def time_parts(material: Material) -> list[tuple[str, float]]:
    """What one line costs before it reaches a database, microseconds: the best of several tries."""
    import psycopg._copy_base as copying
    from psycopg.adapt import Transformer

    lines = material.lines[:5000]
    rows = [row_of(line, 1)[1] for line in lines]
    transformer, text = Transformer(), bytearray()

    def as_text() -> None:
        text.clear()
        for row in rows:
            copying.format_row_text(row, transformer, text)

    parts: list[tuple[str, Callable[[], object]]] = [
        ("its checksum", lambda: [crc32(line) for line in lines]),
        ("a row of it, checksum included", lambda: [row_of(line, 1) for line in lines]),
        ("the row as COPY's text (psycopg)", as_text),
        ("all of it as objects (msgspec)", lambda: [_as_objects(line) for line in lines]),
    ]
    return [(name, min(_seconds(part) for _ in range(7)) / len(lines) * 1e6) for name, part in parts]


_as_objects = msgspec.json.Decoder(Prediction).decode


def _seconds(part: Callable[[], object]) -> float:
    begun = time.perf_counter()
    part()
    return time.perf_counter() - begun


def measure_postgresql(material: Material, server: Server, number: int) -> Iterator[Run]:
    """Shipping into PostgreSQL beside a plain COPY, each into a new database."""
    count = len(material.rows)
    store = open_store(server.make_database(f"plain_{number}"))
    with material.spooled() as spools:
        ship_partitions(store, material)
        yield _timed("plain COPY", count, lambda: _copy_plainly(store, material), server)
        store.close()
        store = open_store(server.make_database(f"shipped_{number}"))
        yield _timed("shipped", count, lambda: _ship(spools, store, count, count), server)
    with material.spooled() as spools:
        yield _timed("shipped again, all duplicates", count, lambda: _ship(spools, store, 0, count), server)
    store.close()
    store = open_store(server.make_database(f"staged_{number}"))
    with material.spooled() as spools:
        _load(store, material.rows[::1000])
        new = count - len(material.rows[::1000])
        yield _timed("shipped, a duplicate in 1,000", count, lambda: _ship(spools, store, new, count), server)
    store.close()


def measure_sqlite(material: Material, place: Path) -> Iterator[Run]:
    """Shipping into SQLite beside a plain executemany, each into a new file."""
    count = len(material.rows)
    store = open_store(f"sqlite:///{place / 'plain.db'}")
    yield _timed("plain executemany", count, lambda: _insert_plainly(store, material))
    store.close()
    store = open_store(f"sqlite:///{place / 'shipped.db'}")
    with material.spooled() as spools:
        yield _timed("shipped", count, lambda: _ship(spools, store, count, count))
    with material.spooled() as spools:
        yield _timed("shipped again, all duplicates", count, lambda: _ship(spools, store, 0, count))
    store.close()


def ship_partitions(store: Store, material: Material) -> None:
    """Let the store have the partitions that shipping would make."""
    with tempfile.TemporaryDirectory() as place:
        spool = Spool(Path(place), "w")
        spool.append(next(telco_predictions(1, seed=1)))
        spool.close()
        ship(Path(place), store)


def _ship(spools: Path, store: Store, new: int, rows: int) -> None:
    shipped = ship(spools, store)
    if (shipped.predictions, shipped.predictions + shipped.duplicates, shipped.bad_lines) != (new, rows, 0):
        raise RuntimeError(f"{new} of {rows} predictions were to land, and {shipped} did")


def _copy_plainly(store: Store, material: Material) -> None:
    columns = ", ".join(f'"{name}"' for name in columns_of(Prediction))
    for rows in material.batches():
        with (
            store.writing() as connection,
            connection.connection.cursor() as cursor,
            cursor.copy(f"COPY predictions ({columns}) FROM STDIN") as copy,
        ):
            for row in rows:
                copy.write_row(row)


def _insert_plainly(store: Store, material: Material) -> None:
    columns, marks = ", ".join(columns_of(Prediction)), ", ".join("?" * len(columns_of(Prediction)))
    for rows in material.batches():
        with store.writing() as connection:
            connection.connection.cursor().executemany(f"INSERT INTO predictions ({columns}) VALUES ({marks})", rows)


def _load(store: Store, rows: list[Any]) -> None:
    with store.writing() as connection:
        Loader(tables.predictions, columns_of(Prediction)).load(connection, store, rows)


def _timed(what: str, rows: int, work: Callable[[], None], server: Server | None = None) -> Run:
    progress(what)
    own, theirs, begun = time.process_time(), server.cpu_seconds() if server else 0.0, time.perf_counter()
    work()
    seconds = time.perf_counter() - begun
    spent = (server.cpu_seconds() - theirs) / rows * 1e6 if server else None
    return Run(what, rows, seconds, (time.process_time() - own) / rows * 1e6, spent)


def fill(store: Store, predictions: int, outcomes: int) -> str:
    """A large experiment: a prediction a second, truths 30 days later; gives its id.

    One truth in 100 and one prediction in 1,000 land after their day would be closed.
    """
    rng, batch, told = random.Random(1), [], []
    every, experiment = predictions // outcomes, ""
    for number, record in enumerate(telco_predictions(predictions, step=1_000_000)):
        experiment = record.experiment
        landed = record.at + (32 * DAY if number % 1000 == 0 else rng.randrange(100_000, 2_000_000))
        batch.append(row_of(encode_line(record)[:-1], landed)[1])
        if number % every == 0:
            told.append(_truth_of(record, number // every, rng))
        if len(batch) == 20_000:
            _load(store, batch)
            batch.clear()
    _load(store, batch)
    with store.writing() as connection:
        Loader(TABLES[Outcome], columns_of(Outcome)).load(connection, store, told)
    return experiment


def _truth_of(record: Prediction, number: int, rng: random.Random) -> Any:
    seen = record.at + 30 * DAY - rng.randrange(DAY)
    truth = Outcome(prediction_id=record.prediction_id, positive=rng.random() < 0.3, observed_at=seen, received_at=seen)
    return row_of(encode_line(truth)[:-1], seen + (3 * DAY if number % 100 == 0 else 1_000_000))[1]


def _close_days(store: Store, connection: Any, experiment: str, predictions: int) -> None:
    first, last = START // DAY, (START + predictions * 1_000_000) // DAY
    zero = dict.fromkeys((c.name for c in tables.cohorts.columns), 0)
    named = {"experiment": experiment, "revision": 3, "mode": "shadow", "split": 0.0, "policy": "p", "rows_digest": "d"}
    days = [
        {**zero, **named, "start": day * DAY, "end": (day + 1) * DAY, "closed_at": (day + 31) * DAY + 10_000_000}
        for day in range(first, last)
    ]
    connection.execute(tables.cohorts.insert(), days)
    closed = {"experiment": experiment, "closed_through": last * DAY, "closed_at": (last + 30) * DAY}
    connection.execute(tables.closings.insert(), [closed])


def measure_questions(store: Store, predictions: int, outcomes: int) -> Iterator[tuple[str, float, object]]:
    """What the judge asks of a large store: what, seconds (the median of three) and what it found."""
    progress(f"{predictions:,} predictions and {outcomes:,} outcomes into {store.name}")
    experiment = fill(store, predictions, outcomes)
    with store.writing() as connection:
        _close_days(store, connection, experiment, predictions)
    now = START + predictions * 1_000_000 + 40 * DAY
    questions: list[tuple[str, Callable[[], object]]] = [
        ("count_late", lambda: count_late(store, experiment)),
        ("outcome_report", lambda: outcome_report(store, experiment, maturity=30 * DAY, now=now)),
    ]
    for name, ask in questions:
        found = ask()
        yield name, median(_seconds(ask) for _ in range(3)), found


def _tell(title: str, runs: Sequence[Run], plain: str) -> None:
    say(f"\n| {title} | rows/s | against {plain} | CPU here, µs a row | CPU in the server, µs a row |")
    say("|---|---|---|---|---|")
    floor = median(run.rate for run in runs if run.what == plain)
    for what in dict.fromkeys(run.what for run in runs):
        same = [run for run in runs if run.what == what]
        rate, own = median(run.rate for run in same), median(run.own_us for run in same)
        theirs = f"{median(run.server_us or 0 for run in same):.1f}" if same[0].server_us is not None else ""
        each = ", ".join(f"{run.rate:,.0f}" for run in same)
        say(f"| {what} | **{rate:,.0f}** ({each}) | {rate / floor:.2f} | {own:.1f} | {theirs} |")


def _bench(place: Path, options: argparse.Namespace) -> None:
    progress(f"{options.rows:,} predictions as lines")
    material = Material(place, options.rows)
    gc.freeze()  # a shipper holds no million objects that its collector would look through
    size = sum(map(len, material.lines)) / len(material.lines)
    say(f"\n{options.rows:,} predictions, {size:.0f} bytes a line; {CHUNK_BYTES / 2**20:.0f} MiB a transaction.")
    say("\n| what one line costs here | µs |\n|---|---|")
    for name, cost in time_parts(material):
        say(f"| {name} | {cost:.1f} |")
    with running_server(options.server_settings) as server:
        runs = [run for number in range(options.rounds) for run in measure_postgresql(material, server, number)]
        _tell("PostgreSQL", runs, "plain COPY")
        if options.predictions:
            _tell_questions(open_store(server.make_database("large")), options)
    runs = []
    for number in range(options.rounds):
        (place / str(number)).mkdir()
        runs += measure_sqlite(material, place / str(number))
    _tell("SQLite", runs, "plain executemany")
    if options.predictions:
        _tell_questions(open_store(f"sqlite:///{place / 'large.db'}"), options)


def _tell_questions(store: Store, options: argparse.Namespace) -> None:
    kind = "PostgreSQL" if store.is_postgresql else "SQLite"
    say(f"\n| {kind}: {options.predictions:,} predictions, {options.outcomes:,} outcomes | ms | found |\n|---|---|---|")
    for name, seconds, found in measure_questions(store, options.predictions, options.outcomes):
        say(f"| {name} | {seconds * 1000:,.1f} | {str(found).splitlines()[0]} |")
    store.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print Markdown."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.shipping", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=200_000, help="predictions to ship (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="how often, for the median (default %(default)s)")
    parser.add_argument("--predictions", type=int, default=1_000_000, help="for the judge's questions; 0: none asked")
    parser.add_argument("--outcomes", type=int, default=100_000, help="for the judge's questions")
    parser.add_argument("--server-settings", default="", help="options of `postgres`, such as '-c shared_buffers=1GB'")
    parser.add_argument("--folder", type=Path, help="where files are made and deleted; a temporary one if not given")
    options = parser.parse_args(arguments)
    for line in look().to_lines():
        say(line)
    say("PostgreSQL " + (f"with {options.server_settings}" if options.server_settings else "with its own defaults"))
    with tempfile.TemporaryDirectory(dir=options.folder) as place:
        _bench(Path(place), options)
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main())
