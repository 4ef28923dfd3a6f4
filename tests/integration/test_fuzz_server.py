"""A small part of `python -m tests.bench.fuzz` in every run, and by name what it has found in the real server."""

from __future__ import annotations

import json
import socket

import pytest

from tests.bench.fuzzing.cases import make_case
from tests.bench.fuzzing.expensive import STREAM_BYTES, make_expensive
from tests.bench.fuzzing.judging import faults_of
from tests.bench.fuzzing.running import run_cases, slope_mb
from tests.bench.fuzzing.seeds import make_seeds
from tests.bench.fuzzing.target import aftermath, right_answers, serve
from tests.bench.fuzzing.wire import Answer, send

SEED = 20260101
CASES = 300
JSON = b"content-type: application/json\r\n"


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    with serve(tmp_path_factory.mktemp("fuzz") / "server", has_keys=False) as found:
        yield found


@pytest.fixture(scope="module")
def document(target):
    return target.document()


@pytest.fixture(scope="module")
def example(document):
    return document["paths"]["/v1/score"]["post"]["requestBody"]["content"]["application/json"]["example"]


def post(target, path, body, headers=b"", **options):
    head = b"POST %b HTTP/1.1\r\nhost: x\r\n%bcontent-length: %d\r\n\r\n" % (path, headers, len(body))
    return send(target.port, (head + body,), **options)


def test_spoilt_requests_are_answered_as_they_should_be_and_leave_nothing_behind(target, document):
    seeds = make_seeds(document)
    before = right_answers(target, seeds)
    assert all(status < 300 or "explain" in seed.path or "email" in seed.path for seed, (status, _) in before.items())
    result = run_cases(target.port, seeds, run=SEED, numbers=range(CASES), memory_mb=target.memory_mb)
    assert [(one.case.number, one.case.name, one.faults) for one in result.failures] == []
    assert sum(result.statuses.values()) == CASES
    assert {name for name, _ in result.statuses} == {seed.name for seed in seeds}
    assert aftermath(target, before) == []


def test_requests_made_from_the_document_are_answered_as_it_says(target):
    from tests.bench.fuzzing.schema import run_schema

    found = run_schema(target.url, cases=200, seed=SEED, operations="/v1/")
    assert {what: asked[0] for what, asked in found.faults.items()} == {}
    assert found.cases >= 200
    assert aftermath(target, {}) == []


def test_a_case_is_made_again_from_its_seed_and_number(document):
    seeds = make_seeds(document)
    assert [make_case(seeds, 7, n).what for n in range(50)] == [make_case(seeds, 7, n).what for n in range(50)]
    assert [make_case(seeds, 7, n).what for n in range(50)] != [make_case(seeds, 8, n).what for n in range(50)]


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (Answer(500, "application/problem+json", b'{"detail":"x"}'), "status 500"),
        (Answer(503, "application/problem+json", b'{"detail":"x"}'), "status 503"),
        (Answer(why="hung", seconds=3.0), "no answer within 3.0 s"),
        (Answer(why="closed"), "the connection was closed without an answer"),
        (Answer(422, "application/problem+json", b'{"detail":"x","status":422}'), "status 422 that names no field"),
        (Answer(200, "application/json", b'{"probability":NaN}'), "status 200 whose body is no JSON"),
        (Answer(400, "text/plain", b"Bad"), "without a problem document"),
    ],
)
def test_what_must_not_be_answered_is_seen(document, answer, fault):
    case = next(case for n in range(99) if (case := make_case(make_seeds(document), 7, n)).has_answer)
    assert fault in " ".join(faults_of(case, answer))


def test_growth_is_measured_over_the_second_half():
    assert slope_mb([(0, 50.0), (100, 90.0), (500, 100.0), (1000, 105.0), (1500, 110.0)]) == pytest.approx(10)
    assert slope_mb([]) == 0


@pytest.mark.parametrize("path", [b"/v1/score", b"/v1/score/batch"])
def test_who_asks_for_another_protocol_is_answered_in_this_one(target, example, path):
    body = json.dumps(example if path == b"/v1/score" else {"rows": [example]}).encode()
    upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
    assert post(target, path, body, JSON + upgrade).status == 200
    head = b"POST %b HTTP/1.1\r\nhost: x\r\n%b%bcontent-length: %d\r\n\r\n" % (path, JSON, upgrade, len(body))
    with socket.create_connection(("127.0.0.1", target.port), timeout=20) as connection:
        for _ in range(2):  # the connection is of use for the next request
            connection.sendall(head + body)
            found = b""
            while not found.endswith(b"}"):
                received = connection.recv(65536)
                assert received, found
                found += received
            assert found.startswith(b"HTTP/1.1 200"), found


def test_a_body_that_speaks_of_an_upgrade_stays_as_it_is(target, example):
    body = b'{"customer_id": "a\r\nUpgrade: b"}'
    said = post(target, b"/v1/score", body, JSON).body
    assert b"Invalid control character" in said
    said = post(target, b"/v1/outcomes", b"prediction_id,outcome,\r\nUpgrade: x\r\n", b"content-type: text/csv\r\n")
    assert b"ignored" not in said.body


@pytest.mark.parametrize("path", [b"/v1/score", b"/v1/outcomes"])
def test_trailers_without_end_take_no_memory(target, path):
    before = target.memory_mb()
    head = b"POST %b HTTP/1.1\r\nhost: x\r\n%btransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n" % (path, JSON)
    trailers = (b"X-T: " + b"t" * 1000 + b"\r\n") * 1000
    answer = send(target.port, (head, *[trailers] * 40), limit_seconds=30)
    assert answer.status in (0, 408)
    assert target.memory_mb() < before + 20


def test_requests_whose_answers_nobody_reads_take_no_memory(target):
    before = target.memory_mb()
    asked = b"GET /docs HTTP/1.1\r\nhost: x\r\n\r\n" * 500_000
    with socket.create_connection(("127.0.0.1", target.port), timeout=2) as connection, pytest.raises(TimeoutError):
        connection.sendall(asked)
    assert target.memory_mb() < before + 60
    assert aftermath(target, {}) == []


def test_many_requests_in_one_read_are_no_endless_head(target):
    one = b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n"
    with socket.create_connection(("127.0.0.1", target.port), timeout=20) as connection:
        connection.sendall(one * 5000)
        left = 5000
        while left:
            received = connection.recv(1 << 20)
            assert received
            left -= received.count(b"live\n")
        assert left == 0


def test_an_id_beyond_all_dates_is_refused_by_name(target):
    told = {"prediction_id": "ffffffff-ffff-7fff-bfff-ffffffffffff", "outcome": "Yes"}
    answer = post(target, b"/v1/outcomes", json.dumps({**told, "observed_at": "2026-01-01T00:00:00Z"}).encode(), JSON)
    assert answer.status == 422
    assert [one["field"] for one in json.loads(answer.body)["errors"]] == ["observed_at"]


def test_half_a_surrogate_pair_as_a_key_of_an_inference_request_is_refused(target):
    answer = post(target, b"/v2/models/toy/infer", b'{"inputs":[{"name":"x","\\ud800":1}]}', JSON)
    assert answer.status == 422


@pytest.mark.parametrize("kind", [b"text/csv", b"application/x-ndjson"])
def test_a_stream_of_nothing_is_refused_by_name(target, kind):
    answer = post(target, b"/v1/outcomes", b"\n\n", b"content-type: %b\r\n" % kind)
    assert (answer.status, json.loads(answer.body)["errors"][0]["field"]) == (422, "outcomes")


def test_lines_of_thousands_of_unknown_fields_are_answered_in_few_words(target, document):
    before = target.memory_mb()
    for asked in make_expensive(document):
        if asked.path == "/v1/outcomes" and "lines of 8 kB, of unknown" in asked.what:
            answer = send(target.port, (asked.on_the_line(None),), limit_seconds=60)
            assert answer.status == 422
            assert len(answer.body) < STREAM_BYTES
            assert target.memory_mb() < before + 40
            break
    else:
        pytest.fail("there is no such body")
