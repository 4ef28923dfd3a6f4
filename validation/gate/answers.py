"""What both models answered, as the numbers that pictures are drawn from."""

from __future__ import annotations

from contextlib import suppress

import numpy as np

from validation.gate.checks.rule import or_none
from validation.gate.evidence import Evidence, Subject
from validation.gate.intervals import CONFIDENCE, measure_metric
from validation.gate.metrics import METRICS, Answered, FloatArray
from validation.gate.report import Answers, Curve, Part
from validation.statistics import calibration, equal_count_bins, wilson_interval

_POINTS = 200
_BINS = 20


def answers_of(evidence: Evidence) -> tuple[Answers, ...]:
    """Of the candidate, and of the champion where there is one; a model that gave no probabilities is left out."""
    found = []
    for subject in evidence.subjects:
        with suppress(ValueError):  # the checks say why: they are errors then
            found.append(_answers(subject, evidence))
    return tuple(found)


def _answers(subject: Subject, evidence: Evidence) -> Answers:
    answered = evidence.answered(subject)
    counts = answered.confusion
    roc, precision_recall = _curves(answered)
    line = calibration(answered.truth, answered.probabilities)
    return Answers(
        role=subject.role,
        cut=subject.cut,
        tp=int(counts.tp),
        fp=int(counts.fp),
        fn=int(counts.fn),
        tn=int(counts.tn),
        roc=roc,
        precision_recall=precision_recall,
        calibration=_calibration(answered),
        histogram=_histogram(answered),
        metrics=_metrics(answered, evidence.seed),
        slope=or_none(line.slope),
        intercept=or_none(line.intercept),
    )


def _curves(answered: Answered) -> tuple[Curve, Curve]:
    """Both curves over all cuts, from none to all called positive; thinned to few points, with their ends."""
    order = np.argsort(-answered.probabilities, kind="stable")
    truth, falling = answered.truth[order], answered.probabilities[order]
    last_of_ties = np.flatnonzero(np.append(np.diff(falling) != 0, True))
    found = np.concatenate([[0], np.cumsum(truth)[last_of_ties]])
    called = np.concatenate([[0], last_of_ties + 1])
    positives, negatives = max(int(truth.sum()), 1), max(int((~truth).sum()), 1)
    kept = np.unique(np.linspace(0, len(called) - 1, _POINTS).round().astype(int))
    recall, false_share = found / positives, (called - found) / negatives
    precision = np.where(called > 0, found / np.maximum(called, 1), 1.0)
    return _curve(false_share[kept], recall[kept]), _curve(recall[kept], precision[kept])


def _curve(x: FloatArray, y: FloatArray) -> Curve:
    return Curve(tuple(x.round(6).tolist()), tuple(y.round(6).tolist()))


def _calibration(answered: Answered) -> tuple[Part, ...]:
    number = equal_count_bins(answered.probabilities, 10)
    parts = []
    for one in range(int(number.max()) + 1 if number.size else 0):
        rows = number == one
        count, true = int(rows.sum()), int((rows & answered.truth).sum())
        low, high = wilson_interval(true, count, CONFIDENCE)
        promised = float(answered.probabilities[rows].mean()) if count else 0.0
        if count:
            parts.append(Part(name=f"{promised:.4f}", n=count, value=true / count, low=low, high=high))
    return tuple(parts)


def _histogram(answered: Answered) -> tuple[tuple[int, ...], tuple[int, ...]]:
    edges = np.linspace(0, 1, _BINS + 1)
    negative, positive = (
        tuple(np.histogram(answered.probabilities[rows], bins=edges)[0].tolist())
        for rows in (~answered.truth, answered.truth)
    )
    return negative, positive


def _metrics(answered: Answered, seed: int) -> tuple[Part, ...]:
    parts = []
    for number, name in enumerate(METRICS):
        measured = measure_metric(name, answered, np.random.default_rng([seed, number]))
        value, low, high = (or_none(number) for number in (measured.value, measured.low, measured.high))
        parts.append(Part(name=name, n=measured.n, value=value, low=low, high=high))
    return tuple(parts)
