import dataclasses
import math

import msgspec
import numpy as np
import pytest
from gate_evidence import CONTRACT, answers, evidence, judge, right_on, subject

from validation.gate.checks import KINDS, run_check, run_checks
from validation.gate.checks.rule import Limit, rows_needed
from validation.gate.evidence import Number
from validation.gate.intervals import Measured
from validation.gate.perturbing import add_noise
from validation.gate.report import verdict_of

AccuracyGap, McNemar, Noise, Performance = (KINDS[k] for k in ("accuracy_gap", "mcnemar", "noise", "performance"))


def performance(at_least, judge_by="point", metric="accuracy"):
    return Performance(metric=metric, at_least=at_least, judge_by=judge_by)


def gap(at_most=0.1, attributes=("gender",), judge_by="point"):
    return AccuracyGap(attributes=attributes, at_most=at_most, judge_by=judge_by)


def noise(below=0.1, deviations=(1.0,), judge_by="point"):
    return Noise(deviations=deviations, accuracy_drop_below=below, judge_by=judge_by)


@pytest.mark.parametrize(
    ("relation", "value", "low", "high", "by_point", "by_interval"),
    [
        ("at least", 0.8, 0.75, 0.85, "PASS", "PASS"),
        ("at least", 0.75, 0.7, 0.8, "PASS", "INCONCLUSIVE"),
        ("at least", 0.7, 0.65, 0.7499, "FAIL", "FAIL"),
        ("at least", 0.7, 0.65, 0.75, "FAIL", "INCONCLUSIVE"),
        ("at most", 0.75, 0.7, 0.75, "PASS", "PASS"),
        ("at most", 0.8, 0.7, 0.9, "FAIL", "INCONCLUSIVE"),
        ("below", 0.75, 0.7, 0.8, "FAIL", "INCONCLUSIVE"),
        ("below", 0.74, 0.7, 0.749, "PASS", "PASS"),
        ("at least", math.nan, 0.8, 0.9, "ERROR", "ERROR"),
        ("at least", 0.8, math.nan, 0.9, "PASS", "ERROR"),
    ],
)
def test_a_limit_is_judged_by_the_number_or_by_its_interval(relation, value, low, high, by_point, by_interval):
    measured = Measured(value, low, high, 10)
    assert Limit(relation, 0.75, "point").judge(measured) == by_point
    assert Limit(relation, 0.75, "interval").judge(measured) == by_interval


def test_accuracy_reaches_its_bound_and_the_champion_stands_beside_it():
    (result,) = judge(performance(0.75), evidence(answers(right_on(80)), answers(right_on(70))))
    assert (result.status, result.value, result.bound, result.champion, result.n) == ("PASS", 0.8, 0.75, 0.7, 100)
    assert result.allowed == "at least 0.75"


def test_accuracy_below_its_bound_fails():
    (result,) = judge(performance(0.75), evidence(answers(right_on(74))))
    assert result.status == "FAIL"
    assert result.reason.startswith("0.7400 (95 % interval")
    assert result.reason.endswith("must be at least 0.75")


def test_hundred_rows_do_not_decide_between_80_and_75_percent():
    (result,) = judge(performance(0.75, "interval"), evidence(answers(right_on(80))))
    assert result.status == "INCONCLUSIVE"
    assert "100 rows do not decide it" in result.reason


def test_hundred_rows_decide_between_95_and_75_percent():
    (better,) = judge(performance(0.75, "interval"), evidence(answers(right_on(95))))
    (worse,) = judge(performance(0.75, "interval"), evidence(answers(right_on(50))))
    assert (better.status, worse.status) == ("PASS", "FAIL")


def test_what_is_inconclusive_says_how_many_rows_would_decide_it():
    (result,) = judge(performance(0.75, "interval"), evidence(answers(right_on(80))))
    # Wilson's interval of 80 of 100 is .7112 to .8666: SE .0397; 100 ((1.96 + .8416) .0397 / .05)^2 = 495.
    assert result.rows_needed == pytest.approx(495, abs=2)
    assert f"about {result.rows_needed} would" in result.reason
    assert rows_needed(Measured(0.75, 0.7, 0.8, 100), 0.75) is None
    (at_the_bound,) = judge(performance(0.75, "interval"), evidence(answers(right_on(75))))
    assert (at_the_bound.status, at_the_bound.rows_needed) == ("INCONCLUSIVE", None)
    assert "no number of rows would" in at_the_bound.reason


def test_policy_may_let_the_number_decide_where_the_interval_does_not():
    rule = msgspec.structs.replace(performance(0.75, "interval"), on_inconclusive="point")
    (result,) = judge(rule, evidence(answers(right_on(80))))
    assert result.status == "PASS"
    assert "by the number alone, as its interval holds the bound" in result.reason
    (result,) = judge(rule, evidence(answers(right_on(74))))
    assert result.status == "FAIL"


def test_an_undefined_metric_is_an_error():
    truth = np.zeros(10, dtype=bool)
    (result,) = judge(performance(0.8, metric="roc_auc"), evidence(np.full(10, 0.2), truth=truth))
    assert (result.status, result.value) == ("ERROR", None)
    assert "undefined" in result.reason


def test_a_bound_that_no_model_falls_below_on_this_holdout_is_an_error():
    # Half of the rows are negative: who flags just those loses half a customer a row, or a tenth at a cost of a fifth.
    found = evidence(answers(right_on(80)))
    cheap = msgspec.structs.replace(CONTRACT, false_positive_cost=0.2)
    for contract, least in ((found.contract, -0.5), (cheap, -0.1)):
        there = dataclasses.replace(found, contract=contract)
        (never,) = judge(performance(least, metric="profit"), there)
        assert (never.status, "so the rule never fails" in never.reason) == ("ERROR", True)
        (may_fail,) = judge(performance(least + 0.01, metric="profit"), there)
        assert may_fail.status == "PASS"


@pytest.mark.parametrize("wrong", [math.nan, 1.5, -0.1, math.inf])
def test_an_answer_that_is_no_probability_makes_every_check_an_error(wrong):
    probabilities = answers(right_on(90))
    probabilities[3] = wrong
    found = evidence(probabilities, answers(right_on(80)), groups={"gender": ("a", "b") * 50})
    results = judge(performance(0.1), found) + judge(gap(), found) + judge(McNemar(alpha=0.05), found)
    assert [result.status for result in results] == ["ERROR"] * 3
    assert results[0].reason == "the candidate gives no probability in [0, 1] for 1 of 100 rows"


def test_a_champion_that_answers_nan_is_an_error_too():
    (result,) = judge(performance(0.1), evidence(answers(right_on(90)), np.full(100, math.nan)))
    assert result.status == "ERROR"
    assert "the champion gives no probability" in result.reason


def test_the_cut_is_compared_in_double_precision_as_the_service_does():
    rows = np.zeros((1, 1), dtype=np.float32)
    nearest = np.float32(0.7)  # .699999988: below .7, and equal to it where the cut is rounded to float32 too
    found = subject(lambda _: np.array([nearest]), rows, cut=0.7)
    assert not found.positives[0]


def test_the_gap_between_groups_is_held_against_its_bound_beside_the_champions():
    groups = {"gender": ("Female", "Male") * 50}
    female = np.arange(100) % 2 == 0
    candidate = np.where(female, np.arange(100) % 10 != 0, True)  # 40 of 50 and 50 of 50
    champion = np.where(female, np.arange(100) % 20 != 0, True)  # 45 of 50 and 50 of 50
    (result,) = judge(gap(0.15), evidence(answers(candidate), answers(champion), groups=groups))
    assert result.name == "accuracy_gap[gender]"
    assert result.status == "FAIL"
    assert (result.value, result.champion) == pytest.approx((0.2, 0.1))
    assert result.details["accuracy[gender=Female]"] == 0.8
    (result,) = judge(gap(0.2), evidence(answers(candidate), groups=groups))
    assert result.status == "PASS"
    (result,) = judge(gap(0.15, judge_by="interval"), evidence(answers(candidate), groups=groups))
    assert result.status == "INCONCLUSIVE"


def test_a_fairness_rule_about_an_unprotected_attribute_is_an_error_and_never_a_pass():
    (result,) = judge(gap(attributes=("age",)), evidence(answers(right_on(100)), groups={"gender": ("a", "b") * 50}))
    assert result.status == "ERROR"
    assert "the gap of age, and the contract protects gender" in result.reason


def test_all_protected_attributes_are_judged_one_by_one():
    groups = {"gender": ("a", "b") * 50, "senior": ("0",) * 50 + ("1",) * 50}
    results = judge(gap(attributes="all"), evidence(answers(right_on(100)), groups=groups))
    assert [(r.name, r.status) for r in results] == [("accuracy_gap[gender]", "PASS"), ("accuracy_gap[senior]", "PASS")]


def test_all_of_no_protected_attribute_is_an_error():
    (result,) = judge(gap(attributes="all"), evidence(answers(right_on(100))))
    assert result.status == "ERROR"
    assert "the contract protects nothing" in result.reason


def test_a_group_that_stands_alone_is_an_error():
    (result,) = judge(gap(), evidence(answers(right_on(100)), groups={"gender": ("a",) * 100}))
    assert result.status == "ERROR"


def noisy_evidence(deviation=1.0, seed=1, n=2000, value=0.55):
    """All rows at one value, right while it stays above the cut; the champion's cut is far below."""
    rows = np.full((n, 1), value, dtype=np.float32)

    def score(found):
        return found[:, 0]

    found = evidence(
        score, truth=np.ones(n, dtype=bool), numbers=(Number("x", 0, None, deviation, 0.0, 1.0),), seed=seed
    )
    return dataclasses.replace(
        found, rows=rows, candidate=subject(score, rows), champion=subject(score, rows, "champion", cut=0.05)
    )


def test_the_drop_under_noise_is_the_normal_tail_below_the_cut():
    # .55 + .05 z falls below .5 with probability Phi(-1) = .1587; below the champion's .05 practically never.
    (result,) = judge(noise(0.1), noisy_evidence(deviation=0.05))
    assert result.status == "FAIL"
    assert result.value == pytest.approx(0.15866, abs=0.005)
    assert result.low < 0.15866 < result.high
    assert result.champion == 0.0
    assert result.details["draws"] == 20
    # 20 draws of 2,000 rows: sqrt(.1587 * .8413 / 40,000).
    assert result.details["standard_error_of_draws"] == pytest.approx(0.00183, abs=0.001)


def test_noise_is_in_units_of_the_training_deviation():
    assert judge(noise(0.1, (1.0,)), noisy_evidence(deviation=0.05))[0].value == pytest.approx(
        judge(noise(0.1, (0.5,)), noisy_evidence(deviation=0.1))[0].value, abs=0.01
    )
    assert judge(noise(0.1, (0.1,)), noisy_evidence(deviation=0.05))[0].status == "PASS"


def test_a_drop_near_its_bound_is_inconclusive_by_interval():
    (result,) = judge(noise(0.159, judge_by="interval"), noisy_evidence(deviation=0.05, n=200))
    assert result.status == "INCONCLUSIVE"


def test_each_size_of_noise_is_a_check_of_its_own():
    results = judge(noise(0.5, (0.01, 0.05, 0.1)), noisy_evidence())
    assert [r.name for r in results] == [f"accuracy_drop[noise {size}]" for size in ("0.01", "0.05", "0.1")]


def test_noise_keeps_to_the_contracts_range_and_leaves_missing_values_missing():
    rows = np.array([[0.0, 0], [1.0, 0], [0.5, 1]], dtype=np.float32)
    noisy = add_noise(rows, (Number("x", 0, 1, 100.0, 0.0, 1.0),), 1.0, np.random.default_rng(0))
    assert set(noisy[:2, 0]) <= {0.0, 1.0}
    assert noisy[2].tolist() == [0.5, 1.0]
    assert rows[0, 0] == 0.0


def test_noise_on_a_contract_without_numbers_is_an_error():
    (result,) = judge(noise(), evidence(answers(right_on(90))))
    assert result.status == "ERROR"
    assert "no numeric feature" in result.reason


def test_noise_without_a_training_deviation_is_an_error():
    (result,) = judge(noise(), noisy_evidence(deviation=None))
    assert (result.status, result.reason) == ("ERROR", "reference.json gives no standard deviation for x")


def pair(b, c, n=100):
    """Candidate alone right on b rows, champion alone on c, both on the rest."""
    candidate, champion = np.ones(n, dtype=bool), np.ones(n, dtype=bool)
    candidate[:c] = False
    champion[c : c + b] = False
    return evidence(answers(candidate), answers(champion))


def test_a_candidate_that_loses_seven_of_eight_discordant_rows_is_significantly_worse():
    # Bentur 2009 in Fagerland et al. 2013: b = 1, c = 7 gives mid-p .0390625.
    (result,) = judge(McNemar(alpha=0.05), pair(1, 7))
    assert result.status == "FAIL"
    assert result.value == pytest.approx(0.0390625)
    assert (result.details["b"], result.details["c"]) == (1, 7)
    assert result.details["difference"] == pytest.approx(-0.06)


def test_the_same_result_the_other_way_round_is_no_failure():
    (result,) = judge(McNemar(alpha=0.05), pair(7, 1))
    assert (result.status, result.value) == ("PASS", pytest.approx(0.0390625))


def test_the_same_loss_passes_a_stricter_level():
    assert judge(McNemar(alpha=0.03), pair(1, 7))[0].status == "PASS"


def test_a_first_model_is_not_applicable_where_policy_says_so_and_an_error_where_not():
    found = evidence(answers(right_on(90)))
    (allowed,) = judge(McNemar(alpha=0.05), found, bootstrap=True)
    (forbidden,) = judge(McNemar(alpha=0.05), found)
    assert (allowed.status, allowed.reason[:27]) == ("NOT_APPLICABLE", "not applicable: first model")
    assert forbidden.status == "ERROR"
    assert verdict_of([allowed]) == "ERROR"


def test_a_check_that_raises_anything_is_an_error_with_its_first_line():
    class Broken:
        name = "broken"
        rule = McNemar(alpha=0.05)

        def run(self, evidence, rng):
            raise KeyError("no such\nthing")

    result = run_check(Broken(), evidence(answers(right_on(90))))
    assert (result.status, result.reason) == ("ERROR", "KeyError: 'no such\\nthing'")


def test_the_seed_decides_every_number_and_other_rules_decide_none():
    rules = (performance(0.5, metric="f1_weighted"), noise(0.5, (0.5, 1.0)))
    found = noisy_evidence()
    truth = np.arange(2000) % 2 == 0
    found = dataclasses.replace(found, truth=truth)
    once, again, alone = (run_checks(some, found, bootstrap=False) for some in (rules, rules, rules[1:]))
    assert once == again
    assert once[1:] == alone
    assert once != run_checks(rules, dataclasses.replace(found, seed=2), bootstrap=False)


def test_a_champion_beside_it_changes_none_of_the_candidates_numbers():
    found = noisy_evidence()
    with_champion, without = judge(noise(0.5), found), judge(noise(0.5), dataclasses.replace(found, champion=None))
    assert [(r.value, r.low, r.high) for r in with_champion] == [(r.value, r.low, r.high) for r in without]
