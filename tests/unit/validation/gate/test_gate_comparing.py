"""Two models on the same rows: the statistics' own numbers, rows that neither saw, and advice that admits ignorance."""

from __future__ import annotations

import numpy as np
import pytest
from gate_evidence import TRUTH, answers, columns_of, evidence, right_on
from scipy.stats import norm

from bentos.errors import Refused
from validation.gate.comparing import Compared, advise, common_holdout, compare
from validation.gate.holdout import Holdout
from validation.statistics import delong, mcnemar, tango_interval

NAMES = ("toy v1", "toy v2")


def compared(first, second) -> Compared:
    return compare(evidence(answers(first), answers(second)))


def test_the_table_counts_every_row_once_and_the_tests_are_the_statistics_own():
    first, second = right_on(90), right_on(70)[::-1]
    found = compared(first, second)
    b, c = int((first & ~second).sum()), int((second & ~first).sum())
    assert (found.first_alone, found.second_alone) == (b, c)
    assert found.both_right + found.first_alone + found.second_alone + found.neither == found.n == 100
    assert found.labels == mcnemar(b, c)
    assert found.accuracy == ((b - c) / 100, *tango_interval(b, c, 100))


def test_the_areas_are_compared_by_delong_first_minus_second():
    rng = np.random.default_rng(5)
    first, second = (np.clip(0.5 + part * (TRUTH - 0.5) + rng.normal(0, 0.2, 100), 0, 1) for part in (0.4, 0.1))
    found = compare(evidence(first, second))
    # The model answers in single precision, as model.onnx does.
    direct = delong(TRUTH, second.astype(np.float32), first.astype(np.float32))
    assert found.ranks == direct
    assert found.roc_auc[0] == direct.difference == direct.auc_b - direct.auc_a
    assert found.roc_auc[1] == pytest.approx(direct.difference - norm.isf(0.025) * direct.standard_error)


def test_a_model_that_labels_and_ranks_better_is_recommended_whichever_side_it_stands_on():
    good, bad = right_on(95), right_on(60)
    assert advise(compared(good, bad), NAMES).better == 0
    turned = advise(compared(bad, good), NAMES)
    assert turned.better == 1
    assert turned.says.startswith("toy v2 is better on these 100 rows, by its labels and its ranks")


def test_where_the_rows_do_not_tell_it_says_so_and_not_that_they_are_equal():
    advice = advise(compared(right_on(80), right_on(79)), NAMES)
    assert advice.better is None
    assert "cannot tell toy v1 and toy v2 apart" in advice.says
    assert "does not make them equal" in advice.reasons[-1]


def test_equal_answers_are_no_difference():
    advice = advise(compared(right_on(80), right_on(80)), NAMES)
    assert advice.better is None


def test_two_tests_share_one_level():
    """Each alone would be shown at 5 %; together neither is, as Holm asks the smaller to reach 2.5 %."""
    found = compared(right_on(90), right_on(70))
    one = mcnemar(20, 9)
    assert 0.025 < one.mid_p < 0.05
    ranks = delong([0, 0, 1, 1], [1, 2, 1, 2], [1, 2, 1, 2])
    weak = Compared(**{**vars(found), "labels": one, "ranks": ranks})
    assert advise(weak, NAMES).better is None


def test_tests_that_contradict_each_other_recommend_nobody():
    found = compared(right_on(95), right_on(60))
    against = delong(TRUTH, answers(right_on(95)), answers(right_on(60)))
    torn = Compared(**{**vars(found), "ranks": against, "roc_auc": (against.difference, -0.5, -0.1)})
    advice = advise(torn, NAMES)
    assert advice.better is None
    assert "contradict" in advice.says


def test_too_few_rows_of_a_class_are_refused():
    truth = np.array([True] * 5 + [False] * 95)
    with pytest.raises(Refused, match="5 positive rows of 100"):
        compare(evidence(answers(right_on(90), truth), answers(right_on(80), truth), truth=truth))


def holdout(ids, *, digest="sha256:one", tenure=10, truth=None) -> Holdout:
    n = len(ids)
    own = np.arange(n) % 2 == 0 if truth is None else truth
    return Holdout(digest, columns_of(n, tenure=[tenure] * n), own, tuple(ids))


def test_the_same_holdout_is_used_whole():
    one = holdout(range(40))
    assert common_holdout(one, holdout(range(40))) is one


def test_of_different_holdouts_only_rows_that_stand_in_both_are_used():
    found = common_holdout(holdout(range(60)), holdout(range(20, 90), digest="sha256:other"))
    assert found.ids == tuple(range(20, 60))
    assert found.truth.tolist() == [one % 2 == 0 for one in range(20, 60)]
    assert len(found.columns["plan"]) == 40


def test_a_row_under_the_same_id_with_another_value_is_another_row():
    with pytest.raises(Refused, match="0 rows stand in both"):
        common_holdout(holdout(range(60)), holdout(range(60), digest="sha256:other", tenure=11))


def test_holdouts_without_common_rows_are_refused_with_the_reason():
    with pytest.raises(Refused, match="Each may have been trained on the other's holdout"):
        common_holdout(holdout(range(60)), holdout(range(100, 160), digest="sha256:other"))
