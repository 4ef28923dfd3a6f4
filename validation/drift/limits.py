"""From where on drift is told: sizes that matter, and how often chance may be taken for drift."""

from __future__ import annotations

from dataclasses import dataclass

_HOUR = 3600.0
_YEAR = 365 * 24 * _HOUR


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The same as those of the committed alerts; a test compares them.

    Attributes:
        rows: Customers' worth of rows below which a window says nothing: how far chance reaches is not known there.
        psi_size: PSI from which a distribution has moved, however sure that is.
        mean_size: Move of the mean probability that matters.
        missing_size: Rise of the share of missing values that matters.
        unseen_size: Share of values that training never saw that matters.
        alarms_a_year: False alarms of a model that are allowed, over all that is compared, all windows and all looks.
        features: How many features a contract has at most.
        windows: How many windows are looked at.
        base_looks_seconds: How often windows of an hour or less are looked at; longer ones once an hour.
    """

    rows: int = 200
    psi_size: float = 0.1
    mean_size: float = 0.1
    missing_size: float = 0.05
    unseen_size: float = 0.01
    alarms_a_year: float = 1.0
    features: int = 100
    windows: int = 3
    base_looks_seconds: float = 60.0

    def level(self, window_seconds: float) -> float:
        """Chance that one comparison of one look may alarm.

        Compared are of each feature its distribution, what is missing and what is unseen; of the score its distribution
        and its mean.

        Args:
            window_seconds: How long the window is.
        """
        looks = _YEAR / (self.base_looks_seconds if window_seconds <= _HOUR else _HOUR)
        return self.alarms_a_year / ((3 * self.features + 2) * self.windows * looks)


LIMITS = Limits()
"""Those that hold where nobody says otherwise."""
