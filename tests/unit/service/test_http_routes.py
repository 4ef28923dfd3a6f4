"""The routes as a client meets them: answers, records, refusals that name the field, and nothing that is a 5xx."""

import json
import uuid
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from serving_app import served
from serving_toys import CONTRACT, FEATURES, NAN, NOW_MICROS

from service.ids import make_id
from service.routes.bodies import deep_place
from service.scoring.experiment import Experiment, write_experiment
from service.scoring.routing import assign_variant

OWN_ID = "0190163d-8694-739b-aea5-966c26f8ad91"
FRESH_ID = make_id(NOW_MICROS - 3_600_000_000, b"12345678")
OUTCOME = {"prediction_id": OWN_ID, "outcome": "Yes", "observed_at": "2026-02-05T10:00:00+01:00"}


@pytest.fixture(scope="module")
def off(tmp_path_factory):
    with served(tmp_path_factory.mktemp("off")) as found:
        yield found


@pytest.fixture
def split(tmp_path):
    with served(tmp_path, mode="split", split=0.5) as found:
        yield found


def body(**changes):
    return {"customer_id": "somebody", "features": FEATURES} | changes


def fields(response):
    return [entry["field"] for entry in response.json()["errors"]]


def test_a_score_has_everything_that_an_answer_needs(off):
    response = off.post("/v1/score", body())
    assert response.status_code == 200
    answer = response.json()
    assert uuid.UUID(answer.pop("prediction_id")).int >> 80 == NOW_MICROS // 1000
    assert answer.pop("probability") == pytest.approx(0.3)
    model = {"name": "toy", "version": "1", "digest": off.digests[0]}
    assert answer == {"variant": "champion", "model": model, "label": "No", "risk": "low", "no_treatment": False}


def test_what_was_answered_is_in_the_spool(split):
    answers = [split.post("/v1/score", body(customer_id=f"c{number}")).json() for number in range(20)]
    records = split.records()
    assert [record.prediction_id for record in records] == [answer["prediction_id"] for answer in answers]
    assert [record.variant for record in records] == [answer["variant"] for answer in answers]
    assert {record.variant for record in records} == {"champion", "challenger"}
    assert [record.variant for record in records] == [assign_variant("salt", f"c{n}", 0.5) for n in range(20)]


def test_a_clients_own_id_is_kept(off):
    assert off.post("/v1/score", body(prediction_id=FRESH_ID.upper())).json()["prediction_id"] == FRESH_ID


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"features": {**FEATURES, "tenure": 73}}, "tenure"),
        ({"features": {**FEATURES, "tenure": 1.5}}, "tenure"),
        ({"features": {**FEATURES, "tenure": "3"}}, "tenure"),
        ({"features": {**FEATURES, "tenure": True}}, "tenure"),
        ({"features": {**FEATURES, "tenure": None}}, "tenure"),
        ({"features": {**FEATURES, "tenure": [1]}}, "tenure"),
        ({"features": {**FEATURES, "contract": "Weekly"}}, "contract"),
        ({"features": {**FEATURES, "contract": {"a": 1}}}, "contract"),
        ({"features": {**FEATURES, "colour": "red"}}, "colour"),
        ({"features": {name: value for name, value in FEATURES.items() if name != "senior"}}, "senior"),
        ({"features": {**FEATURES, "charges": NAN}}, "charges"),
        ({"features": {**FEATURES, "charges": float("-inf")}}, "charges"),
        ({"features": {**FEATURES, "\ud800": 1}}, "\\ud800"),
        ({"features": [1]}, "features"),
        ({"features": None}, "features"),
        ({"customer": "x"}, "customer"),
        ({"customer_id": ""}, "customer_id"),
        ({"customer_id": "x" * 201}, "customer_id"),
        ({"customer_id": "\ud800"}, "customer_id"),
        ({"customer_id": 1.5}, "customer_id"),
        ({"customer_id": True}, "customer_id"),
        ({"customer_id": 10**30}, "customer_id"),
        ({"purpose": "fun"}, "purpose"),
        ({"purpose": []}, "purpose"),
        ({"prediction_id": "mine"}, "prediction_id"),
        ({"prediction_id": str(uuid.UUID(int=4 << 76))}, "prediction_id"),
        ({"prediction_id": 7}, "prediction_id"),
    ],
)
def test_a_refusal_names_the_field_and_what_is_allowed(off, changes, field):
    response = off.request(
        "POST", "/v1/score", content=json.dumps(body(**changes)), headers={"content-type": "application/json"}
    )
    assert response.status_code == 422, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert field in fields(response)
    assert all(entry["allowed"] for entry in response.json()["errors"])


def test_every_problem_is_named_at_once(off):
    response = off.post("/v1/score", body(features={"tenure": 99, "colour": 1}, purpose="fun"))
    assert fields(response) == ["tenure", "charges", "contract", "senior", "colour", "purpose"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
        b"\x00",
        b'{"features": {"tenure": 3, "tenure": 4}}',
        b'{"customer_id": "a", "customer_id": "b", "features": {}}',
        b'{"features": ' + b"[" * 30_000 + b"]" * 30_000 + b"}",
    ],
)
def test_what_is_no_json_is_refused_as_such(off, content):
    response = off.request("POST", "/v1/score", content=content, headers={"content-type": "application/json"})
    assert (response.status_code, response.json()["type"]) == (400, "urn:gauntlet:problem:malformed-json")


def test_a_key_written_twice_is_named(off):
    text = json.dumps(body()).replace('"tenure": 3', '"tenure": 3, "tenure": 4')
    response = off.request("POST", "/v1/score", content=text.encode())
    assert response.status_code == 400
    assert "'tenure' twice" in response.json()["detail"]


@pytest.mark.parametrize("content", [b"[]", b"1", b"null", b'"text"'])
def test_json_that_is_no_object_is_refused(off, content):
    for path in ("/v1/score", "/v1/outcomes"):
        assert off.request("POST", path, content=content).status_code == 422


def test_a_colon_in_a_value_changes_nothing(off):
    assert off.post("/v1/score", body(customer_id="a:b::c")).status_code == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/vnd.bentoml+pickle"])
def test_a_body_that_is_not_declared_as_json_is_refused(off, kind):
    response = off.request("POST", "/v1/score", content=json.dumps(body()), headers={"content-type": kind})
    assert response.status_code == 415
    assert "application/json" in response.json()["detail"]


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "Application/JSON"])
def test_json_may_be_declared_in_any_way_that_says_so(off, kind):
    response = off.request("POST", "/v1/score", content=json.dumps(body()), headers={"content-type": kind})
    assert response.status_code == 200


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text() | st.integers(), st.lists, max_leaves=5))
def test_no_json_value_makes_it_fail(off_for_hypothesis, value):
    for name in ("features", "customer_id", "purpose", "prediction_id"):
        content = json.dumps(body(**{name: value}))
        response = off_for_hypothesis.request("POST", "/v1/score", content=content)
        assert response.status_code in (200, 400, 422)
    for name in OUTCOME:
        response = off_for_hypothesis.request("POST", "/v1/outcomes", content=json.dumps({**OUTCOME, name: value}))
        assert response.status_code in (202, 400, 422)


@pytest.fixture(scope="module")
def off_for_hypothesis(tmp_path_factory):
    with served(tmp_path_factory.mktemp("hypothesis")) as found:
        yield found


@pytest.mark.parametrize(
    ("path", "limit"), [("/v1/score", 64 * 1024), ("/v1/outcomes", 2000), ("/v1/score/batch", 2000)]
)
def test_a_body_beyond_the_limit_is_refused(tmp_path, path, limit):
    with served(tmp_path, body_limit_bytes=2000) as small:
        assert small.post(path, body(padding="x" * limit)).status_code == 413

        async def drip():
            for _ in range(11):
                yield b"x" * (limit // 10)

        assert small.request("POST", path, content=drip()).status_code == 413


def test_a_wrong_method_is_told_which_are_right(off):
    for method in ("GET", "PUT", "DELETE", "OPTIONS"):
        response = off.request(method, "/v1/score")
        assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert off.request("HEAD", "/readyz").status_code == 200


@pytest.mark.parametrize("path", ["/nope", "/v1/score/", "/v1", "/V1/score", "/%2e%2e/etc", "/\ud7ff"])
def test_an_unknown_route_is_a_problem_too(off, path):
    response = off.get(path)
    assert (response.status_code, response.json()["status"]) == (404, 404)


def test_the_root_leads_to_the_documentation(off):
    response = off.get("/")
    assert (response.status_code, response.headers["location"]) == (307, "/docs")


def test_the_experiment_says_what_scoring_knows_when_no_judge_is_named(split):
    said = split.get("/v1/experiment").json()
    assert (said["mode"], said["split"], said["revision"]) == ("split", 0.5, 1)
    assert (said["champion"]["digest"], said["challenger"]["digest"]) == tuple(split.digests)
    assert said["effective_from"] == "2026-01-01T00:00:00Z"
    assert said["judge"]["status"] == "unavailable"
    assert "GAUNTLET_JUDGE_URL" in said["judge"]["reason"]


def test_a_process_that_is_not_ready_says_why(tmp_path):
    unknown = Experiment(
        revision=1, effective_from=datetime(2026, 1, 1, tzinfo=UTC), mode="off", champion="sha256:" + "f" * 64, salt="s"
    )
    write_experiment(tmp_path / "unknown.yaml", unknown)
    with served(tmp_path, experiment_file=tmp_path / "unknown.yaml") as found:
        response = found.get("/readyz")
        assert response.status_code == 503
        assert "sha256:ffff" in response.json()["detail"]
        assert found.get("/livez").status_code == 200
        assert "gauntlet_experiment_champion_present 0.0" in found.metrics()


def test_before_any_valid_experiment_file_scoring_is_unavailable(tmp_path):
    with served(tmp_path, experiment_file=tmp_path / "absent.yaml") as found:
        assert found.post("/v1/score", body()).status_code == 503
        assert found.get("/v1/experiment").status_code == 503
        assert found.get("/readyz").status_code == 503


def test_a_challenger_that_answers_no_number_costs_the_customer_nothing(tmp_path):
    with served(tmp_path, mode="split", split=1.0, probabilities=(0.3, NAN)) as found:
        assert found.post("/v1/score", body()).json()["variant"] == "champion"
        assert 'gauntlet_challenger_failures_total{model="toy:2"} 1.0' in found.metrics()


def test_the_contract_is_what_the_toys_say(off):
    features = off.get("/openapi.json").json()["components"]["schemas"]["Features"]
    assert list(features["properties"]) == [feature.name for feature in CONTRACT.features]


def test_a_long_body_with_a_key_written_twice_is_refused_by_name(off):
    keys = ",".join(f'"{number}":0' for number in range(5_000))
    response = off.request(
        "POST", "/v1/score", content=f'{{{keys},"4999":0}}', headers={"content-type": "application/json"}
    )
    assert response.status_code == 400
    assert "'4999' twice" in response.json()["detail"]


def test_a_customer_id_with_a_nul_is_refused(off):
    response = off.post("/v1/score", body(customer_id="a\0b"))
    assert response.status_code == 422
    assert fields(response) == ["customer_id"]


def spoilt(value):
    """The features with a raw piece of JSON as a numeric one's value."""
    return "tenure", json.dumps(FEATURES | {"tenure": "@"}).replace('"@"', value)


BODIES = pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/v1/score", '{{"features":{}}}'),
        ("/v1/score/batch", '{{"rows":[{{"features":{}}}]}}'),
        ("/v1/outcomes", '{{"prediction_id":{}}}'),
        ("/v1/treatments", '{{"treatments":[{{"prediction_id":{}}}]}}'),
    ],
)


@BODIES
@pytest.mark.parametrize("digits", [400, 5000, 60_000])
def test_a_number_of_any_length_is_refused_by_the_name_of_its_field(off, path, text, digits):
    number = "9" * digits
    name, features = spoilt(number)
    content = text.format(features if "features" in text else number)
    response = off.request("POST", path, content=content, headers={"content-type": "application/json"})
    if path != "/v1/outcomes" or digits < 4000:  # one alone may not be longer than a short value
        assert response.status_code == 422
        assert (name if "features" in text else "prediction_id") in fields(response)
    else:
        assert (response.status_code // 100, "prediction_id" in response.json()["detail"]) == (4, True)


@BODIES
@pytest.mark.parametrize(("opened", "closed"), [("[", "]"), ('{"x":', "}")])
def test_deep_nesting_is_refused_by_the_name_of_its_field(off, path, text, opened, closed):
    deep = opened * 5000 + "1" + closed * 5000
    name, features = spoilt(deep)
    content = text.format(features if "features" in text else deep)
    response = off.request("POST", path, content=content, headers={"content-type": "application/json"})
    assert 400 <= response.status_code < 500
    assert (name if "features" in text else "prediction_id") in response.text


@pytest.mark.parametrize("rest", [b",", b", {", b', "features": ' + b"[" * 5000, b', "a": 1, "a": 2}'])
def test_what_is_wrong_behind_a_long_number_is_no_crash(off, rest):
    content = b'{"customer_id": ' + b"9" * 5000 + rest
    response = off.request("POST", "/v1/score", content=content, headers={"content-type": "application/json"})
    assert response.status_code == 400


def test_no_message_about_deep_nesting_takes_long_to_find():
    hostile = ('"' * 100_000, '"a\\' * 100_000, '\\"' * 100_000, ('"' + "a" * 98) * 1000, "[]" * 100_000)
    assert [deep_place(text) for text in hostile] == [""] * len(hostile)
    assert deep_place('{"a":{"b":' + "[" * 1000) == " at 'a.b'"
