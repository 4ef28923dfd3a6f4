"""The bound on series: every record is counted, and what processes export stays below it."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import get_args

import pytest

from service.insight.answering import Explained
from service.insight.emails.writing import Source, Why
from service.insight.metrics import InsightCounts, InsightState, render_metrics
from service.scoring.models import Identity
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


def test_insight_exports_no_more_than_is_counted() -> None:
    counts = InsightCounts()
    for number in (1, 2):
        for result in get_args(Explained):
            counts.count_explained(Identity(name="toy", version=str(number), digest="sha256:1"), result, 0.1)
    for source, reason in product(get_args(Source), get_args(Why)):
        counts.count_draft(source, reason, 0.1)
    state = InsightState(kept=0, workers=1, deaths=0, waiting=0, groq_calls_left=1, is_groq_left_alone=False)
    lines = render_metrics(counts, state).decode().splitlines()
    assert sum(not line.startswith("#") for line in lines) == at_most(CONTRACT, Size(models=2))["insight"]


def test_pods_add_up_and_what_is_recorded_does_not() -> None:
    one, three = at_most(CONTRACT, Size(pods=1)), at_most(CONTRACT, Size(pods=3))
    assert three["scoring"] == 3 * one["scoring"]
    assert three["judge"] == one["judge"]
    assert three["recorded"] - one["recorded"] == 2 * 2  # two records are of each pod


def test_the_readme_prints_what_is_counted_here() -> None:
    assert table(CONTRACT) in (Path(__file__).parents[2] / "README.md").read_text()
