"""F1. Regression values: reference/statistics.md, section 2, unless an id says otherwise."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from validation.statistics import sequential_mcnemar, win_rate_sequence

COUNT = st.integers(0, 5000)


@pytest.mark.parametrize(
    ("wins", "losses", "two_sided", "expected"),
    [
        pytest.param(5, 0, False, 15.6418, id="statistics.md one-sided (5,0)"),
        pytest.param(6, 0, False, 28.7827, id="statistics.md one-sided (6,0)"),
        pytest.param(7, 1, False, 6.6135, id="statistics.md one-sided (7,1)"),
        pytest.param(10, 2, False, 8.1323, id="statistics.md one-sided (10,2)"),
        pytest.param(15, 5, False, 4.7541, id="statistics.md one-sided (15,5)"),
        pytest.param(30, 15, False, 2.9871, id="statistics.md one-sided (30,15)"),
        pytest.param(60, 40, False, 1.1653, id="statistics.md one-sided (60,40)"),
        pytest.param(5, 0, True, 7.875, id="statistics.md two-sided (5,0)"),
        pytest.param(6, 0, True, 14.4375, id="statistics.md two-sided (6,0)"),
        pytest.param(10, 2, True, 4.1006, id="statistics.md two-sided (10,2)"),
        pytest.param(15, 5, True, 2.4045, id="statistics.md two-sided (15,5)"),
    ],
)
def test_the_e_value_is_the_published_one(wins, losses, two_sided, expected):
    assert math.exp(sequential_mcnemar(wins, losses, two_sided)) == pytest.approx(expected, abs=5.1e-5)


@pytest.mark.parametrize(("threshold", "needed"), [(20, 6), (100, 8), (1000, 12)])  # statistics.md, section 2
def test_so_many_straight_wins_reach_the_threshold(threshold, needed):
    assert sequential_mcnemar(needed, 0) >= math.log(threshold)
    assert sequential_mcnemar(needed - 1, 0) < math.log(threshold)


@pytest.mark.parametrize(
    ("wins", "losses", "expected"),
    [
        pytest.param(15, 5, (0.4111, 0.95268), id="statistics.md CS (15,5)"),
        pytest.param(60, 40, (0.43431, 0.75143), id="statistics.md CS (60,40)"),
    ],
)
def test_the_sequence_for_the_win_rate_is_the_published_one(wins, losses, expected):
    assert win_rate_sequence(wins, losses, 0.05) == pytest.approx(expected, abs=1e-5)


# Computed with Python's decimal module at 60 digits, Stirling's series for ln Gamma.
@pytest.mark.parametrize(
    ("wins", "losses", "expected"),
    [
        pytest.param(5_000_000, 5_000_000, -8.284839203123887, id="decimal, equal"),
        pytest.param(5_010_000, 4_990_000, 11.715174130230713, id="decimal, slightly better"),
        pytest.param(10_000_000, 0, 6931463.174186672, id="decimal, all won"),
        pytest.param(400, 3000, 1120.8928203700195, id="decimal, badly beaten"),
    ],
)
def test_the_two_sided_log_keeps_its_digits_at_ten_million_pairs(wins, losses, expected):
    assert sequential_mcnemar(wins, losses, two_sided=True) == pytest.approx(expected, rel=1e-12, abs=1e-7)


def mixture_by_quadrature(wins, losses):
    """F1 as an integral: (2t)^W (2-2t)^L over the prior cut to (1/2, 1), with s = 2t - 1."""

    def integrand(s):
        return math.exp((wins - 0.5) * math.log1p(s) + (losses - 0.5) * math.log1p(-s)) * 2 / math.pi

    reach = 60 / (losses - wins)  # the integrand falls at least like exp(-(L - W) s)
    return quad(integrand, 0, min(reach, 1), epsabs=0, epsrel=1e-12, limit=200)[0]


@pytest.mark.parametrize(
    ("wins", "losses"),
    [(100, 300), (0, 900), (0, 1000), (400, 3000), (40_000, 60_000), (0, 10**7), (4 * 10**6, 6 * 10**6)],
)
def test_the_one_sided_log_survives_where_the_share_above_half_underflows(wins, losses):
    expected = math.log(mixture_by_quadrature(wins, losses))  # origin: scipy.integrate.quad
    assert sequential_mcnemar(wins, losses) == pytest.approx(expected, abs=1e-7)


def test_without_discordant_pairs_the_evidence_is_one_and_the_interval_everything():
    assert sequential_mcnemar(0, 0) == 0.0
    assert sequential_mcnemar(0, 0, two_sided=True) == 0.0
    assert win_rate_sequence(0, 0, 0.05) == (0.0, 1.0)


@given(COUNT, COUNT)
def test_the_two_sided_evidence_ignores_which_arm_is_which(wins, losses):
    there = sequential_mcnemar(wins, losses, two_sided=True)
    assert sequential_mcnemar(losses, wins, two_sided=True) == pytest.approx(there, abs=1e-8)


@given(COUNT, COUNT)
def test_both_directions_average_to_the_two_sided_evidence(wins, losses):
    sides = math.exp(min(sequential_mcnemar(wins, losses), 600)), math.exp(min(sequential_mcnemar(losses, wins), 600))
    if max(sides) < 1e200:
        two_sided = math.exp(sequential_mcnemar(wins, losses, two_sided=True))
        assert sum(sides) / 2 == pytest.approx(two_sided, rel=1e-8)


@given(COUNT, COUNT)
def test_one_more_win_adds_evidence_and_one_more_loss_takes_some(wins, losses):
    now = sequential_mcnemar(wins, losses)
    assert sequential_mcnemar(wins + 1, losses) > now
    assert sequential_mcnemar(wins, losses + 1) < now


@given(COUNT, COUNT)
def test_the_next_pair_of_a_fair_coin_leaves_the_evidence_on_average_where_it_is(wins, losses):
    now = sequential_mcnemar(wins, losses)
    next_mean = (
        math.exp(sequential_mcnemar(wins + 1, losses) - now) + math.exp(sequential_mcnemar(wins, losses + 1) - now)
    ) / 2
    assert next_mean == pytest.approx(1, abs=1e-8)


@given(COUNT, COUNT, st.floats(1e-6, 0.5))
def test_swapping_the_arms_turns_the_win_rate_round(wins, losses, alpha):
    lower, upper = win_rate_sequence(wins, losses, alpha)
    assert win_rate_sequence(losses, wins, alpha) == pytest.approx((1 - upper, 1 - lower), abs=1e-12)


@given(COUNT, COUNT, st.floats(1e-6, 0.5))
def test_the_win_rate_sequence_holds_the_observed_rate_and_excludes_half_with_the_evidence(wins, losses, alpha):
    lower, upper = win_rate_sequence(wins, losses, alpha)
    assert 0 <= lower <= wins / max(wins + losses, 1) or wins + losses == 0
    assert wins / max(wins + losses, 1) <= upper <= 1
    surplus = sequential_mcnemar(wins, losses, two_sided=True) - math.log(1 / alpha)
    if abs(surplus) > 1e-6:
        assert (not lower <= 0.5 <= upper) == (surplus > 0)


@pytest.mark.parametrize(("wins", "losses"), [(1, 10**7), (10**7, 1), (5 * 10**6, 5 * 10**6), (0, 10**7)])
def test_the_win_rate_sequence_is_narrow_and_in_range_at_ten_million_pairs(wins, losses):
    lower, upper = win_rate_sequence(wins, losses, 0.05)
    assert 0 <= lower <= wins / (wins + losses) <= upper <= 1
    assert upper - lower < 0.002


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: sequential_mcnemar(-1, 0), "wins"),
        (lambda: sequential_mcnemar(0, 1.5), "losses"),
        (lambda: sequential_mcnemar(math.nan, 0), "wins"),
        (lambda: win_rate_sequence(0, math.inf, 0.05), "losses"),
        (lambda: win_rate_sequence(1, 1, 0.0), "alpha"),
        (lambda: win_rate_sequence(1, 1, 1.0), "alpha"),
        (lambda: win_rate_sequence(1, 1, math.nan), "alpha"),
    ],
)
def test_a_bad_argument_is_named_with_what_is_allowed(call, named):
    with pytest.raises(ValueError, match=rf"{named} .* must (be|lie)"):
        call()
