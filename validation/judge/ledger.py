"""Counting: the first predictions of a cohort's customers with their truths become a few integers.

One customer is one observation: the first prediction of an experiment, fixed before its outcome is known. What is
counted here does not depend on the order in which rows arrived, nor on how many workers wrote them.

Where actions follow predictions, they follow the champion's word, and change the outcomes by which the models are
compared. Then only those customers are evidence from whom actions are withheld, drawn by a hash before anybody was
scored (`no_treatment`); the others are counted beside them. Whoever was to be left alone and was treated nevertheless
is not dropped, for that would follow the champion's word again: the truth is taken as missing.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

import msgspec

from service.prediction_log.records import Mode, Variant
from validation.judge.policy import OnlinePolicy

MISSING_GROUP = "(missing)"
"""The group of customers whose request said nothing of an attribute."""


class Cell(NamedTuple):
    """Customers of one cohort and phase who are counted alike.

    Attributes:
        start: Beginning of the cohort of their first prediction, microseconds since 1970 UTC.
        revision: Revision of the experiment file that answered.
        mode: Its mode.
        split: Its share for the challenger.
        variant: Whose answer was given.
        champion_positive: The champion's label; None if it could not answer.
        challenger_positive: The challenger's label; None if it could not answer.
        truth: Whether the positive label came true; None if nobody has told.
        no_treatment: Whether actions were to be withheld from them.
        treated: Whether an action was taken within the maturity window.
        groups: What their requests said of each attribute that the policy names, as `group_of` writes it.
    """

    start: int
    revision: int
    mode: Mode
    split: float
    variant: Variant
    champion_positive: bool | None
    challenger_positive: bool | None
    truth: bool | None
    no_treatment: bool = False
    treated: bool = False
    groups: tuple[str, ...] = ()


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


class Arm(msgspec.Struct, frozen=True, kw_only=True):
    """Customers whom one variant answered in a split, without those from whom actions are withheld.

    Customers whom a model could not score are in neither arm: the challenger is asked about everybody, whichever
    variant answers, so that leaving them out favours nobody.

    Attributes:
        customers: How many.
        told: Of these, how many truths are known.
        positive: Of these, how many are positive.
    """

    customers: int = 0
    told: int = 0
    positive: int = 0

    def __add__(self, other: Arm) -> Arm:
        return Arm(**{name: getattr(self, name) + getattr(other, name) for name in self.__struct_fields__})


class Arms(msgspec.Struct, frozen=True, kw_only=True):
    """Outcomes by the variant that answered (intention to treat)."""

    champion: Arm = Arm()
    challenger: Arm = Arm()

    def __add__(self, other: Arms) -> Arms:
        return Arms(champion=self.champion + other.champion, challenger=self.challenger + other.challenger)


Groups = dict[str, dict[str, Counts]]
"""Counts by attribute and value."""


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
        counts: What it comes to: the customers who are evidence.
        rows_digest: Digest of the rows that were counted.
        treated: Customers, evidence or not, of whom a treatment was known at the closing.
        spoiled: Of those from whom actions were to be withheld, how many were treated nevertheless.
        outside: Customers whom actions may reach, where actions follow predictions: no evidence for a pair.
        arms: Outcomes by variant, where the policy asks for them.
        groups: `counts` by attribute and value, where the policy names attributes.
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
    treated: int = 0
    spoiled: int = 0
    outside: Counts | None = None
    arms: Arms | None = None
    groups: Groups | None = None


def closable_through(policy: OnlinePolicy, moment: int) -> int:
    """Up to where cohorts have matured at a moment: the last cohort boundary that is a maturity window old.

    Args:
        policy: Lengths of window and cohort.
        moment: Microseconds since 1970 UTC.

    Returns:
        A boundary in microseconds; every cohort that ends there or earlier is past its deadline.
    """
    return (moment - policy.maturity_window) // policy.cohort * policy.cohort


def count_cohorts(cells: Mapping[Cell, Sequence[str]], *, experiment: str, policy: OnlinePolicy) -> list[Cohort]:
    """Count the customers of whole cohorts.

    Args:
        cells: The prediction ids of the customers who are counted alike, in any order.
        experiment: The experiment's id.
        policy: Who is evidence, and what is counted beside.

    Returns:
        The ledger's rows, by time and phase.
    """

    def phase_of(cell: Cell) -> tuple[int, int, Mode, float]:
        return cell.start, cell.revision, cell.mode, cell.split

    cohorts = []
    for (start, revision, mode, split), members in groupby(sorted(cells, key=phase_of), key=phase_of):
        own = {cell: cells[cell] for cell in members}
        made = _count({cell: len(ids) for cell, ids in own.items()}, policy)
        cohorts.append(
            Cohort(
                experiment=experiment,
                start=start,
                end=start + policy.cohort,
                revision=revision,
                mode=mode,
                split=split,
                policy=policy.digest,
                counts=Counts(**made.counts),
                rows_digest=_digest(own),
                treated=made.treated,
                spoiled=made.spoiled,
                outside=Counts(**made.outside) if policy.actions_follow_predictions else None,
                arms=_as_arms(made.arms) if policy.outcome_by_arm else None,
                groups=_as_groups(policy, made.groups),
            )
        )
    return cohorts


def total(cohorts: Iterable[Cohort]) -> Counts:
    """The sum over cohorts and phases of the customers who are evidence."""
    return sum((cohort.counts for cohort in cohorts), Counts())


def total_outside(cohorts: Iterable[Cohort]) -> Counts:
    """The sum over cohorts and phases of the customers whom actions may reach."""
    return sum((cohort.outside for cohort in cohorts if cohort.outside is not None), Counts())


def group_of(raw: str | None) -> str:
    """The group that a value of a request stands for.

    Args:
        raw: The value as JSON; None where the request lacks it.

    Examples:
        >>> [group_of(raw) for raw in ('"Yes"', "1", "1.0", "true", "null", None)]
        ['Yes', '1', '1', 'true', '(missing)', '(missing)']
    """
    value = None if raw is None else msgspec.json.decode(raw)
    if value is None:
        return MISSING_GROUP
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return msgspec.json.encode(value).decode()


class _Counted(msgspec.Struct):
    """A cohort's counts in the making."""

    counts: Counter[str]
    outside: Counter[str]
    arms: dict[str, Counter[str]]
    groups: list[dict[str, Counter[str]]]
    treated: int = 0
    spoiled: int = 0


def _count(numbers: Mapping[Cell, int], policy: OnlinePolicy) -> _Counted:
    follows = policy.actions_follow_predictions
    made = _Counted(Counter(), Counter(), {"champion": Counter(), "challenger": Counter()}, [{} for _ in policy.groups])
    for cell, number in numbers.items():
        is_spoiled = cell.no_treatment and cell.treated
        made.treated += number if cell.treated else 0
        made.spoiled += number if is_spoiled else 0
        names = ("n", *_sums_of(cell, None if follows and is_spoiled else cell.truth))
        is_evidence = cell.no_treatment or not follows
        _add(made.counts if is_evidence else made.outside, names, number)
        if is_evidence:
            for by_value, value in zip(made.groups, cell.groups, strict=True):
                _add(by_value.setdefault(value, Counter()), names, number)
        if cell.mode == "split" and not cell.no_treatment and "unscored" not in names:
            told = () if cell.truth is None else ("told", "positive") if cell.truth else ("told",)
            _add(made.arms[cell.variant], ("customers", *told), number)
    return made


def _add(sums: Counter[str], names: Iterable[str], number: int) -> None:
    for name in names:
        sums[name] += number


def _as_arms(counted: Mapping[str, Counter[str]]) -> Arms:
    return Arms(**{variant: Arm(**sums) for variant, sums in counted.items()})


def _as_groups(policy: OnlinePolicy, counted: Sequence[Mapping[str, Counter[str]]]) -> Groups | None:
    if not policy.groups:
        return None
    return {
        rule.attribute: {value: Counts(**by_value[value]) for value in sorted(by_value)}
        for rule, by_value in zip(policy.groups, counted, strict=True)
    }


def _digest(cells: Mapping[Cell, Sequence[str]]) -> str:
    """Of everything that was counted and of whom, the same in whatever order it came."""
    digest = hashlib.sha256()
    encoded = {msgspec.json.encode(cell[4:]): ids for cell, ids in cells.items()}
    for what in sorted(encoded):
        digest.update(what + b"\n" + "\n".join(sorted(encoded[what])).encode() + b"\n")
    return f"sha256:{digest.hexdigest()}"


def _sums_of(cell: Cell, truth: bool | None) -> tuple[str, ...]:
    """The names of the sums in which a customer counts, beside `n`."""
    champion, challenger = cell.champion_positive, cell.challenger_positive
    if champion is None or challenger is None:
        return ("unscored",)
    answered = f"answered_{cell.variant}"
    if champion == challenger:
        if truth is None:
            return answered, "missing_agreements"
        return (answered, "ties", "ties_right") if champion == truth else (answered, "ties")
    if truth is None:
        return answered, "missing_challenger_positive" if challenger else "missing_champion_positive"
    return answered, f"{'wins' if challenger == truth else 'losses'}_{'positive' if truth else 'negative'}"
