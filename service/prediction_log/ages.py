"""How old rows are by their prediction id, and in which month they stand: ids sort by their time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from service.store.partitions import Month, months_ahead

FIRST_MONTH = Month(2020, 1)
"""No honest clock tells an earlier one."""


def id_at(moment: datetime) -> str:
    """What every id that was made at a moment or later reaches, and none from before.

    Examples:
        >>> from datetime import UTC
        >>> id_at(datetime(2026, 1, 1, tzinfo=UTC))
        '019b76da-a800'
    """
    text = f"{round(moment.timestamp() * 1000):012x}"
    return f"{text[:8]}-{text[8:]}"


@dataclass(frozen=True)
class Span:
    """The part of a month that is older than a cutoff.

    Attributes:
        month: Which one.
        low: No id in it comes before this.
        high: Every id in it comes before this.
        is_whole: Whether that is all of the month.
    """

    month: Month
    low: str
    high: str
    is_whole: bool

    def holds(self, prediction_id: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
        """Whether an id falls into it."""
        return sa.and_(prediction_id >= self.low, prediction_id < self.high)


def spans_before(cutoff: datetime) -> Iterator[Span]:
    """The months before a cutoff, the oldest first; the last one may be a part."""
    month, end = FIRST_MONTH, id_at(cutoff)
    while month.first_id < end:
        yield Span(month, month.first_id, min(month.next.first_id, end), month.next.first_id <= end)
        month = month.next


def tells_no_time(prediction_id: sa.ColumnElement[str], *, now: datetime) -> sa.ColumnElement[bool]:
    """Whether an id says of no moment that can be: from before 2020, or more than two months ahead of now."""
    last = max(months_ahead(now))
    return sa.or_(prediction_id < FIRST_MONTH.first_id, prediction_id >= last.next.first_id)


def name_of(month: Month) -> str:
    """A month as it is written.

    Examples:
        >>> name_of(Month(2026, 1))
        '2026-01'
    """
    return f"{month.year:04d}-{month.month:02d}"
