"""The same store on PostgreSQL: tables, shipping, closing and late rows behave as on SQLite."""

from __future__ import annotations

import shutil
import threading
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa
from postgresql_toys import running_server

from bentos.artifact import Categorical
from bentos.errors import Unavailable
from bentos.folder import Folder
from service.micros import to_micros
from service.prediction_log.records import Outcome, Prediction, Treatment
from service.prediction_log.shipper import Shipped, ship
from service.prediction_log.spool import Spool
from service.scoring.experiment import first_experiment, start_shadow, write_experiment
from service.store import open_store, tables
from validation.judge.closing import close_cohorts, provisional_cohorts, read_ledger
from validation.judge.late import count_late
from validation.judge.outcomes import landed
from validation.judge.policy import ArmRule, GroupRule, load_policy
from validation.judge.process import step
from validation.judge.protected import Attribute
from validation.judge.replay import replay
from validation.judge.status import count_logged
from validation.judge.tallying import tally_groups

pytestmark = pytest.mark.servers

START = datetime(2026, 3, 1, tzinfo=UTC)
DEADLINE = START + timedelta(days=31)
POLICY = load_policy(Path(__file__).parents[2] / "validation" / "policies" / "online.yaml")


@pytest.fixture(scope="module")
def server():
    try:
        with running_server() as server:
            yield server
    except LookupError as e:
        pytest.skip(str(e))


@pytest.fixture
def store(server, request):
    url = server.make_database(f"db_{zlib.crc32(request.node.name.encode()):x}")
    store = open_store(url)
    store.url = url
    yield store
    store.close()


def prediction(number: int, **changes) -> Prediction:
    fields = {
        "prediction_id": f"p{number}",
        "at": to_micros(START) + number,
        "customer_id": f"c{number % 150}",
        "purpose": "live",
        "experiment": "e",
        "revision": 2,
        "mode": "split",
        "split": 0.5,
        "variant": "challenger" if number % 2 else "champion",
        "champion": "sha256:a",
        "challenger": "sha256:b",
        "champion_probability": 0.25,
        "challenger_probability": 0.75,
        "champion_positive": number % 3 == 0,
        "challenger_positive": number % 5 == 0,
        "features": {"tenure": 3, "name": "Zoë"},
    }
    return Prediction(**{**fields, **changes})


def outcome(number: int) -> Outcome:
    seen = to_micros(START + timedelta(days=30)) + number
    return Outcome(prediction_id=f"p{number}", positive=number % 2 == 0, observed_at=seen, received_at=seen)


def spooled(folder, *records, worker="w", **options):
    spool = Spool(folder, worker, **options)
    for record in records:
        spool.append(record)
    spool.close()


RECORDS = [prediction(number) for number in range(200)] + [outcome(number) for number in range(170)]


def test_records_arrive_once(store, tmp_path):
    spooled(tmp_path, *RECORDS)
    assert ship(tmp_path, store) == Shipped(predictions=200, outcomes=170)
    spooled(tmp_path, *RECORDS, worker="again")
    assert ship(tmp_path, store) == Shipped(duplicates=370)
    assert count_logged(store, "e").predictions == 200


def test_shippers_at_once_lose_and_double_nothing(store, tmp_path):
    for worker in range(3):
        spooled(tmp_path, *RECORDS[worker::3], worker=f"w{worker}", segment_bytes=5000)
    stores = [store, open_store(store.url), open_store(store.url)]
    moved, problems = [], []

    def ship_it(own):
        try:
            moved.append(ship(tmp_path, own))
        except Exception as e:
            problems.append(e)

    threads = [threading.Thread(target=ship_it, args=(own,)) for own in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for own in stores[1:]:
        own.close()
    assert problems == []
    assert sum(moved, Shipped()) == Shipped(predictions=200, outcomes=170)


def test_what_postgresql_refuses_is_kept_aside_and_stops_nothing(store, tmp_path):
    spooled(
        tmp_path,
        prediction(1),
        prediction(2, customer_id="a\0b"),
        prediction(3, revision=2**63),
        prediction(4),
        Outcome(prediction_id="p1", positive=True, observed_at=2**70, received_at=1),
    )
    assert ship(tmp_path, store) == Shipped(predictions=2, bad_lines=3)


def test_the_ledger_is_the_one_that_sqlite_gives(store, tmp_path):
    spooled(tmp_path / "spool", *RECORDS)
    beside = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    shutil.copytree(tmp_path / "spool", tmp_path / "copy")
    ship(tmp_path / "spool", store, now=DEADLINE)
    ship(tmp_path / "copy", beside, now=DEADLINE)
    ahead = provisional_cohorts(store, "e", POLICY, as_of=DEADLINE)
    ledgers = [close_cohorts(one, "e", POLICY, now=DEADLINE) for one in (store, beside)]
    assert ledgers[0] == ledgers[1] == ahead == read_ledger(store, "e")
    assert sum(cohort.counts.n for cohort in ledgers[0]) == 150
    beside.close()


ATTRIBUTES = ["tenure", "name", "100 %", "it's", "nowhere", "Ü n"]


def test_treatments_groups_and_arms_are_those_that_sqlite_counts(store, tmp_path):
    """Values of every kind, with everything in them that COPY escapes."""
    values = [1, 1.0, 2.5, True, None, "Zoë", "a\tb\\c\nd", '"', "it's", "100 %", "\\N"]
    rules = msgspec.structs.replace(
        POLICY,
        actions_follow_predictions=True,
        groups=tuple(GroupRule(attribute=name, margin=0.1, when_underpowered="report") for name in ATTRIBUTES),
        outcome_by_arm=ArmRule(better="fewer", margin=0.02, alpha=0.05, n_expected=1000),
    )
    rows = [
        prediction(
            number,
            customer_id=f"customer {number}",
            no_treatment=number % 4 == 0,
            split=0.1 + 0.2,
            features={
                name: values[(number + i) % len(values)] for i, name in enumerate(ATTRIBUTES) if (number + i) % 7
            },
        )
        for number in range(300)
    ]
    acted = [
        Treatment(prediction_id=f"p{number}", action="call", taken_at=to_micros(START) + 10**9, received_at=10**15)
        for number in range(0, 300, 3)
    ]
    spooled(tmp_path / "spool", *rows, *(outcome(number) for number in range(250)), *acted)
    beside = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    shutil.copytree(tmp_path / "spool", tmp_path / "copy")
    ship(tmp_path / "spool", store, now=DEADLINE)
    ship(tmp_path / "copy", beside, now=DEADLINE)
    ledgers = [close_cohorts(one, "e", rules, now=DEADLINE) for one in (store, beside)]
    assert ledgers[0] == ledgers[1] == read_ledger(store, "e")
    (cohort,) = ledgers[0]
    assert (cohort.treated, cohort.spoiled, cohort.counts.n, cohort.outside.n) == (100, 25, 75, 225)
    assert cohort.split == 0.1 + 0.2
    assert set(cohort.groups["nowhere"]) >= {"Zoë", "a\tb\\c\nd", "(missing)", "\\N", "1", "2.5", "true"}
    beside.close()


def test_protected_groups_are_those_that_sqlite_counts(store, tmp_path):
    rows = [
        prediction(n, customer_id=f"customer {n}", no_treatment=True, features={"senior": (0, 1, "1", None)[n % 4]})
        for n in range(480)
    ]
    acted = Treatment(prediction_id="p6", action="call", taken_at=to_micros(START) + 10**9, received_at=10**15)
    spooled(tmp_path / "spool", *rows, *(outcome(number) for number in range(400)), acted)
    beside = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    shutil.copytree(tmp_path / "spool", tmp_path / "copy")
    ship(tmp_path / "spool", store, now=DEADLINE)
    ship(tmp_path / "copy", beside, now=DEADLINE)
    left_alone = msgspec.structs.replace(POLICY, actions_follow_predictions=True)
    senior = Attribute(name="senior", feature=Categorical(name="senior", categories=("0", "1")))
    for one in (store, beside):
        assert tally_groups(one, "e", POLICY, [senior]) == ()
        close_cohorts(one, "e", POLICY, now=DEADLINE)
        found = tally_groups(one, "e", POLICY, [senior])
        # Of 400 every second is positive; the champion says so of every third, the challenger of every fifth.
        assert [msgspec.structs.astuple(group)[1:] for group in found] == [
            ("(missing)", 100, 0, 34, 20, 66, 80),
            ("0", 100, 100, 34, 20, 34, 20),
            ("1", 200, 100, 66, 40, 100, 100),
        ]
        with one.writing() as connection:
            connection.execute(sa.update(tables.cohorts).values(policy=left_alone.digest))
        assert [group.customers for group in tally_groups(one, "e", left_alone, [senior])] == [100, 100, 199]
    beside.close()


def test_outcomes_by_who_answered_are_those_that_sqlite_counts(store, tmp_path):
    spooled(tmp_path / "spool", *(record(number) for record in (prediction, outcome) for number in range(60)))
    beside = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    shutil.copytree(tmp_path / "spool", tmp_path / "copy")
    ship(tmp_path / "spool", store, now=DEADLINE)
    ship(tmp_path / "copy", beside, now=DEADLINE)
    moment = to_micros(DEADLINE)
    for one in (store, beside):
        # Of those that the champion answered all are positive; it says so of every sixth. Of the challenger's none is.
        assert {(told.variant, told.result): n for told, n in landed(one, moment - 1, moment).items()} == {
            ("champion", "right"): 10, ("champion", "wrong"): 20,
            ("challenger", "right"): 24, ("challenger", "wrong"): 6,
        }  # fmt: skip
        assert landed(one, moment, moment + 1) == {}
    beside.close()


def test_trials_policies_and_verdicts_live_here_too(store, tmp_path):
    trial = start_shadow(
        first_experiment("sha256:" + "a" * 64, now=START), "sha256:" + "b" * 64, now=START, salt="s", lead=timedelta(0)
    )
    write_experiment(Folder(tmp_path).experiment, trial)
    first = step(Folder(tmp_path), store, POLICY, now=START)
    again = step(Folder(tmp_path), store, POLICY, now=DEADLINE)
    assert first.verdict.lineage.number == again.verdict.lineage.number == 1
    renewed = msgspec.structs.replace(trial, salt="t", revision=3)
    write_experiment(Folder(tmp_path).experiment, renewed)
    assert step(Folder(tmp_path), store, POLICY, now=DEADLINE).verdict.lineage.number == 2
    replayed = replay(store)
    assert replayed
    assert all(one.agrees and not one.inexact for one in replayed)


def test_a_cohort_closes_once_and_late_rows_stay_late(store, tmp_path):
    spooled(tmp_path, *RECORDS[:100])
    ship(tmp_path, store, now=DEADLINE)
    closed, problems = [], []

    def close_it():
        try:
            closed.extend(close_cohorts(store, "e", POLICY, now=DEADLINE))
        except Exception as e:
            problems.append(e)

    threads = [threading.Thread(target=close_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert [cohort.counts.n for cohort in closed] == [100]
    spooled(tmp_path, prediction(120), outcome(120), outcome(5))
    later = DEADLINE + timedelta(days=1)
    ship(tmp_path, store, now=later)
    assert close_cohorts(store, "e", POLICY, now=later) == []
    assert count_late(store, "e") == 3
    assert read_ledger(store, "e") == closed


def test_a_server_that_is_away_is_unavailable(server):
    with pytest.raises(Unavailable, match="does not answer"):
        open_store(f"{server.url}/no_such_database")
