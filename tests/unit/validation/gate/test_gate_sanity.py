"""Stability, explanation, data and operation: models that are wrong in one way each, and are caught for it by name."""

import dataclasses

import msgspec
import numpy as np
import pytest
from gate_evidence import CONTRACT, columns_of, evidence, facts, judge, number, subject

from bentos.artifact import Binned, Encoder, Reference, RiskBand
from validation.gate.checks import KINDS
from validation.gate.checks.data import count_in_bins

N = 600
ENCODER = Encoder(CONTRACT)
COLUMN = {name: i for i, name in enumerate(ENCODER.columns)}


def rule(kind, **given):
    return KINDS[kind](**given)


def table(seed=0):
    rng = np.random.default_rng(seed)
    return columns_of(
        N,
        tenure=rng.integers(0, 73, N).tolist(),
        charge=rng.uniform(0, 120, N).tolist(),
        gender=rng.choice(["Female", "Male"], N).tolist(),
        plan=rng.choice(["monthly", "yearly"], N).tolist(),
    )


def sensible(rows):
    """Falls with tenure, and is higher for monthly plans."""
    logit = 1.5 - 0.06 * rows[:, COLUMN["tenure"]] + 1.0 * rows[:, COLUMN["plan=monthly"]]
    return (1 / (1 + np.exp(-logit))).astype(np.float32)


def found_for(score, champion=None, truth=None, known=None, contract=CONTRACT):
    columns = table()
    rows = ENCODER.encode_columns(columns)
    if truth is None:
        truth = np.random.default_rng(1).random(N) < sensible(rows)
    numbers = (
        number(COLUMN["tenure"], name="tenure", deviation=20.0, high=72.0),
        number(COLUMN["charge"], name="charge", missing=COLUMN["charge=missing"], deviation=30.0, high=120.0),
    )
    found = evidence(score, champion, truth=truth, columns=columns, numbers=numbers, contract=contract)
    if known is not None:
        found = dataclasses.replace(found, candidate=subject(score, found.rows, known=known))
    return found


def test_who_changes_many_answers_is_not_stable():
    def turned(rows):
        return 1 - sensible(rows)

    (same,) = judge(
        rule("stability", measure="label_changes", at_most=0.1, judge_by="interval"), found_for(sensible, sensible)
    )
    (other,) = judge(
        rule("stability", measure="label_changes", at_most=0.1, judge_by="interval"), found_for(turned, sensible)
    )
    assert (same.status, same.value, same.details["rank_correlation"]) == ("PASS", 0.0, pytest.approx(1))
    assert (other.status, other.value) == ("FAIL", pytest.approx(1.0, abs=0.01))
    assert other.details["rank_correlation"] == pytest.approx(-1)


def test_bands_and_probabilities_can_be_held_too():
    banded = found_for(lambda rows: sensible(rows) * 0.8, sensible)
    contract = msgspec.structs.replace(
        CONTRACT, risk_bands=(RiskBand(name="low", from_probability=0.0), RiskBand(name="high", from_probability=0.5))
    )
    banded = dataclasses.replace(banded, contract=contract)
    (bands,) = judge(rule("stability", measure="band_changes", at_most=0.01, judge_by="point"), banded)
    scaled, whole = banded.candidate.probabilities, banded.champion.probabilities
    assert bands.value == pytest.approx(np.mean((scaled >= 0.5) != (whole >= 0.5)))
    (mean,) = judge(rule("stability", measure="mean_difference", at_most=0.5, judge_by="interval"), banded)
    assert mean.value == pytest.approx(np.abs(scaled - whole).mean())


def test_what_a_model_leans_on_is_found():
    (result,) = judge(
        rule("importance", top=("tenure", "plan"), first=2, most_share=0.95), found_for(sensible, sensible)
    )
    assert result.status == "PASS"
    assert [part.name for part in result.parts[:2]] == ["tenure", "plan"]
    assert result.parts[-1].value == 0.0
    assert all(part.champion == part.value for part in result.parts)


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


def test_directions_that_are_turned_round():
    results = judge(rule("direction", expect=EXPECT), found_for(lambda rows: 1 - sensible(rows)))
    assert [r.status for r in results] == ["FAIL", "FAIL"]
    assert "rows move the other way; it must be at most 10%" in results[0].reason


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


def reference(tenure_counts, plan_counts):
    tenure = Binned(name="tenure", edges=(24.0, 48.0), bins=("low", "middle", "high"), counts=tenure_counts)
    plan = Binned(name="plan", bins=("monthly", "yearly", "missing", "unseen"), counts=plan_counts)
    score = Binned(name="score", bins=("all",), counts=(1000,))
    return Reference(n=1000, features=(tenure, plan), score=score)


def test_values_are_counted_in_bins_as_the_service_counts_them():
    known = reference((1, 1, 1), (1, 1, 1, 1))
    tenure, plan = known.features
    assert count_in_bins(tenure, CONTRACT, [0, 23, 24, 47, 48, 72]) == [2, 2, 2]
    assert count_in_bins(plan, CONTRACT, ["monthly", None, "yearly", "yearly"]) == [1, 2, 1, 0]


def test_data_that_moved_away_from_the_champions_is_named():
    near, far = reference((333, 333, 334), (500, 500, 0, 0)), reference((900, 50, 50), (500, 500, 0, 0))
    for known, status in ((near, "PASS"), (far, "FAIL")):
        found = found_for(sensible, sensible)
        found = dataclasses.replace(
            found, champion=subject(sensible, found.rows, "champion", known=facts(reference=known))
        )
        (result,) = judge(rule("drift_from_champion"), found)
        assert result.status == status
    assert result.reason.startswith("1 of 2 features moved away from the champion's training data: tenure (PSI ")


def test_a_holdout_unlike_its_own_training_data_is_a_broken_split():
    odd = facts(reference=reference((333, 333, 334), (990, 10, 0, 0)))
    (result,) = judge(rule("drift_from_training"), found_for(sensible, known=odd))
    assert result.status == "FAIL"
    assert "plan" in result.reason


LEAKAGE = {"roc_auc_at_most": 0.95, "feature_roc_auc_at_most": 0.95, "judge_by": "interval"}


def test_an_honest_model_leaks_nothing():
    results = judge(rule("leakage", **LEAKAGE), found_for(sensible))
    assert [(r.name, r.status) for r in results] == [("leakage[model]", "PASS"), ("leakage[features]", "PASS")]
    assert results[1].reason.startswith("tenure by itself: ")


@pytest.mark.parametrize("column", ["gender", "tenure"])
def test_a_feature_that_is_the_answer_is_named(column):
    columns = table()
    truth = np.array([value == "Male" if column == "gender" else value < 20 for value in columns[column]])
    _model, feature = judge(rule("leakage", **LEAKAGE), found_for(sensible, truth=truth))
    assert feature.status == "FAIL"
    assert feature.reason.startswith(f"{column} by itself: 1.0000")


def test_rows_that_contradict_each_other_are_counted():
    columns = columns_of(10, tenure=[1, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    truth = np.array([True, False, *[True] * 8])
    (result,) = judge(
        rule("contradicting_rows", share_at_most=0.1), evidence(np.full(10, 0.9), truth=truth, columns=columns)
    )
    assert (result.status, result.value) == ("FAIL", 0.2)
    assert result.reason.startswith("2 of 10 rows have a twin")


def test_the_estimator_is_asked_anew():
    same = facts(estimate=lambda rows: sensible(rows).astype(float) + 4e-7)
    other = facts(estimate=lambda rows: sensible(rows).astype(float) + 2e-6)
    assert judge(rule("onnx_parity"), found_for(sensible, known=same))[0].status == "PASS"
    (result,) = judge(rule("onnx_parity"), found_for(sensible, known=other))
    assert result.status == "FAIL"
    assert "differ by 2e-06" in result.reason


def test_an_estimator_that_cannot_be_loaded_is_an_error():
    def damaged(rows):
        raise OSError("estimator.skops is gone")

    (result,) = judge(rule("onnx_parity"), found_for(sensible, known=facts(estimate=damaged)))
    assert result.status == "ERROR"
    assert "estimator.skops is gone" in result.reason


def test_latency_is_timed_and_stands_apart_from_what_a_seed_decides():
    (result,) = judge(rule("latency", p99_us_at_most=1_000_000), found_for(sensible, sensible))
    assert (result.status, result.value) == ("PASS", None)
    assert result.details["p50_us"] > 0
    assert result.details["champion_p99_us"] > 0
    (result,) = judge(rule("latency", p99_us_at_most=0.0001), found_for(sensible))
    assert result.status == "FAIL"


def test_size_is_added_up():
    (result,) = judge(rule("artifact_size", megabytes_at_most=0.001), found_for(sensible))
    assert (result.status, result.value) == ("FAIL", 0.002)


def test_a_model_without_an_answer_at_an_edge_is_an_error():
    def broken(rows):
        return np.where(rows[:, COLUMN["charge"]] == 120, np.nan, 0.5).astype(np.float32)

    assert judge(rule("edge_rows"), found_for(sensible))[0].status == "PASS"
    (result,) = judge(rule("edge_rows"), found_for(broken, truth=np.arange(N) % 2 == 0))
    assert result.status == "ERROR"
    assert "no probability" in result.reason
