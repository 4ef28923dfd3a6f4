"""F6. Regression values: reference/statistics.md, section 2, unless an id says otherwise."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from validation.statistics import srm_log_e

COUNT = st.integers(0, 100_000)
CONCENTRATION = st.sampled_from([1, 100, 10_000])
HALVES = [0.5, 0.5]


@pytest.mark.parametrize(
    ("counts", "k", "p", "digits"),
    [
        pytest.param([500, 600], 1, 0.43859, 5e-6, id="statistics.md [500,600] k=1"),
        pytest.param([500, 600], 100, 0.05338, 5e-6, id="statistics.md [500,600] k=100"),
        pytest.param([500, 600], 10_000, 0.67145, 5e-6, id="statistics.md [500,600] k=10000"),
        pytest.param([50_500, 49_500], 100, 0.21475, 5e-6, id="statistics.md [50500,49500] k=100"),
        pytest.param([50_500, 49_500], 10_000, 0.03520, 5e-6, id="statistics.md [50500,49500] k=10000"),
        pytest.param([100, 900], 10_000, 2.368e-13, 5e-17, id="statistics.md [100,900] k=10000"),
    ],
)
def test_the_p_value_is_the_published_one(counts, k, p, digits):
    assert math.exp(-srm_log_e(counts, HALVES, k)) == pytest.approx(p, abs=digits)


def test_evidence_below_one_is_the_published_p_value_of_one():
    assert srm_log_e([50_500, 49_500], HALVES, 1) < 0  # statistics.md: p = min(1, 1/E) = 1


# Computed with Python's decimal module at 60 digits, Stirling's series for ln Gamma.
@pytest.mark.parametrize(
    ("counts", "shares", "k", "expected"),
    [
        pytest.param([500, 600], HALVES, 100, 2.930243970738093, id="decimal, thousand"),
        pytest.param([5_003_000, 4_997_000], HALVES, 10_000, -1.6562002791635, id="decimal, halves"),
        pytest.param([9_000_000, 999_000], [0.9, 0.1], 100, -5.314279979908216, id="decimal, tenth k=100"),
        pytest.param([9_000_000, 999_000], [0.9, 0.1], 10_000, -3.004296563939802, id="decimal, tenth k=10000"),
    ],
)
def test_the_log_keeps_its_digits_at_ten_million_customers(counts, shares, k, expected):
    assert srm_log_e(counts, shares, k) == pytest.approx(expected, abs=1e-7)


def test_without_customers_the_evidence_is_one():
    assert srm_log_e([0, 0], HALVES, 100) == 0.0
    assert srm_log_e([0, 0, 0], [0.9, 0.05, 0.05], 10_000) == 0.0


def test_a_gross_mismatch_is_found_and_a_perfect_match_is_not():
    assert srm_log_e([10_000_000, 0], HALVES, 100) > math.log(1000)
    assert srm_log_e([5_000_000, 5_000_000], HALVES, 100) < 0


@given(COUNT, COUNT, st.floats(0.05, 0.95), CONCENTRATION)
def test_swapping_the_arms_and_their_shares_changes_nothing(first, second, share, k):
    there = srm_log_e([first, second], [share, 1 - share], k)
    assert srm_log_e([second, first], [1 - share, share], k) == pytest.approx(there, abs=1e-7)


@given(st.integers(0, 50_000), st.integers(0, 50_000), CONCENTRATION)
def test_evidence_grows_as_one_arm_takes_customers_from_the_other(half, moved, k):
    moved = min(moved, half)
    balanced = srm_log_e([half, half], HALVES, k)
    assert srm_log_e([half + moved, half - moved], HALVES, k) >= balanced - 1e-8


@given(COUNT, COUNT, st.floats(0.05, 0.95), CONCENTRATION)
def test_the_next_customer_leaves_the_evidence_on_average_where_it_is(first, second, share, k):
    shares = [share, 1 - share]
    now = srm_log_e([first, second], shares, k)
    in_first = math.exp(srm_log_e([first + 1, second], shares, k) - now)
    in_second = math.exp(srm_log_e([first, second + 1], shares, k) - now)
    assert share * in_first + (1 - share) * in_second == pytest.approx(1, abs=1e-7)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: srm_log_e([1, -1], HALVES, 100), "counts"),
        (lambda: srm_log_e([1, 1.5], HALVES, 100), "counts"),
        (lambda: srm_log_e([1, math.nan], HALVES, 100), "counts"),
        (lambda: srm_log_e([1], [1.0], 100), "counts"),
        (lambda: srm_log_e([[1, 2]], HALVES, 100), "counts"),
        (lambda: srm_log_e([1, 1], [0.5, 0.6], 100), "shares"),
        (lambda: srm_log_e([1, 1], [1.0, 0.0], 100), "shares"),
        (lambda: srm_log_e([1, 1], [1.5, -0.5], 100), "shares"),
        (lambda: srm_log_e([1, 1], [0.5, 0.25, 0.25], 100), "shares"),
        (lambda: srm_log_e([1, 1], HALVES, 0), "k"),
        (lambda: srm_log_e([1, 1], HALVES, math.inf), "k"),
        (lambda: srm_log_e([1, 1], HALVES, math.nan), "k"),
    ],
)
def test_a_bad_argument_is_named_with_what_is_allowed(call, named):
    with pytest.raises(ValueError, match=rf"^{named} .* must (be|lie|have)"):
        call()
