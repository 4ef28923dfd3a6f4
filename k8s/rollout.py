"""A rollout on a cluster: approved once for its image's digest, then advanced a step at a time, by the verdict.

What is kept is kept on the experiment's ConfigMap, as annotations: who approved which image, and when its challenger's
trial was begun. A challenger whose trial was ended is never put on trial again by itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from bentos.errors import NotAllowedByVerdict, Refused
from k8s.advancing import Plan, Step, first_step, next_step
from k8s.experiment_map import LEAD, change_on, read_on
from k8s.kubectl import Kubectl
from k8s.live import CONFIGMAP, LiveCluster
from k8s.overlay import SCORING, Carried, carried_of
from k8s.running import Ran, run_on
from service.scoring.experiment import Experiment, new_salt, set_split, start_shadow
from validation.judge.verdict import Verdict

_KEPT = 40
"""Hexadecimal digits of a digest in an annotation's name, which has room for 63 characters."""


@dataclass(frozen=True)
class Standing:
    """How a rollout stands.

    Attributes:
        carried: What the deployed scoring image holds.
        approved: Who approved it, and when; None if nobody did.
        begun: When its challenger's trial was begun; None if it was not.
        experiment: The file.
    """

    carried: Carried
    approved: str | None
    begun: str | None
    experiment: Experiment


@dataclass(frozen=True)
class Advanced:
    """A step that was taken, or the word that none was due.

    Attributes:
        step: Which.
        verdict: What it rests on; None where none was asked.
        revision: Of the experiment afterwards.
    """

    step: Step
    verdict: Verdict | None
    revision: int


class Rollout:
    """The rollout of one installation.

    Args:
        kubectl: In its namespace.
        cluster: The same installation.
        who: Who acts, for the audit.
        told: Is told what is done.
    """

    def __init__(
        self, kubectl: Kubectl, cluster: LiveCluster, *, who: str, told: Callable[[str], object] = lambda _: None
    ) -> None:
        self._kubectl, self._cluster, self._who, self._told = kubectl, cluster, who, told

    def approve(self, carried: Carried) -> str:
        """Let an image's challenger be tried on live customers, and promoted if the verdict says so.

        Args:
            carried: What the image holds that is to be deployed, or is.

        Returns:
            The record. An approval that is there already stays as it was.

        Raises:
            Refused: The image is named by a tag.
            NotFound: There is no experiment yet.
        """
        read_on(self._cluster)
        name = _approved(carried.digest)
        found = self._notes().get(name)
        if found is None:
            found = f"{self._who}, {_now()}"
            self._note(name, found)
        return found

    def check_approved(self, carried: Carried) -> str:
        """Who approved an image.

        Raises:
            Refused: Nobody did.
        """
        found = self._notes().get(_approved(carried.digest))
        if found is None:
            raise Refused(
                f"nobody approved the rollout of {carried.digest}: `gauntlet rollout approve OVERLAY` records who does"
            )
        return found

    def standing(self) -> Standing:
        """How it stands.

        Raises:
            NotFound: There is no experiment.
            Refused: There is no scoring Deployment, or its image is named by a tag.
        """
        carried = carried_of(json.loads(self._kubectl("get", f"deployment/{SCORING}", "-o", "json")))
        notes, experiment = self._notes(), read_on(self._cluster)
        challenger = carried.challengers[0] if carried.challengers else None
        return Standing(
            carried=carried,
            approved=notes.get(_approved(carried.digest)),
            begun=None if challenger is None else notes.get(_begun(challenger)),
            experiment=experiment,
        )

    def advance(self, plan: Plan, *, as_of: str | None = None) -> Advanced:
        """Take at most one step, if the image was approved and the verdict allows it.

        Args:
            plan: How the challenger's share grows.
            as_of: Judge from this later moment.

        Raises:
            Refused: Nobody approved the image, the verdict is INVALID, or somebody else is on trial.
            Unavailable: A Job failed, or a pod did not follow.
        """
        standing = self.standing()
        self.check_approved(standing.carried)
        verdict = None
        step = first_step(standing.experiment, standing.carried, begun=standing.begun)
        if step is None:
            verdict = self._judge(as_of)
            step = next_step(standing.experiment, standing.carried, verdict, plan, now=datetime.now(UTC))
        self._told(f"{step.action}: {step.why}")
        self._take(step, as_of)
        return Advanced(step, verdict, read_on(self._cluster).revision)

    def _take(self, step: Step, as_of: str | None) -> None:
        if step.action == "shadow":
            self._note(_begun(str(step.challenger)), _now())
            self._change(lambda old, now: _shadow(old, str(step.challenger), now))
        elif step.action == "split":
            self._change(lambda old, now: set_split(old, step.share, now=now, lead=LEAD))
        elif step.action in ("promote", "rollback"):
            ran = self._run(step.action, [step.action, *_as_of(as_of)])
            if ran.exit_code:
                raise NotAllowedByVerdict(ran.why)

    def _judge(self, as_of: str | None) -> Verdict:
        ran = self._run("promote", ["verdict", "--json", *_as_of(as_of)])
        if ran.exit_code:
            raise Refused(f"there is no verdict: {ran.why}")
        return msgspec.convert(ran.result(), type=Verdict)

    def _run(self, cron: str, words: list[str]) -> Ran:
        return run_on(self._cluster, cron, words, environment={"GAUNTLET_WHO": self._who}, told=self._told)

    def _change(self, change: Callable[[Experiment, datetime], Experiment]) -> None:
        change_on(self._cluster, change, told=self._told)

    def _notes(self) -> Mapping[str, str]:
        found = json.loads(self._kubectl("get", f"configmap/{CONFIGMAP}", "-o", "json"))
        return found["metadata"].get("annotations") or {}

    def _note(self, name: str, value: str) -> None:
        self._kubectl("annotate", f"configmap/{CONFIGMAP}", f"{name}={value}", "--overwrite")


def _shadow(old: Experiment, challenger: str, now: datetime) -> Experiment:
    return start_shadow(old, challenger, now=now, salt=new_salt(), lead=LEAD)


def _approved(image: str) -> str:
    return f"approved.gauntlet.dev/{_hexadecimal(image)}"


def _begun(challenger: str) -> str:
    return f"begun.gauntlet.dev/{_hexadecimal(challenger)}"


def _hexadecimal(digest: str) -> str:
    return digest.removeprefix("sha256:")[:_KEPT]


def _as_of(moment: str | None) -> list[str]:
    return [] if moment is None else ["--as-of", moment]


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
