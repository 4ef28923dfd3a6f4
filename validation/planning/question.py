"""What is asked of a plan: what is true, by which rule it is judged, and how many customers there are."""

from __future__ import annotations

import math
from collections.abc import Iterator

import msgspec

from bentos.errors import InvalidSetting

_DAY = 86_400_000_000


class GroupAsked(msgspec.Struct, frozen=True):
    """A protected group that must be shown to be no worse by a margin of its own.

    Attributes:
        name: Such as `SeniorCitizen=1`.
        share: Its share of customers, in (0, 1).
        margin: What it may lose, above 0.
    """

    name: str
    share: float
    margin: float


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What a trial is to show, and of whom.

    Attributes:
        effect: The true difference, challenger minus champion, in the policy's metric.
        margin: What may be lost; 0 for superiority.
        false_positive_cost: Cost of a false positive over that of a false negative; None for accuracy.
        alpha: Level of a promotion, in (0, 0.5).
        alpha_rollback: Level of a rollback, in (0, 0.5).
        power: Chance of a right decision that is planned for, in (0, 1).
        disagreement: Share of customers on whom one model alone is right, in (0, 1].
        coverage: Share of outcomes that come back, in (0, 1].
        positive: Share of the customers they disagree on who turn out positive; for profit alone, in (0, 1).
        customers: Known customers, each of whom is scored once within `spread_days`.
        new_customers: Further ones a day.
        spread_days: Days in which every known customer is scored once, at least 1.
        window_days: Maturity window, at least 0.
        cohort_days: Length of a cohort, above 0.
        min_cohorts: Cohorts that a promotion waits for.
        min_matured: Matured customers that a promotion waits for.
        horizon_days: How long anybody would wait.
        groups: Protected groups with margins of their own.
    """

    effect: float
    margin: float
    false_positive_cost: float | None = None
    alpha: float = 0.05
    alpha_rollback: float = 0.05
    power: float = 0.8
    disagreement: float = 0.1
    coverage: float = 1.0
    positive: float = 0.4
    customers: int = 0
    new_customers: float = 0.0
    spread_days: float = 30.0
    window_days: float = 30.0
    cohort_days: float = 1.0
    min_cohorts: int = 14
    min_matured: int = 1
    horizon_days: float = 365.0
    groups: tuple[GroupAsked, ...] = ()

    @property
    def dearest(self) -> float:
        """The largest difference that so many disagreements can make, in the metric's unit."""
        cost = 1.0 if self.false_positive_cost is None else self.false_positive_cost
        missed, needless = min(1.0, 1 / cost), min(1.0, cost)
        return self.disagreement * (missed + needless) / 2

    def scored_by(self, day: float) -> float:
        """Customers who have been scored by a day of the trial."""
        return self.customers * min(1.0, day / self.spread_days) + self.new_customers * day


def check_question(question: Question) -> Question:
    """See that a plan can be made.

    Raises:
        InvalidSetting: With everything that is wrong, each option named with what is allowed.
    """
    problems = list(_problems(question))
    if problems:
        raise InvalidSetting("; ".join(problems))
    return question


def _problems(q: Question) -> Iterator[str]:
    ranges = {
        "--alpha": (q.alpha, 0.0, 0.5),
        "--power": (q.power, 0.0, 1.0),
        "--positive": (q.positive, 0.0, 1.0),
    }
    for name, (value, low, high) in ranges.items():
        if not low < value < high:
            yield f"{name} is {value:g}; it must be above {low:g} and below {high:g}"
    for name, value in (("--disagreement", q.disagreement), ("--coverage", q.coverage)):
        if not 0 < value <= 1:
            yield f"{name} is {value:g}; it must be above 0 and at most 1"
    if not 0 <= q.margin < 0.5:
        yield f"--margin is {q.margin:g}; it must be at least 0 and below 0.5"
    if q.false_positive_cost is not None and not 0 < q.false_positive_cost < math.inf:
        yield f"--cost-ratio is {q.false_positive_cost:g}; it must be above 0"
    elif 0 < q.disagreement <= 1 and abs(q.effect) >= q.dearest:
        yield (
            f"--effect is {q.effect:g}; with models that disagree on {q.disagreement:g} of the customers it must be "
            f"between {-q.dearest:g} and {q.dearest:g}, both excluded"
        )
    if min(q.customers, q.new_customers) < 0 or q.scored_by(q.horizon_days) < 1:
        yield "--customers and --new-customers-per-day must be at least 0, and one of them above 0"
    yield from _day_problems(q)
    for group in q.groups:
        if not 0 < group.share < 1 or not 0 < group.margin < 0.5:
            yield f"--group {group.name} must have a share above 0 and below 1 and a margin above 0 and below 0.5"


def _day_problems(q: Question) -> Iterator[str]:
    if not 0 <= q.window_days <= 3650:
        yield f"--window is {q.window_days:g} days; it must be from 0 to 3650"
    if not 0 < q.horizon_days <= 3650:
        yield f"--horizon is {q.horizon_days:g} days; it must be above 0 and at most 3650"
    if not q.spread_days >= 1:
        yield f"--spread is {q.spread_days:g} days; it must be at least 1"
