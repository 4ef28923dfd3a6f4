"""Quiet where nothing drifts, where the bare rule is not, and told where something does: in the same weeks."""

import numpy as np
import pytest

from tests.bench.drift_alarms import WINDOWS, quiet_weeks, shifts, sums, telco, tilted

WEEKS = 4


@pytest.fixture(scope="module")
def world():
    return telco()


@pytest.mark.parametrize(("volume", "repeats"), [(100, 1), (1_000, 1), (1_000, 4), (10_000, 4)])
def test_ours_is_silent_in_quiet_weeks_in_which_the_bare_rule_tells_of_drift(world, volume, repeats):
    found = quiet_weeks(world, volume, repeats, WEEKS, seed=1)
    ours, bare, _ = found.weeks
    assert ours == 0
    assert bare == WEEKS


def test_a_shift_that_matters_is_told_within_a_day_of_a_thousand_customers_a_day_or_two(world):
    found = shifts(world, 0.5, 1_000, 5, seed=1)
    assert found.share == 1
    assert found.hours is not None
    assert found.hours <= 48


def test_a_shift_that_does_not_matter_is_not_told_however_sure_it_is(world):
    assert shifts(world, 0.05, 100_000, 3, seed=1).share == 0


def test_sums_are_of_the_last_rows():
    counts = np.arange(10.0).reshape(-1, 1)
    assert sums(counts, 3, 5).ravel().tolist() == [sum(range(i - 2, i + 1)) for i in range(5, 10)]


@pytest.mark.parametrize("size", [0.05, 0.3])
def test_a_tilted_distribution_has_the_psi_that_was_asked_for(size):
    before = np.full(10, 0.1)
    after = tilted(before, size)
    assert np.sum((after - before) * np.log(after / before)) == pytest.approx(size)


def test_the_windows_are_those_of_the_committed_rules():
    from grafana.drift import DEFAULT

    assert [window.seconds for window in WINDOWS] == [window.seconds for window in DEFAULT.windows]
