"""An overlay applied, waited for and tried; and undone by itself where it does not come up or does not do its work."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import msgspec
import yaml

from bentos.errors import GauntletError, Refused
from k8s.experiment_map import LEAD, Cluster, read_on, write_on
from k8s.kubectl import Kubectl
from k8s.live import CONFIGMAP
from k8s.overlay import Carried, Overlay, name_of, parse_overlay
from k8s.running import STUCK
from k8s.smoke import Checked
from service.scoring.experiment import Experiment, stop

_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_UNDO_SECONDS = 300
_LOOK_SECONDS = 20


class Tries(Protocol):
    """The smoke test, so that a test can stand in for it."""

    def __call__(self, overlay: Overlay, /) -> tuple[Checked, ...]:
        """How each part came out."""


@dataclass(frozen=True)
class Deployed:
    """A rollout that stands.

    Attributes:
        overlay: The folder.
        carried: What its scoring image holds.
        workloads: What was waited for.
        checks: How each part of the smoke test came out: all of them well.
        commands: How to do the same with kubectl alone.
    """

    overlay: str
    carried: Carried
    workloads: tuple[str, ...]
    checks: tuple[Checked, ...]
    commands: tuple[str, ...]


class Undone(Refused):
    """A rollout that failed and was taken back.

    Attributes:
        why: What failed.
        checks: How each part of the smoke test came out, where it came so far.
        undone: What was taken back.
        left: What stays as the rollout made it.
    """

    def __init__(self, why: str, *, checks: Sequence[Checked], undone: Sequence[str], left: Sequence[str]) -> None:
        self.why, self.checks = why, tuple(checks)
        self.undone, self.left = tuple(undone), tuple(left)
        said = f"undone: {', '.join(undone)}" if undone else "there was nothing to undo"
        super().__init__(f"{why}; {said}" + (f"; left: {', '.join(left)}" if left else ""))


def deploy(
    kubectl: Kubectl,
    cluster: Cluster,
    folder: Path,
    *,
    tries: Tries,
    follows: bool = False,
    seconds: int = 300,
    told: Callable[[str], object] = lambda _: None,
) -> Deployed:
    """Apply an overlay, wait for its pods, try them, and take everything back where something is wrong.

    Args:
        kubectl: In the installation's namespace.
        cluster: The same installation, for its experiment.
        folder: The overlay.
        tries: The smoke test.
        follows: Whether the experiment's champion becomes the image's: for a place where nobody is judged, and which
            follows another one's promotions.
        seconds: How long each workload may take to come up.
        told: Is told what is done.

    Raises:
        Refused: The image lacks a model that answers customers now, or a trial of it goes on. Nothing was changed.
        Undone: It did not come up, or failed its smoke test.
        BadInput: The folder is no overlay, or there is no experiment yet.
        Unavailable: The API server does not answer.
    """
    overlay = parse_overlay(kubectl("kustomize", folder))
    carried = overlay.carried
    experiment = read_on(cluster)
    _check_carried(experiment, carried, follows=follows)
    before = _standing(kubectl, overlay)
    checks: tuple[Checked, ...] = ()
    try:
        if follows and experiment.champion != carried.champion:
            _follow(cluster, carried, told)
        told(f"applying {folder}")
        kubectl("apply", "-k", folder)
        for workload in overlay.workloads:
            told(f"waiting for {workload}")
            _await(kubectl, workload, seconds)
        told("trying it")
        checks = tries(overlay)
        _check_all(checks)
    except GauntletError as e:
        told(f"{e}: undoing it")
        undone, left = _undo(kubectl, overlay, before)
        if read_on(cluster).champion != experiment.champion and follows:
            _return_to(cluster, experiment)
            undone = (*undone, f"configmap/{CONFIGMAP}")
        raise Undone(str(e), checks=checks, undone=undone, left=left) from e
    return Deployed(
        overlay=str(folder),
        carried=carried,
        workloads=overlay.workloads,
        checks=checks,
        commands=_commands(kubectl.namespace, folder, overlay.workloads, seconds),
    )


def _check_carried(experiment: Experiment, carried: Carried, *, follows: bool) -> None:
    """Pods that lack the reigning champion would never be ready, and a trial whose challenger goes would end unseen."""
    if experiment.champion not in carried.models and not follows:
        raise Refused(
            f"the image does not carry the reigning champion {experiment.champion}, but {' '.join(carried.models)}: "
            "pack it anew (gauntlet package --challenger ...)"
        )
    on_trial = [digest for digest, _ in experiment.challengers] if experiment.mode != "off" else []
    missing = [digest for digest in on_trial if digest not in carried.models]
    if missing:
        raise Refused(
            f"{' '.join(missing)} is on trial (mode {experiment.mode}), and the image does not carry it: "
            "`gauntlet experiment off --on-cluster` stops the trial, or pack it too"
        )


def _follow(cluster: Cluster, carried: Carried, told: Callable[[str], object]) -> None:
    """Name the image's champion. Pods without it keep to the last file that they could follow, until they go."""
    told(f"the experiment's champion becomes {carried.champion}, which the image was packed for")

    def change(old: Experiment, now: datetime) -> Experiment:
        off = stop(old, now=now, lead=LEAD)
        return msgspec.structs.replace(off, champion=carried.champion, challenger=None, further=())

    write_on(cluster, change)


def _return_to(cluster: Cluster, earlier: Experiment) -> None:
    """What the file said before, as its next revision: revisions never go back."""

    def change(old: Experiment, now: datetime) -> Experiment:
        off = stop(old, now=now, lead=LEAD)
        kept = {name: getattr(earlier, name) for name in ("mode", "champion", "challenger", "split", "further", "salt")}
        return msgspec.structs.replace(off, **kept)

    write_on(cluster, change)


def _standing(kubectl: Kubectl, overlay: Overlay) -> dict[str, Mapping[str, Any]]:
    """The overlay's objects as they stand before it is applied, by name; those that are not there are left out."""
    given = yaml.safe_dump_all(overlay.manifests)
    found = kubectl("get", "-f", "-", "-o", "json", "--ignore-not-found", given=given)
    items = json.loads(found) if found.strip() else {"items": []}
    return {name_of(item): item for item in items.get("items", [items])}


def _await(kubectl: Kubectl, workload: str, seconds: float) -> None:
    """Wait for its pods; not to the end where one has no image to run, which seldom goes away by itself."""
    ends, was_stuck = time.monotonic() + seconds, False
    while True:
        look = max(1, min(_LOOK_SECONDS, round(ends - time.monotonic())))
        try:
            kubectl("rollout", "status", workload, f"--timeout={look}s")
        except Refused as e:
            waiting = _waiting_in(kubectl, workload)
            is_stuck = any(reason in STUCK for reason, _ in waiting)
            if "timed out" in str(e) and time.monotonic() < ends and not (is_stuck and was_stuck):
                was_stuck = is_stuck
                continue
            told = "; ".join(dict.fromkeys(said for _, said in waiting))
            raise Refused(f"{workload} did not come up: {_last_line(e)}" + (f" ({told})" if told else "")) from e
        return


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1]


def _waiting_in(kubectl: Kubectl, workload: str) -> list[tuple[str, str]]:
    """What its containers wait for, as far as their pods say it: the reason, and a sentence."""
    labels = json.loads(kubectl("get", workload, "-o", "json"))["spec"]["selector"]["matchLabels"]
    chosen = ",".join(f"{key}={value}" for key, value in labels.items())
    found = []
    for pod in json.loads(kubectl("get", "pods", "-l", chosen, "-o", "json"))["items"]:
        status = pod.get("status") or {}
        for container in [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]:
            waiting = (container.get("state") or {}).get("waiting") or {}
            ended = (container.get("lastState") or {}).get("terminated") or {}
            reason = waiting.get("reason")
            if reason not in (None, "PodInitializing", "ContainerCreating"):
                told = " ".join((ended.get("message") or waiting.get("message") or "").split())[:200]
                found.append((reason, f"{container['name']} {reason}" + (f": {told}" if told else "")))
    return found


def _check_all(checks: Sequence[Checked]) -> None:
    failed = [f"{check.name}: {check.said}" for check in checks if not check.is_good]
    if failed:
        raise Refused(f"the smoke test failed: {'; '.join(failed)}")


def _undo(
    kubectl: Kubectl, overlay: Overlay, before: Mapping[str, Mapping[str, Any]]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Take every object back to what it was, workloads by their own history; gives what was, and what was left.

    A workload's last-applied manifest may be older than what ran, where its image was set by `kubectl set image`.
    """
    after = _standing(kubectl, overlay)
    undone, left = [], [name for name in after if name not in before]
    for name, then in before.items():
        try:
            if _take_back(kubectl, name, then, after.get(name)):
                undone.append(name)
        except Refused as e:
            left.append(f"{name}, as {_last_line(e)}")
    return tuple(undone), tuple(left)


def _take_back(kubectl: Kubectl, name: str, then: Mapping[str, Any], now: Mapping[str, Any] | None) -> bool:
    """Take one object back, and say whether there was anything to take back."""
    if now is not None and name.startswith(("deployment/", "statefulset/")):
        if then["spec"]["template"] == now["spec"]["template"]:
            return False
        kubectl("rollout", "undo", name)
        kubectl("rollout", "status", name, f"--timeout={_UNDO_SECONDS}s")
        return True
    applied = _applied(then)
    if applied is None or (now is not None and applied == _applied(now)):
        return False
    kubectl("apply", "-f", "-", given=applied)
    return True


def _applied(item: Mapping[str, Any]) -> str | None:
    found = (item["metadata"].get("annotations") or {}).get(_APPLIED)
    return None if found is None else str(found)


def _commands(namespace: str, folder: Path, workloads: Sequence[str], seconds: int) -> tuple[str, ...]:
    kubectl = f"kubectl --namespace {namespace}"
    return (
        f"kubectl apply -k {folder}",
        *(f"{kubectl} rollout status {workload} --timeout={seconds}s" for workload in workloads),
    )
