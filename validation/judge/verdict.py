"""The verdict: what the evidence in a ledger allows, with reasons. Pure: the same ledger gives the same verdict."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Literal

import msgspec

from service.prediction_log.records import Mode
from validation.judge import reasons as say
from validation.judge.arms import ArmsEvidence
from validation.judge.evidence import Evidence, weigh
from validation.judge.ledger import Cohort
from validation.judge.limits import Live, broken_limits
from validation.judge.lineage import Lineage, Spending, spending
from validation.judge.policy import OnlinePolicy
from validation.judge.trial import OnTrial

Decision = Literal["PROMOTE", "ROLLBACK", "KEEP_COLLECTING", "INVALID"]

_ROUNDING = 1e-9
"""By how much sums of margins may miss the budget that they add up to."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the evidence allows.

    Attributes:
        verdict: PROMOTE, ROLLBACK, KEEP_COLLECTING, or INVALID where no decision may rest on the evidence.
        reasons: Why, in sentences with numbers.
        evidence: What it rests on; None where it cannot be computed.
        experiment: The experiment's id.
        champion: Digest of the champion.
        challenger: Digest of the challenger; None where nobody is on trial.
        mode: Mode of the experiment file when it was judged.
        split: Its share for the challenger.
        revision: Its revision.
        policy: Name of the policy.
        policy_digest: Its digest.
        provisional: Whether cohorts count that are not closed yet, as if it were `as_of`.
        as_of: The later moment from which was looked; None for now.
        no_treatment: The experiment file's share of customers from whom actions are withheld.
        lineage: What the trials before this one leave it; None in verdicts from before there were lineages.
        live: The last requests, where the policy sets limits.
        closed_through: End of the last cohort that it rests on, microseconds since 1970 UTC: with that, the ledger says
            the same again at any later time. None without cohorts.
    """

    verdict: Decision
    reasons: tuple[str, ...]
    evidence: Evidence | None
    experiment: str
    champion: str
    challenger: str | None
    mode: Mode
    split: float
    revision: int
    policy: str
    policy_digest: str
    provisional: bool = False
    as_of: datetime | None = None
    no_treatment: float = 0.0
    lineage: Lineage | None = None
    live: Live | None = None
    closed_through: int | None = None


def judge(
    cohorts: Sequence[Cohort],
    policy: OnlinePolicy,
    experiment: OnTrial,
    *,
    lineage: Lineage | None = None,
    live: Live | None = None,
    late: int = 0,
    as_of: datetime | None = None,
) -> Verdict:
    """Judge an experiment.

    Args:
        cohorts: Its ledger, with provisional cohorts if it is looked at from a later moment.
        policy: By which rules.
        experiment: Who is on trial.
        lineage: The trials before it; without it the trial is judged as if it were the only one ever.
        live: The last requests, for engineering limits.
        late: Rows that landed after their cohort was closed, for information.
        as_of: The later moment, if any.

    Returns:
        The verdict. It never raises for what is in the ledger: what cannot be computed is INVALID.
    """
    evidence: Evidence | None = None
    verdict: Decision = "INVALID"
    try:
        evidence = weigh(cohorts, policy, lineage=lineage, late=late)
        foreign = _why_foreign(cohorts, policy, experiment)
        verdict, reasons = ("INVALID", foreign) if foreign else _decide(evidence, policy, experiment, lineage)
    except (ValueError, ArithmeticError) as e:
        reasons = [f"the evidence cannot be computed: {e}"]
    if experiment.challenger is not None and (broken := broken_limits(live, policy)):
        verdict, reasons = "ROLLBACK", [*broken, *(f"otherwise {verdict}: {reason}" for reason in reasons[:1])]
    return Verdict(
        verdict=verdict,
        reasons=tuple(reasons),
        evidence=evidence,
        experiment=experiment.id,
        champion=experiment.champion,
        challenger=experiment.challenger,
        mode=experiment.mode,
        split=experiment.split,
        revision=experiment.revision,
        policy=policy.name,
        policy_digest=policy.digest,
        provisional=as_of is not None,
        as_of=as_of,
        no_treatment=experiment.no_treatment,
        lineage=lineage,
        live=live,
        closed_through=max((cohort.end for cohort in cohorts), default=None),
    )


def _why_foreign(cohorts: Sequence[Cohort], policy: OnlinePolicy, experiment: OnTrial) -> list[str]:
    """Evidence belongs to its experiment and to the rules that it was collected under."""
    reasons = []
    if any(cohort.experiment != experiment.id for cohort in cohorts):
        reasons.append(f"the ledger holds cohorts of other experiments than {experiment.id}")
    if any(cohort.policy != policy.digest for cohort in cohorts):
        reasons.append(
            f"policy_changed: cohorts of this experiment were closed under other rules than the policy "
            f"{policy.name!r} has now; judge it by those rules, or start a new experiment"
        )
    return reasons


def _decide(
    evidence: Evidence, policy: OnlinePolicy, experiment: OnTrial, lineage: Lineage | None
) -> tuple[Decision, list[str]]:
    """The worst result wins: INVALID first, and promotion last."""
    invalid = _why_invalid(evidence, policy, experiment)
    if invalid:
        return "INVALID", invalid
    if experiment.challenger is None:
        return "KEEP_COLLECTING", ["no challenger is on trial"]
    if evidence.arms is not None and evidence.arms.is_harmed:
        return "ROLLBACK", [say.harmed_arm(evidence.arms)]
    if evidence.arms is not None and _is_confounded(evidence, policy, experiment):
        return _by_arms_alone(evidence.arms, policy, lineage)
    if not evidence.matured:
        return "KEEP_COLLECTING", [say.nothing_matured(evidence), *say.spoiled(evidence)]
    harmed = [say.harmed_group(group, policy) for group in evidence.groups if group.is_harmed]
    if harmed:
        return "ROLLBACK", [*harmed, say.interval(evidence, policy)]
    if evidence.rollback_log_e >= evidence.rollback_threshold:
        return _on_harm(evidence, policy)
    if evidence.log_e >= evidence.threshold:
        return _on_success(evidence, policy, lineage)
    return "KEEP_COLLECTING", [say.undecided(evidence, policy), say.interval(evidence, policy), *say.spoiled(evidence)]


def _why_invalid(evidence: Evidence, policy: OnlinePolicy, experiment: OnTrial) -> list[str]:
    reasons = []
    if not all(math.isfinite(value) for value in _numbers(evidence)):
        reasons.append("the evidence cannot be computed: a number in it is not finite")
    if _is_confounded(evidence, policy, experiment) and policy.outcome_by_arm is None:
        reasons.append(say.confounded_without_share())
    if evidence.treated and not policy.actions_follow_predictions:
        reasons.append(say.confounded_against_policy(evidence))
    if evidence.srm_log_e_max >= evidence.srm_threshold:
        reasons.append(say.mismatch(evidence))
    return reasons


def _is_confounded(evidence: Evidence, policy: OnlinePolicy, experiment: OnTrial) -> bool:
    """Whether actions follow predictions, and nobody is left alone by lot."""
    if not policy.actions_follow_predictions or evidence.counts.n:
        return False
    is_known = evidence.outside is not None and evidence.outside.n > 0
    return is_known or not experiment.no_treatment


def _by_arms_alone(arms: ArmsEvidence, policy: OnlinePolicy, lineage: Lineage | None) -> tuple[Decision, list[str]]:
    """Pairs say nothing, because an action has changed their outcomes: only what became of each arm's customers."""
    reasons = [say.arms_alone(arms)]
    obstacles = [] if arms.is_shown else [say.unshown_arms(arms)]
    told = arms.champion.told + arms.challenger.told
    obstacles += _too_few(told, arms.cohorts, policy)
    obstacles += [
        f"groups by {rule.attribute} cannot be judged without a no-treatment share"
        for rule in policy.groups
        if rule.when_underpowered == "wait"
    ]
    if lineage is not None:
        would_spend = spending(arms.lower, arms.margin, policy, lineage)
        obstacles += _overspent(would_spend, policy, lineage)
        reasons += [] if obstacles else [say.spent(would_spend, lineage)]
    return ("KEEP_COLLECTING", [*reasons, *obstacles]) if obstacles else ("PROMOTE", reasons)


def _numbers(evidence: Evidence) -> Iterator[float]:
    yield from (evidence.log_e, evidence.log_e_worst, evidence.rollback_log_e, evidence.rollback_log_e_best)
    yield from (evidence.lower, evidence.lower_worst, evidence.upper, evidence.srm_log_e, evidence.srm_log_e_max)
    for group in evidence.groups:
        yield from (group.log_e, group.log_e_worst, group.rollback_log_e, group.rollback_log_e_best)
    if evidence.arms is not None:
        yield from (evidence.arms.lower, evidence.arms.upper, evidence.arms.coverage_log_e)


def _on_harm(evidence: Evidence, policy: OnlinePolicy) -> tuple[Decision, list[str]]:
    found = f"log e {evidence.rollback_log_e:.2f} reached {evidence.rollback_threshold:.2f}"
    reasons = [f"the challenger is worse than the champion{say.beyond(policy)}: {found} {say.after(evidence)}"]
    if evidence.rollback_log_e_best >= evidence.rollback_threshold:
        return "ROLLBACK", [*reasons, say.interval(evidence, policy), *say.despite_missing(evidence, "wins")]
    return "KEEP_COLLECTING", [*reasons, say.missing_decides(evidence, evidence.rollback_log_e_best, "wins")]


def _on_success(evidence: Evidence, policy: OnlinePolicy, lineage: Lineage | None) -> tuple[Decision, list[str]]:
    found = f"log e {evidence.log_e:.2f} reached {evidence.threshold:.2f}"
    reasons = [f"the challenger is {say.claimed(policy)}: {found} {say.after(evidence)}"]
    obstacles = [*_obstacles(evidence, policy, lineage), *_unshown_groups(evidence, policy, is_waited_for=True)]
    if obstacles:
        return "KEEP_COLLECTING", [*reasons, *obstacles]
    told = [*say.spoiled(evidence), *_unshown_groups(evidence, policy, is_waited_for=False)]
    if lineage is not None:
        told.append(say.spent(_spending(evidence, policy, lineage), lineage))
    reasons.append(say.interval(evidence, policy))
    return "PROMOTE", [*reasons, *told, *say.despite_missing(evidence, "losses")]


def _obstacles(evidence: Evidence, policy: OnlinePolicy, lineage: Lineage | None) -> list[str]:
    """What else a promotion waits for."""
    obstacles = []
    if evidence.log_e_worst < evidence.threshold:
        obstacles.append(say.missing_decides(evidence, evidence.log_e_worst, "losses"))
    obstacles += _too_few(evidence.matured, evidence.cohorts, policy)
    if evidence.arms is not None and not evidence.arms.is_shown:
        obstacles.append(say.unshown_arms(evidence.arms))
    if lineage is not None:
        obstacles += _overspent(_spending(evidence, policy, lineage), policy, lineage)
    return obstacles


def _too_few(matured: int, cohorts: int, policy: OnlinePolicy) -> list[str]:
    found = []
    if matured < policy.min_matured:
        found.append(f"{matured} customers have matured; a promotion needs {policy.min_matured}")
    if cohorts < policy.min_cohorts:
        found.append(f"{cohorts} cohorts have matured; a promotion needs {policy.min_cohorts}")
    return found


def _spending(evidence: Evidence, policy: OnlinePolicy, lineage: Lineage) -> Spending:
    return spending(min(evidence.lower, evidence.lower_worst), policy.margin, policy, lineage)


def _overspent(would_spend: Spending, policy: OnlinePolicy, lineage: Lineage) -> list[str]:
    return [say.overspent(would_spend, lineage, policy)] if would_spend.left < -_ROUNDING else []


def spending_of(verdict: Verdict, policy: OnlinePolicy) -> Spending | None:
    """What carrying out a verdict of PROMOTE spends; None without evidence or lineage."""
    evidence, lineage = verdict.evidence, verdict.lineage
    if evidence is None or lineage is None:
        return None
    if not evidence.matured and evidence.arms is not None:
        return spending(evidence.arms.lower, evidence.arms.margin, policy, lineage)
    return _spending(evidence, policy, lineage)


def _unshown_groups(evidence: Evidence, policy: OnlinePolicy, *, is_waited_for: bool) -> list[str]:
    """Groups that were not shown to be no worse off, and for which a promotion waits, or which it reports."""
    waits = {rule.attribute for rule in policy.groups if rule.when_underpowered == "wait"}
    return [
        say.unshown_group(group)
        for group in evidence.groups
        if not group.is_shown and (group.attribute in waits or not group.is_underpowered) == is_waited_for
    ]
