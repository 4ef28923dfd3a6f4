"""Insight's pool with real processes that say what a test needs: slow, dead, and replaced ones."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import textwrap
import time
from pathlib import Path

import pytest
from serving_toys import CHECKOUT

from bentos.errors import NotExplained, Unavailable
from service.insight.frames import Ask
from service.insight.pool import Limits, Pool, processors_for_workers

ROW = 1.0
"""Seconds: far more than a busy machine's worker works here, and far less than it takes."""

WORKER = """
import os, sys, time
from pathlib import Path
import msgspec
from service.insight.explanation import Explanation, SumCheck
from service.insight.frames import HEAD, Ask, Told, frame

def say(told):
    os.write(1, frame(told))

def explained(number):
    check = SumCheck(sum=0.0, output=0.0, difference=0.0)
    return Explanation(probability=number, label="", risk="", method="tree", space="probability", base_value=0.0,
                       contributions={}, check=check, summary=str(os.getpid()), plain="",
                       reasons=[])

folder = Path(sys.argv[1])
if (folder / "broken").exists():
    say(Told(error="ArtifactDamaged", reason="a byte differs"))
    sys.exit(2)
if (folder / "mute").exists():
    sys.exit(3)
say(Told())
while head := os.read(0, HEAD.size):
    asked = msgspec.msgpack.decode(os.read(0, HEAD.unpack(head)[0]), type=Ask)
    what = asked.row.decode()
    if what == "work":
        while True:
            pass
    if what == "busy machine":
        for _ in range(25):
            time.sleep(0.09)
            sum(range(1_000_000))
    if what == "hang":
        time.sleep(600)
    if what == "die" or (what == "die once" and not (folder / "died").exists()):
        (folder / "died").touch()
        os.kill(os.getpid(), 9)
    if what == "garbage":
        os.write(1, b"\\xff\\xff\\xff\\xff")
        time.sleep(600)
    if what == "refuse":
        say(Told(error="NotExplained", reason="it does not add up"))
        continue
    if what == "wait":
        while not (folder / "go").exists():
            time.sleep(0.01)
    say(Told(explanation=explained(0.5)))
"""


def pool_in(folder, *, size=1, row=30.0, answer=60.0, start=60.0, niceness=0, at_once=None):
    (folder / "worker.py").write_text(textwrap.dedent(WORKER))
    command = (sys.executable, str(folder / "worker.py"), str(folder))
    limits = Limits(row=row, answer=answer, start=start)
    return Pool(command, CHECKOUT, size=size, limits=limits, niceness=niceness, at_once=at_once)


def ask(what):
    return Ask(digest="sha256:0", row=what.encode())


def running(pool, act):
    """Run an act with the pool running; afterwards no worker may be left."""

    async def run():
        await pool.start()
        try:
            return await act(pool)
        finally:
            pids = pool.pids
            await pool.stop()
            for pid in pids:
                with pytest.raises(ProcessLookupError):
                    os.kill(pid, 0)

    return asyncio.run(run())


async def until(condition):
    while not condition():
        await asyncio.sleep(0.01)


def test_a_row_is_explained_and_the_worker_goes_on(tmp_path):
    async def act(pool):
        return [(await pool.explain(ask("row"))).summary for _ in range(3)]

    assert len(set(running(pool_in(tmp_path), act))) == 1


def test_workers_stand_back_behind_the_process_that_answers(tmp_path):
    async def act(pool):
        await until(lambda: pool.pids)
        (pid,) = pool.pids
        session = Path(f"/proc/{pid}/autogroup")
        shared = session.read_text().split()[-1] if session.exists() else None
        return os.getpriority(os.PRIO_PROCESS, pid), shared, os.sched_getscheduler(pid)

    wanted = min(os.getpriority(os.PRIO_PROCESS, 0) + 7, 19)
    priority, session, scheduler = running(pool_in(tmp_path, niceness=7), act)
    assert priority == wanted
    assert scheduler == os.SCHED_BATCH
    assert session in (None, str(wanted))


def test_an_idle_worker_that_is_killed_is_replaced_and_the_next_row_is_explained(tmp_path):
    async def act(pool):
        before = (await pool.explain(ask("row"))).summary
        os.kill(int(before), signal.SIGKILL)
        return before, (await pool.explain(ask("row"))).summary

    before, after = running(pool_in(tmp_path), act)
    assert before != after


def test_a_worker_that_is_killed_over_a_row_costs_the_client_nothing(tmp_path):
    async def act(pool):
        return (await pool.explain(ask("die once"))).probability

    assert running(pool_in(tmp_path), act) == 0.5
    assert (tmp_path / "died").exists()


def test_a_row_that_costs_two_workers_their_lives_is_given_up_and_the_next_is_explained(tmp_path):
    async def act(pool):
        with pytest.raises(Unavailable, match="2 workers died over this row"):
            await pool.explain(ask("die"))
        return (await pool.explain(ask("row"))).probability

    assert running(pool_in(tmp_path), act) == 0.5


@pytest.mark.parametrize(
    ("row", "why"), [("work", r"longer than 0\.3 s of processor time"), ("hang", r"hung over this row for 0\.3 s")]
)
def test_a_row_that_takes_too_long_is_ended_with_its_worker_and_the_next_is_explained(tmp_path, row, why):
    async def act(pool):
        await until(lambda: pool.pids)
        (before,) = pool.pids
        with pytest.raises(Unavailable, match=why):
            await pool.explain(ask(row))
        return before, int((await pool.explain(ask("row"))).summary)

    before, after = running(pool_in(tmp_path, row=0.3), act)
    assert before != after


def test_a_worker_that_a_busy_machine_lets_work_only_now_and_then_is_not_too_slow(tmp_path):
    async def act(pool):
        began = time.monotonic()
        found = (await pool.explain(ask("busy machine"))).probability
        return found, time.monotonic() - began > 2 * ROW, pool.deaths

    assert running(pool_in(tmp_path, row=ROW), act) == (0.5, True, 0)


def test_a_worker_whose_row_nobody_waits_for_any_more_is_ended(tmp_path):
    async def act(pool):
        await until(lambda: pool.pids)
        (before,) = pool.pids
        with pytest.raises(Unavailable, match=r"within 0\.4 s"):
            await pool.explain(ask("hang"))
        await until(lambda: pool.pids and pool.pids != [before])
        return pool.deaths

    assert running(pool_in(tmp_path, row=5, answer=0.4), act) == 1


def test_who_waits_too_long_for_a_worker_is_told_and_the_row_that_ran_is_not_lost(tmp_path):
    async def act(pool):
        await until(lambda: pool.pids)
        first = asyncio.create_task(pool.explain(ask("wait")))
        await asyncio.sleep(0.05)
        pool._limits = Limits(row=60, answer=0.3, start=60)
        with pytest.raises(Unavailable, match=r"within 0\.3 s"):
            await pool.explain(ask("row"))
        (tmp_path / "go").touch()
        return (await first).probability

    assert running(pool_in(tmp_path), act) == 0.5


def test_what_cannot_be_understood_ends_the_worker(tmp_path):
    async def act(pool):
        with pytest.raises(Unavailable, match="2 workers"):
            await pool.explain(ask("garbage"))
        return (await pool.explain(ask("row"))).probability

    assert running(pool_in(tmp_path), act) == 0.5


def test_an_error_of_the_worker_is_raised_here_and_the_worker_goes_on(tmp_path):
    async def act(pool):
        before = (await pool.explain(ask("row"))).summary
        with pytest.raises(NotExplained, match="it does not add up"):
            await pool.explain(ask("refuse"))
        return before, (await pool.explain(ask("row"))).summary

    before, after = running(pool_in(tmp_path), act)
    assert before == after


@pytest.mark.parametrize(("flaw", "said"), [("broken", "a byte differs"), ("mute", "died before it was ready")])
def test_a_worker_that_cannot_start_says_why_and_starts_once_it_can(tmp_path, flaw, said):
    (tmp_path / flaw).touch()

    async def act(pool):
        await until(lambda: pool.failure)
        failure = pool.failure
        (tmp_path / flaw).unlink()
        found = await pool.explain(ask("row"))
        return failure, found.probability, pool.failure

    failure, probability, after = running(pool_in(tmp_path), act)
    assert said in failure
    assert (probability, after) == (0.5, None)


def test_two_workers_explain_two_rows_at_a_time(tmp_path):
    async def act(pool):
        await until(lambda: len(pool.pids) == 2)
        first = asyncio.create_task(pool.explain(ask("wait")))
        await asyncio.sleep(0.05)
        second = await pool.explain(ask("row"))  # the first waits for the file that is made below
        (tmp_path / "go").touch()
        return (await first).summary, second.summary

    one, other = running(pool_in(tmp_path, size=2), act)
    assert one != other


def test_of_two_workers_one_stands_by_where_a_processor_is_left_to_others(tmp_path):
    async def act(pool):
        await until(lambda: len(pool.pids) == 2)
        first = asyncio.create_task(pool.explain(ask("wait")))
        await asyncio.sleep(0.05)
        second = asyncio.create_task(pool.explain(ask("row")))
        done, _ = await asyncio.wait({second}, timeout=0.5)
        (tmp_path / "go").touch()
        return bool(done), (await first).probability, (await second).probability

    assert running(pool_in(tmp_path, size=2, at_once=1), act) == (False, 0.5, 0.5)


def test_who_gave_up_while_one_stood_by_costs_no_worker_a_row(tmp_path):
    async def act(pool):
        await until(lambda: len(pool.pids) == 2)
        first = asyncio.create_task(pool.explain(ask("wait")))
        await asyncio.sleep(0.05)
        pool._limits = Limits(row=60, answer=0.3, start=60)
        with pytest.raises(Unavailable, match=r"within 0\.3 s"):
            await pool.explain(ask("die"))
        (tmp_path / "go").touch()
        return (await first).probability, pool.deaths

    assert running(pool_in(tmp_path, size=2, at_once=1), act) == (0.5, 0)


def test_one_processor_is_left_to_scoring_where_there_are_two(monkeypatch):
    for processors, wanted in ((1, 1), (2, 1), (8, 7)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _pid, n=processors: set(range(n)))
        assert processors_for_workers() == wanted
