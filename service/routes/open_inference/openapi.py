"""The protocol's operations for OpenAPI, with an example that the contract allows."""

from __future__ import annotations

from typing import Any

from bentos.artifact import Contract
from service.routes.open_inference.answering import BINARY, OUTPUTS
from service.routes.open_inference.binary import FORMATS
from service.routes.open_inference.metadata import describe_model
from service.routes.open_inference.reading import ID_LENGTH
from service.routes.openapi import example_features

Schema = dict[str, Any]

_JSON = "application/json"
_STATUSES = {
    "400": "The body is no JSON",
    "401": "An API key is needed",
    "403": "The API key may not ask this",
    "408": "The body did not arrive in time",
    "413": "The body is too large, packed or unpacked",
    "415": "The body is declared or compressed as something that is not read",
    "422": "A tensor or a field is not what is allowed; each is named",
    "429": "Too many rows of this client, or too many requests at once; Retry-After says when to come again",
    "503": "Not ready, or a model answered no probability",
}
_ERROR: Schema = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string"}, "status": {"type": "integer"}, "errors": {"type": "array"}},
}
_SHAPE: Schema = {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 1, "maxItems": 2}
_PARAMETERS: Schema = {"type": "object"}


def get_operation(operation_id: str, *statuses: str) -> Schema:
    """Of a GET that answers an object."""
    found = {"description": "As it says", "content": {_JSON: {"schema": {"type": "object"}}}}
    return {"operationId": operation_id, "responses": {"200": found, **_refusals(*statuses)}}


def infer_operation(contract: Contract, operation_id: str) -> Schema:
    """Of `POST …/infer`."""
    behind = {"schema": {"type": "string", "format": "binary"}}
    request = {_JSON: {"schema": _request(contract), "example": example_request(contract)}}
    answered = {_JSON: {"schema": _response()}, BINARY.decode(): behind}
    return {
        "operationId": operation_id,
        "parameters": [{"$ref": f"#/components/parameters/{name}"} for name in ("IdempotencyKey", "Variant")],
        "requestBody": {"required": True, "content": request},
        "responses": {
            "200": {"description": "One element a row in every output", "content": answered},
            **_refusals("400", "401", "403", "408", "413", "415", "422", "429", "503"),
        },
    }


def example_request(contract: Contract) -> Schema:
    """One row that the contract allows, one tensor a column."""
    features = example_features(contract)
    tensors = describe_model(contract, ())["inputs"][: len(features)]
    inputs = [
        {"name": one["name"], "datatype": one["datatype"], "shape": [1], "data": [features[one["name"]]]}
        for one in tensors
    ]
    return {"id": "request-1", "inputs": inputs, "outputs": [{"name": name} for name in OUTPUTS]}


def _request(contract: Contract) -> Schema:
    names = ", ".join(feature.name for feature in contract.features)
    about = (
        f"One tensor for each of {names}; or one tensor of another name with all of them in this order, [rows, "
        f"{len(contract.features)}]. {contract.id} may be sent beside them: the same customer gets the same variant."
    )
    tensor = {
        "type": "object",
        "required": ["name", "datatype", "shape"],
        "properties": {
            "name": {"type": "string"},
            "datatype": {"enum": [*FORMATS, "BYTES"]},
            "shape": _SHAPE,
            "parameters": _PARAMETERS,
            "data": {"type": "array"},
        },
    }
    output = {
        "type": "object",
        "required": ["name"],
        "properties": {"name": {"enum": list(OUTPUTS)}, "parameters": _PARAMETERS},
    }
    return {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": "string", "maxLength": ID_LENGTH},
            "parameters": _PARAMETERS,
            "inputs": {"type": "array", "items": tensor, "minItems": 1, "description": about},
            "outputs": {"type": "array", "items": output},
        },
    }


def _response() -> Schema:
    output = {
        "type": "object",
        "required": ["name", "datatype", "shape"],
        "properties": {
            "name": {"enum": list(OUTPUTS)},
            "datatype": {"type": "string"},
            "shape": _SHAPE,
            "parameters": _PARAMETERS,
            "data": {"type": "array"},
        },
    }
    return {
        "type": "object",
        "required": ["model_name", "outputs"],
        "properties": {
            "id": {"type": "string"},
            "model_name": {"type": "string"},
            "model_version": {"type": "string"},
            "outputs": {"type": "array", "items": output},
        },
    }


def _refusals(*statuses: str) -> Schema:
    content = {_JSON: {"schema": _ERROR}}
    return {status: {"description": _STATUSES[status], "content": content} for status in statuses}
