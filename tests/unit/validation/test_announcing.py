"""A PASS told to a real server: who hears what, and what becomes of one that does not answer."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec
import pytest
from report_toys import CANDIDATE, CHAMPION, report_around

from bentos.errors import InvalidSetting, Unavailable
from validation.announcing import TOKEN_FILE, URL, announce_pass, check_setting
from validation.gate.report import CheckResult, blessing_of

PASSED = report_around([CheckResult(name="accuracy", status="PASS", reason="fine")])
PASSED = msgspec.structs.replace(PASSED, blessing=blessing_of(PASSED, 30))
FAILED = report_around([CheckResult(name="accuracy", status="FAIL", reason="low")])


@pytest.fixture
def hook(monkeypatch):
    """A server that answers with these statuses in turn, and keeps what it was told."""
    heard, statuses = [], [204]

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            heard.append((self.path, self.headers.get("authorization"), json.loads(body)))
            self.send_response(statuses[min(len(heard), len(statuses)) - 1])
            self.send_header("location", "/elsewhere")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv(URL, f"http://127.0.0.1:{server.server_port}/secret-path")
    yield heard, statuses
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_pass_is_told_in_the_form_of_a_repository_dispatch(hook, tmp_path, monkeypatch):
    (tmp_path / "token").write_text("abc\n")
    monkeypatch.setenv(TOKEN_FILE, str(tmp_path / "token"))
    heard, _ = hook
    assert announce_pass(PASSED) == "127.0.0.1"
    ((path, authorization, body),) = heard
    assert (path, authorization) == ("/secret-path", "Bearer abc")
    assert body["event_type"] == "gauntlet-gate-passed"
    assert body["client_payload"] == {
        "name": "toy", "version": "2", "digest": CANDIDATE.digest, "champion": CHAMPION.digest, "verdict": "PASS",
        "scope": "split", "expires_at": PASSED.blessing.expires_at.isoformat(),
    }  # fmt: skip


def test_other_verdicts_are_told_to_nobody_and_without_url_nobody_is_asked(hook, monkeypatch):
    assert announce_pass(FAILED) is None
    monkeypatch.delenv(URL)
    assert announce_pass(PASSED) is None
    assert hook[0] == []


def test_a_server_in_trouble_is_asked_again(hook):
    heard, statuses = hook
    statuses[:] = [503, 429, 204]
    assert announce_pass(PASSED, waits=(0, 0)) == "127.0.0.1"
    assert len(heard) == 3


@pytest.mark.parametrize(
    ("answers", "asked", "message"),
    [
        ([500], 3, "127.0.0.1 did not take the PASS: status 500"),
        ([401], 1, "127.0.0.1 refused the PASS with status 401"),
        ([302], 1, "127.0.0.1 refused the PASS with status 302"),
    ],
)
def test_who_does_not_take_it_is_named_without_the_path(hook, answers, asked, message):
    heard, statuses = hook
    statuses[:] = answers
    with pytest.raises(Unavailable, match=message) as told:
        announce_pass(PASSED, waits=(0, 0))
    assert "secret-path" not in str(told.value)
    assert len(heard) == asked


def test_nobody_there_is_told_too(monkeypatch):
    monkeypatch.setenv(URL, "http://127.0.0.1:9/x")
    with pytest.raises(Unavailable, match=r"127.0.0.1 did not take the PASS: \w+Error"):
        announce_pass(PASSED, waits=())


@pytest.mark.parametrize("url", ["hook", "ftp://hook/x", "https:///x", "file:///etc/passwd"])
def test_what_is_no_url_is_refused_before_the_gate_begins(monkeypatch, url):
    monkeypatch.setenv(URL, url)
    with pytest.raises(InvalidSetting, match="GAUNTLET_ON_PASS_URL must be http://HOST") as told:
        check_setting()
    assert "passwd" not in str(told.value)


def test_a_token_that_cannot_be_read_is_refused_before_the_gate_begins(monkeypatch, tmp_path):
    monkeypatch.setenv(URL, "https://hook.example/x")
    monkeypatch.setenv(TOKEN_FILE, str(tmp_path / "nowhere"))
    with pytest.raises(InvalidSetting, match=r"GAUNTLET_ON_PASS_TOKEN_FILE: .*nowhere cannot be read"):
        check_setting()
