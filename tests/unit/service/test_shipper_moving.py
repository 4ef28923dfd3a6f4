"""The shipper: every record once, whatever dies, however many ship at once."""

from __future__ import annotations

import os
import threading

import msgspec
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from shipping_toys import NOW, ids, outcome, prediction, rows, spooled, treatment

from bentos.errors import Unavailable
from service import commands
from service.prediction_log import chunks, shipper
from service.prediction_log.lines import encode_line
from service.prediction_log.segments import segments_of
from service.prediction_log.shipper import DEAD_LETTERS, Shipped, run_shipper, ship
from service.prediction_log.spool import Spool
from service.store import open_store, tables


@pytest.fixture
def store(tmp_path):
    store = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    yield store
    store.close()


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


def test_every_field_of_version_3_arrives(tmp_path, store):
    own = {
        "enrolment": "holdout",
        "no_treatment": True,
        "latency_us": 123,
        "request_id": "r",
        "trace_id": "t",
        "client": "till",
        "champion_us": 45,
        "challenger_us": 67,
    }
    spooled(tmp_path / "spool", prediction(1, **own), treatment(1, action="retention-email"))
    assert ship(tmp_path / "spool", store, now=NOW) == Shipped(predictions=1, treatments=1)
    (row,) = rows(store)
    assert {key: row[key] for key in own} == own
    (action,) = rows(store, tables.treatments)
    assert (action["prediction_id"], action["action"], action["taken_at"]) == ("p1", "retention-email", 1)


def test_a_treatment_told_twice_is_one_and_another_action_or_time_is_another(tmp_path, store):
    told = [treatment(1), treatment(1, received_at=9), treatment(1, action="mail"), treatment(1, taken_at=9)]
    spooled(tmp_path / "spool", *told)
    assert ship(tmp_path / "spool", store) == Shipped(treatments=3, duplicates=1)


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


LINE = encode_line(prediction(7))


@pytest.mark.parametrize("kept", [*range(0, len(LINE), 7), len(LINE) - 2])
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
    encode_line(prediction(7))[:-1].replace(b"3.5", b"4.5"),
    encode_line(outcome(1))[:-4] + b'0"}',
    msgspec.json.encode(outcome(1)),
    msgspec.json.encode({**msgspec.to_builtins(outcome(1)), "v": 1, "observed_at": "yesterday"}),
    msgspec.json.encode({**msgspec.to_builtins(outcome(1)), "v": 1, "observed_at": 10**20}),
    encode_line(outcome(1, observed_at=10**18))[:-1].replace(b"1000000000000000000", b"1" * 19),
]


@pytest.mark.parametrize("line", BAD)
def test_a_line_that_is_no_record_is_kept_aside_and_stops_nothing(tmp_path, store, line):
    folder = spooled(tmp_path / "spool", prediction(1))
    with segments_of(folder / "w")[-1].open("ab") as file:
        file.write(line + b"\n" + encode_line(prediction(2)))
    assert ship(folder, store) == Shipped(predictions=2, bad_lines=1)
    assert ids(store) == ["p1", "p2"]
    assert (folder / "w" / DEAD_LETTERS).read_bytes() == line + b"\n"
    assert ship(folder, store) == Shipped()


def test_a_segment_larger_than_a_chunk_is_read_in_several_transactions(tmp_path, store, monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 700)
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
        patched.setattr(shipper, "move_cursor", die)
        with pytest.raises(KeyboardInterrupt):
            ship(folder, store)
    assert ids(store) == []
    assert ship(folder, store) == Shipped(predictions=30)


def test_two_shippers_at_once_lose_and_double_nothing(tmp_path, store, monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 2000)
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


def test_a_shipper_told_to_stop_drains_first(tmp_path, store):
    folder = spooled(tmp_path / "spool", prediction(1))
    stop = threading.Event()
    stop.set()
    assert run_shipper(folder, store, stop=stop) == Shipped(predictions=1)


class AwayAtFirst:
    """A store that does not answer the first times it is written to."""

    def __init__(self, store, times: int) -> None:
        self._store = store
        self._times = times

    def writing(self):
        self._times -= 1
        if self._times >= 0:
            raise Unavailable("away")
        return self._store.writing()

    def __getattr__(self, name):
        return getattr(self._store, name)


class StopAtLast:
    """Stops once everything has been shipped."""

    def __init__(self, store) -> None:
        self._store = store

    def wait(self, seconds: float) -> bool:
        return bool(ids(self._store))


def test_a_shipper_outlives_a_store_that_is_away(tmp_path, store, caplog):
    folder = spooled(tmp_path / "spool", prediction(1))
    away = AwayAtFirst(store, times=3)
    assert run_shipper(folder, away, stop=StopAtLast(store), interval_seconds=0.001) == Shipped(predictions=1)
    assert [record.message for record in caplog.records] == ["ship_failed"] * 3
    pauses = [record.next_try_seconds for record in caplog.records]
    assert pauses == [0.002, 0.004, 0.008]


def test_a_shipper_begins_while_the_store_is_away(tmp_path):
    """In a pod it is started before scoring, which must not wait for a store."""
    folder, place = spooled(tmp_path / "spool", prediction(1)), tmp_path / "later"
    store = open_store(f"sqlite:///{place}/store.db", asks=False)

    class ComesBack:
        waits = 0

        def wait(self, seconds: float) -> bool:
            self.waits += 1
            if self.waits == 3:
                place.mkdir()
            return self.waits > 4

    assert run_shipper(folder, store, stop=ComesBack(), interval_seconds=0.001) == Shipped(predictions=1)


@pytest.mark.parametrize(("arguments", "asks"), [([], False), (["--once"], True)])
def test_the_command_asks_a_store_at_once_only_where_it_must_answer(tmp_path, monkeypatch, arguments, asks):
    begun = []
    monkeypatch.setattr("service.prediction_log.shipper.run_shipper", lambda *_, **__: begun.append(1))
    monkeypatch.setattr("service.logs.log_to_stderr", lambda *_: None)  # it would stay so for the tests that follow
    monkeypatch.setenv("GAUNTLET_STORE_URL", "postgresql://gauntlet@127.0.0.1:9/gauntlet")
    done = CliRunner().invoke(commands.ship, [*arguments, "--folder", str(tmp_path)])
    assert bool(begun) == (not asks)
    assert isinstance(done.exception, Unavailable) == asks


def test_a_spool_that_cannot_be_read_keeps_no_other_waiting(tmp_path, store):
    folder = spooled(tmp_path / "spool", prediction(1), worker="z")
    (folder / "a" / "000001.jsonl").mkdir(parents=True)
    with pytest.raises(Unavailable, match=r"cannot be read.*000001\.jsonl"):
        ship(folder, store)
    assert ids(store) == ["p1"]


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
