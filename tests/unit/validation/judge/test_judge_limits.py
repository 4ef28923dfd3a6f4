"""Engineering limits: they need no outcome, act at once, and say nothing of too few requests."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest
from judging import CHALLENGER, DAY, EXPERIMENT, START, cohort, counts, policy, prediction

from service.scoring.experiment import set_split
from validation.judge import live as looking_live
from validation.judge.limits import Live, broken_limits
from validation.judge.live import read_live
from validation.judge.policy import Limits
from validation.judge.process import step
from validation.judge.status import read_verdicts
from validation.judge.verdict import judge

LIMITS = Limits(
    challenger_error_share=0.01, latency_p99_ratio=3.0, positive_share_change=0.1, min_requests=100, window_seconds=3600
)
RULES = policy(limits=LIMITS)
NOW = START + timedelta(hours=2)
FINE = Live(
    requests=1000, failed=5, champion_p99_us=200, challenger_p99_us=500, champion_positive=250, challenger_positive=300
)


def told(**changes):
    return broken_limits(msgspec.structs.replace(FINE, **changes), RULES)


def test_within_every_limit_nothing_is_said():
    assert told() == []
    assert told(failed=10) == []
    assert broken_limits(FINE, policy()) == []
    assert broken_limits(None, RULES) == []


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"failed": 11}, "challenger_error_share: the challenger failed on 11 of the last 1000 requests"),
        ({"challenger_p99_us": 601}, "latency_p99_ratio: 99 % of the challenger's calls took up to 601"),
        ({"challenger_positive": 350}, "positive_share_change: the challenger calls 35.2% positive"),
        ({"champion_positive": 450}, "positive_share_change"),
    ],
)
def test_a_broken_limit_is_named_with_its_numbers(changes, named):
    (said,) = told(**changes)
    assert named in said


def test_too_few_requests_break_no_limit():
    assert told(requests=99, failed=99) == []
    # Where the challenger failed on nearly all, what it said of the rest is too little to go by.
    assert len(told(failed=950, challenger_positive=50)) == 1


@pytest.mark.parametrize("of", [None, counts(60, 900, 40), counts(5, 20, 5)])
def test_a_broken_limit_rolls_back_at_once_whatever_the_evidence_says(of):
    ledger = [] if of is None else [cohort(RULES, of)]
    verdict = judge(ledger, RULES, EXPERIMENT, live=msgspec.structs.replace(FINE, failed=500))
    assert verdict.verdict == "ROLLBACK"
    assert verdict.reasons[0].startswith("limit challenger_error_share")
    assert verdict.reasons[1].startswith("otherwise ")


def test_a_broken_limit_does_not_wait_for_a_split_that_can_be_trusted():
    skewed = cohort(RULES, counts(60, 900, 40, answered_challenger=380), mode="split", split=0.5)
    assert judge([skewed], RULES, EXPERIMENT, live=FINE).verdict == "INVALID"
    assert judge([skewed], RULES, EXPERIMENT, live=msgspec.structs.replace(FINE, failed=500)).verdict == "ROLLBACK"


def requests(n, *, at=NOW - timedelta(minutes=1), every=timedelta(milliseconds=1), **changes):
    for number in range(n):
        own = {"champion_us": 100 + number, "challenger_us": 1000 + number, "customer_id": f"c{number}"}
        yield prediction(None, at + number * every, **(own | changes))


def read(world, rules=RULES, experiment=EXPERIMENT, now=NOW):
    world.ship(now)
    return read_live(world.store, experiment, rules, now=now)


def test_the_last_requests_of_the_phase_are_read(world):
    world.log(*requests(98, challenger_positive=True))
    world.log(prediction("failed", NOW - timedelta(seconds=5), challenger_positive=None, challenger_probability=None))
    world.log(prediction("circuit", NOW - timedelta(seconds=4), challenger_positive=None, champion_us=5))
    ignored = {
        "before the window": {"at": NOW - timedelta(hours=2)},
        "another phase": {"revision": 1},
        "a test": {"purpose": "test"},
        "no challenger": {"challenger": None},
        "another experiment": {"experiment": "another"},
        "later": {"at": NOW + timedelta(seconds=1)},
    }
    for name, changes in ignored.items():
        at = changes.pop("at", NOW - timedelta(seconds=3))
        world.log(prediction(name, at, challenger_positive=None, challenger_probability=None, **changes))
    found = read(world, now=NOW)
    assert (found.requests, found.failed, found.scored) == (100, 2, 98)
    assert (found.champion_positive, found.challenger_positive) == (0, 98)
    assert (found.champion_p99_us, found.challenger_p99_us) == (197.0, 1097.0)


def test_of_a_busy_hour_the_last_requests_are_enough(world, monkeypatch):
    monkeypatch.setattr(looking_live, "MOST_REQUESTS", 50)
    world.log(*requests(80))
    found = read(world)
    assert (found.requests, found.challenger_p99_us) == (50, 1079.0)


def test_nobody_looks_without_limits_or_without_a_trial(world):
    world.log(*requests(3))
    assert read(world, policy()) is None
    assert read(world, experiment=msgspec.structs.replace(EXPERIMENT, mode="off")) is None
    assert read(world, experiment=msgspec.structs.replace(EXPERIMENT, challenger=None, mode="off")) is None


def test_records_from_before_times_were_kept_say_nothing_of_latency(world):
    world.log(*requests(200, champion_us=None, challenger_us=None))
    found = read(world)
    assert (found.champion_p99_us, found.challenger_p99_us) == (None, None)
    assert broken_limits(found, RULES) == []


def test_a_raised_split_begins_a_phase_whose_requests_are_looked_at_alone(world):
    world.log(*requests(150, challenger_positive=None, challenger_probability=None))
    split = set_split(EXPERIMENT, 0.5, now=NOW, lead=timedelta(0))
    assert read(world).failed == 150
    assert read(world, experiment=split).requests == 0


def test_a_step_rolls_back_a_challenger_that_fails_and_stores_that_once(world):
    world.policy_path.write_text("")
    world.log(*requests(150, challenger_positive=None, challenger_probability=None))
    world.ship(NOW)
    status = step(world.folder, world.store, RULES, now=NOW)
    assert (status.verdict.verdict, status.verdict.challenger) == ("ROLLBACK", CHALLENGER)
    world.log(*requests(10, at=NOW, challenger_positive=None, challenger_probability=None))
    later = NOW + timedelta(seconds=3)
    world.ship(later)
    again = step(world.folder, world.store, RULES, now=later)
    assert again.verdict.live.requests == 160
    assert [verdict.live.requests for _, verdict in read_verdicts(world.store, EXPERIMENT.id)] == [150]
    calm = step(world.folder, world.store, RULES, now=NOW + DAY)
    assert calm.verdict.verdict == "KEEP_COLLECTING"
    assert len(read_verdicts(world.store, EXPERIMENT.id)) == 2
