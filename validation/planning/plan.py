"""The plan: customers and days to a decision, beside those of a test that may be looked at once."""

from __future__ import annotations

import math

import msgspec

from validation.planning.fixed import fixed_customers
from validation.planning.question import Question
from validation.planning.simulating import RUNS, Played, play
from validation.planning.unlimited import customers_needed

SHARES = (0.5, 0.8, 0.95)


class Timing(msgspec.Struct, frozen=True):
    """When a share of trials has come to the right decision.

    Attributes:
        share: Of trials.
        customers: Matured customers by then, those without a truth among them; None if not within the horizon.
        days: Days from the trial's beginning, with the maturity window; None likewise.
    """

    share: float
    customers: int | None
    days: int | None


class GroupPlan(msgspec.Struct, frozen=True):
    """What one protected group takes.

    Attributes:
        name: Of the group.
        margin: What it may lose.
        members: Matured members at whom the planned share of trials has shown it to be no worse; None if not within the
            horizon.
        customers: Matured customers by then, all groups together.
        days: Days by then.
        fixed: Members that a test needs which is looked at once.
    """

    name: str
    margin: float
    members: int | None
    customers: int | None
    days: int | None
    fixed: int | None


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The answer.

    Attributes:
        question: What was asked.
        decision: The right decision: PROMOTE, or ROLLBACK where the challenger is worse by more than the margin; None
            at the margin itself, where no decision is right.
        level: Level of the promotion, as the trial's number in its lineage leaves it.
        available: Customers who can have matured by the horizon.
        right: Share of trials that come to the right decision by the horizon.
        wrong: Share that come to the other one; at the margin, to any.
        timings: When half, four fifths and 95 % of trials are decided rightly.
        needed: When the planned share of them is.
        fixed: What a test of the same power needs which may be looked at once, and believes those who answered.
        groups: What protected groups take.
        can_be_had: Whether the planned share of trials comes to the right decision within the horizon.
        reason: Why, or why not, in one sentence.
    """

    question: Question
    decision: str | None
    level: float
    available: int
    right: float
    wrong: float
    timings: tuple[Timing, ...]
    needed: Timing
    fixed: Timing
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
    decision = _decision(question)
    if question.cohorts < 1 or question.scored_by(question.cohorts * question.cohort_days) < 1:
        return _nobody(question, decision)
    played = play(question, seed=seed, runs=runs)
    right, wrong = played.share(played.promoted), played.share(played.rolled_back)
    ended = played.promoted
    if decision == "ROLLBACK":
        ended, right, wrong = played.rolled_back, wrong, right
    elif decision is None:
        right, wrong = 0.0, right + wrong
    known = decision is not None
    needed = _timing(question, played, played.look_by(ended, question.power) if known else None, question.power)
    available = int(played.looks.customers[-1])
    return Plan(
        question=question,
        decision=decision,
        level=question.level,
        available=available,
        right=right,
        wrong=wrong,
        timings=tuple(
            _timing(question, played, played.look_by(ended, share) if known else None, share) for share in SHARES
        ),
        needed=needed,
        fixed=_fixed(question, played),
        groups=tuple(_group(question, played, place) for place in range(len(question.groups))),
        can_be_had=needed.days is not None,
        reason=_reason(question, decision, needed, available, right),
    )


def _decision(question: Question) -> str | None:
    if question.effect == -question.margin:
        return None
    return "PROMOTE" if question.effect > -question.margin else "ROLLBACK"


def _timing(question: Question, played: Played, look: int | None, share: float) -> Timing:
    if look is None:
        return Timing(share, None, None)
    return Timing(share, int(played.looks.customers[look]), _days(question, played, look))


def _days(question: Question, played: Played, look: int) -> int:
    ends = int(played.looks.cohorts[look]) * question.cohort_days
    return math.ceil(ends + question.window_days - 1e-9)


def _group(question: Question, played: Played, place: int) -> GroupPlan:
    group = question.groups[place]
    look = played.look_by(played.shown[place], question.power)
    fixed = fixed_customers(question, place)
    if look is None:
        return GroupPlan(group.name, group.margin, None, None, None, fixed)
    customers = int(played.looks.customers[look])
    members = round(group.share * customers)
    return GroupPlan(group.name, group.margin, members, customers, _days(question, played, look), fixed)


def _fixed(question: Question, played: Played) -> Timing:
    told = fixed_customers(question)
    if told is None:
        return Timing(question.power, None, None)
    customers = math.ceil(told / question.coverage)
    enough = (played.looks.customers >= customers).nonzero()[0]
    return Timing(question.power, customers, _days(question, played, int(enough[0])) if enough.size else None)


# yes and no


def _reason(question: Question, decision: str | None, needed: Timing, available: int, right: float) -> str:
    if decision is None:
        return _at_the_margin(question)
    if needed.customers is not None and needed.days is not None:
        return (
            f"{question.power:.0%} of trials have come to {decision} by {needed.customers:,} matured customers, "
            f"{needed.days:,} days after the beginning"
        )
    held_back = [group.name for group in question.groups if question.effect <= -group.margin]
    if decision == "PROMOTE" and held_back:
        return f"{', '.join(held_back)} would lose its margin or more, so the challenger is not to be promoted"
    return (
        f"{right:.0%} of trials come to {decision} within {question.horizon_days:g} days, with the "
        f"{available:,} customers who can have matured; {question.power:.0%} are planned for. {_would_need(question)}"
    )


def _would_need(question: Question) -> str:
    """How many customers it would take, if there were so many, and when there would be."""
    needed = customers_needed(question)
    if needed is None:
        return (
            f"No number of customers would do: the {1 - question.coverage:.0%} of outcomes that never come could hide "
            "the difference"
        )
    scored = needed / question.counted
    if not question.new_customers:
        return f"About {needed:,} would be needed"
    days = max((scored - question.customers) / question.new_customers, 0.0) + question.window_days
    return f"About {needed:,} would be needed, which there are after {math.ceil(days):,} days"


def _at_the_margin(question: Question) -> str:
    if question.margin == 0:
        return "no number of customers shows that one of two equal models is better"
    return f"the challenger is worse by the margin itself, {question.margin:g}: no number of customers tells its side"


def _nobody(question: Question, decision: str | None) -> Plan:
    nothing = Timing(question.power, None, None)
    return Plan(
        question=question,
        decision=decision,
        level=question.level,
        available=0,
        right=0.0,
        wrong=0.0,
        timings=tuple(Timing(share, None, None) for share in SHARES),
        needed=nothing,
        fixed=Timing(question.power, fixed_customers(question), None),
        groups=tuple(
            GroupPlan(group.name, group.margin, None, None, None, fixed_customers(question, place))
            for place, group in enumerate(question.groups)
        ),
        can_be_had=False,
        reason=f"no customer can have matured within {question.horizon_days:g} days",
    )
