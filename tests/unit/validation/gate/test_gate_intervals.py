import math

import numpy as np
import pytest

from validation.gate.intervals import measure_mean, measure_metric
from validation.gate.metrics import LABEL_METRICS, METRICS, Answered
from validation.statistics import wilson_interval


def rng():
    return np.random.default_rng(7)


def metric(name, truth, positives, probabilities=None):
    truth, positives = np.asarray(truth, dtype=bool), np.asarray(positives, dtype=bool)
    probabilities = positives.astype(float) if probabilities is None else np.asarray(probabilities)
    return measure_metric(name, Answered(truth, probabilities, positives), rng())


def test_accuracy_has_wilsons_interval():
    measured = metric("accuracy", [True] * 10, [True] * 8 + [False] * 2)
    assert (measured.value, measured.low, measured.high) == (0.8, *wilson_interval(8, 10))


def test_recall_of_the_positive_class_counts_positive_rows_only():
    measured = metric("recall_positive", [True] * 10 + [False] * 90, [True] * 8 + [False] * 92)
    assert (measured.low, measured.high) == wilson_interval(8, 10)


def test_a_bootstrapped_share_agrees_with_the_normal_interval():
    # Balanced accuracy of two classes with 500 rows each: variance (.8 * .2 + .9 * .1) / (4 * 500).
    truth = [True] * 500 + [False] * 500
    measured = metric("balanced_accuracy", truth, [True] * 400 + [False] * 100 + [True] * 50 + [False] * 450)
    half = 1.96 * math.sqrt((0.8 * 0.2 + 0.9 * 0.1) / 2000)
    assert measured.value == pytest.approx(0.85)
    assert (measured.low, measured.high) == pytest.approx((0.85 - half, 0.85 + half), abs=0.003)


def test_the_interval_of_roc_auc_agrees_with_hanley_and_mcneil():
    # Hanley & McNeil 1982: variance of an AUC from its value and both class sizes, for exponential scores.
    draws = np.random.default_rng(3)
    truth = np.arange(1000) < 400
    probabilities = np.where(truth, 1 - draws.exponential(size=1000) / 60, 1 - draws.exponential(size=1000) / 20)
    measured = metric("roc_auc", truth, truth, np.clip(probabilities, 0, 1))
    area = measured.value
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    variance = (area * (1 - area) + 399 * (q1 - area**2) + 599 * (q2 - area**2)) / (400 * 600)
    half = 1.96 * math.sqrt(variance)
    assert (measured.low, measured.high) == pytest.approx((area - half, area + half), abs=0.006)


def test_the_same_seed_gives_the_same_interval_and_another_does_not():
    truth = np.arange(200) % 3 == 0
    scores = np.linspace(0, 1, 200) * 0.3 + truth * 0.2
    answered = Answered(truth, scores, scores > 0.3)
    first, again, other = (measure_metric("pr_auc", answered, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first == again
    assert first.low != other.low


def test_few_perfect_rows_do_not_look_like_certainty():
    measured = metric("roc_auc", [True] * 5 + [False] * 5, [True] * 5 + [False] * 5)
    assert measured.value == 1.0
    assert measured.low == pytest.approx(1 - wilson_interval(0, 5)[1])


def test_no_loss_on_few_rows_leaves_room_for_a_loss():
    measured = measure_mean(np.zeros(20), rng())
    assert (measured.low, measured.high) == pytest.approx((-wilson_interval(0, 20)[1], wilson_interval(0, 20)[1]))


def test_one_class_gives_no_number_and_no_interval():
    measured = metric("roc_auc", [False] * 4, [False] * 4)
    assert math.isnan(measured.value)
    assert math.isnan(measured.low)


def test_every_label_metric_can_be_measured():
    for name in LABEL_METRICS:
        measured = metric(
            name, [True, True, False, False] * 30, [True, False, False, True] * 15 + [True, True, False, False] * 15
        )
        assert measured.low < measured.value < measured.high


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_lies_in_its_interval(name):
    rng = np.random.default_rng(2)
    truth = rng.random(400) < 0.3
    scores = np.clip(0.2 * truth + 0.6 * rng.random(400), 0, 1)
    measured = measure_metric(name, Answered(truth, scores, scores > 0.5, 0.2), np.random.default_rng(0))
    assert measured.low < measured.value < measured.high
    assert measured == measure_metric(name, Answered(truth, scores, scores > 0.5, 0.2), np.random.default_rng(0))


def test_a_mean_of_few_different_values_has_the_interval_of_resampled_rows():
    values = np.array([1.0] * 60 + [0.0] * 300 + [-1.0] * 40)
    by_counts = measure_mean(values, np.random.default_rng(0))
    by_rows = measure_mean(values + np.linspace(0, 1e-9, 400), np.random.default_rng(1))
    assert (by_counts.low, by_counts.high) == pytest.approx((by_rows.low, by_rows.high), abs=0.006)
    narrower = measure_mean(values, np.random.default_rng(0), confidence=0.5)
    assert by_counts.low < narrower.low < narrower.high < by_counts.high
