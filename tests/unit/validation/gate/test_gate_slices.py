import numpy as np
import pytest
from gate_evidence import CONTRACT, answers, columns_of, evidence, judge

from validation.gate.checks import KINDS
from validation.gate.groups import groups_by, pairs_of, slices_of

Slices, Against = KINDS["slices"], KINDS["slices_against_champion"]


def columns(n, seed=0):
    rng = np.random.default_rng(seed)
    charge = [
        None if blank else float(value)
        for blank, value in zip(rng.random(n) < 0.1, rng.uniform(0, 120, n), strict=True)
    ]
    return columns_of(
        n,
        tenure=rng.integers(0, 73, n).tolist(),
        charge=charge,
        gender=rng.choice(["Female", "Male"], n).tolist(),
        plan=rng.choice(["monthly", "yearly"], n).tolist(),
    )


def test_slices_are_every_category_three_ranges_and_what_is_missing():
    found = slices_of(CONTRACT, columns(900))
    assert [part.name.partition("=")[0] for part in found] == [
        *["tenure"] * 3, *["charge"] * 4, *["gender"] * 2, *["plan"] * 2,
    ]  # fmt: skip
    assert sum(part.n for part in found if part.name.startswith("tenure")) == 900
    assert "charge=missing" in {part.name for part in found}
    thirds = [part.n for part in found if part.name.startswith("tenure")]
    assert max(thirds) - min(thirds) < 60


def test_equal_values_stay_together_and_a_constant_feature_has_no_slices():
    tied = columns_of(300, tenure=[0] * 200 + [5] * 50 + [9] * 50)
    found = {part.name: part.n for part in slices_of(CONTRACT, tied)}
    assert found == {"tenure=[0, 5)": 200, "tenure=[5, 9]": 100}
    assert slices_of(CONTRACT, columns_of(50)) == []


def test_pairs_cross_features_and_need_rows():
    found = pairs_of(slices_of(CONTRACT, columns(900)), 50)
    assert "gender=Female, plan=monthly" in {part.name for part in found}
    assert all(part.n >= 50 for part in found)
    assert not any(part.name.count("gender") > 1 for part in found)


def test_groups_of_two_attributes_are_crossed():
    found = groups_by(("a", "b"), {"a": ("x", "x", "y"), "b": ("0", "1", "0")})
    assert [(group.name, group.n) for group in found] == [("a=x, b=0", 1), ("a=x, b=1", 1), ("a=y, b=0", 1)]


def planted(n=2000, share=0.4, seed=0):
    """Right on nine of ten, but in one slice: yearly plans, of which so many are wrong."""
    rng = np.random.default_rng(seed + 100)
    table = columns(n, seed)
    bad = np.array(table["plan"]) == "yearly"
    right = np.where(bad, rng.random(n) > share, rng.random(n) > 0.1)
    truth = rng.random(n) < 0.5
    return table, right, truth


def sliced(table, right, truth, metric="accuracy", at_least=0.75):
    return judge(Slices(metric=metric, at_least=at_least), evidence(answers(right, truth), truth=truth, columns=table))


def test_a_bad_slice_is_found_by_name():
    table, right, truth = planted()
    (result,) = sliced(table, right, truth, at_least=0.68)
    assert result.status == "FAIL"
    assert "plan=yearly" in result.reason
    assert result.parts[0].name == "plan=yearly"
    assert result.parts[0].status == "FAIL"
    assert result.value == result.parts[0].value < 0.65


def test_what_looks_bad_within_chance_is_named_and_no_failure():
    """A hundred yearly plans, of which 73 are right: below 75 %, and by far no evidence against it."""
    table = columns(600)
    table["plan"] = ["yearly"] * 100 + ["monthly"] * 500
    right = np.array([True] * 73 + [False] * 27 + [True] * 500)
    (result,) = sliced(table, right, np.arange(600) % 2 == 0)
    assert result.status == "PASS"
    assert "no slice is shown not to be at least 0.75" in result.reason
    assert "1 look as if they were not: plan=yearly 0.730 on 100" in result.reason
    assert result.parts[0].note == "looks bad; not shown beyond chance"


def test_slices_with_few_rows_are_not_judged_and_say_so():
    table = columns(600)
    table["plan"] = ["yearly"] * 20 + ["monthly"] * 580
    right = np.array([False] * 20 + [True] * 580)
    truth = np.arange(600) % 2 == 0
    (result,) = sliced(table, right, truth)
    assert result.status == "PASS"
    assert "1 with fewer than 50 rows are not judged" in result.reason
    assert result.parts[-1].note == "too few rows to judge"


def test_no_slice_to_judge_is_an_error():
    truth = np.arange(40) % 2 == 0
    found = evidence(answers(np.ones(40, dtype=bool), truth), truth=truth, columns=columns(40))
    (result,) = judge(Slices(metric="accuracy", at_least=0.75), found)
    assert (result.status, result.reason) == ("ERROR", "no slice has 50 rows, so none can be judged")


def test_equal_slices_are_accused_as_rarely_as_the_rate_says():
    """Every slice exactly at its floor, 200 holdouts: any accusation is false."""
    accused = 0
    table = columns(1400)
    rng = np.random.default_rng(9)
    for _ in range(200):
        truth = rng.random(1400) < 0.5
        found = evidence(answers(rng.random(1400) < 0.8, truth), truth=truth, columns=table)
        (result,) = judge(Slices(metric="accuracy", at_least=0.8), found)
        accused += result.status == "FAIL"
    assert accused <= 200 * 0.05 + 3 * (200 * 0.05 * 0.95) ** 0.5


def test_a_slice_that_the_champion_served_better_is_found():
    table, right, truth = planted(share=0.2)
    champion = np.random.default_rng(3).random(2000) > 0.1
    found = evidence(answers(right, truth), answers(champion, truth), truth=truth, columns=table)
    (result,) = judge(Against(margin=0.03), found)
    assert result.status == "FAIL"
    assert "plan=yearly" in result.reason
    swapped_round = evidence(answers(champion, truth), answers(right, truth), truth=truth, columns=table)
    (swapped,) = judge(Against(margin=0.03), swapped_round)
    assert swapped.status == "PASS"


def test_depth_two_finds_what_single_slices_dilute():
    rng = np.random.default_rng(5)
    table = columns(4000)
    bad = (np.array(table["plan"]) == "yearly") & (np.array(table["gender"]) == "Male")
    right = np.where(bad, rng.random(4000) > 0.35, rng.random(4000) > 0.05)
    truth = rng.random(4000) < 0.5
    found = evidence(answers(right, truth), truth=truth, columns=table)
    assert judge(Slices(metric="accuracy", at_least=0.75), found)[0].status == "PASS"
    (result,) = judge(Slices(metric="accuracy", at_least=0.75, depth=2), found)
    assert result.status == "FAIL"
    assert "gender=Male, plan=yearly" in result.reason


@pytest.mark.parametrize("metric", ["recall_positive", "precision_positive", "recall_negative"])
def test_a_share_of_some_rows_counts_those_alone(metric):
    table, right, truth = planted()
    (result,) = sliced(table, right, truth, metric, 0.1)
    part = next(p for p in result.parts if p.name == "plan=monthly")
    rows = np.array(table["plan"]) == "monthly"
    flagged = np.where(right, truth, ~truth)
    chosen = {"recall_positive": truth, "precision_positive": flagged, "recall_negative": ~truth}[metric] & rows
    assert part.n == chosen.sum()
    assert part.value == pytest.approx(right[chosen].mean())
