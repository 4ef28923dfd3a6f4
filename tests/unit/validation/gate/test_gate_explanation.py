"""Explanation sanity: what models lean on, and in which direction."""

import numpy as np
import pytest
from gate_customers import COLUMN, N, found_for, rule, sensible, table
from gate_evidence import facts, judge

from validation.gate.checks.importance import _loss_of, _placements
from validation.statistics import delong


def test_what_a_model_leans_on_is_found():
    (result,) = judge(
        rule("importance", top=("tenure", "plan"), first=2, most_share=0.95), found_for(sensible, sensible)
    )
    assert result.status == "PASS"
    assert [part.name for part in result.parts[:2]] == ["tenure", "plan"]
    assert result.parts[-1].value == 0.0
    assert all(part.champion == part.value for part in result.parts)


def test_the_interval_of_an_importance_is_delongs():
    rng = np.random.default_rng(3)
    truth = rng.random(300) < 0.4
    intact, shuffled = (np.round(truth * weight + rng.normal(size=300), 1) for weight in (1.5, 0.5))
    loss = _loss_of(_placements(truth, intact) - _placements(truth, shuffled), truth, is_read=True)
    known = delong(truth, shuffled, intact)
    assert loss.value == pytest.approx(known.difference)
    assert (loss.low, loss.high) == pytest.approx(known.interval())


def test_a_model_that_leans_on_one_thing_alone_or_on_the_wrong_one_is_caught():
    def by_gender(rows):
        return np.where(rows[:, COLUMN["gender=Female"]] == 1, 0.9, 0.1).astype(np.float32)

    truth = np.array(table()["gender"]) == "Female"
    (result,) = judge(rule("importance", top=("tenure",), first=1), found_for(by_gender, truth=truth))
    assert result.status == "FAIL"
    assert "tenure must be among the first 1" in result.reason
    assert "gender alone carries 100%" in result.reason


def test_a_feature_that_was_to_be_left_out_and_is_read_is_caught():
    (result,) = judge(rule("importance"), found_for(sensible, known=facts(left_out=("tenure",))))
    assert result.status == "FAIL"
    assert "tenure was to be left out and changes answers" in result.reason
    (result,) = judge(rule("importance", most_share=0.99), found_for(sensible, known=facts(left_out=("gender",))))
    assert result.status == "PASS"


def test_a_top_feature_that_the_contract_lacks_is_an_error():
    (result,) = judge(rule("importance", top=("age",)), found_for(sensible))
    assert result.status == "ERROR"
    assert "top names age, and the contract has tenure, charge" in result.reason


def test_a_constant_model_leans_on_nothing_and_that_is_an_error():
    (result,) = judge(rule("importance"), found_for(lambda rows: np.full(len(rows), 0.3, dtype=np.float32)))
    assert result.status == "ERROR"


EXPECT = {"tenure": "falling", "plan": ("monthly", "yearly")}


def test_directions_that_hold():
    results = judge(rule("direction", expect=EXPECT), found_for(sensible, sensible))
    assert [(r.name, r.status, r.value) for r in results] == [
        ("direction[tenure]", "PASS", 0.0),
        ("direction[plan]", "PASS", 0.0),
    ]
    assert results[0].reason.startswith("from 0 to 72 the mean probability goes from 0.86")
    tenure = results[0].parts
    assert (tenure[0].name, tenure[-1].name, len(tenure)) == ("tenure 0", "tenure 72", 9)
    rows = found_for(sensible).rows
    rows[:, COLUMN["tenure"]] = 72
    assert tenure[-1].value == tenure[-1].champion == pytest.approx(sensible(rows).astype(float).mean())


def test_directions_that_are_turned_round():
    results = judge(rule("direction", expect=EXPECT), found_for(lambda rows: 1 - sensible(rows)))
    assert [r.status for r in results] == ["FAIL", "FAIL"]
    assert "100.0% of rows move the other way by more than 0.1; it must be falling: on average" in results[0].reason


def test_a_model_that_does_not_read_what_it_ought_to_follow_is_caught():
    results = judge(rule("direction", expect={"charge": "rising"}), found_for(sensible))
    assert [(r.status, r.value) for r in results] == [("FAIL", 0.0)]
    assert results[0].reason.endswith("it must be rising: on average it does not move that way")


def test_a_dent_on_the_way_is_caught_though_the_ends_are_right():
    def dented(rows):
        tenure = rows[:, COLUMN["tenure"]]
        return (sensible(rows) * np.where((tenure > 10) & (tenure < 30), 0.2, 1)).astype(np.float32)

    held = {"expect": {"tenure": "falling"}, "against_at_most": 0.4}
    (result,) = judge(rule("direction", **held), found_for(dented))
    assert result.status == "FAIL"
    assert "the mean moves the other way by 0." in result.reason
    (ends,) = judge(rule("direction", **held, at="ends"), found_for(dented))
    assert (ends.status, ends.value, len(ends.parts)) == ("PASS", 0.0, 9)
    assert judge(rule("direction", **held, at="ends"), found_for(lambda rows: 1 - sensible(rows)))[0].status == "FAIL"


def test_rows_that_go_astray_are_counted_though_the_mean_is_right():
    def for_women_alone(rows):
        turned = rows.copy()
        turned[:, COLUMN["tenure"]] = 72 - rows[:, COLUMN["tenure"]]
        odd = (rows[:, COLUMN["gender=Female"]] == 1) & (rows[:, COLUMN["charge"]] < 60)
        return np.where(odd, sensible(turned), sensible(rows)).astype(np.float32)

    columns = table()
    odd = np.mean([g == "Female" and c < 60 for g, c in zip(columns["gender"], columns["charge"], strict=True)])
    (result,) = judge(rule("direction", expect={"tenure": "falling"}), found_for(for_women_alone))
    assert result.status == "FAIL"
    assert result.value == pytest.approx(odd)
    assert result.low < odd < result.high
    assert result.reason.endswith("it must be falling: at most 10% of rows may move the other way")


def test_a_missing_number_is_moved_as_if_it_were_there():
    columns = {**table(), "charge": [None if i % 2 else 50.0 + i % 60 for i in range(N)]}

    def by_charge(rows):
        return np.where(rows[:, COLUMN["charge=missing"]] == 1, 0.9, rows[:, COLUMN["charge"]] / 120).astype(np.float32)

    (result,) = judge(rule("direction", expect={"charge": "rising"}), found_for(by_charge, columns=columns))
    assert (result.status, result.value, result.parts[0].name) == ("PASS", 0.0, "charge 50")


@pytest.mark.parametrize(
    ("expect", "reason"),
    [
        ({"age": "rising"}, "the contract has no feature age"),
        ({"plan": "rising"}, "plan is categorical"),
        ({"tenure": ("a", "b")}, "tenure is numeric"),
        ({"plan": ("monthly", "weekly")}, "plan has no category 'weekly'"),
    ],
)
def test_an_expectation_that_fits_no_feature_is_an_error(expect, reason):
    (result,) = judge(rule("direction", expect=expect), found_for(sensible))
    assert result.status == "ERROR"
    assert reason in result.reason


def test_a_number_that_never_varies_has_no_range():
    columns = {**table(), "tenure": [5] * N}
    (result,) = judge(rule("direction", expect={"tenure": "falling"}), found_for(sensible, columns=columns))
    assert (result.status, result.reason) == (
        "ERROR", "tenure is 5 in every row of the holdout, so it has no range to move over",
    )  # fmt: skip
