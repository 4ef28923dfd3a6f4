"""Months of ids: bounds that sort as ids do, and no partition for times that cannot be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from service.ids import make_id
from service.micros import to_micros
from service.store.partitions import Month, month_at, months_ahead, months_of

NOW = datetime(2026, 11, 15, tzinfo=UTC)


@given(
    st.datetimes(min_value=datetime(2020, 1, 1), max_value=datetime(2099, 11, 30)), st.binary(min_size=8, max_size=8)
)
def test_an_id_stands_between_the_bounds_of_its_month(moment, randomness):
    moment = moment.replace(tzinfo=UTC)
    made, month = make_id(to_micros(moment), randomness), month_at(moment)
    assert month.first_id <= made < month.next.first_id


def test_a_month_begins_with_its_first_millisecond():
    first = datetime(2026, 3, 1, tzinfo=UTC)
    before, after = (make_id(to_micros(first + timedelta(microseconds=step)), bytes(8)) for step in (-1, 0))
    assert before < Month(2026, 3).first_id <= after


def test_this_month_and_the_next_two_are_made_ahead_over_the_years_end():
    assert months_ahead(NOW) == {Month(2026, 11), Month(2026, 12), Month(2027, 1)}


def beginning(*moment):
    return make_id(to_micros(datetime(*moment, tzinfo=UTC)), bytes(8))[:8]


def test_months_come_from_the_beginnings_of_ids():
    found = months_of([beginning(2026, 3, 5), beginning(2026, 3, 9), beginning(2025, 12, 31)], now=NOW)
    assert found == {Month(2026, 3), Month(2025, 12)}


def test_a_beginning_that_touches_two_months_gives_both():
    assert months_of([beginning(2026, 3, 1)], now=NOW) == {Month(2026, 2), Month(2026, 3)}


def test_what_is_no_time_or_none_that_can_be_gets_no_partition():
    strange = ["p1", "", "zzzzzzzz", "ffffffff", "00000000", beginning(2019, 12, 1), beginning(2027, 2, 15)]
    assert months_of(strange, now=NOW) == set()
    assert months_of([beginning(2027, 1, 15)], now=NOW) == {Month(2027, 1)}
