"""Many rows of one request: an answer a row in order, bad rows named in their place, streams answered as they come."""

import asyncio
import json

import pytest
from serving_app import served
from serving_toys import FEATURES, NAN, NOW, NOW_MICROS, REFERENCE

from service import ids
from service.http.application import JSON, Request
from service.routes.asking import Asking
from service.routes.lines import LINE_LIMIT_BYTES
from service.scoring.deciding import Roles, ScoreRequest, Trial
from service.scoring.models import Identity, Model
from service.scoring.routing import assign_variant

BATCH = "/v1/score/batch"
NDJSON = {"content-type": "application/x-ndjson"}


def row(number=0, **changes):
    return {"customer_id": f"c{number}", "features": FEATURES} | changes


def own_id(number=0, hours_ago=1.0):
    return ids.make_id(NOW_MICROS - round(hours_ago * 3_600_000_000), (number << 8).to_bytes(8, "big"))


@pytest.fixture
def split(tmp_path):
    with served(tmp_path, mode="split", split=0.5, batch_rows=300) as found:
        yield found


@pytest.fixture(scope="module")
def off(tmp_path_factory):
    with served(tmp_path_factory.mktemp("off"), batch_rows=300) as found:
        yield found


def lines_of(response):
    assert response.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in response.content.splitlines()]


def fields(refused):
    return [entry["field"] for entry in refused["errors"]]


# 300 rows are three chunks, the last of them not full.
def test_every_row_is_answered_in_order_as_if_it_were_asked_alone(split):
    rows = [row(number) for number in range(300)]
    response = split.post(BATCH, {"rows": rows})
    assert response.status_code == 200
    told = response.json()
    assert (told["accepted"], told["refused"], len(told["predictions"])) == (300, 0, 300)
    variants = [answer["variant"] for answer in told["predictions"]]
    assert variants == [assign_variant("salt", f"c{number}", 0.5) for number in range(300)]
    alone = split.post("/v1/score", rows[7]).json()
    assert {**told["predictions"][7], "prediction_id": ""} == {**alone, "prediction_id": ""}


def test_every_row_is_in_the_prediction_log_and_counted(split):
    told = split.post(BATCH, {"rows": [row(number) for number in range(150)]}).json()
    records = split.records()
    assert [record.customer_id for record in records] == [f"c{number}" for number in range(150)]
    assert [record.variant for record in records] == [answer["variant"] for answer in told["predictions"]]
    assert all(record.challenger_probability == pytest.approx(0.7) for record in records)
    counted = [line for line in split.metrics().splitlines() if line.startswith("gauntlet_predictions_total{")]
    assert sum(float(line.rsplit(" ", 1)[1]) for line in counted) == 150


@pytest.mark.parametrize(
    ("bad", "status", "field"),
    [
        (row(features={**FEATURES, "tenure": 73}), 422, "tenure"),
        (row(features={**FEATURES, "charges": "much"}), 422, "charges"),
        (row(features={**FEATURES, "colour": "red"}), 422, "colour"),
        (row(features=[]), 422, "features"),
        (row(customer_id=""), 422, "customer_id"),
        (row(prediction_id="mine"), 422, "prediction_id"),
        (row(prediction_id=own_id(hours_ago=25)), 422, "prediction_id"),
        (row(label="Yes"), 422, "label"),
        (7, 422, "body"),
    ],
)
def test_a_bad_row_is_named_in_its_place_and_costs_the_others_nothing(split, bad, status, field):
    rows = [row(0), bad, row(2)]
    told = split.post(BATCH, {"rows": rows}).json()
    as_lines = lines_of(split.request("POST", BATCH, content="\n".join(map(json.dumps, rows)), headers=NDJSON))
    assert (told["accepted"], told["refused"]) == (2, 1)
    for answered in (told["predictions"], as_lines):
        assert [answered[0]["variant"], answered[2]["variant"]] == [
            assign_variant("salt", c, 0.5) for c in ("c0", "c2")
        ]
        refused = answered[1]
        assert (refused["row"], refused["status"], fields(refused)) == (1, status, [field])
        assert field in refused["detail"]
    assert [record.customer_id for record in split.records()] == ["c0", "c2"] * 2


def test_a_bad_row_in_a_later_chunk_keeps_its_number(split):
    rows = [row(number) for number in range(290)]
    rows[200]["features"] = {**FEATURES, "tenure": -1}
    told = split.post(BATCH, {"rows": rows}).json()["predictions"]
    as_lines = lines_of(split.request("POST", BATCH, content="\n".join(map(json.dumps, rows)), headers=NDJSON))
    for answered in (told, as_lines):
        assert [place for place, one in enumerate(answered) if "row" in one] == [200]
        assert answered[200]["row"] == 200


def test_a_batch_of_which_every_row_is_bad_is_a_problem(split):
    response = split.post(BATCH, {"rows": [row(features={}), row(customer_id=True)]})
    assert (response.status_code, response.headers["content-type"]) == (422, "application/problem+json")
    assert [(entry["row"], entry["field"]) for entry in response.json()["errors"]] == [
        *((0, feature.name) for feature in REFERENCE.features),
        (1, "customer_id"),
    ]
    assert split.records() == []


@pytest.mark.parametrize(
    ("told", "field"),
    [
        ({}, "rows"),
        ({"rows": []}, "rows"),
        ({"rows": {}}, "rows"),
        ({"rows": None}, "rows"),
        ({"rows": [row()] * 301}, "rows"),
        ({"rows": [row()], "purpose": "fun"}, "purpose"),
        ({"rows": [row()], "colour": "red"}, "colour"),
        ([row()], "body"),
    ],
)
def test_what_is_no_batch_is_refused_by_name(off, told, field):
    response = off.post(BATCH, told)
    assert response.status_code == 422
    assert [entry["field"] for entry in response.json()["errors"]] == [field]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff",
        b'{"rows": [{"features": {}}',
        b'{"rows": [{} {}]}',
        b'{"rows": [{}], "rows": [{}]}',
        b'{"rows": [{}]} x',
        b'{"rows": [' + b"[" * 50_000 + b"]}",
    ],
)
def test_what_is_no_json_is_refused_as_such(off, content):
    response = off.request("POST", BATCH, content=content)
    assert (response.status_code, response.json()["type"]) == (400, "urn:gauntlet:problem:malformed-json")


def test_a_key_written_twice_in_a_row_is_named_there(off):
    twice = json.dumps(row()).replace('"tenure": 3', '"tenure": 3, "tenure": 4')
    for answered in (
        off.request("POST", BATCH, content=f'{{"rows": [{json.dumps(row())}, {twice}]}}').json()["predictions"],
        lines_of(off.request("POST", BATCH, content=f"{json.dumps(row())}\n{twice}", headers=NDJSON)),
    ):
        assert (answered[1]["row"], answered[1]["status"]) == (1, 400)
        assert "'tenure' twice" in answered[1]["detail"]


def test_a_colon_in_a_value_changes_nothing(off):
    told = off.post(BATCH, {"rows": [row(customer_id="a:b::c"), row()]}).json()
    assert (told["accepted"], told["refused"]) == (2, 0)


def test_the_purpose_of_a_batch_is_that_of_its_rows(split):
    rows = [row(0), row(1, purpose="test"), row(2, purpose="what_if")]
    told = split.post(BATCH, {"rows": rows, "purpose": "test"}).json()
    assert [record.purpose for record in split.records()] == ["test", "test"]
    assert (told["predictions"][2]["row"], fields(told["predictions"][2])) == (2, ["purpose"])


def test_an_own_id_that_an_earlier_row_has_is_refused(split):
    rows = [row(0, prediction_id=own_id(1)), row(1, prediction_id=own_id(2)), row(2, prediction_id=own_id(1).upper())]
    told = split.post(BATCH, {"rows": rows}).json()
    assert [answer.get("prediction_id") for answer in told["predictions"]] == [own_id(1), own_id(2), None]
    assert "row 0" in told["predictions"][2]["errors"][0]["allowed"]


def test_a_retry_with_an_idempotency_key_is_the_same_predictions(split):
    body, headers = {"rows": [row(0), row(1)]}, {"idempotency-key": own_id(3)}
    first, second = (split.request("POST", BATCH, json=body, headers=headers).json() for _ in range(2))
    assert first == second
    given = [answer["prediction_id"] for answer in first["predictions"]]
    assert len({*given, split.request("POST", "/v1/score", json=row(0), headers=headers).json()["prediction_id"]}) == 3
    as_lines = split.request("POST", BATCH, content="\n".join(map(json.dumps, body["rows"])), headers=headers | NDJSON)
    assert [answer["prediction_id"] for answer in lines_of(as_lines)] == given


def test_a_row_that_brings_an_id_beside_an_idempotency_key_is_refused(split):
    body = {"rows": [row(0), row(1, prediction_id=own_id(4))]}
    told = split.request("POST", BATCH, json=body, headers={"idempotency-key": own_id(3)}).json()
    assert fields(told["predictions"][1]) == ["prediction_id"]


def test_a_champion_that_answers_no_probability_makes_the_batch_unavailable(tmp_path):
    with served(tmp_path, probabilities=(NAN,)) as found:
        response = found.post(BATCH, {"rows": [row(0), row(1)]})
        assert response.status_code == 503
        assert "row 0" in response.json()["detail"]
        (one,) = lines_of(found.request("POST", BATCH, content=json.dumps(row()), headers=NDJSON))
        assert (one["row"], one["status"]) == (0, 503)


def test_rows_that_cannot_be_logged_are_not_answered_where_every_row_must_be(tmp_path):
    with served(tmp_path, spool_when_full="refuse") as found:
        found.application._spool.close()
        assert found.post(BATCH, {"rows": [row()]}).status_code == 503


def test_the_rows_of_a_batch_count_against_the_clients_rate(tmp_path):
    with served(tmp_path, rate_per_second=0.001, rate_burst=10) as found:
        assert found.post(BATCH, {"rows": [row()] * 8}).status_code == 200
        response = found.post(BATCH, {"rows": [row()] * 8})
        assert (response.status_code, "retry-after" in response.headers) == (429, True)
        assert found.request("POST", BATCH, content=b"{}\n" * 8, headers=NDJSON).status_code == 429


def test_a_stream_is_answered_line_by_line_and_blank_lines_are_no_rows(split):
    content = "\r\n".join(["", json.dumps(row(0)), "  ", "{", json.dumps(row(2))])
    answered = lines_of(split.request("POST", BATCH, content=content, headers=NDJSON))
    assert [one.get("row") for one in answered] == [None, 1, None]
    assert answered[1]["status"] == 400
    assert [record.customer_id for record in split.records()] == ["c0", "c2"]


def test_a_line_that_is_too_long_is_refused_in_its_place(split):
    long = json.dumps(row(1, customer_id="x" * LINE_LIMIT_BYTES))
    content = "\n".join([json.dumps(row(0)), long, json.dumps(row(2))]).encode()

    async def drip():
        for start in range(0, len(content), 1000):
            yield content[start : start + 1000]

    for sent in (content, drip()):
        answered = lines_of(split.request("POST", BATCH, content=sent, headers=NDJSON))
        assert [one.get("row") for one in answered] == [None, 1, None]
        assert f"{LINE_LIMIT_BYTES:,}" in answered[1]["errors"][0]["allowed"]


def test_a_stream_of_no_rows_is_refused(off):
    for content in (b"", b"\n \n"):
        assert off.request("POST", BATCH, content=content, headers=NDJSON).status_code == 422


class Conversation:
    """A client that speaks ASGI, and sends the next part of its body when it likes."""

    def __init__(self, application, headers=()):
        self.sent, self.received = [], asyncio.Queue()
        scope = {"type": "http", "method": "POST", "path": BATCH, "query_string": b"", "headers": list(headers)}
        self.task = asyncio.ensure_future(application.http(scope, self.received.get, self._send))

    async def _send(self, message):
        self.sent.append(message)

    def tell(self, body=b"", *, more=True):
        self.received.put_nowait({"type": "http.request", "body": body, "more_body": more})

    def answered(self):
        return b"".join(message.get("body", b"") for message in self.sent).splitlines()

    async def until_answered(self, lines):
        while len(self.answered()) < lines:
            assert not self.task.done()
            await asyncio.sleep(0)


def test_a_stream_is_answered_while_it_goes_on(split):
    async def talk():
        client = Conversation(split.application, [(b"content-type", b"application/x-ndjson")])
        for number in range(3):
            text = json.dumps(row(number)).encode()
            client.tell(text[:10])
            client.tell(text[10:] + b"\n")
            await client.until_answered(number + 1)
        client.tell(more=False)
        await client.task
        return client

    client = split.loop.run_until_complete(talk())
    assert client.sent[0]["status"] == 200
    assert b"content-length" not in dict(client.sent[0]["headers"])
    assert len(client.answered()) == 3


def test_a_client_that_leaves_in_the_middle_of_a_stream_leaves_what_was_answered_in_the_log(split):
    async def leave():
        client = Conversation(split.application, [(b"content-type", b"application/x-ndjson")])
        client.tell(json.dumps(row(0)).encode() + b"\n" + json.dumps(row(1)).encode())
        await client.until_answered(1)
        client.received.put_nowait({"type": "http.disconnect"})
        await client.task

    split.loop.run_until_complete(leave())
    assert [record.customer_id for record in split.records()] == ["c0"]


def test_a_stream_that_is_faster_than_its_client_may_be_is_slowed_down(tmp_path):
    with served(tmp_path, rate_per_second=1000, rate_burst=100) as found:
        rows = "\n".join(json.dumps(row(number)) for number in range(300))
        answered = lines_of(found.request("POST", BATCH, content=rows, headers=NDJSON))
        assert [one["variant"] for one in answered] == ["champion"] * 300


class OpenStream:
    """A stream of rows whose client sends nothing more, and stays."""

    def __init__(self, found):
        self.received, self.sent = asyncio.Queue(), []
        head = {"type": "http", "method": "POST", "path": BATCH, "query_string": b""}
        head["headers"] = [(b"content-type", b"application/x-ndjson")]
        line = json.dumps(row()).encode() + b"\n"
        self.received.put_nowait({"type": "http.request", "body": line, "more_body": True})
        self.task = asyncio.ensure_future(found.application.http(head, self.received.get, self.send))

    async def send(self, message):
        self.sent.append(message)

    async def status(self):
        while not self.sent:
            await asyncio.sleep(0)
        return self.sent[0]["status"]

    async def leave(self):
        self.received.put_nowait({"type": "http.disconnect"})
        await self.task


@pytest.mark.parametrize("longest_wait_seconds", [0.25, 1e-9])
def test_streams_that_stay_open_keep_no_single_row_out_however_slow_the_model_is(tmp_path, longest_wait_seconds):
    async def scene(found):
        streams = [OpenStream(found) for _ in range(3)]
        statuses = sorted([await one.status() for one in streams])
        singles = [(await found._request("POST", "/v1/score", json=row(n))).status_code for n in range(5)]
        for one in streams:
            await one.leave()
        return statuses, singles

    with served(tmp_path, most_in_flight=4, longest_wait_seconds=longest_wait_seconds) as found:
        statuses, singles = found.loop.run_until_complete(scene(found))
    assert statuses == [200, 200, 429]  # half of what may be in flight
    assert singles == [200] * 5


def test_a_row_that_is_refused_does_not_go_on_waiting(tmp_path):
    with served(tmp_path, most_in_flight=2) as found:
        for _ in range(5):
            assert found.post("/v1/score", {"features": {}}).status_code == 422
        assert found.post("/v1/score", row()).status_code == 200


def test_single_rows_are_answered_between_the_chunks_of_a_batch(split):
    async def both():
        batch = asyncio.ensure_future(split._request("POST", BATCH, json={"rows": [row(n) for n in range(300)]}))
        while not split.records():
            await asyncio.sleep(0)
        single = await split._request("POST", "/v1/score", json=row(999))
        is_done = batch.done()
        await batch
        return single, is_done

    single, is_done = split.loop.run_until_complete(both())
    assert (single.status_code, is_done) == (200, False)
    customers = [record.customer_id for record in split.records()]
    assert 0 < customers.index("c999") < 300


MODELS = [Model(Identity(name="toy", version=v, digest=v), contract=None, scorer=None) for v in "12"]
TRIAL = (Trial("e", MODELS[1], 0.0),)


def roles(**changes):
    plain = {"experiment": "e", "revision": 1, "effective_from": 0, "mode": "split", "salt": "s", "champion": MODELS[0]}
    return Roles(**{**plain, "trials": TRIAL, **changes})


@pytest.mark.parametrize(
    "found",
    [
        roles(),
        roles(trials=()),
        roles(trials=(Trial("e", MODELS[1], 0.5),)),
        roles(trials=(Trial("e", MODELS[1], 0.0), Trial("f", MODELS[1], 1.0))),
        roles(trials=(Trial("e", None, 0.0),)),
        roles(sample=0.5),
        roles(holdout=0.5),
        roles(no_treatment=0.5),
        roles(trials=(), no_treatment=0.5),
        roles(pins={"c3": "challenger"}),
        roles(pin_by_header=True),
    ],
)
@pytest.mark.parametrize("headers", [{}, {b"gauntlet-variant": b"challenger", b"x-request-id": b"r"}])
def test_rows_are_decided_together_as_they_are_one_by_one(found, headers):
    class Watch:
        def roles(self, now):
            return found

        def roles_at(self, moment, now):
            return found

    asking = Asking(Watch(), clock=lambda: NOW_MICROS, randomness=bytes)
    request = Request({b"content-type": JSON, **headers}, started=1.0, client="me")
    rows = [ScoreRequest(features={}, customer_id=f"c{number}") for number in range(40)]
    rows += [ScoreRequest(features={}), ScoreRequest(features={}, customer_id=3, prediction_id=own_id(7))]
    together = asking.ask_all(rows, request, range(len(rows)))
    assert together == [asking.ask(one, request, row=place) for place, one in enumerate(rows)]


def test_ids_made_together_are_those_that_are_made_one_by_one():
    noise = bytes(range(64))
    apart = [ids.make_id(NOW_MICROS, noise[start : start + 8]) for start in range(0, 64, 8)]
    assert ids.make_ids(NOW_MICROS, noise) == apart
    assert NOW.timestamp() * 1000 == ids.millis_of(apart[0])
