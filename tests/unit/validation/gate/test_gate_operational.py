"""Operation: both forms of a model, its time and size, and the edges of the contract."""

import numpy as np
import pytest
from gate_customers import COLUMN, N, found_for, rule, sensible
from gate_evidence import facts, judge


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


def test_a_model_that_is_many_times_slower_than_the_champion_is_caught():
    def slow(rows):
        for _ in range(40):
            sensible(rows)
        return sensible(rows)

    held = rule("latency", p99_us_at_most=1_000_000, times_champion_at_most=5)
    assert judge(held, found_for(sensible, sensible))[0].status == "PASS"
    (result,) = judge(held, found_for(slow, sensible))
    assert result.status == "FAIL"
    assert result.reason.endswith("its median must be at most 5 times the champion's")
    assert result.details["p50_us"] > 5 * result.details["champion_p50_us"]
    (alone,) = judge(held, found_for(slow))
    assert (alone.status, "champion" in alone.reason) == ("PASS", False)


def test_size_is_added_up():
    (result,) = judge(rule("artifact_size", megabytes_at_most=0.001), found_for(sensible))
    assert (result.status, result.value) == ("FAIL", 0.002)


@pytest.mark.parametrize(
    ("broken", "edge"),
    [
        (lambda rows: rows[:, COLUMN["charge"]] == 120, "charge at its greatest, 120"),
        (lambda rows: rows[:, COLUMN["tenure"]] == 0, "tenure at its least, 0"),
        (lambda rows: rows[:, COLUMN["plan=missing"]] == 1, "plan missing"),
        (lambda rows: rows[:, COLUMN["gender=Female"]] + rows[:, COLUMN["gender=Male"]] == 0, "gender unseen"),
    ],
)
def test_an_edge_without_an_answer_is_named(broken, edge):
    def score(rows):
        return np.where(broken(rows), np.nan, 0.5).astype(np.float32)

    assert judge(rule("edge_rows"), found_for(sensible))[0].status == "PASS"
    (result,) = judge(rule("edge_rows"), found_for(score, truth=np.arange(N) % 2 == 0))
    assert result.status == "FAIL"
    assert result.reason.startswith("no probability in [0, 1] with ")
    assert edge in result.reason
    assert result.details["edges_without_probability"] < result.details["edges"]


def test_a_probability_above_one_is_none():
    (result,) = judge(
        rule("edge_rows"),
        found_for(lambda rows: np.where(rows[:, COLUMN["charge"]] == 0, 1.5, 0.5).astype(np.float32)),
    )
    assert "charge at its least, 0; every number at its least" in result.reason
