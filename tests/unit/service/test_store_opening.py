"""Opening the store: tables once, a newer schema refused, failures in one sentence."""

from __future__ import annotations

import sqlite3
import threading

import pytest
import sqlalchemy as sa

from bentos.errors import InvalidSetting, Refused, Unavailable
from service.store import SCHEMA_VERSION, open_store, tables


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'store.db'}"


def test_opening_makes_the_tables_and_opening_again_finds_them(url):
    with open_store(url).writing() as connection:
        connection.execute(tables.closings.insert().values(experiment="e", closed_through=1, closed_at=2))
    store = open_store(url)
    with store.reading() as connection:
        assert connection.execute(sa.select(tables.closings.c.closed_through)).scalar_one() == 1
        assert connection.execute(sa.select(tables.schema_version.c.version)).scalar_one() == SCHEMA_VERSION
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"


def test_opening_by_many_at_once_makes_one_schema(url):
    problems = []

    def open_it():
        try:
            open_store(url).close()
        except Exception as e:
            problems.append(e)

    threads = [threading.Thread(target=open_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    with open_store(url).reading() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(tables.schema_version)).scalar_one() == 1


def test_a_store_of_a_newer_gauntlet_is_refused_by_its_version_and_left_as_it_is(url, tmp_path):
    open_store(url).close()
    with sqlite3.connect(tmp_path / "store.db") as connection:
        connection.execute("DROP TABLE audit")
        connection.execute("UPDATE schema_version SET version = 99")
    connection.close()
    with pytest.raises(Refused, match="schema version 99"):
        open_store(url)
    with sqlite3.connect(tmp_path / "store.db") as connection:
        assert not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'audit'").fetchall()
    connection.close()


@pytest.mark.parametrize(
    "bad", ["", "no url", "mysql://h/d", "sqlite://", "sqlite:///:memory:", "postgresql+psycopg2://h/d"]
)
def test_an_address_that_is_none_says_what_is_allowed(bad):
    with pytest.raises((InvalidSetting, Unavailable), match=r"sqlite:///"):
        open_store(bad)


def test_a_password_never_stands_in_a_message():
    with pytest.raises(Unavailable) as e:
        open_store("postgresql://someone:hush@127.0.0.1:9/nowhere")
    assert "127.0.0.1" in str(e.value)
    assert "hush" not in str(e.value)


def test_a_file_that_cannot_be_made_or_is_no_store_is_unavailable(tmp_path):
    with pytest.raises(Unavailable, match="nowhere"):
        open_store(f"sqlite:///{tmp_path}/nowhere/store.db")
    (tmp_path / "text.db").write_text("This is not a database, and it is long enough to be looked at as one." * 20)
    with pytest.raises(Unavailable, match=r"text\.db"):
        open_store(f"sqlite:///{tmp_path}/text.db")


def test_a_locked_store_is_unavailable_for_writing_and_still_read(url, tmp_path):
    from service.store import connection as module

    patched = pytest.MonkeyPatch()
    patched.setattr(module, "_WAIT_SECONDS", 0.1)
    store = open_store(url)
    patched.undo()
    holder = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match="locked"), store.writing():
        pass
    with store.reading() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(tables.audit)).scalar_one() == 0
    holder.execute("ROLLBACK")
    holder.close()


def test_a_writing_transaction_that_fails_leaves_nothing(url):
    store = open_store(url)

    def write_and_fail():
        with store.writing() as connection:
            connection.execute(tables.closings.insert().values(experiment="e", closed_through=1, closed_at=2))
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError):
        write_and_fail()
    with store.reading() as connection:
        assert connection.execute(sa.select(tables.closings)).all() == []


def test_inserting_what_is_there_counts_only_what_is_new(url):
    store = open_store(url)
    rows = [{"experiment": name, "closed_through": 1, "closed_at": 2} for name in "abcab"]
    with store.writing() as connection:
        assert store.insert_new(connection, tables.closings, rows) == 3
        assert store.insert_new(connection, tables.closings, rows[:1]) == 0
        assert store.insert_new(connection, tables.closings, []) == 0
