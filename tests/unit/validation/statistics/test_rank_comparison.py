"""G3, DeLong. pROC's aSAH data are not here, so it is compared with the definition and with a bootstrap."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from validation.statistics import auc_interval, delong


def by_definition(truth, score_a, score_b):
    """DeLong, DeLong & Clarke-Pearson 1988, equations (3) to (5), pair by pair."""
    truth = np.asarray(truth, dtype=bool)
    placements = []
    for score in (np.asarray(score_a), np.asarray(score_b)):
        x, y = score[truth], score[~truth]
        kernel = (x[:, None] > y[None, :]) + 0.5 * (x[:, None] == y[None, :])
        placements.append((kernel.mean(axis=1), kernel.mean(axis=0)))
    (v10a, v01a), (v10b, v01b) = placements
    variance = np.var(v10b - v10a, ddof=1) / v10a.size + np.var(v01b - v01a, ddof=1) / v01a.size
    return v10a.mean(), v10b.mean(), math.sqrt(variance)


def rows(seed, n=200):
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < 0.3
    signal = rng.normal(size=n) + truth
    return truth, np.round(signal + rng.normal(size=n), 1), np.round(signal + rng.normal(size=n), 1)


@pytest.mark.parametrize("seed", range(5))
def test_areas_and_error_are_those_of_the_definition_with_ties(seed):
    truth, first, second = rows(seed)
    found, (auc_a, auc_b, error) = delong(truth, first, second), by_definition(truth, first, second)
    assert (found.auc_a, found.auc_b, found.standard_error) == pytest.approx((auc_a, auc_b, error), abs=1e-12)
    assert found.auc_a == pytest.approx(roc_auc_score(truth, first), abs=1e-12)
    assert found.z == pytest.approx((auc_b - auc_a) / error)


def test_its_error_is_the_spread_of_a_paired_bootstrap():
    truth, first, second = rows(11, n=600)
    rng = np.random.default_rng(1)
    differences = []
    for _ in range(400):
        take = rng.integers(0, truth.size, truth.size)
        differences.append(roc_auc_score(truth[take], second[take]) - roc_auc_score(truth[take], first[take]))
    assert delong(truth, first, second).standard_error == pytest.approx(np.std(differences), rel=0.12)


@given(st.integers(0, 1000))
def test_swapping_the_models_turns_the_sign(seed):
    truth, first, second = rows(seed, n=60)
    there, back = delong(truth, first, second), delong(truth, second, first)
    assert (back.difference, back.z) == pytest.approx((-there.difference, -there.z))
    assert back.p == pytest.approx(there.p)
    assert back.interval() == pytest.approx(tuple(-end for end in reversed(there.interval())))


@given(st.integers(0, 1000))
def test_only_the_order_of_scores_counts(seed):
    truth, first, second = rows(seed, n=60)
    assert delong(truth, first, second) == delong(truth, np.exp(first), 5 * second - 3)


def test_two_scores_that_rank_alike_do_not_differ():
    truth, first, _ = rows(0)
    found = delong(truth, first, first)
    assert (found.difference, found.standard_error, found.z, found.p) == (0, 0, 0, 1)
    assert found.interval() == (0, 0)


def test_perfect_against_reversed_is_certain():
    found = delong([0, 0, 1, 1], [4, 3, 2, 1], [1, 2, 3, 4])
    assert (found.auc_a, found.auc_b, found.z, found.p) == (0, 1, math.inf, 0)


def test_under_equal_models_it_rejects_as_often_as_it_says():
    rejected = sum(delong(*rows(seed, n=300)).p < 0.05 for seed in range(1000))
    assert 25 <= rejected <= 75  # 0.05 of 1,000, five binomial deviations about


@pytest.mark.parametrize(
    ("truth", "first", "second", "message"),
    [
        ([0, 0, 1], [1, 2, 3], [1, 2, 3], "each class needs 2"),
        ([0, 0, 1, 1], [1, 2, 3], [1, 2, 3], "shape"),
        ([0, 0, 1, 2], [1, 2, 3, 4], [1, 2, 3, 4], "0 and 1"),
        ([0, 0, 1, 1], [1, 2, 3, math.nan], [1, 2, 3, 4], "finite"),
    ],
)
def test_what_cannot_be_computed_is_refused_by_name(truth, first, second, message):
    with pytest.raises(ValueError, match=message):
        delong(truth, first, second)


def test_one_areas_interval_covers_as_often_as_it_says():
    """Exponential scores whose area is known: P(X > Y) = 3 / 4 for rates 1 and 3."""
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        score = np.concatenate([rng.exponential(1, 60), rng.exponential(1 / 3, 120)])
        low, high = auc_interval(np.arange(180) < 60, score)
        covered += low <= 0.75 <= high
    assert 400 * 0.92 <= covered <= 400 * 0.98


def test_an_area_without_variance_has_no_width():
    assert auc_interval([0, 0, 1, 1], [1, 2, 3, 4]) == (1.0, 1.0)
    assert auc_interval([0, 0, 1, 1], [1, 1, 1, 1]) == (0.5, 0.5)
