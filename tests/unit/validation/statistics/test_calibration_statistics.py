"""Calibration, and D4. The regression value of D4: reference/statistics.md, section 2."""

import math

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn.metrics import brier_score_loss

from validation.statistics import calibration, cbpe, equal_count_bins


def rows(slope=1.0, intercept=0.0, n=4000, seed=0):
    """Truths drawn from logits that the probabilities overstate: promised logit x, true logit intercept + slope x."""
    rng = np.random.default_rng(seed)
    promised = rng.normal(-1, 1.5, n)
    return rng.random(n) < expit(intercept + slope * promised), expit(promised)


def test_the_brier_score_is_scikit_learns():
    truth, promised = rows()
    assert calibration(truth, promised).brier == pytest.approx(brier_score_loss(truth, promised), abs=1e-12)


@pytest.mark.parametrize(("slope", "intercept"), [(1.0, 0.0), (0.6, 0.5), (1.5, -0.3)])
def test_slope_and_intercept_are_statsmodels_and_near_the_truth(slope, intercept):
    truth, promised = rows(slope, intercept)
    logits = logit(promised)
    fitted = sm.Logit(truth.astype(float), sm.add_constant(logits)).fit(disp=0)
    in_the_large = sm.GLM(truth.astype(float), np.ones(truth.size), family=sm.families.Binomial(), offset=logits).fit()
    found = calibration(truth, promised)
    assert found.slope == pytest.approx(fitted.params[1], abs=1e-7)
    assert found.intercept == pytest.approx(in_the_large.params[0], abs=1e-7)
    assert found.slope == pytest.approx(slope, abs=0.15)


def test_a_calibrated_model_has_a_small_error_and_an_overconfident_one_a_large_one():
    good, overconfident = calibration(*rows(1.0)), calibration(*rows(0.4))
    assert good.ece < 0.03 < 0.08 < overconfident.ece
    assert overconfident.slope < 0.5


def test_the_expected_error_by_hand():
    truth, promised = [1, 0, 0, 0, 1, 1, 1, 0], [0.1] * 4 + [0.8] * 4
    found = calibration(truth, promised, bins=2)
    assert found.ece == pytest.approx((4 * abs(0.25 - 0.1) + 4 * abs(0.75 - 0.8)) / 8)


@given(st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.7, 0.9]), min_size=1, max_size=60), st.integers(1, 12))
def test_equal_probabilities_share_a_bin_and_bins_rise(probabilities, bins):
    values = np.array(probabilities)
    number = equal_count_bins(values, bins)
    for value in set(probabilities):
        assert len(set(number[values == value])) == 1
    order = np.argsort(values)
    assert (np.diff(number[order]) >= 0).all()
    assert number.max() < bins


def test_bins_of_distinct_probabilities_have_equal_counts():
    number = equal_count_bins(np.random.default_rng(0).random(1000), 10)
    assert np.bincount(number).tolist() == [100] * 10


def test_what_truths_do_not_determine_is_no_number():
    separated = calibration([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9])
    assert math.isnan(separated.slope)
    assert math.isfinite(separated.intercept)
    constant = calibration([0, 1, 0, 1], [0.3] * 4)
    assert math.isnan(constant.slope)
    assert calibration([1, 1], [0.3, 0.4]).intercept == math.inf
    assert calibration([0, 0], [0.3, 0.4]).intercept == -math.inf


def test_certain_probabilities_are_taken():
    found = calibration([0, 1, 0, 1], [0.0, 1.0, 0.0, 1.0])
    assert (found.brier, found.ece) == (0, 0)


def test_the_promised_confusion_is_the_published_one():
    found = cbpe([0.9, 0.8, 0.6, 0.4, 0.3, 0.1], 0.5)  # statistics.md, section 2
    assert (found.tp, found.fp, found.fn, found.tn) == pytest.approx((2.3, 0.7, 0.8, 2.2))
    assert (found.accuracy, found.f1) == pytest.approx((0.75, 0.754098), abs=1e-6)


def test_a_promise_of_calibrated_probabilities_comes_true():
    truth, promised = rows(n=50_000)
    assert cbpe(promised, 0.5).accuracy == pytest.approx(((promised >= 0.5) == truth).mean(), abs=0.01)


def test_a_promise_is_blind_to_concept_drift():
    """The same rows, other truths: the promise stays, and that is what its docstring warns of."""
    truth, promised = rows(slope=-1.0, n=5000)
    assert cbpe(promised, 0.5).accuracy - ((promised >= 0.5) == truth).mean() > 0.2


def test_nothing_promises_nothing():
    found = cbpe([], 0.5)
    assert math.isnan(found.accuracy)
    assert math.isnan(found.f1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: calibration([], []), "y_true"),
        (lambda: calibration([0, 1], [0.5]), "y_true"),
        (lambda: calibration([0, 2], [0.5, 0.5]), "0 and 1"),
        (lambda: calibration([0, 1], [0.5, 1.1]), "probabilities"),
        (lambda: calibration([0, 1], [0.5, 0.5], bins=0), "bins"),
        (lambda: cbpe([math.nan], 0.5), "probabilities"),
        (lambda: cbpe([0.5], 1), "cut"),
    ],
)
def test_what_cannot_be_computed_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()
