"""What dies while rows leave the log or a person is forgotten: afterwards the same command finishes, once.

A process is killed with kill -9 before its first step that anybody could notice, then another before its second, and so
on: each commit, each file that is put on the disk, renamed or deleted, each group of rows that is written. After each
death the command runs again.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
import sqlalchemy as sa
from log_toys import DAY, ME, NOW, OLD, all_about, bytes_under, id_of, in_archive, in_store, land, places, prediction
from postgresql_toys import running_server

from service.prediction_log.forgetting import forget
from service.prediction_log.retention import retain
from service.prediction_log.spool import Spool
from service.store import open_store, tables

TABLES = ("predictions", "outcomes", "treatments")
MARCH, JUNE = [id_of(number, OLD) for number in range(12)], [id_of(number, NOW - DAY) for number in range(3)]

# Forks children before anything in it has threads, which is a hundred times as fast as starting Python for each.
NURSERY = """
import os, signal, sys
from datetime import datetime
from pathlib import Path
import pyarrow.parquet as pq
import pandas, sqlite3
import sqlalchemy as sa
from log_toys import ME, NOW, places
from service.prediction_log import archives
from service.prediction_log.forgetting import forget
from service.prediction_log.retention import retain
from service.store import open_store

step, fatal = 0, 0
def take_step(*_):
    global step
    step += 1
    if step == fatal:
        os.kill(os.getpid(), signal.SIGKILL)
def stepping(function):
    def act(*arguments, **options):
        take_step()
        return function(*arguments, **options)
    return act
os.fsync = stepping(os.fsync)
os.link = stepping(os.link)
Path.replace, Path.unlink = stepping(Path.replace), stepping(Path.unlink)
pq.ParquetWriter.write_table = stepping(pq.ParquetWriter.write_table)
sa.event.listen(sa.Engine, "commit", take_step)

def act(what, place, url):
    store = open_store(url)
    if what == "retain":
        retain(store, place / "archive", days=60, on_trial=(), who="ann", now=NOW)
    else:
        forget(store, ME, places=places(place), who="ann", now=NOW)
    store.close()

for line in sys.stdin:
    what, place, url, fatal = line.rstrip("\\n").split("\\t")
    fatal = int(fatal)
    child = os.fork()
    if not child:
        code = 1
        try:
            act(what, Path(place), url)
            code = 0
        finally:
            sys.stderr.flush()
            os._exit(code)
    _, status = os.waitpid(child, 0)
    print("killed" if os.WIFSIGNALED(status) else os.WEXITSTATUS(status), flush=True)
"""


@contextlib.contextmanager
def nursery():
    """Gives `run(what, place, url, fatal)`: `killed`, or the exit code as text."""
    here = Path(__file__).parent
    environment = {"PYTHONPATH": f"{here.parents[1]}:{here.parent}", "PATH": "/usr/bin:/bin"}
    process = subprocess.Popen(
        [sys.executable, "-c", NURSERY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )

    def run(what, place, url, fatal):
        process.stdin.write(f"{what}\t{place}\t{url}\t{fatal}\n")
        process.stdin.flush()
        return process.stdout.readline().strip()

    try:
        yield run
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()


def kill_at_every_step(what, make, check, *, stride=1):
    """Kill before each step in a place of its own, run again, and check; gives how many steps there were."""
    with nursery() as run:
        for fatal in range(1, 1000, stride):
            place, url = make(fatal)
            first = run(what, place, url, fatal)
            if first == "0":
                check(place, url)
                return fatal
            assert first == "killed", (what, fatal)
            check_between(what, place, url)
            assert run(what, place, url, 0) == "0", (what, fatal)
            check(place, url)
            shutil.rmtree(place)
    raise AssertionError("it never ended")


def check_between(what, place, url):
    """Right after a death: nothing that stays is lost."""
    store = open_store(url)
    held, archived = in_store(store), in_archive(place / "archive")
    for table in TABLES:
        kept = set(held[table]) | set(archived[table])
        assert kept >= set(JUNE + MARCH[1:] if what == "retain" else JUNE[1:] + MARCH[1:])
        assert len(archived[table]) == len(set(archived[table]))
    store.close()


def fill(place, url):
    """Twelve predictions of March, three of yesterday, the first of each is mine; March partly archived before."""
    store = open_store(url)
    land(store, place, *(record for number in range(6) for record in about(number, OLD)))
    retain(store, place / "archive", days=60, on_trial=(), who="ann", now=NOW)
    land(store, place, *(record for number in range(6, 12) for record in about(number, OLD)), worker="late")
    land(store, place, *(record for number in range(3) for record in about(number, NOW - DAY)), worker="later")
    spool = Spool(place / "spool", "unshipped")
    spool.append_all([prediction(50, NOW - DAY, customer_id=ME), prediction(51, NOW - DAY)])
    spool.close()
    (place / "spool" / "late" / "dead-letters.txt").write_bytes(b'{"customer_id":"%s","cut' % ME.encode())
    store.close()


def about(number, at):
    return all_about(number, at, **({} if number else {"customer_id": ME}))


def check_retained(place, url):
    store = open_store(url)
    assert in_store(store) == dict.fromkeys(TABLES, JUNE)
    assert in_archive(place / "archive") == dict.fromkeys(TABLES, MARCH)
    assert [path.name for path in (place / "archive").iterdir() if path.name.startswith(".")] == []
    store.close()


def check_forgotten(place, url):
    store = open_store(url)
    kept = dict.fromkeys(TABLES, MARCH[6:] + JUNE[1:])
    assert in_store(store) == kept
    assert in_archive(place / "archive") == dict.fromkeys(TABLES, MARCH[1:6])
    with store.reading() as connection:
        assert len(connection.execute(sa.select(tables.tombstones)).all()) == 1
    store.close()
    assert [name for name, content in bytes_under(place).items() if ME.encode() in content] == []
    assert not any(name.endswith(".partial") for name in bytes_under(place))


@pytest.fixture
def make(tmp_path):
    """Gives copies of one place with its SQLite store."""
    template = tmp_path / "template"
    template.mkdir()
    fill(template, f"sqlite:///{template / 'store.db'}")

    def copy(number):
        place = tmp_path / f"at-{number}"
        shutil.copytree(template, place)
        return place, f"sqlite:///{place / 'store.db'}"

    return copy


EVERY = pytest.mark.servers  # every single step takes minutes; each fifth one is tried in every run of the tests


@pytest.mark.parametrize("stride", [5, pytest.param(1, marks=EVERY)])
def test_retention_killed_at_any_step_loses_and_doubles_nothing(make, stride):
    assert kill_at_every_step("retain", make, check_retained, stride=stride) > 15


@pytest.mark.parametrize("stride", [5, pytest.param(1, marks=EVERY)])
def test_forgetting_killed_at_any_step_is_finished_by_the_next_time(make, stride):
    assert kill_at_every_step("forget", make, check_forgotten, stride=stride) > 20


@pytest.fixture(scope="module")
def server():
    try:
        with running_server() as server:
            yield server
    except LookupError as e:
        pytest.skip(str(e))


@pytest.fixture
def make_there(server, tmp_path, request):
    def fill_another(number):
        place = tmp_path / f"at-{number}"
        place.mkdir()
        url = server.make_database(f"faults_{zlib.crc32(request.node.name.encode()):x}_{number}")
        fill(place, url)
        return place, url

    return fill_another


@pytest.mark.servers
def test_retention_from_postgresql_killed_at_any_step_loses_and_doubles_nothing(make_there):
    assert kill_at_every_step("retain", make_there, check_retained, stride=2) > 10


@pytest.mark.servers
def test_forgetting_in_postgresql_killed_at_any_step_is_finished_by_the_next_time(make_there):
    assert kill_at_every_step("forget", make_there, check_forgotten, stride=3) > 10


def test_a_month_that_was_archived_and_never_deleted_is_deleted_by_the_next_run_without_another_row(make):
    """The death that matters most, by itself: everything stands in both places."""
    place, url = make("both")
    store = open_store(url)
    rows_before = in_store(store)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("service.prediction_log.retention._Leaving._delete", lambda *_: 0)
        retain(store, place / "archive", days=60, on_trial=(), who="ann", now=NOW)
    assert in_store(store) == rows_before
    retain(store, place / "archive", days=60, on_trial=(), who="ann", now=NOW)
    store.close()
    check_retained(place, url)


def test_forgetting_finds_truths_in_the_archive_of_a_prediction_that_was_erased_from_the_store_last(make):
    """Killed between archive and store, the ids must still be known somewhere."""
    place, url = make("ids")
    store = open_store(url)
    erased = forget(store, ME, places=places(place), who="ann", now=NOW)
    assert (erased.predictions, sum(erased.archives.values())) == (1, 3)
    store.close()
    check_forgotten(place, url)
