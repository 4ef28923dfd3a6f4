"""What is decided before a row is scored: ids of a client's own, retries, traces and pins."""

from datetime import timedelta

import pytest
from serving_toys import CONTRACT, FEATURES, NOW, NOW_MICROS

from bentos.errors import InvalidRequest
from service import ids
from service.http.following import trace_id_of
from service.http.messages import Request
from service.routes.asking import Asking
from service.scoring.deciding import ScoreRequest
from service.scoring.experiment import first_experiment, set_split, start_shadow, write_experiment
from service.scoring.models import Identity, Model
from service.scoring.watching import ExperimentWatch

FIRST, SECOND = ("sha256:" + digit * 64 for digit in "ab")
MODELS = {
    digest: Model(Identity(name="toy", version=digest[-1], digest=digest), CONTRACT, scorer=None)
    for digest in (FIRST, SECOND)
}
HOUR = timedelta(hours=1)
HOUR_MICROS = 3_600_000_000


def own_id(hours_ago=0.0):
    return ids.make_id(NOW_MICROS - round(hours_ago * HOUR_MICROS), b"12345678")


@pytest.fixture
def asking(tmp_path):
    """Off until two hours ago, the shadow until one hour ago, since then everybody gets the challenger."""
    path = tmp_path / "experiment.yaml"
    off = first_experiment(FIRST, now=NOW - 9 * HOUR)
    shadow = start_shadow(off, SECOND, now=NOW - 2 * HOUR, salt="salt", lead=0 * HOUR)
    write_experiment(path, set_split(shadow, 1.0, now=NOW - HOUR, lead=0 * HOUR))
    watch = ExperimentWatch(path, MODELS, MODELS[FIRST])
    watch.poll()
    return Asking(watch, clock=lambda: NOW_MICROS, randomness=bytes)


def ask(asking, headers=None, client=None, **asked):
    wanted = ScoreRequest(**{"features": dict(FEATURES), "customer_id": "somebody", **asked})
    coded = {name.encode(): value.encode() for name, value in (headers or {}).items()}
    return asking.ask(wanted, Request(coded, client=client))


def test_a_new_prediction_gets_an_id_of_now(asking):
    assert ids.millis_of(ask(asking).prediction_id) == NOW_MICROS // 1000


def test_a_clients_own_id_is_kept_and_decides_under_the_roles_of_its_time(asking):
    found = [ask(asking, prediction_id=own_id(hours)) for hours in (0, 0.5, 1.5, 3)]
    assert [one.roles.revision for one in found] == [3, 3, 2, 1]
    assert [one.assignment.variant for one in found] == ["challenger", "challenger", "champion", "champion"]
    assert found[0].prediction_id == own_id()


@pytest.mark.parametrize("hours", [24.1, 1000, -0.2])
def test_an_id_that_is_too_old_or_of_the_future_is_refused(asking, hours):
    with pytest.raises(InvalidRequest, match=r"prediction_id.*within the last 24 hours"):
        ask(asking, prediction_id=own_id(hours))
    with pytest.raises(InvalidRequest, match=r"Idempotency-Key.*within the last 24 hours"):
        ask(asking, {"idempotency-key": own_id(hours)})


def test_a_retry_by_idempotency_key_is_the_same_prediction_and_another_clients_is_not(asking):
    key = own_id()
    first, retry = (ask(asking, {"idempotency-key": key}, client="crm") for _ in range(2))
    other = ask(asking, {"idempotency-key": key}, client="web")
    assert first.prediction_id == retry.prediction_id != other.prediction_id
    for one in (first, other):
        assert ids.normalized(one.prediction_id) == one.prediction_id
        assert ids.millis_of(one.prediction_id) == ids.millis_of(key)


@pytest.mark.parametrize("key", ["mine", "", "0190163d-8694-439b-aea5-966c26f8ad91"])
def test_an_idempotency_key_that_is_no_uuid7_is_refused(asking, key):
    with pytest.raises(InvalidRequest, match="Idempotency-Key"):
        ask(asking, {"idempotency-key": key})


def test_two_ids_at_once_are_refused(asking):
    with pytest.raises(InvalidRequest, match="left out where Idempotency-Key is sent"):
        ask(asking, {"idempotency-key": own_id()}, prediction_id=own_id())


def test_request_id_and_trace_are_for_the_record(asking):
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    found = ask(asking, {"x-request-id": "r-1", "traceparent": f"00-{trace}-00f067aa0ba902b7-01"}, client="crm")
    assert (found.request_id, found.trace_id, found.client) == ("r-1", trace, "crm")


@pytest.mark.parametrize("bad", ["", "x" * 129, "a\nb", "ü"])
def test_a_request_id_that_would_spoil_a_log_is_left_out(asking, bad):
    assert ask(asking, {"x-request-id": bad}).request_id is None


@pytest.mark.parametrize(
    "bad", [b"", b"00", b"00-" + b"0" * 32 + b"-1-01", b"00-" + b"G" * 32 + b"-1-01", b"00-" + b"\xff" * 32 + b"-1-01"]
)
def test_a_trace_that_is_none_is_left_out(bad):
    assert trace_id_of(bad) is None


def test_a_header_that_may_not_pin_is_not_even_read(asking):
    assert ask(asking, {"gauntlet-variant": "nonsense"}).assignment.enrolment == "enrolled"


@pytest.mark.parametrize("other", [{"customer_id": "else"}, {"features": {"tenure": "\ud800"}}, {"purpose": "what_if"}])
def test_an_idempotency_key_that_is_used_for_something_else_names_another_prediction(asking, other):
    """One id for both would be logged once, and nobody could say which of them was meant."""
    headers = {"idempotency-key": own_id()}
    first, second = ask(asking, headers), ask(asking, headers, **other)
    assert first.prediction_id != second.prediction_id
    assert first.prediction_id[:18] == second.prediction_id[:18]


def test_a_retry_by_idempotency_key_may_be_spelled_otherwise(asking):
    headers, features = {"idempotency-key": own_id()}, {"tenure": 3, "senior": 0}
    first = ask(asking, headers, customer_id=7, features=features)
    retry = ask(asking, headers, customer_id="7", features=dict(reversed(features.items())))
    assert first.prediction_id == retry.prediction_id
