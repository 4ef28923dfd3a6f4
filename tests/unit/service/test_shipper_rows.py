"""From lines to rows: the short way and the long way say the same."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shipping_toys import outcome, prediction, treatment

from service.prediction_log.lines import BadLine, decode_line, encode_line
from service.prediction_log.records import Outcome, Prediction, Treatment
from service.prediction_log.rows import TABLES, Rows, columns_of, decode_lines, row_of

RECORDS = [
    prediction(1),
    prediction(2, features={}, customer_id=None, challenger=None, experiment='quoted " and \\ and é and \n'),
    prediction(3, features={"a": "\0 \u2028 \U0001f600", "b": -1e-300, "c": "x", "d": None, "e": 2**53}),
    prediction(4, enrolment="pinned", no_treatment=True, latency_us=7, request_id="r", trace_id="t", client="c"),
    outcome(1, positive=False),
    treatment(1),
]


def as_row(record):
    values = msgspec.structs.asdict(record)
    if isinstance(record, Prediction):
        values["features"] = msgspec.json.encode(record.features).decode()
    return (*(values[name] for name in columns_of(type(record))[:-1]), 77)


@pytest.mark.parametrize("record", RECORDS, ids=range(len(RECORDS)))
def test_a_row_holds_what_the_record_holds(record):
    assert row_of(encode_line(record)[:-1], 77) == (type(record), as_row(record))


@pytest.mark.parametrize("record", RECORDS, ids=range(len(RECORDS)))
def test_a_line_of_version_1_without_checksum_is_read_as_well(record):
    names = {"kind", "v", *(name for name in record.__struct_fields__ if name not in _SINCE_1)}
    old = {key: value for key, value in msgspec.to_builtins(record).items() if key in names}
    line = msgspec.json.encode({**old, "v": 1})
    expected = decode_line(line)
    assert row_of(line, 77) == (type(record), as_row(expected))
    if isinstance(expected, Prediction):
        assert (expected.enrolment, expected.no_treatment) == ("enrolled", False)


_SINCE_1 = {
    "enrolment",
    "no_treatment",
    "latency_us",
    "request_id",
    "trace_id",
    "client",
    "champion_us",
    "challenger_us",
}


@pytest.mark.parametrize("kind", [Prediction, Outcome, Treatment])
def test_every_field_of_a_record_has_a_column_and_every_column_a_field(kind):
    assert sorted(columns_of(kind)) == sorted(column.name for column in TABLES[kind].columns)


LINES = [encode_line(record)[:-1] for record in RECORDS]


@given(st.sampled_from(LINES), st.integers(0, 1500), st.binary(min_size=1, max_size=3))
def test_whatever_is_done_to_a_line_both_ways_agree_on_whether_it_is_one(line, place, instead):
    place %= len(line)
    damaged = line[:place] + instead + line[place + len(instead) :]
    assert is_record(row_of, damaged) == is_record(decode_line, damaged)


@given(st.sampled_from(LINES), st.integers(0, 1500))
def test_a_cut_line_is_never_a_record(line, kept):
    assert not is_record(row_of, line[: kept % len(line)])


def is_record(read, line):
    try:
        read(line, 77) if read is row_of else read(line)
    except BadLine:
        return False
    return True


def test_rows_are_sorted_by_kind_and_know_their_lines():
    lines = [LINES[4], b"bad", LINES[0], LINES[5], LINES[1], b""] * 700
    rows = Rows(decode_lines(lines, 77))
    assert [len(found) for found in (rows.of(Prediction), rows.of(Outcome), rows.bad)] == [1400, 700, 1400]
    assert rows.bad[:3] == [1, 5, 7]
    assert [rows.place(Prediction, number) for number in (0, 1, 2)] == [2, 4, 8]
    assert rows.place(Treatment, 699) == 6 * 699 + 3
