"""Asking the judge over real HTTP: its word stands beside what scoring knows, and its failures cost nothing."""

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec
import pytest
from serving_app import served
from serving_toys import CONTRACT

from bentos.artifact import Contract


@contextmanager
def judge(status: int, body: bytes, *, silent: bool = False):
    """A judge on a port of this machine; a silent one answers when the test is over."""
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            if silent:
                over.wait(30)
            self.send_response(status if self.path == "/v1/experiment" else 404)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        over.set()
        server.shutdown()
        thread.join()
        server.server_close()


def test_what_the_judge_says_stands_beside_what_scoring_knows(tmp_path):
    with judge(200, b'{"verdict": "KEEP_COLLECTING"}') as url, served(tmp_path, judge_url=url) as found:
        said = found.get("/v1/experiment").json()
    assert said["judge"] == {"status": "available", "verdict": "KEEP_COLLECTING"}
    assert (said["mode"], said["revision"]) == ("off", 1)


@pytest.mark.parametrize(
    ("status", "body", "silent"),
    [(500, b"", False), (200, b"[]", False), (200, b"{", False), (302, b"", False), (200, b"{}", True)],
    ids=["fails", "says a list", "says no JSON", "leads elsewhere", "is silent"],
)
def test_a_judge_that_does_not_answer_well_is_no_failure(tmp_path, status, body, silent):
    with judge(status, body, silent=silent) as url, served(tmp_path, judge_url=url, judge_timeout_seconds=0.2) as found:
        response = found.get("/v1/experiment")
        counted = found.metrics()
    assert (response.status_code, response.json()["judge"]["status"]) == (200, "unavailable")
    assert url in response.json()["judge"]["reason"]
    assert "gauntlet_judge_unanswered_total 1.0" in counted


def test_a_judge_that_does_not_listen_is_no_failure(tmp_path):
    with served(tmp_path, judge_url="http://127.0.0.1:9") as found:
        response = found.get("/v1/experiment")
    assert (response.status_code, response.json()["judge"]["status"]) == (200, "unavailable")


def test_the_admin_port_tells_the_judge_every_models_contract_and_clients_nothing(tmp_path):
    with served(tmp_path) as app:
        told = app.loop.run_until_complete(app._request("GET", "/contracts", application=app.application.admin))
        assert told.status_code == 200
        contracts = msgspec.json.decode(told.content, type=dict[str, Contract])
        assert contracts == dict.fromkeys(app.digests, CONTRACT)
        assert len(contracts) == 2
        assert app.get("/contracts").status_code == 404
