"""What is asked of a plan: what is true, by which rules it is judged, and how many customers there are."""

from __future__ import annotations

import math
from collections.abc import Iterator

import msgspec
import numpy as np
from numpy.typing import NDArray

from bentos.errors import InvalidSetting
from validation.judge.payoffs import Prices, prices_of
from validation.statistics import e_lond_level

MOST_DAYS = 3650
MOST_CUSTOMERS = 10**12


class GroupAsked(msgspec.Struct, frozen=True):
    """A protected group that must be shown to be no worse by a margin of its own.

    Attributes:
        name: Such as `SeniorCitizen=1`.
        share: Its share of customers, in (0, 1).
        margin: What it may lose, in (0, 0.5).
        disagreement: Share of its customers on whom one model alone is right; None for that of everybody.
    """

    name: str
    share: float
    margin: float
    disagreement: float | None = None


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What a trial is to show, and of whom.

    Attributes:
        effect: The true difference, challenger minus champion, in the policy's metric; the same in every group.
        margin: What may be lost; 0 for superiority.
        false_positive_cost: Cost of a false positive over that of a false negative; None for accuracy.
        alpha: Level of a promotion over the whole lineage, in (0, 0.5).
        alpha_rollback: Level of a rollback, in (0, 0.5), over all rules that may find harm.
        harm_rules: How many rules those are.
        trial: The trial's number in its lineage, from 1.
        promotions: Promotions of the lineage before it, below `trial`.
        power: Share of trials that must come to the right decision, in (0, 1).
        disagreement: Share of customers on whom one model alone is right, in (0, 1].
        coverage: Share of outcomes that come back, in (0, 1].
        positive: Share of the customers they disagree on who turn out positive, in (0, 1); it matters to profit alone.
        customers: Known customers, each of whom is scored once within `spread_days`.
        new_customers: Further ones a day.
        counted: Share of customers whose pairs are evidence, in (0, 1]: the no-treatment share where actions follow
            predictions, else all.
        spread_days: Days in which every known customer is scored once, at least 1.
        window_days: Maturity window, at least 0.
        cohort_days: Length of a cohort, above 0.
        min_cohorts: Cohorts that a promotion waits for.
        min_matured: Customers with a truth that a promotion waits for.
        horizon_days: How long anybody would wait.
        groups: Protected groups with margins of their own.
    """

    effect: float
    margin: float
    false_positive_cost: float | None = None
    alpha: float = 0.05
    alpha_rollback: float = 0.05
    harm_rules: int = 1
    trial: int = 1
    promotions: int = 0
    power: float = 0.8
    disagreement: float = 0.1
    coverage: float = 1.0
    positive: float = 0.4
    customers: int = 0
    new_customers: float = 0.0
    counted: float = 1.0
    spread_days: float = 30.0
    window_days: float = 30.0
    cohort_days: float = 1.0
    min_cohorts: int = 14
    min_matured: int = 1
    horizon_days: float = 365.0
    groups: tuple[GroupAsked, ...] = ()

    @property
    def prices(self) -> Prices:
        """What a pair pays the challenger."""
        return prices_of(self.false_positive_cost)

    @property
    def level(self) -> float:
        """Level of this trial's promotion: what its number in the lineage leaves it of alpha."""
        return e_lond_level(self.alpha, self.trial, self.promotions)

    @property
    def harm_level(self) -> float:
        """Level of one rule that may find harm."""
        return self.alpha_rollback / self.harm_rules

    @property
    def group_harm_level(self) -> float:
        """The same for one group: a third, as of an attribute with two values a part is kept for values yet unseen."""
        return self.harm_level / 3

    @property
    def dearest(self) -> float:
        """The largest difference that so many disagreements can make, in the metric's unit.

        Where every one of them is a win. With profit a win on a positive is worth another sum than one on a negative,
        so it matters too how many of them turn out positive: each model flags half of them.
        """
        whole = self.disagreement * (self.prices.win_positive + self.prices.win_negative - 1)
        if self.false_positive_cost is None or not 0 < self.positive < 1:
            return whole
        return whole * min(1.0, 2 * self.positive, 2 * (1 - self.positive))

    @property
    def cohorts(self) -> int:
        """Cohorts that can have matured by the horizon."""
        return max(0, math.floor((self.horizon_days - self.window_days) / self.cohort_days + 1e-9))

    def scored_by(self, day: float) -> float:
        """Customers who are evidence and have been scored by a day of the trial."""
        return self.counted * (self.customers * min(1.0, day / self.spread_days) + self.new_customers * day)


def chances_of(question: Question) -> NDArray[np.float64]:
    """Chances that a customer is a win on a positive, a win on a negative, a loss on a positive, one on a negative.

    The models disagree as often one way as the other; what makes one better is how often the truth is on its side.
    """
    prices, half = question.prices, question.disagreement / 2
    # Positive truths among those whom the challenger alone flags, less those whom the champion alone flags.
    apart = question.effect / (2 * half * (prices.win_positive + prices.win_negative - 1))
    low, high = max(0.0, -apart), min(1.0, 1 - apart)
    theirs = min(max(question.positive - apart / 2, low), high)
    ours = theirs + apart
    return np.clip(half * np.array([ours, 1 - theirs, theirs, 1 - ours]), 0.0, 1.0)


def chances_within(question: Question, group: GroupAsked) -> NDArray[np.float64]:
    """The same of a group's member."""
    if group.disagreement is None:
        return chances_of(question)
    return chances_of(msgspec.structs.replace(question, disagreement=group.disagreement))


def check_question(question: Question) -> Question:
    """See that a plan can be made.

    Raises:
        InvalidSetting: With everything that is wrong, each option named with what is allowed.
    """
    problems = [*_share_problems(question), *_metric_problems(question), *_customer_problems(question)]
    problems += [*_day_problems(question), *_group_problems(question)]
    if problems or (problems := list(_misfits(question))):
        raise InvalidSetting("; ".join(problems))
    return question


def _share_problems(q: Question) -> Iterator[str]:
    open_ranges = {"--alpha": (q.alpha, 0.5), "--power": (q.power, 1.0), "--positive": (q.positive, 1.0)}
    for name, (value, high) in open_ranges.items():
        if not 0 < value < high:
            yield f"{name} is {value:g}; it must be above 0 and below {high:g}"
    for name, value in (("disagreement", q.disagreement), ("coverage", q.coverage), ("no-treatment", q.counted)):
        if not 0 < value <= 1:
            yield f"--{name} is {value:g}; it must be above 0 and at most 1"
    if q.trial < 1 or not 0 <= q.promotions < q.trial:
        yield f"--trial is {q.trial} and --promotions {q.promotions}; they must be at least 1, and from 0 to below it"


def _metric_problems(q: Question) -> Iterator[str]:
    if not 0 <= q.margin < 0.5:
        yield f"--margin is {q.margin:g}; it must be at least 0 and below 0.5"
    if q.false_positive_cost is not None and not 0 < q.false_positive_cost < math.inf:
        yield f"--cost-ratio is {q.false_positive_cost:g}; it must be above 0"
    elif 0 < q.disagreement <= 1 and not abs(q.effect) <= q.dearest:
        yield (
            f"--effect is {q.effect:g}; with models that disagree on {q.disagreement:g} of the customers it must be "
            f"from {-q.dearest:g} to {q.dearest:g}"
        )


def _customer_problems(q: Question) -> Iterator[str]:
    for name, value in (("--customers", q.customers), ("--new-customers-per-day", q.new_customers)):
        if not 0 <= value <= MOST_CUSTOMERS:
            yield f"{name} is {value:g}; it must be from 0 to {MOST_CUSTOMERS:g}"
    if q.customers == 0 and q.new_customers == 0:
        yield "--customers and --new-customers-per-day are 0; one of them must be above 0"


def _day_problems(q: Question) -> Iterator[str]:
    if not 0 <= q.window_days <= MOST_DAYS:
        yield f"--window is {q.window_days:g} days; it must be from 0 to {MOST_DAYS}"
    if not 0 < q.horizon_days <= MOST_DAYS:
        yield f"--horizon is {q.horizon_days:g} days; it must be above 0 and at most {MOST_DAYS}"
    if not q.spread_days >= 1:
        yield f"--spread is {q.spread_days:g} days; it must be at least 1"


def _group_problems(q: Question) -> Iterator[str]:
    names = [group.name for group in q.groups]
    for name in sorted({name for name in names if not name.strip() or names.count(name) > 1}):
        yield f"--group {name!r} must have a name, and one of its own"
    for group in q.groups:
        if not 0 < group.share < 1 or not 0 < group.margin < 0.5:
            yield f"--group {group.name} must have a share above 0 and below 1, and a margin above 0 and below 0.5"
        if group.disagreement is not None and not 0 < group.disagreement <= 1:
            yield f"--group {group.name} has a disagreement of {group.disagreement:g}; it must be above 0 and at most 1"


def _misfits(q: Question) -> Iterator[str]:
    """Groups that cannot be part of everybody: more of them would disagree, or agree, than there are who do."""
    everybody = chances_of(q)
    for group in q.groups:
        apart = q.disagreement if group.disagreement is None else group.disagreement
        within = msgspec.structs.replace(q, disagreement=apart)
        if abs(q.effect) > within.dearest:
            yield (
                f"--group {group.name}: models that disagree on {apart:g} of its members cannot differ by {q.effect:g}"
            )
            continue
        members = group.share * chances_within(q, group)
        if (members > everybody + 1e-12).any() or group.share - members.sum() > 1 - everybody.sum() + 1e-12:
            yield (
                f"--group {group.name}: a share of {group.share:g} with a disagreement of {apart:g} does not fit into "
                f"--disagreement {q.disagreement:g} of everybody"
            )
