"""What dies while the log is shipped: the shipper, PostgreSQL, the machine. Afterwards every record is there once.

Real processes, killed with kill -9 at moments that follow from a seed, while a writer goes on.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import zlib
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from postgresql_toys import running_server
from schema_toys import earlier_row

from service.ids import make_id
from service.micros import to_micros
from service.prediction_log.records import Outcome, Prediction, Treatment
from service.prediction_log.segments import segments_of
from service.prediction_log.shipper import DEAD_LETTERS, run_shipper, ship
from service.prediction_log.spool import Spool
from service.store import open_store, tables

ROOT = Path(__file__).parents[2]
SHIP = """
import sys
from pathlib import Path
from service.logs import log_to_stderr
from service.prediction_log import chunks
from service.prediction_log.shipper import run_shipper
from service.store import open_store
chunks.CHUNK_BYTES = int(sys.argv[3])
log_to_stderr("shipper")
run_shipper(Path(sys.argv[1]), open_store(sys.argv[2]), interval_seconds=0.001)
"""
WRITE = """
import sys, time
from pathlib import Path
from service.prediction_log.spool import Spool
from test_shipper_faults import records_of
folder, most, enough = Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[1]).parent / "enough"
spool = Spool(folder, sys.argv[3], segment_bytes=100_000)
number = 0
while number < most and not enough.exists():
    assert spool.append_all(records_of(number)) == [True] * 3
    number += 1
    if number % 20 == 0:
        time.sleep(0.01)
print(number)
"""


def records_of(number: int) -> list[Prediction | Outcome | Treatment]:
    """A prediction with a truth and a treatment, of three months by turns."""
    at = to_micros(datetime(2026, 8 + number % 3, 7, tzinfo=UTC)) + number
    id_ = make_id(at, (number << 2).to_bytes(8, "big"))
    named = {key: value for key, value in earlier_row(id_).items() if key not in ("features", "landed_at")}
    return [
        Prediction(**{**named, "at": at, "customer_id": f"c{number}"}, features={"tenure": number, "note": "x" * 200}),
        Outcome(prediction_id=id_, positive=True, observed_at=at, received_at=at),
        Treatment(prediction_id=id_, action="call", taken_at=at, received_at=at),
    ]


def ids_written(count):
    return sorted(records_of(number)[0].prediction_id for number in range(count))


def ids_stored(store, table):
    with store.reading() as connection:
        return sorted(connection.execute(sa.select(table.c.prediction_id)).scalars())


def check(store, count):
    """Everything that was written is in the store exactly once."""
    written = ids_written(count)
    for table in (tables.predictions, tables.outcomes, tables.treatments):
        assert ids_stored(store, table) == written


@pytest.fixture(scope="module")
def server():
    try:
        with running_server("-c fsync=off") as server:  # kill -9 of processes loses nothing that the kernel has
            yield server
    except LookupError as e:
        pytest.skip(str(e))


# Ten kills take their time; one alone is in test_judge_process.py, which runs always.
@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.servers) for name in ("sqlite", "postgresql")])
def url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.db'}"
    server = request.getfixturevalue("server")
    return server.make_database(f"db_{zlib.crc32(request.node.name.encode()):x}")


@pytest.fixture
def spool(tmp_path):
    folder = tmp_path / "spool"
    folder.mkdir()
    return folder


@contextlib.contextmanager
def running(code, *arguments):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "tests", Path(__file__).parent)))}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, text=True, **pipes)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def rows_in(store):
    with store.reading() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(tables.predictions)).scalar_one()


def wait_for_more(store, before, process):
    until = time.monotonic() + 60
    while rows_in(store) <= before:
        assert time.monotonic() < until
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.002)


def test_kill_9_of_the_shipper_again_and_again_while_a_writer_writes(url, spool):
    rng, store = random.Random(1), open_store(url)
    with running(WRITE, spool, 10**9, "w") as writer:
        for _ in range(10):
            with running(SHIP, spool, url, 20_000) as shipper:
                wait_for_more(store, rows_in(store), shipper)
                time.sleep(rng.random() * 0.05)
                os.kill(shipper.pid, signal.SIGKILL)
            assert writer.poll() is None
        (spool.parent / "enough").touch()
        count = int(writer.communicate(timeout=60)[0])
    ship(spool, store)
    check(store, count)
    assert ship(spool, store).duplicates == 0
    assert list(spool.glob(f"*/{DEAD_LETTERS}")) == []
    store.close()


def test_three_shippers_at_once_while_two_writers_write_and_all_are_killed(url, spool):
    count, store = 3000, open_store(url)
    with contextlib.ExitStack() as stack:
        # Both write the same records, as two replicas do that were sent the same retries.
        writers = [stack.enter_context(running(WRITE, spool, count, name)) for name in ("a", "b")]
        shippers = [stack.enter_context(running(SHIP, spool, url, 200_000)) for _ in range(3)]
        wait_for_more(store, 500, shippers[0])
        shippers[0].kill()
        assert [writer.wait(120) for writer in writers] == [0, 0]
        for shipper in shippers[1:]:
            shipper.terminate()
        for shipper in shippers[1:]:
            assert shipper.wait(120) == 0
    check(store, count)
    assert sum(ship(spool, store).__dict__.values()) == 0
    store.close()


@pytest.mark.servers
def test_kill_9_of_postgresql_in_the_middle_of_load(tmp_path, spool):
    count = 6000
    try:
        stack = contextlib.ExitStack()
        server = stack.enter_context(running_server())
    except LookupError as e:
        pytest.skip(str(e))
    with stack:
        url = server.make_database("log")
        store = open_store(url)
        writer = stack.enter_context(running(WRITE, spool, count, "w"))
        shipper = stack.enter_context(running(SHIP, spool, url, 20_000))
        for _ in range(3):
            wait_for_more(store, rows_in(store), shipper)
            server.kill()
            time.sleep(0.3)
            server.start()
        assert writer.wait(120) == 0
        shipper.terminate()
        assert shipper.wait(120) == 0
        store.close()
        store = open_store(url)
        check(store, count)
        store.close()


# Three records a prediction: a hundred a second make 360,000 in an hour. Every run of the tests takes a sixth of it.
@pytest.mark.parametrize("count", [20_000, pytest.param(120_000, marks=pytest.mark.servers)])
def test_an_hour_of_backlog_lands_once_the_store_is_back(tmp_path, spool, caplog, count):
    (tmp_path / "away").mkdir()
    store = open_store(f"sqlite:///{tmp_path / 'away' / 'store.db'}")
    shutil.move(tmp_path / "away", tmp_path / "elsewhere")
    ship_a_backlog(spool, store, count, caplog, lambda: shutil.move(tmp_path / "elsewhere", tmp_path / "away"))
    store.close()


@pytest.mark.servers
def test_an_hour_of_backlog_lands_once_postgresql_is_back(tmp_path, spool, caplog):
    try:
        stack = contextlib.ExitStack()
        server = stack.enter_context(running_server())
    except LookupError as e:
        pytest.skip(str(e))
    with stack:
        store = open_store(server.make_database("log"))
        server.stop()
        ship_a_backlog(spool, store, 120_000, caplog, server.start)
        store.close()


def ship_a_backlog(spool, store, count, caplog, bring_back):
    """Write that many predictions with their truths and treatments while the store is away, and ship them after it."""
    writer = Spool(spool, "w", segment_bytes=4_000_000)
    for begin in range(0, count, 100):
        writer.append_all([record for number in range(begin, begin + 100) for record in records_of(number)])
    stop = threading.Event()
    thread = threading.Thread(target=run_shipper, args=(spool, store), kwargs={"stop": stop, "interval_seconds": 0.01})
    thread.start()
    until = time.monotonic() + 60
    while len([record for record in caplog.records if record.message == "ship_failed"]) < 3:
        assert time.monotonic() < until
        time.sleep(0.01)
    held = len(segments_of(spool / "w"))
    bring_back()
    while len(segments_of(spool / "w")) > 1:
        assert time.monotonic() < until + 120
        time.sleep(0.05)
    stop.set()
    thread.join()
    writer.close()
    assert held > 3
    check(store, count)


def test_a_segment_cut_anywhere_loses_the_line_that_was_cut_and_no_other(tmp_path, spool):
    """A machine loses its power while a line is written; the next worker begins behind what is left."""
    rng, store = random.Random(2), open_store(f"sqlite:///{tmp_path / 'store.db'}")
    made = Spool(tmp_path / "made", "w")
    made.append_all([record for number in range(4) for record in records_of(number)])
    made.close()
    (segment,) = segments_of(tmp_path / "made" / "w")
    content = segment.read_bytes()
    lines = content.splitlines(keepends=True)
    ends = [sum(map(len, lines[: number + 1])) for number in range(len(lines))]
    for position, length in enumerate(
        sorted({*ends, *(end - 1 for end in ends), *rng.sample(range(len(content)), 60)})
    ):
        place = tmp_path / f"cut-{position}"
        shutil.copytree(tmp_path / "made", place)
        (cut,) = segments_of(place / "w")
        cut.write_bytes(content[:length])
        if position % 2:
            ship(place, store)  # it had been looked at before the worker came back
        after = Spool(place, "w")
        after.append_all(records_of(1000 + position))
        ship(place, store)
        ship(place, store)
        after.close()
        kept = sum(end - 1 <= length for end in ends)
        whole_ids = {records_of(number // 3)[0].prediction_id for number in range(0, kept, 3)}
        assert whole_ids | {records_of(1000 + position)[0].prediction_id} <= set(ids_stored(store, tables.predictions))
        is_cut = length not in (0, *ends, *(end - 1 for end in ends))
        letters = place / "w" / DEAD_LETTERS
        assert letters.exists() == is_cut
        if is_cut:
            assert letters.read_bytes() == content[max([0, *(end for end in ends if end <= length)]) : length] + b"\n"
    store.close()
