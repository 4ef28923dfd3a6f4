"""G1, G2 and Wilson. Values: reference/statistics.md, section 2, with the source it names in the id."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from validation.statistics import mcnemar, tango_interval, tango_z, wilson_interval

COUNT = st.integers(0, 3000)
MARGIN = st.floats(-0.5, 0.5)


@st.composite
def rows(draw):
    b, c = draw(COUNT), draw(COUNT)
    return b, c, b + c + draw(COUNT)


def test_mcnemar_gives_the_values_of_bentur_2009():
    # Fagerland et al. 2013, BMC MRM 13:91, their example from Bentur et al. 2009.
    result = mcnemar(1, 7)
    assert (result.b, result.c) == (1, 7)
    assert result.exact == pytest.approx(0.0703125, abs=1e-12)
    assert result.mid_p == pytest.approx(0.0390625, abs=1e-12)
    assert result.asymptotic == pytest.approx(0.0339, abs=5e-5)
    assert result.corrected == pytest.approx(0.0771, abs=5e-5)


def test_mcnemar_gives_the_values_of_the_approval_ratings():
    # Agresti, Categorical Data Analysis: 794/150/86/570, chi2 17.3559, exact p 3.716e-5.
    result = mcnemar(150, 86)
    assert result.exact == pytest.approx(3.716e-5, abs=5e-9)
    assert norm.isf(result.asymptotic / 2) ** 2 == pytest.approx(17.3559, abs=5e-5)


@pytest.mark.parametrize("discordant", [0, 1, 5, 10_000_000])
def test_mcnemar_of_equal_counts_is_one_in_every_form(discordant):
    result = mcnemar(discordant, discordant)
    assert [result.exact, result.mid_p, result.asymptotic, result.corrected] == [1.0] * 4


def test_mcnemar_of_ten_million_rows_is_a_number():
    result = mcnemar(10_000_000, 9_990_000)
    assert 0 < result.mid_p < result.exact < 1
    assert result.mid_p == pytest.approx(result.asymptotic, rel=1e-3)


@given(COUNT, COUNT)
def test_mcnemar_is_the_same_with_the_models_swapped(b, c):
    here, there = mcnemar(b, c), mcnemar(c, b)
    assert (here.exact, here.mid_p, here.asymptotic) == (there.exact, there.mid_p, there.asymptotic)
    assert here.corrected == there.corrected


@given(COUNT, COUNT)
def test_the_mid_p_value_is_a_probability_below_the_exact_one(b, c):
    result = mcnemar(b, c)
    assert 0 <= result.mid_p <= result.exact <= 1


@pytest.mark.parametrize(
    ("b", "c", "n", "expected"),
    [
        pytest.param(1, 7, 21, (-0.51723, -0.02600), id="statistics.md Tango (1,7,21)"),
        pytest.param(40, 20, 160, (0.03086, 0.21806), id="statistics.md Tango (40,20,160)"),
        pytest.param(0, 0, 50, (-0.07135, 0.07135), id="statistics.md Tango (0,0,50)"),
    ],
)
def test_the_tango_interval_is_the_published_one(b, c, n, expected):
    assert tango_interval(b, c, n) == pytest.approx(expected, abs=5.1e-6)


@pytest.mark.parametrize(
    ("margin", "expected", "digits"),
    [
        pytest.param(0.0, -0.4152, 5e-5, id="statistics.md Tango z margin 0"),
        pytest.param(0.01, 0.7532, 5e-5, id="statistics.md Tango z margin .01"),
        pytest.param(0.02, 1.903, 5e-4, id="statistics.md Tango z margin .02"),
        pytest.param(0.03, 3.014, 5e-4, id="statistics.md Tango z margin .03"),
    ],
)
def test_the_tango_statistic_is_the_published_one(margin, expected, digits):
    assert tango_z(70, 75, 1409, margin) == pytest.approx(expected, abs=digits)


def test_the_tango_p_value_at_two_points_is_the_published_one():
    assert norm.sf(tango_z(70, 75, 1409, 0.02)) == pytest.approx(0.0285, abs=5e-5)  # statistics.md, section 2


@pytest.mark.parametrize("n", [0, 50])
def test_without_discordant_rows_the_tango_statistic_passes_no_superiority(n):
    assert tango_z(0, 0, n, 0.0) == 0.0


def test_without_rows_nothing_is_passed_and_the_intervals_are_everything():
    assert tango_z(0, 0, 0, 0.05) == 0.0
    assert tango_interval(0, 0, 0) == (-1.0, 1.0)
    assert wilson_interval(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(("b", "c", "end"), [(7, 0, 1.0), (0, 7, -1.0)])
def test_a_model_that_alone_is_always_right_reaches_the_end_of_the_range(b, c, end):
    ends = tango_interval(b, c, 7)
    assert end in ends
    assert -1 <= ends[0] < ends[1] <= 1


def test_the_tango_interval_of_ten_million_rows_is_walds():
    b, c, n = 500_000, 510_000, 10_000_000
    wald = 1.959964 * math.sqrt((b + c) / n - ((b - c) / n) ** 2) / math.sqrt(n)
    assert tango_interval(b, c, n) == pytest.approx(((b - c) / n - wald, (b - c) / n + wald), abs=1e-8)


@pytest.mark.parametrize(("b", "c"), [(10_000_000, 0), (0, 10_000_000), (0, 0), (1, 0), (9_999_999, 1)])
def test_the_tango_interval_stays_in_range_at_ten_million_rows(b, c):
    n = 10_000_000
    lower, upper = tango_interval(b, c, n)
    assert -1 <= lower <= (b - c) / n <= upper <= 1
    assert upper - lower < 1e-5


@given(rows(), MARGIN)
def test_swapping_the_models_turns_the_tango_statistic_round(counts, margin):
    b, c, n = counts
    assert tango_z(c, b, n, -margin) == pytest.approx(-tango_z(b, c, n, margin), rel=1e-7, abs=1e-7)


@given(rows(), st.floats(0.5, 0.999))
def test_swapping_the_models_turns_the_tango_interval_round(counts, confidence):
    b, c, n = counts
    lower, upper = tango_interval(b, c, n, confidence)
    assert tango_interval(c, b, n, confidence) == pytest.approx((-upper, -lower), abs=1e-9)


@given(rows(), st.floats(0.01, 0.5))
def test_the_tango_statistic_passes_exactly_when_the_interval_excludes_the_margin(counts, margin):
    b, c, n = counts
    lower, _ = tango_interval(b, c, n, confidence=0.9)
    surplus = tango_z(b, c, n, margin) - norm.isf(0.05)
    if abs(surplus) > 1e-6:
        assert (lower > -margin) == (surplus > 0)


@given(st.integers(0, 500), st.integers(0, 500), st.integers(1, 1000), MARGIN)
def test_a_row_that_goes_from_champion_to_challenger_raises_the_tango_statistic(b, c, ties, margin):
    n = b + c + ties + 1
    assert tango_z(b + 1, c, n, margin) > tango_z(b, c + 1, n, margin)


def test_tango_without_margin_is_mcnemars_statistic():
    z = tango_z(150, 86, 1600, 0.0)
    assert 2 * norm.sf(abs(z)) == pytest.approx(mcnemar(150, 86).asymptotic, rel=1e-9)


def test_the_wilson_interval_gives_newcombes_values():
    # Newcombe 1998 (Stat Med 17:857), table I, method 3: 81/263, 15/148, 0/20, 1/29.
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson_interval(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)


@given(st.integers(0, 10_000_000), st.integers(0, 10_000_000), st.floats(0.01, 0.999))
def test_the_wilson_interval_holds_the_share_and_turns_with_it(successes, failures, confidence):
    n = successes + failures
    lower, upper = wilson_interval(successes, n, confidence)
    assert 0 <= lower <= upper <= 1
    assert n == 0 or lower - 1e-12 <= successes / n <= upper + 1e-12
    assert wilson_interval(failures, n, confidence) == pytest.approx((1 - upper, 1 - lower), abs=1e-12)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: mcnemar(-1, 0), "b"),
        (lambda: mcnemar(0, 0.5), "c"),
        (lambda: tango_z(1, 1, 1, 0.0), "n"),
        (lambda: tango_z(math.nan, 1, 1, 0.0), "b"),
        (lambda: tango_z(1, 1, 2, 1.0), "margin"),
        (lambda: tango_z(1, 1, 2, -1.0), "margin"),
        (lambda: tango_z(1, 1, 2, math.nan), "margin"),
        (lambda: tango_interval(1, 1, 2, 1.0), "confidence"),
        (lambda: tango_interval(1, 1, math.inf), "n"),
        (lambda: wilson_interval(3, 2), "n"),
        (lambda: wilson_interval(-1, 2), "successes"),
        (lambda: wilson_interval(1, 2, 0.0), "confidence"),
        (lambda: wilson_interval(1, 2, math.nan), "confidence"),
    ],
)
def test_a_bad_argument_is_named_with_what_is_allowed(call, named):
    with pytest.raises(ValueError, match=rf"{named} .* must (be|lie)"):
        call()
