"""Right requests, which mutations start from: the examples of the service's own OpenAPI document, and variations."""

from __future__ import annotations

import json
import os
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from service.ids import make_id

LENGTH_HEADER = b"Inference-Header-Content-Length"
_MANY = 40


@dataclass(frozen=True)
class Seed:
    """A request that is right.

    Attributes:
        path: Of a POST route.
        content_type: Of its body.
        body: Its bytes.
        headers: Beside content-type, content-length and the key.
    """

    path: str
    content_type: str
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()

    @property
    def name(self) -> str:
        """What counts are kept by."""
        kind = self.content_type.rpartition("/")[2]
        return self.path if kind == "json" else f"{self.path} ({kind})"


def make_seeds(document: dict[str, Any]) -> tuple[Seed, ...]:
    """One for each way in which a route's body may be sent, and some that are longer or say more.

    Args:
        document: The service's OpenAPI document.
    """
    return tuple(seed for path, operation in _posts(document) for seed in _seeds_of(path, operation))


def fresh_id() -> str:
    """A prediction id of this moment."""
    return make_id(time.time_ns() // 1000, os.urandom(8))


def is_infer(path: str) -> bool:
    """Whether a route is of the Open Inference Protocol."""
    return path.startswith("/v2/") and path.endswith("/infer")


def _posts(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, operations in document["paths"].items():
        if "requestBody" in operations.get("post", {}):
            yield path, operations["post"]


def _seeds_of(path: str, operation: dict[str, Any]) -> Iterator[Seed]:
    for kind, content in operation["requestBody"]["content"].items():
        if "example" not in content:
            continue
        example = content["example"]
        body = example.encode() if isinstance(example, str) else json.dumps(example).encode()
        seed = Seed(path, kind, body)
        yield seed
        yield from _variations(seed, example)


def _variations(seed: Seed, example: Any) -> Iterator[Seed]:
    if is_infer(seed.path) and isinstance(example, dict):
        yield _binary(seed, example)
    elif isinstance(example, str):
        head, _, rest = seed.body.partition(b"\n")
        again = rest if seed.content_type == "text/csv" else seed.body
        yield replace(seed, body=(head + b"\n" if seed.content_type == "text/csv" else b"") + again * _MANY)
    elif "features" in example:
        yield replace(seed, body=json.dumps({**example, "prediction_id": fresh_id(), "purpose": "test"}).encode())
    else:
        (name, rows), *_ = example.items()
        yield replace(seed, body=json.dumps({name: rows * _MANY}).encode())


def _binary(seed: Seed, example: dict[str, Any]) -> Seed:
    """The same tensors as bytes behind the JSON."""
    inputs, behind = [], b""
    for one in example["inputs"]:
        datatype = "FP64" if one["datatype"] != "BYTES" else "BYTES"
        content = b"".join(_packed(value, datatype) for value in one["data"])
        parameters = {"binary_data_size": len(content)}
        inputs.append({"name": one["name"], "datatype": datatype, "shape": one["shape"], "parameters": parameters})
        behind += content
    head = json.dumps({**example, "inputs": inputs}).encode()
    length = str(len(head)).encode()
    return Seed(seed.path, "application/octet-stream", head + behind, ((LENGTH_HEADER, length),))


def _packed(value: Any, datatype: str) -> bytes:
    if datatype == "FP64":
        return struct.pack("<d", value)
    text = str(value).encode()
    return struct.pack("<I", len(text)) + text
