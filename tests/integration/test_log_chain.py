"""The whole chain of the prediction log: workers that answer HTTP, shippers and a store, each killed under load.

Real processes of `gauntlet serve` and `gauntlet ship`. Afterwards every prediction that was answered is in the store
exactly once, and so is every outcome that was accepted.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa
from postgresql_toys import running_server
from serving_processes import Load, installation, is_alive, pids_of, wait_for
from serving_toys import CHECKOUT, FEATURES

from service.store import open_store, tables
from service.supervisor import supervised

pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads /proc")

SMALL_SEGMENTS = {"GAUNTLET_SPOOL_SEGMENT_BYTES": str(64 * 1024)}


def shipper_command(folder, url, *arguments):
    environment = {**os.environ, "GAUNTLET_STORE_URL": url}
    command = [sys.executable, "-m", "gauntlet", "ship", "--folder", str(folder.path), *arguments]
    return {"args": command, "cwd": CHECKOUT, "env": environment}


@contextlib.contextmanager
def shipper(folder, url):
    """`gauntlet ship`, killed at the end; gives the process and where its metrics are."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    log = (folder.path / "ship.log").open("ab")
    command = shipper_command(folder, url, "--metrics-port", str(port))
    with log, subprocess.Popen(**command, stdout=log, stderr=log) as process:
        try:
            yield process, f"http://127.0.0.1:{port}/metrics"
        finally:
            process.kill()


def shipped_by(process, metrics):
    """How many predictions a shipper says that it has moved."""
    assert process.poll() is None
    try:
        text = httpx.get(metrics, timeout=10).text
    except httpx.HTTPError:  # it has not begun
        return 0
    (line,) = [line for line in text.splitlines() if line.startswith('gauntlet_shipper_rows_total{kind="prediction"}')]
    return float(line.split()[-1])


def ship_the_rest(folder, url):
    done = subprocess.run(**shipper_command(folder, url, "--once"), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def ids_in(url, table):
    store = open_store(url)
    with store.reading() as connection:
        found = Counter(connection.execute(sa.select(table.c.prediction_id)).scalars())
    store.close()
    return found


class Truths:
    """Tells the outcome of what was answered, and remembers what was accepted."""

    def __init__(self, url, load):
        self.accepted = []
        self._url, self._load, self._told = url, load, 0

    def tell(self):
        """Of everything that was answered since the last time; what is not accepted is told the next time."""
        these = self._load.answered[self._told : self._told + 500]
        observed_at = datetime.now(UTC).isoformat()
        told = [{"prediction_id": one, "outcome": "Yes", "observed_at": observed_at} for one in these]
        with contextlib.suppress(httpx.HTTPError):
            response = httpx.post(f"{self._url}/v1/outcomes", json={"outcomes": told}, timeout=10)
            assert response.status_code == 202, response.text
            self.accepted += these
            self._told += len(these)


def kill(pid):
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not is_alive(pid))


def answer_and_kill(folder, url, *, rounds, kill_store=lambda: None):
    """Load on two workers while one of them, the shipper and the store die in each round; gives load and truths."""
    rng = random.Random(3)
    with supervised(folder, scoring_only=True, workers=2, scoring=SMALL_SEGMENTS) as server, Load(server.url) as load:
        truths = Truths(server.url, load)
        for _ in range(rounds):
            with shipper(folder, url) as (process, metrics):
                wait_for(lambda m=metrics, p=process: shipped_by(p, m) > 100, seconds=60)
                wait_for(lambda: len(pids_of(folder)) == 2)
                truths.tell()
                kill_store()
                kill(rng.choice(pids_of(folder)))
                before = len(load.answered)
                wait_for(lambda b=before: len(load.answered) > b + rng.randrange(300))
                process.kill()
        truths.tell()
    return load, truths


def check(folder, url, load, truths):
    ship_the_rest(folder, url)
    predictions, outcomes = ids_in(url, tables.predictions), ids_in(url, tables.outcomes)
    assert len(load.answered) == len(set(load.answered)) > 300
    assert {predictions[one] for one in load.answered} == {1}
    assert len(predictions) <= load.asked, "nothing that nobody asked for"
    assert len(truths.accepted) > 100
    assert {outcomes[one] for one in truths.accepted} == {1}
    assert set(outcomes) <= set(predictions)


def test_workers_and_shippers_killed_under_load_lose_and_double_nothing_that_was_answered(tmp_path):
    folder, _ = installation(tmp_path)
    check(folder, folder.store_url, *answer_and_kill(folder, folder.store_url, rounds=2))


@pytest.mark.servers
def test_workers_shippers_and_postgresql_killed_under_load_lose_and_double_nothing_that_was_answered(tmp_path):
    folder, _ = installation(tmp_path)
    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(running_server())
        except LookupError as e:
            pytest.skip(str(e))

        def kill_store():
            server.kill()
            server.start()

        url = server.make_database("chain")
        check(folder, url, *answer_and_kill(folder, url, rounds=4, kill_store=kill_store))


# ---- full disks


@pytest.fixture
def full_soon(tmp_path):
    """An installation whose spools lie on a real file system of 256 KiB."""
    folder, _ = installation(tmp_path / "home")
    folder.spool.mkdir()
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        pytest.skip("only root can mount a tmpfs")
    command = [mount, "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder.spool]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"a tmpfs cannot be mounted: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder.spool], check=True)


def ask(client):
    return client.post("/v1/score", json={"customer_id": "c", "features": FEATURES})


def lost(admin):
    text = httpx.get(f"{admin}/metrics", timeout=10).text
    (line,) = [line for line in text.splitlines() if line.startswith("gauntlet_spool_lost_total ")]
    return float(line.split()[-1])


def test_a_worker_on_a_full_disk_answers_counts_what_is_lost_and_recovers_once_it_is_shipped(full_soon):
    folder, answered = full_soon, []
    with (
        supervised(folder, scoring_only=True, scoring=SMALL_SEGMENTS) as server,
        httpx.Client(base_url=server.url, timeout=10) as client,
    ):

        def answer_some():
            answered.extend(ask(client).json()["prediction_id"] for _ in range(100))

        while lost(server.admin_url) == 0:
            answer_some()
        ready = client.get("/readyz")
        assert (ready.status_code, ready.text.partition(":")[0]) == (200, "degraded")
        for _ in range(2):  # the second one deletes what the first one has moved
            ship_the_rest(folder, folder.store_url)
        wait_for(lambda: client.get("/readyz").text == "ready\n")
        before = lost(server.admin_url)
        answer_some()
        assert lost(server.admin_url) == before > 0
    ship_the_rest(folder, folder.store_url)
    stored = ids_in(folder.store_url, tables.predictions)
    assert set(stored) < set(answered)
    assert len(answered) - len(stored) == before


def test_a_worker_that_must_log_refuses_on_a_full_disk_and_loses_nothing_that_it_answered(full_soon):
    folder, answered = full_soon, []
    scoring = {**SMALL_SEGMENTS, "GAUNTLET_SPOOL_WHEN_FULL": "refuse"}
    with (
        supervised(folder, scoring_only=True, scoring=scoring) as server,
        httpx.Client(base_url=server.url, timeout=10) as client,
    ):
        while (response := ask(client)).status_code == 200:
            answered.append(response.json()["prediction_id"])
        assert response.status_code == client.get("/readyz").status_code == 503
        for _ in range(2):
            ship_the_rest(folder, folder.store_url)
        wait_for(lambda: client.get("/readyz").status_code == 200)
        answered += [ask(client).json()["prediction_id"] for _ in range(20)]
    ship_the_rest(folder, folder.store_url)
    assert len(answered) > 100
    assert ids_in(folder.store_url, tables.predictions) == Counter(answered)
