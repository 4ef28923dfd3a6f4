"""Several scoring processes behind one port: killed, stopped and counted, with one set of metrics for all."""

import json
import math
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import httpx
import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families
from serving_processes import Load, installation, is_alive, pids_of, score, spooled, until_answered, wait_for
from serving_toys import CHECKOUT

from service.scoring.experiment import read_experiment, write_experiment
from service.supervisor import supervised, write_first_experiment

pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads /proc")


def metric(admin, name, **labels):
    """The sum of a metric's samples that have these labels, from whichever worker answers."""
    families = text_string_to_metric_families(httpx.get(f"{admin}/metrics", timeout=10).text)
    samples = [sample for family in families for sample in family.samples if sample.name == name]
    return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())


def ready_workers(admin):
    try:
        return metric(admin, "gauntlet_workers")
    except httpx.HTTPError:  # this connection's worker was killed
        return 0


def test_a_worker_that_is_killed_under_load_costs_its_own_connections_and_no_count(tmp_path):
    folder, _ = installation(tmp_path)
    with supervised(folder, scoring_only=True, workers=2) as server:
        url, admin = server.url, server.admin_url
        wait_for(lambda: ready_workers(admin) == 2)
        first, second = pids_of(folder)
        with Load(url) as load:
            wait_for(lambda: len(load.answered) > 200)
            os.kill(first, signal.SIGKILL)
            wait_for(lambda: len(pids_of(folder)) == 2 and first not in pids_of(folder))
            wait_for(lambda: ready_workers(admin) == 2)
            before = len(load.answered)
            wait_for(lambda: len(load.answered) > before + 200)
        assert second in pids_of(folder)
        assert set(load.failures) <= {"RemoteProtocolError", "ReadError", "WriteError"}
        assert sum(load.failures.values()) <= 6
        counted = metric(admin, "gauntlet_predictions_total")
        requests = metric(admin, "gauntlet_http_requests_total", route="/v1/score", status="200")
        rows = metric(admin, "gauntlet_feature_bin_total", model="toy:1", feature="senior")
        # A request is counted right behind its answer: one that the worker was giving when it was killed may not be.
        assert len(load.answered) - 1 <= requests <= counted <= load.asked
        assert len(load.answered) <= counted
        assert counted - 64 <= rows <= counted + 64
        wait_for(lambda: metric(admin, "gauntlet_worker_deaths_total") == 1)
    logged = Counter(json.loads(line)["prediction_id"] for line in spooled(folder))
    assert not Counter(load.answered) - logged
    assert {path.name for path in folder.spool.iterdir()} == {"scoring", "scoring-2"}


def test_a_worker_that_hangs_is_killed_and_started_again(tmp_path, monkeypatch):
    monkeypatch.setenv("GAUNTLET_HANG_SECONDS", "1")
    folder, _ = installation(tmp_path)
    with supervised(folder, scoring_only=True, workers=2) as server:
        admin = server.admin_url
        wait_for(lambda: ready_workers(admin) == 2)
        first, second = pids_of(folder)
        os.kill(first, signal.SIGSTOP)
        wait_for(lambda: not is_alive(first))
        wait_for(lambda: len(pids_of(folder)) == 2)
        assert second in pids_of(folder)
        wait_for(lambda: ready_workers(admin) == 2)
        wait_for(lambda: metric(admin, "gauntlet_worker_deaths_total") == 1)


def test_serving_outlives_a_damaged_counts_file_and_a_deleted_folder_and_still_sees_who_hangs(tmp_path, monkeypatch):
    monkeypatch.setenv("GAUNTLET_HANG_SECONDS", "1")
    folder, _ = installation(tmp_path)
    counters = folder.path / "counters"
    with supervised(folder, scoring_only=True, workers=2) as server:
        admin = server.admin_url
        wait_for(lambda: ready_workers(admin) == 2)
        with httpx.Client(base_url=server.url, timeout=30) as client:
            score(client, "before")
        own = (counters / "scoring.counts").read_bytes()
        (counters / "zzz.counts").write_bytes(own[:48] + struct.pack("d", math.nan) + own[56:])
        with (counters / "scoring-2.counts").open("r+b") as file:
            file.seek(48)
            file.write(struct.pack("d", math.inf))
        wait_for(lambda: ready_workers(admin) == 2)
        shutil.rmtree(counters)
        wait_for(lambda: ready_workers(admin) == 2 and len(list(counters.glob("*.counts"))) == 2)
        assert metric(admin, "gauntlet_predictions_total") == 1
        first, second = pids_of(folder)
        os.kill(first, signal.SIGSTOP)
        wait_for(lambda: not is_alive(first))
        wait_for(lambda: ready_workers(admin) == 2)
        assert second in pids_of(folder)


def test_a_worker_that_is_started_again_serves_by_what_the_others_serve_by(tmp_path):
    """The file went back, which those that run have refused: two workers must not serve by two files."""
    folder, _ = installation(tmp_path)
    write_first_experiment(folder, now=datetime.now(UTC))
    current = read_experiment(folder.experiment)
    write_experiment(folder.experiment, msgspec.structs.replace(current, revision=60))
    with supervised(folder, scoring_only=True, workers=2) as server:
        wait_for(lambda: ready_workers(server.admin_url) == 2)
        write_experiment(folder.experiment, msgspec.structs.replace(current, revision=3))
        wait_for(lambda: metric(server.admin_url, "gauntlet_experiment_file_valid") == 0)
        killed, _ = pids_of(folder)
        os.kill(killed, signal.SIGKILL)
        wait_for(lambda: not is_alive(killed))
        wait_for(lambda: ready_workers(server.admin_url) == 2)
        seen = {httpx.get(f"{server.url}/v1/experiment").json()["revision"] for _ in range(40)}
    assert seen == {60}
    with supervised(folder, scoring_only=True, workers=2) as server:  # as a whole it takes the file as it is
        assert httpx.get(f"{server.url}/v1/experiment").json()["revision"] == 3


def test_after_two_deaths_in_a_minute_challengers_are_left_out_and_it_shows(tmp_path):
    folder, _ = installation(tmp_path)
    with supervised(folder, scoring_only=True) as server:
        url, admin = server.url, server.admin_url
        for left_out in (0, 0, 1):
            until_answered(url)
            assert metric(admin, "gauntlet_challengers_left_out") == left_out
            (pid,) = pids_of(folder)
            os.kill(pid, signal.SIGKILL)
            wait_for(lambda pid=pid: not is_alive(pid))
    events = [json.loads(line) for line in (folder.path / "logs" / "scoring.log").read_text().splitlines()]
    left_out = [event for event in events if event["event"] == "challengers_left_out"]
    assert [event["deaths_in_a_minute"] for event in left_out][:1] == [2]


def test_where_no_worker_is_left_a_connection_waits_for_the_next_one(tmp_path):
    folder, _ = installation(tmp_path)
    with supervised(folder, scoring_only=True, workers=2) as server:
        url, admin = server.url, server.admin_url
        wait_for(lambda: ready_workers(admin) == 2)
        killed = pids_of(folder)
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not any(is_alive(pid) for pid in killed))
        with httpx.Client(base_url=url, timeout=30) as client:
            assert score(client, "waited")


@pytest.fixture
def container(tmp_path):
    """`python -m service.entry` as a container starts it, with two workers; its URL, its process and its log."""
    folder, _ = installation(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        port, admin_port = one.getsockname()[1], other.getsockname()[1]
    environment = {
        **os.environ,
        "GAUNTLET_FOLDER": str(folder.path),
        "GAUNTLET_BENTO": str(folder.bento),
        "GAUNTLET_PORT": str(port),
        "GAUNTLET_ADMIN_PORT": str(admin_port),
        "GAUNTLET_WORKERS": "2",
        "GAUNTLET_WORKER": "pod",
    }
    write_first_experiment(folder, now=datetime.now(UTC))
    log = tmp_path / "container.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "service.entry"], cwd=CHECKOUT, env=environment, stdout=output, stderr=output
        )
        try:
            url, admin = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{admin_port}"
            wait_for(lambda: ready_workers(admin) == 2, seconds=60)
            yield folder, url, process, log
        finally:
            process.kill()
            process.wait()


def test_a_container_with_several_workers_is_their_light_parent_and_ends_with_0(container):
    folder, url, process, log = container
    workers = pids_of(folder)
    assert len(workers) == 2
    maps = {pid: Path(f"/proc/{pid}/maps").read_text() for pid in (process.pid, *workers)}
    assert ["onnxruntime" in maps[pid] for pid in workers] == [True, True]
    assert not [word for word in ("onnxruntime", "sqlalchemy", "uvloop") if word in maps[process.pid]]
    with httpx.Client(base_url=url, timeout=10) as client:
        assert score(client, "a")
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert not any(is_alive(pid) for pid in workers)
    assert {path.name for path in folder.spool.iterdir()} == {"pod", "pod-2"}
    events = Counter(json.loads(line)["event"] for line in log.read_text().splitlines())
    assert events["scoring_started"] == events["scoring_stopped"] == 2
    assert not list((folder.path / "counters").glob("*.starts"))


def test_workers_end_with_the_container_process_that_started_them(container):
    folder, _, process, _ = container
    workers = pids_of(folder)
    process.kill()
    wait_for(lambda: not any(is_alive(pid) for pid in workers))
