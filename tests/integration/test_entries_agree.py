"""One definition of a route, two entries: the fast one and `bentoml serve` answer the same requests byte for byte."""

import json
import os
import random
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from packing_toys import ToyRegistry, bentoml_serving, free_port
from serving_toys import FEATURES

from bentos.folder import Folder
from bentos.packing import package
from service.ids import make_id
from service.scoring.experiment import first_experiment, set_split, start_shadow, write_experiment

REQUESTS = 1000


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("both")
    registry, folder, now = ToyRegistry(place / "registry"), Folder(place / "home"), datetime.now(UTC)
    champion = registry.add(0.3, aliases=("champion",), blessing={"now": now}, slope=0.005)
    challenger = registry.add(0.7, blessing={"now": now}, slope=-0.005)
    package(registry, champion=champion, challengers=[challenger], folder=folder, now=now)
    shadow = start_shadow(
        first_experiment(champion.digest, now=now), challenger.digest, now=now, salt="both", lead=timedelta(0)
    )
    write_experiment(folder.experiment, set_split(shadow, 0.5, now=now, lead=timedelta(0)))
    return folder


@contextmanager
def fast_entry(folder, place):
    port, admin_port = free_port(), free_port()
    environment = {
        **os.environ,
        "BENTOML_HOME": str(folder.bentoml),
        "GAUNTLET_SPOOL_FOLDER": str(place / "spool"),
        "GAUNTLET_EXPERIMENT_FILE": str(folder.experiment),
        "GAUNTLET_PORT": str(port),
        "GAUNTLET_ADMIN_PORT": str(admin_port),
    }
    command = [sys.executable, "-m", "service.entry"]
    with subprocess.Popen(command, cwd=folder.bento.resolve() / "src", env=environment) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            until = time.monotonic() + 60
            while True:
                try:
                    assert httpx.get(f"{url}/readyz").status_code == 200
                    break
                except httpx.HTTPError:
                    assert time.monotonic() < until
                    time.sleep(0.05)
            yield url
        finally:
            process.terminate()


def requests():
    """Right ones and wrong ones, each with an id of its own, so that nothing in the answers is left to chance."""
    chance, now = random.Random(0), time.time_ns() // 1000
    found = []
    for i in range(REQUESTS):
        features = {**FEATURES, "tenure": chance.randrange(80), "contract": chance.choice(["One year", "Weekly"])}
        if chance.random() < 0.7:
            features |= {"tenure": chance.randrange(72), "contract": "Two year"}
        body = {"customer_id": f"c{i % 300}", "features": features, "prediction_id": make_id(now + i, os.urandom(8))}
        form = chance.choices(FORMS, [80 if form is in_score else 2 for form in FORMS])[0]
        path, content, headers = form(body)
        content = content if isinstance(content, str) else json.dumps(content)
        found.append((path, content, {"content-type": "application/json", "x-request-id": f"r{i}", **headers}))
    return found


def in_score(body):
    return "/v1/score", body, {}


def in_score_by_key(body):
    key = body["prediction_id"]
    return "/v1/score", {**body, "prediction_id": None}, {"idempotency-key": key, "traceparent": TRACE}


def in_batch(body):
    return "/v1/score/batch", {"rows": [body]}, {}


def in_lines(body):
    return "/v1/score/batch", json.dumps(body) + "\n{}\n", {"content-type": "application/x-ndjson"}


def in_tensors(body):
    kinds = {"tenure": "INT64", "charges": "FP64", "contract": "BYTES", "senior": "INT64"}
    columns = {**body["features"], "customerID": body["customer_id"]}
    inputs = [
        {"name": name, "shape": [1], "datatype": kinds.get(name, "BYTES"), "data": [value]}
        for name, value in columns.items()
    ]
    asked = {"prediction_id": body["prediction_id"], "binary_data_output": True}
    return "/v2/models/toy/infer", {"inputs": inputs, "parameters": asked}, {}


def in_treatments(body):
    taken = datetime.now(UTC).isoformat()
    return "/v1/treatments", {"prediction_id": body["prediction_id"], "action": "call", "taken_at": taken}, {}


def in_outcomes(body):
    return "/v1/outcomes", body, {}


def in_explain(body):
    return "/v1/explain", body, {}


def in_nothing(body):
    return "/v1/nothing", body, {}


def in_text(body):
    return "/v1/score", body, {"content-type": "text/plain"}


def cut_short(body):
    return "/v1/score", json.dumps(body)[:-1], {}


TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
FORMS = [
    *(in_score, in_score_by_key, in_batch, in_lines, in_tensors, in_treatments),
    *(in_outcomes, in_explain, in_nothing, in_text, cut_short),
]


def answers(url, asked):
    found = []
    with httpx.Client(base_url=url, timeout=30) as client:
        for path, content, sent in asked:
            answer = client.post(path, content=content, headers=sent)
            headers = {
                name: value
                for name, value in answer.headers.items()
                if name not in ("date", "server", "connection", "transfer-encoding")
            }
            found.append((path, answer.status_code, headers, answer.content))
        for method, path in (
            *(
                ("GET", path)
                for path in ("/docs", "/openapi.json", "/v1/experiment", "/v2", "/metrics", "/schema.json")
            ),
            *(("GET", "/v1/score"), ("HEAD", "/docs"), ("PUT", "/v1/outcomes"), ("GET", "/v2/models/toy")),
        ):
            answer = client.request(method, path)
            found.append((path, answer.status_code, answer.headers["content-type"], answer.content))
    return found


def test_both_entries_answer_the_same_requests_byte_for_byte(folder, tmp_path):
    asked = requests()
    for name in ("bentoml", "fast"):
        (tmp_path / name).mkdir()
    with bentoml_serving(folder, tmp_path / "bentoml", GAUNTLET_EXPERIMENT_FILE=str(folder.experiment)) as (url, _):
        through_bentoml = answers(url, asked)
    with fast_entry(folder, tmp_path / "fast") as url:
        through_fast = answers(url, asked)
    for one, other in zip(through_bentoml, through_fast, strict=True):
        assert one == other
    scored = [json.loads(body) for path, status, _, body in through_fast if (path, status) == ("/v1/score", 200)]
    assert len(scored) > REQUESTS / 2
    assert {one["variant"] for one in scored} == {"champion", "challenger"}
    assert {status for _, status, _, _ in through_fast} >= {200, 202, 400, 404, 405, 415, 422, 503}
    assert {path for path, status, _, _ in through_fast if status == 200} >= {"/v1/score/batch", "/v2/models/toy/infer"}
