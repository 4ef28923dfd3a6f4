"""Replicas of one installation, clients that write down what they were answered, and a Prometheus that scrapes all."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import yaml
from observed_toys import ROOT, asked
from packing_toys import free_port
from serving_processes import pids_of, wait_for
from serving_toys import artifact_of, bless, make_bento

from bentos.folder import Folder
from service.scoring.experiment import new_salt, read_experiment, set_split, start_shadow, write_experiment
from service.supervisor import write_first_experiment

WORKERS = 2
CLIENTS = 2
"""Of each replica at the same time."""

SCORES = 6
ALLOWED_ROWS = 4
"""Of the rows of a batch: one more is not allowed, and is named in its place."""

IN_A_ROUND = {
    ("/v1/score", "POST", "200"): SCORES,
    ("/v1/score", "POST", "422"): 1,
    ("/v1/score/batch", "POST", "200"): 1,
    ("/v1/outcomes", "POST", "202"): 1,
    ("/v1/experiment", "GET", "200"): 1,
    ("unmatched", "GET", "404"): 1,
    ("/v1/score", "GET", "405"): 1,
}
"""What a client asks, by route, method and the status of the answer."""


class Replica:
    """One `gauntlet serve`, at an address that it keeps over restarts; a new disk is a new pod's.

    Attributes:
        name: Its `pod` label.
        life: How often it was started.
        url: Where it answers clients.
        admin: `host:port` of its metrics.
    """

    def __init__(self, name: str, model: Folder) -> None:
        self.name, self.life = name, 0
        self._process: subprocess.Popen[bytes] | None = None
        self._model, self._port, admin_port = model, free_port(), free_port()
        self.url, self.admin = f"http://127.0.0.1:{self._port}", f"127.0.0.1:{admin_port}"

    def start(self) -> None:
        """Start it on a new disk, and do not wait."""
        self.life += 1
        self._folder = Folder(self._model.path.parent / f"{self.name}-{self.life}")
        self._folder.path.mkdir()
        self._folder.bento.symlink_to(self._model.bento.resolve())
        shutil.copy(self._model.experiment, self._folder.experiment)
        ports = ("--port", str(self._port), "--admin-port", self.admin.rpartition(":")[2])
        command = [sys.executable, "-m", "gauntlet", "serve", "--only", "scoring", "--workers", str(WORKERS), *ports]
        with (self._folder.path / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [*command, "--folder", str(self._folder.path)], cwd=ROOT, stdout=log, stderr=log
            )

    def await_ready(self) -> None:
        """Wait until both workers can be asked."""
        wait_for(self._is_ready, seconds=60)

    def kill_worker(self) -> None:
        """Kill one worker, and wait until another has its place."""
        killed = pids_of(self._folder)[0]
        os.kill(killed, signal.SIGKILL)
        wait_for(lambda: len(set(pids_of(self._folder)) - {killed}) == WORKERS)
        self.await_ready()

    def end(self) -> int:
        """Tell it to stop; gives its exit code."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(60)

    def kill(self) -> None:
        """Kill all of it, the parent first, so that nobody starts anybody again; may be called twice."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        for pid in pids_of(self._folder):
            with suppress(ProcessLookupError):  # it ended with its parent
                os.kill(pid, signal.SIGKILL)

    def workers_that_logged(self) -> int:
        """How many workers have answered a row."""
        return len({path.parent for path in self._folder.spool.glob("*/*.jsonl") if path.stat().st_size})

    def _is_ready(self) -> bool:
        try:
            answer = httpx.get(f"http://{self.admin}/metrics", timeout=10)
        except httpx.TransportError:
            return False
        lines = answer.text.splitlines()
        return f"gauntlet_workers {float(WORKERS)!r}" in lines and "gauntlet_ready 1.0" in lines


@contextmanager
def replicas_of_one_installation(place: Path, names: str) -> Iterator[list[Replica]]:
    """So many replicas of a champion and a challenger in a split, each by its own copy of the experiment file."""
    digests = make_bento(place / "packed", (0.25, 0.7), slope=0.008)
    model, now = Folder(place / "installation"), datetime.now(UTC)
    model.path.mkdir()
    model.bento.symlink_to(place / "packed")
    for digest in digests:
        bless(artifact_of(place / "packed", digest), now=now)
    write_first_experiment(model, now=now)
    shadow = start_shadow(read_experiment(model.experiment), digests[1], now=now, salt=new_salt(), lead=timedelta(0))
    write_experiment(model.experiment, set_split(shadow, 0.5, now=now, lead=timedelta(0)))
    found = [Replica(name, model) for name in names]
    try:
        for replica in found:
            replica.start()
        for replica in found:
            replica.await_ready()
        yield found
    finally:
        for replica in found:
            replica.kill()


def write_scraping(path: Path, replicas: Sequence[Replica], rules: Path) -> Path:
    """The configuration of a Prometheus that scrapes all replicas every second, with the labels that pods have."""
    usual = {"namespace": "n", "app_kubernetes_io_component": "scoring", "container": "scoring"}
    targets = [{"targets": [one.admin], "labels": {**usual, "pod": one.name}} for one in replicas]
    content = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [f"{rules}/*.yaml"],
        "scrape_configs": [{"job_name": "gauntlet", "static_configs": targets}],
    }
    path.write_text(yaml.safe_dump(content))
    return path


@dataclass(frozen=True)
class Entry:
    """One request as its client knows it.

    Attributes:
        replica: Who was asked.
        life: In which of its lives.
        key: Route, method and status; the status is empty where no answer came.
        ended: When the answer was there, seconds since 1970.
        rows: Variant, model and label of each prediction in it.
        outcomes: How many were accepted.
    """

    replica: str
    life: int
    key: tuple[str, str, str]
    ended: float
    rows: tuple[tuple[str, str, str], ...] = ()
    outcomes: int = 0


@dataclass
class Book:
    """What all clients were answered.

    Attributes:
        entries: In no order.
    """

    entries: list[Entry] = field(default_factory=list)

    def of(self, replica: str = "", life: int = 0, *, until: float = float("inf")) -> list[Entry]:
        """What was answered, by whom it was asked, in one life or in all."""
        return [
            one
            for one in self.entries
            if one.key[2] and replica in ("", one.replica) and life in (0, one.life) and one.ended <= until
        ]

    def failed(self, replica: str) -> int:
        """How often no answer came."""
        return sum(one.replica == replica and not one.key[2] for one in self.entries)


def requests_in(entries: Sequence[Entry]) -> Counter[tuple[str, str, str]]:
    """How many by route, method and status."""
    return Counter(one.key for one in entries)


def rows_in(entries: Sequence[Entry]) -> Counter[tuple[str, str, str]]:
    """How many predictions by variant, model and label."""
    return Counter(row for one in entries for row in one.rows)


class Clients:
    """Some who ask a replica one thing after the other, in rounds, each round on a connection of its own.

    While a `with` block runs they ask on; `ask` gives each so many rounds.
    """

    def __init__(self, book: Book, *replicas: Replica) -> None:
        self._book, self._over = book, threading.Event()
        self._replicas = [one for one in replicas for _ in range(CLIENTS)]
        self._threads: list[threading.Thread] = []

    def ask(self, rounds: int) -> None:
        """Ask so many rounds, and wait for the last answer."""
        self._start(rounds)
        self._join()

    def __enter__(self) -> Clients:
        self._start(10**9)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._join()

    def _start(self, rounds: int) -> None:
        self._threads = [
            threading.Thread(target=self._work, args=(one, rounds, seed)) for seed, one in enumerate(self._replicas)
        ]
        for thread in self._threads:
            thread.start()

    def _join(self) -> None:
        for thread in self._threads:
            thread.join()

    def _work(self, replica: Replica, rounds: int, seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(rounds):
            if self._over.is_set():
                return
            with httpx.Client(base_url=replica.url, timeout=30) as client:
                try:
                    _ask_round(_Asker(client, self._book, replica), rng)
                except httpx.TransportError:
                    time.sleep(0.02)


@dataclass
class _Asker:
    client: httpx.Client
    book: Book
    replica: Replica

    def ask(self, method: str, route: str, body: object = None, *, path: str | None = None) -> dict[str, Any]:
        """Ask one thing and write down what came of it."""
        try:
            answer = self.client.request(method, path or route, json=body)
        except httpx.TransportError:
            self._note((route, method, ""))
            raise
        told = answer.json()
        rows = told.get("predictions", [told])
        scored = tuple(
            (one["variant"], f"{one['model']['name']}:{one['model']['version']}", one["label"])
            for one in rows
            if "prediction_id" in one
        )
        accepted = told["accepted"] if route == "/v1/outcomes" else 0
        self._note((route, method, str(answer.status_code)), scored, accepted)
        return told

    def _note(self, key: tuple[str, str, str], rows: tuple[tuple[str, str, str], ...] = (), outcomes: int = 0) -> None:
        replica = self.replica
        self.book.entries.append(Entry(replica.name, replica.life, key, time.time(), rows, outcomes))


def _ask_round(asker: _Asker, rng: random.Random) -> None:
    """Ask what `IN_A_ROUND` says, and tell what came of those who were scored."""
    told = [asker.ask("POST", "/v1/score", _row(rng)) for _ in range(SCORES)]
    asker.ask("POST", "/v1/score", {"features": {"tenure": "nonsense"}})
    rows = [*(_row(rng) for _ in range(ALLOWED_ROWS)), {"features": {}}]
    told += asker.ask("POST", "/v1/score/batch", {"rows": rows})["predictions"]
    now = datetime.now(UTC).isoformat()
    ids = [one["prediction_id"] for one in told if "prediction_id" in one]
    truths = [{"prediction_id": one, "outcome": rng.choice(["Yes", "No"]), "observed_at": now} for one in ids]
    asker.ask("POST", "/v1/outcomes", {"outcomes": truths})
    asker.ask("GET", "/v1/experiment")
    asker.ask("GET", "unmatched", path="/nowhere")
    asker.ask("GET", "/v1/score")


def _row(rng: random.Random) -> dict[str, Any]:
    features = {
        "tenure": rng.randrange(73),
        "charges": rng.choice([None, rng.uniform(20, 110)]),
        "contract": rng.choice(["Month-to-month", "One year", "Two year"]),
        "senior": rng.randrange(2),
    }
    return {"customer_id": f"c{rng.randrange(10**9)}", "features": features}


def await_scrape(client: httpx.Client, *replicas: Replica) -> None:
    """Wait until all that was answered by now is in Prometheus: counted right behind its answer, and scraped then."""
    since = time.time() + 1.0
    for replica in replicas:
        newest = f'timestamp(gauntlet_ready{{pod="{replica.name}"}}) > {since!r}'
        wait_for(lambda newest=newest: asked(client, newest) != [], seconds=60)
