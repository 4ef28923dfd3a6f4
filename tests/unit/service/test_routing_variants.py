"""Routing: sticky, uniform, monotone in the split, and the same for ever."""

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from service.scoring import routing
from service.scoring.routing import assign_variant, position

SALTS = st.text(min_size=1, max_size=20).filter(lambda text: _is_utf8(text))
CUSTOMERS = st.text(min_size=1, max_size=40).filter(lambda text: _is_utf8(text))
SPLITS = st.floats(min_value=0, max_value=1)

# From `printf 'gauntlet\n7590-VHVEG' | sha256sum` and the like: first 8 bytes, >> 11, * 2**-53.
GOLDEN = [
    ("gauntlet", "7590-VHVEG", 0.29673192058736186),
    ("gauntlet", "5575-GNVDE", 0.1678496771028114),
    ("another salt", "7590-VHVEG", 0.09699059040321578),
    ("gauntlet", "Žofie 東京", 0.6829318213021145),
]


def _is_utf8(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


@pytest.mark.parametrize(("salt", "customer", "expected"), GOLDEN)
def test_positions_are_those_that_other_languages_compute(salt, customer, expected):
    assert position(salt, customer) == expected


def test_the_documented_example_holds():
    assert doctest.testmod(routing).failed == 0


@given(SALTS, CUSTOMERS, SPLITS)
def test_a_customer_stays_with_a_variant(salt, customer, split):
    assert assign_variant(salt, customer, split) == assign_variant(salt, customer, split)


@given(SALTS, CUSTOMERS, SPLITS, SPLITS)
def test_raising_the_split_moves_customers_to_the_challenger_only(salt, customer, one, other):
    low, high = sorted((one, other))
    if assign_variant(salt, customer, low) == "challenger":
        assert assign_variant(salt, customer, high) == "challenger"


@given(SALTS, CUSTOMERS)
def test_nobody_at_zero_and_everybody_at_one(salt, customer):
    assert assign_variant(salt, customer, 0.0) == "champion"
    assert assign_variant(salt, customer, 1.0) == "challenger"


@given(SALTS, SPLITS)
def test_a_request_that_names_nobody_is_the_champions(salt, split):
    assert assign_variant(salt, None, split) == "champion"


@pytest.mark.parametrize("salt", ["a", "b", "7f3e9c0d"])
def test_customers_spread_evenly(salt):
    counts = [0] * 50
    for number in range(20_000):
        counts[int(position(salt, f"customer-{number}") * 50)] += 1
    assert chisquare(counts).pvalue > 1e-4


def test_salts_are_unrelated():
    both = sum(position("a", str(n)) < 0.5 and position("b", str(n)) < 0.5 for n in range(20_000))
    assert abs(both / 20_000 - 0.25) < 0.015  # five standard deviations
