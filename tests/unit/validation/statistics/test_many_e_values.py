"""e-BH, e-LOND and the mean of e-values."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from validation.statistics import e_benjamini_hochberg, e_lond_level, e_mean

LOGS = st.lists(st.floats(-5, 12), min_size=1, max_size=12)


def by_definition(log_es, alpha):
    """Wang & Ramdas 2022: reject the k largest, k the largest number with e_(k) >= m / (k alpha)."""
    order = sorted(range(len(log_es)), key=lambda i: -log_es[i])
    most = 0
    for k, index in enumerate(order, 1):
        if math.exp(log_es[index]) >= len(log_es) / (k * alpha):
            most = k
    return set(order[:most])


@given(LOGS, st.sampled_from([0.05, 0.1, 0.5]))
def test_the_rejected_are_those_of_the_definition(log_es, alpha):
    found = {int(i) for i in np.flatnonzero(e_benjamini_hochberg(log_es, alpha))}
    assert by_definition(log_es, alpha) <= found
    assert {log_es[i] for i in found} == {log_es[i] for i in by_definition(log_es, alpha)}


@given(LOGS)
def test_more_evidence_rejects_no_less(log_es):
    before = e_benjamini_hochberg(log_es, 0.1)
    after = e_benjamini_hochberg([log_e + 1 for log_e in log_es], 0.1)
    assert (before <= after).all()


def test_one_hypothesis_needs_one_over_alpha():
    assert e_benjamini_hochberg([math.log(20.001)], 0.05).tolist() == [True]
    assert e_benjamini_hochberg([math.log(19.999)], 0.05).tolist() == [False]
    assert e_benjamini_hochberg([], 0.05).tolist() == []
    assert e_benjamini_hochberg([math.inf, -math.inf], 0.05).tolist() == [True, False]


def test_the_levels_of_a_line_that_promotes_nobody_sum_to_alpha():
    levels = [e_lond_level(0.05, t, 0) for t in range(1, 20_001)]
    assert sum(levels) < 0.05
    assert sum(levels) == pytest.approx(0.05, abs=1e-5)
    assert levels == sorted(levels, reverse=True)


def test_every_promotion_raises_the_level_of_those_after_it():
    assert e_lond_level(0.05, 5, 3) == pytest.approx(4 * e_lond_level(0.05, 5, 0))
    assert e_lond_level(0.05, 1, 0) == pytest.approx(0.05 * 6 / math.pi**2)


def test_over_twenty_challengers_that_are_no_better_few_are_promoted():
    """Each looked at until its e-value crosses or 60 looks pass; a fixed level promotes one of them in most lines."""
    rng = np.random.default_rng(5)
    bet = 0.2
    promoted_fixed = promoted_lond = 0
    for _ in range(300):
        fixed = lond = 0
        for t in range(1, 21):
            path = np.log1p(bet * rng.choice([-1, 1], 600)).cumsum().max()
            fixed += path >= math.log(20)
            lond += path >= -math.log(e_lond_level(0.05, t, lond))
        promoted_fixed += fixed > 0
        promoted_lond += lond > 0
    assert promoted_lond <= 300 * 0.05 + 3 * math.sqrt(300 * 0.05 * 0.95)
    assert promoted_fixed > 300 * 0.2


def test_the_mean_of_e_values_lies_between_them():
    assert e_mean([0.0, math.log(3)]) == pytest.approx(math.log(2))
    assert e_mean([-math.inf, math.log(4)]) == pytest.approx(math.log(2))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: e_benjamini_hochberg([math.nan], 0.05), "log_es"),
        (lambda: e_benjamini_hochberg([1.0], 0), "alpha"),
        (lambda: e_lond_level(0.05, 0, 0), "t is 0"),
        (lambda: e_lond_level(0.05, 2, 2), "below t"),
        (lambda: e_lond_level(1, 1, 0), "alpha"),
        (lambda: e_mean([1.0]), "log_es"),
    ],
)
def test_what_cannot_be_computed_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()
