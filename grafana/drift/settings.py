"""What the rules of drift are made from: windows, limits, and how many false alarms are allowed."""

from __future__ import annotations

from dataclasses import dataclass

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
YEAR = 365 * 86_400


@dataclass(frozen=True)
class Window:
    """A stretch of time that is compared with training.

    Attributes:
        name: As Prometheus spells it, and as the names of series end.
        hold: How long drift must last before somebody is told.
    """

    name: str
    hold: str

    @property
    def seconds(self) -> int:
        """How long it is."""
        return seconds_of(self.name)


@dataclass(frozen=True, kw_only=True)
class DriftSettings:
    """Limits of drift.

    Attributes:
        base: The shortest window, whose increments are read from the counters.
        longer: Windows that are sums of it, each a multiple of it.
        interval: How often all rules are evaluated; below Prometheus's lookback of 5 minutes, or sums would have holes.
        rows: Rows below which a window says nothing, and customers' worth of rows below which it has no limit, so that
            nobody is told: how far chance reaches is not known there.
        psi_size: PSI from which a distribution has moved, however sure that is.
        mean_size: Move of the mean probability that matters.
        missing_size: Rise of the share of missing values that matters.
        unseen_size: Share of values that training never saw that matters.
        alarms_a_year: False alarms of a model that are allowed, over all that is compared, all windows and all looks.
        features: How many features a contract has at most; one with more has more false alarms in proportion.
        most_bins: Up to so many bins the quantile of chi-square is exact; above, a bound takes its place.
        most_ordered: Bins with an order up to which Kolmogorov-Smirnov is computed; with more there is none.
    """

    base: Window = Window("1h", "10m")
    longer: tuple[Window, ...] = (Window("1d", "30m"), Window("7d", "1h"))
    interval: str = "1m"
    rows: int = 200
    psi_size: float = 0.1
    mean_size: float = 0.1
    missing_size: float = 0.05
    unseen_size: float = 0.01
    alarms_a_year: float = 1.0
    features: int = 100
    most_bins: int = 50
    most_ordered: int = 20

    @property
    def windows(self) -> tuple[Window, ...]:
        """All of them."""
        return (self.base, *self.longer)

    def looks(self, window: Window) -> float:
        """How often a year a window can say something else: the longer ones move by the base's length."""
        return YEAR / (seconds_of(self.interval) if window == self.base else self.base.seconds)

    def level(self, window: Window) -> float:
        """Chance that one comparison of one look may alarm.

        Compared are of each feature its distribution, what is missing and what is unseen; of the score its distribution
        and its mean.
        """
        return self.alarms_a_year / ((3 * self.features + 2) * len(self.windows) * self.looks(window))


def seconds_of(duration: str) -> int:
    """What Prometheus's spelling means, in seconds.

    >>> seconds_of("7d")
    604800
    """
    return int(duration[:-1]) * SECONDS[duration[-1]]


DEFAULT = DriftSettings()
"""Those of the committed rules."""
