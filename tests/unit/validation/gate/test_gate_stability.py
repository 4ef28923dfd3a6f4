"""Stability: candidates that tell customers something else than the champion did."""

import dataclasses

import msgspec
import numpy as np
import pytest
from gate_customers import N, found_for, rule, sensible
from gate_evidence import CONTRACT, judge

from bentos.artifact import RiskBand


def with_bands(found, *starts):
    bands = tuple(RiskBand(name=f"from {start}", from_probability=start) for start in starts)
    return dataclasses.replace(found, contract=msgspec.structs.replace(CONTRACT, risk_bands=bands))


def test_who_changes_many_answers_is_not_stable():
    def turned(rows):
        return 1 - sensible(rows)

    (same,) = judge(
        rule("stability", measure="label_changes", at_most=0.1, judge_by="interval"), found_for(sensible, sensible)
    )
    (other,) = judge(
        rule("stability", measure="label_changes", at_most=0.1, judge_by="interval"), found_for(turned, sensible)
    )
    assert (same.status, same.value, same.details["rank_correlation"]) == ("PASS", 0.0, pytest.approx(1))
    assert (other.status, other.value) == ("FAIL", pytest.approx(1.0, abs=0.01))
    assert other.details["rank_correlation"] == pytest.approx(-1)


def test_bands_and_probabilities_can_be_held_too():
    banded = with_bands(found_for(lambda rows: sensible(rows) * 0.8, sensible), 0.0, 0.5)
    (bands,) = judge(rule("stability", measure="band_changes", at_most=0.01, judge_by="point"), banded)
    scaled, whole = banded.candidate.probabilities, banded.champion.probabilities
    assert bands.value == pytest.approx(np.mean((scaled >= 0.5) != (whole >= 0.5)))
    (mean,) = judge(rule("stability", measure="mean_difference", at_most=0.5, judge_by="interval"), banded)
    assert mean.value == pytest.approx(np.abs(scaled - whole).mean())


def test_every_measure_stands_in_the_details_whichever_is_judged():
    (result,) = judge(
        rule("stability", measure="mean_difference", at_most=0.5, judge_by="point"),
        with_bands(found_for(lambda rows: sensible(rows) * 0.8, sensible), 0.0, 0.5),
    )
    details = result.details
    assert set(details) == {
        "label_changes", "now_positive", "no_longer_positive", "mean_difference", "band_changes", "rank_correlation",
    }  # fmt: skip
    assert details["now_positive"] == 0
    assert details["no_longer_positive"] == pytest.approx(details["label_changes"] * N)


def test_ranks_can_be_held():
    def noisy(rows):
        return np.clip(sensible(rows) + np.random.default_rng(5).normal(0, 0.2, len(rows)), 0, 1).astype(np.float32)

    held = rule("stability", measure="rank_correlation", at_least=0.95, judge_by="interval")
    (same,) = judge(held, found_for(lambda rows: sensible(rows) ** 2, sensible))
    (other,) = judge(held, found_for(noisy, sensible))
    assert (same.status, same.value) == ("PASS", pytest.approx(1))
    assert same.low < 1
    assert other.status == "FAIL"
    # Bonett & Wright 2000: tanh(atanh(r) -+ 1.96 sqrt((1 + r^2 / 2) / (n - 3))).
    width = 1.959964 * np.sqrt((1 + other.value**2 / 2) / (N - 3))
    assert other.low == pytest.approx(np.tanh(np.arctanh(other.value) - width), abs=1e-6)


def test_what_cannot_change_or_be_ranked_is_an_error():
    one_band = with_bands(found_for(sensible, sensible), 0.0)
    (bands,) = judge(rule("stability", measure="band_changes", at_most=0.5, judge_by="point"), one_band)
    assert (bands.status, bands.reason[:30]) == ("ERROR", "the contract has one risk band")
    constant = found_for(lambda rows: np.full(len(rows), 0.3, dtype=np.float32), sensible)
    (ranks,) = judge(rule("stability", measure="rank_correlation", at_least=0.5, judge_by="point"), constant)
    assert (ranks.status, ranks.reason[:29]) == ("ERROR", "the candidate gives every row")
