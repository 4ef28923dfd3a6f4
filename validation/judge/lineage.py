"""A lineage: the trials of one registered model, one after another, and what they may spend together.

Every trial is numbered at its start, whoever is on trial and however it ends. The t-th promotes when its e-value is at
least 1/(alpha gamma_t (R+1)), with R promotions so far (e-LOND): so the share of false promotions among all stays at
alpha, whether challengers come one after another or several at once.

Each promotion by non-inferiority may lose a margin, and ten times a margin is no small loss. So what a promotion may
have lost is spent from a budget against an anchor, and only superiority over the anchor restores it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import msgspec

from validation.judge.policy import OnlinePolicy
from validation.statistics import e_lond_level


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """A promotion of a lineage, as it stands in the store.

    Attributes:
        challenger: Digest of who became champion.
        margin_spent: What it may have lost.
        is_anchor: Whether it was shown to be better than the anchor, and took its place.
    """

    challenger: str
    margin_spent: float
    is_anchor: bool


class Lineage(msgspec.Struct, frozen=True, kw_only=True):
    """What a trial must know of the trials before it.

    Attributes:
        name: The registered model's.
        number: The trial's own number, from 1.
        promotions: Promotions so far of trials with a lower number.
        anchor: Digest of the model against which margins are spent.
        spent: By how much the champion may be worse than it.
    """

    name: str
    number: int
    promotions: int
    anchor: str
    spent: float = 0.0


class Spending(msgspec.Struct, frozen=True, kw_only=True):
    """What a promotion now would do to a lineage.

    Attributes:
        margin: What it would spend.
        is_anchor: Whether the challenger would be the new anchor, with nothing spent.
        left: What would be left of the budget; below 0 it is not allowed.
    """

    margin: float
    is_anchor: bool
    left: float


def after(promotions: Iterable[Ended], first_champion: str) -> tuple[str, float]:
    """The anchor, and what was spent against it.

    Args:
        promotions: In their order.
        first_champion: Digest of the lineage's first champion.
    """
    anchor, spent = first_champion, 0.0
    for one in promotions:
        anchor, spent = (one.challenger, 0.0) if one.is_anchor else (anchor, spent + one.margin_spent)
    return anchor, spent


def level(alpha: float, lineage: Lineage | None) -> float:
    """The level of a rule for promotion in a lineage, alpha gamma_t (R+1); alpha itself where there is no lineage."""
    if lineage is None:
        return alpha
    return e_lond_level(alpha, lineage.number, lineage.promotions)


def spending(lower_end: float, margin: float, policy: OnlinePolicy, lineage: Lineage) -> Spending:
    """What a promotion would spend.

    Args:
        lower_end: Of the confidence sequence for the difference, at the lineage's level: so much the challenger may be
            worse than the champion.
        margin: Of the claim; to be worse by more is no non-inferiority, so more is never spent.
        policy: The budget.
        lineage: What was spent before.
    """
    is_anchor = lower_end > lineage.spent
    spent = 0.0 if is_anchor else min(margin, max(0.0, -lower_end))
    left = policy.margin_budget - (0.0 if is_anchor else math.fsum((lineage.spent, spent)))
    return Spending(margin=spent, is_anchor=is_anchor, left=left)
