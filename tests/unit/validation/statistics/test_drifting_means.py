"""F2 and F3. Published constants: confseq's unit tests, by way of reference/statistics.md, section 2."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from validation.statistics import accuracy_difference_sequence, noninferiority_log_wealth, running_mean_sequence
from validation.statistics.mixtures import (
    best_rho,
    beta_binomial_log_mixture,
    gamma_exponential_log_mixture,
    mixture_bound,
    normal_log_mixture,
    stitched_bound,
)

PATTERN = [1, 0, 0, 0, -1, 0, 0, 0, 1, 0]
TWO_SIDED, ONE_SIDED = best_rho(100, 0.05), best_rho(100, 0.1)


@pytest.mark.parametrize(
    ("found", "expected", "digits"),
    [
        pytest.param(TWO_SIDED, 12.60056, 5e-6, id="confseq: best_rho(100, .05)"),
        pytest.param(normal_log_mixture(10, 100, TWO_SIDED), -0.6510052, 5e-8, id="confseq: normal two-sided"),
        pytest.param(mixture_bound(100, 0.05, TWO_SIDED), 30.35209, 5e-6, id="confseq: normal two-sided bound"),
        pytest.param(normal_log_mixture(10, 100, ONE_SIDED, True), -0.06502391, 5e-9, id="confseq: normal one-sided"),
        pytest.param(
            mixture_bound(100, 0.05, ONE_SIDED, one_sided=True), 27.66071, 5e-6, id="confseq: normal one-sided bound"
        ),
        pytest.param(gamma_exponential_log_mixture(10, 100, ONE_SIDED, 2), -0.2490165, 5e-8, id="confseq: gamma-exp"),
        pytest.param(mixture_bound(100, 0.05, ONE_SIDED, c=2), 33.02017, 5e-6, id="confseq: gamma-exp bound"),
        pytest.param(
            beta_binomial_log_mixture(10, 100, TWO_SIDED - 0.16, 0.2, 0.8),
            -0.6941012,
            5e-8,
            id="confseq: beta-binomial two-sided",
        ),
        pytest.param(
            beta_binomial_log_mixture(10, 100, ONE_SIDED - 0.16, 0.2, 0.8, one_sided=True),
            -0.07134019,
            5e-9,
            id="confseq: beta-binomial one-sided",
        ),
        pytest.param(stitched_bound(100, 10, 0.05, 3), 64.48755, 5e-6, id="confseq: stitching c=3"),
        pytest.param(stitched_bound(100, 10, 0.05, -1), 28.99389, 5e-6, id="confseq: stitching c=-1"),
    ],
)
def test_the_published_constants(found, expected, digits):
    assert found == pytest.approx(expected, abs=digits)


@pytest.mark.parametrize(
    ("repeats", "margin", "expected"),
    [
        pytest.param(5, 0, 0.65472, id="statistics.md: 50 pairs, delta 0"),
        pytest.param(5, 0.02, 1.08985, id="statistics.md: 50 pairs, delta .02"),
        pytest.param(20, 0, 2.71569, id="statistics.md: 200 pairs, delta 0"),
        pytest.param(20, 0.02, 3.7425, id="statistics.md: 200 pairs, delta .02"),
    ],
)
def test_the_wealth_is_the_published_one(repeats, margin, expected):
    found = noninferiority_log_wealth(PATTERN * repeats, margin, 0.05)
    assert found[-1] == pytest.approx(expected, abs=5e-5)
    assert found.shape == (10 * repeats,)


@pytest.mark.parametrize(("margin", "pairs"), [(0.01, 595), (0.02, 296), (0.03, 196), (0.05, 116)])
def test_identical_models_are_certified_after_as_many_pairs_as_published(margin, pairs):
    wealth = noninferiority_log_wealth([0] * 700, margin, 0.05)  # statistics.md, F2
    assert int(np.argmax(wealth >= math.log(20))) + 1 == pairs


@given(st.lists(st.sampled_from([-1, 0, 1]), min_size=1, max_size=50))
def test_a_bet_is_made_before_its_pair_is_seen(differences):
    """The wealth after k pairs does not change when later pairs do."""
    whole = noninferiority_log_wealth(differences, 0.02, 0.05)
    for k in (1, len(differences) // 2 + 1):
        assert noninferiority_log_wealth(differences[:k], 0.02, 0.05) == pytest.approx(whole[:k])


def test_the_wealth_keeps_its_level_at_every_pair():
    rng = np.random.default_rng(2)
    crossed = sum(
        noninferiority_log_wealth(rng.choice([-1, 0, 1], 600, p=[0.06, 0.9, 0.04]), 0.02, 0.05).max() >= math.log(20)
        for _ in range(400)
    )
    assert crossed <= 400 * 0.05 + 3 * math.sqrt(400 * 0.05 * 0.95)


def test_the_running_mean_is_covered_under_drift():
    """The mean difference wanders from -.3 to .3 and back; at every look the running mean is inside."""
    rng = np.random.default_rng(4)
    missed = 0
    for _ in range(100):
        drift = 0.3 * np.sin(np.arange(500) / 60)
        up = rng.random(500)
        row = np.where(up < (0.2 + drift) / 2 + 0.1, 1, np.where(up > 0.8 + (drift - 0.2) / 2 + 0.1, -1, 0))
        chance = np.clip((0.2 + drift) / 2 + 0.1, 0, 1) - np.clip(1 - (0.8 + (drift - 0.2) / 2 + 0.1), 0, 1)
        truth = np.cumsum(chance) / np.arange(1, 501)
        low, high = running_mean_sequence(row, 0.05)
        missed += bool(((truth < low) | (truth > high)).any())
    assert missed <= 10


def test_it_is_wider_than_the_sequence_that_decides():
    row = PATTERN * 100
    low, high = running_mean_sequence(row, 0.05)
    decided = accuracy_difference_sequence(row.count(1), row.count(0), row.count(-1), 0.05)
    assert low[-1] < np.mean(row) < high[-1]
    assert high[-1] - low[-1] < 3 * (decided[1] - decided[0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: noninferiority_log_wealth([2], 0, 0.05), "differences"),
        (lambda: noninferiority_log_wealth([0], 1, 0.05), "margin"),
        (lambda: noninferiority_log_wealth([0], 0, 0), "alpha"),
        (lambda: running_mean_sequence([math.nan], 0.05), "differences"),
        (lambda: best_rho(0, 0.05), "v"),
        (lambda: normal_log_mixture(0, -1, 1), "v is -1"),
        (lambda: stitched_bound(1, 0, 0.05, 1), "m"),
        (lambda: stitched_bound(1, 1, 0.05, 1, s=1), "s is 1"),
        (lambda: beta_binomial_log_mixture(0, 1, 1, 0, 1), "g"),
    ],
)
def test_what_cannot_be_computed_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()
