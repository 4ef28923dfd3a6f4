"""A retention e-mail as a client asks for it: scoring in front, insight behind, and a server that speaks Groq's API."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

import httpx
import pytest
from groq_toys import GOOD_BODY, KEY, Groq, replies
from insight_toys import FOREST, make_explained_bento
from packing_toys import free_port
from serving_toys import FEATURES
from test_insight_process import running

from bentos.folder import Folder
from service.scoring.experiment import Experiment, write_experiment

CUSTOMER = "7590-VHVEG"
RISKY = {**FEATURES, "tenure": 1, "charges": 110.0, "contract": "Month-to-month"}


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """The address of a scoring process, the folder, and the server that stands in for Groq."""
    folder = Folder(tmp_path_factory.mktemp("email"))
    folder.bento.mkdir()
    (digest,) = make_explained_bento(folder.bento, [FOREST])
    experiment = Experiment(
        revision=1,
        effective_from=datetime(2025, 1, 1, tzinfo=UTC),
        mode="off",
        champion=digest,
        challenger=None,
        split=0.0,
        salt="salt",
        no_treatment=0.5,
        population_salt="population",
    )
    write_experiment(folder.experiment, experiment)
    key = folder.path / "groq-key"
    key.write_text(f"{KEY}\n")
    behind, port, admin = free_port(), free_port(), free_port()
    given = {"GAUNTLET_INSIGHT_URL": f"http://127.0.0.1:{behind}", "GAUNTLET_WORKERS": "1"}
    with Groq() as groq:
        asked = {"GAUNTLET_INSIGHT_WORKERS": "1", "GAUNTLET_GROQ_API_KEY_FILE": str(key), "GAUNTLET_GROQ_URL": groq.url}
        ready = f"http://127.0.0.1:{behind}/readyz"
        with running(folder, "insight", port=behind, ready=ready, **asked):
            arguments = ("--only", "scoring", "--admin-port", str(admin))
            scoring = f"http://127.0.0.1:{admin}/readyz"
            with running(folder, "serve", *arguments, port=port, ready=scoring, **given):
                yield f"http://127.0.0.1:{port}", f"http://127.0.0.1:{behind}", folder, groq


def post(url, **body):
    return httpx.post(url, json=body, timeout=60)


def customers(url):
    """One who may be written to and one from whom actions are withheld, as scoring tells them, with their ids."""
    found = {}
    for number in range(50):
        name = f"{CUSTOMER}-{number}"
        scored = post(f"{url}/v1/score", customer_id=name, features=RISKY).json()
        found.setdefault(scored["no_treatment"], (name, scored["prediction_id"]))
    return found[False], found[True]


def test_a_draft_comes_through_the_whole_chain_and_the_customer_s_id_goes_nowhere(chain):
    url, behind, folder, groq = chain
    (name, prediction_id), _ = customers(url)
    before = len(groq.heard)
    answer = post(f"{url}/v1/retention-email", customer_id=name, features=RISKY, prediction_id=prediction_id).json()
    assert (answer["source"], answer["no_treatment"]) == ("groq", False)
    assert GOOD_BODY in answer["draft"]["text"]
    sent = [heard.body.decode() + json.dumps(heard.headers) for heard in groq.heard[before:]]
    assert len(sent) == 1
    assert CUSTOMER not in sent[0]
    assert prediction_id not in sent[0]
    log = (folder.path / f"insight-{httpx.URL(behind).port}.log").read_text()
    assert CUSTOMER not in log
    told = answer["sending"]["treatment"] | {"taken_at": datetime.now(UTC).isoformat()}
    assert post(f"{url}/v1/treatments", **told).json() == {"accepted": 1}


def test_whoever_is_left_alone_gets_a_notice_and_an_override_stands_in_the_prediction_log(chain):
    url, _, folder, groq = chain
    _, (name, prediction_id) = customers(url)
    before = len(groq.heard)
    asked = {"customer_id": name, "features": RISKY, "prediction_id": prediction_id}
    notice = post(f"{url}/v1/retention-email", **asked).json()
    assert (notice["draft"], notice["no_treatment"]) == (None, True)
    assert len(groq.heard) == before
    overridden = post(f"{url}/v1/retention-email", **asked, override=True).json()
    assert overridden["override_recorded"] is True
    assert overridden["draft"] is not None
    lines = [line for file in folder.spool.rglob("*.jsonl") for line in file.read_text().splitlines()]
    kept = [json.loads(line) for line in lines if '"no-treatment-override"' in line]
    assert [one["prediction_id"] for one in kept] == [prediction_id]


def test_a_fault_of_groq_gives_the_template_and_is_counted(chain):
    url, behind, folder, groq = chain
    (name, _), _ = customers(url)
    good = groq.answer
    try:
        groq.answer = replies(500, KEY.encode())
        answer = post(f"{url}/v1/retention-email", customer_id=name, features=RISKY, language="de")
    finally:
        groq.answer = good
    assert (answer.json()["source"], answer.json()["reason"]) == ("template", "server_error")
    assert "Guten Tag," in answer.json()["draft"]["text"]
    metrics = httpx.get(f"{behind}/metrics", timeout=60).text
    assert re.search(r'email_drafts_total\{reason="server_error",source="template"\} [1-9]', metrics)
    assert 'explanations_total{model="toy:1",result="kept"}' in metrics
    assert KEY not in answer.text + metrics
    for log in folder.path.glob("*.log"):
        assert KEY not in log.read_text()


def test_the_document_describes_what_is_answered(chain):
    url = chain[0]
    document = httpx.get(f"{url}/openapi.json", timeout=60).json()
    asked = document["paths"]["/v1/retention-email"]["post"]["requestBody"]["content"]["application/json"]
    assert asked["schema"]["properties"]["language"]["enum"] == ["en", "de"]
    answer = post(f"{url}/v1/retention-email", **asked["example"] | {"customer_id": customers(url)[0][0]})
    answers = document["paths"]["/v1/retention-email"]["post"]["responses"]["200"]["content"]["application/json"]
    drafted, withheld = answers["schema"]["oneOf"]
    assert sorted(answer.json()) == sorted(drafted["required"])
    left_alone = post(f"{url}/v1/retention-email", **asked["example"] | {"customer_id": customers(url)[1][0]})
    assert sorted(left_alone.json()) == sorted(withheld["required"])
    explained = post(f"{url}/v1/explain", features=RISKY).json()
    described = document["paths"]["/v1/explain"]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert sorted(explained) == sorted(described["required"])
    within = described["properties"]["explanation"]
    assert sorted(explained["explanation"]) == sorted(within["required"])
    reason = within["properties"]["reasons"]["items"]
    assert sorted(explained["explanation"]["reasons"][0]) == sorted(reason["required"])
