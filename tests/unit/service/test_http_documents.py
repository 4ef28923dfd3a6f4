"""What the service says of itself: OpenAPI from the contract, a page without a script, metrics by their names."""

import json
import re
import shlex
import threading
from html import unescape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from prometheus_client.parser import text_string_to_metric_families
from serving_app import served
from serving_toys import CONTRACT, FEATURES

from bentos.artifact import Encoder, Numeric
from service import metric_names
from service.routes.openapi import example_features


class _Insight(BaseHTTPRequestHandler):
    """Answers everything with an object."""

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def insight():
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Insight)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def app(tmp_path_factory, insight):
    with served(tmp_path_factory.mktemp("documents"), mode="shadow", insight_url=insight) as found:
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
    for kind, name in re.findall(r"#/components/(\w+)/(\w+)", str(document)):
        assert name in document["components"][kind]


def operations(document):
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def test_every_described_example_is_answered(app, document):
    answered = 0
    for method, path, operation in operations(document):
        for kind, content in operation.get("requestBody", {"content": {None: {}}})["content"].items():
            if kind == "application/octet-stream":
                continue
            example = content.get("example")
            body = example if isinstance(example, str) else json.dumps(example)
            options = {} if kind is None else {"content": body, "headers": {"content-type": kind}}
            response = app.request(method, path, **options)
            assert str(response.status_code) in operation["responses"], (path, kind, response.text)
            assert response.is_success, (path, kind, response.text)
            assert kind is None or '"refused":1' not in response.text
            answered += kind is not None
    assert answered >= 10


def test_the_document_has_the_form_of_openapi(document):
    """What a validator of OpenAPI 3.1 asks of the members that are used here."""
    assert document["openapi"].startswith("3.1.")
    assert set(document) == {"openapi", "info", "paths", "components"}
    assert {"title", "version"} <= set(document["info"])
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(names) == len(set(names))
    for _, path, operation in operations(document):
        assert path.startswith("/")
        assert set(operation) <= {
            "summary",
            "description",
            "operationId",
            "parameters",
            "requestBody",
            "responses",
            "security",
        }
        assert all(re.fullmatch("[1-5][0-9][0-9]", status) for status in operation["responses"])
        for response in operation["responses"].values():
            assert isinstance(response["description"], str)
            assert set(response) <= {"description", "content", "headers"}
    for parameter in document["components"]["parameters"].values():
        assert {"name", "in", "schema"} <= set(parameter)
        assert parameter["in"] == "header"
    for schema in schemas_in(document):
        assert set(schema) <= KEYWORDS, schema
        assert set(schema.get("required", ())) <= set(schema.get("properties", schema.get("required", ())))


KEYWORDS = {
    "type",
    "enum",
    "properties",
    "required",
    "additionalProperties",
    "items",
    "oneOf",
    "description",
    "example",
    "default",
    "format",
    "pattern",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "x-unit",
    "$ref",
}


def schemas_in(found):
    """Every schema of the document, however deep."""
    if isinstance(found, list):
        for one in found:
            yield from schemas_in(one)
    elif isinstance(found, dict):
        for name, one in found.items():
            if name in ("schema", "items", "additionalProperties") and isinstance(one, dict):
                yield one
            elif name in ("schemas", "properties"):
                yield from one.values()
            if name != "example":
                yield from schemas_in(one)


def test_routes_that_need_a_key_say_so_and_which_refusals_there_are(app, document):
    routes = {(route.method, route.path): route for route in app.application.http.routes}
    for method, path, operation in operations(document):
        route = routes[method, path]
        assert ("security" in operation) == route.needs_key
        assert ({"401", "403"} <= set(operation["responses"])) == route.needs_key
        assert ("429" in operation["responses"]) == route.is_bounded
        if method == "POST":
            assert {"400", "408", "413", "415", "422"} <= set(operation["responses"])
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"


def test_headers_that_count_are_described(document):
    headers = {parameter["name"] for parameter in document["components"]["parameters"].values()}
    assert headers == {"X-Request-ID", "traceparent", "Idempotency-Key", "Gauntlet-Variant"}


def test_what_is_answered_has_exactly_the_members_that_are_described(app, document):
    schemas = document["components"]["schemas"]
    answer = app.post("/v1/score", {"customer_id": "c", "features": FEATURES}).json()
    assert set(answer) == set(schemas["Answer"]["properties"]) == set(schemas["Answer"]["required"])
    experiment = app.get("/v1/experiment").json()
    assert set(experiment) == set(schemas["Experiment"]["properties"])
    assert set(experiment["trials"][0]) == set(schemas["Experiment"]["properties"]["trials"]["items"]["properties"])
    told = app.post("/v1/score/batch", {"rows": [{"features": FEATURES}, {"features": {}}]}).json()
    assert set(told) == set(schemas["BatchAnswer"]["properties"])
    assert set(told["predictions"][1]) == set(schemas["RefusedRow"]["properties"])


def test_the_example_is_a_usual_customer(document):
    """The median and the most frequent of training, not the middle of a range that nobody reaches."""
    assert document["components"]["schemas"]["Features"]["example"] == {
        "tenure": 24,
        "charges": 70.5,
        "contract": "Month-to-month",
        "senior": "0",
    }


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
    for text in ("POST /v1/score/batch", "/v1/treatments", "text/csv", "tenure", "a whole number from 0 to 72 month"):
        assert text in page.text


def test_the_commands_of_the_page_are_what_a_shell_understands(app):
    for command in re.findall(r"<pre><code>(curl.*?)</code></pre>", app.get("/docs").text, flags=re.DOTALL):
        curl, _, url, _, header, _, body = shlex.split(unescape(command))
        path = url.removeprefix("http://HOST:PORT")
        kind = header.removeprefix("content-type: ")
        response = app.request("POST", path, content=body, headers={"content-type": kind})
        assert (curl, response.is_success) == ("curl", True)


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
