"""Time inside the prediction log: whole microseconds since 1970 UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_micros(moment: datetime) -> int:
    """A moment with a time zone as microseconds, without rounding.

    Examples:
        >>> to_micros(datetime(2026, 1, 1, tzinfo=UTC))
        1767225600000000
    """
    return (moment - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """Microseconds as a moment in UTC.

    Examples:
        >>> from_micros(1767225600000000).isoformat()
        '2026-01-01T00:00:00+00:00'
    """
    return _EPOCH + timedelta(microseconds=micros)
