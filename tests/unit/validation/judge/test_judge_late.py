"""Late rows: however they are found, they are those that landed after the closing of their cohort."""

from __future__ import annotations

import random

import pytest
import sqlalchemy as sa
from judging import DAY, EXPERIMENT, START, World, policy, prediction, truth

from service.ids import make_id
from service.micros import to_micros
from service.store import tables
from validation.judge.closing import close_cohorts
from validation.judge.late import count_late

MINUTE = DAY / 1440


def late_one_by_one(store) -> int:
    """The definition, row by row."""
    with store.reading() as connection:
        predictions, outcomes, cohorts, closings = (
            connection.execute(sa.select(table)).all()
            for table in (tables.predictions, tables.outcomes, tables.cohorts, tables.closings)
        )
    enrolled = [row for row in predictions if row.enrolment == "enrolled" and row.customer_id is not None]
    first = {}
    for row in sorted(enrolled, key=lambda row: (row.at, row.prediction_id)):
        first.setdefault(row.customer_id, row)
    through = max((row.closed_through for row in closings), default=0)
    closed_at = {
        row.prediction_id: min((c.closed_at for c in cohorts if c.start <= row.at < c.end), default=0)
        for row in first.values()
        if row.at < through
    }
    landed = [*first.values(), *outcomes]
    return sum(row.landed_at > closed_at[row.prediction_id] for row in landed if row.prediction_id in closed_at)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("window", [30 * DAY, 10 * MINUTE], ids=["long", "short"])
def test_late_rows_are_those_that_landed_after_their_cohorts_closing(tmp_path, seed, window):
    rng, world = random.Random(seed), World(tmp_path)
    unit = DAY if window > DAY else 10 * MINUTE
    rules = policy(maturity_window=window // (DAY / 86_400_000_000), cohort=unit // (DAY / 86_400_000_000))
    records = list(records_of(rng, unit, window))
    rng.shuffle(records)
    moment = START + window
    for begin in range(0, len(records), 12):
        world.log(*records[begin : begin + 12])
        moment += unit * rng.random() * 2
        world.ship(moment)
        close_cohorts(world.store, EXPERIMENT.id, rules, now=moment + MINUTE)
    counted = count_late(world.store, EXPERIMENT.id)
    assert counted == late_one_by_one(world.store)
    assert counted > 0
    world.close()


def records_of(rng, unit, window):
    for number in range(60):
        at = START + unit * rng.choice([0, 1, 3, 4, 6]) + unit * rng.random() * 0.9
        own_id = {} if number % 5 == 0 else {"prediction_id": make_id(to_micros(at), rng.randbytes(8))}
        enrolment = "holdout" if number % 11 == 0 else "enrolled"
        row = prediction(f"c{rng.randrange(50)}", at, enrolment=enrolment, **own_id)
        yield row
        for _ in range(rng.randrange(3)):
            yield truth(row, rng.random() < 0.5, after=window * rng.random())


def test_nothing_is_late_before_anything_is_closed(tmp_path):
    world = World(tmp_path)
    world.log(prediction("a"))
    world.ship(START)
    assert count_late(world.store, EXPERIMENT.id) == 0
    world.close()


@pytest.mark.parametrize("enrolment", ["off", "anonymous", "pinned", "holdout", "unsampled"])
def test_only_the_enrolled_are_evidence_and_hold_the_first_place(tmp_path, enrolment):
    world = World(tmp_path)
    outside = prediction("a", challenger_positive=True, enrolment=enrolment)
    inside = prediction("a", START + MINUTE)
    world.log(outside, truth(outside, True), inside, truth(inside, False))
    moment = START + 31 * DAY
    world.ship(moment)
    (cohort,) = close_cohorts(world.store, EXPERIMENT.id, policy(), now=moment)
    assert (cohort.counts.n, cohort.counts.ties_right) == (1, 1)
    world.close()
