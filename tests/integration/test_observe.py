"""`gauntlet observe` beside a running service: Prometheus scrapes all of it, and alerts reach Alertmanager."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa
from observed_toys import PROMETHEUS, RULES, asked
from packing_toys import free_port
from serving_processes import installation, score, wait_for

from bentos.folder import Folder
from service import metric_names as names
from service.store import tables
from service.store.connection import open_store
from service.supervisor import supervised

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(
        not PROMETHEUS or not shutil.which("alertmanager"), reason="prometheus or alertmanager is missing"
    ),
]


@contextmanager
def observing(folder: Folder, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], httpx.Client]]:
    port, alerts = free_port(), free_port()
    options = ("--port", str(port), "--alertmanager-port", str(alerts), *arguments)
    command = [sys.executable, "-m", "gauntlet", "observe", "--folder", str(folder.path), *options]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
                assert process.stderr is not None
                assert f"http://127.0.0.1:{port}/alerts" in process.stderr.readline()
                yield process, client
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(90)


def up(client: httpx.Client) -> dict[str, str]:
    """Which processes were scraped, and whether they answered."""
    return {str(one["metric"]["container"]): str(one["value"][1]) for one in asked(client, "up")}  # type: ignore[index,call-overload]


def test_everything_that_serve_starts_is_scraped_by_all_rules_even_when_it_starts_anew(tmp_path: Path) -> None:
    folder, _ = installation(tmp_path)
    with ExitStack() as first:
        served = first.enter_context(supervised(folder))
        with httpx.Client(base_url=served.url, timeout=30) as client:
            score(client, "a")
        with observing(folder) as (process, prometheus):
            wait_for(lambda: set(up(prometheus).values()) == {"1"} and len(up(prometheus)) == 3, seconds=60)
            groups = prometheus.get("/api/v1/rules").json()["data"]["groups"]
            assert {Path(group["file"]).name for group in groups} == {path.name for path in RULES.glob("*.yaml")}
            assert len(prometheus.get("/api/v1/alertmanagers").json()["data"]["activeAlertmanagers"]) == 1
            first.close()
            with supervised(folder) as second:
                place = second.admin_url.removeprefix("http://")
                wait_for(lambda: asked(prometheus, f'up{{instance="{place}"}} == 1') != [], seconds=60)
            process.send_signal(signal.SIGTERM)
            assert process.wait(90) == 0


def exemplars(client: httpx.Client, began: float) -> list[dict[str, object]]:
    """What a panel of scoring's latency would show beside its lines."""
    asked_for = {
        "query": f'rate({names.REQUEST_SECONDS}_bucket{{route="/v1/score"}}[1m])',
        "start": str(began),
        "end": str(time.time() + 1),
    }
    answer = client.get("/api/v1/query_exemplars", params=asked_for).json()
    assert answer["status"] == "success", answer
    return [one for series in answer["data"] for one in series["exemplars"]]


def stored(folder: Folder) -> set[str]:
    store = open_store(folder.store_url)
    try:
        with store.reading() as connection:
            return set(connection.scalars(sa.select(tables.predictions.c.prediction_id)))
    finally:
        store.close()


def test_a_bucket_leads_to_a_prediction_that_was_answered_and_is_in_the_store(tmp_path: Path) -> None:
    folder, _ = installation(tmp_path)
    with supervised(folder, workers=2) as served, observing(folder) as (_, prometheus):
        began, answered = time.time(), set()

        def is_shown() -> bool:
            with httpx.Client(base_url=served.url, timeout=30) as client:  # another connection, another worker
                answered.add(score(client, f"c{len(answered)}")["prediction_id"])
            time.sleep(0.1)
            return len(exemplars(prometheus, began)) > 1

        wait_for(is_shown, seconds=90)
        found = exemplars(prometheus, began)
        assert {tuple(one["labels"]) for one in found} == {("prediction_id",)}  # type: ignore[arg-type]
        assert {one["labels"]["prediction_id"] for one in found} <= answered  # type: ignore[index]
        assert all(began < float(str(one["timestamp"])) < time.time() for one in found)
        wait_for(lambda: answered <= stored(folder), seconds=60)


def observe(folder: Folder, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gauntlet", "observe", "--folder", str(folder.path), *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def test_a_port_in_use_is_named_with_the_option_that_chooses_another(tmp_path: Path) -> None:
    folder, _ = installation(tmp_path)
    with supervised(folder, scoring_only=True) as found:
        port, free = found.url.rpartition(":")[2], str(free_port())
        for flags in (("--port", "--alertmanager-port"), ("--alertmanager-port", "--port")):
            done = observe(folder, flags[0], port, flags[1], free)
            assert done.returncode == 2
            assert f"port {port} of 127.0.0.1 cannot be had (Address already in use)" in done.stderr
            assert done.stderr.strip().endswith(f"choose another with {flags[0]}")


def test_a_second_one_in_the_folder_is_told_of_the_first_and_leaves_its_files_alone(tmp_path: Path) -> None:
    folder, _ = installation(tmp_path)
    with supervised(folder, scoring_only=True), observing(folder) as (_, prometheus):
        place = folder.path / "observing"
        before = (place / "prometheus.yaml").read_text(), (place / "prometheus.log").stat().st_ino
        done = observe(folder, "--port", str(free_port()), "--alertmanager-port", str(free_port()))
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
        assert f"another `gauntlet observe` runs in {place}" in done.stderr
        assert before == ((place / "prometheus.yaml").read_text(), (place / "prometheus.log").stat().st_ino)
        assert (place / "prometheus.log").read_text() != ""
        assert prometheus.get("/-/ready").status_code == 200


def test_who_serves_nothing_is_told_to_serve(tmp_path: Path) -> None:
    done = observe(Folder(tmp_path / "mistyped"))
    assert (done.returncode, "gauntlet serve" in done.stderr) == (2, True)
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
