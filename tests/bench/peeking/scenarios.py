"""What happens to customers: for many runs at once, cohort by cohort, the counts that a ledger would hold.

Every scenario says by how much the challenger really is better in each cohort, so that errors can be told from finds.
Rates are near Telco's: 26.5 % churn, and two models that disagree in correctness on a tenth of the customers.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
Rates = NDArray[np.float64]

COHORTS, CUSTOMERS = 60, 100
"""Looks in a run, and customers that mature before each."""

CHURN, DISCORDANT = 0.265, 0.10
WINDOW = 30
"""Cohorts between a prediction and the day on which "stayed" is known."""


@dataclass(frozen=True)
class Experiment:
    """Many runs of one scenario. Arrays have shape (n_runs, n_cohorts) and hold each cohort's own counts.

    Attributes:
        wins: Matured pairs that the challenger alone got right, as the rules of the verdict count them.
        ties: Pairs that both or neither got right.
        losses: Pairs that the champion alone got right.
        effect: The true mean difference of accuracy in each cohort, shape (n_runs, n_cohorts) or (1, n_cohorts).
        missing: Pairs without truth on which the models disagree.
        naive: What somebody counts who does not know the rules: wins and losses by the look at which they are seen.
        arms: Right answers of champion and challenger where each has half of the customers.
    """

    wins: Counts
    ties: Counts
    losses: Counts
    effect: Rates
    missing: Counts | None = None
    naive: tuple[Counts, Counts] | None = None
    arms: tuple[Counts, Counts] | None = None
    extra: dict[str, Counts] = field(default_factory=dict)


def paired(rng: np.random.Generator, runs: int, effect: float | Rates) -> Experiment:
    """Pairs whose difference has a given mean, a tenth of them discordant; and two arms with the same accuracies."""
    mean = np.broadcast_to(np.asarray(effect, dtype=np.float64), (runs, COHORTS))
    chances = np.stack([(DISCORDANT + mean) / 2, np.full(mean.shape, 1 - DISCORDANT), (DISCORDANT - mean) / 2], axis=-1)
    counts = rng.multinomial(CUSTOMERS, chances)
    right = 0.80
    arms = rng.binomial(CUSTOMERS // 2, right, mean.shape), rng.binomial(CUSTOMERS // 2, right + mean)
    return Experiment(*np.moveaxis(counts, -1, 0), effect=mean, naive=(counts[..., 0], counts[..., 2]), arms=arms)


def alternating(rng: np.random.Generator, runs: int) -> Experiment:
    """Worse and better by 8 points in turn: never better on average so far."""
    return paired(rng, runs, np.where(np.arange(COHORTS) % 2 == 0, -0.08, 0.08))


def rising(rng: np.random.Generator, runs: int) -> Experiment:
    """From 8 points worse to 8 better: on average so far never better, and the last half looks splendid."""
    return paired(rng, runs, np.linspace(-0.08, 0.08, COHORTS))


def shocks(rng: np.random.Generator, runs: int) -> Experiment:
    """Each cohort has a difference of its own, 0 on average: a campaign, a price change, a holiday."""
    return paired(rng, runs, np.clip(rng.normal(0, 0.03, (runs, COHORTS)), -DISCORDANT, DISCORDANT))


def early_labels(rng: np.random.Generator, runs: int) -> Experiment:
    """The challenger flags more: it wins churners and loses stayers, two points worse in all.

    Churn is told the day it happens, "stayed" when the window closes; who judges by arrival sees the wins first.
    """
    found = paired(rng, runs, -0.02)
    wins, losses = np.zeros((2, runs, COHORTS), dtype=np.int64)
    for cohort in range(COHORTS):
        told = rng.multinomial(found.wins[:, cohort], np.full(WINDOW, 1 / WINDOW))
        for delay in range(min(WINDOW, COHORTS - cohort)):
            wins[:, cohort + delay] += told[:, delay]
        if cohort + WINDOW < COHORTS:
            losses[:, cohort + WINDOW] += found.losses[:, cohort]
    return Experiment(found.wins, found.ties, found.losses, found.effect, naive=(wins, losses))


def missing_losses(rng: np.random.Generator, runs: int) -> Experiment:
    """Two points worse, and half of those on whom the champion was right never say so."""
    found = paired(rng, runs, -0.02)
    silent = rng.binomial(found.losses, 0.5)
    seen = found.losses - silent
    return Experiment(found.wins, found.ties, seen, found.effect, missing=silent, naive=(found.wins, seen))


def treated_equals(rng: np.random.Generator, runs: int, share: float = 0.2, saved: float = 0.5) -> Experiment:
    """Equal models that disagree on a tenth. Whom the champion flags gets an offer, which saves half of the churners.

    The champion is then wrong about them, and a challenger that had not flagged them is right. From a share of
    customers, drawn before scoring, offers are withheld; they alone are evidence.
    """
    churns = 0.5  # among those on whom they disagree: equal models win half
    withheld = rng.binomial(CUSTOMERS, share, (runs, COHORTS))
    clean = rng.multinomial(withheld, [DISCORDANT / 2, 1 - DISCORDANT, DISCORDANT / 2])
    wins, losses = np.zeros((2, runs, COHORTS), dtype=np.int64)
    acted_on = CUSTOMERS - withheld
    champion_flags, challenger_flags = rng.multinomial(acted_on, [0.05, 0.05, 0.90]).transpose(2, 0, 1)[:2]
    stays_true = 1 - churns + churns * saved  # of those whom the champion flagged and who got an offer
    right = rng.binomial(champion_flags, stays_true)
    wins += right
    losses += champion_flags - right
    churned = rng.binomial(challenger_flags, churns)  # not flagged by the champion: nobody acted
    wins += churned
    losses += challenger_flags - churned
    return Experiment(*np.moveaxis(clean, -1, 0), effect=np.zeros((1, COHORTS)), naive=(wins, losses))


def treated_dropped(rng: np.random.Generator, runs: int, share: float = 0.2) -> Experiment:
    """A challenger that never flags, against a champion that flags a fifth and is right on 64 %: 5.6 points worse.

    Whoever got an offer is dropped, and with them every customer on whom the champion was better.
    """
    flagged, precision = 0.20, 0.64
    effect = flagged * (1 - 2 * precision)
    withheld = rng.binomial(CUSTOMERS, share, (runs, COHORTS))
    chances = [flagged * (1 - precision), 1 - flagged, flagged * precision]
    clean = rng.multinomial(withheld, chances)
    unflagged = rng.binomial(CUSTOMERS - withheld, 1 - flagged)  # both say "stays": ties
    zero = np.zeros_like(unflagged)
    return Experiment(
        *np.moveaxis(clean, -1, 0),
        effect=np.full((1, COHORTS), effect),
        naive=(zero, zero),
        extra={"naive_ties": unflagged},
    )


def raised_cut(rng: np.random.Generator, runs: int) -> Experiment:
    """The same scores behind a higher cut: 2.8 points of accuracy more, and recall down from .714 to .551.

    With a missed churner five times as dear as a needless offer that loses .029 of the dearer mistake a customer.
    """
    missed = CHURN * (0.714 - 0.551)
    spared = missed + 0.028
    counts = rng.multinomial(CUSTOMERS, [spared, 1 - spared - missed, missed], (runs, COHORTS))
    effect = np.full((1, COHORTS), 0.2 * spared - missed)
    wins, ties, losses = np.moveaxis(counts, -1, 0)
    return Experiment(wins, ties, losses, effect, naive=(wins, losses))


def repeats(rng: np.random.Generator, runs: int, times: int = 5) -> Experiment:
    """Equal models; every customer is scored five times, with the same answer and the same truth."""
    found = paired(rng, runs, 0.0)
    return Experiment(
        found.wins, found.ties, found.losses, found.effect, naive=(found.wins * times, found.losses * times)
    )
