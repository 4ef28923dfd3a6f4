"""F4 and the delta method. Published values: GrowthBook's tests, by way of reference/statistics.md, section 2."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from validation.statistics import (
    Estimate,
    asymptotic_log_e,
    asymptotic_sequence,
    difference,
    ratio_metric,
    share_estimate,
    stratified,
)

CUSTOMERS = st.integers(1, 100_000)
ALPHA = st.sampled_from([0.01, 0.05, 0.1])


@pytest.mark.parametrize(
    ("estimate", "error", "n_expected", "lower", "upper"),
    [
        pytest.param(0.50336, 0.33341, 1000, -0.55844, 1.56516, id="GrowthBook, N* 1000"),
        pytest.param(0.50386, 0.03386, 5000, 0.40098, 0.60675, id="GrowthBook, N* 5000"),
    ],
)
def test_the_two_sided_sequence_is_the_published_one(estimate, error, n_expected, lower, upper):
    found = asymptotic_sequence(estimate, error, 6461, n_expected, 0.05)
    assert found == pytest.approx((lower, upper), abs=2e-5)


def test_the_one_sided_sequence_is_the_published_one():
    found = asymptotic_sequence(0.5033610858562358, 0.3334122146400735, 6461, 5000, 0.05, one_sided=True)
    assert found == (pytest.approx(-0.42356454602790883, abs=1e-12), math.inf)  # GrowthBook, one-sided


@pytest.mark.parametrize(("n", "multiplier"), [(250, 4.7188), (1000, 3.3639), (5000, 3.0352), (20_000, 3.1271)])
def test_the_multiplier_is_narrowest_near_the_expected_size(n, multiplier):
    assert asymptotic_sequence(0, 1, n, 5000, 0.05)[1] == pytest.approx(
        multiplier, abs=5e-5
    )  # statistics.md, section 2


def test_the_delta_method_gives_the_published_ratio_and_error():
    found = ratio_metric([1, 2, 0, 3, 1, 2], [1, 3, 1, 3, 2, 4])  # statistics.md, section 2
    assert (found.value, found.standard_error) == pytest.approx((0.642857, 0.1134444), abs=1e-6)
    naive = np.std([1, 2 / 3, 0, 1, 0.5, 0.5], ddof=1) / math.sqrt(6)
    assert found.standard_error < naive


@given(st.integers(2, 500), st.integers(0, 500))
def test_one_row_a_customer_is_a_share(n, positives):
    positives = min(positives, n)
    rows = [1] * positives + [0] * (n - positives)
    found, share = ratio_metric(rows, [1] * n), share_estimate(positives, n)
    assert (found.value, found.standard_error) == pytest.approx((share.value, share.standard_error), abs=1e-12)


@given(st.floats(-1, 1), st.floats(0.001, 1), CUSTOMERS, CUSTOMERS, ALPHA)
def test_the_e_value_reaches_one_over_alpha_where_the_sequence_leaves_zero(estimate, error, n, n_expected, alpha):
    log_e = asymptotic_log_e(estimate, error, n, n_expected, alpha)
    lower, upper = asymptotic_sequence(estimate, error, n, n_expected, alpha)
    if abs(log_e - math.log(1 / alpha)) > 1e-6:
        assert (log_e > math.log(1 / alpha)) == (lower > 0 or upper < 0)


@given(st.floats(-1, 1), st.floats(0.001, 1), CUSTOMERS, CUSTOMERS, ALPHA)
def test_swapping_the_arms_turns_the_sequence_round(estimate, error, n, n_expected, alpha):
    lower, upper = asymptotic_sequence(estimate, error, n, n_expected, alpha)
    assert asymptotic_sequence(-estimate, error, n, n_expected, alpha) == pytest.approx((-upper, -lower))
    assert lower < estimate < upper


@given(st.floats(-1, 1), st.floats(0.001, 1), CUSTOMERS, ALPHA)
def test_one_side_reaches_further_than_two_where_it_is_tuned_for(estimate, error, n, alpha):
    one_sided, upper = asymptotic_sequence(estimate, error, n, n, alpha, one_sided=True)
    assert asymptotic_sequence(estimate, error, n, n, alpha)[0] < one_sided < estimate
    assert upper == math.inf


def test_phases_are_compared_within_themselves():
    """Simpson: the challenger is better in both phases, and pooled it looks worse."""
    early = difference(share_estimate(45, 100), share_estimate(360, 900))
    late = difference(share_estimate(90, 900), share_estimate(5, 100))
    assert early.value == pytest.approx(0.05)
    assert late.value == pytest.approx(0.05)
    assert stratified([early, late]).value == pytest.approx(0.05)
    pooled = difference(share_estimate(45 + 90, 1000), share_estimate(360 + 5, 1000))
    assert pooled.value < -0.2


@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(0, 1), st.integers(1, 1000)), min_size=1, max_size=5))
def test_the_order_of_phases_changes_nothing(phases):
    there = stratified([Estimate(*phase) for phase in phases])
    back = stratified([Estimate(*phase) for phase in reversed(phases)])
    assert (back.value, back.standard_error) == pytest.approx((there.value, there.standard_error))


def test_the_level_holds_at_a_hundred_looks():
    """A/A, 2,000 runs of 100 looks: the published guarantee is asymptotic, so a floor of customers comes first."""
    rng = np.random.default_rng(7)
    arms = rng.binomial(50, 0.3, size=(2, 2000, 100)).cumsum(axis=2)
    crossed = np.zeros(2000, dtype=bool)
    for look in range(2, 100):
        n = 50 * (look + 1)
        shares = arms[:, :, look] / n
        errors = np.sqrt((shares * (1 - shares)).sum(axis=0) / (n - 1))
        half = asymptotic_sequence(0.0, 1.0, 2 * n, 5000, 0.05)[1]
        crossed |= np.abs(shares[1] - shares[0]) > half * errors
    assert crossed.sum() <= 2000 * 0.05


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: asymptotic_sequence(0, -1, 10, 100, 0.05), "standard_error is -1"),
        (lambda: asymptotic_sequence(0, 1, -1, 100, 0.05), "n is -1"),
        (lambda: asymptotic_sequence(0, 1, 10, 0, 0.05), "n_expected is 0"),
        (lambda: asymptotic_sequence(0, 1, 10, 100, 0.6, one_sided=True), "alpha is 0.6"),
        (lambda: asymptotic_log_e(0, 0, 10, 100, 0.05), "standard_error is 0"),
        (lambda: ratio_metric([1], [1]), "rows of 2 or more"),
        (lambda: ratio_metric([1, 2], [1, 0]), "above 0"),
        (lambda: share_estimate(3, 2), "n is 2"),
        (lambda: stratified([]), "no customers"),
    ],
)
def test_what_cannot_be_computed_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_without_customers_nothing_is_known():
    assert asymptotic_sequence(0, 0, 0, 100, 0.05) == (-math.inf, math.inf)
    assert asymptotic_log_e(0, 0, 0, 100, 0.05) == 0
