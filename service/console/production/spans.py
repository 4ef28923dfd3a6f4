"""Which predictions are looked at, and in how many pieces of time: values in, values out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from bentos.errors import InvalidSetting
from service.micros import from_micros, to_micros

SECOND = 1_000_000
HOUR, DAY = 3_600 * SECOND, 86_400 * SECOND
MOST_PIECES = 240
"""More points than that no picture shows, and no query needs to bring."""

_LENGTHS = tuple(
    seconds * SECOND for seconds in (1, 5, 15, 60, 300, 900, 3_600, 3 * 3_600, 6 * 3_600, 86_400, 7 * 86_400)
)


@dataclass(frozen=True)
class Span:
    """A stretch of time, in microseconds since 1970 UTC.

    Attributes:
        start: Its first microsecond.
        end: The first that is no longer in it.
    """

    start: int
    end: int

    def __str__(self) -> str:
        first, last = from_micros(self.start), from_micros(self.end)
        return f"{first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC"


def piece_of(span: Span) -> int:
    """How long the pieces of a span are, so that there are enough to see a course and not too many to draw.

    Examples:
        >>> piece_of(Span(0, 60 * SECOND)) // SECOND, piece_of(Span(0, 30 * DAY)) // HOUR
        (1, 3)
    """
    wanted = (span.end - span.start) / MOST_PIECES
    return next((length for length in _LENGTHS if length >= wanted), _LENGTHS[-1])


def say_piece(piece: int) -> str:
    """The length of a piece in words.

    Examples:
        >>> say_piece(15 * SECOND), say_piece(HOUR), say_piece(7 * DAY)
        ('15 seconds', '1 hour', '7 days')
    """
    for unit, length in (("day", DAY), ("hour", HOUR), ("minute", 60 * SECOND), ("second", SECOND)):
        if piece % length == 0:
            number = piece // length
            return f"{number} {unit}{'' if number == 1 else 's'}"
    raise ValueError(f"{piece} microseconds are no whole seconds")


def last(length: int, now: int) -> Span:
    """The last so many microseconds."""
    return Span(now - length, now + 1)


def between(first: str | None, final: str | None) -> Span:
    """From the beginning of one day to the end of another, in UTC.

    Args:
        first: A day as `2026-03-01`.
        final: Another, or the same.

    Raises:
        InvalidSetting: One of them is none, or they are the wrong way round.
    """
    try:
        start, end = (datetime.fromisoformat(str(day)[:10]).replace(tzinfo=UTC) for day in (first, final))
    except ValueError as e:
        raise InvalidSetting("choose a first and a last day") from e
    if end < start:
        raise InvalidSetting(f"the last day, {end:%Y-%m-%d}, must not be before the first, {start:%Y-%m-%d}")
    return Span(to_micros(start), to_micros(end) + DAY)
