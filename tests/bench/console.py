"""How long a page of the console takes with 100,000 predictions in the store: `python -m tests.bench.console`.

A page is drawn when Chromium shows every picture of it with its numbers; each time it is opened anew, with the
browser's cache warm, as for somebody who comes back to it. Beside it stands what the slowest of its questions took at
the server. On SQLite and on PostgreSQL; `--rows` changes how many predictions, `--rounds` how often a page is opened.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from service.ids import make_id
from service.micros import from_micros
from service.store import open_store, tables
from tests.bench.installation import Installation, default_folder, prepare
from tests.bench.ledger import count_rows
from tests.bench.machine import ROOT, CannotMeasure, look, progress, say
from tests.integration.postgresql_toys import running_server

DAY = 86_400_000_000
DAYS = 45
MATURES = 30 * DAY
_AT_ONCE = 10_000
PAGES = ("/production",)
"""Those that read the store."""
_PORT = 3995
_LOOK_MS = 20
"""How often it is looked whether the page is drawn: at each frame, which is the default, would keep a core drawing."""
_WARMING = 3
"""Rounds that do not count: the first opens the store and fills the browser's cache, the next ones what it compiled."""
_PATIENCE_SECONDS = 90
_DRAWN = """() => {
  const pictures = [...document.querySelectorAll(".card > p.soft")];
  return document.querySelector(".page h1") && pictures.length
    && !pictures.some(p => p.textContent === "Reading …")
    && [...document.querySelectorAll(".picture:not([hidden])")].every(p => p.querySelector(".main-svg"));
}"""


def fill(url: str, installation: Installation, rows: int, *, seed: int = 1) -> None:
    """Put predictions of the last 45 days into an empty store, nine in ten of those that matured with their truth."""
    rng, end = random.Random(seed), time.time_ns() // 1000
    store = open_store(url)
    store.make_partitions(set(), now=from_micros(end - DAYS * DAY))
    for start in range(0, rows, _AT_ONCE):
        numbers = range(start, min(rows, start + _AT_ONCE))
        made = [_prediction(installation, rng, end - DAYS * DAY + n * DAYS * DAY // rows, n) for n in numbers]
        told = [_outcome(row, rng) for row in made if row["at"] < end - MATURES and rng.random() < 0.9]
        with store.writing() as connection:
            connection.execute(tables.predictions.insert(), made)
            if told:
                connection.execute(tables.outcomes.insert(), told)
    store.close()


def _prediction(installation: Installation, rng: random.Random, at: int, number: int) -> dict[str, Any]:
    who = rng.choice(installation.customers)
    champion, challenger = (artifact.digest for artifact in installation.artifacts)
    beside = min(1.0, max(0.0, who.probability + rng.gauss(0, 0.05)))
    return {
        "prediction_id": make_id(at, rng.randbytes(8)),
        "at": at,
        "customer_id": f"{who.customer_id}-{number % 40}",
        "purpose": "live",
        "experiment": "bench",
        "revision": 1,
        "mode": "split",
        "split": 0.2,
        "variant": "challenger" if rng.random() < 0.2 else "champion",
        "champion": champion,
        "challenger": challenger,
        "champion_probability": who.probability,
        "challenger_probability": beside,
        "champion_positive": who.probability >= 0.5,
        "challenger_positive": beside >= 0.5,
        "features": json.dumps(who.features),
        "landed_at": at,
    }


def _outcome(row: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    seen = row["at"] + MATURES
    is_positive = rng.random() < row["champion_probability"]
    times = dict.fromkeys(("observed_at", "received_at", "landed_at"), seen)
    return {"prediction_id": row["prediction_id"], "positive": is_positive, **times}


@contextmanager
def console(installation: Installation, url: str) -> Iterator[str]:
    """A console in front of a store while the block runs; gives its address."""
    environment = {**os.environ, "GAUNTLET_STORE_URL": url}
    environment.pop("MLFLOW_TRACKING_URI", None)
    options = ("--folder", str(installation.folder.path), "--port", str(_PORT), "--service", "http://127.0.0.1:9")
    running = subprocess.Popen([sys.executable, "-m", "gauntlet", "console", *options], cwd=ROOT, env=environment)
    address = f"http://127.0.0.1:{_PORT}"
    try:
        _wait(address, running)
        yield address
    finally:
        running.terminate()
        running.wait(timeout=30)


def measure(address: str, path: str, rounds: int) -> Iterator[tuple[float, float]]:
    """Seconds until a page is drawn, and of its slowest question at the server; once a round."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium")
    if chromium is None:
        raise CannotMeasure("chromium must be installed")
    with tempfile.TemporaryDirectory() as profile, sync_playwright() as playwright:
        browser = playwright.chromium.launch_persistent_context(  # keeps compiled scripts, as people's browsers do
            profile, executable_path=chromium, args=["--no-sandbox"], viewport={"width": 1280, "height": 900}
        )
        page = browser.new_page()
        took: list[float] = []
        page.on("requestfinished", lambda request: took.append(_waited(request)))
        for number in range(rounds + _WARMING):
            took.clear()
            began = time.perf_counter()
            page.goto(address + path)
            page.wait_for_function(_DRAWN, polling=_LOOK_MS, timeout=1000 * _PATIENCE_SECONDS)
            if number >= _WARMING:
                yield time.perf_counter() - began, max(took)
        browser.close()


def _waited(request: Any) -> float:
    """Seconds from a question's end to its answer's beginning; 0 for what is no question."""
    timing = request.timing
    return (timing["responseStart"] - timing["requestStart"]) / 1000 if "_dash-update" in request.url else 0.0


def _wait(address: str, running: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            with urlopen(f"{address}/readyz", timeout=2):
                return
        except (URLError, OSError) as e:
            if running.poll() is not None or time.monotonic() > until:
                raise CannotMeasure("the console does not come up") from e
            time.sleep(0.1)


def _tell(kind: str, installation: Installation, url: str, options: argparse.Namespace) -> None:
    progress(f"{options.rows:,} predictions into {kind}")
    fill(url, installation, options.rows)
    if kind == "PostgreSQL":
        count_rows(url)
    with console(installation, url) as address:
        for path in PAGES:
            progress(f"{path} on {kind}")
            drawn, asked = zip(*measure(address, path, options.rounds), strict=True)
            median, worst, slowest = statistics.median(drawn), max(drawn), max(asked)
            say(f"| {kind} | {path} | **{median:.2f}** | {worst:.2f} | {slowest:.2f} |")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print Markdown."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.console", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=default_folder())
    options = parser.parse_args(arguments)
    installation = prepare(options.folder)
    for line in look().to_lines():
        say(line)
    say(f"\n{options.rows:,} predictions over {DAYS} days; each page opened {options.rounds} times.\n")
    say("| store | page | drawn, median s | worst s | slowest question, worst s |\n|---|---|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as place:
        _tell("SQLite", installation, f"sqlite:///{place}/store.db", options)
    with running_server() as server:
        _tell("PostgreSQL", installation, server.make_database("console"), options)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
