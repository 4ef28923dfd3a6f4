import dataclasses

import numpy as np
import pytest
from gate_evidence import answers, evidence, judge

from validation.gate.checks import KINDS
from validation.gate.checks.fairness import MEASURES

Fairness, AccuracyGap = KINDS["fairness"], KINDS["accuracy_gap"]


def rule(measure="accuracy", at_most=0.1, judge_by="interval", **changes):
    given = {"attributes": ("gender",), "min_rows": 1, **changes}
    return Fairness(measures=(measure,), at_most=at_most, judge_by=judge_by, **given)


def two_groups(right_a, n_a, right_b, n_b):
    """So many answered right in the first group, so many in the second; alternating truths."""
    right = np.array([True] * right_a + [False] * (n_a - right_a) + [True] * right_b + [False] * (n_b - right_b))
    truth = np.arange(n_a + n_b) % 2 == 0
    return evidence(answers(right, truth), truth=truth, groups={"gender": ("a",) * n_a + ("b",) * n_b})


def test_the_gap_of_two_groups_has_newcombes_interval():
    # Newcombe 1998, table II, example (a): 56/70 against 48/80, method 10: .0524 to .3339.
    (result,) = judge(rule(), two_groups(56, 70, 48, 80))
    assert result.value == pytest.approx(0.2)
    assert (round(result.low, 4), round(result.high, 4)) == (0.0524, 0.3339)
    assert result.status == "INCONCLUSIVE"
    assert result.rows_needed > 150
    assert [(part.name, part.value) for part in result.parts] == [("gender=a", 0.8), ("gender=b", 0.6)]


def test_a_gap_has_no_sign_so_its_interval_ends_at_zero():
    (result,) = judge(rule(), two_groups(8, 10, 7, 10))
    assert result.low == 0.0
    assert result.high > result.value == pytest.approx(0.1)


def test_names_of_groups_do_not_matter():
    found = two_groups(90, 100, 70, 100)
    renamed = dataclasses.replace(
        found, groups={"gender": tuple({"a": "z", "b": "c"}[g] for g in found.groups["gender"])}
    )
    (one,), (other,) = judge(rule(), found), judge(rule(), renamed)
    assert (one.value, one.low, one.high, one.status) == (other.value, other.low, other.high, other.status)


def test_more_rows_decide_what_few_do_not():
    assert judge(rule(), two_groups(90, 100, 70, 100))[0].status == "INCONCLUSIVE"
    assert judge(rule(), two_groups(900, 1000, 700, 1000))[0].status == "FAIL"
    assert judge(rule(), two_groups(900, 1000, 880, 1000))[0].status == "PASS"


# Group a: tp 30, fn 10, fp 12, tn 48. Group b: tp 10, fn 10, fp 4, tn 76.
BY_HAND = {
    "accuracy": (0.78, 0.86),
    "selection_rate": (0.42, 0.14),
    "tpr": (0.75, 0.5),
    "fpr": (0.2, 0.05),
    "ppv": (30 / 42, 10 / 14),
    "calibration": (0.3 - 0.4, 0.3 - 0.2),
}


def table():
    truth = np.array([True] * 40 + [False] * 60 + [True] * 20 + [False] * 80)
    flags = [[1] * 30 + [0] * 10, [1] * 12 + [0] * 48, [1] * 10 + [0] * 10, [1] * 4 + [0] * 76]
    positives = np.concatenate(flags).astype(bool)
    return truth, positives, {"gender": ("a",) * 100 + ("b",) * 100}


@pytest.mark.parametrize("measure", MEASURES)
def test_every_measure_is_that_of_the_table(measure):
    truth, positives, groups = table()
    probabilities = np.where(positives, 0.9, 0.1)
    if measure == "calibration":
        probabilities = np.full(200, 0.3)
    (result,) = judge(rule(measure), evidence(probabilities, truth=truth, groups=groups))
    first, second = (part.value for part in result.parts)
    assert (first, second) == pytest.approx(BY_HAND[measure])
    assert result.value == pytest.approx(abs(first - second))
    assert result.low <= result.value <= result.high


def test_the_champion_stands_beside_each_group():
    truth, positives, groups = table()
    found = evidence(np.where(positives, 0.9, 0.1), np.where(truth, 0.9, 0.1), truth=truth, groups=groups)
    (result,) = judge(rule("tpr"), found)
    assert (result.champion, [part.champion for part in result.parts]) == (0.0, [1.0, 1.0])
    assert result.champion_low == 0.0


def test_crossed_attributes_are_judged_too_and_the_bad_crossing_is_named():
    n = 4000
    rng = np.random.default_rng(0)
    gender, senior = rng.choice(["F", "M"], n), rng.choice(["0", "1"], n)
    worst = (gender == "F") & (senior == "1")
    right = np.where(worst, np.arange(n) % 2 == 0, True)
    truth = np.arange(n) % 3 == 0
    groups = {"gender": tuple(gender), "senior": tuple(senior)}
    asked = rule(attributes="all", intersections=True, at_most=0.3, min_rows=30)
    results = judge(asked, evidence(answers(right, truth), truth=truth, groups=groups))
    assert [(r.name, r.status) for r in results] == [
        ("fairness[accuracy, gender]", "PASS"),
        ("fairness[accuracy, senior]", "PASS"),
        ("fairness[accuracy, gender x senior]", "FAIL"),
    ]
    assert min(results[2].parts, key=lambda part: part.value).name == "gender=F, senior=1"


def test_a_group_with_too_few_rows_is_named_and_not_compared():
    found = two_groups(90, 100, 3, 5)
    groups = {"gender": ("a",) * 60 + ("c",) * 40 + ("b",) * 5}
    (result,) = judge(rule(min_rows=30), dataclasses.replace(found, groups=groups))
    assert [(part.name, part.note) for part in result.parts] == [
        ("gender=a", ""),
        ("gender=b", "too few rows to compare"),
        ("gender=c", ""),
    ]


@pytest.mark.parametrize(
    ("found", "changes", "reason"),
    [
        (two_groups(9, 10, 9, 10), {"attributes": ("age",)}, "the gap of age, and the contract protects gender"),
        (two_groups(9, 10, 0, 0), {}, "a gap needs two groups"),
        (two_groups(9, 10, 9, 10), {"min_rows": 11}, "there are: gender=a 10, gender=b 10"),
    ],
)
def test_what_cannot_be_compared_is_an_error_and_never_a_pass(found, changes, reason):
    (result,) = judge(rule(**changes), found)
    assert result.status == "ERROR"
    assert reason in result.reason


def test_the_accuracy_gap_of_the_simple_policies_is_the_same_thing():
    found = two_groups(56, 70, 48, 80)
    (simple,) = judge(AccuracyGap(attributes=("gender",), at_most=0.1, judge_by="interval"), found)
    (full,) = judge(rule(), found)
    assert (simple.value, simple.low, simple.high, simple.status) == (full.value, full.low, full.high, full.status)
    assert (simple.name, simple.kind) == ("accuracy_gap[gender]", "accuracy_gap")


def test_the_largest_of_many_gaps_between_equal_groups_fails_as_rarely_as_it_says():
    rng = np.random.default_rng(1)
    n, failed = 1200, 0
    groups = {"gender": tuple(np.tile([f"g{k}" for k in range(6)], n // 6))}
    truth = np.arange(n) % 2 == 0
    for _ in range(200):
        found = evidence(answers(rng.random(n) < 0.8, truth), truth=truth, groups=groups)
        (result,) = judge(rule(at_most=0.0), found)
        failed += result.status == "FAIL"
    assert failed <= 200 * 0.05 + 3 * (200 * 0.05 * 0.95) ** 0.5


def test_a_first_model_is_judged_without_a_champion_beside_it():
    (result,) = judge(rule(), two_groups(90, 100, 88, 100))
    assert result.champion is None
