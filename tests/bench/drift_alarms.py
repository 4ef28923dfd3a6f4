"""How often drift is told when nothing drifts, and how soon when something does: `python -m tests.bench.drift_alarms`.

200 quiet weeks of one model, after a week that fills the longest window, at 100 to 100,000 predictions a day, customers
scored once, twice and four times; ours beside the bare rule that a PSI above 0.1 (or 0.25) is drift. Both look at the
same windows and must hold as long. Each week has a model of its own: its training is as much a sample as its customers.
Then one feature moves by a known PSI. Synthetic customers in the Telco schema. It takes a few minutes on one core.
`python -m tests.bench.drift_alarms | python -m tests.bench.readme drift_alarms` keeps the tables.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import t

from bentos.artifact import Reference
from service.metric_names import HASH_BITS
from tests.bench.machine import progress
from training.data import data_of
from training.generator import generate_customers
from training.reference import reference_of
from training.use_case import load_use_case
from validation.drift.limits import LIMITS
from validation.statistics import psi_limit

Counts = NDArray[np.float64]
Told = NDArray[np.bool_]

WEEKS = 200
VOLUMES = (100, 1_000, 10_000, 100_000)
REPEATS = (1, 2, 4)
SIZES = (0.05, 0.1, 0.2, 0.3, 0.5)
TRAINED = 5_634
"""Rows of training: four fifths of the Telco file."""

LOOKS_AN_HOUR = 12
"""The rules look every minute. What holds for ten minutes holds at three looks five minutes apart, so that more is told
here than there."""
HOURS = 168
USE_CASE = Path(__file__).resolve().parents[2] / "training" / "use_cases" / "telco_churn.yaml"


@dataclass(frozen=True)
class Window:
    """As the committed rules have it.

    Attributes:
        name: For the table.
        hours: How long it is.
        hold: At how many looks in a row something must be so before it is told.
        seconds: How long it is, for the level.
    """

    name: str
    hours: int
    hold: int

    @property
    def seconds(self) -> float:
        """How long it is."""
        return 3600.0 * self.hours


WINDOWS = (Window("1h", 1, 3), Window("1d", 24, 1), Window("7d", 168, 2))


@dataclass(frozen=True)
class World:
    """Distributions side by side: every bin of every feature and of the score in one row.

    Attributes:
        shares: True shares of the bins, shape (n_bins,).
        starts: First bin of each distribution.
        centres: The score's bins' mean probabilities; the score is the last distribution.
    """

    shares: Counts
    starts: NDArray[np.intp]
    centres: Counts

    @property
    def sizes(self) -> NDArray[np.intp]:
        """Bins of each distribution."""
        return np.diff(np.append(self.starts, self.shares.size))

    def draw(self, rng: np.random.Generator, rows: NDArray[np.int64]) -> Counts:
        """Counts of so many independent rows each, shape (len(rows), n_bins)."""
        parts = np.split(self.shares, self.starts[1:])
        return np.concatenate([rng.multinomial(rows, part) for part in parts], axis=1).astype(np.float64)

    def only(self, place: int, shares: Counts) -> World:
        """One distribution alone, with other shares."""
        return World(shares, np.array([0]), np.zeros(shares.size))


def world_of(reference: Reference) -> World:
    """What a reference's bins hold, taken for the truth."""
    distributions = [one for one in (*reference.features, reference.score) if len(one.bins) > 1]
    sizes = [len(one.bins) for one in distributions]
    shares = [np.array(one.counts) / sum(one.counts) for one in distributions]
    edges = np.array([0.0, *reference.score.edges, 1.0])
    starts = np.cumsum([0, *sizes[:-1]])
    return World(np.concatenate(shares), starts, (edges[:-1] + edges[1:]) / 2)


def telco() -> World:
    """Synthetic customers in the Telco schema, and probabilities as a model of them gives."""
    contract = load_use_case(USE_CASE).contract
    frame = data_of(contract, generate_customers(20_000, 0), source="synthetic", is_synthetic=True).frame
    return world_of(reference_of(contract, frame, np.random.default_rng(0).beta(0.7, 2.0, len(frame))))


@dataclass(frozen=True)
class Traffic:
    """A quiet week and the one before it.

    Attributes:
        hourly: Counts of the bins by hour, shape (2 * HOURS, n_bins).
        fine: Counts by five minutes of the second week and the hour before it, shape (looks, n_bins).
        signs: Of each bit of the customers' hashes, rows that have it less rows that lack it, as `fine`.
        hourly_signs: The same by hour.
        training: Counts of training, shape (n_bins,).
    """

    hourly: Counts
    fine: Counts
    signs: Counts
    hourly_signs: Counts
    training: Counts


def traffic(rng: np.random.Generator, world: World, volume: float, repeats: int, moved: World | None = None) -> Traffic:
    """Customers who come at any time, each scored so many times at once; in the second week as `moved` has them."""
    a_look, an_hour = volume / 24 / LOOKS_AN_HOUR / repeats, volume / 24 / repeats
    before = rng.poisson(an_hour, HOURS)
    looks = rng.poisson(a_look, (HOURS + 1) * LOOKS_AN_HOUR)
    early = looks[:LOOKS_AN_HOUR]
    fine = np.concatenate([world.draw(rng, early), (moved or world).draw(rng, looks[LOOKS_AN_HOUR:])]) * repeats
    first = world.draw(rng, before[:-1]) * repeats
    signs = _signs(rng, looks, repeats)
    return Traffic(
        hourly=np.concatenate([first, _by_hour(fine)]),
        fine=fine,
        signs=signs,
        hourly_signs=np.concatenate([_signs(rng, before[:-1], repeats), _by_hour(signs)]),
        training=world.draw(rng, np.array([TRAINED]))[0],
    )


def _signs(rng: np.random.Generator, customers: NDArray[np.int64], repeats: int) -> Counts:
    """Sums of +m and -m over customers: from some on, as good as normal."""
    spread = repeats * np.sqrt(customers)[:, None]
    return spread * rng.standard_normal((customers.size, HASH_BITS))


def _by_hour(fine: Counts) -> Counts:
    return fine.reshape(-1, LOOKS_AN_HOUR, fine.shape[1]).sum(axis=1)


def sums(counts: Counts, length: int, first: int) -> Counts:
    """Sums of the last `length` rows at each row from `first` on."""
    total = np.concatenate([np.zeros((1, counts.shape[1])), counts.cumsum(axis=0)])
    return total[first + 1 :] - total[first + 1 - length : -length]


def told_in(window: Window, world: World, week: Traffic) -> tuple[Told, Told, Told]:
    """By each look and distribution, and the mean behind them, whether our rule tells; the bare rules at .1 and .25."""
    fine = window.hours == 1
    counts, signs = (week.fine, week.signs) if fine else (week.hourly, week.hourly_signs)
    length = LOOKS_AN_HOUR if fine else window.hours
    first = len(counts) - (HOURS * LOOKS_AN_HOUR if fine else HOURS)
    now, balance = sums(counts, length, first), sums(signs, length, first)
    n = now[:, world.starts[0] : world.starts[0] + world.sizes[0]].sum(axis=1)
    found = _psi(world, now, n, week.training)
    with np.errstate(divide="ignore", invalid="ignore"):
        repeats = np.maximum(np.mean(balance**2, axis=1) / n, 1.0)
        variance = repeats[:, None] / n[:, None] + 1 / TRAINED
        is_psi = (found > LIMITS.psi_size) & (found > _quantiles(world, window) * variance)
        is_mean = _mean_moved(world, now, n, week.training, window, repeats)
    ours = np.concatenate([is_psi, is_mean[:, None]], axis=1) & (n >= LIMITS.rows * repeats)[:, None]
    some = (n > 0)[:, None]
    return tuple(_held(one, window.hold) for one in (ours, (found > 0.1) & some, (found > 0.25) & some))  # type: ignore[return-value]


def _psi(world: World, now: Counts, n: Counts, training: Counts) -> Counts:
    size = np.repeat(world.sizes, world.sizes)
    p, q = (now + 0.5) / (n[:, None] + 0.5 * size), (training + 0.5) / (TRAINED + 0.5 * size)
    return np.add.reduceat((p - q) * np.log(p / q), world.starts, axis=1)


def _quantiles(world: World, window: Window) -> Counts:
    """By how much the variance is multiplied: the limit where both sides have two rows."""
    level = LIMITS.level(window.seconds)
    known = {size: psi_limit(2, 2, int(size), level, estimated_from=HASH_BITS) for size in set(world.sizes.tolist())}
    return np.array([known[size] for size in world.sizes.tolist()])


def _mean_moved(
    world: World, now: Counts, n: Counts, training: Counts, window: Window, repeats: Counts
) -> NDArray[np.bool_]:
    if not world.centres.any():
        return np.zeros(len(now), dtype=np.bool_)
    bins = slice(int(world.starts[-1]), None)
    mean, before = now[:, bins] @ world.centres / n, training[bins] @ world.centres / TRAINED
    errors = float(t.isf(LIMITS.level(window.seconds) / 2, HASH_BITS))
    half = errors * np.sqrt(mean * (1 - mean) * repeats / n + before * (1 - before) / TRAINED)
    shift: NDArray[np.float64] = np.abs(mean - before)
    return (shift > LIMITS.mean_size) & (shift > half)


def _held(told: Told, hold: int) -> Told:
    """What was so at this look and at the ones before it."""
    found = told.copy()
    for back in range(1, hold):
        found[back:] &= told[:-back]
        found[:back] = False
    return found


@dataclass(frozen=True)
class Quiet:
    """How often each rule told of drift that was none.

    Attributes:
        volume: Predictions a day.
        repeats: Times that each customer was scored.
        weeks: With an alarm, by rule.
        alarms: That began, by rule: of a feature in a window.
        of: Weeks in all.
    """

    volume: int
    repeats: int
    weeks: tuple[int, int, int]
    alarms: tuple[int, int, int]
    of: int

    @property
    def a_year(self) -> tuple[float, ...]:
        """Alarms a year and model, by rule."""
        return tuple(52 * alarms / self.of for alarms in self.alarms)


def quiet_weeks(world: World, volume: int, repeats: int, weeks: int, seed: int) -> Quiet:
    """Simulate and count."""
    rng = np.random.default_rng([seed, volume, repeats])
    with_any, began = np.zeros(3, dtype=int), np.zeros(3, dtype=int)
    for _ in range(weeks):
        week = traffic(rng, world, volume, repeats)
        alarms = np.zeros(3, dtype=int)
        for window in WINDOWS:
            alarms += [_begun(one) for one in told_in(window, world, week)]
        began += alarms
        with_any += alarms > 0
    first, second, third = with_any.tolist()
    ours, tenth, quarter = began.tolist()
    return Quiet(volume, repeats, (first, second, third), (ours, tenth, quarter), weeks)


def _begun(told: Told) -> int:
    """How many alarms began: of what was told now and not at the look before."""
    return int(told[0].sum() + (told[1:] & ~told[:-1]).sum())


@dataclass(frozen=True)
class Found:
    """How soon a shift was told.

    Attributes:
        size: PSI of the feature after the shift, with endless rows.
        volume: Predictions a day.
        share: Of runs, told within the week.
        hours: Median hours of those until then; None without any.
    """

    size: float
    volume: int
    share: float
    hours: float | None


def shifts(world: World, size: float, volume: int, runs: int, seed: int) -> Found:
    """One feature of ten bins moves at once by a known PSI, and nothing else."""
    place = int(np.flatnonzero(world.sizes >= 9)[0])
    start = int(world.starts[place])
    before = world.shares[start : start + int(world.sizes[place])]
    still, moved = world.only(place, before), world.only(place, tilted(before, size))
    rng, hours = np.random.default_rng([seed, volume, int(1000 * size)]), []
    for _ in range(runs):
        week = traffic(rng, still, volume, 1, moved)
        hours.append(min(_first_hour(window, told_in(window, still, week)[0]) for window in WINDOWS))
    told = [one for one in hours if one < np.inf]
    return Found(size, volume, len(told) / runs, float(np.median(told)) if told else None)


def tilted(shares: Counts, size: float) -> Counts:
    """The shares, tilted towards the later bins until their PSI is so large."""

    def of(slope: float) -> Counts:
        weights: Counts = shares * np.exp(slope * np.linspace(-1, 1, shares.size))
        return weights / weights.sum()

    def distance(slope: float) -> float:
        own = of(slope)
        return float(np.sum((own - shares) * np.log(own / shares)))

    return of(float(brentq(lambda slope: distance(slope) - size, 0.0, 5.0)))


def _first_hour(window: Window, told: Told) -> float:
    looks = np.flatnonzero(told.any(axis=1))
    per_hour = LOOKS_AN_HOUR if window.hours == 1 else 1
    return (looks[0] + 1) / per_hour if looks.size else np.inf


def tables(quiet: list[Quiet], found: list[Found]) -> Iterator[str]:
    """Both tables in Markdown."""
    heads = "**ours** | PSI > .25 | PSI > .1"
    yield f"| predictions a day | each customer scored | weeks with an alarm: {heads} | alarms a year: {heads} |"
    yield "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    for one in quiet:
        weeks = [f"{weeks / one.of:.1%}" for weeks in one.weeks]
        years = [f"{alarms:,.1f}" for alarms in one.a_year]
        ours = f"**{weeks[0]}** | {weeks[2]} | {weeks[1]} | **{years[0]}** | {years[2]} | {years[1]}"
        yield f"| {one.volume:,} | {one.repeats}x | {ours} |"
    yield ""
    volumes = sorted({one.volume for one in found})
    yield "| PSI of the shift | " + " | ".join(f"{volume:,} a day" for volume in volumes) + " |"
    yield "| ---: |" + " ---: |" * len(volumes)
    for size in sorted({one.size for one in found}):
        cells = [_cell(next(one for one in found if (one.size, one.volume) == (size, volume))) for volume in volumes]
        yield f"| {size:g} | " + " | ".join(cells) + " |"


def _cell(one: Found) -> str:
    return "0 %" if one.hours is None else f"{one.share:.0%}, {one.hours:,.0f} h"


def main(arguments: list[str] | None = None) -> int:
    """Simulate and print. Exit code 1 if ours tells more than once a year and model of drift that is none."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--weeks", type=int, default=WEEKS, help="quiet weeks of each kind")
    asked.add_argument("--runs", type=int, default=100, help="shifts of each size")
    asked.add_argument("--seed", type=int, default=0)
    options = asked.parse_args(arguments)
    began, world, quiet, found = time.monotonic(), telco(), [], []
    for volume in VOLUMES:
        for repeats in REPEATS:
            progress(f"{volume} a day, {repeats}x")
            quiet.append(quiet_weeks(world, volume, repeats, options.weeks, options.seed))
        found += [shifts(world, size, volume, options.runs, options.seed) for size in SIZES]
    lines = [
        f"{options.weeks} quiet weeks of each kind, {world.starts.size} distributions, training of {TRAINED:,} rows; "
        f"then {options.runs} shifts of one feature: share told within a week, and median hours until then. "
        f"{time.monotonic() - began:.0f} s.",
        "",
        *tables(quiet, found),
    ]
    print("\n".join(lines))  # noqa: T201
    return 1 if any(one.a_year[0] > 1 for one in quiet) else 0


if __name__ == "__main__":
    sys.exit(main())
