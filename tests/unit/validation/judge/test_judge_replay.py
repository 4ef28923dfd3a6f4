"""Stored verdicts are reached again from the ledger, whatever has happened to rows and processes since."""

from __future__ import annotations

import json
import random
import shutil
from datetime import timedelta

import msgspec
import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from judging import DAY, EXPERIMENT, POLICY_TEXT, START, World, policy, prediction, treatment, truth

import gauntlet
from bentos.errors import NotFound
from service.prediction_log.forgetting import Places, forget
from service.prediction_log.spool import Spool
from service.scoring.experiment import set_split, write_experiment
from service.store import open_store, tables
from validation.judge import replay as replaying
from validation.judge.policy import GroupRule
from validation.judge.process import step
from validation.judge.replay import replay
from validation.judge.status import read_verdicts

RULES = policy(groups=(GroupRule(attribute="SeniorCitizen", margin=0.1, when_underpowered="report"),), min_cohorts=3)


def day_of_customers(day, *, n=40, seed=0, **changes):
    """Customers of a day, some of them without truth, and some of the truths corrected or told late."""
    rng = random.Random(seed + day)
    for number in range(n):
        at = START + day * DAY + timedelta(seconds=rng.randrange(86_000))
        row = prediction(
            f"customer {day} {number}" if number % 9 else f"customer {day - 1} {number}",
            at,
            challenger_positive=rng.random() < 0.3,
            features={"SeniorCitizen": int(rng.random() < 0.2)},
            no_treatment=rng.random() < 0.1,
            **changes,
        )
        yield row
        if rng.random() < 0.95:
            yield truth(row, rng.random() < 0.4)
        if rng.random() < 0.1:
            yield truth(row, rng.random() < 0.4, after=30 * DAY - timedelta(hours=1))


def live_through(world, days=6):
    """A judge that looks twice a day while predictions, and later their truths, come in; the split is raised midway."""
    experiment = EXPERIMENT
    for day in range(days):
        if day == 3:
            experiment = set_split(experiment, 0.5, now=START + day * DAY, lead=timedelta(0))
            write_experiment(world.folder.experiment, experiment)
        phase = {"revision": experiment.revision, "mode": experiment.mode, "split": experiment.split}
        world.log(*day_of_customers(day, **phase), worker=f"w{day % 2}")
    for half in range(2 * days + 6):
        moment = START + 30 * DAY + half * DAY / 2
        world.ship(moment)
        step(world.folder, world.store, RULES, now=moment)
    return experiment


def stored(world):
    return [verdict for _, verdict in read_verdicts(world.store, EXPERIMENT.id)]


@pytest.fixture
def lived(world):
    live_through(world)
    assert len(stored(world)) >= 6
    assert len({verdict.evidence.matured for verdict in stored(world)}) >= 6
    return world


def all_agree(store):
    found = replay(store)
    return bool(found) and all(one.agrees and not one.inexact for one in found)


def test_every_stored_verdict_is_reached_again_bit_for_bit(lived):
    assert all_agree(lived.store)
    assert [one.number for one in replay(lived.store)] == list(range(1, len(stored(lived)) + 1))
    assert replay(lived.store, number=2)[0].number == 2
    with pytest.raises(NotFound, match="99"):
        replay(lived.store, number=99)


def test_it_is_reached_again_after_a_restart_a_second_shipping_late_rows_and_an_erasure(lived, tmp_path):
    before = stored(lived)
    # Everything is told once more by a worker that nobody knows, in another order, with truths that contradict.
    again = [record for day in range(6) for record in day_of_customers(day)]
    random.Random(3).shuffle(again)
    late = [truth(record, True, received=50 * DAY) for record in again if hasattr(record, "variant")]
    spool = Spool(lived.folder.spool, "stranger")
    spool.append_all([*again, *late, *(treatment(record) for record in again if hasattr(record, "variant"))])
    spool.close()
    lived.ship(START + 45 * DAY)
    places = Places(spools=lived.folder.spool, archives=(), key_file=tmp_path / "tombstone.key")
    gone = forget(lived.store, "customer 2 5", places=places, who="ann", now=START + 46 * DAY)
    assert gone.predictions > 0
    lived.store.close()
    lived.store = open_store(lived.folder.store_url)
    assert stored(lived) == before
    assert all_agree(lived.store)
    step(lived.folder, lived.store, RULES, now=START + 47 * DAY)
    assert all_agree(lived.store)


def test_a_judge_that_was_killed_in_the_middle_reaches_the_same_ledger(lived, tmp_path, monkeypatch):
    """A copy of the world in which the judge dies while it closes, is started again, and looks at other moments."""
    (tmp_path / "copy").mkdir()
    other = World(tmp_path / "copy")
    shutil.copy(lived.folder.experiment, other.folder.experiment)
    records = [record for day in range(6) for record in day_of_customers(day, **phase_of(day))]
    random.Random(5).shuffle(records)
    other.log(*records, worker="one")
    other.ship(START + 33 * DAY)
    from validation.judge import closing

    def die(*_arguments, **_options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(closing, "keep_policy", die)
        with pytest.raises(KeyboardInterrupt):
            step(other.folder, other.store, RULES, now=START + 33 * DAY)
    other.ship(START + 40 * DAY)
    step(other.folder, other.store, RULES, now=START + 40 * DAY)
    from validation.judge.closing import read_ledger

    ledgers = [read_ledger(one.store, EXPERIMENT.id) for one in (lived, other)]
    assert [(row.start, row.revision, row.counts, row.groups) for row in ledgers[0]] == [
        (row.start, row.revision, row.counts, row.groups) for row in ledgers[1]
    ]
    assert ledgers[0] == ledgers[1]
    assert all_agree(other.store)
    other.close()


def phase_of(day):
    return {"revision": 3, "mode": "split", "split": 0.5} if day >= 3 else {}


def test_a_ledger_that_was_changed_does_not_agree_and_the_field_is_named(lived):
    with lived.store.writing() as connection:
        c = tables.cohorts.c
        first = connection.execute(sa.select(sa.func.min(c.start))).scalar_one()
        changed = {"ties": c.ties - 1, "wins_positive": c.wins_positive + 1}
        connection.execute(sa.update(tables.cohorts).where(c.start == first).values(**changed))
    found = replay(lived.store)
    assert not all(one.agrees for one in found)
    said = " ".join(difference for one in found for difference in one.differences)
    assert "evidence" in said


def test_a_verdict_that_cannot_be_read_is_told_beside_the_others(lived):
    with lived.store.writing() as connection:
        v = tables.verdicts
        connection.execute(sa.update(v).where(v.c.number == 2).values(content="{"))
    found = {one.number: one for one in replay(lived.store)}
    assert found[2].differences[0].startswith("it cannot be read: ")
    assert found[1].agrees
    with pytest.raises(NotFound, match="numbered from 1"):
        replay(lived.store, number=10**30)


def test_last_bits_are_told_and_are_no_difference(lived, monkeypatch):
    really = replaying.judge

    def judge_elsewhere(*arguments, **options):
        verdict = really(*arguments, **options)
        log_e = verdict.evidence.log_e * (1 + 1e-13) + 1e-14
        evidence = msgspec.structs.replace(verdict.evidence, log_e=log_e)
        return msgspec.structs.replace(verdict, evidence=evidence)

    monkeypatch.setattr(replaying, "judge", judge_elsewhere)
    found = replay(lived.store)
    assert all(one.agrees for one in found)
    assert any("evidence.log_e" in field for one in found for field in one.inexact)


def test_a_policy_that_was_not_kept_cannot_be_replayed_unless_it_is_at_hand(lived):
    with lived.store.writing() as connection:
        connection.execute(sa.delete(tables.policies))
    found = replay(lived.store)
    assert {one.found for one in found} == {None}
    assert "was not kept" in found[0].differences[0]
    assert all(one.agrees for one in replay(lived.store, known=[RULES]))


def test_a_verdict_from_before_it_said_what_it_rests_on_is_read_and_replayed(lived):
    """As the Gauntlet of schema 2 wrote it: without lineage, live requests, extremes, groups."""
    new = {"lineage", "live", "closed_through", "no_treatment"}
    newer = {"lower_worst", "log_e_max", "rollback_log_e_max", "srm_log_e_max", "treated", "spoiled", "outside"}
    newer |= {"groups", "arms"}
    plain = policy(min_cohorts=3)
    with lived.store.writing() as connection:
        for row in connection.execute(sa.select(tables.verdicts)).all():
            content = {key: value for key, value in json.loads(row.content).items() if key not in new}
            content["evidence"] = {key: value for key, value in content["evidence"].items() if key not in newer}
            content["policy_digest"] = plain.digest
            evidence = content["evidence"]
            for name in ("threshold", "rollback_threshold"):
                evidence[name] = 2.995732273553991
            evidence.pop("lower"), evidence.pop("upper"), evidence.pop("tipping_point")
            text = json.dumps({**content, "evidence": {**evidence, "lower": -1.0, "upper": 1.0, "tipping_point": None}})
            by_number = tables.verdicts.c.number == row.number
            connection.execute(sa.update(tables.verdicts).where(by_number).values(content=text))
        connection.execute(sa.update(tables.cohorts).values(policy=plain.digest, groups=None))
    found = replay(lived.store, known=[plain])
    shown = {field.split(":")[0] for one in found for field in one.differences}
    assert shown <= {"evidence.lower", "evidence.upper", "evidence.tipping_point", "verdict"}
    assert len(stored(lived)) == len(found)


def test_the_command_prints_a_table_and_its_exit_code_says_whether_all_agree(lived):
    (lived.path / "rules.yaml").write_text(POLICY_TEXT)
    asked = ["verdict", "--folder", str(lived.path), "--policy", str(lived.path / "rules.yaml"), "--replay"]
    good = CliRunner().invoke(gauntlet.cli, asked)
    assert good.exit_code == 0, good.output
    assert "stored verdicts are reached again" in good.output
    assert "bit for bit" in good.output
    one = CliRunner().invoke(gauntlet.cli, [*asked, "2", "--json"])
    assert [found["number"] for found in json.loads(one.output)] == [2]
    with lived.store.writing() as connection:
        connection.execute(sa.update(tables.cohorts).values(ties=tables.cohorts.c.ties + 1))
    assert CliRunner().invoke(gauntlet.cli, [*asked, "all"]).exit_code == 1
    assert CliRunner().invoke(gauntlet.cli, [*asked, "last"]).exit_code != 0
    both = CliRunner().invoke(gauntlet.cli, [*asked, "all", "--as-of", "2027-01-01T00:00:00Z"])
    assert both.exit_code != 0
