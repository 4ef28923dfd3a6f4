"""`POST /v1/retention-email` in scoring: who is left alone, what goes on to insight, and the record of an override."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from serving_app import served
from serving_toys import FEATURES
from test_insight_proxy import Insight, run, says_json

from service.prediction_log.records import Treatment
from service.routes.retention import NOTICE, OVERRIDE
from service.scoring.experiment import Experiment, write_experiment

PATH = "/v1/retention-email"
OWN_ID = "0190163d-8694-739b-aea5-966c26f8ad91"
ASKED = {"customer_id": "7590-VHVEG", "features": FEATURES, "tone": "formal", "prediction_id": OWN_ID}
DRAFT = b'{"draft": {"subject": "s", "text": "t"}, "source": "template"}'


def withholding(champion, share):
    """An experiment that withholds actions from a share of customers."""
    return Experiment(
        revision=2,
        effective_from=datetime(2026, 1, 1, tzinfo=UTC),
        mode="off",
        champion=champion,
        challenger=None,
        split=0.0,
        salt="salt",
        no_treatment=share,
        population_salt="population",
    )


def ask(tmp_path, body, *, content=None, answer=None, no_treatment=0.0):
    """What a client is answered, what insight heard, and what stands in the prediction log."""
    sent = {"json": body} if content is None else {"content": content}
    with served(tmp_path, insight_url="http://127.0.0.1:9") as app:
        write_experiment(tmp_path / "experiment.yaml", withholding(app.digests[0], no_treatment))
        app.application.watch.poll()

        async def talk():
            async with Insight(answer or says_json(DRAFT)) as insight:
                app.application._insight.client.url = insight.url
                return await app._request("POST", PATH, **sent), insight.heard

        response, heard = run(app, talk())
        return response, [one.partition(b"\r\n\r\n")[2] for one in heard], app.records(), app.metrics()


def test_the_customer_s_id_stays_in_scoring_and_the_rest_goes_on(tmp_path):
    response, (heard,), records, _ = ask(tmp_path, ASKED)
    assert json.loads(heard) == {"features": FEATURES, "tone": "formal", "prediction_id": OWN_ID}
    assert b"7590" not in heard
    assert response.json() == {
        **json.loads(DRAFT),
        "no_treatment": False,
        "override_recorded": False,
        "notice": None,
    }
    assert records == []


WITHHELD = {"no_treatment": 0.999}
"""Almost everybody, and this customer too."""


def test_a_customer_from_whom_actions_are_withheld_gets_a_notice_and_insight_is_not_asked(tmp_path):
    response, heard, records, _ = ask(tmp_path, ASKED, **WITHHELD)
    assert response.status_code == 200
    assert response.json() == {
        "draft": None,
        "no_treatment": True,
        "override_recorded": False,
        "notice": NOTICE,
        "prediction_id": OWN_ID,
    }
    assert (heard, records) == ([], [])


def test_the_rule_is_the_one_that_scoring_tells(tmp_path):
    with served(tmp_path, insight_url="http://127.0.0.1:9") as app:
        write_experiment(tmp_path / "experiment.yaml", withholding(app.digests[0], 0.5))
        app.application.watch.poll()

        async def talk():
            async with Insight(says_json(DRAFT)) as insight:
                app.application._insight.client.url = insight.url
                told = []
                for number in range(40):
                    named = {"customer_id": f"c-{number}", "features": FEATURES}
                    answers = [await app._request("POST", path, json=named) for path in ("/v1/score", PATH)]
                    told.append([answer.json()["no_treatment"] for answer in answers])
                return told

        told = run(app, talk())
    assert all(scored is drafted for scored, drafted in told)
    assert {scored for scored, _ in told} == {True, False}


def test_an_override_is_recorded_as_a_treatment_before_the_draft_leaves(tmp_path):
    response, heard, records, metrics = ask(tmp_path, {**ASKED, "override": True}, **WITHHELD)
    answer = response.json()
    assert (answer["no_treatment"], answer["override_recorded"]) == (True, True)
    assert answer["draft"] == {"subject": "s", "text": "t"}
    assert OVERRIDE in answer["notice"]
    (record,) = records
    assert isinstance(record, Treatment)
    assert (record.prediction_id, record.action) == (OWN_ID, OVERRIDE)
    assert b"override" not in heard[0]
    assert "gauntlet_treatments_total 1.0" in metrics


def test_an_override_of_nothing_is_not_recorded(tmp_path):
    response, _, records, _ = ask(tmp_path, {**ASKED, "override": True})
    assert (response.json()["no_treatment"], response.json()["override_recorded"]) == (False, False)
    assert records == []


def test_an_override_that_gives_no_draft_is_not_recorded(tmp_path):
    problem = says_json(b"{}", status=b"422 Odd", kind=b"application/problem+json")
    response, _, records, _ = ask(tmp_path, {**ASKED, "override": True}, answer=problem, **WITHHELD)
    assert (response.status_code, records) == (422, [])


def test_without_the_record_there_is_no_draft(tmp_path):
    with served(tmp_path, insight_url="http://127.0.0.1:9") as app:
        write_experiment(tmp_path / "experiment.yaml", withholding(app.digests[0], 0.999))
        app.application.watch.poll()

        async def talk():
            async with Insight(says_json(DRAFT)) as insight:
                app.application._insight.client.url = insight.url
                app.application._spool.close()
                return await app._request("POST", PATH, json={**ASKED, "override": True})

        response = run(app, talk())
    assert response.status_code == 503
    assert "override cannot be recorded" in response.json()["detail"]


def test_while_nobody_knows_who_is_left_alone_there_is_no_draft(tmp_path):
    with served(tmp_path, insight_url="http://127.0.0.1:9", experiment_file=tmp_path / "none.yaml") as app:
        response = app.post(PATH, ASKED)
    assert response.status_code == 503
    assert "nobody knows which customers are left alone" in response.json()["detail"]


REFUSED = {
    "nobody is named": ({"customer_id": None}, "customer_id"),
    "an empty id": ({"customer_id": ""}, "customer_id"),
    "a flag for an id": ({"customer_id": True}, "customer_id"),
    "an override without a prediction": ({"override": True, "prediction_id": None}, "prediction_id"),
    "an override that is no flag": ({"override": "yes"}, "override"),
    "an id that is none": ({"prediction_id": "7"}, "prediction_id"),
}


@pytest.mark.parametrize(("changes", "field"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_allowed_is_named_by_its_field_and_never_reaches_insight(tmp_path, changes, field):
    response, heard, _, _ = ask(tmp_path, {**ASKED, **changes})
    assert response.status_code == 422
    assert field in [error["field"] for error in response.json()["errors"]]
    assert heard == []


ODD = {
    "a number that JSON does not have": (b"NaN", b"NaN"),
    "an endless one": (b"1e999", b"Infinity"),
    "a number of a hundred digits": (b"1" * 100, b"1" * 100),
    "a number of many thousand digits": (b"1" * 9999, b"Infinity"),
    "half of a pair": (rb'"\ud800"', rb'"\ud800"'),
}


@pytest.mark.parametrize(("spelled", "passed"), ODD.values(), ids=ODD)
def test_what_insight_is_to_refuse_reaches_it_as_what_it_is(tmp_path, spelled, passed):
    content = b'{"customer_id": "a", "features": {"charges": %b}}' % spelled
    response, (heard,), *_ = ask(tmp_path, None, content=content, answer=says_json(b"{}", status=b"422 Odd"))
    assert response.status_code == 422
    assert heard == b'{"features": {"charges": %b}}' % passed


@pytest.mark.parametrize("body", [[], "x", 3])
def test_a_body_that_is_no_object_is_refused(tmp_path, body):
    response, heard, _, _ = ask(tmp_path, body)
    assert (response.status_code, heard) == (422, [])


def test_an_answer_that_is_no_object_is_unavailable(tmp_path):
    response, *_ = ask(tmp_path, ASKED, answer=says_json(b"[1]"))
    assert response.status_code == 503


def test_a_draft_counts_as_a_row_of_the_client_s_rate(tmp_path):
    with served(tmp_path, insight_url="http://127.0.0.1:9", rate_per_second=0.001, rate_burst=1) as app:

        async def talk():
            async with Insight(says_json(DRAFT)) as insight:
                app.application._insight.client.url = insight.url
                return [(await app._request("POST", PATH, json=ASKED)).status_code for _ in range(2)]

        assert run(app, talk()) == [200, 429]
