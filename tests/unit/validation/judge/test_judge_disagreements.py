"""Whose truth still decides: first predictions on which the models disagree and of which nothing is known."""

from __future__ import annotations

import csv
import io
from datetime import timedelta

import msgspec
import pytest
from click.testing import CliRunner
from judging import CHALLENGER, CHAMPION, DAY, EXPERIMENT, START, policy, prediction, treatment, truth

import gauntlet
from bentos.errors import NotFound
from service.store import tables
from validation.judge.closing import close_cohorts
from validation.judge.disagreements import check_known, find_disagreements, render

PROFIT = policy(metric="profit", false_positive_cost=0.2)


def found(world, rules=None, now=START + 2 * DAY, **options):
    world.ship(now)
    return find_disagreements(world.store, EXPERIMENT.id, rules or policy(), now=now, **options)


def test_only_those_on_whom_the_models_disagree_and_of_whom_nothing_is_known_are_listed(world):
    open_one = prediction("open", challenger_positive=True)
    told = prediction("told", challenger_positive=True)
    world.log(open_one, told, prediction("agreeing"), truth(told, True, after=DAY))
    awaited = found(world)
    assert [one.customer_id for one in awaited.customers] == ["open"]
    assert (awaited.scored, awaited.open, awaited.told, awaited.too_late) == (3, 1, 1, 0)
    (one,) = awaited.customers
    assert one.prediction_id == open_one.prediction_id
    assert one.due == START + 31 * DAY
    assert (one.champion_positive, one.challenger_positive) == (False, True)


def test_an_experiment_that_nobody_knows_is_no_empty_list(world):
    world.log(prediction("a"))
    world.ship(START)
    check_known(world.store, EXPERIMENT.id)
    with pytest.raises(NotFound, match="nobody was scored in an experiment 'typo'; the judge has seen none"):
        check_known(world.store, "typo")


def test_a_later_prediction_of_the_same_customer_is_not_asked_for(world):
    first = prediction("twice", challenger_positive=True)
    again = prediction("twice", START + timedelta(hours=1), champion_positive=True)
    world.log(first, again)
    assert [one.prediction_id for one in found(world).customers] == [first.prediction_id]


def test_who_is_no_evidence_is_not_asked_for(world):
    world.log(
        prediction(None, challenger_positive=True),
        prediction("test", challenger_positive=True, purpose="test"),
        prediction("pinned", challenger_positive=True, enrolment="pinned"),
        prediction("unscored", challenger_positive=None, challenger_probability=None, champion_positive=True),
    )
    assert found(world).customers == ()


def test_a_customer_counts_once_by_the_first_prediction_of_all_trials_between_the_same_models(world):
    other = "0123456789abcdef"
    later = START + timedelta(hours=1)
    unscored = {"challenger_positive": None, "challenger_probability": None}
    world.log(
        prediction("twice"),
        prediction("twice", later, challenger_positive=True),
        prediction("pinned at first", enrolment="pinned"),
        prediction("pinned at first", later),
        prediction("not compared at first", **unscored),
        prediction("not compared at first", later, challenger_positive=True),
        prediction("of the other trial", experiment=other),
        prediction("of the other trial", later, challenger_positive=True),
        prediction("of both, here first"),
        prediction("of both, here first", later, experiment=other),
    )
    assert found(world).scored == 4
    with world.store.writing() as connection:
        for number, name in enumerate((EXPERIMENT.id, other), 1):
            trial = {"lineage": "churn", "number": number, "experiment": name, "first_seen_at": number}
            connection.execute(tables.trials.insert().values(**trial, champion=CHAMPION, challenger=CHALLENGER))
    awaited = found(world)
    assert (awaited.scored, awaited.open) == (3, 0)


def test_where_actions_follow_predictions_the_untreated_alone_decide(world):
    inside = prediction("inside", challenger_positive=True, no_treatment=True)
    outside = prediction("outside", challenger_positive=True)
    world.log(inside, outside, treatment(outside))
    rules = policy(actions_follow_predictions=True)
    assert [one.customer_id for one in found(world, rules).customers] == ["inside"]


def test_what_each_truth_would_move_is_in_the_metrics_unit(world):
    world.log(
        prediction("ours", challenger_positive=True),
        prediction("theirs", START + timedelta(hours=1), champion_positive=True),
    )
    ours, theirs = found(world, PROFIT).customers
    assert (ours.if_positive, ours.if_negative) == pytest.approx((1.0, -0.2))
    assert (theirs.if_positive, theirs.if_negative) == pytest.approx((-1.0, 0.2))


def test_whose_cohort_is_closed_comes_too_late_and_the_soonest_due_comes_first(world):
    world.log(
        prediction("old", challenger_positive=True),
        prediction("late", START + 5 * DAY, challenger_positive=True),
        prediction("soon", START + 3 * DAY, champion_positive=True),
    )
    now = START + 32 * DAY
    world.ship(now)
    close_cohorts(world.store, EXPERIMENT.id, policy(), now=now)
    awaited = found(world, now=now)
    assert [one.customer_id for one in awaited.customers] == ["soon", "late"]
    assert (awaited.open, awaited.too_late) == (2, 1)
    assert [one.customer_id for one in found(world, now=now, limit=1).customers] == ["soon"]


def test_the_text_says_why_and_how_many(world):
    rows = [prediction(f"c{n}", START + timedelta(minutes=n), challenger_positive=True) for n in range(3)]
    world.log(*rows, *(prediction(f"a{n}") for n in range(6)))
    text = render(found(world, limit=2))
    assert text.startswith(f"3 of 9 customers still decide experiment {EXPERIMENT.id}: the models disagree on 3")
    assert "chasing these is enough" in text
    assert "and 1 more" in text
    assert all(len(line) < 150 for line in text.splitlines())


def test_the_command_lists_them_as_text_json_and_csv(world):
    world.log(prediction("one, of two", challenger_positive=True), prediction("two"))
    base = ["disagreements", "--folder", str(world.path)]
    text = CliRunner().invoke(gauntlet.cli, base)
    assert text.exit_code == 0, text.output
    assert "1 of 2 customers still decide" in text.stdout
    (row,) = msgspec.json.decode(CliRunner().invoke(gauntlet.cli, [*base, "--json"]).stdout)["customers"]
    listed = list(csv.DictReader(io.StringIO(CliRunner().invoke(gauntlet.cli, [*base, "--csv"]).stdout)))
    assert [one["customer_id"] for one in listed] == ["one, of two"]
    assert listed[0]["prediction_id"] == row["prediction_id"]
    both = CliRunner().invoke(gauntlet.cli, [*base, "--json", "--csv"])
    assert "give one of them" in str(both.exception)
