"""What the service says of itself: OpenAPI from the contract, a page without a script, metrics by their names."""

import re

import pytest
from prometheus_client.parser import text_string_to_metric_families
from serving_app import served
from serving_toys import CONTRACT, FEATURES

from bentos.artifact import Encoder, Numeric
from service import metric_names
from service.routes.openapi import example_features


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    with served(tmp_path_factory.mktemp("documents"), mode="shadow") as found:
        yield found


@pytest.fixture(scope="module")
def document(app):
    return app.get("/openapi.json").json()


def test_ranges_categories_and_missing_come_from_the_contract(document):
    features = document["components"]["schemas"]["Features"]
    assert features["required"] == ["tenure", "charges", "contract", "senior"]
    assert features["additionalProperties"] is False
    assert features["properties"] == {
        "tenure": {"type": "integer", "minimum": 0, "maximum": 72, "x-unit": "month"},
        "charges": {"type": ["number", "null"], "minimum": 0, "maximum": 1000, "x-unit": "USD"},
        "contract": {"enum": ["Month-to-month", "One year", "Two year"]},
        "senior": {"enum": ["0", "1"]},
    }


def test_labels_and_risk_bands_come_from_the_contract(document):
    answer = document["components"]["schemas"]["Answer"]["properties"]
    assert (answer["label"]["enum"], answer["risk"]["enum"]) == (["Yes", "No"], ["low", "high"])


def test_every_reference_leads_somewhere(document):
    for name in re.findall(r"#/components/schemas/(\w+)", str(document)):
        assert name in document["components"]["schemas"]


def test_every_described_example_is_answered(app, document):
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            options = {}
            if "requestBody" in operation:
                options["json"] = operation["requestBody"]["content"]["application/json"]["example"]
            response = app.request(method.upper(), path, **options)
            assert str(response.status_code) in operation["responses"]
            assert response.is_success


@pytest.mark.parametrize(
    ("minimum", "maximum", "integer"), [(0.001, 0.002, False), (-5, -4, False), (3, 4, True), (-1e9, 1e9, False)]
)
def test_an_example_is_always_allowed(minimum, maximum, integer):
    import msgspec

    feature = Numeric(name="x", minimum=minimum, maximum=maximum, integer=integer)
    contract = msgspec.structs.replace(CONTRACT, features=(feature, *CONTRACT.features[1:]))
    assert Encoder(contract).problems(example_features(contract)) == []


def test_the_page_stands_alone(app):
    page = app.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert not re.search(r"""<script|@import|(src|href)=["']?(https?:)?//""", page.text)
    for text in ("POST /v1/score", "tenure", "a whole number from 0 to 72 month", "high"):
        assert text in page.text


def families(app):
    return {family.name: family for family in text_string_to_metric_families(app.metrics())}


def test_metrics_are_those_that_are_named(app):
    exported = set(re.findall(r"^# TYPE (gauntlet_\w+)", app.metrics(), flags=re.MULTILINE))
    named = {value for key, value in vars(metric_names).items() if key.isupper() and isinstance(value, str)}
    assert exported == named == set(metric_names.HELP)


def test_predictions_are_counted_by_variant_and_model(app):
    before = _value(app, "gauntlet_predictions", variant="champion", model="toy:1", label="No", purpose="live")
    app.post("/v1/score", {"features": FEATURES})
    after = _value(app, "gauntlet_predictions", variant="champion", model="toy:1", label="No", purpose="live")
    assert after == before + 1


def test_requests_are_counted_by_route_and_status_and_unknown_paths_are_one(app):
    for path in ("/a", "/b", "/c"):
        app.get(path)
    counted = [s.labels for s in families(app)["gauntlet_http_requests"].samples if s.labels["route"] == "unmatched"]
    assert counted == [{"route": "unmatched", "method": "GET", "status": "404"}]


def test_seconds_add_up_in_the_histogram(app):
    app.post("/v1/score", {"features": FEATURES})
    samples = families(app)["gauntlet_http_request_duration_seconds"].samples
    score = [sample for sample in samples if sample.labels["route"] == "/v1/score"]
    buckets = [sample.value for sample in score if sample.name.endswith("_bucket")]
    (count,) = [sample.value for sample in score if sample.name.endswith("_count")]
    assert buckets == sorted(buckets)
    assert buckets[-1] == count >= 1


def test_the_experiments_state_is_exported(app):
    assert _value(app, "gauntlet_experiment_revision") == 1
    modes = {s.labels["mode"]: s.value for s in families(app)["gauntlet_experiment_mode"].samples}
    assert modes == {"off": 0, "shadow": 1, "split": 0}
    roles = {s.labels["role"]: s.labels["digest"] for s in families(app)["gauntlet_model_info"].samples}
    assert roles == dict(zip(("champion", "challenger"), app.digests, strict=True))
    for name in ("ready", "experiment_file_valid", "experiment_champion_present", "experiment_challenger_present"):
        assert _value(app, f"gauntlet_{name}") == 1


def test_a_bad_experiment_file_shows(app):
    path = app.folder / "experiment.yaml"
    content = path.read_bytes()
    path.write_text("nonsense")
    app.application.watch.poll()
    assert _value(app, "gauntlet_experiment_file_valid") == 0
    path.write_bytes(content)
    app.application.watch.poll()
    assert _value(app, "gauntlet_experiment_file_valid") == 1


def _value(app, name, **labels):
    return sum(
        sample.value
        for sample in families(app)[name].samples
        if sample.name in (name, f"{name}_total") and sample.labels == labels
    )
