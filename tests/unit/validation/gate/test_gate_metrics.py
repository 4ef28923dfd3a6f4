import numpy as np
import pytest
import sklearn.metrics as reference
from hypothesis import given, settings
from hypothesis import strategies as st

from validation.gate.metrics import (
    LABEL_METRICS,
    METRICS,
    RANK_METRICS,
    Answered,
    Confusion,
    confusion_of,
    tie_starts,
    value_of,
)
from validation.statistics import calibration

# tp 3, fp 1, fn 2, tn 4, by hand.
COUNTS = Confusion(tp=np.array(3.0), fp=np.array(1.0), fn=np.array(2.0), tn=np.array(4.0))

REFERENCES = {
    "accuracy": reference.accuracy_score,
    "balanced_accuracy": reference.balanced_accuracy_score,
    **{
        f"{name}_{ours}": lambda t, p, f=function, a=theirs: f(t, p, average=a, zero_division=0)
        for name, function in [
            ("precision", reference.precision_score),
            ("recall", reference.recall_score),
            ("f1", reference.f1_score),
        ]
        for ours, theirs in [("positive", "binary"), ("macro", "macro"), ("weighted", "weighted")]
    },
    **{
        f"{name}_negative": lambda t, p, f=function: f(t, p, pos_label=False, zero_division=0)
        for name, function in [
            ("precision", reference.precision_score),
            ("recall", reference.recall_score),
            ("f1", reference.f1_score),
        ]
    },
    "brier": reference.brier_score_loss,
    "log_loss": lambda t, p: reference.log_loss(t, p, labels=[False, True]),
    "roc_auc": reference.roc_auc_score,
    "pr_auc": reference.average_precision_score,
}

rows = st.lists(
    st.tuples(st.booleans(), st.integers(0, 10).map(lambda tenth: tenth / 10)), min_size=4, max_size=60
).filter(lambda found: len({truth for truth, _ in found}) == 2)


def by_rank(name, truth, scores, weights=None):
    order = np.argsort(scores, kind="stable")
    weights = np.ones(len(truth)) if weights is None else weights
    return float(RANK_METRICS[name](truth[order], tie_starts(scores[order]), weights[order]))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("accuracy", 7 / 10),
        ("balanced_accuracy", (3 / 5 + 4 / 5) / 2),
        ("precision_positive", 3 / 4),
        ("recall_positive", 3 / 5),
        ("f1_positive", 6 / 9),
        ("precision_weighted", (5 * 3 / 4 + 5 * 4 / 6) / 10),
        ("recall_weighted", 7 / 10),
        ("f1_weighted", (6 / 9 + 8 / 11) / 2),
    ],
)
def test_metrics_of_ten_rows_counted_by_hand(name, expected):
    assert float(LABEL_METRICS[name](COUNTS)) == pytest.approx(expected, abs=1e-15)


@settings(deadline=None, max_examples=10)
@given(rows)
@pytest.mark.parametrize("name", [name for name in METRICS if name not in ("ece", "profit")])
def test_every_metric_is_what_scikit_learn_calls_so(name, found):
    truth = np.array([t for t, _ in found])
    scores = np.array([s for _, s in found])
    answers = scores >= 0.5 if name in LABEL_METRICS else scores
    ours = value_of(name, Answered(truth, scores, scores >= 0.5))
    assert ours == pytest.approx(REFERENCES[name](truth, answers), abs=1e-12)


def test_a_weight_of_two_is_the_row_twice():
    truth, scores = np.array([True, False, True, False]), np.array([0.9, 0.8, 0.3, 0.3])
    twice = [0, 0, 1, 2, 3]
    for name in RANK_METRICS:
        weighted = by_rank(name, truth, scores, np.array([2.0, 1.0, 1.0, 1.0]))
        assert weighted == pytest.approx(by_rank(name, truth[twice], scores[twice]))


def test_ranks_of_one_class_are_undefined_and_not_a_number():
    for name in RANK_METRICS:
        assert np.isnan(by_rank(name, np.zeros(3, dtype=bool), np.array([0.1, 0.2, 0.3])))


def test_a_class_that_is_never_answered_has_precision_zero():
    counts = confusion_of(np.array([True, False]), np.array([False, False]))
    assert float(LABEL_METRICS["precision_positive"](counts)) == 0.0


def test_profit_is_what_the_answers_spare_beside_flagging_nobody():
    truth = np.array([True] * 5 + [False] * 5)
    positives = np.array([True] * 3 + [False] * 2 + [True] + [False] * 4)
    scores = positives.astype(float)
    # Three found spare 3 misses, one needless flag costs a fifth of one; over ten rows.
    assert value_of("profit", Answered(truth, scores, positives, 0.2)) == pytest.approx((3 - 0.2) / 10)
    # Where needless flags are the dearer mistake, they are the unit.
    assert value_of("profit", Answered(truth, scores, positives, 5.0)) == pytest.approx((3 / 5 - 1) / 10)
    assert value_of("profit", Answered(truth, scores, np.zeros(10, dtype=bool), 0.2)) == 0


def test_the_calibration_error_is_that_of_the_statistics():
    rng = np.random.default_rng(0)
    scores = rng.random(500)
    truth = rng.random(500) < scores**2
    answered = Answered(truth, scores, scores > 0.5)
    assert value_of("ece", answered) == pytest.approx(calibration(truth, scores).ece)
    assert value_of("brier", answered) == pytest.approx(calibration(truth, scores).brier)


def test_a_certainty_that_is_wrong_is_dear_and_finite():
    answered = Answered(np.array([True, False]), np.array([0.0, 1.0]), np.array([False, True]))
    assert 30 < value_of("log_loss", answered) < 40
