"""Playing the verdict's own rules (F2c) over many trials: a look after every cohort, worst cases for missing truths.

A trial's customers are drawn cohort by cohort: what each is worth as a pair, whether its truth comes back, and which
groups it belongs to. At each look the rules of the verdict are asked, everybody's and every group's, of the same
counts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from validation.judge.ledger import Counts
from validation.judge.payoffs import Prices
from validation.planning.question import Question, chances_of, chances_within
from validation.statistics import payoff_log_wealths

RUNS = 2000
_MOST_LOOKS = 400
_LOOKS_AT_A_TIME = 32

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Looks:
    """When somebody looks.

    Attributes:
        cohorts: How many cohorts have matured, shape (n_looks,), rising.
        customers: How many customers they hold, those without a truth among them.
    """

    cohorts: Ints
    customers: Ints


@dataclass(frozen=True)
class Played:
    """Which trials ended, when; each number is a place in `looks`, or their number for "never".

    Attributes:
        looks: When somebody looked.
        promoted: For each run, the look at which it was promoted. Shape (n_runs,).
        rolled_back: The same for a rollback; a run has one of both at most.
        shown: For each group and run, the first look at which the group was shown to be no worse; never where the run
            ended before. Shape (n_groups, n_runs).
    """

    looks: Looks
    promoted: Ints
    rolled_back: Ints
    shown: Ints

    @property
    def ended(self) -> Ints:
        """For each run, the look at which it was decided either way. Shape (n_runs,)."""
        return np.minimum(self.promoted, self.rolled_back)

    def share(self, ended: Ints) -> float:
        """Share of runs that ended so."""
        return float(np.mean(ended < len(self.looks.cohorts)))

    def look_by(self, ended: Ints, share: float) -> int | None:
        """The look by which that share of all runs had ended so; None where it never did."""
        at = int(np.sort(ended)[math.ceil(share * len(ended)) - 1])
        return at if at < len(self.looks.cohorts) else None


def looks_of(question: Question) -> Looks:
    """A look after every cohort that holds anybody.

    Of more than 400 only so many are kept, closer together at first. What is decided between two is then found at the
    second: a plan may say a little too late, never too soon.
    """
    kept = np.unique(np.geomspace(1, question.cohorts, _MOST_LOOKS).round().astype(np.int64))
    cohorts = np.arange(1, question.cohorts + 1) if question.cohorts <= _MOST_LOOKS else kept
    scored = np.array([question.scored_by(cohort * question.cohort_days) for cohort in cohorts.tolist()])
    customers = np.floor(scored + 1e-9).astype(np.int64)
    return Looks(cohorts[customers > 0], customers[customers > 0])


@dataclass(frozen=True)
class Begun:
    """A trial that is under way: what its ledger holds.

    Attributes:
        cohorts: Cohorts with at least one matured customer.
        counts: Its customers.
    """

    cohorts: int
    counts: Counts

    @property
    def cells(self) -> Ints:
        """Its customers as they are played, shape (cells,). Of a missing truth it is known who flagged."""
        c = self.counts
        told = [c.wins_positive, c.wins_negative, c.losses_positive, c.losses_negative]
        missing = [c.missing_challenger_positive, c.missing_champion_positive, 0, 0]
        return np.array([*told, *missing, c.ties, c.missing_agreements], dtype=np.int64)


def play(question: Question, *, seed: int, runs: int = RUNS, begun: Begun | None = None) -> Played:
    """Play many trials until each is decided or the horizon is reached.

    Args:
        question: What is true, and by which rules it is judged; at least one cohort matures by its horizon. Groups of a
            trial that is under way cannot be played.
        seed: Of the trials.
        runs: How many.
        begun: From where they go on; looks count from there. None: from the beginning.
    """
    rng, looks = np.random.default_rng(seed), looks_of(question)
    never, groups = len(looks.cohorts), len(question.groups)
    promoted, rolled_back = np.full((2, runs), never, dtype=np.int64)
    shown = np.full((groups, runs), never, dtype=np.int64)
    sums = np.zeros((1 + groups, runs, 1, _CELLS), dtype=np.int64)
    sums[0] += 0 if begun is None else begun.cells
    cohorts = looks.cohorts + (0 if begun is None else begun.cohorts)
    going, steps = np.arange(runs), np.diff(looks.customers, prepend=0)
    for start in range(0, never, _LOOKS_AT_A_TIME):
        if not going.size:
            break
        part = slice(start, start + _LOOKS_AT_A_TIME)
        counts = sums[:, going] + _draw(question, steps[part], going.size, rng).cumsum(axis=2)
        sums[:, going] = counts[:, :, -1:]
        ups, downs = _ask(question, counts)
        ready: Flags = cohorts[part] >= question.min_cohorts
        ready = ready & (counts[0][..., _TOLD].sum(axis=-1) >= question.min_matured)
        for group in range(groups):
            first = start + _first(ups[1 + group])
            shown[group, going] = np.minimum(shown[group, going], np.where(ups[1 + group].any(axis=1), first, never))
        down = np.asarray(downs.any(axis=0))
        up = np.asarray(ups.all(axis=0) & ready)
        either: Flags = up | down
        at, hit, rows = _first(either), either.any(axis=1), np.arange(going.size)
        is_down = down[rows, at]  # a verdict looks at harm first
        rolled_back[going[hit & is_down]] = start + at[hit & is_down]
        promoted[going[hit & ~is_down]] = start + at[hit & ~is_down]
        going = going[~hit]
    ended = np.minimum(promoted, rolled_back)
    return Played(looks, promoted, rolled_back, np.where(shown <= ended, shown, never))


def _first(flags: Flags) -> Ints:
    return np.asarray(flags.argmax(axis=1))


# what a customer is: a disagreement with its truth (4 cells), one without (4), an agreement with and without truth

_CELLS = 10
_DISAGREEMENTS, _MISSING = slice(0, 4), slice(4, 8)
_TIES, _MISSING_TIES = 8, 9
_TOLD = [0, 1, 2, 3, _TIES]


def _cells(question: Question, differ: NDArray[np.float64]) -> NDArray[np.float64]:
    coverage = question.coverage
    agree = max(1 - float(differ.sum()), 0.0)
    return np.array([*coverage * differ, *(1 - coverage) * differ, coverage * agree, (1 - coverage) * agree])


def _draw(question: Question, steps: Ints, runs: int, rng: np.random.Generator) -> Ints:
    """Counts of each cell: everybody's, then each group's, shape (1 + n_groups, runs, n_looks, cells).

    Who belongs to a group is drawn of the same customers, one group independently of another.
    """
    everybody = _cells(question, chances_of(question))
    drawn = rng.multinomial(np.broadcast_to(steps, (runs, len(steps))), everybody / everybody.sum())
    cells = [(group.share, _cells(question, chances_within(question, group))) for group in question.groups]
    return np.stack([drawn, *(rng.binomial(drawn, _parts(share * theirs, everybody)) for share, theirs in cells)])


def _parts(members: NDArray[np.float64], everybody: NDArray[np.float64]) -> NDArray[np.float64]:
    """Chance that a customer of each cell belongs to the group."""
    parts = np.divide(members, everybody, out=np.zeros(_CELLS), where=everybody > 0)
    return np.minimum(parts, 1.0)  # `check_question` has seen that they are no more, but for rounding


# what the rules say


def _ask(question: Question, counts: Ints) -> tuple[Flags, Flags]:
    """Which of everybody and the groups are shown to be no worse, and which to be worse, at each run and look."""
    ups, downs = [], []
    scopes = [(question.margin, question.harm_level)]
    scopes += [(group.margin, question.group_harm_level) for group in question.groups]
    for (margin, harm_level), own in zip(scopes, counts, strict=True):
        up, down = wealths(question.prices, own, margin)
        ups.append(up >= -math.log(question.level))
        downs.append(down >= -math.log(harm_level))
    return np.stack(ups), np.stack(downs)


def wealths(prices: Prices, counts: Ints, margin: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Log wealth for "no worse by the margin" and for "worse by more", whatever the missing truths are.

    Each is the lower one of what the customers with a truth say, and of what all would if every missing disagreement
    went against it.

    Args:
        prices: What a pair pays.
        counts: Shape (..., cells).
        margin: In [0, 0.5).

    Returns:
        Both of shape (...).
    """
    payoffs = np.array([prices.win_positive, prices.win_negative, prices.loss_positive, prices.loss_negative, 0.5])
    told = counts[..., _TOLD]

    def up(numbers: Ints) -> NDArray[np.float64]:
        return payoff_log_wealths(payoffs, numbers, (1 - margin) / 2)

    def down(numbers: Ints) -> NDArray[np.float64]:
        return payoff_log_wealths(1 - payoffs, numbers, (1 + margin) / 2)

    if not counts[..., _MISSING].any() and not counts[..., _MISSING_TIES].any():
        return up(told), down(told)
    worst, best = _with_missing(counts, told)
    return np.minimum(up(told), up(worst)), np.minimum(down(told), down(best))


def _with_missing(counts: Ints, told: Ints) -> tuple[Ints, Ints]:
    """Everybody's payoffs if each missing disagreement were a loss, and if it were a win."""
    missing = counts[..., _MISSING]
    # It is known who flagged: the challenger alone (a win on a positive or a loss on a negative), or the champion.
    by_challenger, by_champion = missing[..., 0] + missing[..., 3], missing[..., 1] + missing[..., 2]
    nobody, ties = np.zeros_like(by_champion), counts[..., _MISSING_TIES]
    worst = told + np.stack([nobody, nobody, by_champion, by_challenger, ties], axis=-1)
    best = told + np.stack([by_challenger, by_champion, nobody, nobody, ties], axis=-1)
    return worst, best
