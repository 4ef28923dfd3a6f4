"""Rules that decide at every look: whether each run has been rejected by then, from cumulative counts of many runs.

Gauntlet's own are those of `validation.statistics`; the naive ones are what people do instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, norm

from tests.bench.peeking.scenarios import CUSTOMERS, Counts, Experiment
from validation.statistics import (
    asymptotic_sequence,
    error_rate_log_e,
    mixed_srm_log_e,
    payoff_log_wealths,
    sequential_mcnemar,
)

Rejected = NDArray[np.bool_]
ALPHA = 0.05
_THRESHOLD = -math.log(ALPHA)
_RUNS_AT_A_TIME = 500


def betting(experiment: Experiment, margin: float, *, harm: bool = False, cost: float = 1.0) -> Rejected:
    """F2c: superior (margin 0), not worse by a margin, or harm beyond it; pays by cost ratio where one is given.

    Missing disagreements count as losses, and as wins where harm is claimed. Profit is of customers who would have
    stayed among the wins (a needless offer spared) and churners among the losses, as in `raised_cut`.
    """
    wins, ties, losses = (counts.cumsum(axis=1) for counts in (experiment.wins, experiment.ties, experiment.losses))
    if experiment.missing is not None:
        missing = experiment.missing.cumsum(axis=1)
        wins, losses = (wins + missing, losses) if harm else (wins, losses + missing)
    payoffs = [(1 + cost) / 2, 0.5, 0.0]
    mean = (1 - margin) / 2
    if harm:
        payoffs, mean = [1 - payoff for payoff in payoffs], (1 + margin) / 2
    parts = range(0, len(wins), _RUNS_AT_A_TIME)
    counts = np.stack([wins, ties, losses], axis=-1)
    return np.concatenate(
        [payoff_log_wealths(payoffs, counts[i : i + _RUNS_AT_A_TIME], mean) >= _THRESHOLD for i in parts]
    )


def betting_on_naive_counts(experiment: Experiment, margin: float) -> Rejected:
    """F2c on what somebody counts who does not know the rules: a sequential test alone does not help."""
    wins, losses = naive_counts(experiment)
    ties = experiment.extra.get("naive_ties")
    tied = np.zeros_like(wins) if ties is None else ties.cumsum(axis=1)
    counts = np.stack([wins, tied, losses], axis=-1)
    return payoff_log_wealths([1.0, 0.5, 0.0], counts, (1 - margin) / 2) >= _THRESHOLD


def discordant_pairs(experiment: Experiment) -> Rejected:
    """F1: sequential McNemar on the pairs that the verdict counts."""
    wins, losses = experiment.wins.cumsum(axis=1), experiment.losses.cumsum(axis=1)
    return by_unique_pair(sequential_mcnemar, wins, losses) >= _THRESHOLD


def fixed_mcnemar(experiment: Experiment) -> Rejected:
    """One-sided mid-p at the last look alone, as the textbook has it."""
    found = peeked_mcnemar(experiment)
    found[:, :-1] = False
    return found


def peeked_mcnemar(experiment: Experiment) -> Rejected:
    """The same at every look, until it is significant."""
    wins, losses = naive_counts(experiment)
    together = wins + losses
    p = binom.sf(wins - 1, together, 0.5) - 0.5 * binom.pmf(wins, together, 0.5)
    return np.asarray((p < ALPHA) & (together > 0))


def peeked_z(experiment: Experiment) -> Rejected:
    """Two-proportion z of arms that halve the customers, at every look: wasteful, and not valid either."""
    assert experiment.arms is not None
    champion, challenger = (right.cumsum(axis=1) for right in experiment.arms)
    n = CUSTOMERS // 2 * np.arange(1, champion.shape[1] + 1)
    shared = (champion + challenger) / (2 * n)
    error = np.sqrt(np.maximum(2 * shared * (1 - shared) / n, 1e-12))
    return np.asarray((challenger - champion) / n / error > norm.isf(ALPHA))


def asymptotic_arms(experiment: Experiment, n_expected: int = 5000) -> Rejected:
    """F4 on the same arms, one-sided, with its floor of 100 customers and 10 errors an arm."""
    assert experiment.arms is not None
    champion, challenger = (right.cumsum(axis=1) for right in experiment.arms)
    n = CUSTOMERS // 2 * np.arange(1, champion.shape[1] + 1)
    shares = champion / n, challenger / n
    error = np.sqrt(sum(share * (1 - share) for share in shares) / (n - 1))
    reach = np.array([-asymptotic_sequence(0, 1, int(2 * k), n_expected, ALPHA, one_sided=True)[0] for k in n])
    enough = (n >= 100) & (n - champion >= 10) & (n - challenger >= 10)
    return np.asarray(enough & (shares[1] - shares[0] - reach * error > 0))


def error_counts(experiment: Experiment) -> Rejected:
    """F5 on the same arms: more errors of the challenger than its half."""
    assert experiment.arms is not None
    n = CUSTOMERS // 2 * np.arange(1, experiment.wins.shape[1] + 1)
    champion, challenger = (n - right.cumsum(axis=1) for right in experiment.arms)
    return by_unique_pair(lambda a, b: error_rate_log_e(a, b, 0.5, 100), champion, challenger) >= _THRESHOLD


def sample_ratio(first: Counts, customers: int) -> Rejected:
    """F6: customers in the first arm of a half-and-half split, cumulative, at every look."""
    total = customers * np.arange(1, first.shape[1] + 1)
    return by_unique_pair(lambda a, b: mixed_srm_log_e([a, b], [0.5, 0.5]), first, total - first) >= _THRESHOLD


def naive_counts(experiment: Experiment) -> tuple[Counts, Counts]:
    """Cumulative wins and losses as somebody sees them who does not know the rules."""
    assert experiment.naive is not None
    wins, losses = experiment.naive
    return wins.cumsum(axis=1), losses.cumsum(axis=1)


def by_unique_pair(log_e: Callable[[int, int], float], first: Counts, second: Counts) -> NDArray[np.float64]:
    """A function of two counts for arrays of them; each pair of counts is computed once."""
    pairs, places = np.unique(np.stack([first, second], axis=-1).reshape(-1, 2), axis=0, return_inverse=True)
    values = np.array([log_e(int(a), int(b)) for a, b in pairs])
    return values[places.reshape(first.shape)]
