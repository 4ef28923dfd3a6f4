"""An inference request as it was sent: its JSON, the bytes behind it, and what it asks to be answered."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, cast

import msgspec

from bentos.errors import InvalidRequest, Problem, shown
from service import ids
from service.http.messages import Headers
from service.http.problems import TOO_LARGE, HttpRefusal
from service.prediction_log.records import Purpose
from service.routes.bodies import PURPOSES, load
from service.routes.open_inference.binary import decompress
from service.routes.open_inference.tensors import Bounds, Tensor, check_form, from_bytes, from_json
from service.routes.turns import Slices

LENGTH_HEADER = "Inference-Header-Content-Length"
PARAMETERS = ("binary_data_output", "content_type", "prediction_id", "priority", "purpose", "timeout")
"""What a request's `parameters` may name. `content_type`, `priority` and `timeout` are hints, and not heeded."""

ID_LENGTH = 200
_JSON_BYTES, _ELEMENT_BYTES, _NESTED = 64 * 1024, 64, 1000
"""What the JSON may have beside what each element of the largest request takes: bytes, bytes an element, objects and
lists. A list a byte would be made and thrown away for a third of a second, in which nobody else is answered."""

_PLACE = re.compile(r"Expected `(?P<allowed>.*)`, got `(?P<found>.*)` - at `\$\.?(?P<field>.*)`")

_MOST_UNKNOWN = 20
"""Parameters that are named where they are unknown."""

Parameters = dict[str, Any]


class _Input(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    shape: list[int]
    datatype: str
    parameters: Parameters | None = None
    data: Any = None


class _Output(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    parameters: Parameters | None = None


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    inputs: list[_Input]
    id: str | None = None
    model_name: Any = None  # KServe's client sends these two; the path says which model is asked
    model_version: Any = None
    parameters: Parameters | None = None
    outputs: list[_Output] | None = None


@dataclass(frozen=True)
class Wanted:
    """One output that is asked for.

    Attributes:
        name: One of the outputs that there are.
        is_binary: Whether its elements are to come as bytes behind the JSON.
    """

    name: str
    is_binary: bool


@dataclass(frozen=True, kw_only=True)
class InferRequest:
    """What `POST …/infer` is asked.

    Attributes:
        id: The client's own, which the answer repeats.
        tensors: The inputs; each is whole, whether they fit together is not checked yet.
        outputs: What to answer, in this order.
        purpose: Of every row.
        prediction_id: The client's own UUIDv7, for a request of one row.
    """

    id: str | None
    tensors: tuple[Tensor, ...]
    outputs: tuple[Wanted, ...]
    purpose: Purpose
    prediction_id: str | None


async def read_infer(
    body: bytes, headers: Headers, *, outputs: Sequence[str], bounds: Bounds, limit_bytes: int
) -> InferRequest:
    """Read an inference request; others get a turn between its tensors.

    Args:
        body: JSON, and behind it the bytes of binary tensors.
        headers: Of the request.
        outputs: The names of the outputs that there are.
        bounds: How large a tensor may be.
        limit_bytes: How large a compressed body may become.

    Raises:
        HttpRefusal: The body is no JSON, too large, or encoded in an unknown way.
        InvalidRequest: A field is not what the protocol allows.
    """
    whole = decompress(body, headers.get(b"content-encoding", b""), limit_bytes)
    length = _json_length(headers.get(LENGTH_HEADER.lower().encode()), len(whole))
    told = _convert(load(_checked_size(whole[:length], bounds)))
    parameters = told.parameters or {}
    problems = [
        Problem(f"parameters.{name[:80]}", "an unknown parameter", "one of " + ", ".join(PARAMETERS))
        for name in islice((name for name in parameters if name not in PARAMETERS), _MOST_UNKNOWN)
    ]
    if told.id is not None and not _is_id(told.id):
        problems.append(Problem("id", shown(told.id), f"printable text of at most {ID_LENGTH} characters"))
    purpose, own_id = parameters.get("purpose", "live"), _own_id(parameters.get("prediction_id"))
    if purpose not in PURPOSES:
        problems.append(Problem("parameters.purpose", shown(purpose), "one of " + ", ".join(map(repr, PURPOSES))))
    if problems:
        raise InvalidRequest("body", problems)
    return InferRequest(
        id=told.id,
        tensors=await _tensors(told.inputs, whole[length:], bounds),
        outputs=_wanted(told.outputs, outputs, _flag(parameters, "binary_data_output", "parameters")),
        purpose=cast(Purpose, purpose),
        prediction_id=own_id,
    )


def _json_length(header: bytes | None, whole: int) -> int:
    if header is None:
        return whole
    text = header.decode("latin-1").strip()
    if not (text.isascii() and text.isdigit() and len(text) < 16 and int(text) <= whole):
        allowed = f"the length of the JSON in bytes, at most the body's {whole}"
        raise InvalidRequest("headers", [Problem(LENGTH_HEADER, shown(text), allowed)])
    return int(text)


def _checked_size(content: bytes, bounds: Bounds) -> bytes:
    """The JSON, if reading it cannot hold up everybody else for long; the bytes behind it cost next to nothing."""
    elements = bounds.rows * (bounds.columns + 1)
    limit = _JSON_BYTES + elements * _ELEMENT_BYTES
    if len(content) > limit:
        rest = f"send it in parts, or its tensors as bytes behind it with {LENGTH_HEADER}"
        raise HttpRefusal(TOO_LARGE, f"the JSON of the body is larger than {limit} bytes; {rest}")
    if content.count(b"{") + content.count(b"[") > _NESTED + elements:
        allowed = f"of at most {_NESTED + elements} objects and lists"
        raise InvalidRequest("body", [Problem("body", "JSON of very many objects and lists", allowed)])
    return content


def _convert(told: object) -> _Body:
    try:
        return msgspec.convert(told, _Body)
    except (msgspec.ValidationError, UnicodeError) as e:  # a key may spell half a surrogate pair
        place = _PLACE.fullmatch(str(e))
        if place is None:
            raise InvalidRequest("body", [Problem("body", f"{e}"[:200], "an inference request of V2")]) from e
        problem = Problem(place["field"] or "body", f"an {place['found']}", f"an {place['allowed']}")
        raise InvalidRequest("body", [problem]) from e


async def _tensors(inputs: Sequence[_Input], content: bytes, bounds: Bounds) -> tuple[Tensor, ...]:
    found, at, slices = [], 0, Slices()
    for one in inputs:
        await slices.pause_if_due()
        check_form(one.name, one.datatype, one.shape, bounds)
        size = _binary_size(one, len(content) - at)
        if size is None:
            found.append(from_json(one.name, one.datatype, one.shape, one.data))
        else:
            found.append(from_bytes(one.name, one.datatype, one.shape, content[at : at + size]))
            at += size
    if at != len(content):
        allowed = "as long as the binary_data_size of all inputs together"
        raise InvalidRequest("body", [Problem("body", f"{len(content) - at} bytes more behind the JSON", allowed)])
    return tuple(found)


def _binary_size(one: _Input, left: int) -> int | None:
    """How many bytes behind the JSON are this tensor's; None where its elements are in the JSON."""
    parameters = one.parameters or {}
    field = f"{one.name[:80]}.parameters"
    if "shared_memory_region" in parameters:
        allowed = "left out: there is no shared memory here, and elements come as data or as binary_data_size"
        raise InvalidRequest("inputs", [Problem(f"{field}.shared_memory_region", "shared memory", allowed)])
    if "binary_data_size" not in parameters:
        return None
    size = parameters["binary_data_size"]
    if one.data is not None:
        raise InvalidRequest(
            "inputs", [Problem(f"{field}.binary_data_size", shown(size), "left out where data is sent")]
        )
    if type(size) is not int or not 0 <= size <= left:
        allowed = (
            f"a number of bytes, at most the {left} that are left behind the JSON, whose length {LENGTH_HEADER} says"
        )
        raise InvalidRequest("inputs", [Problem(f"{field}.binary_data_size", shown(size), allowed)])
    return size


def _wanted(asked: Sequence[_Output] | None, there: Sequence[str], is_binary: bool) -> tuple[Wanted, ...]:
    """All outputs where none is named."""
    if not asked:
        return tuple(Wanted(name, is_binary) for name in there)
    names = [one.name for one in asked]
    for at, one in enumerate(asked):
        if one.name not in there or one.name in names[:at]:
            allowed = "one of " + ", ".join(there) + ", and each once"
            raise InvalidRequest("outputs", [Problem(f"outputs[{at}].name", shown(one.name), allowed)])
        for parameter in ("classification", "shared_memory_region"):
            if parameter in (one.parameters or {}):
                problem = Problem(f"{one.name}.parameters.{parameter}", "an extension of Triton's", "left out")
                raise InvalidRequest("outputs", [problem])
    return tuple(Wanted(one.name, _flag(one.parameters or {}, "binary_data", one.name, is_binary)) for one in asked)


def _flag(parameters: Parameters, name: str, field: str, default: bool = False) -> bool:
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise InvalidRequest("body", [Problem(f"{field}.{name}", shown(value), "true or false")])
    return value


def _own_id(value: object) -> str | None:
    if value is None:
        return None
    own_id = ids.normalized(value) if isinstance(value, str) else None
    if own_id is None:
        raise InvalidRequest("body", [Problem("parameters.prediction_id", shown(value), ids.ALLOWED)])
    return own_id


def _is_id(text: str) -> bool:
    return len(text) <= ID_LENGTH and text.isprintable()
