"""Counting: the first predictions of a cohort's customers with their truths become a few integers.

One customer is one observation: the first prediction of an experiment, fixed before its outcome is known. What is
counted here does not depend on the order in which rows arrived, nor on how many workers wrote them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

import msgspec

from service.prediction_log.records import Mode, Variant
from validation.judge.policy import OnlinePolicy


class Pair(NamedTuple):
    """A customer's first prediction, and the truth as far as it is known at the moment of looking.

    Attributes:
        prediction_id: Of that first prediction.
        at: When it was made, microseconds since 1970 UTC.
        revision: Revision of the experiment file that answered.
        mode: Its mode.
        split: Its share for the challenger.
        variant: Whose answer was given.
        champion_positive: The champion's label; None if it could not answer.
        challenger_positive: The challenger's label; None if it could not answer.
        truth: Whether the positive label came true; None if nobody has told.
    """

    prediction_id: str
    at: int
    revision: int
    mode: Mode
    split: float
    variant: Variant
    champion_positive: bool | None
    challenger_positive: bool | None
    truth: bool | None


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """What a cohort comes to. Customers, each in exactly one of the sums that make up `n`.

    Attributes:
        n: Customers enrolled: matured, missing and unscored ones.
        ties: Matured, and both models gave the same label.
        ties_right: Of these, how many labels were right.
        wins_positive: The challenger alone was right, and the truth was positive.
        wins_negative: The challenger alone was right, and the truth was negative.
        losses_positive: The champion alone was right, and the truth was positive.
        losses_negative: The champion alone was right, and the truth was negative.
        missing_agreements: No truth, and both models gave the same label: a tie whatever the truth.
        missing_challenger_positive: No truth, and the challenger alone said positive.
        missing_champion_positive: No truth, and the champion alone said positive.
        unscored: A model could not answer; no later prediction replaces it.
        answered_champion: Of the scored customers those whom the champion answered.
        answered_challenger: Of the scored customers those whom the challenger answered.
    """

    n: int = 0
    ties: int = 0
    ties_right: int = 0
    wins_positive: int = 0
    wins_negative: int = 0
    losses_positive: int = 0
    losses_negative: int = 0
    missing_agreements: int = 0
    missing_challenger_positive: int = 0
    missing_champion_positive: int = 0
    unscored: int = 0
    answered_champion: int = 0
    answered_challenger: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(**{name: getattr(self, name) + getattr(other, name) for name in self.__struct_fields__})

    @property
    def wins(self) -> int:
        """Matured customers of whom the challenger alone was right."""
        return self.wins_positive + self.wins_negative

    @property
    def losses(self) -> int:
        """Matured customers of whom the champion alone was right."""
        return self.losses_positive + self.losses_negative

    @property
    def matured(self) -> int:
        """Customers scored by both models whose truth is known."""
        return self.wins + self.ties + self.losses

    @property
    def missing_disagreements(self) -> int:
        """Customers without truth of whom the models say different things."""
        return self.missing_challenger_positive + self.missing_champion_positive


class Cohort(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a cohort that was answered under one revision: one row of the ledger.

    Attributes:
        experiment: The experiment's id.
        start: Beginning of the cohort, microseconds since 1970 UTC.
        end: Its end, from which the maturity window runs.
        revision: The phase: revision of the experiment file, with its
        mode: and
        split: the challenger's share.
        policy: Digest of the policy that closed it.
        counts: What it comes to.
        rows_digest: Digest of the rows that were counted.
    """

    experiment: str
    start: int
    end: int
    revision: int
    mode: Mode
    split: float
    policy: str
    counts: Counts
    rows_digest: str


def closable_through(policy: OnlinePolicy, moment: int) -> int:
    """Up to where cohorts have matured at a moment: the last cohort boundary that is a maturity window old.

    Args:
        policy: Lengths of window and cohort.
        moment: Microseconds since 1970 UTC.

    Returns:
        A boundary in microseconds; every cohort that ends there or earlier is past its deadline.
    """
    return (moment - policy.maturity_window) // policy.cohort * policy.cohort


def count_cohorts(pairs: Iterable[Pair], *, experiment: str, policy: OnlinePolicy) -> Iterator[Cohort]:
    """Count the customers of whole cohorts, in one pass.

    Args:
        pairs: Sorted by cohort, then by phase (revision, mode, split), then by prediction id.
        experiment: The experiment's id.
        policy: Length of a cohort.

    Yields:
        The ledger's rows, by time and phase.
    """

    def key(pair: Pair) -> tuple[int, int, Mode, float]:
        return pair.at // policy.cohort * policy.cohort, pair.revision, pair.mode, pair.split

    for (start, revision, mode, split), members in groupby(pairs, key=key):
        counts, rows_digest = _count(members)
        yield Cohort(
            experiment=experiment,
            start=start,
            end=start + policy.cohort,
            revision=revision,
            mode=mode,
            split=split,
            policy=policy.digest,
            counts=counts,
            rows_digest=rows_digest,
        )


def total(cohorts: Iterable[Cohort]) -> Counts:
    """The sum over cohorts and phases."""
    return sum((cohort.counts for cohort in cohorts), Counts())


def _count(pairs: Iterable[Pair]) -> tuple[Counts, str]:
    tally = dict.fromkeys(Counts.__struct_fields__, 0)
    digest = hashlib.sha256()
    for pair in pairs:
        tally["n"] += 1
        for name in _sums_of(pair):
            tally[name] += 1
        digest.update(msgspec.json.encode((pair.prediction_id, *pair[5:])))
    return Counts(**tally), f"sha256:{digest.hexdigest()}"


def _sums_of(pair: Pair) -> tuple[str, ...]:
    """The names of the sums in which a customer counts, beside `n`."""
    champion, challenger, truth = pair.champion_positive, pair.challenger_positive, pair.truth
    if champion is None or challenger is None:
        return ("unscored",)
    answered = f"answered_{pair.variant}"
    if champion == challenger:
        if truth is None:
            return answered, "missing_agreements"
        return (answered, "ties", "ties_right") if champion == truth else (answered, "ties")
    if truth is None:
        return answered, "missing_challenger_positive" if challenger else "missing_champion_positive"
    return answered, f"{'wins' if challenger == truth else 'losses'}_{'positive' if truth else 'negative'}"
