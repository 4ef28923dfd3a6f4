"""Whether all is well: what the rules say of production, in a sentence each. Values in, values out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from service.console.production.course import Point
from service.console.production.drift import FEWEST, SIZE_LIMIT, Drift, Sample

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


def judge_mean(points: Sequence[Point], baseline: float | None, window: int) -> Alert:
    """The 10 % rule: whether the last rolling mean is more than 10 percentage points away from training's mean.

    Args:
        points: The rolling mean.
        baseline: Training's mean score; None where the reference does not say it.
        window: Predictions in a window.
    """
    rule = "10 % rule"
    if baseline is None:
        return Alert(rule, "unknown", "the champion's reference does not say its mean score: train it anew")
    if not points:
        return Alert(rule, "unknown", f"there are fewer than {window:,} predictions")
    last = points[-1]
    distance = last.mean - baseline
    said = (
        f"the mean probability of the last {last.n:,} predictions is {last.mean:.3f} (95 % {last.low:.3f} to "
        f"{last.high:.3f}), training's {baseline:.3f}: {100 * distance:+.1f} points, and 10 are allowed"
    )
    if abs(distance) <= POINTS_LIMIT:
        return Alert(rule, "well", said)
    is_sure = last.low > baseline + POINTS_LIMIT or last.high < baseline - POINTS_LIMIT
    return Alert(rule, "alert", said if is_sure else f"{said}; with so few predictions chance may explain it")


def judge_score(drifts: Sequence[Drift], sample: Sample) -> Alert:
    """The rule that knows n, for the score: beyond size and beyond chance."""
    found = next((drift for drift in drifts if drift.name == "score"), None)
    if found is None:
        return Alert("Drift of the score", "unknown", _too_few(sample))
    said = f"PSI {found.psi:.3f}, limit {found.limit:.3f} at n = {found.n:,}"
    return Alert("Drift of the score", "alert" if found.is_drifted else "well", said)


def judge_features(drifts: Sequence[Drift], sample: Sample) -> Alert:
    """The rule that knows n, for the features."""
    features = [drift for drift in drifts if drift.name != "score"]
    if not features:
        return Alert("Drift of features", "unknown", _too_few(sample))
    drifted = [drift for drift in features if drift.is_drifted]
    if not drifted:
        return Alert(
            "Drift of features",
            "well",
            f"none of {len(features)} is beyond its limit (PSI {SIZE_LIMIT:g}, or more where chance explains more)",
        )
    named = ", ".join(f"{drift.name} (PSI {drift.psi:.2f}, limit {drift.limit:.2f})" for drift in drifted)
    return Alert("Drift of features", "alert", named)


def _too_few(sample: Sample) -> str:
    return f"{sample.n:,} predictions are too few to say; {FEWEST} are needed"
