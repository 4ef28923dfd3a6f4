"""What the protocol lets a server say of itself and its model, made from the contract."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bentos.artifact import Contract, Feature, Numeric
from service.routes.open_inference.answering import OUTPUTS

SERVER = "gauntlet"
PLATFORM = "onnxruntime_onnx"
EXTENSIONS = ("binary_tensor_data",)

Document = dict[str, Any]


def describe_server(version: str) -> Document:
    """Of `GET /v2`.

    Args:
        version: Of Gauntlet.
    """
    return {"name": SERVER, "version": version, "extensions": list(EXTENSIONS)}


def describe_model(contract: Contract, versions: Sequence[str]) -> Document:
    """Of `GET /v2/models/{name}`: an input for each feature and one for the id, which may be left out.

    Args:
        contract: What the model is asked.
        versions: Of every model that this server carries.
    """
    inputs = [_input(feature.name, _datatype(feature), allowed=feature.allowed) for feature in contract.features]
    return {
        "name": contract.name,
        "versions": list(versions),
        "platform": PLATFORM,
        "inputs": [*inputs, _input(contract.id, "BYTES", optional=True)],
        "outputs": [{"name": name, "datatype": datatype, "shape": [-1]} for name, (datatype, _) in OUTPUTS.items()],
    }


def describe_index(contract: Contract, versions: Sequence[str], not_ready: str | None) -> list[Document]:
    """Of `POST /v2/repository/index`.

    Args:
        contract: Names the model.
        versions: Of every model that this server carries.
        not_ready: Why none of them answers; None where they do.
    """
    state = {"state": "READY" if not_ready is None else "UNAVAILABLE", "reason": not_ready or ""}
    return [{"name": contract.name, "version": version, **state} for version in versions]


def _input(name: str, datatype: str, **parameters: str | bool) -> Document:
    return {"name": name, "datatype": datatype, "shape": [-1], "parameters": parameters}


def _datatype(feature: Feature) -> str:
    """What a column is best sent as; whole numbers have no NaN to say missing with."""
    if not isinstance(feature, Numeric):
        return "BYTES"
    return "INT64" if feature.integer and not feature.missing else "FP64"
