"""A whole installation of toys under traffic, and a real Prometheus that scrapes it by the committed rules."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import yaml
from serving_toys import artifact_of, bless, make_bento

from bentos.artifact import BlessedCheck
from bentos.folder import Folder
from service.observing import targets_of
from service.scoring.experiment import new_salt, read_experiment, set_split, start_shadow, write_experiment
from service.supervisor import Supervisor, supervised
from service.whereabouts import read_whereabouts

ROOT = Path(__file__).parents[2]
RULES = ROOT / "grafana" / "rules"
PROMETHEUS = shutil.which("prometheus")

POLICY = """
schema_version: 1
name: observed
metric: accuracy
claim: non_inferiority
margin: 0.02
alpha_promote: 0.05
alpha_rollback: 0.05
alpha_srm: 0.001
maturity_window: 1s
cohort: 1s
min_cohorts: 1
min_matured: 100
actions_follow_predictions: false
groups: [{attribute: senior, margin: 0.1, when_underpowered: report}]
limits: {challenger_error_share: 0.5, latency_p99_ratio: 1000, positive_share_change: 0.99, min_requests: 20}
"""
"""A second for a cohort and a second for its truths, so that evidence is there while a test waits."""

CHECK = BlessedCheck(name="accuracy", value=0.8, low=0.78, high=0.82, bound=0.75)
"""What the gate is said to have measured."""


@contextmanager
def serving_under_traffic(path: Path) -> Iterator[tuple[Folder, Supervisor]]:
    """A champion and a challenger in a split, two workers, shipper and judge, asked and told truths all the time."""
    folder, digests = Folder(path), make_bento(path / "packed", (0.25, 0.7), slope=0.008)
    folder.bento.symlink_to(path / "packed")
    for digest in digests:
        bless(artifact_of(folder.bento.resolve(), digest), now=datetime.now(UTC), checks=[CHECK])
    folder.policy.write_text(POLICY)
    with supervised(folder, workers=2, policy=folder.policy, scoring={"GAUNTLET_AUTHENTICATION": "off"}) as supervisor:
        now = datetime.now(UTC)
        first = read_experiment(folder.experiment)
        shadow = start_shadow(first, digests[1], now=now, salt=new_salt(), lead=timedelta(0))
        write_experiment(folder.experiment, set_split(shadow, 0.5, now=now, lead=timedelta(0)))
        with Traffic(supervisor.url):
            yield folder, supervisor


class Traffic:
    """One client that asks for customers of every kind, tells their truths, and makes a mistake now and then."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> Traffic:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _ask(self) -> None:
        rng = random.Random(7)
        with httpx.Client(base_url=self._url, timeout=30) as client:
            while not self._over.is_set():
                self._round(client, rng)
                time.sleep(0.05)

    def _round(self, client: httpx.Client, rng: random.Random) -> None:
        rows = [{"customer_id": f"c{rng.randrange(10**9)}", "features": _customer(rng)} for _ in range(20)]
        singles = [client.post("/v1/score", json=row).json() for row in rows[:5]]
        batch = client.post("/v1/score/batch", json={"rows": rows[5:]}).json()
        answers = [*singles, *batch.get("predictions", batch.get("rows", []))]
        client.post("/v1/score", json={"features": {"tenure": "nonsense"}})
        told = [_outcome(answer, rng) for answer in answers if "prediction_id" in answer]
        client.post("/v1/outcomes", json={"outcomes": told}).raise_for_status()


def _customer(rng: random.Random) -> dict[str, object]:
    return {
        "tenure": rng.randrange(73),
        "charges": rng.choice([None, rng.uniform(20, 110)]),
        "contract": rng.choice(["Month-to-month", "One year", "Two year", "Weekly"]),
        "senior": rng.randrange(2),
    }


def _outcome(answer: dict[str, object], rng: random.Random) -> dict[str, object]:
    now = datetime.now(UTC).isoformat()
    return {"prediction_id": answer["prediction_id"], "outcome": rng.choice(["Yes", "No", "No"]), "observed_at": now}


def write_configuration(path: Path, folder: Folder, rules: Path) -> Path:
    """A Prometheus's configuration: everything of the folder's service, every second, by rules as often."""
    jobs = targets_of(read_whereabouts(folder.serving))
    content = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [f"{rules}/*.yaml"],
        "scrape_configs": [{"job_name": "gauntlet", "static_configs": jobs}],
    }
    path.write_text(yaml.safe_dump(content))
    return path


def hurried_rules(place: Path, files: Sequence[Path]) -> Path:
    """The committed rules, evaluated every second: everything else about them is as it is."""
    place.mkdir()
    for file in files:
        (place / file.name).write_text(re.sub(r"(?m)^(\s*interval:) \w+$", r"\1 1s", file.read_text()))
    return place


@contextmanager
def prometheus(place: Path, configuration: Path, port: int) -> Iterator[httpx.Client]:
    """The real program; gives a client of it once it is ready."""
    command = [
        str(PROMETHEUS),
        f"--config.file={configuration}",
        f"--storage.tsdb.path={place / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--enable-feature=exemplar-storage",
    ]
    with (place / "prometheus.log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
                _await_ready(client, process, place / "prometheus.log")
                yield client
        finally:
            process.terminate()
            process.wait(60)


def _await_ready(client: httpx.Client, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        try:
            if client.get("/-/ready").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError(log.read_text()[-3000:])


def asked(client: httpx.Client, expression: str) -> list[dict[str, object]]:
    """The samples that an expression gives now."""
    answer = client.get("/api/v1/query", params={"query": expression}).json()
    assert answer["status"] == "success", f"{expression}: {answer.get('error')}"
    found: list[dict[str, object]] = answer["data"]["result"]
    return found
