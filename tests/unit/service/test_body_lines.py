"""A streamed body in lines: the same whatever the parts are, and in memory that does not grow with it."""

import asyncio
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.routes.lines import read_lines


async def parts_of(parts):
    for part in parts:
        yield part


def lines_in(parts, limit=10):
    async def read():
        return [line async for lines in read_lines(parts_of(parts), limit) for line in lines]

    return asyncio.run(read())


@given(st.lists(st.binary(max_size=40).map(lambda part: part.replace(b"x", b"\n")), max_size=20))
def test_lines_do_not_depend_on_how_the_body_is_cut(parts):
    body = b"".join(parts)
    lines = body.split(b"\n")
    if not lines[-1]:
        lines.pop()
    wanted = [None if len(line) > 10 else line for line in lines]
    assert lines_in(parts) == lines_in([body]) == lines_in([body[i : i + 1] for i in range(len(body))]) == wanted


@pytest.mark.parametrize("parts", [[], [b""], [b"", b""]])
def test_an_empty_body_has_no_lines(parts):
    assert lines_in(parts) == []


def test_a_line_without_an_end_is_not_kept():
    part = b"x" * 65_536
    tracemalloc.start()
    try:
        assert lines_in((part for _ in range(200)), limit=65_536) == [None]
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_a_body_that_nobody_reads_on_is_closed_with_its_lines():
    closed = []

    async def parts():
        try:
            yield b"a\n"
            yield b"b\n"
        finally:
            closed.append(True)

    async def read_one():
        lines = read_lines(parts())
        assert await anext(lines) == [b"a"]
        await lines.aclose()
        assert closed

    asyncio.run(read_one())
