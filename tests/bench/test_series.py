"""The bound on series: every record is counted, and what processes export stays below it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.counting import USE_CASE, reference_of
from tests.bench.series import Size, at_most, combinations_of, recorded, table
from training.use_case import load_use_case

CONTRACT = load_use_case(USE_CASE).contract


def test_everything_that_rules_record_is_counted() -> None:
    assert all(combinations_of(name, CONTRACT, Size()) for name in recorded())
    bins = sum(len(binned.bins) for binned in reference_of(CONTRACT).features)
    assert combinations_of("gauntlet:feature_bin:share1h", CONTRACT, Size(models=3)) == 3 * bins


def test_a_record_that_nobody_counts_is_refused() -> None:
    with pytest.raises(ValueError, match="gauntlet:customer:share1h"):
        combinations_of("gauntlet:customer:share1h", CONTRACT, Size())


def test_pods_add_up_and_what_is_recorded_does_not() -> None:
    one, three = at_most(CONTRACT, Size(pods=1)), at_most(CONTRACT, Size(pods=3))
    assert three["scoring"] == 3 * one["scoring"]
    assert three["judge"] == one["judge"]
    assert three["recorded"] - one["recorded"] == 2 * 2  # two records are of each pod


def test_the_readme_prints_what_is_counted_here() -> None:
    assert table(CONTRACT) in (Path(__file__).parents[2] / "README.md").read_text()
