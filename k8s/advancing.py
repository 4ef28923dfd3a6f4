"""One step of a rollout: shadow, then growing shares, then the verdict's promotion or rollback. Pure.

A step is never taken because time went by alone: a share grows only while the evidence shows no harm, and roles change
only by the verdict.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from bentos.errors import BadInput, Refused
from k8s.overlay import Carried
from service.scoring.experiment import Experiment
from validation.judge.verdict import Verdict

Action = Literal["shadow", "split", "promote", "rollback", "wait", "done"]


@dataclass(frozen=True)
class Plan:
    """How a challenger's share grows.

    Attributes:
        shares: Of customers, rising, each in (0, 1].
        soak: How long a phase lasts at least, before the share grows again.
    """

    shares: tuple[float, ...] = (0.05, 0.25, 0.5)
    soak: timedelta = timedelta(hours=24)


@dataclass(frozen=True)
class Step:
    """What is to be done next.

    Attributes:
        action: `wait` and `done` change nothing.
        why: In a sentence.
        challenger: Digest of whom it concerns; None where nobody is, or was, to be tried.
        share: The next share, for `split`.
    """

    action: Action
    why: str
    challenger: str | None = None
    share: float = 0.0


def challenger_of(experiment: Experiment, carried: Carried) -> str | None:
    """Whom a rollout of an image is about; None where its challenger reigns already, or it carries none.

    Raises:
        BadInput: It carries several, and which of them is to be tried is a person's decision.
        Refused: The image lacks the reigning champion.
    """
    if experiment.champion not in carried.models:
        raise Refused(f"the image that is deployed does not carry the champion {experiment.champion}")
    if experiment.champion != carried.champion:
        return None
    if len(carried.challengers) > 1:
        raise BadInput(
            f"the image carries {len(carried.challengers)} challengers, and a rollout by itself tries one: "
            "`gauntlet experiment shadow A B` tries several"
        )
    return carried.challengers[0] if carried.challengers else None


def first_step(experiment: Experiment, carried: Carried, *, begun: str | None) -> Step | None:
    """What can be said without a verdict; None where one is needed, as the challenger is on trial.

    Args:
        experiment: The file as it stands.
        carried: What the deployed image holds.
        begun: When this image's challenger was put on trial by a rollout, if it was.

    Raises:
        BadInput: The image carries several challengers.
        Refused: Somebody else is on trial, or the image lacks the champion.
    """
    challenger = challenger_of(experiment, carried)
    if challenger is None:
        is_promoted = experiment.champion in carried.challengers
        return Step("done", f"{experiment.champion} is champion" if is_promoted else "the image carries no challenger")
    if experiment.mode != "off":
        if experiment.challenger != challenger or experiment.further:
            raise Refused(f"{experiment.challenger} is on trial, and the deployed image was packed for {challenger}")
        return None
    if experiment.challenger == challenger and begun is not None:
        return Step(
            "wait", "its trial was stopped by somebody; `gauntlet experiment shadow` takes it up again", challenger
        )
    if begun is not None:
        return Step("done", f"its trial began {begun} and was ended: rolled back", challenger)
    return Step("shadow", "nobody is on trial: it is scored in the shadow of live traffic", challenger)


def next_step(experiment: Experiment, carried: Carried, verdict: Verdict, plan: Plan, *, now: datetime) -> Step:
    """What the verdict on a challenger that is on trial allows.

    Args:
        experiment: The file as it stands.
        carried: What the deployed image holds.
        verdict: On its challenger, judged now.
        plan: How its share grows.
        now: The moment.

    Raises:
        Refused: The verdict is INVALID or about something else, so that no step may rest on it.
    """
    challenger = experiment.challenger
    if (verdict.challenger, verdict.champion, verdict.revision) != (
        challenger, experiment.champion, experiment.revision
    ):  # fmt: skip
        raise Refused(f"the verdict is about revision {verdict.revision}, and the file is at {experiment.revision}")
    reason = next(iter(verdict.reasons), "no reason was given")
    if verdict.verdict == "INVALID":
        raise Refused(f"the verdict is INVALID: {'; '.join(verdict.reasons)}")
    if verdict.verdict == "PROMOTE":
        return Step("promote", reason, challenger)
    if verdict.verdict == "ROLLBACK":
        return Step("rollback", reason, challenger)
    obstacle = _obstacle(experiment, carried, verdict, plan, now)
    share = next((share for share in plan.shares if share > experiment.split + 1e-9), None)
    if obstacle is None and share is None:
        obstacle = f"it has {experiment.split:.0%}, the plan's last share, and the verdict decides: {reason}"
    if obstacle is not None or share is None:
        return Step("wait", str(obstacle), challenger)
    return Step("split", f"no harm is seen after {_matured(verdict)} matured customers", challenger, share)


def _obstacle(experiment: Experiment, carried: Carried, verdict: Verdict, plan: Plan, now: datetime) -> str | None:
    """Why the share must not grow yet."""
    if experiment.challenger in carried.shadow_only:
        return "it is blessed for the shadow alone: the verdict promotes it from there, or nothing does"
    if not _matured(verdict):
        return "nothing has matured yet: " + next(iter(verdict.reasons), "")
    evidence = verdict.evidence
    if evidence is not None and evidence.rollback_log_e > 0:
        return (
            f"harm is not excluded: its log e is {evidence.rollback_log_e:.2f}, above 0 "
            f"({evidence.rollback_threshold:.2f} rolls back)"
        )
    ends = experiment.effective_from + plan.soak
    if now < ends:
        return f"this phase lasts until {ends:%Y-%m-%d %H:%M} UTC at least"
    return None


def _matured(verdict: Verdict) -> int:
    return verdict.evidence.matured if verdict.evidence is not None else 0
