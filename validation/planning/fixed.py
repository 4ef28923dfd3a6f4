"""How many customers a paired test needs that may be looked at once: what a plan is compared with."""

from __future__ import annotations

import math

from scipy.stats import norm

from validation.planning.question import Question, chances_of, chances_within
from validation.statistics import tango_z

_MANY = 10**7


def fixed_customers(question: Question, group: int | None = None) -> int | None:
    """Customers with a truth whom a paired test of the same power needs if it is looked at once, at the end.

    `((z_alpha sd_0 + z_power sd_1) / |effect + margin|)^2`, with the standard deviations of one customer's difference
    under the null and in truth: McNemar's test at margin 0 and Tango's beyond. For profit both are those in truth. The
    level is alpha, undivided by lineage or rules, as such a test is commonly used.

    Args:
        question: Checked.
        group: Place of the group of which it is asked; None for everybody.

    Returns:
        Customers, or members; None at the margin, where no number is enough.

    Source: Connett et al. 1987 (Biometrics 43:501) for McNemar's test; Tango 1998 (Stat Med 17:891) for the null.
    """
    asked = None if group is None else question.groups[group]
    margin, chances = question.margin, chances_of(question)
    if asked is not None:
        margin, chances = asked.margin, chances_within(question, asked)
    distance = question.effect + margin
    if distance == 0:
        return None
    positive, negative = 2 * question.prices.win_positive - 1, 2 * question.prices.win_negative - 1
    squares = float(chances @ [positive**2, negative**2, positive**2, negative**2])
    truth = math.sqrt(max(squares - question.effect**2, 0.0))
    null = truth
    if question.false_positive_cost is None:
        null = _deviation_at_the_margin(float(chances[:2].sum()), float(chances[2:].sum()), margin)
    alpha = question.alpha if distance > 0 else question.alpha_rollback
    return math.ceil(((float(norm.isf(alpha)) * null + float(norm.ppf(question.power)) * truth) / distance) ** 2)


def _deviation_at_the_margin(wins: float, losses: float, margin: float) -> float:
    """Standard deviation of one pair's difference if it were worse by just the margin, by Tango's estimate."""
    b, c = round(wins * _MANY), round(losses * _MANY)
    return abs(b - c + margin * _MANY) / math.sqrt(_MANY) / abs(tango_z(b, c, _MANY, margin))
