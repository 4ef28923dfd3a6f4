"""The life of the log on PostgreSQL: months leave as partitions, and tombstones wait for shippers under way."""

from __future__ import annotations

import io
import json
import threading
import time
import zlib

import pytest
import sqlalchemy as sa
from log_toys import DAY, ME, NOW, OLD, all_about, id_of, in_archive, in_store, land, outcome, places, prediction
from postgresql_toys import running_server

from bentos.errors import Refused
from service.micros import to_micros
from service.prediction_log import shipper
from service.prediction_log.exporting import Wanted, export_jsonl
from service.prediction_log.forgetting import forget
from service.prediction_log.retention import retain
from service.prediction_log.shipper import Shipped, ship
from service.prediction_log.spool import Spool
from service.prediction_log.tombstones import Key, set_tombstone
from service.prediction_log.upkeep import alone
from service.store import open_store, tables

pytestmark = pytest.mark.servers

TABLES = ("predictions", "outcomes", "treatments")
APRIL, JUNE = OLD + 25 * DAY, NOW - DAY


@pytest.fixture(scope="module")
def server():
    try:
        with running_server() as server:
            yield server
    except LookupError as e:
        pytest.skip(str(e))


@pytest.fixture
def url(server, request):
    return server.make_database(f"life_{zlib.crc32(request.node.name.encode()):x}")


@pytest.fixture
def store(url):
    store = open_store(url)
    yield store
    store.close()


def run(store, tmp_path, on_trial=()):
    return retain(store, tmp_path / "archive", days=60, on_trial=on_trial, who="ann", now=NOW)


def partitions(store):
    query = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'predictions'::regclass"
    with store.reading() as connection:
        return set(connection.exec_driver_sql(query).scalars())


def test_a_whole_month_is_dropped_and_the_part_of_one_is_deleted(store, tmp_path):
    land(store, tmp_path, *all_about(1), *all_about(2, APRIL), *all_about(3, JUNE))
    march, april = run(store, tmp_path).months
    assert (march.month, march.dropped) == ("2026-03", TABLES)
    assert (april.month, april.dropped) == ("2026-04", ())
    assert "predictions_2026_03" not in partitions(store)
    assert "predictions_2026_04" in partitions(store)
    assert in_store(store) == {name: [id_of(3, JUNE)] for name in TABLES}
    assert in_archive(tmp_path / "archive") == {name: [id_of(1, OLD), id_of(2, APRIL)] for name in TABLES}


def test_what_comes_for_a_month_that_was_dropped_lands_and_leaves_again(store, tmp_path):
    land(store, tmp_path, *all_about(1))
    run(store, tmp_path)
    land(store, tmp_path, *all_about(5), *all_about(1), worker="late")
    assert in_store(store) == {name: [id_of(1, OLD), id_of(5, OLD)] for name in TABLES}
    run(store, tmp_path)
    assert in_store(store) == {name: [] for name in TABLES}
    assert in_archive(tmp_path / "archive") == {name: [id_of(1, OLD), id_of(5, OLD)] for name in TABLES}


def test_a_month_of_which_something_stays_is_not_dropped(store, tmp_path):
    land(store, tmp_path, *all_about(1, experiment="x"), *all_about(2))
    (march,) = run(store, tmp_path, on_trial=["x"]).months
    assert march.dropped == ()
    assert in_store(store) == {name: [id_of(1, OLD)] for name in TABLES}


def test_a_row_that_lands_after_its_month_was_archived_keeps_the_partition(store, url, tmp_path, monkeypatch):
    land(store, tmp_path, prediction(1))
    other = open_store(url)
    from service.prediction_log.retention import _Leaving

    really = _Leaving._drop

    def land_and_drop(self, table, *arguments):
        if table is tables.predictions:
            land(other, tmp_path, prediction(5), worker="late")
        return really(self, table, *arguments)

    monkeypatch.setattr(_Leaving, "_drop", land_and_drop)
    (march,) = run(store, tmp_path).months
    assert (march.dropped, march.late) == ((), 1)
    assert in_store(store)["predictions"] == [id_of(5, OLD)]
    other.close()


def test_who_reads_for_long_is_not_waited_for_and_rows_are_deleted_instead(store, url, tmp_path):
    land(store, tmp_path, *all_about(1))
    other = open_store(url)
    with other.reading() as connection:
        connection.execute(sa.select(tables.predictions)).all()
        (march,) = run(store, tmp_path).months
    other.close()
    assert march.dropped == ("outcomes", "treatments")
    assert in_store(store) == {name: [] for name in TABLES}


def test_the_tombstone_waits_for_a_shipper_that_began_without_knowing_of_it(store, url, tmp_path, monkeypatch):
    """Otherwise its commit would come after the erasing, and bring the person back."""
    spool = Spool(tmp_path / "spool", "w")
    spool.append(prediction(1, JUNE, customer_id=ME))
    spool.close()
    has_looked, may_go_on = threading.Event(), threading.Event()
    really = shipper.find_forgotten

    def look_and_wait(*arguments):
        found = really(*arguments)
        has_looked.set()
        may_go_on.wait(20)
        return found

    monkeypatch.setattr(shipper, "find_forgotten", look_and_wait)
    shipping = threading.Thread(target=ship, args=(tmp_path / "spool", store))
    shipping.start()
    has_looked.wait(20)
    other, erased = open_store(url), []
    forgetting = threading.Thread(
        target=lambda: erased.append(forget(other, ME, places=places(tmp_path), who="ann", now=NOW))
    )
    forgetting.start()
    time.sleep(0.5)
    assert erased == []
    may_go_on.set()
    shipping.join()
    forgetting.join()
    assert erased[0].predictions == 1
    assert in_store(store)["predictions"] == []
    other.close()


def test_everything_about_a_person_goes_and_a_late_spool_brings_nothing_back(store, tmp_path):
    mine = {"customer_id": ME}
    land(store, tmp_path, *all_about(1, **mine), *all_about(2, JUNE, **mine), *all_about(3, JUNE), *all_about(4))
    run(store, tmp_path)
    erased = forget(store, ME, places=places(tmp_path), who="ann", now=NOW)
    assert (erased.predictions, erased.outcomes, erased.treatments) == (1, 1, 1)
    assert in_store(store) == {name: [id_of(3, JUNE)] for name in TABLES}
    assert in_archive(tmp_path / "archive") == {name: [id_of(4, OLD)] for name in TABLES}
    assert any("VACUUM" in one.expires for one in erased.beyond)
    spool = Spool(tmp_path / "spool", "late")
    spool.append_all([*all_about(2, JUNE, **mine)[:1], prediction(5, JUNE)])
    spool.close()
    assert ship(tmp_path / "spool", store) == Shipped(predictions=1, forgotten=1)


def test_a_spool_is_rewritten_while_no_shipper_reads_it(store, tmp_path):
    records = [record for number in range(4) for record in all_about(number, JUNE)]
    land(store, tmp_path, *records)
    erased = forget(store, "customer-2", places=places(tmp_path), who="ann", now=NOW)
    assert erased.spools == {"w": 3}
    assert ship(tmp_path / "spool", store) == Shipped()


def test_tombstones_of_two_keys_are_refused(store):
    def bury(key, customer):
        with store.writing() as connection:
            set_tombstone(connection, store, key, customer, now=to_micros(NOW))

    bury(Key(bytes(32)), "a")
    with pytest.raises(Refused, match="another key"):
        bury(Key(b"x" * 32), "b")


def test_one_at_a_time_on_all_machines(store, url, tmp_path):
    other = open_store(url)
    with alone(other), pytest.raises(Refused, match="at work"):
        run(store, tmp_path)
    other.close()
    run(store, tmp_path)


def test_the_export_is_the_same_as_from_sqlite(store, tmp_path):
    sqlite = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    numbers = [(number * 37) % 50 for number in range(50)]
    records = [record for number in numbers for record in all_about(number)] + [outcome(3, positive=False)]
    written = []
    for at, one in enumerate((store, sqlite)):
        land(one, tmp_path / str(at), *records)
        file = io.BytesIO()
        assert export_jsonl(one, Wanted(as_of=to_micros(NOW)), file) == 50
        written.append(file.getvalue())
    sqlite.close()
    assert written[0] == written[1]
    assert [json.loads(line)["prediction_id"] for line in written[0].splitlines()] == [id_of(n, OLD) for n in range(50)]
