"""What is exported before it happens: Prometheus sees no increase in the first sample of a series."""

import pytest
from prometheus_client.parser import text_string_to_metric_families
from serving_app import served
from serving_toys import REFERENCE

from service import metric_names as names
from service.counters.scoring import MODEL_BUCKETS, REQUEST_BUCKETS


@pytest.fixture
def app(tmp_path):
    with served(tmp_path, mode="shadow") as found:
        yield found


def samples(app):
    """Every sample of /metrics as {(name, labels): value}."""
    families = text_string_to_metric_families(app.application._metrics.exposition().decode())
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def test_every_bin_is_there_at_0_before_anything_was_scored(app):
    found = samples(app)
    for model in ("toy:1", "toy:2"):
        for binned in REFERENCE.features:
            for name in binned.bins:
                labels = (("bin", name), ("feature", binned.name), ("model", model))
                assert found[names.FEATURE_BINS, labels] == 0
        for name in REFERENCE.score.bins:
            assert found[names.SCORE_BINS, (("bin", name), ("model", model))] == 0


def test_what_clients_are_promised_is_there_at_0_and_so_is_being_turned_away_and_every_failure_of_ours(app):
    every = {tuple(dict(labels).values()): n for (name, labels), n in samples(app).items() if name == names.REQUESTS}
    found = {key: n for key, n in every.items() if key[1].startswith(("/v1/", "/v2/"))}
    assert set(found.values()) == {0}
    posts = [route for route in app.application.http.routes if route.method == "POST" and route.operation]
    assert {"/v1/score", "/v1/outcomes", "/v2/models/toy/infer"} <= {route.path for route in posts}
    assert {path for _, path, _ in found} == {route.path for route in posts}
    for route in posts:
        success = "202" if route.path in ("/v1/outcomes", "/v1/treatments") else "200"
        assert {status for _, path, status in found if path == route.path} == {success, "429", "500", "503"}


def test_durations_of_the_same_routes_and_of_every_model_are_there_at_0_in_every_bucket(app):
    found = samples(app)
    counted = {dict(labels)["route"] for name, labels in found if name == names.REQUESTS}
    for name, label, values, edges in (
        (names.REQUEST_SECONDS, "route", counted, REQUEST_BUCKETS),
        (names.MODEL_SECONDS, "model", {"toy:1", "toy:2"}, MODEL_BUCKETS),
    ):
        parts = [(f"{name}_count", {}), (f"{name}_sum", {})]
        parts += [(f"{name}_bucket", {"le": le}) for le in (*map(str, edges), "+Inf")]
        expected = {(part, tuple(sorted({label: one, **own}.items()))) for one in values for part, own in parts}
        assert {key: n for key, n in found.items() if key[0].startswith(name)} == dict.fromkeys(expected, 0)


def test_durations_of_a_route_that_is_looked_at_now_and_then_begin_with_its_first_request(app):
    def counted():
        return [n for (name, labels), n in samples(app).items() if name == f"{names.REQUEST_SECONDS}_count" and labels]

    before = len(counted())
    app.get("/v1/experiment")
    assert len(counted()) == before + 1
