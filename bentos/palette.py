"""The colours of every picture: console, reports and dashboards say the same thing in the same colour.

Told apart by those who see no red or no green too (blue against amber and vermilion); no picture leaves a meaning to
colour alone, and each has its numbers beside it.
"""

from __future__ import annotations

CANDIDATE, CHAMPION, BOUND = "#2563eb", "#d97706", "#dc2626"
CHALLENGER = CANDIDATE
"""The colours that mean something: who is on trial, who reigns, and what must not be crossed."""

RAISES, LOWERS = "#c2410c", "#2563eb"
"""What a contribution does to a probability."""

NEUTRAL, SOFT = "#475569", "#94a3b8"
"""What is counted of everybody, and what stands behind it: a reference, a band of confidence."""

FURTHER = ("#2563eb", "#d97706", "#0f766e", "#7c3aed", "#be185d", "#475569")
"""Things that mean nothing but themselves, in this order: runs, models, categories."""

RISING = ("#94a3b8", "#d97706", "#9a3412")
"""From little to much; between them colours are mixed, as `rising` does."""

IN_THE_DARK = {
    "#2563eb": "#60a5fa",
    "#d97706": "#fbbf24",
    "#dc2626": "#f87171",
    "#c2410c": "#fb923c",
    "#475569": "#cbd5e1",
    "#94a3b8": "#64748b",
    "#0f766e": "#2dd4bf",
    "#7c3aed": "#a78bfa",
    "#be185d": "#f472b6",
    "#9a3412": "#ea580c",
}
"""The same colours where the page is dark."""


def rising(steps: int) -> tuple[str, ...]:
    """So many colours from little to much.

    >>> rising(3) == RISING
    True
    >>> rising(1)
    ('#94a3b8',)
    """
    if steps == 1:
        return RISING[:1]
    places = [step * (len(RISING) - 1) / (steps - 1) for step in range(steps)]
    return tuple(_between(place) for place in places)


def _between(place: float) -> str:
    low = min(int(place), len(RISING) - 2)
    share = place - low
    pair = [[int(color[at : at + 2], 16) for at in (1, 3, 5)] for color in RISING[low : low + 2]]
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in zip(*pair, strict=True))
