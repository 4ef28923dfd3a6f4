"""Errors over HTTP: every class of the tree has a row, documents are RFC 9457, crashes say nothing of the row."""

import asyncio
import json

import pytest
from serving_toys import FEATURES

from bentos.errors import GauntletError, InvalidFeatures, Problem, Unavailable
from service.http import problems
from service.http.application import HttpApplication, answer_error
from service.http.messages import Route
from service.logs import JsonLines


def every_class(of):
    return {of}.union(*(every_class(child) for child in of.__subclasses__()))


def test_every_error_is_mapped():
    ours = {found for found in every_class(GauntletError) if found.__module__.startswith("bentos")}
    assert set(problems.KINDS) == ours


def test_bad_input_is_the_clients_and_nothing_of_ours_is():
    for error, kind in problems.KINDS.items():
        assert kind.status in range(400, 600), error
        if issubclass(error, Unavailable):
            assert kind.status == 503


def test_a_document_has_what_rfc_9457_names():
    error = InvalidFeatures("features", [Problem("tenure", "99", "a number from 0 to 72", row=3)])
    response = answer_error(error, "/v1/score", {})
    assert response.content_type == b"application/problem+json"
    assert json.loads(response.body) == {
        "type": "urn:gauntlet:problem:invalid-features",
        "title": "Features that the contract does not allow",
        "status": 422,
        "detail": "features: row 3, tenure: 99 is not allowed; it must be a number from 0 to 72",
        "errors": [{"field": "tenure", "value": "99", "allowed": "a number from 0 to 72", "row": 3}],
    }


def test_a_thousand_problems_are_counted_and_a_hundred_are_listed():
    error = InvalidFeatures("features", [Problem(f"f{n}", "x", "y") for n in range(1000)])
    document = json.loads(problems.describe_error(error))
    assert len(document["errors"]) == 100
    assert document["detail"].endswith("and 997 more")


@pytest.fixture
def crashing():
    async def crash(_body):
        raise ValueError(f"features were {FEATURES}")

    counts = []
    route = Route("GET", "/crash", crash, "Crashes.")
    return HttpApplication([route], body_limit_bytes=100, count_request=lambda *args: counts.append(args)), counts


def test_a_crash_is_a_500_that_quotes_nothing(crashing, caplog):
    application, counts = crashing
    sent = []

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/crash", "headers": [], "query_string": b""}
    asyncio.run(application(scope, None, send))
    assert sent[0]["status"] == 500
    assert b"Month" not in sent[1]["body"]
    assert counts[0][:3] == ("/crash", "GET", 500)
    (record,) = caplog.records
    line = JsonLines("scoring").format(record)
    assert json.loads(line)["error"] == "ValueError"
    assert "tenure" not in line


@pytest.mark.parametrize("error", [ValueError("a crash"), Unavailable("the champion answered no probability")])
def test_an_error_of_ours_is_logged_with_the_ids_of_its_request(error, caplog):
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    answer_error(
        error, "/v1/score", {b"x-request-id": b"r-1", b"traceparent": f"00-{trace}-00f067aa0ba902b7-01".encode()}
    )
    (record,) = caplog.records
    line = json.loads(JsonLines("scoring").format(record))
    assert (line["route"], line["request_id"], line["trace_id"]) == ("/v1/score", "r-1", trace)


def test_a_client_that_leaves_before_its_body_is_answered_nothing():
    async def answer(_body):
        raise AssertionError

    async def receive():
        return {"type": "http.disconnect"}

    sent = []
    application = HttpApplication(
        [Route("POST", "/x", answer, "")], body_limit_bytes=100, count_request=lambda *_: sent.append("counted")
    )
    asyncio.run(
        application({"type": "http", "method": "POST", "path": "/x", "headers": [], "query_string": b""}, receive, None)
    )
    assert sent == []
