"""The verdict: what the evidence in a ledger allows, with reasons. Pure: the same ledger gives the same verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import msgspec

from service.prediction_log.records import Mode
from service.scoring.experiment import Experiment
from validation.judge.evidence import Evidence, weigh
from validation.judge.ledger import Cohort
from validation.judge.policy import OnlinePolicy

Decision = Literal["PROMOTE", "ROLLBACK", "KEEP_COLLECTING", "INVALID"]


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


def judge(
    cohorts: Sequence[Cohort],
    policy: OnlinePolicy,
    experiment: Experiment,
    *,
    late: int = 0,
    as_of: datetime | None = None,
) -> Verdict:
    """Judge an experiment.

    Args:
        cohorts: Its ledger, with provisional cohorts if it is looked at from a later moment.
        policy: By which rules.
        experiment: Who is on trial.
        late: Rows that landed after their cohort was closed, for information.
        as_of: The later moment, if any.

    Returns:
        The verdict. It never raises for what is in the ledger: what cannot be computed is INVALID.
    """
    evidence: Evidence | None = None
    verdict: Decision = "INVALID"
    try:
        evidence = weigh(cohorts, policy, late=late)
        foreign = _why_foreign(cohorts, policy, experiment)
        verdict, reasons = ("INVALID", foreign) if foreign else _decide(evidence, policy, experiment)
    except (ValueError, ArithmeticError) as e:
        reasons = [f"the evidence cannot be computed: {e}"]
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
    )


def _why_foreign(cohorts: Sequence[Cohort], policy: OnlinePolicy, experiment: Experiment) -> list[str]:
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


def _decide(evidence: Evidence, policy: OnlinePolicy, experiment: Experiment) -> tuple[Decision, list[str]]:
    """The worst result wins: INVALID first, and promotion last."""
    invalid = _why_invalid(evidence, policy)
    if invalid:
        return "INVALID", invalid
    if experiment.challenger is None:
        return "KEEP_COLLECTING", ["no challenger is on trial"]
    if not evidence.matured:
        return "KEEP_COLLECTING", [_nothing_matured(evidence)]
    if evidence.rollback_log_e >= evidence.rollback_threshold:
        return _on_harm(evidence, policy)
    if evidence.log_e >= evidence.threshold:
        return _on_success(evidence, policy)
    return "KEEP_COLLECTING", [_undecided(evidence, policy), _interval(evidence, policy)]


def _why_invalid(evidence: Evidence, policy: OnlinePolicy) -> list[str]:
    reasons = []
    logs = (evidence.log_e, evidence.log_e_worst, evidence.rollback_log_e, evidence.rollback_log_e_best)
    if not all(math.isfinite(value) for value in (*logs, evidence.lower, evidence.upper, evidence.srm_log_e)):
        reasons.append("the evidence cannot be computed: a number in it is not finite")
    if policy.actions_follow_predictions:
        reasons.append(
            "treatment_confounded: the policy says that actions follow predictions, which changes the outcomes by "
            "which the models are compared, and there is no share of customers from whom actions are withheld by lot"
        )
    if evidence.srm_log_e >= evidence.srm_threshold:
        reasons.append(
            f"sample-ratio mismatch: customers are not split as the experiment file says, log e "
            f"{evidence.srm_log_e:.2f} reached {evidence.srm_threshold:.2f} ({_listed(evidence)}); no verdict may rest "
            "on this split"
        )
    return reasons


def _on_harm(evidence: Evidence, policy: OnlinePolicy) -> tuple[Decision, list[str]]:
    found = f"log e {evidence.rollback_log_e:.2f} reached {evidence.rollback_threshold:.2f}"
    reasons = [f"the challenger is worse than the champion{_beyond(policy)}: {found} {_after(evidence)}"]
    if evidence.rollback_log_e_best >= evidence.rollback_threshold:
        return "ROLLBACK", [*reasons, _interval(evidence, policy), *_despite_missing(evidence, "wins")]
    return "KEEP_COLLECTING", [*reasons, _missing_decides(evidence, evidence.rollback_log_e_best, "wins")]


def _on_success(evidence: Evidence, policy: OnlinePolicy) -> tuple[Decision, list[str]]:
    found = f"log e {evidence.log_e:.2f} reached {evidence.threshold:.2f}"
    reasons = [f"the challenger is {_claimed(policy)}: {found} {_after(evidence)}"]
    obstacles = _obstacles(evidence, policy)
    if obstacles:
        return "KEEP_COLLECTING", [*reasons, *obstacles]
    return "PROMOTE", [*reasons, _interval(evidence, policy), *_despite_missing(evidence, "losses")]


def _obstacles(evidence: Evidence, policy: OnlinePolicy) -> list[str]:
    """What else a promotion waits for."""
    obstacles = []
    if evidence.log_e_worst < evidence.threshold:
        obstacles.append(_missing_decides(evidence, evidence.log_e_worst, "losses"))
    if evidence.matured < policy.min_matured:
        obstacles.append(f"{evidence.matured} customers have matured; a promotion needs {policy.min_matured}")
    if evidence.cohorts < policy.min_cohorts:
        obstacles.append(f"{evidence.cohorts} cohorts have matured; a promotion needs {policy.min_cohorts}")
    return obstacles


# sentences


def _claimed(policy: OnlinePolicy) -> str:
    if policy.claim == "superiority":
        return f"better than the champion in {policy.metric}"
    return f"not worse than the champion by {policy.margin:g} or more in {policy.metric}"


def _beyond(policy: OnlinePolicy) -> str:
    by = f" by more than {policy.margin:g}" if policy.margin else ""
    return f"{by} in {policy.metric}"


def _after(evidence: Evidence) -> str:
    return (
        f"after {evidence.matured} matured customers ({evidence.wins} wins, {evidence.ties} ties, "
        f"{evidence.losses} losses)"
    )


def _interval(evidence: Evidence, policy: OnlinePolicy) -> str:
    return (
        f"the difference in {policy.metric} is {evidence.difference or 0:+.4f}, "
        f"between {evidence.lower:+.4f} and {evidence.upper:+.4f}"
    )


def _undecided(evidence: Evidence, policy: OnlinePolicy) -> str:
    return (
        f"not decided {_after(evidence)}: that the challenger is {_claimed(policy)} has log e {evidence.log_e:.2f} of "
        f"{evidence.threshold:.2f}, that it is worse{_beyond(policy)} {evidence.rollback_log_e:.2f} of "
        f"{evidence.rollback_threshold:.2f}"
    )


def _nothing_matured(evidence: Evidence) -> str:
    waiting = evidence.counts.n
    if not waiting:
        return "no cohort of this experiment has matured yet"
    return f"none of the {waiting} customers of matured cohorts has a truth and an answer of both models"


def _despite_missing(evidence: Evidence, what: str) -> list[str]:
    if not evidence.missing_disagreements:
        return []
    log_e = evidence.log_e_worst if what == "losses" else evidence.rollback_log_e_best
    return [
        f"it holds even if all {evidence.missing_disagreements} missing disagreements were {what} (log e {log_e:.2f})"
    ]


def _missing_decides(evidence: Evidence, log_e: float, what: str) -> str:
    return (
        f"it would not hold if all {evidence.missing_disagreements} missing disagreements were {what} (log e "
        f"{log_e:.2f}; they can move the difference by {evidence.missing_swing:.4f}): {evidence.tipping_point} of them "
        "tip it, so ask for their truths"
    )


def _listed(evidence: Evidence) -> str:
    return "; ".join(
        f"revision {phase.revision}: {phase.answered_challenger} of "
        f"{phase.answered_champion + phase.answered_challenger} answered by the challenger, split {phase.split:g}"
        for phase in evidence.phases
        if phase.mode == "split"
    )
