"""`gauntlet insight` as users start it: real models, real workers, real signals, and scoring in front of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import numpy as np
import pytest
from insight_toys import BOOSTED, ENCODER, FOREST, LINEAR, explainer_of, make_explained_bento
from msgspec import structs
from packing_toys import free_port
from serving_toys import CHECKOUT, FEATURES

from bentos.folder import Folder
from k8s.smoke import Door, smoke
from service.insight.explainers import explain
from service.scoring.experiment import (
    LEAD,
    first_experiment,
    read_experiment,
    start_shadow,
    swap_roles,
    write_experiment,
)
from service.whereabouts import read_whereabouts

LONG_AGO = datetime(2025, 1, 1, tzinfo=UTC)
ROW = ENCODER.encode_row(FEATURES)


@contextmanager
def running(folder: Folder, command: str, *arguments: str, port: int, ready: str, code: int = 0, **environment: str):
    """A command of the command line until the block ends; gives its process. It has to end with `code`."""
    log = folder.path / f"{command}-{port}.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "gauntlet.py", command, "--folder", str(folder.path), "--port", str(port), *arguments],
            cwd=CHECKOUT,
            env={**os.environ, **environment},
            stdout=file,
            stderr=file,
        )
    try:
        wait_until_ready(ready, process, log)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            ended = process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    assert ended == code, log.read_text()


def wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(1200):
        if process.poll() is not None:
            break
        try:
            if httpx.get(url, timeout=5).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    raise AssertionError(log.read_text())


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    found = Folder(tmp_path_factory.mktemp("insight"))
    found.bento.mkdir()
    return found


@pytest.fixture(scope="module")
def digests(folder):
    made = make_explained_bento(folder.bento, [FOREST, BOOSTED, LINEAR])
    champion = first_experiment(made[0], now=LONG_AGO)
    write_experiment(folder.experiment, start_shadow(champion, made[1], now=LONG_AGO, salt="salt", lead=LEAD))
    return made


@pytest.fixture(scope="module")
def insight(folder, digests):
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with running(folder, "insight", port=port, ready=f"{url}/readyz", GAUNTLET_INSIGHT_WORKERS="1") as process:
        yield url, process.pid


def ask(url, features=FEATURES, **asked):
    return httpx.post(f"{url}/v1/explain", json={"features": features, **asked}, timeout=60)


def test_the_champion_is_explained_with_the_numbers_of_its_own_pipeline(insight, digests):
    answer = ask(insight[0]).json()
    found, expected = answer["explanation"], explain(explainer_of(FOREST), ROW)
    assert answer["model"] == {"name": "toy", "version": "1", "digest": digests[0]}
    assert answer["variant"] == "champion"
    assert (found["space"], found["method"]) == ("probability", "tree")
    assert found["base_value"] == expected.base_value
    np.testing.assert_array_equal(list(found["contributions"].values()), expected.contributions)
    assert abs(found["base_value"] + sum(found["contributions"].values()) - found["probability"]) <= 1e-6
    assert [reason["feature"] for reason in found["reasons"]] == sorted(
        found["contributions"], key=lambda name: -abs(found["contributions"][name])
    )


@pytest.mark.parametrize(
    ("asked", "number", "variant"),
    [({"variant": "challenger"}, 1, "challenger"), ({"variant": "champion"}, 0, "champion")],
)
def test_a_variant_is_explained_by_the_model_that_plays_it(insight, digests, asked, number, variant):
    answer = ask(insight[0], **asked).json()
    assert (answer["model"]["digest"], answer["variant"]) == (digests[number], variant)


@pytest.mark.parametrize(("number", "variant"), [(0, "champion"), (1, "challenger"), (2, None)])
def test_a_model_is_explained_by_its_digest_or_as_scoring_answers_it(insight, digests, number, variant):
    named = ask(insight[0], model=digests[number]).json()
    answered = ask(insight[0], model={"name": "toy", "version": "9", "digest": digests[number]}).json()
    assert named == answered
    assert (named["model"]["digest"], named["variant"]) == (digests[number], variant)


def test_an_unknown_digest_is_not_found_and_the_known_ones_are_named(insight, digests):
    answer = ask(insight[0], model="sha256:" + "9" * 64)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert all(digest in answer.json()["detail"] for digest in digests)


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"features": {**FEATURES, "tenure": 99}}, 422, "tenure"),
        ({"features": {**FEATURES, "contract": "Three year"}}, 422, "contract"),
        ({"features": {"tenure": 1}}, 422, "charges"),
        ({"features": [1]}, 422, "features"),
        ({"features": FEATURES, "purpose": "test"}, 422, "purpose"),
        ({"features": FEATURES, "variant": "loser"}, 422, "variant"),
        ({"features": FEATURES, "variant": ["champion"]}, 422, "variant"),
        ({"features": FEATURES, "model": 7}, 422, "model"),
        ({"features": FEATURES, "model": "sha256:1", "variant": "champion"}, 422, "variant"),
        ([], 422, "body"),
    ],
)
def test_what_is_not_allowed_is_named_by_field(insight, body, status, field):
    answer = httpx.post(f"{insight[0]}/v1/explain", json=body, timeout=60)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert field in [problem["field"] for problem in answer.json()["errors"]]


@pytest.mark.parametrize(
    ("content", "status"), [(b"{", 400), (b'{"features": {}, "features": {}}', 400), (b" " * 65_537, 413)]
)
def test_a_body_that_is_no_json_or_too_large_is_refused(insight, content, status):
    answer = httpx.post(
        f"{insight[0]}/v1/explain", content=content, headers={"content-type": "application/json"}, timeout=60
    )
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_killed_worker_is_replaced_and_the_next_request_works(insight):
    url, pid = insight
    (before,) = children_of(pid)
    os.kill(before, signal.SIGKILL)
    answer = ask(url, {**FEATURES, "tenure": 41})  # asked for the first time, so that no kept answer stands in
    assert answer.status_code == 200 or (answer.status_code == 503 and answer.headers["retry-after"])
    for _ in range(600):
        if answer.status_code == 200:
            break
        time.sleep(0.1)
        answer = ask(url, {**FEATURES, "tenure": 41})
    assert answer.status_code == 200
    (after,) = children_of(pid)
    assert after != before


def test_the_process_that_answers_imports_neither_shap_nor_scikit_learn(insight):
    """They are in its workers: the one that holds the port stays small, and imports nothing that takes seconds."""
    maps = Path(f"/proc/{insight[1]}/maps").read_text()
    (worker,) = children_of(insight[1])
    assert "/sklearn/" not in maps
    assert "/shap/" not in maps
    assert "/shap/" in Path(f"/proc/{worker}/maps").read_text()


def test_workers_end_with_the_process_however_it_ends(folder, digests):
    port = free_port()
    with running(folder, "insight", port=port, ready=f"http://127.0.0.1:{port}/readyz", code=-9) as process:
        workers = children_of(process.pid)
        process.kill()
        process.wait()
    assert len(workers) == 2
    for _ in range(600):
        if not any(Path(f"/proc/{worker}").exists() for worker in workers):
            return
        time.sleep(0.1)
    raise AssertionError(f"{workers} are left")


def test_scoring_passes_on_what_insight_says_of_the_model_that_answered(insight, folder, digests):
    port, admin = free_port(), free_port()
    given = {"GAUNTLET_INSIGHT_URL": insight[0], "GAUNTLET_WORKERS": "1"}
    ready = f"http://127.0.0.1:{admin}/readyz"
    arguments = ("--only", "scoring", "--admin-port", str(admin))
    with running(folder, "serve", *arguments, port=port, ready=ready, **given):
        url = f"http://127.0.0.1:{port}"
        scored = httpx.post(f"{url}/v1/score", json={"customer_id": "a", "features": FEATURES}, timeout=60).json()
        answer = ask(url, model=scored["model"]).json()
    assert answer["model"] == scored["model"]
    assert abs(answer["explanation"]["probability"] - scored["probability"]) <= 1e-6
    assert (answer["explanation"]["label"], answer["explanation"]["risk"]) == (scored["label"], scored["risk"])


def test_the_smoke_test_walks_a_customers_whole_way_and_says_which_part_fails(insight, folder, digests):
    port, admin = free_port(), free_port()
    given = {"GAUNTLET_INSIGHT_URL": insight[0], "GAUNTLET_WORKERS": "1"}
    metrics_url = f"http://127.0.0.1:{admin}"
    arguments = ("--only", "scoring", "--admin-port", str(admin))

    def tried(*, carried=digests, rules=("gauntlet-drift",), host="gauntlet.localhost"):
        door = Door(host, f"http://127.0.0.1:{port}", "none-is-asked-for")
        metrics = {"pod": httpx.get(f"{metrics_url}/metrics").text}
        checks = smoke(door, carried=carried, metrics=lambda: metrics, rules=lambda: rules)
        good, said = {check.name: check.is_good for check in checks}, {check.name: check.said for check in checks}
        assert not good.pop("blessings"), "the toys were never blessed"
        return good, said

    with running(folder, "serve", *arguments, port=port, ready=f"{metrics_url}/readyz", **given):
        first, said = tried()
        assert first.pop("metrics") is False, said
        assert set(first) == {"score", "explain", "outcome", "drift rules"}
        assert all(first.values()), said
        assert said["metrics"] == "none of 1 pods counted the prediction of this test"  # it was read before
        again, said = tried()
        assert all(again.values()), said
        assert "answered by toy version 1 as champion" in said["score"]
        foreign, said = tried(carried=["sha256:" + "9" * 64], rules=("gauntlet-service",))
        assert (foreign["score"], foreign["drift rules"]) == (False, False)
        assert "which this image does not carry" in said["score"]
    gone = smoke(Door("h", f"http://127.0.0.1:{port}", "k"), carried=digests, metrics=dict, rules=None)
    assert [(check.name, check.is_good) for check in gone][:2] == [("score", False), ("metrics", False)]
    assert "GET http://127.0.0.1" in gone[0].said


def test_serve_starts_insight_beside_scoring_where_it_is_asked_to(tmp_path):
    folder = Folder(tmp_path)
    folder.bento.mkdir()
    (digest,) = make_explained_bento(folder.bento, [LINEAR])
    port, admin = free_port(), free_port()
    ready = f"http://127.0.0.1:{admin}/readyz"
    with running(folder, "serve", "--insight", "--admin-port", str(admin), port=port, ready=ready):
        for _ in range(600):
            answer = ask(f"http://127.0.0.1:{port}")
            if answer.status_code == 200:
                break
            time.sleep(0.1)
        told = httpx.get(f"{read_whereabouts(folder.serving).insight}/metrics").text
    assert answer.status_code == 200, answer.text
    assert answer.json()["model"]["digest"] == digest
    assert "# TYPE gauntlet_insight_workers gauge" in told


def test_insight_beside_scoring_alone_is_refused(folder, digests):
    command = [sys.executable, "gauntlet.py", "serve", "--folder", str(folder.path), "--only", "scoring", "--insight"]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert "GAUNTLET_INSIGHT_URL" in done.stderr


def test_a_switch_of_roles_in_the_experiment_file_is_followed(insight, folder, digests):
    before = read_experiment(folder.experiment)
    promoted = swap_roles(before, now=LONG_AGO, lead=LEAD)
    restored = structs.replace(before, revision=promoted.revision + 1)
    try:
        write_experiment(folder.experiment, promoted)
        for _ in range(100):
            if (answer := ask(insight[0]).json())["model"]["digest"] == digests[1]:
                break
            time.sleep(0.1)
        assert answer["model"]["digest"] == digests[1]
        refused = ask(insight[0], variant="challenger")
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "variant")
        assert "nobody is on trial" in refused.text
    finally:
        write_experiment(folder.experiment, restored)
        for _ in range(100):
            if ask(insight[0]).json()["model"]["digest"] == digests[0]:
                break
            time.sleep(0.1)


@pytest.mark.parametrize("name", ["estimator.skops", "contract.json"])
def test_a_model_whose_bytes_were_changed_is_not_explained(tmp_path, name):
    folder = Folder(tmp_path)
    folder.bento.mkdir()
    make_explained_bento(folder.bento, [LINEAR])
    (changed,) = folder.bento.glob(f"models/toy/*/artifact/{name}")
    content = bytearray(changed.read_bytes())
    content[len(content) // 2] ^= 1
    changed.write_bytes(content)
    command = [sys.executable, "gauntlet.py", "insight", "--folder", str(tmp_path), "--port", "0"]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert name in done.stderr


def test_nothing_that_a_person_sent_is_in_the_log(insight, folder):
    url, pid = insight
    os.kill(children_of(pid)[0], signal.SIGKILL)
    assert ask(url, {**FEATURES, "contract": "my secret plan"}).status_code == 422
    assert ask(url, {**FEATURES, "charges": 123.375}).status_code in (200, 503)
    log = (folder.path / f"insight-{httpx.URL(url).port}.log").read_text()
    assert {json.loads(line)["event"] for line in log.splitlines()} >= {"insight_started", "worker_ready"}
    assert "my secret plan" not in log
    assert "123.375" not in log
