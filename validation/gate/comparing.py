"""Two models on the same rows: who is better, by which test, and whether the data can tell at all.

It is for looking and decides nothing: a candidate is judged by a policy, and live customers have the last word. Two
tests are asked, of labels (McNemar) and of ranks (DeLong), so each is held to Holm's level: a difference is found where
there is none in 5 % of comparisons, not in 10 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from bentos.errors import Refused
from validation.gate.answers import answers_of
from validation.gate.evidence import Evidence
from validation.gate.holdout import Holdout
from validation.gate.intervals import CONFIDENCE
from validation.gate.report import Answers
from validation.statistics import DeLong, McNemar, delong, mcnemar, tango_interval

ALPHA = 1 - CONFIDENCE
LEAST_OF_A_CLASS = 10
"""Rows of each class below which neither test says anything."""


@dataclass(frozen=True)
class Compared:
    """What two models answered to the same rows; the first is the evidence's candidate, the second its champion.

    Attributes:
        n: Rows.
        positive: Of these, how many are positive.
        answers: Of the first and of the second.
        both_right: Rows that both labelled right.
        first_alone: Rows that the first alone labelled right.
        second_alone: Rows that the second alone labelled right.
        neither: Rows that both labelled wrong.
        labels: McNemar's test that both are right equally often.
        accuracy: Difference of accuracy, first minus second, with Tango's 95 % interval.
        ranks: DeLong's test that both areas under the ROC curve are equal; a is the second, b the first.
        roc_auc: Difference of the areas, first minus second, with its 95 % interval.
    """

    n: int
    positive: int
    answers: tuple[Answers, Answers]
    both_right: int
    first_alone: int
    second_alone: int
    neither: int
    labels: McNemar
    accuracy: tuple[float, float, float]
    ranks: DeLong
    roc_auc: tuple[float, float, float]


@dataclass(frozen=True)
class Advice:
    """What follows from a comparison.

    Attributes:
        better: 0 for the first, 1 for the second, None where the data do not say.
        says: In a sentence.
        reasons: Why, in sentences with numbers.
    """

    better: int | None
    says: str
    reasons: tuple[str, ...]


def common_holdout(first: Holdout, second: Holdout) -> Holdout:
    """The rows that stand in both holdouts, the same in every feature and in truth.

    Each model kept its own holdout out of its training, so neither saw these; of any other row that cannot be said.

    Raises:
        Refused: There are too few of them.
    """
    if first.digest == second.digest:
        return first
    theirs = {one: row for row, one in enumerate(second.ids)}
    shared = [(row, theirs[one]) for row, one in enumerate(first.ids) if one in theirs]
    kept = [mine for mine, other in shared if _row(first, mine) == _row(second, other)]
    positive = int(first.truth[kept].sum()) if kept else 0
    if min(positive, len(kept) - positive) < LEAST_OF_A_CLASS:
        raise Refused(
            f"their holdouts differ ({len(first.ids):,} and {len(second.ids):,} rows), and {len(kept):,} rows stand in "
            f"both and are the same, {positive:,} of them positive; {LEAST_OF_A_CLASS} of each class are needed. Each "
            "may have been trained on the other's holdout, so nothing fair can be said: train both on the same data"
        )
    columns = {name: [values[row] for row in kept] for name, values in first.columns.items()}
    return Holdout(f"{first.digest}&{second.digest}", columns, first.truth[kept], tuple(first.ids[row] for row in kept))


def _row(holdout: Holdout, row: int) -> tuple[object, ...]:
    return *(values[row] for values in holdout.columns.values()), bool(holdout.truth[row])


def compare(evidence: Evidence) -> Compared:
    """Compare what both models answered.

    Args:
        evidence: With a champion, who is the second.

    Raises:
        Refused: A class has too few rows.
        ValueError: A model gives no probabilities, or there is no champion.
    """
    n, positive = evidence.truth.size, int(evidence.truth.sum())
    if min(positive, n - positive) < LEAST_OF_A_CLASS:
        raise Refused(
            f"the holdout has {positive:,} positive rows of {n:,}; {LEAST_OF_A_CLASS} of each class are needed"
        )
    b, c, _ = evidence.discordant
    first, second = evidence.subjects
    answered = answers_of(evidence)
    both_right = int(((first.positives == evidence.truth) & (second.positives == evidence.truth)).sum())
    ranks = delong(evidence.truth, second.probabilities, first.probabilities)
    width = float(norm.isf(ALPHA / 2)) * ranks.standard_error
    return Compared(
        n=n,
        positive=positive,
        answers=(answered[0], answered[1]),
        both_right=both_right,
        first_alone=b,
        second_alone=c,
        neither=n - both_right - b - c,
        labels=mcnemar(b, c),
        accuracy=((b - c) / n, *tango_interval(b, c, n, CONFIDENCE)),
        ranks=ranks,
        roc_auc=(ranks.difference, max(ranks.difference - width, -1.0), min(ranks.difference + width, 1.0)),
    )


def advise(compared: Compared, names: Sequence[str]) -> Advice:
    """What the comparison recommends, and why; nobody where the tests find nothing or contradict each other.

    Args:
        compared: What was found.
        names: Of the first and of the second model.
    """
    differences = (compared.accuracy, compared.roc_auc)
    reasons = (_said_of_labels(compared, names), _said_of_ranks(compared, names))
    shown = _holm((compared.labels.mid_p, compared.ranks.p))
    for_whom = {0 if found[0] > 0 else 1 for found, is_shown in zip(differences, shown, strict=True) if is_shown}
    if not for_whom:
        hidden = max(abs(end) for end in compared.accuracy[1:])
        return Advice(
            None,
            f"These {compared.n:,} rows cannot tell {names[0]} and {names[1]} apart.",
            (
                *reasons,
                f"Neither difference is shown at 5 % over both tests. That does not make them equal: a difference of "
                f"accuracy of up to {hidden:.4f} would fit these rows as well.",
            ),
        )
    if len(for_whom) == 2:
        return Advice(
            None,
            "The two tests contradict each other: one model labels better, the other ranks better.",
            (*reasons, "Look at the cut of the one that ranks better: at another one its labels may be better too."),
        )
    (better,) = for_whom
    of = " and ".join(what for what, is_shown in zip(("its labels", "its ranks"), shown, strict=True) if is_shown)
    beside = () if all(shown) else ("The other difference is not shown at 5 % over both tests.",)
    return Advice(better, f"{names[better]} is better on these {compared.n:,} rows, by {of}.", (*reasons, *beside))


def _holm(p_values: Sequence[float]) -> tuple[bool, ...]:
    """Which are shown at `ALPHA` over all of them together.

    >>> _holm((0.03, 0.2)), _holm((0.02, 0.04)), _holm((0.03, 0.04))
    ((False, False), (True, True), (False, False))
    """
    is_shown, going = [False] * len(p_values), True
    for rank, place in enumerate(np.argsort(p_values)):
        going = going and p_values[place] <= ALPHA / (len(p_values) - rank)
        is_shown[int(place)] = going
    return tuple(is_shown)


def _said_of_labels(compared: Compared, names: Sequence[str]) -> str:
    difference, low, high = compared.accuracy
    return (
        f"Labels: {names[0]} alone is right on {compared.first_alone:,} rows of {compared.n:,}, {names[1]} alone on "
        f"{compared.second_alone:,}; accuracy differs by {difference:+.4f} (95 % interval {low:+.4f} to {high:+.4f}), "
        f"McNemar's mid-p is {compared.labels.mid_p:.3g}."
    )


def _said_of_ranks(compared: Compared, names: Sequence[str]) -> str:
    difference, low, high = compared.roc_auc
    return (
        f"Ranks: ROC-AUC is {compared.ranks.auc_b:.4f} and {compared.ranks.auc_a:.4f}, {names[0]} first; it differs by "
        f"{difference:+.4f} (95 % interval {low:+.4f} to {high:+.4f}), DeLong's p is {compared.ranks.p:.3g}."
    )
