"""The Open Inference Protocol as a client meets it: metadata, answers, records, versions, and refusals by name."""

import asyncio
import gzip
import json
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serving_app import served
from serving_toys import CONTRACT, FEATURES, NAN, NOW_MICROS

from bentos.artifact import Artifact
from service import ids
from service.routes.open_inference.binary import FORMATS, pack, unpack_numbers, unpack_texts
from service.scoring.routing import assign_variant

INFER = "/v2/models/toy/infer"
OUTPUTS = ["probability", "label", "risk", "variant", "model_version", "prediction_id", "no_treatment"]


@pytest.fixture(scope="module")
def off(tmp_path_factory):
    with served(tmp_path_factory.mktemp("off"), probabilities=(0.3,), batch_rows=300) as found:
        yield found


@pytest.fixture
def split(tmp_path):
    """A champion and a challenger on trial, and a third model that has no role."""
    with served(tmp_path, mode="split", split=0.5, probabilities=(0.3, 0.7, 0.55)) as found:
        yield found


def column(name, datatype, data, **changes):
    return {"name": name, "datatype": datatype, "shape": [len(data)], "data": data} | changes


def inputs(n=1, *, customers=None, **changes):
    found = {
        "tenure": column("tenure", "INT64", [3] * n),
        "charges": column("charges", "FP64", [70.5] * n),
        "contract": column("contract", "BYTES", ["One year"] * n),
        "senior": column("senior", "INT64", [0] * n),
    } | changes
    ids_sent = [] if customers is None else [column("customerID", "BYTES", customers)]
    return [*(one for one in found.values() if one is not None), *ids_sent]


def body(n=1, *, customers=None, tensors=None, **fields):
    return {"inputs": inputs(n, customers=customers) if tensors is None else tensors, **fields}


def outputs_of(response):
    """The outputs of a JSON answer by name."""
    assert response.status_code == 200, response.text
    return {output["name"]: output["data"] for output in response.json()["outputs"]}


def refused(response, status=422):
    """The sentence that a client of the protocol reads."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    assert response.json()["status"] == status
    return response.json()["error"]


def test_the_server_says_who_it_is_and_that_it_lives(off):
    server = off.get("/v2").json()
    assert (server["name"], server["extensions"]) == ("gauntlet", ["binary_tensor_data"])
    assert off.get("/v2/health/live").json() == {"live": True}
    assert off.get("/v2/health/ready").json() == {"ready": True}
    assert off.get("/v2/models").json() == {"models": ["toy"]}
    assert off.get("/v2/models/toy/ready").json() == off.get("/v2/models/toy/versions/1/ready").json()


def test_metadata_comes_from_the_contract(split):
    metadata = split.get("/v2/models/toy").json()
    assert metadata == split.get("/v2/models/toy/versions/2").json()
    assert (metadata["name"], metadata["versions"]) == ("toy", ["1", "2", "3"])
    described = [(one["name"], one["datatype"], one["shape"]) for one in metadata["inputs"]]
    assert described == [
        ("tenure", "INT64", [-1]),
        ("charges", "FP64", [-1]),
        ("contract", "BYTES", [-1]),
        ("senior", "BYTES", [-1]),
        ("customerID", "BYTES", [-1]),
    ]
    assert metadata["inputs"][0]["parameters"] == {"allowed": CONTRACT.features[0].allowed}
    assert metadata["inputs"][-1]["parameters"] == {"optional": True}
    assert [one["name"] for one in metadata["outputs"]] == OUTPUTS


def test_the_repository_is_what_the_bento_carries(split):
    index = split.request("POST", "/v2/repository/index", content=b"").json()
    assert [(one["name"], one["version"], one["state"]) for one in index] == [("toy", v, "READY") for v in "123"]


def test_a_server_that_is_not_ready_says_why_in_the_protocols_words(tmp_path):
    with served(tmp_path) as app:
        app.application.drain()
        for path in ("/v2/health/ready", "/v2/models/toy/ready", "/v2/models/toy/versions/1/ready"):
            assert "stopping" in refused(app.get(path), 503)
        assert app.get("/v2/health/live").status_code == 200
        index = app.request("POST", "/v2/repository/index").json()
        assert {one["state"] for one in index} == {"UNAVAILABLE"}


@pytest.mark.parametrize("path", ["/v2/models/toy/config", "/v2/models/toy/versions/1/config", "/v2/models/toy/stats"])
def test_what_triton_has_and_this_server_has_not_is_refused_clearly(off, path):
    assert "Triton" in refused(off.get(path), 404)


def test_a_row_gets_its_answer_as_tensors_and_the_requests_id(off):
    response = off.post(INFER, body(id="mine"))
    found = response.json()
    assert (found["id"], found["model_name"], found["model_version"]) == ("mine", "toy", "1")
    assert [(one["name"], one["shape"]) for one in found["outputs"]] == [(name, [1]) for name in OUTPUTS]
    outputs = outputs_of(response)
    assert outputs["probability"] == pytest.approx([0.3])
    assert (outputs["label"], outputs["risk"], outputs["no_treatment"]) == (["No"], ["low"], [False])
    assert ids.millis_of(outputs["prediction_id"][0]) == NOW_MICROS // 1000


def test_the_outputs_that_are_named_are_answered_in_that_order(off):
    asked = [{"name": "label"}, {"name": "probability", "parameters": {"binary_data": False}}]
    assert list(outputs_of(off.post(INFER, body(outputs=asked)))) == ["label", "probability"]


def test_every_row_is_routed_and_logged_as_a_single_score_is(split):
    customers = [f"c{number}" for number in range(300)]
    found = outputs_of(split.post(INFER, body(300, customers=customers)))
    assert found["variant"] == [assign_variant("salt", customer, 0.5) for customer in customers]
    expected = [0.3 if variant == "champion" else 0.7 for variant in found["variant"]]
    assert found["probability"] == pytest.approx(expected)
    assert found["model_version"] == ["1" if variant == "champion" else "2" for variant in found["variant"]]
    records = split.records()
    assert [record.prediction_id for record in records] == found["prediction_id"]
    assert [record.customer_id for record in records] == customers
    assert {record.enrolment for record in records} == {"enrolled"}
    assert records[0].features == {"tenure": 3, "charges": 70.5, "contract": "One year", "senior": 0}


def test_an_answer_of_two_models_names_no_single_version(split):
    mixed = split.post(INFER, body(20, customers=[f"c{number}" for number in range(20)])).json()
    assert "model_version" not in mixed


def test_rows_without_an_id_are_anonymous_and_the_champions(split):
    assert set(outputs_of(split.post(INFER, body(20)))["variant"]) == {"champion"}
    assert {record.enrolment for record in split.records()} == {"anonymous"}


@pytest.mark.parametrize(
    ("version", "role", "probability", "variant"),
    [("1", 0, 0.3, "champion"), ("2", 1, 0.7, "challenger"), ("3", 2, 0.55, "challenger")],
)
def test_a_version_answers_whatever_the_experiment_says_and_is_never_evidence(
    split, version, role, probability, variant
):
    customers = [f"c{number}" for number in range(20)]
    response = split.post(f"/v2/models/toy/versions/{version}/infer", body(20, customers=customers))
    found = outputs_of(response)
    assert found["probability"] == pytest.approx([probability] * 20)
    assert (response.json()["model_version"], set(found["model_version"])) == (version, {version})
    records = split.records()
    assert [record.prediction_id for record in records] == found["prediction_id"]
    for record in records:
        assert (record.enrolment, record.variant) == ("pinned", variant)
        assert record.champion == split.digests[0]
        assert record.challenger == (split.digests[role] if role else None)
        assert record.champion_probability == pytest.approx(0.3)
        assert record.challenger_probability == (pytest.approx(probability) if role else None)


def test_a_version_without_a_role_has_no_share_of_the_experiment(split):
    split.post("/v2/models/toy/versions/2/infer", body(customers=["a"]))
    split.post("/v2/models/toy/versions/3/infer", body(customers=["a"]))
    on_trial, roleless = split.records()
    assert (on_trial.split, roleless.split) == (0.5, 0.0)
    assert on_trial.experiment == roleless.experiment


def test_a_version_that_cannot_answer_is_not_answered_for_by_the_champion(tmp_path):
    with served(tmp_path, mode="split", split=0.5, probabilities=(0.3, NAN)) as app:
        assert "toy:2" in refused(app.post("/v2/models/toy/versions/2/infer", body(customers=["a"])), 503)
        assert outputs_of(app.post(INFER, body(customers=["a"])))["probability"] == pytest.approx([0.3])


def test_where_challengers_are_left_out_no_version_of_theirs_is_even_loaded(tmp_path, monkeypatch):
    """Being loaded may be what killed the worker."""
    loaded, load = [], Artifact.scorer
    monkeypatch.setattr(Artifact, "scorer", lambda self: loaded.append(self.digest) or load(self))
    with served(tmp_path, mode="split", split=1.0, without_challengers=True) as app:
        assert loaded == [app.digests[0]]
        assert outputs_of(app.post(INFER, body(customers=["a"])))["variant"] == ["champion"]
        assert outputs_of(app.post("/v2/models/toy/versions/1/infer", body()))["model_version"] == ["1"]
        assert "toy:2 is left out" in refused(app.post("/v2/models/toy/versions/2/infer", body()), 503)
        assert [app.get(f"/v2/models/toy/versions/{n}/ready").status_code for n in (1, 2)] == [200, 503]
        assert app.post("/v1/score", {"features": FEATURES}).json()["variant"] == "champion"
        assert loaded == [app.digests[0]]


def test_a_version_that_is_not_here_is_not_found(off):
    assert off.post("/v2/models/toy/versions/9/infer", body()).status_code == 404
    assert off.post("/v2/models/other/infer", body()).status_code == 404


def test_purpose_and_own_id_are_parameters_as_they_are_fields_of_score(split):
    own_id = ids.make_id(NOW_MICROS, b"12345678")
    parameters = {"purpose": "test", "prediction_id": own_id.upper(), "timeout": 5, "priority": 1}
    found = outputs_of(split.post(INFER, body(customers=["a"], parameters=parameters)))
    (record,) = split.records()
    assert found["prediction_id"] == [own_id] == [record.prediction_id]
    assert record.purpose == "test"


@pytest.mark.parametrize("n", [1, 3])
def test_an_idempotency_key_gives_a_retry_the_same_ids(split, n):
    headers = {"idempotency-key": ids.make_id(NOW_MICROS, b"12345678")}
    told = body(n, customers=["a", "b", "c"][:n])
    first, second = (outputs_of(split.request("POST", INFER, json=told, headers=headers)) for _ in range(2))
    assert first == second
    assert len(set(first["prediction_id"])) == n


def with_bytes(tensors, *, parameters=None, **fields):
    """A request whose tensors come as bytes: content and headers."""
    described, behind = [], []
    for one in tensors:
        content = pack(one["data"], one["datatype"])
        about = {"name": one["name"], "datatype": one["datatype"], "shape": one["shape"]}
        described.append(about | {"parameters": {"binary_data_size": len(content)}})
        behind.append(content)
    told = json.dumps({"inputs": described, "parameters": parameters or {}, **fields}).encode()
    headers = {"content-type": "application/octet-stream", "inference-header-content-length": str(len(told))}
    return {"content": told + b"".join(behind), "headers": headers}


def test_tensors_go_both_ways_as_bytes(off):
    request = with_bytes(inputs(3, customers=["a", "b", "ü"]), parameters={"binary_data_output": True})
    response = off.request("POST", INFER, **request)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/octet-stream"
    length = int(response.headers["inference-header-content-length"])
    described, at, found = json.loads(response.content[:length]), length, {}
    for output in described["outputs"]:
        size = output["parameters"]["binary_data_size"]
        content, at = response.content[at : at + size], at + size
        read = (
            unpack_texts(content, output["shape"][0])
            if output["datatype"] == "BYTES"
            else unpack_numbers(content, output["datatype"])
        )
        assert "data" not in output
        assert len(read) == 3
        found[output["name"]] = read
    assert at == len(response.content)
    assert found["probability"] == pytest.approx([0.3] * 3)
    assert found["label"] == ["No"] * 3
    assert found["no_treatment"] == [False] * 3


def test_one_output_may_be_bytes_beside_others_in_json(off):
    asked = [{"name": "label"}, {"name": "probability", "parameters": {"binary_data": True}}]
    response = off.post(INFER, body(outputs=asked))
    length = int(response.headers["inference-header-content-length"])
    label, probability = json.loads(response.content[:length])["outputs"]
    assert (label["data"], probability["parameters"]) == (["No"], {"binary_data_size": 8})
    assert np.frombuffer(response.content[length:], "<f8") == pytest.approx([0.3])


@pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_compressed_request_is_answered(off, encoding, compress):
    request = with_bytes(inputs(3))
    request["content"] = compress(request["content"])
    request["headers"]["content-encoding"] = encoding
    assert len(outputs_of(off.request("POST", INFER, **request))["probability"]) == 3


def test_missing_is_null_nan_or_an_empty_text_where_the_contract_allows_it(off):
    for data in ([None], [NAN]):
        charges = column("charges", "FP64", data)
        tensors = json.dumps(body(tensors=inputs(charges=charges)))
        assert off.request("POST", INFER, content=tensors.encode()).status_code == 200
    assert off.post(INFER, body(tensors=inputs(charges=column("charges", "BYTES", [""])))).status_code == 200
    tenure = column("tenure", "FP64", [None])
    assert "tenure is missing" in refused(off.post(INFER, body(tensors=inputs(tenure=tenure))))


def test_a_bad_row_is_named_and_no_row_is_scored_or_logged(off):
    before = len(off.records())
    tenure = column("tenure", "INT64", [3] * 200 + [73] + [3] * 99)
    error = refused(off.post(INFER, body(tensors=inputs(300, tenure=tenure))))
    assert error.startswith("inputs: row 200, tenure: 73 is not allowed; it must be a whole number from 0 to 72 month")
    assert len(off.records()) == before


def test_of_very_many_problems_a_hundred_are_found(off):
    tenure = column("tenure", "INT64", [73] * 300)
    response = off.post(INFER, body(tensors=inputs(300, tenure=tenure)))
    assert len(response.json()["errors"]) == 100


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"inputs": None}, "inputs"),
        ({"inputs": []}, "tenure"),
        ({"inputs": {}}, "inputs"),
        ({"inputs": [1]}, "inputs[0]"),
        ({"inputs": [{"name": "tenure", "datatype": "FP64", "shape": "1", "data": []}]}, "inputs[0].shape"),
        ({"inputs": [{"name": "tenure", "datatype": "FP64", "shape": [True], "data": []}]}, "inputs[0].shape[0]"),
        ({"inputs": [{"name": "tenure", "datatype": "FP64", "shape": [1.5], "data": []}]}, "inputs[0].shape[0]"),
        ({"inputs": [column("tenure", "FP64", [3.0], shape=[301])]}, "tenure.shape"),
        ({"inputs": [column("tenure", "FP64", [3.0], shape=[10**12])]}, "tenure.shape"),
        ({"inputs": [column("tenure", "FP16", [3.0])]}, "tenure.datatype"),
        (
            {"inputs": [column("tenure", "FP64", [3.0], parameters={"shared_memory_region": "r"})]},
            "shared_memory_region",
        ),
        ({"inputs": [column("tenure", "FP64", [3.0], parameters={"binary_data_size": 0})]}, "binary_data_size"),
        ({"input": []}, "input"),
        ({"id": 7}, "id"),
        ({"id": "x" * 201}, "id"),
        ({"id": "\ud800"}, "id"),
        ({"id": "a\nb"}, "id"),
        ({"outputs": [{"name": "answer"}]}, "outputs[0].name"),
        ({"outputs": [{"name": "label"}, {"name": "label"}]}, "outputs[1].name"),
        ({"outputs": [{"name": "label", "parameters": {"classification": 2}}]}, "classification"),
        ({"outputs": [{"name": "label", "parameters": {"binary_data": 1}}]}, "label.binary_data"),
        ({"parameters": {"binary_data_output": "yes"}}, "binary_data_output"),
        ({"parameters": {"purpos": "test"}}, "purpos"),
        ({"parameters": {"purpose": "fun"}}, "purpose"),
        ({"parameters": {"purpose": []}}, "purpose"),
        ({"parameters": {"prediction_id": "mine"}}, "prediction_id"),
        ({"parameters": {"prediction_id": 7}}, "prediction_id"),
        ({"parameters": []}, "parameters"),
    ],
)
def test_a_refusal_names_the_field_in_a_sentence_and_in_a_list(off, changes, field):
    content = json.dumps({key: value for key, value in (body() | changes).items() if value is not None}).encode()
    response = off.request("POST", INFER, content=content)
    assert field in refused(response)
    assert field in response.json()["errors"][0]["field"] or field in response.json()["errors"][0]["value"]


@pytest.mark.parametrize("length", ["-1", "1.5", "x", "", "99999", "9" * 30, "٣"])
def test_a_length_of_the_json_that_is_none_is_refused(off, length):
    headers = {"inference-header-content-length": length.encode()}
    assert "Inference-Header-Content-Length" in refused(off.request("POST", INFER, json=body(), headers=headers))


@pytest.mark.parametrize("size", [-1, 7, 9, 10**30, True, "8", 8.0, None])
def test_a_size_that_does_not_fit_the_bytes_is_refused_by_the_tensors_name(off, size):
    request = with_bytes([column("tenure", "FP64", [3.0])])
    length = int(request["headers"]["inference-header-content-length"])
    told = json.loads(request["content"][:length])
    told["inputs"][0]["parameters"]["binary_data_size"] = size
    changed = json.dumps(told).encode()
    headers = {"inference-header-content-length": str(len(changed))}
    error = refused(off.request("POST", INFER, content=changed + request["content"][length:], headers=headers))
    assert "tenure.parameters.binary_data_size" in error


def test_bytes_that_no_tensor_claims_are_refused(off):
    request = with_bytes(inputs())
    request["content"] += b"more"
    assert "4 bytes more" in refused(off.request("POST", INFER, **request))


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff", b"[" * 2000, b'{"inputs": [], "inputs": []}'],
)
def test_what_is_no_json_is_refused_as_such(off, content):
    assert "JSON" in refused(off.request("POST", INFER, content=content), 400) or b"inputs" in content


def test_json_that_would_take_long_to_read_is_refused_unread(off):
    large = b'{"inputs": [' + b"1," * 200_000 + b"1]}"
    assert "as bytes behind it" in refused(off.request("POST", INFER, content=large), 413)
    for one in (b"{}", b"[]"):
        nested = b'{"inputs": [' + (one + b",") * 10_000 + one + b"]}"
        assert "objects and lists" in refused(off.request("POST", INFER, content=nested))


def test_a_body_that_is_declared_as_something_else_is_refused(off):
    assert off.request("POST", INFER, json=body(), headers={"content-type": "text/plain"}).status_code == 415


def test_the_rows_count_against_the_clients_rate(tmp_path):
    with served(tmp_path, rate_per_second=1.0, rate_burst=10.0) as app:
        assert app.post(INFER, body(10)).status_code == 200
        late = app.post(INFER, body(10))
        assert "rows a second" in refused(late, 429)
        assert int(late.headers["retry-after"]) >= 1


def test_many_rows_let_others_in_between(tmp_path):
    with served(tmp_path, batch_rows=5000) as app:

        async def race() -> list[str]:
            order: list[str] = []

            async def ask(name, path, content):
                response = await app._request("POST", path, json=content)
                assert response.status_code == 200, response.text
                order.append(name)

            many = asyncio.create_task(ask("many", INFER, body(5000)))
            await asyncio.sleep(0)
            one = {"features": {"tenure": 3, "charges": 70.5, "contract": "One year", "senior": 0}}
            await asyncio.gather(many, *(ask("one", "/v1/score", one) for _ in range(3)))
            return order

        assert app.loop.run_until_complete(race()) == ["one", "one", "one", "many"]


def test_the_routes_are_described_and_their_examples_are_answered(split):
    document = split.get("/openapi.json").json()
    paths = {path for path in document["paths"] if path.startswith("/v2")}
    assert {INFER, "/v2", "/v2/models/toy", "/v2/models/toy/versions/2/infer"} <= paths
    operations = [one["operationId"] for methods in document["paths"].values() for one in methods.values()]
    assert len(operations) == len(set(operations))
    parameters = document["paths"][INFER]["post"]["parameters"]
    assert {one["$ref"].rpartition("/")[2] for one in parameters} >= {"IdempotencyKey", "Variant"}
    example = document["paths"][INFER]["post"]["requestBody"]["content"]["application/json"]["example"]
    assert set(outputs_of(split.post(INFER, example))) == set(OUTPUTS)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(["tenure", "charges", "contract", "senior", "customerID", "x"]) | st.text(max_size=5)
SHAPES = st.lists(st.integers(-2, 5) | st.integers(), max_size=3)
TENSORS = st.fixed_dictionaries(
    {
        "name": NAMES,
        "shape": SHAPES | JSON_VALUES,
        "datatype": st.sampled_from([*FORMATS, "BYTES"]) | st.text(max_size=4),
    },
    optional={
        "data": st.lists(JSON_VALUES, max_size=6) | JSON_VALUES,
        "parameters": st.fixed_dictionaries({}, optional={"binary_data_size": st.integers(-3, 40) | JSON_VALUES}),
    },
)
BODIES = st.fixed_dictionaries(
    {"inputs": st.lists(TENSORS | JSON_VALUES, max_size=6) | JSON_VALUES},
    optional={"id": JSON_VALUES, "parameters": JSON_VALUES, "outputs": JSON_VALUES},
)
FUZZ = settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])


@FUZZ
@given(told=BODIES, behind=st.binary(max_size=60), off_by=st.sampled_from([0, 0, 0, 1, -1]), has_length=st.booleans())
def test_whatever_is_sent_is_answered_or_refused(off, told, behind, off_by, has_length):
    content = json.dumps(told).encode()
    headers = {"inference-header-content-length": str(len(content) + off_by)} if has_length else {}
    response = off.request("POST", INFER, content=content + behind, headers=headers)
    assert response.status_code in (200, 400, 422), response.text


@FUZZ
@given(data=st.data())
def test_a_request_whose_bytes_were_changed_is_answered_or_refused(off, data):
    request = with_bytes(inputs(2, customers=["a", "b"]), parameters={"binary_data_output": True})
    content = bytearray(request["content"])
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.sampled_from([len(content), data.draw(st.integers(0, len(content)))]))
    response = off.request("POST", INFER, content=bytes(content[:cut]), headers=request["headers"])
    assert response.status_code in (200, 400, 422), response.text


@FUZZ
@given(body=st.binary(max_size=200), encoding=st.sampled_from(["gzip", "deflate", "br", ""]))
def test_whatever_is_said_to_be_compressed_is_answered_or_refused(off, body, encoding):
    response = off.request("POST", INFER, content=body, headers={"content-encoding": encoding})
    assert response.status_code in (400, 415, 422), response.text
