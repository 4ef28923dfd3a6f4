"""What insight and its workers say to each other: MessagePack behind four bytes that say how long it is. No pickle."""

from __future__ import annotations

import struct

import msgspec

from service.insight.explanation import Explanation

HEAD = struct.Struct(">I")
LONGEST = 4 * 1024 * 1024


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """A row to be explained.

    Attributes:
        digest: Of the artifact that answered.
        row: Its encoded columns, float32 in this machine's order.
    """

    digest: str
    row: bytes


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker says: once when its models are loaded, then once for each row.

    Attributes:
        explanation: Of the row; None at the start and where there is none.
        error: The class of the error tree that stands in its place; None for none.
        reason: What that error says.
    """

    explanation: Explanation | None = None
    error: str | None = None
    reason: str = ""


def frame(said: Ask | Told) -> bytes:
    """A message as it goes through a pipe."""
    content = msgspec.msgpack.encode(said)
    return HEAD.pack(len(content)) + content
