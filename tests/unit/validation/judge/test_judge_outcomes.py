"""Outcomes by who had answered and whether that was right: counted once, from when the judge began."""

from __future__ import annotations

import re
from datetime import timedelta

import msgspec
import pytest
import sqlalchemy as sa
from judging import CHALLENGER, CHAMPION, DAY, EXPERIMENT, START, policy, prediction, truth

from service.scoring.experiment import Further, write_experiment
from tests.bench.series import A_MODEL
from validation.judge.metrics import Looks, render_metrics
from validation.judge.outcomes import SETTLED, OutcomeCounter, Told
from validation.judge.process import step

NOW = START + 2 * DAY
SECOND = timedelta(seconds=1)
NOBODY = dict.fromkeys(
    (
        Told("champion", CHAMPION, "right"),
        Told("champion", CHAMPION, "wrong"),
        Told("challenger", CHALLENGER, "right"),
        Told("challenger", CHALLENGER, "wrong"),
    ),
    0,
)


@pytest.fixture
def looked(world):
    return step(world.folder, world.store, policy(), now=NOW)


@pytest.fixture
def counter(world, looked):
    """One that has looked once, a moment ago."""
    found = OutcomeCounter(world.store)
    assert found.look(looked, NOW - SECOND) == NOBODY
    return found


def told(world, *rows_and_truths, at=NOW):
    rows = [row for row, _ in rows_and_truths]
    world.log(*rows, *(truth(row, is_positive, after=DAY) for row, is_positive in rows_and_truths))
    world.ship(at)


def answered(customer, variant, said, **changes):
    return prediction(customer, variant=variant, **{f"{variant}_positive": said}, **changes)


def test_an_outcome_is_counted_for_who_answered_and_not_for_who_was_in_the_shadow(world, counter, looked):
    told(
        world,
        (answered("a", "champion", True, challenger_positive=False), True),
        (answered("b", "champion", False, challenger_positive=True), True),
        (answered("c", "challenger", True, champion_positive=False), True),
        (answered("d", "challenger", True, champion_positive=False), True),
        (answered("e", "challenger", False, champion_positive=True), True),
    )
    assert counter.look(looked, NOW + SETTLED) == {
        Told("champion", CHAMPION, "right"): 1,
        Told("champion", CHAMPION, "wrong"): 1,
        Told("challenger", CHALLENGER, "right"): 2,
        Told("challenger", CHALLENGER, "wrong"): 1,
    }


def test_each_outcome_counts_once_and_none_before_it_has_settled(world, counter, looked):
    told(world, (answered("a", "champion", True), True))
    right = Told("champion", CHAMPION, "right")
    moments = (NOW, NOW + SETTLED - SECOND, NOW + SETTLED, NOW + SETTLED, NOW + 2 * SETTLED, NOW + DAY)
    assert [counter.look(looked, moment)[right] for moment in moments] == [0, 0, 1, 1, 1, 1]
    told(world, (answered("b", "champion", True), True), at=NOW + DAY)
    assert counter.look(looked, NOW + 2 * DAY)[right] == 2


def test_what_landed_before_the_judge_began_is_not_counted(world, looked):
    told(world, (answered("a", "champion", True), True))
    counter = OutcomeCounter(world.store)
    for moment in (NOW + SETTLED, NOW + DAY):
        assert counter.look(looked, moment) == NOBODY


def test_tests_and_answers_without_a_label_do_not_count(world, counter, looked):
    told(
        world,
        (answered("a", "champion", True, purpose="test"), True),
        (answered("b", "champion", True, purpose="what_if"), True),
        (answered("c", "challenger", None, champion_positive=True), True),
    )
    assert counter.look(looked, NOW + DAY) == NOBODY


def test_who_answers_alone_and_everybody_on_trial_are_there_at_0(world):
    other = "sha256:" + "d" * 64
    alone = msgspec.structs.replace(EXPERIMENT, mode="off", challenger=None)
    for experiment, trials in (
        (alone, 0),
        (msgspec.structs.replace(EXPERIMENT, further=(Further(challenger=other),)), 2),
    ):
        write_experiment(world.folder.experiment, experiment)
        status = step(world.folder, world.store, policy(), now=NOW)
        found = OutcomeCounter(world.store).look(status, NOW)
        assert len(found) == A_MODEL // 2 * (1 + trials)
        assert set(found.values()) == {0}


def test_a_store_that_cannot_count_is_told_and_what_it_missed_is_counted_later(world, counter, looked, caplog):
    told(world, (answered("a", "champion", True), True))
    with world.store.writing() as connection:
        connection.execute(sa.text("alter table predictions rename to away"))
    assert counter.look(looked, NOW + DAY) == NOBODY
    assert [one.message for one in caplog.records] == ["outcomes_not_counted"]
    with world.store.writing() as connection:
        connection.execute(sa.text("alter table away rename to predictions"))
    assert counter.look(looked, NOW + DAY)[Told("champion", CHAMPION, "right")] == 1


def test_they_are_exported_whether_or_not_the_judge_could_look(looked, counter):
    outcomes = {**NOBODY, Told("challenger", CHALLENGER, "wrong"): 3}
    for status in (looked, None):
        text = render_metrics(status, Looks(), outcomes=outcomes).decode()
        found = dict(re.findall(r"^gauntlet_judge_outcomes_total\{(.*)\} (\S+)$", text, re.M))
        assert found == {
            'model="aaaaaaaaaaaa",result="right",variant="champion"': "0.0",
            'model="aaaaaaaaaaaa",result="wrong",variant="champion"': "0.0",
            'model="bbbbbbbbbbbb",result="right",variant="challenger"': "0.0",
            'model="bbbbbbbbbbbb",result="wrong",variant="challenger"': "3.0",
        }
