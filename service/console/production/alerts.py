"""Whether all is well: what the rules say of production, in a sentence each. Values in, values out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from service.console.production.course import Point
from service.console.production.drift import rises
from validation.drift.comparing import Counted, Drift
from validation.drift.limits import LIMITS

POINTS_LIMIT = 0.10
"""The rolling mean of the probability may be this far from training's: 10 percentage points."""

State = Literal["well", "alert", "unknown"]


@dataclass(frozen=True)
class Alert:
    """What one rule says.

    Attributes:
        rule: Its name.
        state: `well`, `alert`, or `unknown` where it cannot be computed, which is never well.
        says: Why, with the numbers.
    """

    rule: str
    state: State
    says: str


def judge_mean(last: Point | None, baseline: float | None, window: int) -> Alert:
    """The 10 % rule: whether the last predictions' mean is more than 10 percentage points away from training's mean.

    Args:
        last: The mean of the last `window` predictions; None where there are fewer.
        baseline: Training's mean score; None where the reference does not say it.
        window: Predictions in a window.
    """
    rule = "10 % rule"
    if baseline is None:
        return Alert(rule, "unknown", "the champion's reference does not say its mean score: train it anew")
    if last is None:
        return Alert(rule, "unknown", f"there are fewer than {window:,} predictions")
    distance = last.mean - baseline
    said = (
        f"the mean probability of the last {last.n:,} predictions is {last.mean:.3f} (95 % {last.low:.3f} to "
        f"{last.high:.3f}), training's {baseline:.3f}: {100 * distance:+.1f} points, and 10 are allowed"
    )
    if abs(distance) <= POINTS_LIMIT:
        return Alert(rule, "well", said)
    is_sure = last.low > baseline + POINTS_LIMIT or last.high < baseline - POINTS_LIMIT
    return Alert(rule, "alert", said if is_sure else f"{said}; with so few predictions chance may explain it")


def judge_score(drifts: Sequence[Drift], counted: Counted) -> Alert:
    """The rule that knows n, for the score: beyond size and beyond chance."""
    found = next((drift for drift in drifts if drift.name == "score"), None)
    if found is None:
        return Alert("Drift of the score", "unknown", too_few(counted))
    said = f"PSI {found.psi:.3f}, limit {found.psi_limit:.3f} at n = {found.n:,.0f}"
    return Alert("Drift of the score", "alert" if found.finding == "drifted" else "well", said)


def judge_features(drifts: Sequence[Drift], counted: Counted) -> Alert:
    """The rule that knows n, for the features."""
    rule = "Drift of features"
    features = [drift for drift in drifts if drift.name != "score"]
    if not features:
        return Alert(rule, "unknown", too_few(counted))
    told = [said for drift in features for said in _told(drift)]
    if told:
        return Alert(rule, "alert", ", ".join(told))
    size = LIMITS.psi_size
    said = f"none of {len(features)} is beyond its limit (PSI {size:g}, or more where chance explains more)"
    return Alert(rule, "well", said)


def too_few(counted: Counted) -> str:
    """What is said where nothing can be: how many would be needed."""
    worth = f", worth {counted.rows / counted.repeats:,.0f} customers," if counted.repeats > 1 else ""
    return f"{counted.rows:,} predictions{worth} are too few to say; {LIMITS.rows} customers' worth is needed"


def _told(drift: Drift) -> Iterator[str]:
    if drift.finding == "drifted":
        yield f"{drift.name} (PSI {drift.psi:.2f}, limit {drift.psi_limit:.2f})"
    elif risen := rises(drift):
        yield f"{drift.name} ({', '.join(risen)})"
