"""Tensors of the Open Inference Protocol: what is one, what is refused by name, and that sizes are checked first."""

import gzip
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bentos.errors import InvalidRequest
from service.http.problems import HttpRefusal
from service.routes.open_inference.binary import FORMATS, decompress, pack, unpack_numbers, unpack_texts
from service.routes.open_inference.tensors import DATATYPES, Bounds, check_form, from_bytes, from_json

BOUNDS = Bounds(rows=1000, columns=4)
ELEMENTS = {
    "BOOL": st.booleans(),
    "FP32": st.floats(width=32, allow_nan=False),
    "FP64": st.floats(allow_nan=False),
    "BYTES": st.text(max_size=20),
} | {
    name: st.integers(int(np.iinfo(form).min), int(np.iinfo(form).max))
    for name, form in FORMATS.items()
    if "INT" in name
}


def refusal(call, *arguments):
    with pytest.raises(InvalidRequest) as caught:
        call(*arguments)
    (problem,) = caught.value.problems
    return problem


@pytest.mark.parametrize("datatype", DATATYPES)
@given(data=st.data())
def test_elements_survive_the_way_through_bytes_and_through_json(datatype, data):
    values = data.draw(st.lists(ELEMENTS[datatype], min_size=1, max_size=20))
    shape = data.draw(st.sampled_from([(len(values),), (len(values), 1)]))
    assert from_bytes("x", datatype, shape, pack(values, datatype)).values == values
    assert from_json("x", datatype, shape, values).values == values


def test_a_nested_list_is_read_row_by_row():
    nested = from_json("x", "FP64", (2, 3), [[1.5, 2, None], [4, 5, 6]])
    assert (nested.values, nested.rows, nested.width) == ([1.5, 2, None, 4, 5, 6], 2, 3)
    assert from_json("x", "FP64", (2, 3), [1.5, 2, None, 4, 5, 6]) == nested


@pytest.mark.parametrize(
    "shape", [(), (0,), (-1,), (1001,), (2, 0), (2, -1), (2, 5), (1, 1, 1), (10**18,), (1, 10**30), (-(10**30),)]
)
def test_a_shape_that_is_none_of_rows_is_refused_with_what_is_one(shape):
    problem = refusal(check_form, "tenure", "FP64", shape, BOUNDS)
    assert problem.field == "tenure.shape"
    assert problem.value.startswith("[")
    assert "of 1 to 1000 rows" in problem.allowed


@pytest.mark.parametrize("datatype", ["", "FP16", "BF16", "fp64", "float", "STRING", "\0"])
def test_an_unknown_datatype_is_refused_with_those_that_are_known(datatype):
    problem = refusal(check_form, "tenure", datatype, (1,), BOUNDS)
    assert problem.field == "tenure.datatype"
    assert "BYTES" in problem.allowed


@pytest.mark.parametrize(
    ("datatype", "shape", "data", "row"),
    [
        ("FP64", (1,), None, None),
        ("FP64", (1,), "text", None),
        ("FP64", (1,), {"0": 1}, None),
        ("FP64", (2,), [1.0], None),
        ("FP64", (2,), [1.0, 2.0, 3.0], None),
        ("FP64", (2,), [1.0, "2"], 1),
        ("FP64", (2,), [1.0, True], 1),
        ("FP64", (2,), [[1.0], [2.0]], 0),
        ("FP64", (2, 2), [[1.0, 2.0], [3.0]], 1),
        ("FP64", (2, 2), [[1.0, 2.0], 3.0], 1),
        ("FP64", (2, 2), [1.0, 2.0, [3.0], 4.0], 1),
        ("INT64", (2,), [1, 1.0], 1),
        ("INT64", (2,), [1, True], 1),
        ("INT8", (2,), [1, 128], 1),
        ("UINT8", (2,), [1, -1], 1),
        ("UINT64", (2,), [1, 2**64], 1),
        ("BOOL", (2,), [True, 1], 1),
        ("BYTES", (2,), ["a", 1], 1),
        ("BYTES", (2, 2), [["a", "b"], ["c", 4]], 1),
    ],
)
def test_data_that_is_not_what_the_tensor_says_is_named_with_its_row(datatype, shape, data, row):
    problem = refusal(from_json, "tenure", datatype, shape, data)
    assert (problem.field, problem.row) == ("tenure.data", row)


@given(
    datatype=st.sampled_from(DATATYPES),
    rows=st.integers(1, 1000),
    columns=st.sampled_from([None, 1, 4]),
    content=st.binary(max_size=200),
)
def test_any_bytes_are_a_tensor_or_a_refusal(datatype, rows, columns, content):
    shape = (rows,) if columns is None else (rows, columns)
    try:
        found = len(from_bytes("x", datatype, shape, content).values)
    except InvalidRequest as e:
        found = e.problems[0].field
    assert found in (rows * (columns or 1), "x", "x.parameters.binary_data_size")


def test_bytes_that_are_no_utf8_are_no_text():
    assert unpack_texts(b"\x02\x00\x00\x00\xff\xfe", 1) == [None]


@pytest.mark.parametrize("content", [b"\0", b"\0\0\0", b"\1\0\0\0", b"\xff\xff\xff\xffabc", b"\1\0\0\0a\5\0\0\0b"])
def test_lengths_that_do_not_add_up_are_no_texts(content):
    assert unpack_texts(content, 9) is None


def test_numbers_are_little_endian_and_any_byte_but_0_is_true():
    assert unpack_numbers(struct.pack("<hh", 1, -2), "INT16") == [1, -2]
    assert unpack_numbers(b"\0\1\7", "BOOL") == [False, True, True]


@pytest.mark.parametrize(
    ("encoding", "compress"), [(b"gzip", gzip.compress), (b"GZIP ", gzip.compress), (b"deflate", zlib.compress)]
)
def test_a_compressed_body_is_unpacked(encoding, compress):
    assert decompress(compress(b"content"), encoding, 7) == b"content"
    assert decompress(b"content", b"identity", 7) == b"content"


# Without a time in it, which would name the tests otherwise in each process that collects them.
PACKED = gzip.compress(b"content", mtime=0)


@pytest.mark.parametrize("body", [b"", b"content", PACKED[:-1], PACKED + b"x"])
def test_a_body_that_is_not_whole_or_not_compressed_is_refused(body):
    assert refusal(decompress, body, b"gzip", 100).field == "body"


def test_an_unknown_encoding_is_refused_with_those_that_are_known():
    with pytest.raises(HttpRefusal, match="gzip or deflate") as caught:
        decompress(b"", b"br", 100)
    assert caught.value.kind.status == 415


def test_a_small_body_that_becomes_huge_is_never_unpacked():
    bomb = gzip.compress(bytes(200_000_000), 1)
    tracemalloc.start()
    with pytest.raises(HttpRefusal, match="larger than 1000 bytes") as caught:
        decompress(bomb, b"gzip", 1000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert caught.value.kind.status == 413
    assert peak < 10_000_000
