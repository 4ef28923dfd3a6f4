"""Between numpy and Arrow without conversion: the buffers are the same.

pyarrow's own ways there and back (`pa.array`, `pa.scalar`, `to_numpy`) import pandas wherever it is installed: 70 MB
of memory and up to two seconds that scoring a file has no use for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_NUMPY_NAMES = {"float": "float32", "double": "float64"}
"""numpy's names of Arrow's types, where they differ among integers and floating-point numbers."""


def to_arrow(values: NDArray[Any]) -> pa.Array:
    """An Arrow array of numbers: shape (n,), without nulls."""
    plain = np.ascontiguousarray(values)
    return pa.Array.from_buffers(pa.from_numpy_dtype(plain.dtype), len(plain), [None, pa.py_buffer(plain)])


def to_texts(texts: Sequence[str]) -> pa.Array:
    """An Arrow array of texts."""
    encoded = [text.encode() for text in texts]
    offsets = np.cumsum([0, *(len(text) for text in encoded)], dtype=np.int32)
    return pa.Array.from_buffers(
        pa.string(), len(encoded), [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded))]
    )


def to_numpy(column: pa.Array) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """A column of integers or floating-point numbers, and which of them are null and hence worth nothing."""
    name = str(column.type)
    values = np.frombuffer(column.buffers()[1] or b"", _NUMPY_NAMES.get(name, name))
    return values[column.offset : column.offset + len(column)], nulls_of(column)


def nulls_of(column: pa.Array) -> NDArray[np.bool_]:
    """Which values are null."""
    if not column.null_count:
        return np.zeros(len(column), dtype=np.bool_)
    bits = np.unpackbits(np.frombuffer(column.buffers()[0], np.uint8), bitorder="little")
    found: NDArray[np.bool_] = bits[column.offset : column.offset + len(column)] == 0
    return found
