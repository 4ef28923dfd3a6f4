"""The real processes of `gauntlet serve`: started, asked over HTTP, killed, and stopped in order."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import msgspec
import pytest
from serving_processes import installation, is_alive, pids_of, score, until_answered, wait_for
from serving_toys import FEATURES

from bentos.errors import NotFound, Refused, Unavailable
from bentos.folder import Folder
from service.prediction_log.records import Prediction
from service.scoring.experiment import new_salt, read_experiment, set_split, start_shadow, write_experiment
from service.scoring.routing import assign_variant
from service.supervisor import Supervisor, serving, supervised, write_first_experiment
from service.whereabouts import read_whereabouts

NO_LEAD = timedelta(0)


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    folder, digests = installation(tmp_path_factory.mktemp("running"))
    with supervised(folder, scoring_only=True) as found, httpx.Client(base_url=found.url, timeout=10) as client:
        client.admin_url = found.admin_url
        yield folder, digests, client


def change(folder, client, make):
    """Write the next revision, and wait until the server serves by it."""
    changed = make(read_experiment(folder.experiment))
    write_experiment(folder.experiment, changed)
    wait_for(lambda: client.get("/v1/experiment").json()["revision"] == changed.revision)


def test_a_new_installation_serves_its_champion_alone(running):
    folder, digests, client = running
    experiment = read_experiment(folder.experiment)
    assert (experiment.champion, experiment.mode) == (digests[0], "off")
    assert score(client, "a")["model"]["digest"] == digests[0]
    assert client.get("/docs").status_code == client.get("/readyz").status_code == 200


def test_what_was_answered_is_in_the_spool_at_once(running):
    folder, _, client = running
    answered = score(client, "spooled")["prediction_id"]
    lines = [line for path in folder.spool.glob("*/*.jsonl") for line in path.read_bytes().splitlines()]
    assert answered in {json.loads(line)["prediction_id"] for line in lines}


def test_an_experiment_is_tried_without_a_restart_and_its_split_is_sticky(running):
    folder, digests, client = running
    now = datetime.now(UTC)
    change(folder, client, lambda old: start_shadow(old, digests[1], now=now, salt=new_salt(), lead=NO_LEAD))
    assert {score(client, f"c{n}")["variant"] for n in range(20)} == {"champion"}
    change(folder, client, lambda old: set_split(old, 0.5, now=now, lead=NO_LEAD))
    salt = read_experiment(folder.experiment).salt
    expected = {f"c{n}": assign_variant(salt, f"c{n}", 0.5) for n in range(40)}
    for _ in range(2):
        assert {customer: score(client, customer)["variant"] for customer in expected} == expected


def test_a_bad_experiment_file_changes_nothing_and_shows(running):
    folder, _, client = running
    good = folder.experiment.read_bytes()
    folder.experiment.write_text("mode: [")
    wait_for(lambda: "gauntlet_experiment_file_valid 0.0" in httpx.get(f"{client.admin_url}/metrics").text)
    assert score(client, "a")
    folder.experiment.write_bytes(good)
    wait_for(lambda: "gauntlet_experiment_file_valid 1.0" in httpx.get(f"{client.admin_url}/metrics").text)


def test_bad_input_is_a_problem_that_names_the_field(running):
    _, _, client = running
    response = client.post("/v1/score", json={"features": {**FEATURES, "tenure": 1000}})
    assert (response.status_code, response.json()["errors"][0]["field"]) == (422, "tenure")
    huge = client.post("/v1/outcomes", content=b"[" * 9_000_000, headers={"content-type": "application/json"})
    assert huge.status_code == 413


def test_what_only_bentoml_answers_is_answered_by_bentoml(running):
    _, _, client = running
    response = client.get("/schema.json", timeout=60)
    assert (response.status_code, response.json()["name"]) == (200, "gauntlet")
    assert score(client, "afterwards")


def test_scoring_that_is_killed_is_started_again_on_the_same_port(tmp_path):
    folder, _ = installation(tmp_path)
    with serving(folder, scoring_only=True) as url:
        with httpx.Client(base_url=url, timeout=30) as client:
            first = score(client, "a")["prediction_id"]
        (pid,) = pids_of(folder)
        os.kill(pid, signal.SIGKILL)
        second = until_answered(url)
        assert pids_of(folder) != [pid]
    lines = [line for path in folder.spool.glob("*/*.jsonl") for line in path.read_bytes().splitlines()]
    logged = [msgspec.json.decode(line, type=Prediction).prediction_id for line in lines]
    assert {first, second} <= set(logged)


PARENT = """
import sys
from pathlib import Path
from bentos.folder import Folder
from service.supervisor import Supervisor, serving, supervised, write_first_experiment
with serving(Folder(Path(sys.argv[1])), scoring_only=True) as url:
    print(url, flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads /proc")
def test_scoring_ends_with_the_process_that_started_it(tmp_path):
    folder, _ = installation(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout.readline().startswith(b"http://127.0.0.1:")
        (pid,) = pids_of(folder)
        parent.kill()
    wait_for(lambda: not is_alive(pid))
    wait_for(lambda: "scoring_stopped" in (folder.path / "logs" / "scoring.log").read_text())


def test_a_port_in_use_is_named(tmp_path):
    folder, _ = installation(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(Unavailable, match=f"port {port} .*--port"), serving(folder, port=port):
            pass


def test_a_folder_without_a_bento_says_what_to_do(tmp_path):
    with pytest.raises(NotFound, match="gauntlet package"), serving(Folder(tmp_path)):
        pass


def test_a_policy_that_is_not_there_is_named(tmp_path):
    folder, _ = installation(tmp_path)
    with pytest.raises(NotFound, match=r"rules\.yaml"), serving(folder, policy=tmp_path / "rules.yaml"):
        pass


def test_a_damaged_model_ends_the_start_with_its_name(tmp_path):
    folder, _ = installation(tmp_path)
    (model,) = list(tmp_path.glob("packed/models/toy/*/artifact/model.onnx"))[:1]
    model.write_bytes(b"x")
    with pytest.raises(Refused, match=r"model\.onnx"), serving(folder, scoring_only=True):
        pass


def test_an_experiment_that_names_another_champion_is_not_ready_and_says_why(tmp_path):
    folder, _ = installation(tmp_path)
    elsewhere, _ = installation(tmp_path / "elsewhere", (0.9,))
    write_first_experiment(elsewhere, now=datetime.now(UTC))
    folder.experiment.write_bytes(elsewhere.experiment.read_bytes())
    supervisor = Supervisor(folder, port=0, scoring_only=True)
    supervisor.start()
    try:
        ready = httpx.get(f"{supervisor.url}/readyz", timeout=60)
    finally:
        supervisor.stop()
    assert ready.status_code == 503
    assert "is not in this Bento" in ready.json()["detail"]


def test_a_service_that_is_not_ready_in_time_ends_with_its_log(tmp_path):
    folder, _ = installation(tmp_path)
    folder.experiment.write_text("mode: [")
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "scoring.log").write_text("what was logged before\n")
    with (
        pytest.raises(Unavailable, match=r"not ready within 0.1 s(?s:.)*what was logged before"),
        serving(folder, scoring_only=True, ready_seconds=0.1),
    ):
        pass


DUMPING = """
import atexit, json, sys
from pathlib import Path
def installed():
    places = {name: getattr(module, "__file__", None) or "" for name, module in sys.modules.items()}
    return sorted({name.partition(".")[0] for name, place in places.items() if "site-packages" in place})
atexit.register(lambda: Path(sys.argv[1]).write_text(json.dumps(installed())))
from service.entry import main
sys.exit(main(["--fd", sys.argv[2], "--admin-fd", sys.argv[3]]))
"""
CARRIED = {
    *("numpy", "onnxruntime", "msgspec", "yaml", "_yaml"),
    *("pydantic", "pydantic_core", "pydantic_settings", "annotated_types", "typing_extensions", "typing_inspection"),
    *("uvicorn", "httptools", "uvloop", "click", "dotenv"),
    *("watchfiles", "anyio", "a2wsgi", "_distutils_hack"),
}
"""Every installed package that a scoring worker may import before somebody asks for more. The last line is what uvicorn
and the installer bring where they find it."""


def test_scoring_carries_nothing_heavy_and_ends_with_0(tmp_path):
    folder, _ = installation(tmp_path)
    environment = {**os.environ, "GAUNTLET_BENTO": str(folder.bento), "GAUNTLET_SPOOL_FOLDER": str(folder.spool)}
    environment.pop("COVERAGE_PROCESS_CONFIG", None)  # a worker whose coverage is measured carries that too
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.create_server(("127.0.0.1", 0)) as admin:
        url, admin_url = (f"http://127.0.0.1:{one.getsockname()[1]}" for one in (listening, admin))
        files = [listening.fileno(), admin.fileno()]
        command = [sys.executable, "-c", DUMPING, str(tmp_path / "modules"), *map(str, files)]
        process = subprocess.Popen(command, env=environment, pass_fds=files, stderr=subprocess.PIPE, text=True)
        try:
            with httpx.Client(base_url=url, timeout=60) as client:
                assert score(client, "a")["variant"] == "champion"
                assert client.get("/v1/experiment").json()["revision"] == 0
                assert client.get(f"{admin_url}/metrics").status_code == 200
        finally:
            process.terminate()
            log = process.communicate(timeout=60)[1]
    assert process.returncode == 0
    loaded = set(json.loads((tmp_path / "modules").read_text()))
    assert {"onnxruntime", "msgspec", "uvloop", "httptools"} <= loaded
    assert loaded - CARRIED == set()
    events = [json.loads(line)["event"] for line in log.splitlines()]
    untold = [event for event in events if event != "blessing_does_not_hold"]  # toys have none, and nobody asks for one
    assert untold == ["scoring_started", "scoring_draining", "scoring_stopped"]


def test_gauntlet_serve_ships_what_was_answered_asks_the_judge_and_ends_with_0(tmp_path):
    folder, digests = installation(tmp_path)
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [sys.executable, "-m", "gauntlet", "serve", "--folder", str(tmp_path), "--port", str(port)]
    with (tmp_path / "serve.log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
                wait_for(lambda: _is_ready(client), seconds=60)
                answered = score(client, "a")["prediction_id"]
                wait_for(lambda: client.get("/v1/experiment").json()["judge"]["status"] == "available", seconds=60)
                places = read_whereabouts(folder.serving)
                told = {url: httpx.get(f"{url}/metrics").text for url in (places.scoring, places.shipper, places.judge)}
                assert client.get("/v1/experiment").json()["champion"]["digest"] == digests[0]
                last = score(client, "b")["prediction_id"]
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(90)
    assert process.returncode == 0, (tmp_path / "serve.log").read_text()
    with closing(sqlite3.connect(folder.store)) as store:
        shipped = {row[0] for row in store.execute("select prediction_id from predictions")}
    assert shipped == {answered, last}
    first = [next(line for line in text.splitlines() if line.startswith("# HELP gauntlet")) for text in told.values()]
    assert [line.split()[2].split("_")[1] for line in first] == ["http", "shipper", "judge"]
    assert not folder.serving.exists()


def _is_ready(client):
    try:
        return client.get("/readyz").status_code == 200
    except httpx.HTTPError:
        return False
