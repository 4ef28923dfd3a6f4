"""The schema: made by scripts, taken over from version 1, and used from one version before and after."""

from __future__ import annotations

import sqlite3
import sys
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from schema_toys import add_a_schema, earlier_row, schema_of
from shipping_toys import NOW, ids, outcome, prediction, rows, spool_row, spooled, treatment

from bentos.errors import Refused, Unavailable
from service.prediction_log.shipper import Shipped, ship
from service.store import SCHEMA_VERSION, open_store, tables

SCHEMA_1, SCHEMA_2 = ((Path(__file__).parents[2] / f"schema_{n}_sqlite.sql").read_text() for n in (1, 2))


@pytest.fixture
def file(tmp_path):
    return tmp_path / "store.db"


@pytest.fixture
def url(file):
    return f"sqlite:///{file}"


@pytest.fixture
def schema_1(file):
    """A store as the Gauntlet of schema 1 left it, with a row of each kind."""
    with sqlite3.connect(file) as connection:
        connection.executescript(SCHEMA_1)
        row = earlier_row("p1")
        connection.execute(
            f"INSERT INTO predictions ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", [*row.values()]
        )
        connection.execute("INSERT INTO outcomes VALUES ('p1', 5, 6, 1, 7)")
        connection.execute("INSERT INTO spools VALUES ('w', 'id', 3, 100, 9, NULL)")
        connection.execute("INSERT INTO closings VALUES ('e', 1, 2)")
    connection.close()


@pytest.fixture
def schema_2(file):
    """A store as the Gauntlet of schema 2 left it, with a prediction and a closed cohort."""
    with sqlite3.connect(file) as connection:
        connection.executescript(SCHEMA_2)
        row = earlier_row("p1")
        connection.execute(
            f"INSERT INTO predictions ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", [*row.values()]
        )
        connection.execute(f"INSERT INTO cohorts VALUES ('e', 1, 2, 'shadow', 0.0, 2, 'd', 3{', 0' * 13}, 'r')")
    connection.close()


def test_the_scripts_make_the_tables_that_queries_are_made_of(url):
    store = open_store(url)
    with store.reading() as connection:
        assert schema_of(connection) == schema_of_metadata()
    store.close()


def schema_of_metadata():
    engine = sa.create_engine("sqlite://")
    tables.metadata.create_all(engine)
    with engine.connect() as connection:
        found = schema_of(connection)
    engine.dispose()
    return found


def test_a_store_of_schema_1_is_taken_over_with_its_rows(schema_1, url):
    store = open_store(url)
    assert store.schema == SCHEMA_VERSION
    with store.reading() as connection:
        assert schema_of(connection) == schema_of_metadata()
    (row,) = rows(store)
    assert {key: row[key] for key in earlier_row("p1")} == earlier_row("p1")
    added = [row[name] for name in ("enrolment", "no_treatment", "latency_us", "request_id", "client", "champion_us")]
    assert added == ["enrolled", False, None, None, None, None]
    assert [truth["prediction_id"] for truth in rows(store, tables.outcomes)] == ["p1"]
    assert (spool_row(store)["segment"], spool_row(store)["mark"]) == (3, None)
    assert rows(store, tables.closings)[0]["closed_through"] == 1
    store.close()


def test_a_migration_that_fails_changes_nothing(schema_1, url, file, monkeypatch):
    from service.store import connection as module

    really = module.migrate

    def migrate_and_fail(*arguments):
        really(*arguments)
        raise RuntimeError("in the middle")

    monkeypatch.setattr(module, "migrate", migrate_and_fail)
    with pytest.raises(RuntimeError):
        open_store(url)
    with sqlite3.connect(file) as connection:
        names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        columns = [column[1] for column in connection.execute("PRAGMA table_info(predictions)")]
    connection.close()
    added = {name for name, table in tables.metadata.tables.items() if table.info.get("since", 1) > 1}
    assert names == set(tables.metadata.tables) - added
    assert "enrolment" not in columns


def test_the_insert_of_schema_1_works_on_this_schema_and_takes_its_defaults(url):
    """The Gauntlet of yesterday, after a newer shipper has migrated its store."""
    store = open_store(url)
    row = earlier_row("p2")
    with store.writing() as connection:
        names, marks = ", ".join(row), ", ".join(f":{name}" for name in row)
        statement = f"INSERT INTO predictions ({names}) VALUES ({marks}) ON CONFLICT DO NOTHING RETURNING prediction_id"
        assert connection.execute(sa.text(statement), row).scalars().all() == ["p2"]
        spool = "INSERT INTO spools (worker, spool_id, segment, \"offset\", watermark) VALUES ('w', 'i', 0, 0, 0)"
        connection.execute(sa.text(spool))
        assert connection.execute(sa.text("SELECT max(version) FROM schema_version")).scalar_one() == 1
    assert (rows(store)[0]["enrolment"], rows(store)[0]["no_treatment"]) == ("enrolled", False)
    store.close()


def test_this_gauntlet_runs_on_a_schema_that_is_one_ahead(url, file, tmp_path):
    open_store(url).close()
    add_a_schema(sa.create_engine(url), SCHEMA_VERSION + 1)
    store = open_store(url)
    assert store.schema == SCHEMA_VERSION + 1
    folder = spooled(tmp_path / "spool", prediction(1, enrolment="holdout"), outcome(1), treatment(1))
    assert ship(folder, store, now=NOW) == Shipped(predictions=1, outcomes=1, treatments=1)
    assert rows(store)[0]["enrolment"] == "holdout"
    with store.reading() as connection:
        assert connection.execute(sa.text("SELECT colour FROM predictions")).scalar_one() == "blue"
    store.close()


def test_a_store_of_schema_2_is_taken_over_with_its_ledger(schema_2, url):
    store = open_store(url)
    with store.reading() as connection:
        assert schema_of(connection) == schema_of_metadata()
    (row,) = rows(store, tables.cohorts)
    assert [row[name] for name in ("policy", "treated", "spoiled", "outside", "groups")] == ["d", 0, 0, None, None]
    assert (rows(store)[0]["prediction_id"], rows(store)[0]["challenger_us"]) == ("p1", None)
    store.close()


@pytest.mark.parametrize("version", ["0005", "0099", "abc"])
def test_a_schema_further_ahead_is_refused_and_left_as_it_is(url, file, version):
    open_store(url).close()
    with sqlite3.connect(file) as connection:
        connection.execute("DROP TABLE audit")
        connection.execute("UPDATE alembic_version SET version_num = ?", [version])
    connection.close()
    with pytest.raises(Refused, match=rf"schema version {version.lstrip('0')}"):
        open_store(url)
    with sqlite3.connect(file) as connection:
        assert not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'audit'").fetchall()
    connection.close()


def test_a_store_that_may_not_be_migrated_is_used_as_it_is_if_it_is_one_behind(schema_2, url, tmp_path):
    store = open_store(url, migrate=False)
    assert store.schema == 2
    folder = spooled(tmp_path / "spool", prediction(7), outcome(7))
    assert ship(folder, store, now=NOW) == Shipped(predictions=1, outcomes=1)
    with store.reading() as connection:
        p, earlier = tables.predictions, tables.predictions.alias("earlier")
        of_alias = sa.select(earlier.c.champion_us, earlier.c.client).where(earlier.c.champion_us.is_(None))
        assert connection.execute(of_alias).all() == [(None, None)] * 2
        counts = [sa.select(sa.func.count()).where(p.c.champion_us == value) for value in (None, 5)]
        assert [connection.execute(asked).scalar_one() for asked in counts] == [2, 0]
        treated = sa.select(sa.func.sum(tables.cohorts.c.treated))
        assert connection.execute(treated).scalar_one() == 0
        inside = sa.select(tables.outcomes.c.prediction_id).where(sa.exists().where(p.c.challenger_us > 0))
        assert connection.execute(inside).all() == []
    assert [row["champion_us"] for row in rows(store)] == [None] * 2
    store.close()


@pytest.mark.parametrize(
    "record",
    [prediction(8, champion_us=5), prediction(8, challenger_us=5)],
    ids=["champion", "challenger"],
)
def test_what_an_earlier_schema_cannot_hold_waits_in_the_spool_until_the_store_is_migrated(
    schema_2, url, tmp_path, record
):
    held_up = open_store(url, migrate=False)
    folder = spooled(tmp_path / "spool", prediction(7), record)
    with pytest.raises(Unavailable, match="schema 2"):
        ship(folder, held_up)
    assert ids(held_up) == ["p1"]
    open_store(url).close()
    assert ship(folder, held_up) == Shipped(predictions=2)  # the failure made it look again
    held_up.close()


def test_a_store_without_tables_is_refused_to_whoever_may_not_make_them(url):
    if url.startswith("sqlite"):
        Path(url.removeprefix("sqlite:///")).touch()
    with pytest.raises(Refused, match="may migrate"):
        open_store(url, migrate=False)


def test_opening_a_store_that_is_up_to_date_imports_no_migrations(url, tmp_path):
    import subprocess

    open_store(url).close()
    code = f"import sys; from service.store import open_store; open_store({url!r}); print('alembic' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"


def test_watermarks_go_on_after_a_migration(schema_1, url, tmp_path):
    store = open_store(url)
    ship(spooled(tmp_path / "spool", prediction(2)), store, now=NOW + timedelta(days=1))
    assert ids(store) == ["p1", "p2"]
    store.close()
