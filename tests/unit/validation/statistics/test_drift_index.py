"""D1. Values: reference/statistics.md, section 2."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq

from validation.statistics import (
    jensen_shannon,
    kolmogorov_smirnov,
    psi,
    psi_limit,
    row_repeats,
    share_limit,
    smoothed_shares,
)

MANY = 1e9  # so many rows that the half count in every bin does not show


def counts_of(*, bins):
    return st.lists(st.integers(0, 10_000_000), min_size=bins, max_size=bins).filter(any)


@pytest.mark.parametrize(
    ("reference", "current", "expected"),
    [
        pytest.param(
            [0.1] * 10,
            [0.05, 0.07, 0.08, 0.09, 0.1, 0.1, 0.11, 0.12, 0.13, 0.15],
            0.0836178,
            id="statistics.md PSI of ten bins",
        ),
        pytest.param([0.5, 0.5], [0.6, 0.4], 0.0405465, id="statistics.md PSI of two bins"),
    ],
)
def test_psi_of_many_rows_is_the_published_value(reference, current, expected):
    assert psi(np.multiply(reference, MANY), np.multiply(current, MANY)) == pytest.approx(expected, abs=1e-7)


def test_half_a_count_is_added_to_every_bin():
    # By hand: (3.5, .5) / 4 against (.5, 3.5) / 4 = 2 * (3/4) * ln 7.
    assert psi([3, 0], [0, 3]) == pytest.approx(1.5 * math.log(7))


@pytest.mark.parametrize(
    ("n", "level", "expected"),
    [
        pytest.param(100, 0.05, 0.1726, id="statistics.md noise n=100 95 %"),
        pytest.param(100, 0.001, 0.2843, id="statistics.md noise n=100 99.9 %"),
        pytest.param(1000, 0.05, 0.0203, id="statistics.md noise n=1000 95 %"),
    ],
)
def test_the_limit_is_the_published_one(n, level, expected):
    assert psi_limit(5000, n, bins=10, level=level) == pytest.approx(expected, abs=6e-5)


def test_a_bare_limit_of_a_tenth_alarms_in_a_third_of_quiet_windows_of_a_hundred():
    level = brentq(lambda level: psi_limit(5000, 100, bins=10, level=level) - 0.1, 0.01, 0.99)
    assert level == pytest.approx(0.37, abs=0.005)  # statistics.md: P(PSI > .1) = .37 with no drift


def test_quiet_windows_exceed_the_limit_about_as_often_as_said():
    rng = np.random.default_rng(20_240_609)
    reference, current = rng.multinomial(5000, [0.1] * 10, 2000), rng.multinomial(1000, [0.1] * 10, 2000)
    limit = psi_limit(5000, 1000, bins=10, level=0.05)
    exceeding = sum(psi(before, now) > limit for before, now in zip(reference, current, strict=True))
    assert 60 <= exceeding <= 140  # binomial(2000, .05): 100 +- 4 standard deviations


@given(counts_of(bins=6), counts_of(bins=6))
def test_psi_is_symmetric_finite_and_never_negative(reference, current):
    there = psi(reference, current)
    assert 0 <= there < math.inf
    assert psi(current, reference) == pytest.approx(there)


@given(counts_of(bins=4))
def test_psi_of_the_same_counts_is_zero(counts):
    assert psi(counts, counts) == 0.0


@given(counts_of(bins=5), counts_of(bins=5), st.permutations(range(5)))
def test_the_order_of_the_bins_does_not_matter(reference, current, order):
    shuffled = psi([reference[i] for i in order], [current[i] for i in order])
    assert shuffled == pytest.approx(psi(reference, current))


@given(st.integers(1, 10**7), st.integers(2, 50), st.floats(1e-6, 0.5))
def test_the_limit_falls_with_rows_and_rises_with_bins_and_strictness(n, bins, level):
    limit = psi_limit(5000, n, bins, level)
    assert psi_limit(5000, n + 1, bins, level) < limit
    assert psi_limit(5000, n, bins + 1, level) > limit
    assert psi_limit(5000, n, bins, level / 2) > limit


def test_jensen_shannon_is_the_square_of_scipys_distance():
    from scipy.spatial.distance import jensenshannon

    before, now = [500, 300, 200], [100, 100, 900]
    expected = jensenshannon(smoothed_shares(before), smoothed_shares(now), base=2) ** 2
    assert jensen_shannon(before, now) == pytest.approx(expected, abs=1e-12)


def test_kolmogorov_smirnov_is_scipys_on_values_that_are_their_bins():
    from scipy.stats import ks_2samp

    before, now = [30, 50, 20, 40], [10, 10, 60, 5]
    expected = ks_2samp(np.repeat(range(4), before), np.repeat(range(4), now)).statistic
    assert kolmogorov_smirnov(before, now) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("repeats", [2, 4])
def test_quiet_windows_of_customers_who_come_back_exceed_the_limit_about_as_often_as_said(repeats):
    rng = np.random.default_rng(20_240_610)
    reference, current = rng.multinomial(5000, [0.1] * 10, 2000), repeats * rng.multinomial(500, [0.1] * 10, 2000)
    limit = psi_limit(5000, repeats * 500, bins=10, level=0.05, repeats=row_repeats([repeats] * 500))
    exceeding = sum(psi(before, now) > limit for before, now in zip(reference, current, strict=True))
    assert 60 <= exceeding <= 140  # binomial(2000, .05): 100 +- 4 standard deviations


def test_an_estimate_of_repeats_costs_a_wider_limit_and_many_bits_cost_nothing():
    known = psi_limit(5000, 1000, bins=10, level=1e-8)
    assert psi_limit(5000, 1000, bins=10, level=1e-8, estimated_from=128) > 1.2 * known
    assert psi_limit(5000, 1000, bins=10, level=1e-8, estimated_from=10**7) == pytest.approx(known, rel=1e-4)
    assert share_limit(0.3, 5000, 0.3, 1000, 1e-8, estimated_from=128) > share_limit(0.3, 5000, 0.3, 1000, 1e-8)


def test_means_of_quiet_windows_leave_the_limit_less_often_than_said():
    rng = np.random.default_rng(20_240_611)
    scores = rng.beta(1, 3, (2000, 500))
    limits = [share_limit(0.25, 10**9, mean, 500, level=0.05) for mean in scores.mean(axis=1)]
    assert np.mean(np.abs(scores.mean(axis=1) - 0.25) > limits) < 0.05


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: psi([1, 2], [1, 2, 3]), "current"),
        (lambda: psi([1], [1]), "reference"),
        (lambda: psi([1, -1], [1, 1]), "reference"),
        (lambda: psi([1, 1], [1, math.nan]), "current"),
        (lambda: psi([1, 1], [math.inf, 1]), "current"),
        (lambda: psi([0, 0], [1, 1]), "reference"),
        (lambda: psi([1, 1], [0, 0]), "current"),
        (lambda: psi_limit(0, 1, 10, 0.05), "n_reference"),
        (lambda: psi_limit(1, 0, 10, 0.05), "n_current"),
        (lambda: psi_limit(1, math.inf, 10, 0.05), "n_current"),
        (lambda: psi_limit(1, 1, 1, 0.05), "bins"),
        (lambda: psi_limit(1, 1, 10, 0.0), "level"),
        (lambda: psi_limit(1, 1, 10, 1.0), "level"),
        (lambda: psi_limit(1, 1, 10, math.nan), "level"),
        (lambda: psi_limit(1, 1, 10, 0.05, repeats=0.5), "repeats"),
        (lambda: psi_limit(1, 1, 10, 0.05, repeats=math.nan), "repeats"),
        (lambda: psi_limit(1, 1, 10, 0.05, estimated_from=0), "estimated_from"),
        (lambda: share_limit(1.1, 1, 0.5, 1, 0.05), "reference_share"),
        (lambda: share_limit(0.5, 1, -0.1, 1, 0.05), "share"),
        (lambda: jensen_shannon([0, 0], [1, 1]), "reference"),
        (lambda: kolmogorov_smirnov([1, 1], [0, 0]), "current"),
        (lambda: row_repeats([]), "rows"),
        (lambda: row_repeats([1, 0]), "rows"),
        (lambda: smoothed_shares([0, 0]), "counts"),
    ],
)
def test_a_bad_argument_is_named_with_what_is_allowed(call, named):
    with pytest.raises(ValueError, match=rf"^{named} .*must (be|lie|have|hold)"):
        call()
