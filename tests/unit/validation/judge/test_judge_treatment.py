"""Treatment: who is evidence where actions follow predictions, and what makes a verdict impossible."""

from __future__ import annotations

import random
from datetime import timedelta

import msgspec
import pytest
from judging import DAY, EXPERIMENT, START, cohort, counts, policy, prediction, superiority, treatment, truth

from validation.judge.closing import close_cohorts, provisional_cohorts, read_ledger
from validation.judge.ledger import Arm, Arms, Counts
from validation.judge.policy import ArmRule
from validation.judge.verdict import judge

DEADLINE = START + 31 * DAY
FOLLOWS = policy(actions_follow_predictions=True)
ARMS = ArmRule(better="fewer", margin=0.02, alpha=0.05, n_expected=5000)
WITH_SHARE = msgspec.structs.replace(EXPERIMENT, no_treatment=0.1)


def close(world, rules=FOLLOWS, now=DEADLINE):
    world.ship(now)
    return close_cohorts(world.store, EXPERIMENT.id, rules, now=now)


def with_(of, rules=FOLLOWS, **fields):
    return msgspec.structs.replace(cohort(rules, of), **fields)


def outside(n=1000):
    return Counts(n=n, ties=n, answered_champion=n)


def test_only_customers_from_whom_actions_are_withheld_are_evidence_and_the_others_are_counted_beside(world):
    inside = prediction("in", challenger_positive=True, no_treatment=True)
    others = [prediction(f"out{number}", challenger_positive=True) for number in range(3)]
    world.log(inside, truth(inside, True), *others, *(truth(row, False) for row in others), treatment(others[0]))
    (row,) = close(world)
    assert row.counts == Counts(n=1, wins_positive=1, answered_champion=1)
    assert row.outside == Counts(n=3, losses_negative=3, answered_champion=3)
    assert (row.treated, row.spoiled) == (1, 0)
    assert read_ledger(world.store, EXPERIMENT.id) == [row]


def test_a_spoiled_customer_is_not_dropped_and_the_truth_is_missing(world):
    rows = [prediction(f"c{number}", challenger_positive=True, no_treatment=True) for number in range(2)]
    agreeing = prediction("agreeing", no_treatment=True)
    world.log(
        *rows, agreeing, *(truth(row, True) for row in (*rows, agreeing)), treatment(rows[0]), treatment(agreeing)
    )
    (row,) = close(world)
    assert row.counts == Counts(
        n=3, wins_positive=1, missing_challenger_positive=1, missing_agreements=1, answered_champion=3
    )
    assert (row.treated, row.spoiled) == (2, 2)
    verdict = judge([row], FOLLOWS, EXPERIMENT)
    assert "2 customers from whom actions were to be withheld were treated nevertheless" in verdict.reasons[-1]


def test_an_action_after_the_window_has_changed_no_outcome(world):
    rows = [prediction(f"c{number}", no_treatment=True) for number in range(2)]
    world.log(*rows, treatment(rows[0], after=30 * DAY), treatment(rows[1], after=30 * DAY + timedelta(seconds=1)))
    assert [row.treated for row in close(world, now=DEADLINE + 40 * DAY)] == [1]


def test_what_is_known_at_the_moment_of_looking_counts(world):
    row = prediction("c", no_treatment=True)
    world.log(row, treatment(row, after=3 * DAY))
    world.ship(START)
    rules = policy(actions_follow_predictions=True, maturity_window=2 * 86_400_000_000)
    looks = [
        provisional_cohorts(world.store, EXPERIMENT.id, rules, as_of=START + days * DAY)[0].treated for days in (3, 5)
    ]
    assert looks == [0, 0]
    looks = [provisional_cohorts(world.store, EXPERIMENT.id, FOLLOWS, as_of=START + 31 * DAY)[0].treated]
    assert looks == [1]


def test_without_a_no_treatment_share_the_verdict_is_invalid():
    for of in (counts(60, 900, 40), counts(10, 300, 60)):
        verdict = judge([with_(Counts(), outside=of)], FOLLOWS, WITH_SHARE)
        assert verdict.verdict == "INVALID"
        assert verdict.reasons[0].startswith("treatment_confounded")
        assert "no-treatment" in verdict.reasons[0]
    assert judge([], FOLLOWS, EXPERIMENT).verdict == "INVALID"
    assert judge([], FOLLOWS, WITH_SHARE).verdict == "KEEP_COLLECTING"


def test_with_a_share_the_customers_in_it_decide_and_the_others_do_not():
    good, bad = counts(60, 900, 40), counts(10, 300, 60)
    assert judge([with_(good, outside=bad)], FOLLOWS, WITH_SHARE).verdict == "PROMOTE"
    assert judge([with_(bad, outside=good)], FOLLOWS, WITH_SHARE).verdict == "ROLLBACK"


def test_treatments_that_the_policy_says_there_are_none_of_make_the_verdict_invalid(world):
    rows = [prediction(f"c{number}", challenger_positive=True) for number in range(60)]
    world.log(*rows, *(truth(row, True) for row in rows), treatment(rows[0]))
    verdict = judge(close(world, policy()), policy(), EXPERIMENT)
    assert verdict.verdict == "INVALID"
    assert verdict.reasons[0].startswith("treatment_confounded: 1 of 60 counted customers were treated")
    assert "actions_follow_predictions" in verdict.reasons[0]


def test_the_split_is_checked_on_everybody_evidence_or_not():
    skewed = Counts(n=1000, ties=1000, answered_champion=620, answered_challenger=380)
    verdict = judge(
        [with_(counts(60, 900, 40, answered_challenger=500), outside=skewed, mode="split", split=0.5)],
        FOLLOWS,
        WITH_SHARE,
    )
    assert verdict.verdict == "INVALID"
    assert "880 of 2000" in verdict.reasons[0]


# A test shows both sides: offers to whom the champion flags fool whoever drops or keeps the treated.
def offered(share, *, saved, customers=4000, seed=0):
    """Equal champion and challenger of 70 % recall; offers follow the champion's flag and save some who would leave."""
    rng = random.Random(seed)
    naive_dropped, naive_kept, ours = ([0, 0, 0] for _ in range(3))
    for _ in range(customers):
        leaves = rng.random() < 0.265
        champion, challenger = (rng.random() < (0.7 if leaves else 0.15) for _ in range(2))
        withheld = rng.random() < share
        treated = champion and not withheld
        truth_ = leaves and not (treated and rng.random() < saved)
        place = 1 if champion == challenger else 0 if challenger == truth_ else 2
        naive_kept[place] += 1
        if not treated:
            naive_dropped[place] += 1
        if withheld:
            ours[place] += 1
    return naive_dropped, naive_kept, ours


def test_offers_make_equal_models_look_better_or_worse_and_the_share_alone_sees_them_as_equal():
    rules = superiority(actions_follow_predictions=True)
    naive = superiority()
    kept, own = [], []
    for seed in range(10):
        _, (wins, ties, losses), of_share = offered(0.2, saved=0.5, customers=8000, seed=seed)
        kept.append(judge([cohort(naive, counts(wins, ties, losses))], naive, EXPERIMENT).verdict)
        own.append(judge([with_(counts(*of_share), rules)], rules, WITH_SHARE).verdict)
    assert kept == ["PROMOTE"] * 10
    assert own == ["KEEP_COLLECTING"] * 10


def test_dropping_the_treated_promotes_a_challenger_that_never_flags_and_the_share_rolls_it_back():
    rng, naive, ours = random.Random(1), [0, 0, 0], [0, 0, 0]
    for _ in range(4000):
        leaves = rng.random() < 0.265
        champion = rng.random() < (0.7 if leaves else 0.05)
        withheld = rng.random() < 0.3
        place = 1 if not champion else 2 if leaves else 0  # the challenger says no
        if withheld:
            ours[place] += 1
        elif not champion:
            naive[place] += 1
    rules = policy(actions_follow_predictions=True)
    assert judge([cohort(policy(), counts(*naive))], policy(), EXPERIMENT).verdict == "PROMOTE"
    assert judge([with_(counts(*ours), rules)], rules, WITH_SHARE).verdict == "ROLLBACK"


# Outcomes by arm (F4)


def arms(champion, challenger, told=3000):
    return Arms(
        champion=Arm(customers=told, told=told, positive=champion),
        challenger=Arm(customers=told, told=told, positive=challenger),
    )


def in_split(of, rules, found, **fields):
    halves = msgspec.structs.replace(of, answered_champion=of.n // 2, answered_challenger=of.n - of.n // 2)
    return with_(halves, rules, arms=found, mode="split", split=0.5, **fields)


@pytest.mark.parametrize(
    ("champion", "challenger", "verdict"),
    [(750, 700, "PROMOTE"), (600, 800, "ROLLBACK"), (700, 740, "KEEP_COLLECTING")],
)
def test_where_pairs_are_confounded_outcomes_by_arm_alone_decide(champion, challenger, verdict):
    rules = policy(actions_follow_predictions=True, outcome_by_arm=ARMS)
    ledger = [in_split(Counts(), rules, arms(champion, challenger), outside=outside(0))]
    found = judge([*ledger], rules, EXPERIMENT)
    assert found.verdict == verdict
    assert "outcomes by arm" in " ".join(found.reasons)


def test_more_may_be_better_and_then_it_is_the_other_way_round():
    rules = policy(actions_follow_predictions=True, outcome_by_arm=msgspec.structs.replace(ARMS, better="more"))
    ledger = [in_split(Counts(), rules, arms(750, 700), outside=outside(0))]
    assert judge(ledger, rules, EXPERIMENT).evidence.arms.improvement == pytest.approx(-50 / 3000)


def test_outcomes_by_arm_join_the_promotion_where_they_are_asked_for():
    rules = policy(outcome_by_arm=ARMS)
    good = counts(60, 900, 40)
    assert judge([in_split(good, rules, arms(750, 700))], rules, EXPERIMENT).verdict == "PROMOTE"
    waiting = judge([in_split(good, rules, arms(700, 740))], rules, EXPERIMENT)
    assert (waiting.verdict, "is not shown" in waiting.reasons[-1]) == ("KEEP_COLLECTING", True)
    assert judge([in_split(good, rules, arms(600, 800))], rules, EXPERIMENT).verdict == "ROLLBACK"
    none = judge([with_(good, rules)], rules, EXPERIMENT)
    assert (none.verdict, "each arm needs 100 truths" in none.reasons[-1]) == ("KEEP_COLLECTING", True)


@pytest.mark.parametrize(("told", "positive"), [(99, 10), (3000, 9)])
def test_an_arm_below_its_floor_says_nothing(told, positive):
    rules = policy(outcome_by_arm=ARMS)
    found = judge([in_split(counts(60, 900, 40), rules, arms(positive, positive, told))], rules, EXPERIMENT)
    assert (found.verdict, found.evidence.arms.is_enough) == ("KEEP_COLLECTING", False)


def test_arms_whose_truths_come_back_unlike_are_not_compared():
    rules = policy(outcome_by_arm=ARMS)
    unlike = Arms(
        champion=Arm(customers=3000, told=3000, positive=750), challenger=Arm(customers=3000, told=2000, positive=300)
    )
    found = judge([in_split(counts(60, 900, 40), rules, unlike)], rules, EXPERIMENT)
    assert (found.verdict, "not known of both arms" in found.reasons[-1]) == ("KEEP_COLLECTING", True)


def test_a_ramp_during_which_outcomes_changed_is_compared_phase_by_phase():
    """Simpson: within each phase the arms are equal; pooled, the challenger's late customers look far worse."""
    rules = policy(outcome_by_arm=ARMS)
    early = Arms(
        champion=Arm(customers=5400, told=5400, positive=540), challenger=Arm(customers=600, told=600, positive=60)
    )
    late = Arms(
        champion=Arm(customers=600, told=600, positive=300), challenger=Arm(customers=5400, told=5400, positive=2700)
    )
    ledger = [
        with_(counts(0, 1000, 0, answered_challenger=100), rules, arms=early, mode="split", split=0.1, revision=3),
        with_(counts(0, 1000, 0, answered_challenger=900), rules, arms=late, mode="split", split=0.9, revision=4),
    ]
    assert judge(ledger, rules, EXPERIMENT).evidence.arms.improvement == pytest.approx(0, abs=1e-12)


def test_the_closing_counts_arms_in_a_split_outside_the_no_treatment_share(world):
    rules = policy(outcome_by_arm=ARMS)
    split = {"mode": "split", "split": 0.5, "revision": 3}
    rows = [
        prediction("a", **split),
        prediction("b", **split, variant="challenger"),
        prediction("c", **split, variant="challenger", no_treatment=True),
        prediction("d", **split, challenger_positive=None, challenger_probability=None),
        prediction("e", **split, variant="challenger"),
        prediction("f"),
    ]
    world.log(*rows, *(truth(row, True) for row in rows[:4]))
    shadow, found = close(world, rules)
    assert shadow.arms == Arms()
    assert found.arms == Arms(
        champion=Arm(customers=1, told=1, positive=1), challenger=Arm(customers=2, told=1, positive=1)
    )
    assert close(world, policy()) == []
