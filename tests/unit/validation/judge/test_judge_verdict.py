"""The rules of the verdict, each in a test that fails without it."""

from __future__ import annotations

import math
from datetime import timedelta

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judging import CHALLENGER, EXPERIMENT, START, cohort, counts, policy, superiority

from validation.judge.verdict import Verdict, judge


def judged(of, rules=None, **options) -> Verdict:
    rules = rules or policy()
    return judge([cohort(rules, of)], rules, EXPERIMENT, **options)


def test_no_data_is_no_verdict_and_no_evidence():
    verdict = judge([], policy(), EXPERIMENT)
    assert verdict.verdict == "KEEP_COLLECTING"
    assert (verdict.evidence.log_e, verdict.evidence.rollback_log_e, verdict.evidence.srm_log_e) == (0, 0, 0)
    assert (verdict.evidence.lower, verdict.evidence.upper) == (-1, 1)


def test_no_challenger_is_no_verdict():
    alone = msgspec.structs.replace(EXPERIMENT, challenger=None, mode="off")
    assert judge([], policy(), alone).reasons == ("no challenger is on trial",)


# Oracle: (W, T, L) = (60, 900, 40): logK at margin 0 is 1.062853, .01 3.023017, .02 5.979077 (reference F2c).
@pytest.mark.parametrize(("margin", "log_e", "expected"), [(0.01, 3.023017, "PROMOTE"), (0.02, 5.979077, "PROMOTE")])
def test_non_inferiority_promotes_at_its_own_margin(margin, log_e, expected):
    verdict = judged(counts(60, 900, 40), policy(margin=margin))
    assert verdict.evidence.log_e == pytest.approx(log_e, abs=1e-6)
    assert verdict.verdict == expected


def test_superiority_is_asked_more_of():
    verdict = judged(counts(60, 900, 40), superiority())
    assert verdict.evidence.log_e == pytest.approx(1.062853, abs=1e-6)
    assert verdict.verdict == "KEEP_COLLECTING"


# Oracle: harm of (40, 900, 60) beyond .01 is -.099729.
def test_harm_is_counted_beyond_the_margin():
    verdict = judged(counts(40, 900, 60), policy(margin=0.01))
    assert verdict.evidence.rollback_log_e == pytest.approx(-0.099729, abs=1e-6)
    assert verdict.verdict == "KEEP_COLLECTING"


def test_a_worse_challenger_is_rolled_back():
    verdict = judged(counts(10, 300, 60))
    assert verdict.verdict == "ROLLBACK"
    assert verdict.evidence.upper < -0.02


# Oracle: payoff r=.2, n of (1, .6, .5, .4, 0) = (40, 20, 900, 30, 10): 6.208422, harm beyond 0 -2.066778.
PRICED = counts(40, 900, 10, wins_negative=20, losses_negative=30)


def test_profit_weighs_the_two_mistakes_by_cost():
    verdict = judged(PRICED, superiority(metric="profit", false_positive_cost=0.2))
    assert verdict.evidence.log_e == pytest.approx(6.208422, abs=1e-6)
    assert verdict.evidence.rollback_log_e == pytest.approx(-2.066778, abs=1e-6)
    assert verdict.verdict == "PROMOTE"


def test_a_dearer_false_positive_is_the_same_with_roles_of_the_truths_exchanged():
    """Cost 5 for a false positive is cost 1/5 for a false negative: payoffs stay in [0, 1]."""
    exchanged = counts(20, 900, 30, wins_negative=40, losses_negative=10)
    verdict = judged(exchanged, superiority(metric="profit", false_positive_cost=5.0))
    assert verdict.evidence.log_e == pytest.approx(6.208422, abs=1e-6)


def test_equal_costs_are_accuracy():
    profit = judged(PRICED, policy(metric="profit", false_positive_cost=1.0)).evidence
    accuracy = judged(PRICED).evidence
    assert (profit.log_e, profit.lower, profit.difference) == (accuracy.log_e, accuracy.lower, accuracy.difference)


def test_accuracy_gained_by_missing_positives_is_promoted_by_accuracy_and_rolled_back_by_profit():
    flags_fewer = counts(0, 760, 80, wins_negative=160)
    assert judged(flags_fewer).verdict == "PROMOTE"
    assert judged(flags_fewer, policy(metric="profit", false_positive_cost=0.2)).verdict == "ROLLBACK"


def test_promotion_must_hold_with_every_missing_disagreement_a_loss():
    full = counts(60, 900, 40)
    assert judged(full).verdict == "PROMOTE"
    missing = counts(60, 900, 40, missing_champion_positive=15, missing_challenger_positive=15)
    verdict = judged(missing)
    assert verdict.verdict == "KEEP_COLLECTING"
    assert verdict.evidence.log_e == judged(full).evidence.log_e
    assert verdict.evidence.log_e_worst < verdict.evidence.threshold
    few = judged(counts(60, 900, 40, missing_champion_positive=3))
    assert few.verdict == "PROMOTE"
    assert "all 3 missing disagreements" in few.reasons[-1]


def test_the_tipping_point_is_the_number_of_losses_that_undoes_the_promotion():
    verdict = judged(counts(60, 900, 40, missing_challenger_positive=30))
    tipping = verdict.evidence.tipping_point
    assert 0 < tipping <= 30
    assert f"{tipping} of them tip it" in verdict.reasons[1]

    def with_losses(lost):
        return judged(counts(60 + 30 - lost, 900, 40 + lost)).evidence

    assert with_losses(tipping).log_e < verdict.evidence.threshold <= with_losses(tipping - 1).log_e


def test_rollback_must_hold_with_every_missing_disagreement_a_win():
    assert judged(counts(10, 300, 60)).verdict == "ROLLBACK"
    verdict = judged(counts(10, 300, 60, missing_challenger_positive=40))
    assert verdict.verdict == "KEEP_COLLECTING"
    assert verdict.evidence.rollback_log_e >= verdict.evidence.rollback_threshold > verdict.evidence.rollback_log_e_best


def test_missing_agreements_are_ties_whatever_their_truth():
    verdict = judged(counts(60, 900, 40, missing_agreements=500))
    assert verdict.evidence.log_e == judged(counts(60, 900, 40)).evidence.log_e
    assert verdict.evidence.log_e_worst == pytest.approx(judged(counts(60, 1400, 40)).evidence.log_e)


def test_agreement_without_any_truth_promotes_nobody():
    assert judged(counts(0, 0, 0, missing_agreements=5000)).verdict == "KEEP_COLLECTING"


def test_missing_profit_is_counted_at_its_worst_and_best_price():
    rules = superiority(metric="profit", false_positive_cost=0.2)
    evidence = judged(counts(40, 900, 10, missing_champion_positive=5, missing_challenger_positive=7), rules).evidence
    worst = judged(counts(40, 900, 15, losses_negative=7), rules).evidence
    best = judged(counts(47, 900, 10, wins_negative=5), rules).evidence
    assert evidence.log_e_worst == pytest.approx(worst.log_e)
    assert evidence.rollback_log_e_best == pytest.approx(best.rollback_log_e)


def test_promotion_waits_for_cohorts_and_customers_and_rollback_does_not():
    rules = policy(min_cohorts=3, min_matured=5000)
    good = judged(counts(60, 900, 40), rules)
    assert good.verdict == "KEEP_COLLECTING"
    assert "1000 customers have matured; a promotion needs 5000" in good.reasons
    assert "1 cohorts have matured; a promotion needs 3" in good.reasons
    assert judged(counts(10, 300, 60), rules).verdict == "ROLLBACK"
    days = [cohort(rules, counts(120, 1800, 80), day=day) for day in range(3)]
    assert judge(days, rules, EXPERIMENT).verdict == "PROMOTE"
    one_day = [cohort(rules, counts(120, 1800, 80), revision=revision) for revision in (2, 3, 4)]
    assert judge(one_day, rules, EXPERIMENT).verdict == "KEEP_COLLECTING"


def test_a_split_that_is_not_the_one_in_the_file_makes_the_verdict_invalid():
    rules = policy()
    skewed = cohort(rules, counts(60, 900, 40, answered_challenger=380), mode="split", split=0.5)
    verdict = judge([skewed], rules, EXPERIMENT)
    assert verdict.verdict == "INVALID"
    assert "380 of 1000" in verdict.reasons[0]
    even = cohort(rules, counts(60, 900, 40, answered_challenger=495), mode="split", split=0.5)
    assert judge([even], rules, EXPERIMENT).verdict == "PROMOTE"
    in_shadow = cohort(rules, counts(60, 900, 40))
    assert judge([in_shadow], rules, EXPERIMENT).evidence.srm_log_e == 0


def test_the_split_is_checked_phase_by_phase_and_never_pooled_over_a_ramp():
    rules = policy()
    ramp = [
        cohort(rules, counts(60, 900, 40, answered_challenger=10), mode="split", split=0.01, revision=3),
        cohort(rules, counts(60, 900, 40, answered_challenger=500), mode="split", split=0.5, revision=4, day=1),
    ]
    verdict = judge(ramp, rules, EXPERIMENT)
    assert verdict.verdict == "PROMOTE"
    each = [judge([phase], rules, EXPERIMENT).evidence.srm_log_e for phase in ramp]
    assert verdict.evidence.srm_log_e == pytest.approx(sum(each))
    # Skewed against each other, the phases would add up to a share that looks right.
    hidden = [
        cohort(rules, counts(0, 1000, 0, answered_challenger=380), mode="split", split=0.5, revision=3),
        cohort(rules, counts(0, 1000, 0, answered_challenger=620), mode="split", split=0.5, revision=4, day=1),
    ]
    assert judge(hidden, rules, EXPERIMENT).verdict == "INVALID"


def test_a_champion_that_answers_in_a_split_of_one_cannot_be():
    rules = policy()
    everybody = cohort(rules, counts(60, 900, 40, answered_challenger=1000), mode="split", split=1.0)
    assert judge([everybody], rules, EXPERIMENT).verdict == "PROMOTE"
    not_all = cohort(rules, counts(60, 900, 40, answered_challenger=999), mode="split", split=1.0)
    assert judge([not_all], rules, EXPERIMENT).verdict == "INVALID"


def test_a_ledger_of_another_policy_or_experiment_is_invalid():
    other = policy(margin=0.03)
    verdict = judge([cohort(policy(), counts(60, 900, 40))], other, EXPERIMENT)
    assert verdict.verdict == "INVALID"
    assert "policy_changed" in verdict.reasons[0]
    stranger = msgspec.structs.replace(EXPERIMENT, salt="other")
    assert judge([cohort(policy(), counts(60, 900, 40))], policy(), stranger).verdict == "INVALID"


@pytest.mark.parametrize(
    "broken",
    [
        {"wins_positive": -1, "n": 999},
        {"n": 5},
        {"answered_champion": 3},
    ],
)
def test_counts_that_contradict_each_other_are_invalid_and_never_a_promotion(broken):
    verdict = judged(msgspec.structs.replace(counts(60, 900, 40), **broken))
    assert verdict.verdict == "INVALID"
    assert verdict.evidence is None


def test_a_failure_to_compute_is_invalid_and_never_a_promotion(monkeypatch):
    from validation.judge import payoffs

    monkeypatch.setattr(payoffs, "payoff_log_wealth", lambda *_: math.nan)
    assert judged(counts(60, 900, 40)).verdict == "INVALID"

    def fail(*_):
        raise ZeroDivisionError("of something")

    monkeypatch.setattr(payoffs, "payoff_log_wealth", fail)
    assert judged(counts(60, 900, 40)).verdict == "INVALID"


def test_the_verdict_is_the_interval_crossing_the_margin():
    promoted, kept = judged(counts(60, 900, 40)), judged(counts(40, 900, 60))
    assert promoted.evidence.lower > -0.02
    assert kept.evidence.lower < -0.02 < kept.evidence.upper


def test_accuracies_and_spread_are_told():
    rules = policy()
    two = [cohort(rules, counts(3, 6, 1, ties_right=5)), cohort(rules, counts(1, 6, 3, ties_right=5), day=1)]
    evidence = judge(two, rules, EXPERIMENT).evidence
    assert (evidence.champion_accuracy, evidence.challenger_accuracy) == (0.7, 0.7)
    assert evidence.spread == (pytest.approx(-0.2), pytest.approx(0.2))


def test_a_verdict_survives_json():
    verdict = judged(counts(60, 900, 40), as_of=START + timedelta(days=31))
    assert verdict.provisional
    assert msgspec.json.decode(msgspec.json.encode(verdict), type=Verdict) == verdict
    assert verdict.challenger == CHALLENGER


numbers = st.integers(0, 80)


@settings(max_examples=60, deadline=None)
@given(
    numbers,
    numbers,
    numbers,
    numbers,
    numbers,
    st.integers(0, 20),
    st.integers(0, 20),
    st.sampled_from([None, 0.2, 3.0]),
)
def test_exchanging_the_arms_exchanges_the_verdicts(wp, wn, ties, lp, ln, m1, m2, cost):
    rules = superiority(metric="accuracy" if cost is None else "profit", false_positive_cost=cost)
    one = counts(
        wp, ties, lp, wins_negative=wn, losses_negative=ln, missing_champion_positive=m1, missing_challenger_positive=m2
    )
    two = counts(
        lp, ties, wp, wins_negative=ln, losses_negative=wn, missing_champion_positive=m2, missing_challenger_positive=m1
    )
    here, there = judged(one, rules), judged(two, rules)
    exchanged = {"PROMOTE": "ROLLBACK", "ROLLBACK": "PROMOTE", "KEEP_COLLECTING": "KEEP_COLLECTING"}
    assert there.evidence.rollback_log_e == pytest.approx(here.evidence.log_e)
    assert there.evidence.lower == pytest.approx(-here.evidence.upper, abs=1e-9)
    if min(here.evidence.matured, wp + wn + lp + ln + ties) >= 10:
        assert there.verdict == exchanged[here.verdict]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(numbers, numbers, numbers), min_size=1, max_size=6), st.randoms())
def test_neither_order_nor_division_into_cohorts_changes_what_is_decided(days, random):
    rules = policy()
    ledger = [cohort(rules, counts(*of), day=day) for day, of in enumerate(days)]
    shuffled = ledger[:]
    random.shuffle(shuffled)
    whole = cohort(rules, counts(*(sum(column) for column in zip(*days, strict=True))))
    first, again, at_once = (judge(of, rules, EXPERIMENT) for of in (ledger, shuffled, [whole]))
    assert first == again
    assert (first.verdict, first.evidence.log_e, first.reasons) == (
        at_once.verdict,
        at_once.evidence.log_e,
        at_once.reasons,
    )
