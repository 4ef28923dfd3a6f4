"""The sentences of a verdict: what was found, in numbers, and what is to be done."""

from __future__ import annotations

from validation.judge.arms import MIN_POSITIVE, MIN_TOLD, ArmsEvidence
from validation.judge.evidence import Evidence
from validation.judge.groups import GroupEvidence
from validation.judge.lineage import Lineage, Spending
from validation.judge.policy import OnlinePolicy


def claimed(policy: OnlinePolicy) -> str:
    """What a promotion claims."""
    if policy.claim == "superiority":
        return f"better than the champion in {policy.metric}"
    return f"not worse than the champion by {policy.margin:g} or more in {policy.metric}"


def beyond(policy: OnlinePolicy) -> str:
    """What a rollback claims, after "worse"."""
    by = f" by more than {policy.margin:g}" if policy.margin else ""
    return f"{by} in {policy.metric}"


def after(evidence: Evidence) -> str:
    """By how many customers."""
    return (
        f"after {evidence.matured} matured customers ({evidence.wins} wins, {evidence.ties} ties, "
        f"{evidence.losses} losses)"
    )


def interval(evidence: Evidence, policy: OnlinePolicy) -> str:
    """The difference and its confidence sequence."""
    return (
        f"the difference in {policy.metric} is {evidence.difference or 0:+.4f}, "
        f"between {evidence.lower:+.4f} and {evidence.upper:+.4f}"
    )


def undecided(evidence: Evidence, policy: OnlinePolicy) -> str:
    """How far both claims are."""
    return (
        f"not decided {after(evidence)}: that the challenger is {claimed(policy)} has log e {evidence.log_e:.2f} of "
        f"{evidence.threshold:.2f}, that it is worse{beyond(policy)} {evidence.rollback_log_e:.2f} of "
        f"{evidence.rollback_threshold:.2f}"
    )


def nothing_matured(evidence: Evidence) -> str:
    """Why there is nothing to judge by yet."""
    waiting = evidence.counts.n
    if waiting:
        return f"none of the {waiting} customers of matured cohorts has a truth and an answer of both models"
    if evidence.outside is not None and evidence.outside.n:
        return f"none of the {evidence.outside.n} customers of matured cohorts is one from whom actions are withheld"
    return "no cohort of this experiment has matured yet"


def despite_missing(evidence: Evidence, what: str) -> list[str]:
    """That missing truths cannot undo a decision."""
    if not evidence.missing_disagreements:
        return []
    log_e = evidence.log_e_worst if what == "losses" else evidence.rollback_log_e_best
    return [
        f"it holds even if all {evidence.missing_disagreements} missing disagreements were {what} (log e {log_e:.2f})"
    ]


def missing_decides(evidence: Evidence, log_e: float, what: str) -> str:
    """That missing truths could undo a decision, and how many it takes."""
    return (
        f"it would not hold if all {evidence.missing_disagreements} missing disagreements were {what} (log e "
        f"{log_e:.2f}; they can move the difference by {evidence.missing_swing:.4f}): {evidence.tipping_point} of them "
        "tip it, so ask for their truths"
    )


def mismatch(evidence: Evidence) -> str:
    """That customers are not split as the experiment file says."""
    stands = (
        ""
        if evidence.srm_log_e >= evidence.srm_threshold
        else f", and stands though it is {evidence.srm_log_e:.2f} now"
    )
    return (
        f"sample-ratio mismatch: customers are not split as the experiment file says, log e "
        f"{evidence.srm_log_e_max:.2f} reached {evidence.srm_threshold:.2f}{stands} ({_listed(evidence)}); no verdict "
        "may rest on this split: find what assigns them otherwise, and start a new experiment"
    )


def confounded_without_share() -> str:
    """That actions change the outcomes of everybody."""
    return (
        "treatment_confounded: the policy says that actions follow predictions, which changes the outcomes by which "
        "the models are compared, and there is no share of customers from whom actions are withheld by lot; "
        "`gauntlet experiment shares --no-treatment SHARE` draws one, and those customers alone will be evidence"
    )


def confounded_against_policy(evidence: Evidence) -> str:
    """That actions were taken which the policy says there are none of."""
    return (
        f"treatment_confounded: {evidence.treated} of {evidence.counts.n} counted customers were treated, and the "
        "policy says that actions do not follow predictions; set actions_follow_predictions to true, draw a "
        "no-treatment share and start a new experiment: this one's pairs cannot be told from what the actions did"
    )


def spoiled(evidence: Evidence) -> list[str]:
    """That actions reached some from whom they were to be withheld."""
    if not evidence.spoiled:
        return []
    share = evidence.spoiled / evidence.counts.n if evidence.counts.n else 1.0
    return [
        f"{evidence.spoiled} customers from whom actions were to be withheld were treated nevertheless "
        f"({share:.1%}); their truths count as missing"
    ]


def harmed_group(group: GroupEvidence, policy: OnlinePolicy) -> str:
    """That a group is worse off."""
    return (
        f"customers with {group.attribute} {group.value} are worse off by more than {group.margin:g} in "
        f"{policy.metric}: log e {group.rollback_log_e:.2f} reached {group.rollback_threshold:.2f} after "
        f"{group.matured} matured ones, difference {group.difference or 0:+.4f}, at most {group.upper:+.4f}"
    )


def unshown_group(group: GroupEvidence) -> str:
    """That a group has not been shown to be no worse off, and how many customers it takes."""
    far = f"log e {min(group.log_e, group.log_e_worst):.2f} of {group.threshold:.2f} after {group.matured} matured ones"
    if group.missing_disagreements and group.log_e >= group.threshold:
        far += f", if all {group.missing_disagreements} missing disagreements were losses"
    said = f"that customers with {group.attribute} {group.value} lose less than {group.margin:g} is not shown ({far}); "
    if group.needed is None:
        return said + "how many it takes cannot be said yet: underpowered"
    if group.matured < group.needed:
        return said + f"it takes about {group.needed - group.matured} more of them even without harm: underpowered"
    return said + f"about {group.needed} are enough where there is no harm"


def harmed_arm(arms: ArmsEvidence) -> str:
    """That the challenger's customers fare worse."""
    return (
        f"outcomes by arm: the challenger's customers are worse off by more than {arms.margin:g}: {_shares(arms)}; "
        f"the improvement is at most {arms.upper:+.4f}"
    )


def arms_alone(arms: ArmsEvidence) -> str:
    """That pairs decide nothing here."""
    return (
        "actions follow predictions and nobody is left alone by lot, so that pairs say nothing; outcomes by arm alone "
        f"decide: {_shares(arms)}, improvement {arms.improvement or 0:+.4f}, between {arms.lower:+.4f} and "
        f"{arms.upper:+.4f}"
    )


def unshown_arms(arms: ArmsEvidence) -> str:
    """Why outcomes by arm do not allow a promotion yet."""
    if not arms.is_enough:
        return (
            f"outcomes by arm: {_shares(arms)}; each arm needs {MIN_TOLD} truths and {MIN_POSITIVE} positive ones, "
            "from customers of a split"
        )
    if not arms.can_tell:
        return (
            f"outcomes by arm: truths are not known of both arms' customers alike (log e {arms.coverage_log_e:.2f} "
            f"reached {arms.coverage_threshold:.2f}): {_shares(arms)}; ask for those that are missing"
        )
    return (
        f"outcomes by arm: that the challenger's customers are not worse off by {arms.margin:g} is not shown: "
        f"{_shares(arms)}; the improvement is at least {arms.lower:+.4f}"
    )


def _shares(arms: ArmsEvidence) -> str:
    champion, challenger = arms.champion, arms.challenger
    return (
        f"{champion.positive} of {champion.told} positive where the champion answered, {challenger.positive} of "
        f"{challenger.told} where the challenger did, {arms.better} is better"
    )


def overspent(spending: Spending, lineage: Lineage, policy: OnlinePolicy) -> str:
    """That promotions by non-inferiority have used up what they may lose together."""
    room = policy.margin_budget - lineage.spent
    return (
        f"the margin of this lineage is spent: its promotions may have lost {lineage.spent:.4f} of "
        f"{policy.margin_budget:g} against {lineage.anchor}, and this one would spend {spending.margin:.4f} more; it "
        f"may be promoted when the lower end of the difference is at least {-room:+.4f}, or above "
        f"{lineage.spent:+.4f}, which makes it the new anchor"
    )


def spent(spending: Spending, lineage: Lineage) -> str:
    """What a promotion does to the lineage."""
    trial = f"trial {lineage.number} of {lineage.name}, {lineage.promotions} promoted before"
    if spending.is_anchor:
        return f"{trial}: it is better than the anchor, and takes its place with nothing spent"
    return (
        f"{trial}: it spends {spending.margin:.4f} of the lineage's margin, which it may lose at worst, with every "
        f"missing truth against it; {max(spending.left, 0):.4f} are left"
    )


def _listed(evidence: Evidence) -> str:
    return "; ".join(
        f"revision {phase.revision}: {phase.answered_challenger} of "
        f"{phase.answered_champion + phase.answered_challenger} answered by the challenger, split {phase.split:g}"
        for phase in evidence.phases
        if phase.mode == "split"
    )
