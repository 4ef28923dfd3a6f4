"""The fast entry from outside: keys that come and go, TLS, rates, and a challenger that spoils nothing."""

import socket
import ssl
import subprocess
import time
from contextlib import ExitStack

import httpx
import pytest
from entry_toys import Entry
from serving_toys import FEATURES, NAN, make_bento

from service.http.keys import add_key, revoke_keys

FILES = 200
BODY = {"customer_id": "somebody", "features": FEATURES}


def wait_for(condition, seconds=10):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it never came true"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def bento(tmp_path_factory):
    place = tmp_path_factory.mktemp("bento")
    make_bento(place, [0.3])
    return place


def test_keys_are_asked_for_and_reread_while_serving(bento, tmp_path):
    keys = tmp_path / "keys"
    crm = add_key(keys, "score", "crm")
    with Entry(bento, tmp_path / "place", keys_folder=keys) as entry:

        def status(key=None, path="/v1/score"):
            headers = {} if key is None else {"authorization": f"Bearer {key}"}
            return httpx.post(f"{entry.url}{path}", json=BODY, headers=headers).status_code

        assert (status(), status("wrong"), status(crm), status(crm, "/v1/outcomes")) == (401, 401, 200, 403)
        new = add_key(keys, "score", "crm")
        wait_for(lambda: status(new) == 200)
        assert status(crm) == 200
        revoke_keys(keys, "score", "crm", all_but_newest=True)
        wait_for(lambda: status(crm) == 401)
        assert status(new) == 200
        for path in ("/livez", "/readyz", "/docs", "/openapi.json"):
            assert httpx.get(f"{entry.url}{path}").status_code == 200
        assert httpx.get(f"{entry.url}/v1/experiment").status_code == 401
        assert httpx.get(f"{entry.url}/metrics").status_code == 404
        assert "gauntlet_ready 1" in httpx.get(f"{entry.admin}/metrics").text
        assert httpx.post(f"{entry.admin}/v1/score", json=BODY).status_code == 404
    log = (tmp_path / "place" / "log").read_text()
    assert crm not in log
    assert new not in log


def test_beyond_loopback_it_does_not_start_without_a_folder_of_keys(bento, tmp_path):
    entry = Entry(bento, tmp_path, host="0.0.0.0")
    with pytest.raises(AssertionError, match="GAUNTLET_KEYS_FOLDER"):
        entry.start()
    assert entry.process.wait(10) == 2


def test_an_empty_folder_of_keys_lets_nobody_in(bento, tmp_path):
    with Entry(bento, tmp_path, host="0.0.0.0", keys_folder=tmp_path / "none") as entry:
        assert httpx.post(f"{entry.url}/v1/score", json=BODY).status_code == 401


def test_a_rate_holds_for_each_client(bento, tmp_path):
    keys = tmp_path / "keys"
    clients = [add_key(keys, "score", name) for name in ("crm", "web")]
    with Entry(bento, tmp_path / "place", keys_folder=keys, rate_per_second=0.01, rate_burst=3) as entry:
        for key in clients:
            headers = {"authorization": f"Bearer {key}"}
            found = [httpx.post(f"{entry.url}/v1/score", json=BODY, headers=headers) for _ in range(5)]
            assert [one.status_code for one in found] == [200, 200, 200, 429, 429]
            assert int(found[-1].headers["retry-after"]) > 50


def test_tls_at_the_server(bento, tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
    )
    subprocess.run([*command.split(), "-keyout", key, "-out", certificate], check=True, capture_output=True)

    class Secure(Entry):
        def is_ready(self):
            try:
                context = ssl.create_default_context(cafile=str(certificate))
                return httpx.get(f"https://127.0.0.1:{self.port}/readyz", verify=context).status_code == 200
            except httpx.HTTPError:
                return False

    with Secure(bento, tmp_path / "place", tls_certificate=certificate, tls_key=key, patience_seconds=1) as entry:
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"{entry.url}/readyz")
        context = ssl.create_default_context(cafile=str(certificate))
        answer = httpx.post(f"https://127.0.0.1:{entry.port}/v1/score", json=BODY, verify=context)
        assert answer.status_code == 200
        with socket.create_connection(("127.0.0.1", entry.port), timeout=20) as silent:
            assert silent.recv(100) == b""  # who agrees on no key in time is let go
        assert entry.stop() == 0


def test_connections_that_say_nothing_take_no_file_from_the_prediction_log(bento, tmp_path):
    settings = {"spool_segment_seconds": 0.2, "patience_seconds": 60}
    limited = ("prlimit", f"--nofile={FILES}:{FILES}")
    with Entry(bento, tmp_path, before=limited, **settings) as entry, httpx.Client(base_url=entry.url) as kept:
        assert kept.post("/v1/score", json=BODY).status_code == 200
        with ExitStack() as held:
            for _ in range(FILES):
                held.enter_context(socket.create_connection(("127.0.0.1", entry.port), timeout=20))
            wait_for(lambda: httpx.get(f"{entry.url}/livez").status_code == 429)
            for _ in range(8):
                assert kept.post("/v1/score", json=BODY).status_code == 200
                time.sleep(0.1)  # segments are begun
            assert httpx.get(f"{entry.admin}/readyz").text == "ready\n"


@pytest.mark.parametrize("probability", [NAN, 7.0])
def test_a_challenger_that_answers_nonsense_changes_no_answer(tmp_path, probability):
    from datetime import UTC, datetime, timedelta

    from service.scoring.experiment import first_experiment, set_split, start_shadow, write_experiment

    now = datetime.now(UTC)
    champion, challenger = make_bento(tmp_path / "bento", [0.3, probability])
    shadow = start_shadow(first_experiment(champion, now=now), challenger, now=now, salt="s", lead=timedelta(0))
    write_experiment(tmp_path / "experiment.yaml", set_split(shadow, 1.0, now=now, lead=timedelta(0)))
    settings = {"experiment_file": tmp_path / "experiment.yaml"}
    with Entry(tmp_path / "bento", tmp_path / "place", **settings) as entry:
        found = [httpx.post(f"{entry.url}/v1/score", json=BODY).json() for _ in range(20)]
        assert {(one["variant"], round(one["probability"], 6)) for one in found} == {("champion", 0.3)}
        assert "challenger_circuit_opened" in (tmp_path / "place" / "log").read_text()
