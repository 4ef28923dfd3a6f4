"""One input tensor: its shape checked before anything is made of it, its elements from JSON or from bytes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from bentos.errors import InvalidRequest, Problem, shown
from service.routes.open_inference.binary import FORMATS, unpack_numbers, unpack_texts

Element = str | int | float | bool | None
"""One value of a tensor; None where JSON says null."""

DATATYPES = (*FORMATS, "BYTES")

_LISTED = ", ".join(DATATYPES)
_KINDS: dict[str, tuple[frozenset[type], str]] = {
    "BOOL": (frozenset({bool, type(None)}), "true, false or null"),
    "FP32": (frozenset({float, int, type(None)}), "a number or null"),
    "FP64": (frozenset({float, int, type(None)}), "a number or null"),
    "BYTES": (frozenset({str, type(None)}), "text or null"),
}
_WHOLE = (frozenset({int, type(None)}), "a whole number or null")


@dataclass(frozen=True)
class Bounds:
    """How large a tensor may be.

    Attributes:
        rows: At most.
        columns: At most: the contract's features.
    """

    rows: int
    columns: int


@dataclass(frozen=True)
class Tensor:
    """One input.

    Attributes:
        name: A feature's, the id's, or any for a matrix.
        datatype: One of `DATATYPES`.
        shape: (n_rows,) or (n_rows, n_columns).
        values: Row by row; as many as the shape says.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: Sequence[Element]

    @property
    def rows(self) -> int:
        """How many rows it has."""
        return self.shape[0]

    @property
    def width(self) -> int:
        """How many columns it has."""
        return math.prod(self.shape[1:])


def check_form(name: str, datatype: str, shape: Sequence[int], bounds: Bounds) -> None:
    """Check what a tensor says of itself, before its elements are read.

    Raises:
        InvalidRequest: The datatype is unknown, or the shape is not one of rows.
    """
    if datatype not in DATATYPES:
        _refuse(f"{name}.datatype", shown(datatype), f"one of {_LISTED}")
    is_form = len(shape) in (1, 2) and 1 <= shape[0] <= bounds.rows and 1 <= math.prod(shape[1:]) <= bounds.columns
    if not is_form:
        columns = f"[rows, {bounds.columns}] for all features" if bounds.columns > 1 else "[rows, 1]"
        allowed = f"[rows] or [rows, 1] for one column, or {columns}, of 1 to {bounds.rows} rows"
        _refuse(f"{name}.shape", shown(list(shape[:40])), allowed)


def from_json(name: str, datatype: str, shape: Sequence[int], data: object) -> Tensor:
    """A tensor whose elements came as JSON: a flat list, or one list a row.

    Args:
        name: As sent.
        datatype: As sent, and checked.
        shape: As sent, and checked.
        data: As sent.

    Raises:
        InvalidRequest: There are not as many elements as the shape says, or one is of another datatype.
    """
    values = _flattened(name, shape, data)
    wanted = math.prod(shape)
    if len(values) != wanted:
        _refuse(f"{name}.data", f"{len(values)} elements", f"{wanted} elements, as the shape {list(shape)} says")
    kinds, allowed = _KINDS.get(datatype, _WHOLE)
    width = math.prod(shape[1:])
    if not kinds.issuperset(map(type, values)):
        at = next(at for at, value in enumerate(values) if type(value) not in kinds)
        _refuse(f"{name}.data", shown(values[at]), f"{allowed}, as the datatype {datatype} says", at // width)
    if kinds is _WHOLE[0]:
        _check_range(name, datatype, values, width)
    return Tensor(name, datatype, tuple(shape), values)


def from_bytes(name: str, datatype: str, shape: Sequence[int], content: bytes) -> Tensor:
    """A tensor whose elements came as bytes behind the JSON.

    Args:
        name: As sent.
        datatype: As sent, and checked.
        shape: As sent, and checked.
        content: Its share of the body.

    Raises:
        InvalidRequest: The bytes are not as many elements as the shape says.
    """
    field, wanted = f"{name}.parameters.binary_data_size", math.prod(shape)
    if datatype == "BYTES":
        return Tensor(name, datatype, tuple(shape), _texts(name, shape, content))
    size = wanted * np.dtype(FORMATS[datatype]).itemsize
    if len(content) != size:
        _refuse(
            field, f"{len(content)} bytes", f"{size} bytes: {wanted} of {datatype}, as the shape {list(shape)} says"
        )
    return Tensor(name, datatype, tuple(shape), unpack_numbers(content, datatype))


def _texts(name: str, shape: Sequence[int], content: bytes) -> list[str | None]:
    wanted = math.prod(shape)
    texts = unpack_texts(content, wanted)
    if texts is None or len(texts) != wanted:
        found = f"{len(content)} bytes" if texts is None else _counted(len(texts), wanted)
        allowed = f"{wanted} elements, each after its length in four bytes, little-endian"
        _refuse(f"{name}.parameters.binary_data_size", found, allowed)
    if None in texts:
        _refuse(name, "bytes that are no UTF-8", "text in UTF-8", texts.index(None) // math.prod(shape[1:]))
    return texts


def _counted(found: int, wanted: int) -> str:
    return f"more than {wanted} elements" if found > wanted else f"{found} elements"


def _flattened(name: str, shape: Sequence[int], data: object) -> list[Any]:
    if not isinstance(data, list):
        _refuse(f"{name}.data", shown(data), "a list of elements, flat or with one list a row")
    if len(shape) < 2 or not data or not isinstance(data[0], list):
        return data
    for row, inner in enumerate(data):
        if not isinstance(inner, list) or len(inner) != shape[1]:
            _refuse(
                f"{name}.data", shown(inner), f"a list of {shape[1]} elements, as the shape {list(shape)} says", row
            )
    return [value for inner in data for value in inner]


def _check_range(name: str, datatype: str, values: Sequence[Any], width: int) -> None:
    limits = np.iinfo(FORMATS[datatype])
    low, high = int(limits.min), int(limits.max)
    for at, value in enumerate(values):
        if value is not None and not low <= value <= high:
            _refuse(f"{name}.data", shown(value), f"within {datatype}'s range from {low} to {high}", at // width)


def _refuse(field: str, found: str, allowed: str, row: int | None = None) -> NoReturn:
    raise InvalidRequest("inputs", [Problem(field[:160], found, allowed, row)])
