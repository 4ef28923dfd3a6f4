"""The shipper: every record once, whatever dies, however many ship at once."""

from __future__ import annotations

import os
import threading
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from bentos.errors import NotFound, Unavailable
from service import shipper
from service.micros import to_micros
from service.records import Outcome, Prediction
from service.shipper import DEAD_LETTERS, Shipped, give_up_spool, run_shipper, ship
from service.spool import Spool, segments_of
from service.store import open_store, tables

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def prediction(number: int, **changes) -> Prediction:
    fields = {
        "prediction_id": f"p{number}",
        "at": to_micros(NOW) + number,
        "customer_id": f"c{number}",
        "purpose": "live",
        "experiment": "e",
        "revision": 2,
        "mode": "shadow",
        "split": 0.0,
        "variant": "champion",
        "champion": "sha256:a",
        "challenger": "sha256:b",
        "champion_probability": 0.25,
        "challenger_probability": None,
        "champion_positive": False,
        "challenger_positive": None,
        "features": {"tenure": 3.5, "Contract": "Month-to-month", "TotalCharges": None},
    }
    return Prediction(**{**fields, **changes})


def outcome(number: int, **changes) -> Outcome:
    fields = {"prediction_id": f"p{number}", "positive": True, "observed_at": number, "received_at": number}
    return Outcome(**{**fields, **changes})


@pytest.fixture
def store(tmp_path):
    store = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    yield store
    store.close()


def spooled(folder, *records, worker="w", **options):
    spool = Spool(folder, worker, **options)
    for record in records:
        spool.append(record)
    spool.close()
    return folder


def rows(store, table=tables.predictions):
    with store.reading() as connection:
        return connection.execute(sa.select(table)).mappings().all()


def ids(store, table=tables.predictions):
    return sorted(row["prediction_id"] for row in rows(store, table))


def test_a_record_arrives_with_every_field(tmp_path, store):
    spooled(tmp_path / "spool", prediction(1), outcome(1, positive=False))
    assert ship(tmp_path / "spool", store, now=NOW) == Shipped(predictions=1, outcomes=1)
    (row,) = rows(store)
    expected = msgspec.structs.asdict(prediction(1))
    expected.pop("v")
    assert msgspec.json.decode(row["features"]) == expected.pop("features")
    assert {key: row[key] for key in expected} == expected
    (truth,) = rows(store, tables.outcomes)
    assert (truth["prediction_id"], truth["positive"], truth["observed_at"]) == ("p1", False, 1)


def test_shipping_again_moves_nothing_and_new_lines_are_found(tmp_path, store):
    folder = tmp_path / "spool"
    spool = Spool(folder, "w")
    spool.append(prediction(1))
    assert ship(folder, store).predictions == 1
    assert ship(folder, store) == Shipped()
    spool.append(prediction(2))
    assert ship(folder, store) == Shipped(predictions=1)
    spool.close()


def test_the_same_record_from_two_spools_is_one_row_and_a_duplicate(tmp_path, store):
    folder = spooled(tmp_path / "spool", prediction(1), outcome(1))
    spooled(folder, prediction(1), outcome(1), outcome(1, observed_at=9), worker="v")
    assert ship(folder, store) == Shipped(predictions=1, outcomes=2, duplicates=2)


def test_no_folder_holds_nothing(tmp_path, store):
    assert ship(tmp_path / "nowhere", store) == Shipped()


def test_finished_segments_are_deleted_and_the_one_being_written_stays(tmp_path, store):
    folder = tmp_path / "spool"
    spool = Spool(folder, "w", segment_bytes=1000)
    for number in range(20):
        spool.append(prediction(number))
    assert len(segments_of(folder / "w")) > 3
    assert ship(folder, store).predictions == 20
    assert len(segments_of(folder / "w")) == 1
    spool.append(prediction(99))
    spool.close()
    assert ship(folder, store).predictions == 1


LINE = msgspec.json.encode(prediction(7)) + b"\n"


@pytest.mark.parametrize("kept", [*range(0, len(LINE), 7), len(LINE) - 1])
def test_a_cut_line_waits_while_it_may_grow_and_is_a_dead_letter_once_a_new_segment_has_begun(tmp_path, store, kept):
    folder = spooled(tmp_path / "spool", prediction(1))
    with segments_of(folder / "w")[-1].open("ab") as file:
        file.write(LINE[:kept])
    assert ship(folder, store) == Shipped(predictions=1)
    spooled(folder, prediction(2))
    assert ship(folder, store) == Shipped(predictions=1, bad_lines=1 if kept else 0)
    assert ids(store) == ["p1", "p2"]
    if kept:
        assert (folder / "w" / DEAD_LETTERS).read_bytes() == LINE[:kept] + b"\n"


def test_a_line_still_being_written_is_shipped_once_it_is_whole(tmp_path, store):
    folder = spooled(tmp_path / "spool", prediction(1))
    segment = segments_of(folder / "w")[-1]
    with segment.open("ab", buffering=0) as file:
        file.write(LINE[:50])
        assert ship(folder, store) == Shipped(predictions=1)
        file.write(LINE[50:])
        assert ship(folder, store) == Shipped(predictions=1)


BAD = [
    b"",
    b"not json",
    b"{}",
    b'{"kind":"else"}',
    b"\xff\xfe",
    msgspec.json.encode({**msgspec.to_builtins(outcome(1)), "observed_at": "yesterday"}),
    msgspec.json.encode(outcome(1)).replace(b'"observed_at":1', b'"observed_at":99999999999999999999'),
]


@pytest.mark.parametrize("line", BAD)
def test_a_line_that_is_no_record_is_kept_aside_and_stops_nothing(tmp_path, store, line):
    folder = spooled(tmp_path / "spool", prediction(1))
    with segments_of(folder / "w")[-1].open("ab") as file:
        file.write(line + b"\n" + msgspec.json.encode(prediction(2)) + b"\n")
    assert ship(folder, store) == Shipped(predictions=2, bad_lines=1)
    assert ids(store) == ["p1", "p2"]
    assert (folder / "w" / DEAD_LETTERS).read_bytes() == line + b"\n"
    assert ship(folder, store) == Shipped()


def test_a_segment_larger_than_a_chunk_is_read_in_several_transactions(tmp_path, store, monkeypatch):
    monkeypatch.setattr(shipper, "_CHUNK_BYTES", 700)
    big = prediction(500, features={"note": "x" * 3000})
    folder = spooled(tmp_path / "spool", *(prediction(number) for number in range(10)), big, prediction(501))
    assert ship(folder, store) == Shipped(predictions=12)


def test_a_shipper_that_dies_before_its_commit_has_moved_nothing_and_the_next_loses_nothing(
    tmp_path, store, monkeypatch
):
    folder = spooled(tmp_path / "spool", *(prediction(number) for number in range(30)), segment_bytes=1500)

    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(shipper, "_move_cursor", die)
        with pytest.raises(KeyboardInterrupt):
            ship(folder, store)
    assert ids(store) == []
    assert ship(folder, store) == Shipped(predictions=30)


def test_two_shippers_at_once_lose_and_double_nothing(tmp_path, store, monkeypatch):
    monkeypatch.setattr(shipper, "_CHUNK_BYTES", 2000)
    folder = tmp_path / "spool"
    numbers = range(400)
    for worker in range(2):
        mine = [prediction(number) for number in numbers if number % 2 == worker]
        spooled(folder, *mine, worker=f"w{worker}", segment_bytes=5000)
    moved, problems = [], []

    def ship_it():
        try:
            moved.append(ship(folder, store))
        except Exception as e:
            problems.append(e)

    threads = [threading.Thread(target=ship_it) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert sum(moved, Shipped()) == Shipped(predictions=400)
    assert len(ids(store)) == 400


def test_a_spool_made_again_is_read_from_its_beginning(tmp_path, store):
    folder = tmp_path / "spool"
    spooled(folder, *(prediction(number) for number in range(20)), segment_bytes=1000)
    ship(folder, store)
    for path in sorted((folder / "w").iterdir()):
        path.unlink()
    spooled(folder, *(prediction(number) for number in range(20, 60)), segment_bytes=1000)
    assert ship(folder, store).predictions == 40


def watermark(store, worker="w"):
    return next(row["watermark"] for row in rows(store, tables.spools) if row["worker"] == worker)


def test_the_watermark_is_the_moment_before_reading_began_and_never_goes_back(tmp_path, store):
    folder = spooled(tmp_path / "spool", prediction(1))
    ship(folder, store, now=NOW)
    assert watermark(store) == to_micros(NOW)
    ship(folder, store, now=NOW - timedelta(hours=1))
    assert watermark(store) == to_micros(NOW)
    ship(folder, store, now=NOW + timedelta(hours=1))
    assert watermark(store) == to_micros(NOW + timedelta(hours=1))


def test_the_watermark_stays_while_lines_are_unread(tmp_path, store, monkeypatch):
    folder = spooled(tmp_path / "spool", *(prediction(number) for number in range(10)))
    monkeypatch.setattr(shipper, "_CHUNK_BYTES", 1000)
    land, calls = shipper._land, []

    def land_once(*arguments):
        calls.append(1)
        if len(calls) > 1:
            raise Unavailable("gone")
        return land(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(shipper, "_land", land_once)
        with pytest.raises(Unavailable):
            ship(folder, store, now=NOW)
    assert 0 < len(ids(store)) < 10
    assert watermark(store) == 0


def test_a_spool_given_up_leaves_an_audit_row_and_comes_back_when_it_ships_again(tmp_path, store):
    folder = spooled(tmp_path / "spool", prediction(1))
    ship(folder, store, now=NOW)
    give_up_spool(store, "w", who="ann", reason="node lost", now=NOW)
    assert rows(store, tables.spools)[0]["lost_at"] == to_micros(NOW)
    (row,) = rows(store, tables.audit)
    assert (row["action"], row["who"], row["subject"], row["reason"]) == ("spool_lost", "ann", "w", "node lost")
    ship(folder, store, now=NOW)
    assert rows(store, tables.spools)[0]["lost_at"] is None


def test_giving_up_an_unknown_spool_names_the_known_ones(tmp_path, store):
    ship(spooled(tmp_path / "spool", prediction(1)), store)
    with pytest.raises(NotFound, match="it knows w"):
        give_up_spool(store, "x", who="ann", reason="node lost", now=NOW)


def test_a_shipper_told_to_stop_drains_first(tmp_path, store):
    folder = spooled(tmp_path / "spool", prediction(1))
    stop = threading.Event()
    stop.set()
    assert run_shipper(folder, store, stop=stop) == Shipped(predictions=1)


def test_a_shipper_outlives_a_store_that_is_away(tmp_path, store, monkeypatch):
    folder, stop = spooled(tmp_path / "spool", prediction(1)), threading.Event()
    tries, really = [], shipper.ship

    def ship_later(*arguments):
        tries.append(1)
        if len(tries) < 3:
            raise Unavailable("away")
        stop.set()
        return really(*arguments)

    monkeypatch.setattr(shipper, "ship", ship_later)
    assert run_shipper(folder, store, stop=stop, interval_seconds=0.001).predictions == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_spool_that_cannot_be_read_is_unavailable(tmp_path, store):
    folder = spooled(tmp_path / "spool", prediction(1))
    segments_of(folder / "w")[0].chmod(0)
    with pytest.raises(Unavailable, match="cannot be read"):
        ship(folder, store)


@settings(max_examples=8, deadline=None)
@given(st.data())
def test_what_arrives_does_not_depend_on_workers_segments_and_passes(tmp_path_factory, data):
    place = tmp_path_factory.mktemp("any")
    records = [prediction(number) for number in range(12)] + [outcome(number) for number in range(12)]
    order = data.draw(st.permutations(records))
    workers = [
        Spool(place / "spool", f"w{number}", segment_bytes=data.draw(st.sampled_from([1, 700, 10**6])))
        for number in range(data.draw(st.integers(1, 4)))
    ]
    store = open_store(f"sqlite:///{place / 'store.db'}")
    passes = data.draw(st.sets(st.integers(0, len(order) - 1), max_size=2))
    for position, record in enumerate(order):
        data.draw(st.sampled_from(workers)).append(record)
        if position in passes:
            ship(place / "spool", store)
    ship(place / "spool", store)
    ship(place / "spool", store)
    for spool in workers:
        spool.close()
    assert ids(store) == sorted(f"p{number}" for number in range(12))
    assert ids(store, tables.outcomes) == sorted(f"p{number}" for number in range(12))
    store.close()
