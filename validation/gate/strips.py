"""A check as a strip: its number and interval against its bound on a scale of its own, the champion's below.

Checks of one table have different units, so each has its own scale; its numbers stand in the cells beside it. The strip
is SVG in the page itself, so it needs no script and is there on paper.
"""

from __future__ import annotations

from validation.gate.report import CheckResult
from validation.gate.wording import measured

_WIDTH, _HEIGHT = 160, 26
_MARGIN = 8
_RIGHT = ("at least", "above")
_LEFT = ("at most", "below")


def strip(check: CheckResult) -> str:
    """The strip as SVG; nothing for a check without a number, or without a bound on one side of which it must be."""
    value, champion, _ = measured(check)
    if value is None or check.bound is None or not check.allowed.startswith(_RIGHT + _LEFT):
        return ""
    known = [value, check.bound, check.low, check.high, champion, check.champion_low, check.champion_high]
    numbers = [n for n in known if n is not None]
    least, most = min(numbers), max(numbers)
    spread = most - least or 1.0

    def at(number: float) -> float:
        return round(_MARGIN + (number - least) / spread * (_WIDTH - 2 * _MARGIN), 1)

    parts = [_allowed(check.allowed, at(check.bound))]
    if champion is not None:
        span = _span(check.champion_low, check.champion_high)
        parts.append(_one("champion", at(champion), tuple(at(end) for end in span), 19))
    span = _span(check.low, check.high)
    parts.append(_one("candidate", at(value), tuple(at(end) for end in span), 13 if champion is None else 7))
    parts.append(f'<path class="bound" d="M{at(check.bound)} 1V{_HEIGHT - 1}"/>')
    return (
        f'<svg class="strip" width="{_WIDTH}" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}" aria-hidden="true">'
        f"{''.join(parts)}</svg>"
    )


def _allowed(words: str, bound: float) -> str:
    """The side on which the number must be, shaded."""
    left, width = (bound, _WIDTH - bound) if words.startswith(_RIGHT) else (0.0, bound)
    return f'<rect class="allowed" x="{left}" y="1" width="{round(width, 1)}" height="{_HEIGHT - 2}"/>'


def _span(low: float | None, high: float | None) -> tuple[float, ...]:
    return () if low is None or high is None else (low, high)


def _one(role: str, place: float, span: tuple[float, ...], y: int) -> str:
    drawn = f'<path class="{role}" d="M{span[0]} {y}H{span[1]}"/>' if span else ""
    return f'{drawn}<circle class="{role}" cx="{place}" cy="{y}" r="3.5"/>'
