"""What is odd about the truths that were told."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner
from shipping_toys import NOW, outcome, prediction, spooled

import gauntlet
from bentos.errors import InvalidSetting
from service.micros import to_micros
from service.prediction_log.shipper import ship
from service.store import open_store
from service.store.reports import OutcomeReport, outcome_report, unknown_ids

DAY = 86_400_000_000
AT = to_micros(NOW)
NOTHING = {
    "total": 0,
    "predictions": 0,
    "repeated": 0,
    "contradicting": 0,
    "early": 0,
    "unknown_waiting": 0,
    "unknown": 0,
}


@pytest.fixture
def store(tmp_path):
    store = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    yield store
    store.close()


@pytest.fixture
def told(tmp_path, store):
    """Ships records, and gives the report as of 40 days later."""
    passes = []

    def tell(*records, experiment=None):
        passes.append(1)
        spooled(tmp_path / "spool", *records, worker=f"w{len(passes)}")
        ship(tmp_path / "spool", store, clock=lambda: NOW.replace(second=len(passes)))
        return outcome_report(store, experiment, maturity=30 * DAY, now=AT + 40 * DAY)

    return tell


def truth(number, day, **changes):
    return outcome(number, observed_at=AT + day * DAY, received_at=AT + day * DAY, **changes)


def report(**counts):
    return OutcomeReport(**{**NOTHING, **counts})


def test_an_empty_store_was_told_nothing(told):
    assert told() == report()
    assert told(experiment="e") == report()


def test_truths_and_the_predictions_that_were_told_are_counted(told):
    assert told(prediction(1), prediction(2), prediction(3), truth(1, 30), truth(2, 30)) == report(
        total=2, predictions=2
    )


def test_the_same_truth_sent_twice_is_one(told):
    assert told(prediction(1), truth(1, 30), truth(1, 30)) == report(total=1, predictions=1)


def test_a_truth_told_again_is_repeated_and_another_one_contradicts_too(told):
    told(*map(prediction, range(1, 4)), truth(1, 30), truth(1, 31), truth(2, 30), truth(2, 31, positive=False))
    found = told(truth(2, 32), truth(3, 30))
    assert found == report(total=6, predictions=3, repeated=3, contradicting=1)


def test_a_truth_that_lands_before_its_prediction_or_was_seen_before_it_was_made_is_early(told):
    assert told(truth(1, 30)) == report(unknown_waiting=1)
    assert told(prediction(1)) == report(total=1, predictions=1, early=1)
    assert told(prediction(2), truth(2, -1), truth(2, 3)) == report(total=3, predictions=2, repeated=1, early=2)


def test_truths_of_unknown_predictions_wait_for_the_maturity_window_and_are_then_unknown(told):
    found = told(prediction(1), truth(1, 5), truth(7, 9), truth(8, 10), truth(9, 11))
    assert found == report(total=1, predictions=1, unknown=1, unknown_waiting=2)


def test_truths_belong_to_their_predictions_experiment_and_unknown_ones_to_none(told):
    records = [prediction(1), prediction(2, experiment="f"), truth(1, 30), truth(2, 30), truth(2, 31), truth(3, 30)]
    assert told(*records, experiment="f") == report(total=2, predictions=1, repeated=1, unknown_waiting=1)
    assert told(experiment="e") == report(total=1, predictions=1, unknown_waiting=1)
    assert told() == report(total=3, predictions=2, repeated=1, unknown_waiting=1)


def test_unknown_ids_are_named_once_each_when_the_maturity_window_is_over(told, store):
    told(prediction(1), truth(1, 5), truth(7, 9), truth(7, 9, positive=False), truth(6, 1), truth(8, 10))
    assert list(unknown_ids(store, maturity=30 * DAY, now=AT + 40 * DAY)) == ["p6", "p7"]
    told(prediction(7))
    assert list(unknown_ids(store, maturity=30 * DAY, now=AT + 40 * DAY)) == ["p6"]


def run(tmp_path, *arguments):
    return CliRunner().invoke(gauntlet.cli, ["log", "outcomes", "--folder", str(tmp_path), *arguments])


def test_the_command_counts_outcomes_and_names_unknown_ids(told, tmp_path):
    lately = to_micros(datetime.now(UTC))
    waiting = outcome(9, observed_at=lately, received_at=lately)
    told(prediction(1), truth(1, 5), truth(1, 6, positive=False), truth(7, -400), truth(8, -400), waiting)
    text = run(tmp_path).stdout
    assert text.startswith("2 outcomes of 1 predictions\n  1 beyond the first")
    assert "\n  1 predictions were told both labels" in text
    assert "\n1 outcomes of unknown ids, whose predictions may still be under way" in text
    assert "\n2 outcomes of unknown ids, received longer ago" in text
    counts = json.loads(run(tmp_path, "--json").stdout)
    assert (counts["unknown"], counts["unknown_waiting"], counts["contradicting"]) == (2, 1, 1)
    assert json.loads(run(tmp_path, "--json", "--experiment", "other").stdout)["total"] == 0
    assert run(tmp_path, "--unknown").stdout == "p7\np8\n"


@pytest.mark.parametrize("other", [("--json",), ("--experiment", "e")])
def test_unknown_ids_belong_to_no_experiment_and_are_plain_lines(tmp_path, other):
    found = run(tmp_path, "--unknown", *other)
    assert isinstance(found.exception, InvalidSetting)
    assert "--unknown goes with neither" in str(found.exception)
