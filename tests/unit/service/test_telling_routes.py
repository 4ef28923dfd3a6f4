"""Outcomes and treatments as a client tells them: whole as JSON, line by line as a stream, bad ones by name."""

import asyncio
import json

import pytest
from serving_app import served
from serving_toys import FEATURES, NOW_MICROS

from service import ids
from service.prediction_log.records import Outcome, Treatment
from service.routes.telling import MOST_BAD_LINES

OUTCOMES, TREATMENTS = "/v1/outcomes", "/v1/treatments"
OWN_ID = "0190163d-8694-739b-aea5-966c26f8ad91"
OUTCOME = {"prediction_id": OWN_ID, "outcome": "Yes", "observed_at": "2026-02-05T10:00:00+01:00"}
OBSERVED = 1_770_282_000_000_000  # 2026-02-05 09:00 UTC
TREATMENT = {"prediction_id": OWN_ID, "action": "retention-email", "taken_at": "2026-02-05T09:00:00Z"}
CSV = {"content-type": "text/csv; charset=utf-8"}
NDJSON = {"content-type": "application/x-ndjson"}
HEADER = "prediction_id,outcome,observed_at"
LINE = ",".join(OUTCOME.values())


@pytest.fixture
def app(tmp_path):
    with served(tmp_path, batch_rows=1000) as found:
        yield found


def send(app, content, headers, path=OUTCOMES):
    return app.request("POST", path, content=content, headers=headers)


def test_one_outcome_or_many_are_taken(app):
    response = app.post(OUTCOMES, OUTCOME)
    assert (response.status_code, response.json()) == (202, {"accepted": 1})
    many = {"outcomes": [OUTCOME, {**OUTCOME, "prediction_id": OWN_ID.upper(), "outcome": "No"}]}
    assert app.post(OUTCOMES, many).json() == {"accepted": 2}
    told = {"prediction_id": OWN_ID, "observed_at": OBSERVED, "received_at": NOW_MICROS}
    assert app.records() == [Outcome(positive=positive, **told) for positive in (True, True, False)]
    assert "gauntlet_outcomes_total 3" in app.metrics()


def test_one_treatment_or_many_are_taken(app):
    assert app.post(TREATMENTS, TREATMENT).json() == {"accepted": 1}
    response = app.post(TREATMENTS, {"treatments": [TREATMENT, {**TREATMENT, "action": "Anruf, 10 Uhr ☎"}]})
    assert (response.status_code, response.json()) == (202, {"accepted": 2})
    told = {"prediction_id": OWN_ID, "taken_at": OBSERVED, "received_at": NOW_MICROS}
    actions = ("retention-email", "retention-email", "Anruf, 10 Uhr ☎")
    assert app.records() == [Treatment(action=action, **told) for action in actions]
    assert "gauntlet_treatments_total 3" in app.metrics()


BAD_MOMENTS = [
    "2026-03-05T10:00:00",
    "yesterday",
    1772701200,
    None,
    "1969-12-31T23:59:59Z",
    "0001-01-01T00:00:00+23:59",
    "2026-03-01T12:05:01Z",  # the server's clock says 12:00
    "9999-12-31T23:59:59-23:59",
    "2024-06-14T10:09:08Z",  # the prediction was made at 10:14:09.172
]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"prediction_id": "x"}, "prediction_id"),
        ({"prediction_id": None}, "prediction_id"),
        ({"outcome": "yes"}, "outcome"),
        ({"outcome": True}, "outcome"),
        ({"outcome": None}, "outcome"),
        ({"outcome": ["Yes"]}, "outcome"),
        ({"label": "Yes"}, "label"),
        *(({"observed_at": moment}, "observed_at") for moment in BAD_MOMENTS),
    ],
)
def test_a_bad_outcome_is_named_by_row_and_field_and_nothing_is_taken(app, changes, field):
    response = app.post(OUTCOMES, {"outcomes": [OUTCOME, {**OUTCOME, **changes}]})
    assert response.status_code == 422
    assert [(entry["row"], entry["field"]) for entry in response.json()["errors"]] == [(1, field)]
    alone = app.post(OUTCOMES, {**OUTCOME, **changes})
    assert [entry["field"] for entry in alone.json()["errors"]] == [field]
    assert app.records() == []


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"prediction_id": "x"}, "prediction_id"),
        ({"action": ""}, "action"),
        ({"action": "x" * 101}, "action"),
        ({"action": "a\nb"}, "action"),
        ({"action": "a\0"}, "action"),
        ({"action": 7}, "action"),
        ({"action": None}, "action"),
        ({"who": "me"}, "who"),
        *(({"taken_at": moment}, "taken_at") for moment in BAD_MOMENTS),
    ],
)
def test_a_bad_treatment_is_named_by_row_and_field_and_nothing_is_taken(app, changes, field):
    response = app.post(TREATMENTS, {"treatments": [TREATMENT, {**TREATMENT, **changes}]})
    assert response.status_code == 422
    assert [(entry["row"], entry["field"]) for entry in response.json()["errors"]] == [(1, field)]
    assert app.records() == []


@pytest.mark.parametrize("moment", ["2026-03-01T12:05:00Z", "2024-06-14T10:09:10Z"])
def test_clocks_may_differ_by_five_minutes(app, moment):
    assert app.post(OUTCOMES, {**OUTCOME, "observed_at": moment}).status_code == 202


def test_a_moment_that_is_refused_is_told_the_bound(app):
    too_late = app.post(OUTCOMES, {**OUTCOME, "observed_at": "2026-03-02T00:00:00Z"}).json()["errors"][0]
    assert "2026-03-01T12:05:00+00:00" in too_late["allowed"]
    too_early = app.post(OUTCOMES, {**OUTCOME, "observed_at": "2020-01-01T00:00:00Z"}).json()["errors"][0]
    assert "2024-06-14T10:14:09+00:00" in too_early["allowed"]


@pytest.mark.parametrize(
    "told", [{}, {"outcomes": []}, {"outcomes": 1}, {"outcomes": [7]}, {"outcomes": [OUTCOME], "x": 1}, [OUTCOME], 1]
)
def test_outcomes_of_another_form_are_refused(app, told):
    assert app.post(OUTCOMES, told).status_code == 422
    assert app.records() == []


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff", b'{"outcomes": [}', json.dumps(OUTCOME).replace(", ", ', "outcome": "No", ', 1)]
)
def test_what_is_no_json_is_refused_as_such(app, content):
    assert app.request("POST", OUTCOMES, content=content).status_code == 400


def test_a_key_written_twice_in_one_of_many_is_named(app):
    twice = json.dumps(OUTCOME).replace('"outcome": "Yes"', '"outcome": "No", "outcome": "Yes"')
    response = app.request("POST", OUTCOMES, content=f'{{"outcomes": [{json.dumps(OUTCOME)}, {twice}]}}')
    (error,) = response.json()["errors"]
    assert (response.status_code, error["row"]) == (422, 1)
    assert "'outcome' twice" in error["value"]
    assert app.records() == []


def test_a_body_with_endless_problems_is_answered_with_the_first_hundred(app):
    response = app.post(OUTCOMES, {"outcomes": [{}] * 1000})
    assert response.status_code == 422
    assert len(response.json()["errors"]) <= 103


def test_more_than_a_call_may_hold_are_refused(app):
    response = app.post(OUTCOMES, {"outcomes": [OUTCOME] * 1001})
    assert response.status_code == 422
    assert "1,000" in response.json()["errors"][0]["allowed"]
    assert app.post(OUTCOMES, {"outcomes": [OUTCOME] * 1000}).json() == {"accepted": 1000}


ELEMENTS = {
    "empty objects": b"{},",
    "numbers": b"0,",
    "lists": b"[],",
    "short outcomes": b'{"prediction_id":"","outcome":"","observed_at":""},',
    "short rows": b'{"features":{}},',
    "keys": b'{"a":0,"b":0,"c":0,"d":0},',
}


@pytest.mark.parametrize("element", ELEMENTS.values(), ids=ELEMENTS.keys())
@pytest.mark.parametrize(("path", "name"), [(OUTCOMES, "outcomes"), ("/v1/score/batch", "rows")])
def test_what_follows_one_element_too_many_is_not_even_looked_at(app, path, name, element):
    body = b'{"%b":[' % name.encode() + element * 1001
    response = app.request("POST", path, content=body + b"nonsense")
    told = response.json()
    assert (response.status_code, told["type"]) == (422, "urn:gauntlet:problem:invalid-request")


def test_outcomes_that_cannot_be_kept_are_not_called_accepted(tmp_path):
    with served(tmp_path) as toy:
        prediction_id = toy.post("/v1/score", {"features": FEATURES}).json()["prediction_id"]
        told = {"prediction_id": prediction_id, "outcome": "Yes", "observed_at": "2026-03-01T12:00:00Z"}
        assert toy.post(OUTCOMES, told).status_code == 202
        toy.application._spool.close()
        for response in (toy.post(OUTCOMES, told), send(toy, f"{HEADER}\n{LINE}\n", CSV)):
            assert response.status_code == 503
            assert "send them all again" in response.json()["detail"]


def test_lines_of_csv_are_taken(app):
    swapped = "outcome,observed_at,prediction_id"
    for content in (
        f"{HEADER}\n{LINE}\n{LINE}\n",
        f"\ufeff{HEADER}\r\n{LINE}\r\n\r\n{LINE}",
        f'{swapped}\n"Yes","2026-02-05T09:00:00Z",{OWN_ID}\nYes,2026-02-05T09:00:00Z,{OWN_ID}\n',
    ):
        response = send(app, content, CSV)
        assert (response.status_code, response.json()) == (202, {"accepted": 2})
    told = {"prediction_id": OWN_ID, "observed_at": OBSERVED, "received_at": NOW_MICROS}
    assert app.records() == [Outcome(positive=True, **told)] * 6


def test_lines_of_json_are_taken(app):
    content = f"{json.dumps(TREATMENT)}\n\n{json.dumps(TREATMENT)}"
    assert send(app, content, NDJSON, TREATMENTS).json() == {"accepted": 2}
    assert len(app.records()) == 2


@pytest.mark.parametrize(
    ("line", "field"),
    [
        (LINE.replace("Yes", "Maybe"), "outcome"),
        (LINE.replace("2026", "2027"), "observed_at"),
        (LINE.replace(OWN_ID, "x"), "prediction_id"),
        (LINE + ",more", "line"),
        ("Yes", "line"),
        ('"' + LINE, "line"),
        (LINE.replace("Yes", '"Y"es'), "line"),
        (b"\xff" + LINE.encode(), "line"),
        ("x" * 70_000, "line"),
    ],
)
def test_a_bad_line_of_csv_is_named_by_its_number_and_column_and_the_others_are_taken(app, line, field):
    bad = line if isinstance(line, bytes) else line.encode()
    response = send(app, b"\n".join([HEADER.encode(), LINE.encode(), b"", bad, LINE.encode()]), CSV)
    told = response.json()
    assert (response.status_code, told["accepted"], told["refused"]) == (202, 2, 1)
    assert [(error["line"], error["field"]) for error in told["errors"]] == [(4, field)]
    assert told["errors"][0]["allowed"]
    assert len(app.records()) == 2


@pytest.mark.parametrize("header", ["", "prediction_id,outcome", HEADER + ",more", LINE, f"{HEADER},outcome", "\0"])
def test_csv_without_its_header_is_refused(app, header):
    response = send(app, f"{header}\n{LINE}\n", CSV)
    assert response.status_code == 422
    assert app.records() == []


def test_a_stream_of_bad_lines_is_a_problem_that_says_what_was_taken(app):
    response = send(app, f"{HEADER}\nx,Yes,now\n", CSV)
    told = response.json()
    assert (response.status_code, response.headers["content-type"]) == (422, "application/problem+json")
    assert (told["accepted"], told["refused"], told["status"]) == (0, 1, 422)
    assert {error["line"] for error in told["errors"]} == {2}


def test_a_stream_with_a_thousand_bad_lines_is_not_read_to_its_end(app):
    lines = [HEADER, LINE, *["bad,Yes,2026-02-05T09:00:00Z"] * (MOST_BAD_LINES + 500), LINE]
    response = send(app, "\n".join(lines), CSV)
    told = response.json()
    assert (response.status_code, told["accepted"], told["refused"]) == (422, 1, MOST_BAD_LINES + 1)
    assert f"line {MOST_BAD_LINES + 3:,}" in told["detail"]
    assert len(app.records()) == 1


def test_a_file_of_many_lines_is_taken_in_parts(app):
    made = ids.make_ids(NOW_MICROS, bytes(8))[0]

    async def parts():
        yield HEADER.encode()
        for _ in range(20):
            yield f"\n{made},No,2026-03-01T12:00:00Z".encode() * 300

    assert send(app, parts(), CSV).json() == {"accepted": 6000}
    assert len(app.records()) == 6000


def test_a_client_that_leaves_is_not_answered_as_if_all_were_taken(app):
    async def leave():
        sent, received = [], asyncio.Queue()

        async def send_message(message):
            sent.append(message)

        received.put_nowait({"type": "http.request", "body": f"{HEADER}\n{LINE}\n".encode(), "more_body": True})
        received.put_nowait({"type": "http.disconnect"})
        scope = {"type": "http", "method": "POST", "path": OUTCOMES, "query_string": b""}
        await app.application.http(scope | {"headers": [(b"content-type", b"text/csv")]}, received.get, send_message)
        return sent[0]["status"]

    assert app.loop.run_until_complete(leave()) == 400


def test_treatments_need_the_scope_of_outcomes(app):
    scopes = {route.path: route.scope for route in app.application.http.routes}
    assert (scopes[OUTCOMES], scopes[TREATMENTS]) == ("outcomes", "outcomes")
