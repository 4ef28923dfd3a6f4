"""Cohorts: who counts, when they close, that they close once, and that nothing else changes them."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from judging import DAY, EXPERIMENT, START, World, policy, prediction, truth

from bentos.errors import InvalidPolicy
from service.micros import to_micros
from service.prediction_log.shipper import give_up_spool
from service.store import tables
from validation.judge.closing import close_cohorts, provisional_cohorts, read_ledger
from validation.judge.late import count_late
from validation.judge.ledger import Counts, total
from validation.judge.looking import judge_experiment as look_at
from validation.judge.verdict import judge

DEADLINE = START + 31 * DAY
RULES = policy()


def judge_experiment(store, experiment, rules, **options):
    return look_at(store, experiment, rules, lineage="churn", now=DEADLINE, **options)


def close(world, now=DEADLINE, rules=RULES):
    world.ship(now)
    return close_cohorts(world.store, EXPERIMENT.id, rules, now=now)


def provisional(world, as_of=DEADLINE, rules=RULES):
    world.ship(START)
    return provisional_cohorts(world.store, EXPERIMENT.id, rules, as_of=as_of)


def agreeing(customer, at=START, **changes):
    return prediction(customer, at, **changes)


def win(customer, at=START, **changes):
    """The models disagree, and the challenger says positive."""
    return prediction(customer, at, **{"challenger_positive": True, **changes})


def test_a_cohort_becomes_a_few_integers(world):
    rows = {
        "tie right": (agreeing("a"), False),
        "tie wrong": (agreeing("b"), True),
        "win positive": (win("c"), True),
        "loss negative": (win("d"), False),
        "loss positive": (agreeing("e", champion_positive=True), True),
        "win negative": (agreeing("f", champion_positive=True), False),
        "missing agreement": (agreeing("g"), None),
        "missing, challenger positive": (win("h"), None),
        "missing, champion positive": (agreeing("i", champion_positive=True), None),
        "unscored": (agreeing("j", challenger_positive=None, challenger_probability=None), True),
    }
    for scored, label in rows.values():
        world.log(scored, *([] if label is None else [truth(scored, label)]))
    (cohort,) = close(world)
    assert cohort.counts == Counts(
        n=10,
        ties=2,
        ties_right=1,
        wins_positive=1,
        wins_negative=1,
        losses_positive=1,
        losses_negative=1,
        missing_agreements=1,
        missing_challenger_positive=1,
        missing_champion_positive=1,
        unscored=1,
        answered_champion=9,
    )
    assert (cohort.start, cohort.end) == (to_micros(START), to_micros(START + DAY))
    assert read_ledger(world.store, EXPERIMENT.id) == [cohort]


def test_only_the_first_prediction_of_a_customer_counts(world):
    first, second = agreeing("a"), win("a", START + timedelta(hours=1))
    third = win("a", START + DAY)
    world.log(third, second, first, *(truth(of, True) for of in (first, second, third)))
    cohorts = close(world, DEADLINE + DAY)
    assert [cohort.counts.n for cohort in cohorts] == [1]
    assert total(cohorts).ties == 1


def test_a_first_prediction_that_the_challenger_could_not_answer_is_replaced_by_none(world):
    first = agreeing("a", challenger_positive=None, challenger_probability=None)
    later = win("a", START + timedelta(hours=1))
    world.log(first, later, truth(later, True), truth(first, True))
    (cohort,) = close(world)
    assert (cohort.counts.n, cohort.counts.unscored, cohort.counts.matured) == (1, 1, 0)


def test_a_first_prediction_without_truth_is_replaced_by_none(world):
    later = win("a", START + timedelta(hours=1))
    world.log(agreeing("a"), later, truth(later, True))
    assert total(close(world)) == Counts(n=1, missing_agreements=1, answered_champion=1)


@pytest.mark.parametrize(
    "changes",
    [
        {"purpose": "what_if"},
        {"purpose": "test"},
        {"customer_id": None},
        {"mode": "off", "challenger": None, "challenger_positive": None},
        {"mode": "off"},
        {"challenger": None, "challenger_positive": None},
        {"experiment": "another"},
    ],
    ids=str,
)
def test_who_takes_no_part_is_never_counted_and_does_not_hold_the_first_place(world, changes):
    outside = (
        prediction(**{"customer": "a", "challenger_positive": True, **changes})
        if "customer_id" not in changes
        else win(None)
    )
    inside = agreeing("a", START + timedelta(hours=1))
    world.log(outside, truth(outside, True), inside, truth(inside, False))
    assert total(close(world)) == Counts(n=1, ties=1, ties_right=1, answered_champion=1)


def test_a_cohort_does_not_close_before_its_deadline(world):
    row = win("a")
    world.log(row, truth(row, True))
    assert close(world, DEADLINE - timedelta(microseconds=1)) == []
    assert read_ledger(world.store, EXPERIMENT.id) == []
    assert len(close(world, DEADLINE)) == 1


def test_a_cohort_does_not_close_before_every_spool_has_passed_its_deadline(world):
    row = win("a")
    world.log(row, truth(row, True))
    world.log(agreeing("b"), worker="slow")
    world.ship(DEADLINE - timedelta(hours=1))
    assert close_cohorts(world.store, EXPERIMENT.id, RULES, now=DEADLINE) == []
    world.ship(DEADLINE)
    assert total(close_cohorts(world.store, EXPERIMENT.id, RULES, now=DEADLINE)).n == 2


def test_a_spool_given_up_keeps_no_cohort_open(world):
    world.log(win("a"))
    world.ship(START)
    give_up_spool(world.store, "w", who="ann", reason="node lost", now=DEADLINE)
    assert total(close_cohorts(world.store, EXPERIMENT.id, RULES, now=DEADLINE)).n == 1


def test_without_any_spool_nothing_closes(world):
    assert close_cohorts(world.store, EXPERIMENT.id, RULES, now=DEADLINE) == []


def test_a_cohort_closes_once_and_late_rows_are_counted_as_late_and_never_slipped_in(world):
    row, silent = win("a"), win("b")
    world.log(row, truth(row, True), silent)
    first = close(world)
    late = win("c", START + timedelta(hours=1))
    world.log(late, truth(late, True, received=32 * DAY), truth(silent, True, received=32 * DAY))
    assert close(world, DEADLINE + timedelta(hours=2)) == []
    assert close(world, DEADLINE + DAY) == []
    assert read_ledger(world.store, EXPERIMENT.id) == first
    assert count_late(world.store, EXPERIMENT.id) == 3
    assert judge_experiment(world.store, EXPERIMENT, RULES).evidence.late == 3


def test_a_late_row_does_not_open_a_cohort_that_was_closed_empty(world):
    world.log(agreeing("b", START + DAY))
    assert [cohort.start for cohort in close(world, DEADLINE + DAY)] == [to_micros(START + DAY)]
    late = win("a")
    world.log(late, truth(late, True))
    assert close(world, DEADLINE + 2 * DAY) == []
    assert count_late(world.store, EXPERIMENT.id) == 2


def test_a_customer_whose_first_prediction_is_late_is_not_counted_later(world):
    world.log(agreeing("b"))
    close(world)
    early, again = agreeing("a"), win("a", START + 2 * DAY)
    world.log(early, again, truth(again, True))
    assert close(world, DEADLINE + 5 * DAY) == []


def test_closing_late_and_all_at_once_is_closing_day_by_day(tmp_path):
    ledgers = []
    for name, moments in (("daily", range(4)), ("late", [3])):
        (tmp_path / name).mkdir()
        world = World(tmp_path / name)
        for day in range(4):
            row = win(f"c{day}", START + day * DAY)
            world.log(row, truth(row, True))
        for day in moments:
            close(world, DEADLINE + day * DAY)
        ledgers.append(read_ledger(world.store, EXPERIMENT.id))
        world.close()
    assert ledgers[0] == ledgers[1]
    assert len(ledgers[0]) == 4


def test_two_judges_close_a_cohort_once(world):
    import threading

    world.log(*(win(f"c{number}") for number in range(50)))
    world.ship(DEADLINE)
    closed, problems = [], []

    def close_it():
        try:
            closed.extend(close_cohorts(world.store, EXPERIMENT.id, RULES, now=DEADLINE))
        except Exception as e:
            problems.append(e)

    threads = [threading.Thread(target=close_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert len(closed) == 1


def test_the_last_truth_that_was_observed_by_the_moment_of_looking_counts(world):
    row = win("a")
    world.log(
        row,
        truth(row, False, after=29 * DAY, received=40 * DAY),
        truth(row, True, after=30 * DAY),
        truth(row, False, after=36 * DAY),
    )
    assert total(provisional(world, DEADLINE)).wins == 1
    assert total(provisional(world, START + 37 * DAY)).losses == 1


def test_of_two_truths_observed_at_once_the_last_received_counts_and_then_the_positive(world):
    row, other = win("a"), win("b")
    world.log(
        row,
        truth(row, False, received=30 * DAY + timedelta(seconds=1)),
        truth(row, True),
        other,
        truth(other, True),
        truth(other, False),
    )
    counted = total(provisional(world))
    assert (counted.wins, counted.losses) == (1, 1)


def test_outcomes_that_land_before_their_prediction_count(world):
    row = win("a")
    world.log(truth(row, True))
    world.ship(START)
    world.log(row)
    assert total(close(world)).wins == 1


def test_looking_from_a_later_moment_sees_what_would_close_and_writes_nothing(world):
    rows = [win(f"c{day}", START + day * DAY) for day in range(3)]
    world.log(*rows, *(truth(row, True) for row in rows))
    close(world)
    before = everything(world)
    ahead = provisional_cohorts(world.store, EXPERIMENT.id, RULES, as_of=DEADLINE + DAY)
    assert [cohort.start for cohort in ahead] == [to_micros(START + DAY)]
    verdict = judge_experiment(world.store, EXPERIMENT, RULES, as_of=DEADLINE + 2 * DAY)
    assert (verdict.provisional, verdict.evidence.wins) == (True, 3)
    assert everything(world) == before
    assert close(world, DEADLINE + DAY) == ahead


def everything(world):
    with world.store.reading() as connection:
        return {table.name: connection.execute(sa.select(table)).all() for table in tables.metadata.sorted_tables}


def test_phases_are_rows_of_their_own(world):
    world.log(
        agreeing("a"),
        agreeing("b", mode="split", split=0.1, revision=3),
        agreeing("c", mode="split", split=0.5, revision=4, variant="challenger"),
        agreeing("d", START + DAY, mode="split", split=0.5, revision=4),
    )
    cohorts = close(world, DEADLINE + DAY)
    assert [(cohort.revision, cohort.split, cohort.counts.n) for cohort in cohorts] == [
        (2, 0.0, 1),
        (3, 0.1, 1),
        (4, 0.5, 1),
        (4, 0.5, 1),
    ]
    assert cohorts[2].counts.answered_challenger == 1


def test_a_ledger_is_not_continued_under_another_policy(world):
    world.log(win("a"), win("b", START + DAY))
    close(world)
    other = policy(margin=0.03)
    with pytest.raises(InvalidPolicy, match=other.digest):
        close(world, DEADLINE + DAY, other)
    assert judge_experiment(world.store, EXPERIMENT, other).verdict == "INVALID"


def test_cohorts_of_a_second_close_each_by_itself(world):
    demo = policy(cohort=1_000_000)
    world.log(*(agreeing(f"c{number}", START + timedelta(seconds=number / 2)) for number in range(6)))
    cohorts = close(world, START + 30 * DAY + timedelta(seconds=2), demo)
    assert [cohort.counts.n for cohort in cohorts] == [2, 2]


def test_churners_who_are_seen_early_promote_nobody(world):
    """The challenger has higher recall and lower accuracy: all early truths are its wins."""
    churners = [win(f"churner {number}") for number in range(30)]
    stayers = [win(f"stayer {number}") for number in range(90)]
    rest = [agreeing(f"other {number}") for number in range(300)]
    world.log(*churners, *stayers, *rest, *(truth(row, True, after=DAY) for row in churners))
    rules = policy(claim="superiority", margin=0.0)
    assert close(world, START + 3 * DAY, rules) == []
    soon = judge_experiment(world.store, EXPERIMENT, rules)
    assert (soon.verdict, soon.evidence.matured) == ("KEEP_COLLECTING", 0)
    # Fed on arrival, the same truths would have promoted it.
    fed = msgspec.structs.replace(
        provisional_cohorts(world.store, EXPERIMENT.id, rules, as_of=DEADLINE)[0],
        counts=Counts(n=30, wins_positive=30, answered_champion=30),
    )
    assert judge([fed], rules, EXPERIMENT).verdict == "PROMOTE"
    # From a later moment, with the stayers' truths still out, the missing disagreements forbid it.
    ahead = judge_experiment(world.store, EXPERIMENT, rules, as_of=DEADLINE)
    assert (ahead.verdict, ahead.evidence.tipping_point is not None) == ("KEEP_COLLECTING", True)
    world.log(*(truth(row, False) for row in stayers), *(truth(row, False) for row in rest))
    close(world, DEADLINE, rules)
    assert judge_experiment(world.store, EXPERIMENT, rules).verdict == "ROLLBACK"


def records_of(number):
    """A few customers with repeats, what-ifs, corrections and missing truths."""
    row = win(
        f"c{number % 7}",
        START + timedelta(hours=number % 5),
        champion_positive=number % 3 == 0,
        revision=2 + number % 2,
    )
    truths = [truth(row, number % 4 == 0), truth(row, number % 5 == 0, after=30 * DAY + timedelta(hours=1))]
    return [row, *truths[: number % 3]]


RECORDS = [record for number in range(20) for record in records_of(number)]


def reference_ledger(tmp_path_factory):
    world = World(tmp_path_factory.mktemp("reference"))
    world.log(*RECORDS)
    ledger = close(world)
    world.close()
    return ledger


@settings(max_examples=6, deadline=None)
@given(st.permutations(RECORDS), st.integers(1, 3), st.sets(st.integers(0, len(RECORDS)), max_size=2))
def test_the_ledger_does_not_depend_on_order_of_arrival_workers_or_passes(tmp_path_factory, order, workers, passes):
    world = World(tmp_path_factory.mktemp("permuted"))
    for position, record in enumerate(order):
        world.log(record, worker=f"w{position % workers}")
        if position in passes:
            world.ship(START)
            world.log(record, worker="again")
    ledger = close(world)
    world.close()
    assert ledger == reference_ledger(tmp_path_factory)
