import math

import numpy as np
import pytest
from scipy.stats import bootstrap

from validation.statistics import bootstrap_interval


def mean(values):
    return float(np.mean(values))


def test_it_is_scipys_bca_from_the_same_generator():
    rows = np.random.default_rng(0).exponential(1, 80)
    found = bootstrap_interval([rows], mean, np.random.default_rng(1), resamples=500)
    theirs = bootstrap(
        (rows,), mean, vectorized=False, n_resamples=500, method="BCa", rng=np.random.default_rng(1)
    ).confidence_interval
    assert found == (theirs.low, theirs.high)


def test_the_seed_decides_it():
    rows = np.random.default_rng(0).normal(size=50)
    first, again, other = (bootstrap_interval([rows], mean, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first == again != other


def test_rows_are_drawn_whole():
    """The difference of a column with itself never varies, however rows are drawn."""
    rows = np.random.default_rng(0).normal(size=50)
    found = bootstrap_interval([rows, rows], lambda a, b: float(np.mean(a - b)), np.random.default_rng(0))
    assert found == (0.0, 0.0)


def test_where_bca_does_not_exist_the_percentiles_stand_in():
    found = bootstrap_interval([np.ones(20)], mean, np.random.default_rng(0))
    assert found == (1.0, 1.0)


def test_resamples_without_a_value_are_left_out():
    rows = np.array([0.0] * 30 + [1.0])

    def share_of_known(values):
        return float(values.mean()) if values.any() else math.nan

    low, high = bootstrap_interval([rows], share_of_known, np.random.default_rng(0), resamples=400)
    assert 0 < low <= 1 / 31 <= high < 0.2


def test_nothing_but_undefined_values_is_no_interval():
    assert all(
        math.isnan(end) for end in bootstrap_interval([np.ones(5)], lambda _: math.nan, np.random.default_rng(0))
    )


def test_it_covers_as_often_as_it_says():
    covered = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        low, high = bootstrap_interval([rng.exponential(1, 60)], mean, rng, resamples=200)
        covered += low <= 1 <= high
    assert covered >= 200 * 0.86


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        ([], {}, "columns"),
        ([[1.0]], {}, "columns"),
        ([[1.0, 2.0], [1.0]], {}, "columns"),
        ([[1.0, 2.0]], {"confidence": 1}, "confidence"),
        ([[1.0, 2.0]], {"resamples": 10}, "resamples"),
    ],
)
def test_what_cannot_be_computed_is_refused_by_name(columns, options, message):
    with pytest.raises(ValueError, match=message):
        bootstrap_interval(columns, mean, np.random.default_rng(0), **options)
