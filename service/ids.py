"""Prediction ids: UUIDv7 (RFC 9562), whose first 48 bits are the time, so that ids sort and partition by it."""

from __future__ import annotations

import re

_UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")

ALLOWED = "a UUIDv7, such as 0190163d-8694-739b-aea5-966c26f8ad91"
"""What a client's own id must be, to be read after "must be"."""


def make_id(at: int, randomness: bytes) -> str:
    """A new prediction id.

    Args:
        at: Now, in microseconds since 1970 UTC.
        randomness: Eight random bytes; 62 of their bits are used.

    Returns:
        A UUIDv7 in lower case: 48 bits of milliseconds, 12 bits of the millisecond's fraction, 62 random bits.
    """
    milliseconds, microseconds = divmod(at, 1000)
    number = (
        (milliseconds & (2**48 - 1)) << 80
        | 7 << 76
        | (microseconds * 4096 // 1000) << 64
        | 0b10 << 62
        | int.from_bytes(randomness[:8], "big") >> 2
    )
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def normalized(prediction_id: str) -> str | None:
    """A client's own id in lower case; None where it is no UUIDv7."""
    lowered = prediction_id.lower()
    return lowered if _UUID7.fullmatch(lowered) else None
