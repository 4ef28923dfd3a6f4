"""The plan: customers and days to a decision, beside those of a test that may be looked at once."""

from __future__ import annotations

import math

import msgspec
from scipy.stats import norm

from validation.planning.question import Question
from validation.planning.simulating import RUNS, Played, chances_of, play

SHARES = (0.5, 0.8, 0.95)
_LEAST = 50


class Timing(msgspec.Struct, frozen=True):
    """When a share of trials has come to the right decision.

    Attributes:
        share: Of trials.
        customers: Matured customers by then; None where the customers there are do not suffice.
        days: Days from the trial's beginning, with the maturity window.
    """

    share: float
    customers: int | None
    days: int | None


class GroupPlan(msgspec.Struct, frozen=True):
    """What one protected group takes by itself.

    Attributes:
        name: Of the group.
        margin: What it may lose.
        customers: Matured members that the planned share of trials needs; None where there are not enough.
        days: Days until there are so many.
    """

    name: str
    margin: float
    customers: int | None
    days: int | None


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The answer.

    Attributes:
        question: What was asked.
        decision: The right decision: PROMOTE, or ROLLBACK where the challenger is worse by the margin or more; None at
            the margin itself, where no decision is right.
        available: Customers who can have matured by the horizon.
        right: Share of trials that come to the right decision by the horizon.
        wrong: Share that come to the other one.
        timings: When half, four fifths and 95 % of trials are decided rightly.
        fixed: Customers that a test of the same power needs which may be looked at once.
        groups: What protected groups take.
        can_be_had: Whether the planned share of trials is decided within the horizon, groups included.
        reason: Why, or why not, in one sentence.
    """

    question: Question
    decision: str | None
    available: int
    right: float
    wrong: float
    timings: tuple[Timing, ...]
    fixed: int | None
    groups: tuple[GroupPlan, ...]
    can_be_had: bool
    reason: str


def make_plan(question: Question, *, seed: int = 0, runs: int = RUNS) -> Plan:
    """Play the trial, and say how long it takes.

    Args:
        question: Checked.
        seed: Of the simulation.
        runs: How many trials are played.
    """
    available = math.floor(question.scored_by(question.horizon_days - question.window_days))
    decision = _decision(question)
    if available < _LEAST:
        return _refused(question, decision, available, f"only {available} customers can have matured by the horizon")
    played = play(question, customers=available, seed=seed, runs=runs)
    ended, other = played.promoted, played.rolled_back
    if decision == "ROLLBACK":
        ended, other = other, ended
    timings = tuple(_timing(question, played.customers(ended, share), share, decision) for share in SHARES)
    groups = tuple(_group(question, group.name, group.share, group.margin, seed) for group in question.groups)
    needed = _timing(question, played.customers(ended, question.power), question.power, decision)
    can_be_had, reason = _judge(question, decision, needed, groups, available, played.share(ended))
    return Plan(
        question=question,
        decision=decision,
        available=available,
        right=played.share(ended) if decision else 0.0,
        wrong=played.share(other),
        timings=timings,
        fixed=fixed_customers(question),
        groups=groups,
        can_be_had=can_be_had,
        reason=reason,
    )


def fixed_customers(question: Question) -> int | None:
    """Matured customers that a paired test of the same level and power needs if it is looked at once, at the end.

    `((z_alpha + z_power) sd / |effect + margin|)^2`, sd of one customer's difference: McNemar's test at margin 0,
    Tango's beyond; None at the margin.
    """
    distance = abs(question.effect + question.margin)
    if distance == 0:
        return None
    chances = chances_of(question)
    cost = 1.0 if question.false_positive_cost is None else question.false_positive_cost
    missed, needless = min(1.0, 1 / cost), min(1.0, cost)
    squares = chances @ [missed**2, needless**2, missed**2, needless**2]
    deviation = math.sqrt(float(squares) - question.effect**2)
    z = float(norm.isf(question.alpha)) + float(norm.ppf(question.power))
    return math.ceil((z * deviation / distance) ** 2)


def _decision(question: Question) -> str | None:
    if question.effect == -question.margin:
        return None
    return "PROMOTE" if question.effect > -question.margin else "ROLLBACK"


def _timing(question: Question, customers: int | None, share: float, decision: str | None) -> Timing:
    days = None if customers is None else _days(question, customers, decision)
    return Timing(share, customers if days is not None else None, days)


def _days(question: Question, customers: int, decision: str | None) -> int | None:
    """Days until so many customers have matured; a promotion also waits for its number of cohorts."""
    low, high = 0.0, question.horizon_days
    if question.scored_by(high) < customers:
        return None
    while high - low > 0.01:
        middle = (low + high) / 2
        low, high = (low, middle) if question.scored_by(middle) >= customers else (middle, high)
    cohorts = question.min_cohorts if decision == "PROMOTE" else 1
    return math.ceil(max(high, cohorts * question.cohort_days) + question.window_days)


def _group(question: Question, name: str, share: float, margin: float, seed: int) -> GroupPlan:
    """The same trial with the group's members alone, who are judged by their own margin."""
    members = msgspec.structs.replace(
        question,
        margin=margin,
        customers=round(question.customers * share),
        new_customers=question.new_customers * share,
        groups=(),
    )
    available = math.floor(members.scored_by(question.horizon_days - question.window_days))
    if available < _LEAST or question.effect <= -margin:
        return GroupPlan(name, margin, None, None)
    played = play(members, customers=available, seed=seed)
    customers = played.customers(played.promoted, question.power)
    return GroupPlan(name, margin, customers, None if customers is None else _days(members, customers, "PROMOTE"))


def _judge(
    question: Question,
    decision: str | None,
    needed: Timing,
    groups: tuple[GroupPlan, ...],
    available: int,
    right: float,
) -> tuple[bool, str]:
    if decision is None:
        return False, (
            f"the difference is the margin itself, {-question.margin:g}: no number of customers tells its side"
        )
    if needed.customers is None or needed.days is None:
        return False, (
            f"with the {available:,} customers who can have matured within {question.horizon_days:g} days, "
            f"{right:.0%} of trials come to {decision}; {question.power:.0%} are planned for"
        )
    late = [group for group in groups if group.days is None] if decision == "PROMOTE" else []
    if late:
        return False, f"{', '.join(group.name for group in late)} will not have enough members within the horizon"
    days = max([needed.days, *(group.days or 0 for group in groups)] if decision == "PROMOTE" else [needed.days])
    return True, (
        f"{question.power:.0%} of trials come to {decision} by {needed.customers:,} matured customers, {days:,} days "
        f"after the beginning"
    )


def _refused(question: Question, decision: str | None, available: int, reason: str) -> Plan:
    return Plan(
        question=question,
        decision=decision,
        available=available,
        right=0.0,
        wrong=0.0,
        timings=tuple(Timing(share, None, None) for share in SHARES),
        fixed=fixed_customers(question),
        groups=(),
        can_be_had=False,
        reason=reason,
    )


__all__ = ["GroupPlan", "Plan", "Played", "Timing", "fixed_customers", "make_plan"]
