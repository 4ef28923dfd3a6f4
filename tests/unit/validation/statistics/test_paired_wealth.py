"""F2c. Regression values: reference/statistics.md, section F2c ("Oracles"), unless an id says otherwise."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from validation.statistics import (
    accuracy_difference_sequence,
    paired_log_wealth,
    payoff_log_wealth,
    payoff_mean_sequence,
)

COUNT = st.integers(0, 2000)
MARGIN = st.floats(-0.3, 0.3)
ALPHA = st.floats(1e-6, 0.5)
PROFIT = {1: 40, 0.6: 20, 0.5: 900, 0.4: 30, 0: 10}  # cost ratio r = .2
PAYOFFS = st.dictionaries(st.floats(0, 1), COUNT, max_size=5)


def turned(counts):
    return {1 - payoff: number for payoff, number in counts.items()}


@pytest.mark.parametrize(
    ("wins", "ties", "losses", "margin", "expected"),
    [
        pytest.param(60, 900, 40, 0.0, 1.062853, id="statistics.md superiority"),
        pytest.param(60, 900, 40, 0.01, 3.023017, id="statistics.md margin .01"),
        pytest.param(60, 900, 40, 0.02, 5.979077, id="statistics.md margin .02"),
        pytest.param(70, 1264, 75, 0.0, -1.204181, id="statistics.md equal superiority"),
        pytest.param(70, 1264, 75, 0.01, -0.391721, id="statistics.md equal margin .01"),
        pytest.param(70, 1264, 75, 0.02, 0.894277, id="statistics.md equal margin .02"),
        pytest.param(0, 296, 0, 0.02, 3.321282, id="statistics.md only ties"),
        pytest.param(60, 900, 40, -0.01, -0.099729, id="statistics.md harm of (40, 900, 60) beyond .01"),
    ],
)
def test_log_wealth_of_pairs_is_the_published_value(wins, ties, losses, margin, expected):
    assert paired_log_wealth(wins, ties, losses, margin) == pytest.approx(expected, abs=5e-7)


def test_log_wealth_of_a_profit_payoff_is_the_published_value():
    assert payoff_log_wealth(PROFIT, 0.5) == pytest.approx(6.208422, abs=5e-7)
    assert payoff_log_wealth(turned(PROFIT), 0.5) == pytest.approx(-2.066778, abs=5e-7)


# Computed with Python's decimal module at 60 digits from the formula of F2c.
@pytest.mark.parametrize(
    ("counts", "mean", "expected"),
    [
        pytest.param({1: 60, 0.5: 900, 0: 40}, 0.495, 3.0230174156296283, id="decimal, thousand pairs"),
        pytest.param({1: 502_000, 0.5: 9_000_000, 0: 498_000}, 0.5, -123.207395272817, id="decimal, small gain"),
        pytest.param({1: 500_000, 0.5: 9_000_000, 0: 500_000}, 0.4995, -3.21606447354857, id="decimal, equal"),
        pytest.param({0.5: 10_000_000}, 0.49, 197943.095227965, id="decimal, ten million ties"),
        pytest.param({0: 10_000_000}, 0.5, -202030.251229025, id="decimal, ten million losses"),
    ],
)
def test_log_wealth_keeps_its_digits_up_to_ten_million_pairs(counts, mean, expected):
    assert payoff_log_wealth(counts, mean) == pytest.approx(expected, rel=1e-12, abs=1e-9)


@pytest.mark.parametrize(
    ("pairs", "side", "expected"),
    [
        pytest.param((60, 900, 40), "lower", (-0.009889, 1.0), id="statistics.md (60,900,40) lower"),
        pytest.param((60, 900, 40), "upper", (-1.0, 0.05075), id="statistics.md (60,900,40) upper"),
        pytest.param((30, 100, 10), "lower", (0.010922, 1.0), id="statistics.md (30,100,10) lower"),
        pytest.param((30, 100, 10), "upper", (-1.0, 0.278473), id="statistics.md (30,100,10) upper"),
    ],
)
def test_one_sided_ends_are_the_published_values(pairs, side, expected):
    assert accuracy_difference_sequence(*pairs, 0.05, side) == pytest.approx(expected, abs=1e-6)


def test_two_sides_spend_half_of_alpha_each():
    both = accuracy_difference_sequence(60, 900, 40, 0.05)
    lower, _ = accuracy_difference_sequence(60, 900, 40, 0.025, "lower")
    _, upper = accuracy_difference_sequence(60, 900, 40, 0.025, "upper")
    assert both == (lower, upper)


@pytest.mark.parametrize("counts", [{}, {1: 0, 0.5: 0, 0: 0}])
def test_without_pairs_the_evidence_is_one_and_the_interval_everything(counts):
    assert payoff_log_wealth(counts, 0.3) == 0.0
    assert payoff_mean_sequence(counts, 0.05) == (0.0, 1.0)
    assert paired_log_wealth(0, 0, 0, 0.02) == 0.0
    assert accuracy_difference_sequence(0, 0, 0, 0.05) == (-1.0, 1.0)


def test_ties_are_no_evidence_for_superiority_and_some_for_non_inferiority():
    assert paired_log_wealth(0, 10_000_000, 0, 0.0) == 0.0
    assert paired_log_wealth(0, 1000, 0, 0.01) > 0


@pytest.mark.parametrize("pairs", [(10_000_000, 0, 0), (0, 10_000_000, 0), (0, 0, 10_000_000), (1, 9_999_998, 1)])
def test_the_sequence_stays_in_range_and_holds_the_mean_at_ten_million_pairs(pairs):
    lower, upper = accuracy_difference_sequence(*pairs, 0.05)
    assert -1 <= lower <= (pairs[0] - pairs[2]) / sum(pairs) <= upper <= 1
    assert upper - lower < 0.001


@given(COUNT, COUNT, COUNT, ALPHA)
def test_swapping_the_arms_swaps_the_sequence(wins, ties, losses, alpha):
    lower, upper = accuracy_difference_sequence(wins, ties, losses, alpha)
    swapped = accuracy_difference_sequence(losses, ties, wins, alpha)
    assert swapped == pytest.approx((-upper, -lower), abs=1e-9)


@given(PAYOFFS, ALPHA)
def test_turning_the_payoffs_turns_the_sequence_of_their_mean(counts, alpha):
    apart = {round(payoff, 3): number for payoff, number in counts.items()}  # 1 - x of two payoffs must differ too
    lower, upper = payoff_mean_sequence(apart, alpha)
    assert payoff_mean_sequence(turned(apart), alpha) == pytest.approx((1 - upper, 1 - lower), abs=1e-9)


@given(COUNT, COUNT, COUNT)
def test_a_challenger_is_never_certified_better_and_worse_at_once(wins, ties, losses):
    better = paired_log_wealth(wins, ties, losses, 0.0)
    worse = paired_log_wealth(losses, ties, wins, 0.0)
    assert min(better, worse) <= 1e-9


@given(COUNT, COUNT, COUNT, MARGIN, st.integers(1, 100))
def test_evidence_rises_with_wins_and_falls_with_losses(wins, ties, losses, margin, more):
    now = paired_log_wealth(wins, ties, losses, margin)
    assert paired_log_wealth(wins + more, ties, losses, margin) > now
    assert paired_log_wealth(wins, ties, losses + more, margin) < now


@given(COUNT, COUNT, COUNT, MARGIN, st.floats(0, 0.3))
def test_a_wider_margin_is_never_harder_to_pass(wins, ties, losses, margin, wider):
    narrow = paired_log_wealth(wins, ties, losses, margin)
    assert paired_log_wealth(wins, ties, losses, margin + wider) >= narrow - 1e-9


@given(st.floats(0.01, 0.99), COUNT, COUNT, COUNT, st.floats(0, 1))
def test_counts_of_one_payoff_add_up_over_pods(payoff, here, there, wins, mean):
    apart = payoff_log_wealth({payoff: here, math.nextafter(payoff, 1): there, 1: wins}, mean)
    assert apart == pytest.approx(payoff_log_wealth({1: wins, payoff: here + there}, mean), rel=1e-9, abs=1e-9)


@given(COUNT, COUNT, COUNT, st.floats(0.001, 0.3), ALPHA)
def test_the_lower_end_exceeds_the_margin_exactly_when_the_wealth_reaches_the_threshold(w, t, lost, margin, alpha):
    lower, _ = accuracy_difference_sequence(w, t, lost, alpha, "lower")
    surplus = paired_log_wealth(w, t, lost, margin) - math.log(1 / alpha)
    if abs(surplus) > 1e-6:
        assert (lower > -margin) == (surplus > 0)


@given(COUNT, COUNT, COUNT, ALPHA)
def test_the_sequence_holds_the_observed_difference(wins, ties, losses, alpha):
    lower, upper = accuracy_difference_sequence(wins, ties, losses, alpha)
    observed = (wins - losses) / max(wins + ties + losses, 1)
    assert lower - 1e-9 <= observed <= upper + 1e-9


@given(COUNT, COUNT, COUNT, ALPHA)
def test_a_smaller_alpha_widens_the_sequence(wins, ties, losses, alpha):
    lower, upper = accuracy_difference_sequence(wins, ties, losses, alpha)
    wider_lower, wider_upper = accuracy_difference_sequence(wins, ties, losses, alpha / 2)
    assert wider_lower <= lower + 1e-9
    assert upper - 1e-9 <= wider_upper


@given(PAYOFFS, st.floats(0.01, 0.99), st.floats(0, 1))
def test_one_more_pair_at_the_nulls_mean_never_adds_evidence_on_average(counts, mean, above):
    payoff = mean + above * (1 - mean)
    chance = mean / payoff  # of `payoff`, else 0: the mean is `mean`
    now = payoff_log_wealth(counts, mean)
    paid = payoff_log_wealth(counts | {payoff: counts.get(payoff, 0) + 1}, mean)
    unpaid = payoff_log_wealth(counts | {0: counts.get(0, 0) + 1}, mean)
    assert chance * math.exp(paid - now) + (1 - chance) * math.exp(unpaid - now) <= 1 + 1e-8


def looks_of(rng, *, runs, looks, pairs_a_look, win_share, loss_share):
    """Cumulated (wins, ties, losses) at every look, shape `(runs, looks, 3)`."""
    shares = [win_share, 1 - win_share - loss_share, loss_share]
    return rng.multinomial(pairs_a_look, shares, size=(runs, looks)).cumsum(axis=1)


def runs_that_ever_promote(counts, *, margin, alpha):
    threshold = math.log(1 / alpha)
    return sum(any(paired_log_wealth(*look, margin) >= threshold for look in run) for run in counts.tolist())


@pytest.mark.parametrize("margin", [0.0, 0.02])
def test_looking_at_every_step_does_not_promote_a_challenger_at_the_margin_too_often(margin):
    runs, alpha = 300, 0.05
    rng = np.random.default_rng(20_240_607)
    shares = {"win_share": 0.05 - margin / 2, "loss_share": 0.05 + margin / 2}  # E[d] = -margin: the null's worst case
    counts = looks_of(rng, runs=runs, looks=75, pairs_a_look=20, **shares)
    assert runs_that_ever_promote(counts, margin=margin, alpha=alpha) <= binom.ppf(0.999, runs, alpha)


def test_the_same_looks_do_break_a_fixed_test_and_do_find_a_better_challenger():
    # Without this the bound above could hold because nothing is ever promoted or the looks are too few to matter.
    runs, alpha = 200, 0.05
    rng = np.random.default_rng(20_240_608)
    equal = looks_of(rng, runs=runs, looks=75, pairs_a_look=20, win_share=0.05, loss_share=0.05)
    wins, losses = equal[..., 0], equal[..., 2]
    fixed = ((wins - losses) / np.sqrt(np.maximum(wins + losses, 1)) > 1.645).any(axis=1)
    assert fixed.sum() > 2 * binom.ppf(0.999, runs, alpha)
    better = looks_of(rng, runs=runs, looks=75, pairs_a_look=20, win_share=0.08, loss_share=0.03)
    assert runs_that_ever_promote(better, margin=0.0, alpha=alpha) > 0.9 * runs


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: paired_log_wealth(-1, 0, 0, 0), "wins"),
        (lambda: paired_log_wealth(0, 0.5, 0, 0), "ties"),
        (lambda: paired_log_wealth(0, 0, math.inf, 0), "losses"),
        (lambda: paired_log_wealth(1, 1, 1, 1.0), "margin"),
        (lambda: paired_log_wealth(1, 1, 1, -1.0), "margin"),
        (lambda: paired_log_wealth(1, 1, 1, math.nan), "margin"),
        (lambda: payoff_log_wealth({1.1: 1}, 0.5), "payoff"),
        (lambda: payoff_log_wealth({math.nan: 1}, 0.5), "payoff"),
        (lambda: payoff_log_wealth({0.5: -1}, 0.5), "payoff 0.5"),
        (lambda: payoff_log_wealth({0.5: math.nan}, 0.5), "payoff 0.5"),
        (lambda: payoff_log_wealth({0.5: 1}, -0.1), "mean"),
        (lambda: payoff_mean_sequence({0.5: 1}, 0.0), "alpha"),
        (lambda: payoff_mean_sequence({0.5: 1}, 1.0), "alpha"),
        (lambda: payoff_mean_sequence({0.5: 1}, math.nan), "alpha"),
        (lambda: payoff_mean_sequence({0.5: 1}, 0.05, "left"), "side"),
        (lambda: accuracy_difference_sequence(1, 1, 1, 2.0), "alpha"),
        (lambda: accuracy_difference_sequence(1, -1, 1, 0.05), "ties"),
    ],
)
def test_a_bad_argument_is_named_with_what_is_allowed(call, named):
    with pytest.raises(ValueError, match=rf"{named}.* must (be|lie)"):
        call()
