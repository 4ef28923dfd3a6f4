"""Opening the store: tables once, a newer schema refused, failures in one sentence."""

from __future__ import annotations

import gc
import sqlite3
import subprocess
import sys
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
        assert store.schema == SCHEMA_VERSION
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"


def test_opening_by_many_threads_at_once_makes_one_schema(url):
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
        assert connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalars().all() == [
            f"{SCHEMA_VERSION:04d}"
        ]


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


@pytest.mark.parametrize("attempt", range(3))
def test_opening_a_new_store_by_many_processes_at_once_succeeds_for_all(url, tmp_path, attempt):
    gate = tmp_path / "gate"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN, url, str(gate), f"e{number}"],
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
    with open_store(url).reading() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(tables.closings)).scalar_one() == 4


def test_a_file_that_was_deleted_or_replaced_is_noticed_before_the_next_transaction(url, tmp_path, caplog):
    store = open_store(url)
    write(store, "first")
    for path in tmp_path.glob("store.db*"):
        path.unlink()
    write(store, "second")
    assert written(store) == ["second"]
    other = open_store(f"sqlite:///{tmp_path / 'other.db'}")
    write(other, "third")
    other.close()
    for path in tmp_path.glob("store.db*"):
        path.unlink()
    (tmp_path / "other.db").rename(tmp_path / "store.db")
    assert written(store) == ["third"]
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == ["store_replaced"] * 2


def write(store, name):
    with store.writing() as connection:
        connection.execute(tables.closings.insert().values(experiment=name, closed_through=1, closed_at=2))


def written(store):
    with store.reading() as connection:
        return connection.execute(sa.select(tables.closings.c.experiment)).scalars().all()


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


def test_who_may_make_no_tables_makes_no_file_either_and_sees_the_store_when_it_is_back(tmp_path):
    url, file, away = f"sqlite:///{tmp_path}/store.db", tmp_path / "store.db", tmp_path / "away.db"
    with pytest.raises(Unavailable, match="unable to open"):
        open_store(url, migrate=False)
    assert not file.exists()
    write(open_store(url), "first")
    store = open_store(url, migrate=False)
    assert written(store) == ["first"]
    file.rename(away)
    with pytest.raises(Unavailable, match="unable to open"):
        written(store)
    assert not file.exists()
    file.touch()  # whoever else made an empty one
    with pytest.raises(Refused, match="may migrate"):
        written(store)
    away.rename(file)
    assert written(store) == ["first"]
    store.close()


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


class BusyCursor:
    """SQLite while others switch the same new file to its write-ahead log: locked at once, whatever the timeout."""

    def __init__(self, times: int) -> None:
        self.times = times

    def execute(self, statement: str) -> None:
        self.times -= 1
        if self.times >= 0:
            raise sqlite3.OperationalError("database is locked")


def test_a_new_file_that_others_are_just_opening_is_waited_for_and_not_for_ever(monkeypatch):
    from service.store import connection as module

    busy = BusyCursor(3)
    module._use_wal(busy)
    assert busy.times == -1
    monkeypatch.setattr(module, "_WAIT_SECONDS", 0.05)
    with pytest.raises(sqlite3.OperationalError):
        module._use_wal(BusyCursor(10**9))


def test_a_store_that_nobody_holds_any_more_closes_its_connections(tmp_path):
    store, closed = open_store(f"sqlite:///{tmp_path / 'store.db'}"), []
    sa.event.listen(store._engine, "close", lambda *_: closed.append(True))
    del store
    gc.collect()
    assert closed
