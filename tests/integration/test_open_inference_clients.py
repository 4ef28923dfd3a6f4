"""The Open Inference Protocol as the real clients of Triton and KServe speak it to a real server process."""

import asyncio
import math
import shutil
from contextlib import asynccontextmanager

import httpx
import msgspec
import numpy as np
import pytest
from serving_toys import CONTRACT, make_bento, write_artifact

from bentos.artifact import Encoder, Numeric
from bentos.folder import Folder
from bentos.roles import ARTIFACT, ROLES, BentoRoles, PackedModel, dump_roles
from service.supervisor import serving

ROWS = 300
OUTPUTS = ["probability", "label", "risk", "variant", "model_version", "prediction_id", "no_treatment"]
NUMBERS = msgspec.structs.replace(
    CONTRACT,
    name="numbers",
    features=tuple(Numeric(name=f"mean {n}", minimum=0, maximum=100) for n in range(30)),
    protected=(),
)


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Host and port of a server of two toys; the first is the champion."""
    folder = Folder(tmp_path_factory.mktemp("toys"))
    make_bento(folder.path / "packed", (0.3, 0.7))
    folder.bento.symlink_to(folder.path / "packed")
    with serving(folder, scoring_only=True) as url:
        yield url.removeprefix("http://")


@pytest.fixture(scope="module")
def numbers_address(tmp_path_factory):
    """Host and port of a server whose contract is thirty numbers."""
    folder = Folder(tmp_path_factory.mktemp("numbers"))
    beside = folder.path / "artifact"
    digest = write_artifact(beside, 0.25, contract=NUMBERS, width=Encoder(NUMBERS).width)
    packed = PackedModel(name="numbers", version="1", digest=digest)
    make_bento(folder.path / "packed", (0.3,))
    name, _, tag = packed.tag.partition(":")
    place = folder.path / "packed" / "models" / name / tag / ARTIFACT
    place.parent.mkdir(parents=True)
    shutil.move(beside, place)
    roles = BentoRoles(gauntlet="0.1.0", champion=packed, challengers=())
    (folder.path / "packed" / "src" / ROLES).write_bytes(dump_roles(roles))
    folder.bento.symlink_to(folder.path / "packed")
    with serving(folder, scoring_only=True) as url:
        yield url.removeprefix("http://")


def arrays(n=ROWS):
    """A column of each datatype that clients send; every third row lacks its charges."""
    charges = np.full(n, 70.5, np.float32)
    charges[::3] = math.nan
    return {
        "tenure": np.arange(n, dtype=np.float64) % 73,
        "charges": charges,
        "contract": np.array(["One year"] * n, dtype=object),
        "senior": np.arange(n, dtype=np.int32) % 2,
        "customerID": np.array([f"c{number}" for number in range(n)], dtype=object),
    }


@pytest.fixture(scope="module")
def triton(address):
    http = pytest.importorskip("tritonclient.http", reason="tritonclient[http] is not installed")
    with http.InferenceServerClient(address) as client:
        yield client


def triton_inputs(columns, *, is_binary=True):
    from tritonclient.http import InferInput
    from tritonclient.utils import np_to_triton_dtype

    found = []
    for name, values in columns.items():
        one = InferInput(name, list(values.shape), np_to_triton_dtype(values.dtype))
        found.append(one.set_data_from_numpy(values, binary_data=is_binary))
    return found


def test_triton_finds_the_server_the_model_and_its_versions(triton):
    assert triton.is_server_live()
    assert triton.is_server_ready()
    assert triton.is_model_ready("toy")
    assert triton.is_model_ready("toy", "2")
    assert not triton.is_model_ready("toy", "9")
    assert not triton.is_model_ready("other")
    assert triton.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    metadata = triton.get_model_metadata("toy", "2")
    assert (metadata["name"], metadata["versions"]) == ("toy", ["1", "2"])
    assert [one["name"] for one in metadata["outputs"]] == OUTPUTS
    assert [one["state"] for one in triton.get_model_repository_index()] == ["READY", "READY"]


@pytest.mark.parametrize("is_binary", [True, False])
def test_triton_gets_every_output_of_a_tensor_a_column(triton, is_binary):
    found = triton.infer("toy", triton_inputs(arrays(), is_binary=is_binary), request_id="mine")
    assert found.get_response()["id"] == "mine"
    assert found.as_numpy("probability").dtype == np.float64
    assert found.as_numpy("probability") == pytest.approx(np.full(ROWS, 0.3))
    assert set(found.as_numpy("label")) == {b"No"}
    assert found.as_numpy("no_treatment").dtype == bool
    assert len(set(found.as_numpy("prediction_id"))) == ROWS


@pytest.mark.parametrize("is_binary", [True, False])
def test_triton_sends_one_matrix_of_text(triton, is_binary):
    rows = [[str(n % 73), "" if n % 3 == 0 else "70.5", "One year", str(n % 2)] for n in range(ROWS)]
    found = triton.infer("toy", triton_inputs({"rows": np.array(rows, dtype=object)}, is_binary=is_binary))
    assert found.as_numpy("probability").shape == (ROWS,)


@pytest.mark.parametrize("is_binary", [True, False])
def test_triton_gets_the_outputs_that_it_asks_for(triton, is_binary):
    from tritonclient.http import InferRequestedOutput

    asked = [InferRequestedOutput(name, binary_data=is_binary) for name in ("risk", "probability")]
    found = triton.infer("toy", triton_inputs(arrays()), outputs=asked)
    assert [one["name"] for one in found.get_response()["outputs"]] == ["risk", "probability"]
    assert found.as_numpy("probability") == pytest.approx(np.full(ROWS, 0.3))
    assert set(found.as_numpy("risk").tolist()) == {b"low" if is_binary else "low"}


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_triton_compresses_requests_and_may_ask_for_compressed_answers(triton, algorithm):
    found = triton.infer(
        "toy",
        triton_inputs(arrays()),
        request_compression_algorithm=algorithm,
        response_compression_algorithm=algorithm,
    )
    assert found.as_numpy("probability").shape == (ROWS,)


@pytest.mark.parametrize(("version", "probability"), [("1", 0.3), ("2", 0.7)])
def test_triton_asks_one_version(triton, version, probability):
    found = triton.infer("toy", triton_inputs(arrays()), model_version=version)
    assert found.as_numpy("probability") == pytest.approx(np.full(ROWS, probability))
    assert found.get_response()["model_version"] == version


def test_triton_sends_parameters(triton):
    parameters = {"purpose": "test"}
    assert triton.infer("toy", triton_inputs(arrays(1)), parameters=parameters, timeout=1000, priority=1)


def test_triton_infers_asynchronously(triton):
    waiting = [triton.async_infer("toy", triton_inputs(arrays(n))) for n in (1, 2, 200)]
    assert [one.get_result().as_numpy("probability").size for one in waiting] == [1, 2, 200]


def test_triton_is_told_what_is_wrong_in_one_sentence(triton):
    from tritonclient.utils import InferenceServerException

    bad = arrays()
    bad["tenure"][200] = 73
    with pytest.raises(InferenceServerException, match=r"^\[422\] inputs: row 200, tenure: 73 is not allowed"):
        triton.infer("toy", triton_inputs(bad))
    del bad["tenure"]
    with pytest.raises(
        InferenceServerException, match=r"^\[422\] inputs: tenure is missing; it must be a whole number"
    ):
        triton.infer("toy", triton_inputs(bad))
    with pytest.raises(InferenceServerException, match=r"classification: .* must be left out"):
        triton.infer("toy", triton_inputs(arrays(1)), outputs=_classification())
    for ask in (triton.get_model_config, triton.get_inference_statistics):
        with pytest.raises(InferenceServerException, match=r"^\[404\] there is no"):
            ask("toy")


def _classification():
    from tritonclient.http import InferRequestedOutput

    return [InferRequestedOutput("label", class_count=2)]


def test_triton_sends_a_matrix_of_numbers_to_a_contract_of_numbers(numbers_address):
    http = pytest.importorskip("tritonclient.http", reason="tritonclient[http] is not installed")
    with http.InferenceServerClient(numbers_address) as client:
        for datatype in (np.float64, np.float32, np.int64):
            matrix = np.full((ROWS, 30), 7, dtype=datatype)
            found = client.infer("numbers", triton_inputs({"input-0": matrix}))
            assert found.as_numpy("probability") == pytest.approx(np.full(ROWS, 0.25))


def test_triton_speaks_asyncio(address):
    aio = pytest.importorskip("tritonclient.http.aio", reason="tritonclient[http] is not installed")

    async def ask():
        async with aio.InferenceServerClient(address) as client:
            assert await client.is_model_ready("toy")
            return await client.infer("toy", triton_inputs(arrays()))

    assert asyncio.run(ask()).as_numpy("probability") == pytest.approx(np.full(ROWS, 0.3))


@asynccontextmanager
async def kserve_client():
    inference = pytest.importorskip("kserve.inference_client", reason="kserve is not installed")
    client = inference.InferenceRESTClient(inference.RESTConfig(protocol="v2", timeout=60))
    try:
        yield client
    finally:
        await client.close()


def kserve_request(columns, *, is_binary, **options):
    from kserve import InferInput, InferRequest
    from kserve.utils.numpy_codec import from_np_dtype

    inputs = []
    for name, values in columns.items():
        one = InferInput(name, list(values.shape), from_np_dtype(values.dtype))
        one.set_data_from_numpy(values, binary_data=is_binary)
        inputs.append(one)
    return InferRequest(model_name="toy", infer_inputs=inputs, **options)


def test_kserve_finds_the_server_and_the_model(address):
    async def ask():
        async with kserve_client() as client:
            url = f"http://{address}"
            assert await client.is_server_live(url)
            assert await client.is_server_ready(url)
            assert await client.is_model_ready(url, "toy")
            assert not await client.is_model_ready(url, "other")

    asyncio.run(ask())


@pytest.mark.parametrize("is_binary", [True, False])
@pytest.mark.parametrize("is_binary_back", [True, False])
def test_kserve_gets_every_output(address, is_binary, is_binary_back):
    async def ask():
        async with kserve_client() as client:
            parameters = {"binary_data_output": is_binary_back}
            told = kserve_request(arrays(), is_binary=is_binary, request_id="mine", parameters=parameters)
            return await client.infer(f"http://{address}", told, model_name="toy")

    found = asyncio.run(ask())
    assert (found.id, found.model_name) == ("mine", "toy")
    assert [one.name for one in found.outputs] == OUTPUTS
    assert found.outputs[0].as_numpy() == pytest.approx(np.full(ROWS, 0.3))


def test_kserve_is_told_what_is_wrong_in_one_sentence(address):
    async def ask():
        async with kserve_client() as client:
            bad = arrays()
            bad["tenure"][200] = 73
            await client.infer(f"http://{address}", kserve_request(bad, is_binary=False), model_name="toy")

    with pytest.raises(httpx.HTTPStatusError, match=r"^inputs: row 200, tenure: 73 is not allowed"):
        asyncio.run(ask())
