"""How many customers a decision would take if there were any number of them: for a no that says what is missing."""

from __future__ import annotations

import math
from collections.abc import Iterator

import msgspec

from validation.judge.payoffs import least_customers, log_e_against, log_e_for
from validation.planning.question import Question, chances_of
from validation.planning.simulating import play

_MOST_CUSTOMERS = 2**40
_RUNS = 1000
_LOOKS, _LOOKS_TO_THE_EXPECTED = 400, 40


def customers_needed(question: Question, *, seed: int = 0) -> int | None:
    """Matured customers by whom the planned share of trials is decided rightly, groups included.

    Played as the plan is, with as many customers as it takes: up to ten times the number at which averages decide.

    Args:
        question: Checked; it has a right decision.
        seed: Of the simulation.

    Returns:
        Customers, those without a truth among them; None where no number is enough.
    """
    expected = [expected_customers(one) for one in _parts(question)]
    known = [customers for customers in expected if customers is not None]
    if len(known) < len(expected):
        return None
    shares = [1.0, *(group.share for group in question.groups)]
    most = max(customers / share for customers, share in zip(known, shares, strict=False))
    endless = msgspec.structs.replace(
        question,
        customers=0,
        new_customers=most / _LOOKS_TO_THE_EXPECTED,
        counted=1.0,
        window_days=0.0,
        cohort_days=1.0,
        min_cohorts=1,
        horizon_days=float(_LOOKS),
    )
    played = play(endless, seed=seed, runs=_RUNS)
    ended = played.promoted if question.effect > -question.margin else played.rolled_back
    look = played.look_by(ended, question.power)
    return None if look is None else int(played.looks.customers[look])


def _parts(question: Question) -> Iterator[Question]:
    """Everybody, and for a promotion each group by its own margin."""
    yield question
    if question.effect > -question.margin:
        for group in question.groups:
            apart = question.disagreement if group.disagreement is None else group.disagreement
            yield msgspec.structs.replace(question, margin=group.margin, disagreement=apart)


def expected_customers(question: Question) -> int | None:
    """Customers at whom the right decision falls if chance keeps to its averages, however many there are.

    Groups are left out, and so is what else a promotion waits for.

    Returns:
        Customers, those without a truth among them; None where no number is enough.
    """
    chances, prices = chances_of(question), question.prices
    told, missing = question.coverage * chances, (1 - question.coverage) * chances
    is_better = question.effect > -question.margin
    threshold = -math.log(question.level if is_better else question.harm_level)
    # Every missing disagreement goes against the decision; who flagged is known.
    by_challenger, by_champion = missing[0] + missing[3], missing[1] + missing[2]
    against = [0.0, 0.0, by_champion, by_challenger] if is_better else [by_challenger, by_champion, 0.0, 0.0]
    paid = [prices.win_positive, prices.win_negative, prices.loss_positive, prices.loss_negative]

    def is_enough(customers: int) -> bool:
        payoffs: dict[float, int] = {}
        for payoff, share in zip(paid, told + against, strict=True):
            payoffs[payoff] = payoffs.get(payoff, 0) + math.floor(customers * float(share))
        payoffs[0.5] = payoffs.get(0.5, 0) + customers - sum(payoffs.values())
        return (log_e_for if is_better else log_e_against)(payoffs, question.margin) >= threshold

    return least_customers(is_enough, most=_MOST_CUSTOMERS)
