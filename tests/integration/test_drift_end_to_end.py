"""Drift that comes in over HTTP is told by a real Prometheus and Alertmanager: the right alerts, and no other.

The rules are all that are committed; drift's have windows of seconds here, and all are looked at as often. Routes and
inhibition are the committed ones too.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest
import yaml
from drift_toys import customers
from observed_toys import RULES, hurried_rules
from serving_processes import wait_for
from serving_toys import REFERENCE, artifact_of, bless, make_bento

from bentos.folder import Folder
from grafana.drift import DriftSettings, rules_text
from grafana.drift.settings import Window
from service.observing import targets_of
from service.supervisor import supervised
from service.whereabouts import read_whereabouts

PROGRAMS = {name: shutil.which(name) for name in ("prometheus", "alertmanager")}
ROUTES = RULES.parent / "alertmanager.yaml"
WINDOW = 20
ROWS = 40
"""Every half second: 1,600 in a window."""

pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(None in PROGRAMS.values(), reason="prometheus and alertmanager are not both on PATH"),
]

_TRAINED = tuple(msgspec.structs.replace(one, counts=tuple(1000 * n for n in one.counts)) for one in REFERENCE.features)
_SCORE = msgspec.structs.replace(REFERENCE.score, counts=(70_000, 30_000, 0), mean=0.272)
TRAINED = msgspec.structs.replace(REFERENCE, n=100_000, features=_TRAINED, score=_SCORE)
"""The toys' training for a model that answers .1 and .01 more for each month of tenure, of `customers`."""


class Traffic:
    """Customers as in training, or as `changed` makes them, until the end."""

    def __init__(self, url: str) -> None:
        self.changed: dict[str, Any] = {}
        self._url, self._over, self._number = url, threading.Event(), 0
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> Traffic:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _ask(self) -> None:
        rng = np.random.default_rng(0)
        with httpx.Client(base_url=self._url, timeout=30) as client:
            while not self._over.wait(0.5):
                rows = [{"customer_id": self._next(), "features": {**c, **self.changed}} for c in customers(ROWS, rng)]
                response = client.post("/v1/score/batch", json={"rows": rows})
                assert response.status_code == 200, response.text

    def _next(self) -> str:
        self._number += 1
        return f"c{self._number}"


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Traffic, httpx.Client]]:
    """A serving installation under traffic, and Alertmanager's API."""
    path = tmp_path_factory.mktemp("watched")
    (champion,) = make_bento(path / "packed", [0.1], slope=0.01, reference=TRAINED)
    folder = Folder(path)
    folder.bento.symlink_to(path / "packed")
    bless(artifact_of(folder.bento.resolve(), champion), now=datetime.now(UTC))
    with (
        supervised(folder) as served,
        alertmanager(path) as alerts,
        prometheus(path, folder, alerts),
        Traffic(served.url) as traffic,
        httpx.Client(base_url=alerts, timeout=30) as client,
    ):
        yield traffic, client


@contextmanager
def alertmanager(path: Path) -> Iterator[str]:
    address = f"127.0.0.1:{free_port()}"
    arguments = [f"--config.file={ROUTES}", f"--storage.path={path / 'alerts'}", f"--web.listen-address={address}"]
    with running("alertmanager", [*arguments, "--cluster.listen-address="], f"http://{address}/-/ready"):
        yield f"http://{address}"


@contextmanager
def prometheus(path: Path, folder: Folder, alerts: str) -> Iterator[None]:
    rules = hurried_rules(path / "rules", [file for file in RULES.glob("*.yaml") if file.stem != "drift"])
    settings = DriftSettings(base=Window(f"{WINDOW}s", "4s"), longer=(), interval="2s")
    (rules / "drift.yaml").write_text(rules_text(settings))
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "2s"},
        "rule_files": [f"{rules}/*.yaml"],
        "scrape_configs": [
            {"job_name": "gauntlet", "static_configs": targets_of(read_whereabouts(folder.serving))},
        ],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alerts.split("//")[1]]}]}]},
    }
    (path / "prometheus.yaml").write_text(yaml.safe_dump(config))
    address = f"127.0.0.1:{free_port()}"
    arguments = [f"--config.file={path / 'prometheus.yaml'}", f"--storage.tsdb.path={path / 'tsdb'}"]
    with running("prometheus", [*arguments, f"--web.listen-address={address}"], f"http://{address}/-/ready"):
        groups = httpx.get(f"http://{address}/api/v1/rules", timeout=30).json()["data"]["groups"]
        assert {Path(group["file"]).name for group in groups} == {file.name for file in RULES.glob("*.yaml")}
        yield


@contextmanager
def running(program: str, arguments: list[str], ready: str) -> Iterator[None]:
    process = subprocess.Popen(
        [str(PROGRAMS[program]), *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for(lambda: answers(ready), seconds=60)
        yield
    finally:
        process.terminate()
        process.wait(30)


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def told(client: httpx.Client) -> set[tuple[str, str]]:
    """Alerts that Alertmanager holds: name and feature."""
    labels = [alert["labels"] for alert in client.get("/api/v2/alerts", params={"inhibited": "true"}).json()]
    assert {one["model"] for one in labels if "model" in one} <= {"toy:1"}
    return {(one["alertname"], one.get("feature", "")) for one in labels}


OLDER = {("GauntletFeatureDrift", "tenure"), ("GauntletScoreDrift", ""), ("GauntletScoreMeanMoved", "")}
DEARER = {("GauntletFeatureDrift", "charges")}
ZEROS = OLDER | DEARER


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        pytest.param({"tenure": 40}, OLDER, id="older customers"),
        pytest.param({"charges": 95.5}, DEARER, id="a price rise"),
        pytest.param({"tenure": 0, "charges": 0.0}, ZEROS, id="an upstream that sends zeros"),
        pytest.param(
            {"charges": None}, DEARER | {("GauntletMissingValues", "charges")}, id="an upstream that sends nothing"
        ),
    ],
)
def test_drift_over_http_raises_the_right_alerts_and_no_other(
    watched: tuple[Traffic, httpx.Client], changed: dict[str, Any], expected: set[tuple[str, str]]
) -> None:
    traffic, client = watched
    time.sleep(WINDOW)  # a window of customers as in training
    wait_for(lambda: told(client) == set(), seconds=120)
    traffic.changed = changed
    seen: set[tuple[str, str]] = set()

    def are_all_told() -> bool:
        seen.update(told(client))
        return seen >= expected

    try:
        wait_for(are_all_told, seconds=120)
        time.sleep(WINDOW)
        assert seen | told(client) == expected
    finally:
        traffic.changed = {}
