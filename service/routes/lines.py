"""A body that the handler reads by itself: whole where it is bounded, or line by line in memory that does not grow."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager

from service.http.limits import Bound
from service.http.messages import JSON, Request
from service.http.problems import MALFORMED, TOO_LARGE, HttpRefusal

NDJSON = b"application/x-ndjson"
CSV = b"text/csv"
WHOLE_AT_ONCE = 4
"""How many large bodies are worked on at once; more are told to come again, as memory is bounded."""

LARGE_BYTES = 1024 * 1024
"""A body beyond it is large: a thousand rows are half of it."""

LINE_LIMIT_BYTES = 64 * 1024
STREAM_LIMIT_BYTES = 1 << 40
"""Of a body that is read line by line: what bounds it is the memory, and that is a line's."""

Line = bytes | None
"""A line without its line feed; None for one that is longer than the limit, whose content nobody keeps."""


async def read_lines(
    parts: AsyncGenerator[bytes, None], limit_bytes: int = LINE_LIMIT_BYTES
) -> AsyncGenerator[list[Line], None]:
    """The lines that end in each part of a body, as soon as the part is there; a part in which none ends gives nothing.

    Args:
        parts: Of the body; closed with the lines.
        limit_bytes: The longest line.
    """
    begun, is_too_long = bytearray(), False
    async with aclosing(parts):
        async for part in parts:
            head, *rest = part.split(b"\n")
            if not is_too_long:
                begun += head
            is_too_long = is_too_long or len(begun) > limit_bytes
            if rest:
                lines = [None if is_too_long else bytes(begun), *rest[:-1]]
                yield [None if line is None or len(line) > limit_bytes else line for line in lines]
                begun = bytearray(rest[-1])
                is_too_long = len(begun) > limit_bytes
            if is_too_long:
                begun.clear()
    if begun or is_too_long:
        yield [None if is_too_long else bytes(begun)]


def kind_of_body(headers: Mapping[bytes, bytes]) -> bytes:
    """What a body is declared as, without parameters."""
    return headers.get(b"content-type", JSON).split(b";", 1)[0].strip().lower()


def parts_of(request: Request) -> AsyncGenerator[bytes, None]:
    """The parts of a request's body, where the route reads it by itself; else the body as one part."""
    return _refusing(_one(request.body) if request.parts is None else request.parts)


@asynccontextmanager
async def whole_body(request: Request, limit_bytes: int, bound: Bound) -> AsyncIterator[bytes]:
    """A body that has to be there as a whole before anything of it counts, while it is worked on.

    Args:
        request: Of a route that reads bodies by itself.
        limit_bytes: The largest body.
        bound: On how many large ones are held at once.

    Raises:
        HttpRefusal: It is too large or too slow, too many are held, or the client left.
    """
    length = request.headers.get(b"content-length", b"0")
    if length.isdigit() and (len(length) > 15 or int(length) > limit_bytes):
        raise _too_large(limit_bytes)
    is_large, found, size = False, [], 0
    try:
        async with aclosing(parts_of(request)) as parts:
            async for part in parts:
                size += len(part)
                if size > limit_bytes:
                    raise _too_large(limit_bytes)
                if size > LARGE_BYTES and not is_large:
                    bound.enter()
                    is_large = True
                found.append(part)
        body = b"".join(found)
        found.clear()
        yield body
    finally:
        if is_large:
            bound.leave()


async def _refusing(parts: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """The same parts; a client that leaves is refused like any other whose body is not whole."""
    try:
        async with aclosing(parts):
            async for part in parts:
                yield part
    except ConnectionResetError as e:
        raise HttpRefusal(MALFORMED, "the client left before the end of the body") from e


async def _one(body: bytes) -> AsyncGenerator[bytes, None]:
    yield body


def _too_large(limit_bytes: int) -> HttpRefusal:
    return HttpRefusal(TOO_LARGE, f"the body is larger than {limit_bytes} bytes; send it in parts, or as a stream")
