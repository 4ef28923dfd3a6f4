"""The store on PostgreSQL: schemas, partitions, loading and clocks."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from postgresql_toys import driver_url, running_server
from schema_toys import add_a_schema, earlier_row, schema_of

from bentos.errors import Unavailable
from service.ids import make_id
from service.micros import to_micros
from service.prediction_log.records import Outcome, Prediction, Treatment
from service.prediction_log.shipper import DEAD_LETTERS, Shipped, ship
from service.prediction_log.spool import Spool
from service.store import SCHEMA_VERSION, open_store, tables

pytestmark = pytest.mark.servers

ROOT = Path(__file__).parents[2]
SCHEMA_1, SCHEMA_2 = ((ROOT / "tests" / f"schema_{n}_postgresql.sql").read_text() for n in (1, 2))
MARCH, APRIL = datetime(2026, 3, 10, tzinfo=UTC), datetime(2026, 4, 10, tzinfo=UTC)


@pytest.fixture(scope="module")
def server():
    try:
        with running_server() as server:
            yield server
    except LookupError as e:
        pytest.skip(str(e))


@pytest.fixture
def url(server, request):
    return server.make_database(f"db_{zlib.crc32(request.node.name.encode()):x}")


@pytest.fixture
def store(url):
    store = open_store(url)
    yield store
    store.close()


@pytest.fixture
def schema_1(url):
    """A store as the Gauntlet of schema 1 left it, with predictions of two months and one without time."""
    with psycopg.connect(url) as connection:
        connection.execute(SCHEMA_1)
        for id_ in [an_id(MARCH), an_id(APRIL), "p1"]:
            row = earlier_row(id_)
            named, marks = ", ".join(row), ", ".join(["%s"] * len(row))
            connection.execute(f"INSERT INTO predictions ({named}) VALUES ({marks})", [*row.values()])
            connection.execute("INSERT INTO outcomes VALUES (%s, 5, 6, true, 7)", [id_])


@pytest.fixture
def schema_2(url):
    """A store as the Gauntlet of schema 2 left it, with a prediction and a closed cohort."""
    with psycopg.connect(url) as connection:
        connection.execute(SCHEMA_2)
        row = earlier_row("p1")
        named, marks = ", ".join(row), ", ".join(["%s"] * len(row))
        connection.execute(f"INSERT INTO predictions ({named}) VALUES ({marks})", [*row.values()])
        connection.execute(f"INSERT INTO cohorts VALUES ('e', 1, 2, 'shadow', 0.0, 2, 'd', 3{', 0' * 13}, 'r')")


def an_id(moment, number=0):
    return make_id(to_micros(moment), (number << 2).to_bytes(8, "big"))


def prediction(id_, **changes):
    named = {key: value for key, value in earlier_row(id_).items() if key not in ("features", "landed_at")}
    return Prediction(**({"features": {"name": "Zoë", "tenure": 3}} | named | changes))


def spooled(folder, *records, worker="w", **options):
    spool = Spool(folder, worker, **options)
    spool.append_all(records)
    spool.close()
    return folder


def ask(store, query):
    with store.reading() as connection:
        return connection.execute(sa.text(query)).all()


def where(store, table="predictions"):
    """In which partition each id stands."""
    return {id_: name for name, id_ in ask(store, f"SELECT tableoid::regclass::text, prediction_id FROM {table}")}


def test_a_new_store_and_one_of_schema_1_have_the_same_schema(server, url, schema_1):
    stores = [open_store(url), open_store(server.make_database("fresh"))]
    schemas = []
    for store in stores:
        with store.reading() as connection:
            schemas.append(schema_of(connection))
        store.close()
    assert schemas[0] == schemas[1]
    for table in tables.metadata.sorted_tables:
        found = schemas[0][table.name]
        assert set(found["columns"]) == {column.name for column in table.columns}
        assert {name: kind[1] for name, kind in found["columns"].items()} == {c.name: c.nullable for c in table.columns}
        assert found["key"] == [column.name for column in table.primary_key]
        assert found["indexes"] == {index.name: [column.name for column in index.columns] for index in table.indexes}


def test_rows_of_schema_1_are_moved_into_partitions_by_their_ids_time(url, schema_1):
    store = open_store(url)
    months = {an_id(MARCH): "predictions_2026_03", an_id(APRIL): "predictions_2026_04", "p1": "predictions_default"}
    assert where(store) == months
    assert where(store, "outcomes") == {id_: name.replace("predictions", "outcomes") for id_, name in months.items()}
    assert ask(store, "SELECT DISTINCT enrolment, no_treatment, client FROM predictions") == [("enrolled", False, None)]
    assert ask(store, "SELECT to_regclass('predictions_of_schema_1')") == [(None,)]
    store.close()


def test_the_insert_of_schema_1_works_on_this_schema(store):
    row = earlier_row(an_id(MARCH))
    with store.writing() as connection:
        named, marks = ", ".join(row), ", ".join(f":{name}" for name in row)
        insert = f"INSERT INTO predictions ({named}) VALUES ({marks}) ON CONFLICT DO NOTHING RETURNING prediction_id"
        assert len(connection.execute(sa.text(insert), row).all()) == 1
        assert len(connection.execute(sa.text(insert), row).all()) == 0
    assert where(store) == {an_id(MARCH): "predictions_default"}
    with store.reading() as connection:
        assert connection.execute(sa.select(tables.predictions.c.enrolment)).scalars().all() == ["enrolled"]


def test_this_gauntlet_runs_on_a_schema_that_is_one_ahead(store, url, tmp_path):
    store.close()
    add_a_schema(sa.create_engine(driver_url(url)), SCHEMA_VERSION + 1)
    ahead = open_store(url)
    records = [prediction(an_id(MARCH)), Treatment(prediction_id="p", action="call", taken_at=1, received_at=1)]
    assert ship(spooled(tmp_path, *records), ahead) == Shipped(predictions=1, treatments=1)
    assert ship(spooled(tmp_path, *records, worker="v"), ahead) == Shipped(duplicates=2)
    assert ask(ahead, "SELECT colour FROM predictions") == [("blue",)]
    ahead.close()


def test_a_store_of_schema_2_is_taken_over_with_its_ledger(server, url, schema_2):
    store, fresh = open_store(url), open_store(server.make_database("fresh_2"))
    schemas = []
    for one in (store, fresh):
        with one.reading() as connection:
            schemas.append(schema_of(connection))
    assert schemas[0] == schemas[1]
    assert ask(store, "SELECT policy, treated, spoiled, groups FROM cohorts") == [("d", 0, 0, None)]
    assert ask(store, "SELECT prediction_id, champion_us FROM predictions") == [("p1", None)]
    store.close()
    fresh.close()


def test_this_gauntlet_runs_on_a_schema_that_is_one_behind_and_holds_what_it_cannot_take(url, schema_2, tmp_path):
    held_up = open_store(url, migrate=False)
    folder = spooled(tmp_path, prediction(an_id(MARCH, 5)), prediction("p1"))
    assert ship(folder, held_up) == Shipped(predictions=1, duplicates=1)
    spooled(tmp_path, prediction(an_id(MARCH, 6), champion_us=5))
    with pytest.raises(Unavailable, match="cannot hold champion_us yet"):
        ship(folder, held_up)
    with held_up.reading() as connection:
        p = tables.predictions
        asked = sa.select(sa.func.count()).where(p.c.champion_us.is_(None))
        assert connection.execute(asked).scalar_one() == 2
    open_store(url).close()
    assert ship(folder, held_up) == Shipped(predictions=1)
    assert where(held_up)[an_id(MARCH, 6)] == "predictions_2026_03"
    held_up.close()


OPEN = """
import sys, time
from pathlib import Path
from service.store import open_store, tables
gate = Path(sys.argv[2])
print("ready", flush=True)
while not gate.exists():
    time.sleep(0.001)
with open_store(sys.argv[1]).writing() as connection:
    connection.execute(tables.closings.insert().values(experiment=sys.argv[3], closed_through=1, closed_at=2))
"""


@pytest.mark.parametrize("before", ["nothing", "schema 1"])
def test_opening_by_many_processes_at_once_succeeds_for_all(url, tmp_path, before):
    if before == "schema 1":
        with psycopg.connect(url) as connection:
            connection.execute(SCHEMA_1)
    gate = tmp_path / "gate"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN, url, gate, f"e{number}"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    gate.touch()
    assert [(process.communicate()[1], process.returncode) for process in processes] == [("", 0)] * 4
    store = open_store(url)
    assert ask(store, "SELECT version_num FROM alembic_version") == [(f"{SCHEMA_VERSION:04d}",)]
    assert len(ask(store, "SELECT experiment FROM closings")) == 4
    store.close()


def test_partitions_are_made_ahead_and_for_every_month_that_is_shipped(store, tmp_path):
    now = datetime(2026, 12, 5, tzinfo=UTC)
    records = [prediction(an_id(moment)) for moment in (MARCH, APRIL)]
    truths = [Outcome(prediction_id=an_id(MARCH), positive=True, observed_at=1, received_at=1)]
    assert ship(spooled(tmp_path, *records, *truths), store, now=now) == Shipped(predictions=2, outcomes=1)
    assert where(store) == {an_id(MARCH): "predictions_2026_03", an_id(APRIL): "predictions_2026_04"}
    assert where(store, "outcomes") == {an_id(MARCH): "outcomes_2026_03"}
    made = {name for (name,) in ask(store, "SELECT relid::text FROM pg_partition_tree('treatments') WHERE isleaf")}
    months = {"2026_12", "2027_01", "2027_02", "2026_03", "2026_04", "default"}
    assert made == {f"treatments_{month}" for month in months}


def test_ids_of_no_time_or_one_that_cannot_be_stand_in_the_default_partition(store, tmp_path):
    strange = ["p1", an_id(datetime(2090, 1, 1, tzinfo=UTC)), an_id(datetime(2001, 1, 1, tzinfo=UTC)), "", "é"]
    assert ship(spooled(tmp_path, *map(prediction, strange)), store).predictions == 5
    assert where(store) == dict.fromkeys(strange, "predictions_default")


def test_a_month_that_is_made_later_takes_its_rows_out_of_the_default_partition(store, tmp_path):
    with store.writing() as connection:
        for id_ in (an_id(MARCH), "p1"):
            store.insert_new(connection, tables.predictions, [earlier_row(id_)])
    assert set(where(store).values()) == {"predictions_default"}
    assert ship(spooled(tmp_path, prediction(an_id(MARCH)), prediction(an_id(MARCH, 1))), store) == Shipped(
        predictions=1, duplicates=1
    )
    march = "predictions_2026_03"
    assert where(store) == {an_id(MARCH): march, an_id(MARCH, 1): march, "p1": "predictions_default"}


def test_shippers_that_need_the_same_new_month_at_once_make_it_once(url, store, tmp_path):
    for worker in range(4):
        ids = [an_id(MARCH, 1000 * worker + number) for number in range(300)]
        spooled(tmp_path / str(worker), *map(prediction, ids), worker=f"w{worker}")
    problems = []

    def ship_it(worker):
        own = open_store(url)
        try:
            ship(tmp_path / str(worker), own)
        except Exception as e:
            problems.append(e)
        own.close()

    threads = [threading.Thread(target=ship_it, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert set(where(store).values()) == {"predictions_2026_03"}
    assert len(where(store)) == 1200


def test_duplicates_anywhere_in_a_chunk_cost_no_other_row(store, tmp_path):
    ids = [an_id(MARCH, number) for number in range(3000)]
    assert ship(spooled(tmp_path, *map(prediction, ids[1000:2000])), store) == Shipped(predictions=1000)
    everything = spooled(tmp_path, *map(prediction, ids), *map(prediction, ids[:5]), worker="v")
    assert ship(everything, store) == Shipped(predictions=2000, duplicates=1005)
    assert sorted(where(store)) == sorted(ids)


BAD = {
    "NUL in a text": {"customer_id": "a\0b"},
    "beyond 64 bits": {"revision": 2**63},
    "far beyond 64 bits": {"at": 10**30},
    "longer than an index can hold": {"customer_id": os.urandom(20_000).hex()},
}


@pytest.mark.parametrize("again", [False, True], ids=["new", "with duplicates"])
def test_what_postgresql_refuses_is_found_among_thousands_and_kept_aside(store, tmp_path, again):
    bad = [prediction(an_id(MARCH, 10_000 + number), **changes) for number, changes in enumerate(BAD.values())]
    good = [prediction(an_id(MARCH, number)) for number in range(2000)]
    if again:
        ship(spooled(tmp_path, *good[:10], worker="v"), store)
    records = [*good[:700], *bad[:2], *good[700:], *bad[2:]]
    folder = spooled(tmp_path, *records)
    before = 10 if again else 0
    assert ship(folder, store) == Shipped(predictions=2000 - before, duplicates=before, bad_lines=len(BAD))
    assert (folder / "w" / DEAD_LETTERS).read_bytes().count(b"\n") == len(BAD)
    assert sorted(where(store)) == [record.prediction_id for record in good]


STRANGE = ["tab\t", "line\nfeed\r", "back\\slash \\N \\.", "\\N", "None", "true", "quote\"'", "é \U0001f600 \u2028", ""]


@pytest.mark.parametrize("way", ["copied", "staged"])
def test_every_text_arrives_as_it_was(store, tmp_path, way):
    first = [prediction("p0")]
    ship(spooled(tmp_path, *first, worker="v"), store)
    records = [
        prediction(f"p{number + 1}", customer_id=text, client=text, features={text: text})
        for number, text in enumerate(STRANGE)
    ]
    folder = spooled(tmp_path, *records, *(first if way == "staged" else []))
    assert ship(folder, store).predictions == len(STRANGE)
    found = ask(
        store, "SELECT customer_id, client, features::json ->> client FROM predictions WHERE prediction_id <> 'p0'"
    )
    assert sorted(found) == sorted((text, text, text) for text in STRANGE)


def test_a_clock_ahead_of_the_servers_promises_nothing(store, tmp_path):
    folder = spooled(tmp_path, prediction(an_id(MARCH)))
    ship(folder, store, clock=lambda: datetime.now(UTC) + timedelta(days=2))
    (watermark,) = ask(store, "SELECT watermark FROM spools")[0]
    assert abs(watermark - to_micros(datetime.now(UTC))) < 60_000_000
    ship(folder, store, clock=lambda: datetime.now(UTC) - timedelta(hours=2))
    assert ask(store, "SELECT watermark FROM spools") == [(watermark,)]


def test_what_is_written_is_durable_even_where_the_database_says_otherwise(url, store):
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {url.rsplit('/', 1)[1]} SET synchronous_commit = off")
    own = open_store(url)
    with own.reading() as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar_one() == "off"
    with own.writing() as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar_one() == "on"
    own.close()


def test_a_database_that_was_made_anew_gets_its_tables_and_what_is_left(server, tmp_path):
    url = server.make_database("anew")
    store = open_store(url)
    spool = Spool(tmp_path, "w")
    spool.append(prediction(an_id(MARCH)))
    assert ship(tmp_path, store) == Shipped(predictions=1)
    with psycopg.connect(f"{server.url}/postgres", autocommit=True) as connection:
        connection.execute("DROP DATABASE anew WITH (FORCE)")
    with pytest.raises(Unavailable):
        ship(tmp_path, store)
    server.make_database("anew")
    spool.append(prediction(an_id(APRIL)))
    assert ship(tmp_path, store) == Shipped(predictions=2)
    assert set(where(store).values()) == {"predictions_2026_03", "predictions_2026_04"}
    spool.close()
    store.close()
