"""A spool cut at any byte, as by a power failure: whole records land once, and what is cut is kept and counted."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
import sqlalchemy as sa
from spool_toys import ids_in, is_torn, lines_in, outcome, prediction, records_in

from service.prediction_log.lines import BadLine, decode_line, encode_line
from service.prediction_log.segments import segments_of
from service.prediction_log.shipper import DEAD_LETTERS, ship
from service.prediction_log.spool import Spool
from service.store import open_store, tables


@contextmanager
def opened(folder, worker="w", **options):
    spool = Spool(folder, worker, **options)
    try:
        yield spool
    finally:
        spool.close()


@pytest.fixture
def store(tmp_path):
    store = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    yield store
    store.close()


def ids(store, table):
    with store.reading() as connection:
        return sorted(connection.execute(sa.select(table.c.prediction_id)).scalars())


def cut_spool(folder, number):
    """A spool of three records, without the last `number` bytes; what is left whole, and the cut line."""
    records = [prediction(0, prediction_id=f"{number}-a")]
    records += [outcome(1, prediction_id=f"{number}-b"), outcome(2, prediction_id=f"{number}-c")]
    with opened(folder, f"w{number}") as spool:
        spool.append_all(records)
    segment = segments_of(spool.folder)[-1]
    content = segment.read_bytes()[: segment.stat().st_size - number]
    segment.write_bytes(content)
    whole = [record for record in records if encode_line(record)[:-1] in content]
    rest = content.rpartition(b"\n")[2]
    return whole, b"" if rest in {encode_line(record)[:-1] for record in whole} else rest


TWO_LINES = sum(len(encode_line(outcome(number, prediction_id="123-b"))) for number in (1, 2))


def test_after_a_cut_at_every_byte_of_the_last_two_records_whole_records_land_once_and_cut_ones_are_dead_letters(
    tmp_path, store
):
    folder, landed, cut = tmp_path / "spool", [], {}
    for number in range(TWO_LINES + 2):
        whole, rest = cut_spool(folder, number)
        with opened(folder, f"w{number}") as spool:  # the worker is started again
            spool.append(outcome(3, prediction_id=f"{number}-d"))
        landed += [record.prediction_id for record in whole] + [f"{number}-d"]
        cut[spool.folder] = rest
    shipped = ship(folder, store)
    assert sorted(ids(store, tables.predictions) + ids(store, tables.outcomes)) == sorted(landed)
    assert shipped.bad_lines == sum(bool(rest) for rest in cut.values())
    assert {place: dead_letters(place) for place in cut} == cut


def dead_letters(place):
    kept = place / DEAD_LETTERS
    return kept.read_bytes().removesuffix(b"\n") if kept.exists() else b""


@pytest.mark.parametrize("record", [prediction(1), outcome(1)], ids=["prediction", "outcome"])
def test_no_part_of_a_line_is_a_record_but_the_whole_without_its_line_feed(record):
    line = encode_line(record)
    for length in range(len(line) - 1):
        with pytest.raises(BadLine):
            decode_line(line[:length])
    assert decode_line(line[:-1]) == record


def test_a_record_that_lacks_only_its_line_feed_is_finished_at_the_next_start(tmp_path):
    whole, rest = cut_spool(tmp_path, 1)
    assert (len(whole), rest) == (3, b"")
    with opened(tmp_path, "w1") as spool:
        spool.append(outcome(3))
    assert records_in(tmp_path / "w1") == [*whole, outcome(3)]


@pytest.mark.parametrize("number", [2, 12, 40, 100, TWO_LINES - 2])
def test_a_new_start_changes_nothing_of_a_cut_record_and_writes_nothing_behind_it(tmp_path, number):
    cut_spool(tmp_path, number)
    segment = segments_of(tmp_path / f"w{number}")[-1]
    before = segment.read_bytes()
    assert is_torn(segment)
    with opened(tmp_path, f"w{number}") as spool:
        spool.append(outcome(3))
    assert segment.read_bytes() == before
    assert ids_in(tmp_path / f"w{number}")[-1] == "p3"


def test_every_segment_is_finished_not_only_the_last_because_a_power_failure_cuts_them_all(tmp_path):
    with opened(tmp_path, segment_bytes=1) as spool:
        spool.append_all([outcome(1)])
        spool.append_all([outcome(2)])
        spool.append_all([prediction(3, features={"note": "x" * 20_000})])
    for segment in segments_of(tmp_path / "w"):
        segment.write_bytes(segment.read_bytes()[:-1])
    assert lines_in(tmp_path / "w") == []
    with opened(tmp_path):
        assert ids_in(tmp_path / "w") == ["p1", "p2", "p3"]


def test_zeros_where_a_record_was_are_no_record_and_stop_nothing(tmp_path, store):
    folder = tmp_path / "spool"
    with opened(folder) as spool:
        spool.append_all([prediction(1), prediction(2)])
    segment = segments_of(folder / "w")[-1]
    length = len(encode_line(prediction(2)))
    segment.write_bytes(segment.read_bytes()[:-length] + bytes(length))  # as some file systems leave it
    with opened(folder) as spool:
        spool.append(prediction(3))
    shipped = ship(folder, store)
    assert (ids(store, tables.predictions), shipped.bad_lines) == (["p1", "p3"], 1)


def test_a_reader_of_the_last_segment_waits_for_the_rest_of_a_line(tmp_path, store):
    folder = tmp_path / "spool"
    _, rest = cut_spool(folder, 30)
    assert ship(folder, store).bad_lines == 0
    assert rest
    assert dead_letters(folder / "w30") == b""
