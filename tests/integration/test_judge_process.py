"""The judge and the shipper as processes of their own: they answer, stop when told, and leave nothing behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from serving_processes import installation, wait_for

from bentos.errors import InvalidPolicy, InvalidSetting
from bentos.folder import Folder
from service.prediction_log.records import Outcome
from service.prediction_log.spool import Spool
from service.scoring.experiment import first_experiment, read_experiment, start_shadow, write_experiment
from service.store import open_store, tables
from service.supervisor import supervised
from validation.judge.process import run_judge

POLICIES = Path(__file__).parents[2] / "validation" / "policies"
ROOT = Path(__file__).parents[2]

RUN_JUDGE = """
import sys
from pathlib import Path
from bentos.folder import Folder
from service.store import open_store
from validation.judge.process import run_judge
folder = Folder(Path(sys.argv[1]))
store, policy = open_store(folder.store_url), Path(sys.argv[2])
run_judge(folder, store=store, policy_path=policy, host="127.0.0.1", port=int(sys.argv[3]), interval_seconds=0.2)
"""
RUN_SHIPPER = """
import sys
from pathlib import Path
from bentos.folder import Folder
from service.prediction_log.shipper import run_shipper
from service.store import open_store
folder = Folder(Path(sys.argv[1]))
port = int(sys.argv[3]) if sys.argv[3:] else None
run_shipper(folder.spool, open_store(folder.store_url), interval_seconds=float(sys.argv[2]), metrics_port=port)
"""


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def listens(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], cwd=ROOT, stderr=subprocess.PIPE, text=True
    )


def stop(process: subprocess.Popen[str]) -> tuple[int, str]:
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    return process.returncode, errors


def get(port: int, path: str) -> tuple[int, dict]:
    """Ask until somebody answers; a judge that has not looked yet is asked again."""
    for _ in range(600):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as e:
            body = json.load(e)
            if "not looked yet" not in body.get("detail", ""):
                return e.code, body
        except (urllib.error.URLError, ConnectionError):
            pass
        time.sleep(0.1)
    raise AssertionError(f"nobody answered on port {port}")


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)


def put_on_trial(folder):
    alone = first_experiment("sha256:" + "a" * 64, now=datetime(2026, 1, 1, tzinfo=UTC))
    trial = start_shadow(
        alone,
        "sha256:" + "b" * 64,
        now=alone.effective_from,
        salt="s",
        lead=alone.effective_from - alone.effective_from,
    )
    write_experiment(folder.experiment, trial)
    return trial


def test_the_judge_says_when_there_is_no_experiment_answers_for_the_one_it_finds_later_and_stops_when_told(folder):
    port = free_port()
    process = start(RUN_JUDGE, folder.path, POLICIES / "online.yaml", port)
    try:
        early, problem = get(port, "/v1/experiment")
        trial = put_on_trial(folder)
        for _ in range(100):
            code, said = get(port, "/v1/experiment")
            if code == 200:
                break
            time.sleep(0.1)
        missing, nowhere = get(port, "/nowhere")
    finally:
        returned, errors = stop(process)
    assert (early, "experiment file" in problem["detail"]) == (503, True)
    assert (code, said["experiment"], said["mode"], said["revision"]) == (200, trial.id, "shadow", 2)
    assert said["verdict"]["verdict"] == "KEEP_COLLECTING"
    assert (missing, nowhere["status"]) == (404, 404)
    assert returned == 0
    assert errors.splitlines() == ["no_verdict", "contract_not_read"]  # there is no Bento, and nobody who scores


def test_a_judge_without_models_has_the_contract_from_scoring_which_may_come_later(tmp_path):
    """As on a cluster: it has a folder of its own, and is there before anybody scores."""
    site, _ = installation(tmp_path / "site")
    apart, port, admin = Folder(tmp_path / "apart"), free_port(), free_port()
    put_on_trial(apart)
    given = ("--port", port, "--scoring", f"http://127.0.0.1:{admin}", "--folder", apart.path)
    command = [sys.executable, "gauntlet.py", "judge", *map(str, given)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as judge:
        try:
            await_sample(port, "gauntlet_judge_contract_known 0.0")
            with supervised(site, scoring_only=True, admin_port=admin):
                champion = read_experiment(site.experiment).champion
                write_experiment(apart.experiment, first_experiment(champion, now=datetime(2026, 1, 1, tzinfo=UTC)))
                await_sample(port, "gauntlet_judge_contract_known 1.0")
        finally:
            returned, errors = stop(judge)
    reasons = [one["reason"] for one in map(json.loads, errors.splitlines()) if one["event"] == "contract_not_read"]
    assert returned == 0
    assert f"scoring does not tell its models' contracts at http://127.0.0.1:{admin}/contracts" in reasons[0]


def await_sample(port, line):
    wait_for(lambda: line in metrics_of(port).splitlines(), seconds=180)


def metrics_of(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            return answer.read().decode()
    except OSError:
        return ""


def test_a_port_in_use_is_said_in_one_sentence(folder):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        store = open_store(folder.store_url)
        with pytest.raises(InvalidSetting, match=f"port {port}"):
            run_judge(folder, store=store, policy_path=POLICIES / "online.yaml", host="127.0.0.1", port=port)
        store.close()


def test_a_policy_that_cannot_be_judged_by_keeps_the_judge_from_starting(folder, tmp_path):
    (tmp_path / "bad.yaml").write_text("metric: everything")
    store = open_store(folder.store_url)
    with pytest.raises(InvalidPolicy, match=r"bad\.yaml"):
        run_judge(folder, store=store, policy_path=tmp_path / "bad.yaml", host="127.0.0.1", port=free_port())
    store.close()


def test_a_shipper_told_to_stop_ships_what_is_left(folder):
    spool = Spool(folder.spool, "w")
    port = free_port()
    process = start(RUN_SHIPPER, folder.path, 3600, port)
    while not listens(port):  # from then on it is told, and sleeps for an hour
        assert process.poll() is None
        time.sleep(0.05)
    for number in range(50):
        spool.append(Outcome(prediction_id=f"p{number}", positive=True, observed_at=1, received_at=1))
    returned, errors = stop(process)
    spool.close()
    assert (returned, errors) == (0, "")
    assert outcomes_in(folder) == 50


def test_kill_9_of_a_shipper_loses_and_doubles_nothing(folder):
    spool = Spool(folder.spool, "w", segment_bytes=20_000)
    process = start(RUN_SHIPPER, folder.path, 0.001)
    for number in range(4000):
        spool.append(Outcome(prediction_id=f"p{number}", positive=True, observed_at=1, received_at=1))
        if number == 2000:
            while not folder.store.exists():
                time.sleep(0.01)
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
    spool.close()
    assert stop_after_drain(folder) == 4000


def stop_after_drain(folder) -> int:
    from service.prediction_log.shipper import run_shipper

    store = open_store(folder.store_url)
    run_shipper(folder.spool, store, once=True)
    store.close()
    return outcomes_in(folder)


def outcomes_in(folder) -> int:
    store = open_store(folder.store_url)
    with store.reading() as connection:
        found = connection.execute(sa.select(sa.func.count()).select_from(tables.outcomes)).scalar_one()
    store.close()
    return found
