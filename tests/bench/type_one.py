"""How often each rule errs when it is looked at after every cohort: `python -m tests.bench.type_one`.

10,000 runs of each scenario, 60 looks a run, 100 matured customers before each. An error is a rejection at a look at
which the claim is not true of the customers seen so far. It takes a minute on one core.
`python -m tests.bench.type_one | python -m tests.bench.readme type_one` keeps the tables.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from tests.bench.peeking import rules, scenarios
from tests.bench.peeking.scenarios import COHORTS, CUSTOMERS
from validation.statistics import e_lond_level, noninferiority_log_wealth, payoff_log_wealths

RUNS = 10_000
_ORDERED_RUNS = 1000
"""F2 goes pair by pair, and so takes a tenth of the runs."""


@dataclass(frozen=True)
class Tried:
    """One rule on one scenario.

    Attributes:
        scenario: What happens.
        rule: Who judges.
        is_ours: Whether it is a rule of the verdict, which must keep its level.
        is_error: Whether a rejection is wrong here.
        rejected: Runs that were rejected.
        runs: All runs.
        customers: Median customers at the rejection; None without any.
    """

    scenario: str
    rule: str
    is_ours: bool
    is_error: bool
    rejected: int
    runs: int
    customers: float | None

    @property
    def rate(self) -> float:
        """Share of runs."""
        return self.rejected / self.runs

    @property
    def bound(self) -> float:
        """Clopper-Pearson's one-sided 95 % upper bound of the rate."""
        if self.rejected == self.runs:
            return 1.0
        return float(beta.ppf(0.95, self.rejected + 1, self.runs - self.rejected))

    @property
    def lower(self) -> float:
        """The same from below."""
        return float(beta.ppf(0.05, self.rejected, self.runs - self.rejected + 1)) if self.rejected else 0.0


def tried(
    scenario: str,
    rule: str,
    rejected: NDArray[np.bool_],
    *,
    is_ours: bool,
    is_error: bool,
    false_now: NDArray[np.bool_] | None = None,
) -> Tried:
    """Sum up: a run is rejected at its first look at which the rule rejects (and, for an error, the claim is false)."""
    counted = rejected if false_now is None else rejected & false_now
    hit = counted.any(axis=1)
    first = counted.argmax(axis=1)[hit] + 1
    customers = float(np.median(first)) * CUSTOMERS if hit.any() else None
    return Tried(scenario, rule, is_ours, is_error, int(hit.sum()), len(hit), customers)


def all_tried(runs: int, seed: int, progress: Callable[[str], None] = lambda _: None) -> Iterator[Tried]:
    """Every rule on every scenario, in the order of the tables."""
    for number, part in enumerate((equal_models, worse_models, drifting, traps, lineages, splits, finds)):
        progress(part.__name__)
        yield from part(np.random.default_rng([seed, number]), runs)


def equal_models(rng: np.random.Generator, runs: int) -> Iterator[Tried]:
    """A/A: the challenger is no better; whoever calls it better errs."""
    found = scenarios.paired(rng, runs, 0.0)
    error = {"is_error": True}
    yield tried("A/A", "F2c, better", rules.betting(found, 0.0), is_ours=True, **error)
    yield tried("A/A", "F1, better", rules.discordant_pairs(found), is_ours=True, **error)
    yield tried("A/A", "F2c, harm", rules.betting(found, 0.0, harm=True), is_ours=True, **error)
    yield tried("A/A", "F4, better, two arms", rules.asymptotic_arms(found), is_ours=True, **error)
    yield tried("A/A", "F5, more errors, two arms", rules.error_counts(found), is_ours=True, **error)
    yield tried("A/A", "McNemar once, at the end", rules.fixed_mcnemar(found), is_ours=False, **error)
    yield tried("A/A", "McNemar at every look", rules.peeked_mcnemar(found), is_ours=False, **error)
    yield tried("A/A", "two-proportion z at every look", rules.peeked_z(found), is_ours=False, **error)
    yield tried("A/A", "F2 (pair by pair), better", _ordered(rng, runs, 0.0, 0.0), is_ours=True, **error)
    many = scenarios.repeats(rng, runs)
    yield tried("A/A, each scored 5 times", "F2c, first prediction", rules.betting(many, 0.0), is_ours=True, **error)
    yield tried(
        "A/A, each scored 5 times",
        "F2c, every row",
        rules.betting_on_naive_counts(many, 0.0),
        is_ours=False,
        **error,
    )
    yield tried("A/A, each scored 5 times", "McNemar, every row", rules.peeked_mcnemar(many), is_ours=False, **error)


def worse_models(rng: np.random.Generator, runs: int) -> Iterator[Tried]:
    """At the margin: worse by exactly what the claim excludes."""
    for margin in (0.01, 0.02):
        found = scenarios.paired(rng, runs, -margin)
        name = f"worse by exactly {margin:g}"
        rejected = rules.betting(found, margin)
        yield tried(name, f"F2c, not worse by {margin:g}", rejected, is_ours=True, is_error=True)
        rejected = rules.betting(found, margin, harm=True)
        yield tried(name, f"F2c, harm beyond {margin:g}", rejected, is_ours=True, is_error=True)
    yield tried(
        "worse by exactly 0.02",
        "F2 (pair by pair), not worse by 0.02",
        _ordered(rng, runs, -0.02, 0.02),
        is_ours=True,
        is_error=True,
    )


def drifting(rng: np.random.Generator, runs: int) -> Iterator[Tried]:
    """The difference moves; the claim is about those who were seen so far."""
    for name, draw in (
        ("worse and better in turn", scenarios.alternating),
        ("from worse to better", scenarios.rising),
        ("a shock to each cohort", scenarios.shocks),
    ):
        found = draw(rng, runs)
        so_far = found.effect.cumsum(axis=1) / np.arange(1, COHORTS + 1)
        false_now = np.broadcast_to(so_far <= 1e-12, found.wins.shape)
        for rule, rejected, is_ours in (
            ("F2c, better", rules.betting(found, 0.0), True),
            ("McNemar at every look", rules.peeked_mcnemar(found), False),
        ):
            yield tried(name, rule, rejected, is_ours=is_ours, is_error=True, false_now=false_now)


def traps(rng: np.random.Generator, runs: int) -> Iterator[Tried]:
    """What fools a naive test: each row twice, judged by the rules and without them."""
    for name, found, margin in (
        ("churn is told first; 2 points worse", scenarios.early_labels(rng, runs), 0.0),
        ("half of the losses go missing; 2 points worse", scenarios.missing_losses(rng, runs), 0.0),
        ("offers follow the champion's flag; equal", scenarios.treated_equals(rng, runs), 0.0),
    ):
        yield tried(name, "F2c by the rules, better", rules.betting(found, margin), is_ours=True, is_error=True)
        naive = rules.betting_on_naive_counts(found, margin)
        yield tried(name, "F2c on what is seen, better", naive, is_ours=False, is_error=True)
        yield tried(name, "McNemar at every look", rules.peeked_mcnemar(found), is_ours=False, is_error=True)
    dropped, name = scenarios.treated_dropped(rng, runs), "never flags; offers follow the champion's flag"
    yield tried(name, "F2c by the rules, not worse by 0.02", rules.betting(dropped, 0.02), is_ours=True, is_error=True)
    naive = rules.betting_on_naive_counts(dropped, 0.02)
    yield tried(name, "F2c without the treated, not worse by 0.02", naive, is_ours=False, is_error=True)
    cut, name = scenarios.raised_cut(rng, runs), "a higher cut; 2.9 points less profit"
    yield tried(
        name, "F2c in profit, not worse by 0.01", rules.betting(cut, 0.01, cost=0.2), is_ours=True, is_error=True
    )
    yield tried(name, "F2c in accuracy, not worse by 0.01", rules.betting(cut, 0.01), is_ours=False, is_error=True)
    harm = rules.betting(cut, 0.01, harm=True, cost=0.2)
    yield tried(name, "F2c in profit, harm beyond 0.01", harm, is_ours=True, is_error=False)


def lineages(rng: np.random.Generator, runs: int, challengers: int = 20) -> Iterator[Tried]:
    """Twenty challengers in a row that are no better: how many lines promote any of them."""
    fixed, lond = np.zeros((2, runs), dtype=np.int64)
    lines = max(runs // 10, 1)  # twenty times as many experiments as elsewhere
    for t in range(1, challengers + 1):
        found = scenarios.paired(rng, lines, 0.0)
        counts = np.stack([c.cumsum(axis=1) for c in (found.wins, found.ties, found.losses)], axis=-1)
        highest = payoff_log_wealths([1.0, 0.5, 0.0], counts, 0.5).max(axis=1)
        fixed[:lines] += highest >= -math.log(rules.ALPHA)
        levels = np.array([e_lond_level(rules.ALPHA, t, int(before)) for before in lond[:lines]])
        lond[:lines] += highest >= -np.log(levels)
    for rule, promoted, is_ours in (("F2c with e-LOND", lond, True), ("F2c at a fixed level", fixed, False)):
        rejected = (promoted[:lines] > 0)[:, np.newaxis]
        yield Tried(
            "20 equal challengers in a row", f"{rule}, any promoted", is_ours, True, int(rejected.sum()), lines, None
        )


def splits(rng: np.random.Generator, runs: int) -> Iterator[Tried]:
    """F6 on a split that is right, and on one that sends 52 % where 50 % should go."""
    for share, is_error in ((0.5, True), (0.52, False)):
        first = rng.binomial(CUSTOMERS, share, (runs, COHORTS)).cumsum(axis=1)
        name = "a split that is right" if is_error else "52 % where the split says 50 %"
        yield tried(name, "F6, mismatch", rules.sample_ratio(first, CUSTOMERS), is_ours=True, is_error=is_error)


def finds(rng: np.random.Generator, runs: int) -> Iterator[Tried]:
    """What is true: how often it is found in 6,000 customers, and after how many."""
    right = {"is_error": False}
    equal = scenarios.paired(rng, runs, 0.0)
    yield tried("equal", "F2c, not worse by 0.02", rules.betting(equal, 0.02), is_ours=True, **right)
    for points in (0.02, 0.03):
        found = scenarios.paired(rng, runs, points)
        name = f"better by {points:g}"
        yield tried(name, "F2c, better", rules.betting(found, 0.0), is_ours=True, **right)
        yield tried(name, "F2c, not worse by 0.01", rules.betting(found, 0.01), is_ours=True, **right)
        yield tried(name, "F1, better", rules.discordant_pairs(found), is_ours=True, **right)
        yield tried(name, "McNemar once, at the end", rules.fixed_mcnemar(found), is_ours=False, **right)
        yield tried(name, "F4, better, two arms", rules.asymptotic_arms(found), is_ours=True, **right)
    for points in (0.03, 0.10):
        found = scenarios.paired(rng, runs, -points)
        harm = rules.betting(found, 0.0, harm=True)
        yield tried(f"worse by {points:g}", "F2c, harm", harm, is_ours=True, **right)


def _ordered(rng: np.random.Generator, runs: int, effect: float, margin: float) -> NDArray[np.bool_]:
    """F2, which needs the pairs one after another; looked at after each cohort like the others."""
    half = scenarios.DISCORDANT / 2
    chances = [half - effect / 2, 1 - scenarios.DISCORDANT, half + effect / 2]
    looks = np.arange(CUSTOMERS, COHORTS * CUSTOMERS + 1, CUSTOMERS) - 1
    rows = []
    for _ in range(min(runs, _ORDERED_RUNS)):
        pairs = rng.choice([-1, 0, 1], COHORTS * CUSTOMERS, p=chances)
        rows.append(noninferiority_log_wealth(pairs, margin, rules.ALPHA)[looks] >= -math.log(rules.ALPHA))
    return np.array(rows)


def table(found: list[Tried], heading: str) -> Iterator[str]:
    """One table in Markdown."""
    yield f"| what is true | rule | {heading} | 95 % bound | customers, median |"
    yield "| --- | --- | ---: | ---: | ---: |"
    for one in found:
        bound = f"{one.bound:.4f}" if one.is_error else f"{one.lower:.4f}"
        customers = "" if one.customers is None else f"{one.customers:,.0f}"
        rule = f"**{one.rule}**" if one.is_ours else one.rule
        yield f"| {one.scenario} | {rule} | {one.rate:.4f} | {bound} | {customers} |"


def main(arguments: list[str] | None = None) -> int:
    """Run and print. Exit code 1 if a rule of the verdict errs more often than it says."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--runs", type=int, default=RUNS, help="runs of each scenario")
    asked.add_argument("--seed", type=int, default=0)
    options = asked.parse_args(arguments)
    began = time.monotonic()
    found = list(all_tried(options.runs, options.seed, lambda name: print(f"... {name}", file=sys.stderr)))  # noqa: T201
    errors, right = [one for one in found if one.is_error], [one for one in found if not one.is_error]
    lines = [
        f"{options.runs:,} runs a scenario (F2 and lineages fewer), {COHORTS} looks of {CUSTOMERS} customers "
        f"each, alpha {rules.ALPHA:g}; bold: the rules of the verdict. {time.monotonic() - began:.0f} s.",
        "",
        *table(errors, "errors"),
        "",
        *table(right, "found"),
    ]
    print("\n".join(lines))  # noqa: T201
    # A rate at the level itself has an upper bound above it: what is held against the level is the lower bound.
    broken = [one for one in errors if one.is_ours and one.lower > rules.ALPHA]
    for one in broken:
        print(f"{one.scenario}, {one.rule}: {one.rate:.4f} is above {rules.ALPHA:g}", file=sys.stderr)  # noqa: T201
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
