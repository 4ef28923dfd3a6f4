"""How long each page of the console takes with 100,000 predictions in the store: `python -m tests.bench.console`.

All that `gauntlet serve --insight` starts is there. A page is drawn when Chromium shows every picture and table of it
with its numbers and has no question open; each time it is opened anew, with the browser's cache warm, as for somebody
who comes back to it. Beside it stands what the slowest of its questions took at the server. On SQLite and on
PostgreSQL; `--rows` changes how many predictions, `--rounds` how often a page is opened.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from service.ids import make_id
from service.micros import from_micros
from service.scoring.experiment import Experiment, read_experiment
from service.store import open_store, tables
from tests.bench.installation import Installation, default_folder, prepare
from tests.bench.ledger import count_rows
from tests.bench.machine import LOAD_CORE, SERVER_CORE, CannotMeasure, check, look, progress, say
from tests.bench.processes import ask, end_by_signals, free_port, serving
from tests.integration.postgresql_toys import running_server

DAY = 86_400_000_000
DAYS = 45
MATURES = 30 * DAY
_AT_ONCE = 10_000
_GAUNTLET = (sys.executable, "-m", "gauntlet")
PAGES = ("/customer", "/models", "/production", "/experiment", "/gate")
_LOOK_MS = 100
"""How often it is looked whether the page is drawn, which costs it time; when it was, the page itself wrote down."""
_WARMING = 3
"""Rounds that do not count: the first opens the store and fills the browser's cache, the next ones what it compiled."""
_PATIENCE_SECONDS = 90
_RESTS_MS = 300
"""A page that asks nothing more and changes nothing for so long is drawn; that it rested is not counted."""
_FORGETS_SECONDS = 5.5
"""So long nobody looks before a page is opened, so that the console keeps no answer from the round before."""
_TOLD = "drawn"
_LOOKS = """(told, rests, looks) => {
  window.asking = 0;
  window.changes = new Map();
  const ask = window.fetch;
  window.fetch = (...what) => { window.asking++; return ask(...what).finally(() => { window.asking--; }); };
  new MutationObserver(found => {
    const now = performance.now(), elementOf = node => (node.nodeType === 1 ? node : node.parentElement);
    for (const { type, target, addedNodes } of found) {
      for (const node of type === "childList" ? addedNodes : [target]) window.changes.set(elementOf(node), now);
    }
  }).observe(document, { childList: true, characterData: true, subtree: true });
  const all = what => [...document.querySelectorAll(what)];
  const look = () => {
    const isReady = !window.asking && document.querySelector(".page h1")
      && !all(".card > p.soft, .reading").some(p => p.textContent === "Reading …")
      && all(".picture:not([hidden])").every(p => p.querySelector(".main-svg"))
      && all(".grid").every(g => g.querySelector(".ag-row, .ag-overlay-wrapper:not(.ag-overlay-loading-wrapper)"));
    if (!isReady) return;
    const lastOf = found => Math.max(...found.map(([, at]) => at));
    const drawn = [...window.changes].filter(([part]) => part && document.body.contains(part));
    if (performance.now() - lastOf(drawn) < rests) return;
    const isSeen = ([part]) => {
      const { top, bottom } = part.getBoundingClientRect();
      return top < window.innerHeight && bottom > 0;
    };
    clearInterval(looking);
    console.debug(told, lastOf(drawn.filter(isSeen)), lastOf(drawn));
  };
  const looking = setInterval(look, looks);
}"""
_TELLS = f"({_LOOKS})({json.dumps(_TOLD)}, {_RESTS_MS}, {_LOOK_MS})"
"""Run in each page before its own scripts. That it is drawn a page tells by itself: what a browser's driver puts into
it to ask takes it a twentieth of a second."""
_WRONG = """() => [...document.querySelectorAll(".wrong:not([hidden])")].map(p => p.textContent).filter(t => t)"""


def fill(url: str, installation: Installation, rows: int, *, seed: int = 1) -> None:
    """Put predictions of the last 45 days into an empty store, nine in ten of those that matured with their truth."""
    rng, end = random.Random(seed), time.time_ns() // 1000
    store, experiment = open_store(url), read_experiment(installation.folder.experiment)
    store.make_partitions(set(), now=from_micros(end - DAYS * DAY))
    for start in range(0, rows, _AT_ONCE):
        numbers = range(start, min(rows, start + _AT_ONCE))
        ats = [(n, end - DAYS * DAY + n * DAYS * DAY // rows) for n in numbers]
        made = [_prediction(installation, experiment, rng, at, n) for n, at in ats]
        told = [_outcome(row, rng) for row in made if row["at"] < end - MATURES and rng.random() < 0.9]
        with store.writing() as connection:
            connection.execute(tables.predictions.insert(), made)
            if told:
                connection.execute(tables.outcomes.insert(), told)
    store.close()


def _prediction(
    installation: Installation, experiment: Experiment, rng: random.Random, at: int, number: int
) -> dict[str, Any]:
    who = rng.choice(installation.customers)
    beside = min(1.0, max(0.0, who.probability + rng.gauss(0, 0.05)))
    return {
        "prediction_id": make_id(at, rng.randbytes(8)),
        "at": at,
        "customer_id": f"{who.customer_id}-{number % 40}",
        "purpose": "live",
        "experiment": experiment.id,
        "revision": experiment.revision,
        "mode": experiment.mode,
        "split": experiment.split,
        "variant": "champion",
        "champion": experiment.champion,
        "challenger": experiment.challenger,
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
    """The service and a console, both of a store, while the block runs; gives the console's address."""
    folder, core = str(installation.folder.path), f"{SERVER_CORE},{LOAD_CORE}"
    scoring, looking = free_port(), free_port()
    environment = {"GAUNTLET_STORE_URL": url}
    served = [*_GAUNTLET, "serve", "--insight", "--folder", folder, "--port", str(scoring), "--admin-port", "0"]
    with ExitStack() as stack:
        log = installation.scratch / "console-serve.log"
        given = {"ready": "/readyz", "environment": environment, "core": core}
        service = stack.enter_context(serving(served, port=scoring, log=log, **given))
        shown = [*_GAUNTLET, "console", "--folder", folder, "--port", str(looking), "--service", service.url]
        log = installation.scratch / "console.log"
        found = stack.enter_context(serving(shown, port=looking, log=log, **given))
        _wait_for_insight(service.url, installation)
        yield found.url


def measure(address: str, path: str, rounds: int) -> Iterator[tuple[float, float, float]]:
    """Seconds until a screen is drawn, until all of the page is, and of its slowest question at the server."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium")
    if chromium is None:
        raise CannotMeasure("chromium must be installed")
    with tempfile.TemporaryDirectory() as profile, sync_playwright() as playwright:
        browser = playwright.chromium.launch_persistent_context(  # keeps compiled scripts, as people's browsers do
            profile, executable_path=chromium, args=["--no-sandbox"], viewport={"width": 1280, "height": 900}
        )
        browser.set_default_timeout(1000 * _PATIENCE_SECONDS)
        page = browser.new_page()
        page.add_init_script(_TELLS)
        took: list[float] = []
        page.on("requestfinished", lambda request: took.append(_waited(request)))
        for number in range(rounds + _WARMING):
            if number >= _WARMING:
                page.goto("about:blank")
                time.sleep(_FORGETS_SECONDS)
            took.clear()
            with page.expect_console_message(lambda said: said.text.startswith(f"{_TOLD} ")) as told:
                page.goto(address + path, wait_until="commit")
            seen, drawn = map(float, told.value.text.split()[1:])
            wrong = page.evaluate(_WRONG)
            if wrong:
                raise CannotMeasure(f"{path} says: {'; '.join(wrong)}")
            if number >= _WARMING:
                yield seen / 1000, drawn / 1000, max(took)
        browser.close()


def _waited(request: Any) -> float:
    """Seconds from a question's end to its answer's beginning; 0 for what is no question."""
    timing = request.timing
    return (timing["responseStart"] - timing["requestStart"]) / 1000 if "_dash-update" in request.url else 0.0


def _wait_for_insight(url: str, installation: Installation) -> None:
    """Until the page Customer finds somebody who explains."""
    until, body = time.monotonic() + _PATIENCE_SECONDS, {"features": installation.customers[0].features}
    while True:
        told = json.dumps(body).encode()
        status, said = ask(f"{url}/v1/explain", method="POST", body=told, headers={"content-type": "application/json"})
        if status == 200:
            return
        if time.monotonic() > until:
            raise CannotMeasure(f"nobody explains: {said[:300].decode(errors='replace')}")
        time.sleep(0.2)


def _tell(kind: str, installation: Installation, url: str, options: argparse.Namespace) -> None:
    progress(f"{options.rows:,} predictions into {kind}")
    fill(url, installation, options.rows)
    if kind == "PostgreSQL":
        count_rows(url)
    with console(installation, url) as address:
        for path in options.pages:
            progress(f"{path} on {kind}")
            seen, drawn, asked = zip(*measure(address, path, options.rounds), strict=True)
            shown, whole = statistics.median(seen), statistics.median(drawn)
            say(f"| {kind} | {path} | {shown:.2f} | {max(seen):.2f} | **{whole:.2f}** | {max(asked):.2f} |")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print Markdown."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.console", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=default_folder())
    parser.add_argument("--pages", nargs="+", default=list(PAGES), metavar="PATH", help="Default: all of them.")
    options = parser.parse_args(arguments)
    end_by_signals()
    check("taskset", "setpriv")
    os.environ.pop("MLFLOW_TRACKING_URI", None)  # everything stays in the folder
    installation = prepare(options.folder)
    for line in look().to_lines():
        say(line)
    say(f"\n{options.rows:,} predictions over {DAYS} days; each page opened {options.rounds} times.\n")
    say("| store | page | screen drawn, median s | worst s | whole page, median s | slowest question, worst s |")
    say("|---|---|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as place:
        _tell("SQLite", installation, f"sqlite:///{place}/store.db", options)
    with running_server() as server:
        _tell("PostgreSQL", installation, server.make_database("console"), options)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
