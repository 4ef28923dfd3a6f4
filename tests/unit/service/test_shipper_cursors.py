"""Cursors and watermarks: what the store promises of a spool, and what it never promises."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa
from shipping_toys import NOW, ids, outcome, prediction, rows, spool_row, spooled

from bentos.errors import NotFound, Unavailable
from service.micros import to_micros
from service.prediction_log import ahead, chunks, shipper
from service.prediction_log.lines import encode_line
from service.prediction_log.segments import segment_name, segments_of
from service.prediction_log.shipper import Shipped, give_up_spool, ship
from service.prediction_log.spool import Spool
from service.store import open_store, tables

HOUR = timedelta(hours=1)


@pytest.fixture
def store(tmp_path):
    store = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    yield store
    store.close()


def watermark(store, worker="w"):
    return spool_row(store, worker)["watermark"]


def test_the_watermark_is_the_moment_before_reading_began_and_never_goes_back(tmp_path, store):
    folder = spooled(tmp_path / "spool", prediction(1))
    ship(folder, store, now=NOW)
    assert watermark(store) == to_micros(NOW)
    ship(folder, store, now=NOW - HOUR)
    assert watermark(store) == to_micros(NOW)
    ship(folder, store, now=NOW + HOUR)
    assert watermark(store) == to_micros(NOW + HOUR)


def test_a_pass_that_began_before_another_ended_leaves_its_watermark(tmp_path, store):
    folder = spooled(tmp_path / "spool", prediction(1))
    ship(folder, store, clock=lambda: NOW)
    moments = iter([NOW - HOUR, NOW + HOUR])
    ship(folder, store, clock=lambda: next(moments))
    assert watermark(store) == to_micros(NOW)


def test_a_watermark_that_lies_ahead_of_a_clock_that_was_set_back_is_taken_back(tmp_path, store, caplog):
    folder = spooled(tmp_path / "spool", prediction(1))
    ship(folder, store, clock=lambda: NOW + 24 * HOUR)
    assert watermark(store) == to_micros(NOW + 24 * HOUR)
    ship(folder, store, clock=lambda: NOW)
    assert watermark(store) == to_micros(NOW)
    (warning,) = [record for record in caplog.records if record.message == "watermark_taken_back"]
    assert (warning.worker, warning.ahead_seconds) == ("w", 86_400)
    ship(folder, store, clock=lambda: NOW + HOUR)
    assert watermark(store) == to_micros(NOW + HOUR)


def test_a_clock_that_steps_back_and_forth_under_load_costs_no_record_and_promises_none_that_is_still_to_come(
    tmp_path, store
):
    """Worker and shipper share the clock; at each step some is shipped before it, and some is still unread."""
    folder, written = tmp_path / "spool", []
    spool = Spool(folder, "w", segment_bytes=1000)
    for hours in (0, 24, -48, -47, 1, -1, 2):
        now = NOW + hours * HOUR
        for _ in range(6):
            record = prediction(len(written), at=to_micros(now))
            assert spool.append(record)
            written.append(record.prediction_id)
            if len(written) % 3 == 0:
                ship(folder, store, clock=lambda now=now: now)
                assert watermark(store) <= to_micros(now)
    spool.close()
    ship(folder, store, clock=lambda: NOW + 3 * HOUR)
    with store.reading() as connection:
        stored = sorted(connection.execute(sa.select(tables.predictions.c.prediction_id)).scalars())
    assert stored == sorted(written)


def test_the_watermark_stays_while_lines_are_unread(tmp_path, store, monkeypatch):
    folder = spooled(tmp_path / "spool", *(prediction(number) for number in range(10)))
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 1000)
    really, calls = shipper.move_cursor, []

    def move_once(*arguments):
        calls.append(1)
        if len(calls) > 1:
            raise Unavailable("gone")
        return really(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(shipper, "move_cursor", move_once)
        with pytest.raises(Unavailable):
            ship(folder, store, now=NOW)
    assert 0 < len(ids(store)) < 10
    assert watermark(store) == 0


def test_a_spool_given_up_leaves_an_audit_row_and_comes_back_when_it_ships_again(tmp_path, store):
    folder = spooled(tmp_path / "spool", prediction(1))
    ship(folder, store, now=NOW)
    give_up_spool(store, "w", who="ann", reason="node lost", now=NOW)
    assert spool_row(store)["lost_at"] == to_micros(NOW)
    (row,) = rows(store, tables.audit)
    assert (row["action"], row["who"], row["subject"], row["reason"]) == ("spool_lost", "ann", "w", "node lost")
    ship(folder, store, now=NOW)
    assert spool_row(store)["lost_at"] is None


def test_giving_up_an_unknown_spool_names_the_known_ones(tmp_path, store):
    ship(spooled(tmp_path / "spool", prediction(1)), store)
    with pytest.raises(NotFound, match="it knows w"):
        give_up_spool(store, "x", who="ann", reason="node lost", now=NOW)


def segment_of(*records):
    return b"".join(encode_line(record) for record in records)


def test_a_segment_that_was_lost_and_begun_again_under_its_name_is_read_from_its_beginning(tmp_path, store, caplog):
    """A machine loses its power: the segment that was shipped is gone, and the next one gets its number."""
    folder = spooled(tmp_path / "spool", *(prediction(number) for number in range(5)))
    ship(folder, store)
    (segment,) = segments_of(folder / "w")
    segment.write_bytes(segment_of(*(prediction(number) for number in range(10, 18))))
    assert ship(folder, store) == Shipped(predictions=8)
    assert [record.message for record in caplog.records] == ["segment_changed"]


@pytest.mark.parametrize("kept", range(1, 10))
def test_a_segment_that_lost_its_end_lands_no_record_twice_and_none_less(tmp_path, store, kept):
    folder = spooled(tmp_path / "spool", *(prediction(number) for number in range(10)))
    ship(folder, store)
    (segment,) = segments_of(folder / "w")
    shorter = segment.read_bytes()[: kept * segment.stat().st_size // 10]
    segment.write_bytes(shorter)
    spooled(folder, prediction(20))
    ship(folder, store)
    assert ids(store) == sorted(f"p{number}" for number in [*range(10), 20])


def test_a_segment_left_behind_the_cursor_is_looked_at_again_before_it_is_deleted(tmp_path, store):
    """Either its shipper was killed before it could delete it, or its number was given again after a power cut."""
    folder = spooled(tmp_path / "spool", *(prediction(number) for number in range(20)), segment_bytes=1500)
    ship(folder, store)
    reached = spool_row(store)["segment"]
    left = folder / "w" / segment_name(reached - 1)
    left.write_bytes(segment_of(prediction(3), prediction(99)))
    assert ship(folder, store) == Shipped(predictions=1, duplicates=1 + len_of_last(folder))
    assert not left.exists()
    assert spool_row(store)["segment"] == reached


def test_a_segment_whose_shipper_was_killed_before_it_could_delete_it_is_deleted_and_not_shipped_again(
    tmp_path, store, monkeypatch
):
    folder = spooled(tmp_path / "spool", *(prediction(number) for number in range(20)), segment_bytes=1500)
    really, calls = shipper.hold_cursor, []

    def die_after_a_commit(*arguments):
        calls.append(1)
        if len(calls) > 1:
            raise KeyboardInterrupt
        return really(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(shipper, "hold_cursor", die_after_a_commit)
        with pytest.raises(KeyboardInterrupt):
            ship(folder, store)
    before = len(segments_of(folder / "w"))
    landed = len(ids(store))
    assert 0 < landed < 20
    assert ship(folder, store) == Shipped(predictions=20 - landed)
    assert len(segments_of(folder / "w")) == 1 < before


def len_of_last(folder):
    return segments_of(folder / "w")[-1].read_bytes().count(b"\n")


def test_a_segment_that_somebody_deleted_is_told_and_passed_over(tmp_path, store, caplog):
    folder = spooled(tmp_path / "spool", *(prediction(number) for number in range(20)), segment_bytes=1500)
    ship(folder, store)
    for segment in segments_of(folder / "w"):
        segment.unlink()
    (folder / "w" / segment_name(900)).write_bytes(segment_of(prediction(50)))
    assert ship(folder, store) == Shipped(predictions=1)
    assert [record.message for record in caplog.records] == ["segment_gone"]


def test_shipping_resumes_where_the_cursor_stands(tmp_path, store, monkeypatch):
    folder = tmp_path / "spool"
    spool = Spool(folder, "w")
    for number in range(5):
        spool.append(outcome(number))
    ship(folder, store)
    read, really = [], ahead.decode_lines
    monkeypatch.setattr(ahead, "decode_lines", lambda lines, at: read.extend(lines) or really(lines, at))
    spool.append(outcome(5))
    ship(folder, store)
    spool.close()
    assert [line + b"\n" for line in read] == [encode_line(outcome(5))]


def test_a_store_that_is_older_than_its_spool_takes_what_is_left(tmp_path, store):
    """A backup was restored: its cursor speaks of segments that have been deleted since."""
    folder = spooled(tmp_path / "spool", *(prediction(number) for number in range(20)), segment_bytes=1500)
    ship(folder, store)
    with store.writing() as connection:
        connection.execute(sa.update(tables.spools).values(segment=1, offset=700, mark=7))
        connection.execute(sa.delete(tables.predictions))
    spooled(folder, prediction(50))
    ship(folder, store)
    assert "p50" in ids(store)
