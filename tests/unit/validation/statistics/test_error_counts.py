"""F5, the mixed F6 and its running p. Regression values: reference/statistics.md, section 2."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import beta

from validation.statistics import error_rate_log_e, mixed_srm_log_e, running_p, srm_log_e
from validation.statistics.beta_tails import log_mass_above

ERRORS = st.integers(0, 5000)
SPLIT = st.floats(0.05, 0.95)


@pytest.mark.parametrize(
    ("errors_a", "errors_b", "expected"),
    [
        pytest.param(190, 240, 9.105, id="statistics.md (190,240)"),
        pytest.param(50, 80, 9.2268, id="statistics.md (50,80)"),
        pytest.param(20, 45, 10.2684, id="statistics.md (20,45)"),
    ],
)
def test_the_evidence_of_more_errors_is_the_published_one(errors_a, errors_b, expected):
    assert math.exp(error_rate_log_e(errors_a, errors_b, 0.5, 100)) == pytest.approx(expected, abs=5e-4)


@given(ERRORS, ERRORS, SPLIT)
def test_the_next_error_leaves_the_evidence_on_average_where_it_is_or_lower(errors_a, errors_b, split):
    """At the boundary of the null a truncated mixture is a martingale in the mixture of its bets: at most 1."""
    now = error_rate_log_e(errors_a, errors_b, split, 100)
    in_a = math.exp(min(error_rate_log_e(errors_a + 1, errors_b, split, 100) - now, 700))
    in_b = math.exp(min(error_rate_log_e(errors_a, errors_b + 1, split, 100) - now, 700))
    assert split * in_b + (1 - split) * in_a == pytest.approx(1, abs=1e-6)


@given(ERRORS, ERRORS, SPLIT)
def test_one_more_error_of_the_challenger_is_never_evidence_for_it(errors_a, errors_b, split):
    now = error_rate_log_e(errors_a, errors_b, split, 100)
    assert error_rate_log_e(errors_a, errors_b + 1, split, 100) >= now - 1e-9
    assert error_rate_log_e(errors_a + 1, errors_b, split, 100) <= now + 1e-9


def test_the_mean_over_all_sequences_of_ten_errors_is_one():
    """Exactly, at the boundary of the null: sum of probability times e-value over all 2^10 orders."""
    total = 0.0
    for order in product((0, 1), repeat=10):
        in_b = sum(order)
        total += 0.3**in_b * 0.7 ** (10 - in_b) * math.exp(error_rate_log_e(10 - in_b, in_b, 0.3, 100))
    assert total == pytest.approx(1, abs=1e-12)


def test_without_errors_there_is_no_evidence():
    assert error_rate_log_e(0, 0, 0.3, 100) == 0


def test_evidence_far_against_it_stays_finite():
    assert -100 < error_rate_log_e(20_000, 0, 0.5, 100) < -5


@given(st.floats(0.5, 50), st.floats(0.5, 50), st.floats(0.05, 0.95))
def test_the_beta_tail_is_scipys_where_that_is_representable(a, b, x):
    expected = beta.logsf(x, a, b)
    if expected > -600:
        norm = math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
        assert log_mass_above(a, b, x) == pytest.approx(expected + norm, abs=1e-8)


def test_the_beta_tail_goes_on_where_it_underflows():
    far, _ = quad(lambda t: math.exp(40 * math.log(t / 0.6) + 2000 * math.log((1 - t) / 0.4)), 0.6, 1.0)
    expected = math.log(far) + 40 * math.log(0.6) + 2000 * math.log(0.4)
    assert log_mass_above(41, 2001, 0.6) == pytest.approx(expected, abs=1e-8)


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_the_mixed_evidence_lies_between_its_parts(first, second):
    parts = [srm_log_e([first, second], [0.5, 0.5], k) for k in (100, 10_000)]
    assert min(parts) - 1e-9 <= mixed_srm_log_e([first, second], [0.5, 0.5]) <= max(parts) + 1e-9


def test_the_running_p_never_rises():
    found = running_p([0.0, 3.0, 1.0, 5.0, -2.0])
    assert found == pytest.approx([1.0, math.exp(-3), math.exp(-3), math.exp(-5), math.exp(-5)])
    assert running_p([]).size == 0
    with pytest.raises(ValueError, match="log_es"):
        running_p([[1.0]])
    with pytest.raises(ValueError, match="log_es"):
        running_p([math.nan])


def test_peeking_at_a_right_split_keeps_its_level():
    rng = np.random.default_rng(3)
    alarms = 0
    for _ in range(300):
        first = rng.binomial(100, 0.5, 60).cumsum()
        logs = [mixed_srm_log_e([a, n - a], [0.5, 0.5]) for a, n in zip(first, range(100, 6001, 100), strict=True)]
        alarms += running_p(logs)[-1] <= 0.05
    assert alarms <= 300 * 0.05


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1, 0, 0.5, 100), "errors_a"),
        ((0, 0.5, 0.5, 100), "errors_b"),
        ((0, 0, 1, 100), "split"),
        ((0, 0, 0.5, 0), "k"),
    ],
)
def test_what_cannot_be_computed_is_refused_by_name(arguments, message):
    with pytest.raises(ValueError, match=message):
        error_rate_log_e(*arguments)
