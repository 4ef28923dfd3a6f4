"""From the database's sums to what is drawn: pieces of time, histogram, rolling mean. Values in, values out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from service.console.production.reading import BINS, Cell, Newest

Z95 = 1.959963984540054
"""The standard normal's 97.5 % point."""


@dataclass(frozen=True)
class Sums:
    """Predictions added up.

    Attributes:
        n: How many.
        positive: Answered with the positive label.
        challenger: Answered by the challenger.
        highest: In the highest risk band.
        total: Sum of their probabilities.
        squares: Sum of the squares of their probabilities.
    """

    n: int = 0
    positive: int = 0
    challenger: int = 0
    highest: int = 0
    total: float = 0.0
    squares: float = 0.0

    def __add__(self, other: Sums) -> Sums:
        return Sums(
            self.n + other.n,
            self.positive + other.positive,
            self.challenger + other.challenger,
            self.highest + other.highest,
            self.total + other.total,
            self.squares + other.squares,
        )

    @property
    def mean(self) -> float:
        """Mean probability."""
        return self.total / self.n

    @property
    def half_width(self) -> float:
        """Half of the mean's 95 % confidence interval, by the normal approximation; infinite for one prediction."""
        if self.n < 2:
            return math.inf
        variance = max(0.0, (self.squares - self.total * self.total / self.n) / (self.n - 1))
        return Z95 * math.sqrt(variance / self.n)


@dataclass(frozen=True)
class Point:
    """The rolling mean at one moment.

    Attributes:
        at: End of the window, microseconds since 1970 UTC.
        n: Predictions in the window.
        mean: Of their probabilities.
        low: Lower end of the mean's 95 % interval.
        high: Its upper end.
    """

    at: int
    n: int
    mean: float
    low: float
    high: float


def add_up(cells: Iterable[Cell], *, bands: int) -> Sums:
    """Everything in these cells.

    Args:
        cells: As they were read.
        bands: How many risk bands there are; the last is the highest.
    """
    n = positive = challenger = highest = 0
    total = squares = 0.0
    for cell in cells:
        n += cell.n
        positive += cell.positive
        challenger += cell.challenger
        highest += cell.n if cell.band == bands - 1 else 0
        total += cell.total
        squares += cell.squares
    return Sums(n, positive, challenger, highest, total, squares)


def by_piece(cells: Sequence[Cell], *, bands: int) -> dict[int, Sums]:
    """Sums by the start of their piece of time; cells come by rising time."""
    return {start: add_up(members, bands=bands) for start, members in groupby(cells, key=lambda cell: cell.start)}


def histogram(cells: Iterable[Cell], *, bands: int) -> tuple[tuple[int, ...], ...]:
    """Predictions by risk band, and within it by bin of probability: shape (bands, BINS)."""
    counts = [[0] * BINS for _ in range(bands)]
    for cell in cells:
        counts[cell.band][cell.bin] += cell.n
    return tuple(tuple(row) for row in counts)


def rolling(pieces: dict[int, Sums], length: int, *, window: int) -> tuple[Point, ...]:
    """The mean probability of the last so many predictions, as it moved.

    A window is made of whole pieces of time, the fewest that hold `window` predictions: it may hold more. There is no
    point before that many were made.

    Args:
        pieces: By start, rising.
        length: Of a piece.
        window: Predictions in a window, at least 2.
    """
    points, held, sums = [], [], Sums()
    for start, piece in pieces.items():
        held.append(piece)
        sums += piece
        while sums.n - held[0].n >= window:
            gone = held.pop(0)
            sums += Sums(-gone.n, -gone.positive, -gone.challenger, -gone.highest, -gone.total, -gone.squares)
        if sums.n >= window:
            points.append(_point(start + length, sums))
    return tuple(points)


def holding(pieces: dict[int, Sums], window: int) -> int:
    """Where the last pieces of time begin that hold so many predictions, or all there are."""
    n = 0
    for start in reversed(pieces):
        n += pieces[start].n
        if n >= window:
            return start
    return next(iter(pieces))


def last_point(newest: Newest, *, window: int) -> Point | None:
    """The mean probability of the very last so many predictions, whatever the pieces of time are; None of fewer."""
    if len(newest.probabilities) < window:
        return None
    found = newest.probabilities[:window]
    return _point(newest.at, Sums(n=window, total=math.fsum(found), squares=math.fsum(p * p for p in found)))


def _point(at: int, sums: Sums) -> Point:
    half = sums.half_width
    return Point(at, sums.n, sums.mean, max(0.0, sums.mean - half), min(1.0, sums.mean + half))
