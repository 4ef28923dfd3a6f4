import dataclasses

import msgspec
import numpy as np
import pytest
from gate_evidence import answers, evidence, judge

from validation.gate.checks import KINDS
from validation.gate.checks.rule import rows_needed
from validation.gate.intervals import Measured
from validation.gate.report import awaited_in, reasons_of, verdict_of
from validation.statistics import tango_z

NonInferiority, Performance = KINDS["non_inferiority"], KINDS["performance"]


def rule(margin, metric="accuracy", on_inconclusive="block", alpha=0.05):
    return NonInferiority(
        metric=metric, margin=margin, alpha=alpha, judge_by="interval", on_inconclusive=on_inconclusive
    )


def pair(b, c, n=1409):
    """Candidate alone right on b rows, champion alone on c, both on the rest; every third row is positive."""
    truth = np.arange(n) % 3 == 0
    candidate, champion = np.ones(n, dtype=bool), np.ones(n, dtype=bool)
    candidate[:c] = False
    champion[c : c + b] = False
    return evidence(answers(candidate, truth), answers(champion, truth), truth=truth)


@pytest.mark.parametrize(
    ("margin", "status"), [(0.0, "INCONCLUSIVE"), (0.01, "INCONCLUSIVE"), (0.02, "PASS"), (0.03, "PASS")]
)
def test_it_passes_where_tangos_z_does(margin, status):
    """statistics.md, section 2: (70, 75, 1409) has z -.4152, .7532, 1.903 and 3.014; z_.05 is 1.645."""
    (result,) = judge(rule(margin), pair(70, 75))
    assert result.status == status
    assert (tango_z(70, 75, 1409, margin) > 1.6449) == (status == "PASS")
    assert result.value == pytest.approx(-5 / 1409)


def test_it_fails_only_where_the_whole_interval_is_beyond_the_margin():
    assert judge(rule(0.02), pair(20, 90))[0].status == "FAIL"
    assert judge(rule(0.02), pair(40, 75))[0].status == "INCONCLUSIVE"


def test_what_the_holdout_does_not_decide_may_be_left_to_live_customers():
    results = judge(rule(0.01, on_inconclusive="shadow"), pair(70, 75))
    assert verdict_of(results) == "INCONCLUSIVE"
    assert awaited_in(results) == ["non_inferiority[accuracy]"]
    assert "rows do not decide it, about" in reasons_of(results)[0]
    assert "90 % interval" in results[0].reason


def test_one_inconclusive_check_that_blocks_blocks():
    results = judge(rule(0.01, on_inconclusive="shadow"), pair(70, 75)) + judge(rule(0.0), pair(70, 75))
    assert awaited_in(results) == []


def test_a_fail_beside_it_leaves_nothing_to_live_customers():
    accuracy = Performance(metric="accuracy", at_least=0.99, judge_by="point")
    results = judge(rule(0.01, on_inconclusive="shadow"), pair(70, 75)) + judge(accuracy, pair(70, 75))
    assert verdict_of(results) == "FAIL"
    assert awaited_in(results) == []


def test_the_rows_needed_are_those_of_the_formula():
    measured = Measured(-0.0035, -0.02, 0.013, 1409, confidence=0.9)
    standard_error = 0.033 / (2 * 1.6449)
    assert rows_needed(measured, -0.01) == pytest.approx(
        1409 * ((1.6449 + 0.8416) * standard_error / 0.0065) ** 2, rel=1e-3
    )


def test_profit_counts_the_costs_of_the_contract():
    """Fewer false alarms for more misses: better in accuracy, and worse in profit where an alarm costs a fifth."""
    truth = np.arange(1000) < 300
    champion, candidate = truth.copy(), truth.copy()
    champion[300:400] = True  # a hundred needless flags
    candidate[:60] = False  # sixty missed
    found = evidence(np.where(candidate, 0.9, 0.1), np.where(champion, 0.9, 0.1), truth=truth)
    cheap = msgspec.structs.replace(found.contract, false_positive_cost=0.2)
    found = dataclasses.replace(found, contract=cheap)
    (accuracy,) = judge(rule(0.01), found)
    (profit,) = judge(rule(0.01, "profit"), found)
    assert (accuracy.status, accuracy.value) == ("PASS", pytest.approx(0.04))
    assert (profit.status, profit.value) == ("FAIL", pytest.approx((100 * 0.2 - 60) / 1000))


def test_areas_are_compared_by_delong():
    rng = np.random.default_rng(0)
    truth = rng.random(1500) < 0.3
    signal = truth + rng.normal(size=1500)
    good, bad = signal + 0.3 * rng.normal(size=1500), signal + 2 * rng.normal(size=1500)

    def scores(values):
        return (values - values.min()) / (values.max() - values.min())

    (better,) = judge(rule(0.01, "roc_auc"), evidence(scores(good), scores(bad), truth=truth))
    (worse,) = judge(rule(0.01, "roc_auc"), evidence(scores(bad), scores(good), truth=truth))
    assert (better.status, worse.status) == ("PASS", "FAIL")
    assert better.value == pytest.approx(-worse.value)
    assert better.details["candidate"] > better.details["champion"]


def test_a_first_model_has_nobody_to_be_compared_with():
    found = evidence(answers(np.ones(100, dtype=bool)))
    assert judge(rule(0.02), found, bootstrap=True)[0].status == "NOT_APPLICABLE"
    assert judge(rule(0.02), found)[0].status == "ERROR"
