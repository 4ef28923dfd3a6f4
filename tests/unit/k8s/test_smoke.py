"""A customer's way through an Ingress that answers by heart, and what pods and Prometheus say of a rollout.

The walk through the real service is in tests/integration.
"""

from datetime import datetime

import pytest
from deploying_toys import ASKED_AT, COUNTED, A, B, load_rules, serve_customers
from http_toys import toy_server

from bentos.errors import InvalidSetting, Unavailable
from k8s.smoke import Door, check_url, loaded_rules, smoke

NOWHERE = Door("gauntlet.localhost", "http://127.0.0.1:9", "key")


def holds(role, value):
    return f'gauntlet_blessing_holds{{role="{role}",model="churn:3"}} {value}\n'


def said_of(metrics, rules=None):
    checks = smoke(NOWHERE, carried=["a"], metrics=lambda: metrics, rules=rules)
    return {check.name: (check.is_good, check.said) for check in checks}


def test_a_challenger_that_pods_leave_out_fails_the_rollout():
    text = COUNTED + holds("champion", 1) + holds("challenger", 0)
    is_good, said = said_of({"p1": text})["blessings"]
    assert not is_good
    assert 'role="challenger",model="churn:3"} is 0: the pods leave it out' in said


def test_a_champion_whose_blessing_does_not_hold_is_told_of_and_rolled_out():
    assert said_of({"p1": COUNTED + holds("champion", 0)})["blessings"] == (True, "0 of 1 models are blessed")


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        ({}, "no scoring pod is ready"),
        ({"p1": COUNTED, "p2": ""}, "p2 say nothing"),
        ({"p1": COUNTED.replace("} 1", "} 0")}, "none of 1 pods counted the prediction of this test"),
    ],
)
def test_pods_that_do_not_count_fail_the_rollout(metrics, said):
    assert said_of(metrics)["metrics"] == (False, said)


def test_every_pod_counts_and_one_of_them_counted_the_test():
    other = COUNTED.replace("} 1", "} 0")
    assert said_of({"p1": COUNTED, "p2": other})["metrics"] == (True, "2 pods count")


def test_without_drift_s_rules_the_rollout_fails():
    assert said_of({}, rules=lambda: ("gauntlet-service",))["drift rules"] == (
        False, "Prometheus has no group gauntlet-drift; it has gauntlet-service",
    )  # fmt: skip
    assert said_of({}, rules=lambda: ("gauntlet-drift",))["drift rules"] == (True, "gauntlet-drift loaded")


@pytest.fixture
def toy():
    """A service that answers a customer's whole way."""
    with toy_server() as found:
        serve_customers(found)
        yield found


def walk(toy, *, carried=(A,)):
    door = Door("gauntlet.example", toy.url, "key")
    checks = smoke(door, carried=carried, metrics=lambda: {"p1": COUNTED}, rules=None)
    return {check.name: (check.is_good, check.said) for check in checks}


def test_a_customer_goes_the_whole_way_by_the_hosts_name_and_is_no_evidence(toy):
    said = walk(toy)
    assert said["score"] == (True, "No at 0.125, answered by churn version 3 as champion")
    assert (said["explain"], said["outcome"]) == ((True, "a short tenure"), (True, "1 taken"))
    assert {(one.headers["host"], one.headers["authorization"]) for one in toy.asked} == {
        ("gauntlet.example", "Bearer key")
    }
    (scored,) = toy.bodies("POST", "/v1/score")
    assert scored == {"customer_id": "7590", "features": {"tenure": 3}, "purpose": "test"}


def test_the_outcome_is_of_that_prediction_and_of_the_servers_own_time(toy):
    walk(toy)
    (told,) = toy.bodies("POST", "/v1/outcomes")
    (outcome,) = told["outcomes"]
    assert outcome["prediction_id"] == toy.answers["POST", "/v1/score"][1]["prediction_id"]
    assert datetime.fromisoformat(outcome["observed_at"]) == ASKED_AT


def test_a_model_that_the_image_does_not_carry_fails_the_score(toy):
    is_good, said = walk(toy, carried=(B,))["score"]
    assert not is_good
    assert said == f"churn version 3 answered, {A}, which this image does not carry"


def test_without_a_score_nothing_that_rests_on_it_is_tried(toy):
    toy.will("POST", "/v1/score", {"title": "no key"}, status=401)
    said = walk(toy)
    assert said["score"] == (False, 'POST /v1/score was answered 401: {"title": "no key"}')
    assert "explain" not in said
    assert toy.bodies("POST", "/v1/outcomes") == []


@pytest.mark.parametrize(
    ("path", "answer", "part", "why"),
    [
        ("/v1/score", "<html>login</html>", "score", "answered by something else than JSON: '<html>login</html>'"),
        ("/v1/score", {"label": "No"}, "score", "the answer lacks 'model'"),
        ("/v1/explain", {}, "explain", "the answer lacks 'explanation'"),
        (
            "/v1/explain",
            {"explanation": {"summary": "", "check": {"difference": 0.25, "tolerance": 1e-6}}},
            "explain",
            "contributions do not add up to the answer: they differ by 0.25",
        ),
        ("/v1/outcomes", {}, "outcome", "the answer lacks 'accepted'"),
    ],
)
def test_an_answer_that_is_none_fails_its_own_part_and_says_why(toy, path, answer, part, why):
    toy.will("POST", path, answer)
    said = walk(toy)
    assert not said[part][0]
    assert why in said[part][1]
    assert [name for name, (is_good, _) in said.items() if not is_good] == [part]


@pytest.mark.parametrize(
    "url", ["", "gauntlet.example", "ftp://a", "https://", "http://a:b", "http://a:0", "http://[::1"]
)
def test_what_is_no_url_is_refused_by_the_options_name(url):
    with pytest.raises(InvalidSetting, match=r"--prometheus is .*it must be a URL such as https://gauntlet\.example"):
        check_url("--prometheus", url)
    with pytest.raises(InvalidSetting, match=r"--ingress is .*it must be a URL"):
        Door("h", url, "key").client()


@pytest.mark.parametrize("url", ["http://127.0.0.1:9090", "https://gauntlet.example/prometheus", "http://[::1]:80"])
def test_what_is_a_url_is_taken(url):
    check_url("--prometheus", url)
    Door("h", url, "key").client().close()


@pytest.mark.parametrize("key", ["secret\n", "sécret"])
def test_a_key_that_cannot_be_sent_is_refused_and_not_shown(key):
    with pytest.raises(InvalidSetting, match=r"^GAUNTLET_API_KEY must be printable ASCII in one line, and is not$"):
        Door("h", "http://a", key).client()


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_certificates_that_cannot_be_read_are_told(tmp_path, content):
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(InvalidSetting, match=r"--ca .*ca\.pem is no file of certificates"):
        Door("h", "https://a", "key", file).client()


def test_a_prometheus_tells_the_groups_that_it_has_loaded(toy):
    load_rules(toy, "gauntlet-drift", "gauntlet-service")
    assert loaded_rules(f"{toy.url}/") == ("gauntlet-drift", "gauntlet-service")


@pytest.mark.parametrize("answer", ["not JSON", {"data": {}}, {"data": {"groups": None}}])
def test_a_prometheus_that_tells_no_rules_fails_the_drift_rules(toy, answer):
    toy.will("GET", "/api/v1/rules", answer)
    is_good, said = said_of({}, rules=lambda: loaded_rules(toy.url))["drift rules"]
    assert not is_good
    assert said.startswith(f"Prometheus at {toy.url} does not tell its rules: ")


def test_a_prometheus_that_does_not_answer_is_told():
    with pytest.raises(Unavailable, match=r"Prometheus at http://127\.0\.0\.1:9 does not tell its rules: .*refused"):
        loaded_rules("http://127.0.0.1:9")
