"""How long still: the verdict's rules played on from a ledger."""

from __future__ import annotations

import msgspec
import pytest

from bentos.errors import Refused
from validation.judge.ledger import Cohort, Counts
from validation.judge.policy import OnlinePolicy
from validation.planning.question import Question
from validation.planning.remaining import how_long_still
from validation.planning.simulating import Begun, play, wealths

DAY = 86_400_000_000
RULES = OnlinePolicy(
    name="test", metric="accuracy", false_positive_cost=None, claim="non_inferiority", margin=0.02, alpha_promote=0.05,
    alpha_rollback=0.05, alpha_srm=0.001, maturity_window=30 * DAY, cohort=DAY, min_cohorts=1, min_matured=10,
    actions_follow_predictions=False,
)  # fmt: skip


def ledger(days: int, **each: int) -> list[Cohort]:
    named = {"wins_positive": 2, "losses_positive": 2, "ties": 46, "ties_right": 40} | each
    n = sum(value for name, value in named.items() if name != "ties_right")
    of = Counts(**named, n=n, answered_champion=n)
    return [
        Cohort(
            experiment="e", start=day * DAY, end=(day + 1) * DAY, revision=1, mode="shadow", split=0.0,
            policy=RULES.digest, counts=of, rows_digest="d",
        )
        for day in range(days)
    ]  # fmt: skip


def still(cohorts: list[Cohort], rules: OnlinePolicy = RULES):
    through = max((cohort.end for cohort in cohorts), default=0)
    return how_long_still(cohorts, rules, None, closed_through=through, now=through + rules.maturity_window, runs=200)


def test_a_trial_that_has_come_far_waits_less_than_one_that_begins():
    early, late = (still(ledger(days)).waits[0].waits[0] for days in (3, 30))
    assert early is not None
    assert late is not None
    assert late[1] < early[1]


def test_customers_come_as_in_the_last_cohorts():
    few, many = ledger(20), ledger(40)[20:]
    many = [msgspec.structs.replace(one, counts=one.counts + one.counts) for one in many]
    assert still(few + many).customers_a_day == 100


def test_what_was_seen_and_no_difference_are_both_supposed():
    found = still(ledger(10, wins_positive=4))
    assert [round(wait.effect, 4) for wait in found.waits] == [round(20 / 520, 4), 0.0]
    assert (found.disagreement, found.coverage) == (6 / 52, 1.0)


def test_it_starts_with_what_the_ledger_holds():
    """The wealth at the first look is that of the ledger and one cohort, not of one cohort."""
    counts = ledger(1, wins_positive=400, losses_positive=10, ties=1000)[0].counts
    begun = Begun(cohorts=5, counts=counts)
    question = Question(effect=0.1, margin=0.02, new_customers=1.0, window_days=0.0, min_cohorts=1, disagreement=0.2)
    assert wealths(question.prices, begun.cells, 0.02)[0] > 100
    played = play(question, seed=0, runs=20, begun=begun)
    assert played.promoted.tolist() == [0] * 20


def test_cohorts_of_the_ledger_count_for_the_least_number_of_them():
    begun = Begun(cohorts=13, counts=ledger(1, wins_positive=400, losses_positive=10, ties=1000)[0].counts)
    question = Question(effect=0.1, margin=0.02, new_customers=5.0, window_days=0.0, min_cohorts=14, disagreement=0.2)
    assert play(question, seed=0, runs=5, begun=begun).promoted.tolist() == [0] * 5
    assert play(question, seed=0, runs=5).promoted.min() >= 13


@pytest.mark.parametrize(
    ("cohorts", "why"),
    [(ledger(3, wins_positive=0, losses_positive=0), "one model alone was right"), ([], "one model alone was right")],
)
def test_where_nothing_is_to_go_by_it_says_so(cohorts: list[Cohort], why: str):
    with pytest.raises(Refused, match=why):
        still(cohorts)


def test_nobody_new_means_that_it_never_ends():
    cohorts = ledger(3)
    with pytest.raises(Refused, match="nobody new"):
        how_long_still(cohorts, RULES, None, closed_through=90 * DAY, now=120 * DAY)
