"""Playing the verdict's own rule (F2c) over many trials: a look after every cohort, worst cases for missing truths."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from validation.judge.payoffs import Prices, prices_of
from validation.planning.question import Question
from validation.statistics import payoff_log_wealths

RUNS = 2000
_LOOKS = 200
_RUNS_AT_A_TIME = 250


@dataclass(frozen=True)
class Played:
    """How many trials ended, when.

    Attributes:
        looks: Matured customers at each look, shape (n_looks,).
        promoted: For each run the look at which it was promoted; -1 for never. Shape (n_runs,).
        rolled_back: The same for a rollback, where that came first.
    """

    looks: NDArray[np.int64]
    promoted: NDArray[np.int64]
    rolled_back: NDArray[np.int64]

    def share(self, ended: NDArray[np.int64]) -> float:
        """Share of runs that ended so."""
        return float(np.mean(ended >= 0))

    def customers(self, ended: NDArray[np.int64], share: float) -> int | None:
        """Matured customers by which that share of all runs had ended so; None where it never did."""
        if self.share(ended) < share:
            return None
        at = np.sort(np.where(ended >= 0, ended, len(self.looks)))[math.ceil(share * len(ended)) - 1]
        return int(self.looks[at])


def play(question: Question, *, customers: int, seed: int, runs: int = RUNS) -> Played:
    """Play many trials with so many customers at most.

    Args:
        question: What is true, and by which rule it is judged.
        customers: Matured customers at the last look.
        seed: Of the trials.
        runs: How many.
    """
    rng = np.random.default_rng(seed)
    # Looks lie closer together at first; more of them than customers would be looks at nothing new.
    looks = np.unique(np.geomspace(min(30, customers), customers, _LOOKS).round().astype(np.int64))
    promoted, rolled_back = np.full((2, runs), -1, dtype=np.int64)
    for start in range(0, runs, _RUNS_AT_A_TIME):
        part = slice(start, min(start + _RUNS_AT_A_TIME, runs))
        first = _first_crossings(question, looks, part.stop - part.start, rng)
        promoted[part], rolled_back[part] = first
    return Played(looks, promoted, rolled_back)


def _first_crossings(
    question: Question, looks: NDArray[np.int64], runs: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """When promotion and rollback were first allowed; whichever came first ends the trial."""
    prices = prices_of(question.false_positive_cost)
    chances = chances_of(question)
    seen, missing = question.coverage * chances, (1 - question.coverage) * chances[:4]
    steps = np.diff(looks, prepend=0)
    # Wins and losses with a truth, ties (and what is missing among them), and disagreements without one.
    drawn = rng.multinomial(np.broadcast_to(steps, (runs, len(looks))), _with_rest([*seen[:4], *missing]))
    counts = drawn.cumsum(axis=1)
    payoffs, worst, best = _payoffs(prices, counts)
    up = payoff_log_wealths(payoffs, worst, (1 - question.margin) / 2) >= -math.log(question.alpha)
    down = payoff_log_wealths(1 - payoffs, best, (1 + question.margin) / 2) >= -math.log(question.alpha_rollback)
    up &= looks >= question.min_matured
    at_up, at_down = (np.where(hit.any(axis=1), hit.argmax(axis=1), len(looks)) for hit in (up, down))
    promoted = np.where((at_up < len(looks)) & (at_up <= at_down), at_up, -1)
    rolled_back = np.where((at_down < len(looks)) & (at_down < at_up), at_down, -1)
    return promoted, rolled_back


def chances_of(question: Question) -> NDArray[np.float64]:
    """Chances that a customer is a win on a positive, a win on a negative, a loss on either, shape (4,).

    The models disagree as often one way as the other; what makes one better is how often the truth is on its side.
    """
    cost = 1.0 if question.false_positive_cost is None else question.false_positive_cost
    missed, needless = min(1.0, 1 / cost), min(1.0, cost)
    half = question.disagreement / 2
    # Positive truths among those whom the challenger alone flags, less those whom the champion alone flags.
    apart = question.effect / (half * (missed + needless))
    low, high = max(0.0, -apart), min(1.0, 1 - apart)
    theirs = min(max(question.positive - apart / 2, low), high)
    ours = theirs + apart
    return half * np.array([ours, 1 - theirs, theirs, 1 - ours])


def _with_rest(chances: list[float]) -> NDArray[np.float64]:
    return np.array([*chances, max(1 - sum(chances), 0.0)])


def _payoffs(
    prices: Prices, counts: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Payoffs, and how many customers pay each if missing truths go against, and for, the challenger."""
    payoffs = np.array([prices.win_positive, prices.win_negative, prices.loss_positive, prices.loss_negative, 0.5])
    wins_positive, wins_negative, losses_positive, losses_negative = np.moveaxis(counts[..., :4], -1, 0)
    # A missing disagreement is known by who flagged: the challenger alone (win on a positive, or loss on a negative) or
    # the champion alone (loss on a positive, or win on a negative).
    by_challenger = counts[..., 4] + counts[..., 7]
    by_champion = counts[..., 5] + counts[..., 6]
    ties = counts[..., 8]
    worst = [wins_positive, wins_negative, losses_positive + by_champion, losses_negative + by_challenger, ties]
    best = [wins_positive + by_challenger, wins_negative + by_champion, losses_positive, losses_negative, ties]
    return payoffs, np.stack(worst, axis=-1), np.stack(best, axis=-1)
