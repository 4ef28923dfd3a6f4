from __future__ import annotations

from bisect import bisect_right

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bentos.artifact import Numeric, dump_json
from training.data import Data
from training.reference import _bin, reference_of
from training.use_case import UseCase


def test_every_row_is_counted_once_in_every_distribution(telco_use_case: UseCase, synthetic: Data) -> None:
    scores = np.random.default_rng(0).random(len(synthetic.frame))
    reference = reference_of(telco_use_case.contract, synthetic.frame, scores)
    assert reference.n == len(synthetic.frame)
    for binned in (*reference.features, reference.score):
        assert sum(binned.counts) == reference.n
        assert len(binned.bins) == len(binned.counts)


def test_bins_of_missing_and_unseen_are_there_where_they_can_be(telco_use_case: UseCase, synthetic: Data) -> None:
    reference = reference_of(telco_use_case.contract, synthetic.frame, np.zeros(len(synthetic.frame)))
    bins = {binned.name: binned.bins for binned in reference.features}
    assert bins["Contract"] == ("Month-to-month", "One year", "Two year", "unseen")
    assert bins["TotalCharges"][-1] == "missing"
    assert "missing" not in bins["tenure"]


def test_deviations_and_means_are_those_of_rows_that_are_not_missing(telco_use_case: UseCase, synthetic: Data) -> None:
    reference = reference_of(telco_use_case.contract, synthetic.frame, np.zeros(len(synthetic.frame)))
    for feature, binned in zip(telco_use_case.contract.features, reference.features, strict=True):
        expected = synthetic.frame[feature.name].std(ddof=0) if isinstance(feature, Numeric) else None
        assert binned.deviation == (pytest.approx(expected) if expected is not None else None)
        mean = synthetic.frame[feature.name].mean() if isinstance(feature, Numeric) else None
        assert binned.mean == (pytest.approx(mean) if mean is not None else None)
    assert reference.score.mean == 0.0


def test_bins_between_edges_have_an_order_and_others_have_none(telco_use_case: UseCase, synthetic: Data) -> None:
    reference = reference_of(telco_use_case.contract, synthetic.frame, np.zeros(len(synthetic.frame)))
    ordered = {binned.name: binned.ordered for binned in reference.features}
    assert ordered["Contract"] == ()
    assert "missing" not in ordered["TotalCharges"]
    assert len(ordered["tenure"]) > 2


def test_the_same_rows_give_the_same_bytes(telco_use_case: UseCase, synthetic: Data) -> None:
    scores = np.random.default_rng(0).random(len(synthetic.frame))
    one, other = (reference_of(telco_use_case.contract, synthetic.frame, scores) for _ in range(2))
    assert dump_json(one) == dump_json(other)


@given(st.lists(st.integers(-5, 5) | st.floats(-1e6, 1e6), max_size=60))
def test_edges_rise_and_no_bin_at_either_end_is_empty(values: list[float]) -> None:
    edges, bins, counts = _bin(np.array(values, dtype=np.float64))
    assert list(edges) == sorted(set(edges))
    assert len(bins) == len(counts) == len(edges) + 1
    for position in {bisect_right(edges, value) for value in values}:
        assert counts[position] > 0
    if values:
        assert counts[0] > 0
        assert counts[-1] > 0


def test_deciles_of_distinct_values_hold_a_tenth_each() -> None:
    _, _, counts = _bin(np.arange(1000, dtype=np.float64))
    assert counts == (100,) * 10


def test_ties_are_merged() -> None:
    edges, bins, counts = _bin(np.array([0.0] * 70 + [5.0] * 30))
    assert (edges, counts) == ((5.0,), (70, 30))
    assert bins == ("below 5", "5 and above")
