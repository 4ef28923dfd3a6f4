"""How long a trial under way may still take: the verdict's rules played on, from what its ledger holds."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from bentos.errors import Refused
from validation.judge.ledger import Cohort, Counts, total
from validation.judge.lineage import Lineage
from validation.judge.payoffs import matured_payoffs, mean_difference
from validation.judge.policy import OnlinePolicy
from validation.planning.question import Question
from validation.planning.simulating import Begun, Played, play

SHARES = (0.5, 0.8)
RUNS = 200
RECENT_COHORTS = 14
"""Customers are expected to come as in the last so many cohorts: who is scored for the first time gets rarer."""

_MICROS_A_DAY = 86_400_000_000
_HORIZON_DAYS = 365.0


class Wait(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of the trial if so much is true.

    Attributes:
        effect: The true difference.
        promoted: Share of continued trials that are promoted within the horizon.
        rolled_back: Share that are rolled back.
        waits: When each of `SHARES` of all have been decided either way: further customers, and microseconds from now;
            None where so many never are.
    """

    effect: float
    promoted: float
    rolled_back: float
    waits: tuple[tuple[int, int] | None, ...]


class Rest(msgspec.Struct, frozen=True, kw_only=True):
    """How long still.

    Attributes:
        customers_a_day: Who are expected to come.
        disagreement: Share of customers on whom one model alone is right, as so far.
        coverage: Share of truths that come back, as so far.
        horizon_days: How far ahead was played.
        waits: One a true difference that was supposed.
    """

    customers_a_day: float
    disagreement: float
    coverage: float
    horizon_days: float
    waits: tuple[Wait, ...]


def how_long_still(
    cohorts: Sequence[Cohort],
    policy: OnlinePolicy,
    lineage: Lineage | None,
    *,
    closed_through: int,
    now: int,
    seed: int = 0,
    runs: int = RUNS,
) -> Rest:
    """Play a trial on from its ledger, for the difference that was seen and for none at all.

    Args:
        cohorts: The ledger's rows.
        policy: By which rules.
        lineage: The trials before this one.
        closed_through: Up to where cohorts are closed, microseconds since 1970 UTC.
        now: The moment, likewise.
        seed: Of the simulation.
        runs: How many trials are played.

    Raises:
        Refused: There is not enough to go by.
    """
    counts = total(cohorts)
    question = _question(counts, policy, lineage, _customers_a_day(cohorts, policy, closed_through))
    begun = Begun(len({cohort.start for cohort in cohorts if cohort.counts.matured}), counts)
    seen = mean_difference(matured_payoffs(counts, question.prices)) or 0.0
    effects = dict.fromkeys((min(max(seen, -question.dearest), question.dearest), 0.0))
    lag = closed_through + policy.maturity_window - now
    waits = []
    for effect in effects:
        played = play(msgspec.structs.replace(question, effect=effect), seed=seed, runs=runs, begun=begun)
        waits.append(_wait(effect, played, policy.cohort, lag))
    return Rest(
        customers_a_day=question.new_customers,
        disagreement=question.disagreement,
        coverage=question.coverage,
        horizon_days=question.horizon_days,
        waits=tuple(waits),
    )


def _question(counts: Counts, policy: OnlinePolicy, lineage: Lineage | None, customers_a_day: float) -> Question:
    differ, matured = counts.wins + counts.losses, counts.matured
    scored = counts.n - counts.unscored
    if not differ:
        raise Refused(
            f"of {matured:,} matured customers there is none on whom one model alone was right; how long it takes "
            "follows from how often that is so"
        )
    if not customers_a_day:
        raise Refused(f"nobody new was scored in the last {RECENT_COHORTS} cohorts, so that more evidence never comes")
    positive = (counts.wins_positive + counts.losses_positive) / differ
    return Question(
        effect=0.0,
        margin=policy.margin,
        false_positive_cost=policy.false_positive_cost,
        alpha=policy.alpha_promote,
        alpha_rollback=policy.alpha_rollback,
        harm_rules=policy.harm_rules,
        trial=lineage.number if lineage else 1,
        promotions=lineage.promotions if lineage else 0,
        disagreement=differ / matured,
        coverage=matured / scored,
        positive=min(max(positive, 0.01), 0.99),
        new_customers=customers_a_day,
        window_days=0.0,  # what is scored from now on is not what closes next: the window is added once, at the end
        cohort_days=policy.cohort / _MICROS_A_DAY,
        min_cohorts=policy.min_cohorts,
        min_matured=policy.min_matured,
        horizon_days=_HORIZON_DAYS,
    )


def _customers_a_day(cohorts: Sequence[Cohort], policy: OnlinePolicy, closed_through: int) -> float:
    """Scored customers who were evidence, in the last cohorts, those that were empty included."""
    first = min((cohort.start for cohort in cohorts), default=closed_through)
    since = max(first, closed_through - RECENT_COHORTS * policy.cohort)
    recent = total(cohort for cohort in cohorts if cohort.start >= since)
    days = (closed_through - since) / _MICROS_A_DAY
    return (recent.n - recent.unscored) / days if days > 0 else 0.0


def _wait(effect: float, played: Played, cohort: int, lag: int) -> Wait:
    """Looks count from the ledger's end; the cohort that ends there is matured a window later."""
    waits: list[tuple[int, int] | None] = []
    ended = played.ended
    for share in SHARES:
        look = played.look_by(ended, share)
        if look is None:
            waits.append(None)
            continue
        micros = int(played.looks.cohorts[look]) * cohort + lag
        waits.append((int(played.looks.customers[look]), max(micros, 0)))
    return Wait(
        effect=effect,
        promoted=played.share(played.promoted),
        rolled_back=played.share(played.rolled_back),
        waits=tuple(waits),
    )
