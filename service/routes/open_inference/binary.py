"""Bytes of the protocol's binary tensor data extension: elements of fixed and of own length, and compressed bodies."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import numpy as np

from bentos.errors import InvalidRequest, Problem, shown
from service.http.problems import TOO_LARGE, WRONG_TYPE, HttpRefusal

FORMATS = {
    "BOOL": "u1",
    "INT8": "i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "UINT8": "u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "FP32": "<f4",
    "FP64": "<f8",
}
"""How numpy spells the datatypes whose elements have a fixed length. Numbers are little-endian."""

_LENGTH = struct.Struct("<I")
_WINDOWS = {b"gzip": 16 + zlib.MAX_WBITS, b"x-gzip": 16 + zlib.MAX_WBITS, b"deflate": zlib.MAX_WBITS}


def unpack_numbers(content: bytes, datatype: str) -> list[int] | list[float] | list[bool]:
    """The elements of a tensor whose elements have a fixed length.

    Args:
        content: A whole number of elements.
        datatype: One of `FORMATS`.
    """
    found = np.frombuffer(content, dtype=FORMATS[datatype])
    values: list[int] | list[float] | list[bool] = (found != 0 if datatype == "BOOL" else found).tolist()
    return values


def unpack_texts(content: bytes, wanted: int) -> list[str | None] | None:
    """The elements of a BYTES tensor: before each its length in four bytes; None where the lengths do not add up.

    Args:
        content: All of them.
        wanted: How many there should be; no more than one beyond is read.

    Returns:
        None in the place of an element that is no UTF-8.
    """
    found: list[str | None] = []
    at, end = 0, len(content)
    while at < end and len(found) <= wanted:
        start = at + _LENGTH.size
        if start > end:
            return None
        at = start + _LENGTH.unpack_from(content, start - _LENGTH.size)[0]
        if at > end:
            return None
        found.append(_text_of(content[start:at]))
    return found


def _text_of(element: bytes) -> str | None:
    try:
        return element.decode()
    except UnicodeDecodeError:
        return None


def pack(values: Sequence[str | float | bool], datatype: str) -> bytes:
    """Elements as bytes, as `unpack_numbers` and `unpack_texts` read them."""
    if datatype != "BYTES":
        return np.array(values, dtype=FORMATS[datatype]).tobytes()
    texts = [str(value).encode() for value in values]
    return b"".join(_LENGTH.pack(len(text)) + text for text in texts)


def decompress(body: bytes, encoding: bytes, limit_bytes: int) -> bytes:
    """A body as it was before its `Content-Encoding`.

    Args:
        body: As it came.
        encoding: The header's value.
        limit_bytes: How large it may become; nothing beyond it is unpacked.

    Raises:
        HttpRefusal: The encoding is unknown, or the body is larger than the limit.
        InvalidRequest: The body is not encoded so.
    """
    name = encoding.strip().lower()
    if name in (b"", b"identity"):
        return body
    if name not in _WINDOWS:
        raise HttpRefusal(
            WRONG_TYPE, f"content-encoding is {shown(name.decode('latin-1'))}; it must be gzip or deflate"
        )
    unpacking = zlib.decompressobj(_WINDOWS[name])
    try:
        found = unpacking.decompress(body, limit_bytes + 1)
    except zlib.error as e:
        raise _not_encoded(name) from e
    if len(found) > limit_bytes:
        raise HttpRefusal(TOO_LARGE, f"the unpacked body is larger than {limit_bytes} bytes; send it in parts")
    if not unpacking.eof or unpacking.unused_data:
        raise _not_encoded(name)
    return found


def _not_encoded(name: bytes) -> InvalidRequest:
    allowed = "whole, and compressed as Content-Encoding says"
    return InvalidRequest("body", [Problem("body", f"what cannot be unpacked as {name.decode()}", allowed)])
