"""The experiment on a cluster: its ConfigMap changed as the file is on one machine, and every pod waited for.

What is done here can be done with kubectl alone, and `Changed.commands` says how. The file is written with the version
that was read: of two changes at once by `change_on` one is tried again on top of the other, and a promotion, which
rests on what it read, gives up.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

import msgspec
import yaml

from bentos.errors import InvalidExperiment, Unavailable
from k8s.live import ADMIN_PORT, ANNOTATION, CONFIGMAP, KEY, SCORING
from service import metric_names
from service.scoring.experiment import Experiment, dump_experiment, dump_servable, parse_experiment

LEAD = timedelta(seconds=30)
"""From writing the ConfigMap to its taking effect: every annotated pod has the file by then."""

_TRIES = 5
_PATIENCE_SECONDS = 180.0


class Cluster(Protocol):
    """The few calls that are made, so that a test can stand in for an API server."""

    namespace: str

    def read_map(self) -> tuple[str, str]:
        """The ConfigMap's file and its version."""

    def write_map(self, content: str, version: str) -> bool:
        """Write the file if it still has that version; gives whether it had."""

    def pods(self) -> list[str]:
        """Names of the scoring pods that are ready and stay."""

    def annotate(self, pod: str, value: str) -> None:
        """Note the revision on a pod, whereupon its kubelet brings it the file at once and not within a minute."""

    def metrics(self, pod: str) -> str:
        """What a pod answers on its admin port."""


@dataclass(frozen=True)
class Changed:
    """A change that every ready pod follows.

    Attributes:
        experiment: The file as it is now.
        pods: Those that follow it.
        commands: How to do the same with kubectl alone.
    """

    experiment: Experiment
    pods: tuple[str, ...]
    commands: tuple[str, ...]


def read_on(cluster: Cluster) -> Experiment:
    """The experiment file of an installation.

    Raises:
        NotFound: There is no ConfigMap, or it holds no file.
        InvalidExperiment: The file cannot be read.
        Unavailable: The API server does not answer.
    """
    return parse_experiment(cluster.read_map()[0].encode())


def change_on(
    cluster: Cluster,
    change: Callable[[Experiment, datetime], Experiment],
    *,
    seconds: float = _PATIENCE_SECONDS,
    sleep: Callable[[float], None] = time.sleep,
    told: Callable[[str], object] = lambda _: None,
) -> Changed:
    """Write the next revision, and wait until every ready pod answers by it.

    Args:
        cluster: The installation.
        change: From the file as it is, and now, to the next one.
        seconds: How long to wait for the pods.
        sleep: Waits.
        told: Is told what is waited for.

    Raises:
        NotFound: There is no ConfigMap.
        InvalidExperiment: The file is bad, a pod refuses the new one, or does not carry the challenger.
        Unavailable: Somebody else changed it again and again, the API server does not answer, or a pod did not follow;
            the message says which. The file is written then: nothing is taken back.
    """
    after = write_on(cluster, change)
    _annotate(cluster, after.revision)
    told(f"revision {after.revision} is written; waiting until every pod answers by it")
    pods = _wait(cluster, after.revision, seconds, sleep)
    _check_on_trial(cluster, after, pods)
    return Changed(after, pods, _commands(cluster.namespace, after, pods))


def write_on(cluster: Cluster, change: Callable[[Experiment, datetime], Experiment]) -> Experiment:
    """Write the next revision, and wait for nobody.

    Args:
        cluster: The installation.
        change: From the file as it is, and now, to the next one.

    Raises:
        NotFound: There is no ConfigMap.
        InvalidExperiment: The file is bad, or the next one could not be served by.
        Unavailable: Somebody else changed it again and again, or the API server does not answer.
    """
    for _ in range(_TRIES):
        content, version = cluster.read_map()
        after = change(_not_below_pods(cluster, parse_experiment(content.encode())), datetime.now(UTC))
        if cluster.write_map(dump_servable(after).decode(), version):
            return after
    raise Unavailable(f"ConfigMap {CONFIGMAP} was changed by somebody else {_TRIES} times meanwhile; try again")


def _not_below_pods(cluster: Cluster, current: Experiment) -> Experiment:
    """The file, with at least the highest revision that a pod answers by.

    A ConfigMap that was deleted or replaced by an older one stands below what pods have read, and they would refuse
    what follows it: a challenger could not be stopped.
    """
    said = (_numbers(cluster.metrics(pod)).get(metric_names.EXPERIMENT_REVISION, 0) for pod in cluster.pods())
    highest = int(max(said, default=0))
    return msgspec.structs.replace(current, revision=highest) if highest > current.revision else current


def _annotate(cluster: Cluster, revision: int) -> None:
    for pod in cluster.pods():
        cluster.annotate(pod, str(revision))


def _wait(cluster: Cluster, revision: int, seconds: float, sleep: Callable[[float], None]) -> tuple[str, ...]:
    deadline = time.monotonic() + seconds
    while True:
        pods = cluster.pods()
        said = {pod: _numbers(cluster.metrics(pod)) for pod in pods}
        behind = {pod: own for pod, own in said.items() if not _follows(own, revision)}
        if pods and not behind:
            return tuple(pods)
        if time.monotonic() > deadline:
            raise _not_followed(revision, behind, seconds)
        sleep(1.0)


def _follows(said: Mapping[str, float], revision: int) -> bool:
    """Whether a pod answers by the revision or by a later one, and refuses nothing."""
    is_late_enough = said.get(metric_names.EXPERIMENT_REVISION, -1) >= revision
    return is_late_enough and said.get(metric_names.EXPERIMENT_FILE_VALID) != 0


def _check_on_trial(cluster: Cluster, after: Experiment, pods: tuple[str, ...]) -> None:
    """A pod that lacks the challenger, or leaves it out, answers by the revision and enrols nobody.

    That must not look like a trial.
    """
    if after.mode == "off" or after.challenger is None:
        return
    said = {pod: cluster.metrics(pod) for pod in pods}
    absent = [pod for pod in pods if _numbers(said[pod]).get(metric_names.EXPERIMENT_CHALLENGER_PRESENT) == 0]
    without = [pod for pod in pods if _mode(said[pod]) == "off"]
    if absent:
        why = f"{', '.join(absent)} do not carry the challenger"
        cure = "Roll out an image that holds it (gauntlet package --challenger, gauntlet image scoring)"
    elif without:
        why = f"{', '.join(without)} leave the challenger out"
        cure = f"Its blessing does not hold, or it failed, as `kubectl logs {without[0]} -c scoring` says: mend that"
    else:
        return
    raise InvalidExperiment(
        f"revision {after.revision} is written, and {why}: nobody is on trial there. {cure}, or take it back: "
        "gauntlet experiment off --on-cluster"
    )


def _not_followed(revision: int, behind: Mapping[str, Mapping[str, float]], seconds: float) -> Exception:
    if not behind:
        return Unavailable(f"revision {revision} is written, and no scoring pod was ready within {seconds:g} s")
    bad = [pod for pod, said in behind.items() if said.get(metric_names.EXPERIMENT_FILE_VALID) == 0]
    if bad:
        return InvalidExperiment(
            f"revision {revision} is written, and {', '.join(bad)} cannot follow it and keep to the last good one; "
            f"`kubectl logs {bad[0]} -c scoring` says why"
        )
    at = ", ".join(f"{pod} at {said.get(metric_names.EXPERIMENT_REVISION, 0):g}" for pod, said in behind.items())
    return Unavailable(f"revision {revision} is written, and after {seconds:g} s not every pod answers by it: {at}")


def _numbers(text: str) -> dict[str, float]:
    """Metrics without labels."""
    return {name: float(value) for name, value in re.findall(r"^(gauntlet_\w+) (\S+)$", text, re.MULTILINE)}


def _mode(text: str) -> str | None:
    """The mode that a pod is in; None where it does not say."""
    found = re.search(rf'^{metric_names.EXPERIMENT_MODE}\{{mode="(\w+)"\}} 1(?:\.0)?$', text, re.MULTILINE)
    return found and found[1]


def _commands(namespace: str, after: Experiment, pods: tuple[str, ...]) -> tuple[str, ...]:
    kubectl = f"kubectl --namespace {namespace}"
    proxy = f"/api/v1/namespaces/{namespace}/pods/{pods[0]}:{ADMIN_PORT}/proxy/metrics"
    return (
        f"{kubectl} patch configmap {CONFIGMAP} --type=merge --patch-file=/dev/stdin <<'END'\n{_patch(after)}END",
        f"{kubectl} annotate pods --selector {SCORING} --overwrite {ANNOTATION}={after.revision}",
        f"kubectl get --raw {proxy} | grep {metric_names.EXPERIMENT_REVISION}    # and so for each pod",
    )


def _patch(after: Experiment) -> str:
    """The ConfigMap's content as a person reads it: earlier phases take a line each."""
    plain = yaml.safe_load(dump_experiment(after))
    history = plain.pop("history", [])
    lines = yaml.safe_dump(plain, sort_keys=False).splitlines()
    if history:
        lines.append("history:")
        for phase in history:
            line = yaml.safe_dump(phase, sort_keys=False, default_flow_style=True, width=math.inf)
            lines.append(f"- {line.strip()}")
    return "\n".join(["data:", f"  {KEY}: |", *(f"    {line}" for line in lines)]) + "\n"


@dataclass
class ExperimentMap:
    """The ConfigMap as a place of the experiment (`service.scoring.places`): what a promotion reads and writes.

    Attributes:
        cluster: The installation.
    """

    cluster: Cluster
    _version: str = ""

    @property
    def lead(self) -> timedelta:
        """What annotated pods need."""
        return LEAD

    def read(self) -> Experiment:
        """As the API server has it."""
        content, self._version = self.cluster.read_map()
        return _not_below_pods(self.cluster, parse_experiment(content.encode()))

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nobody can be kept out; `write` notices who came between."""
        yield

    def write(self, after: Experiment) -> None:
        """In place of what was read last.

        An API server whose answer was lost is asked what stands there now: the change may have been made.
        """
        content = dump_servable(after).decode()
        try:
            is_written = self.cluster.write_map(content, self._version)
        except Unavailable:
            if self.read() != after:
                raise
            is_written = True
        if not is_written:
            raise Unavailable(f"ConfigMap {CONFIGMAP} was changed by somebody else meanwhile; try again")

    def wait(self, revision: int, seconds: float = _PATIENCE_SECONDS) -> str:
        """Note the revision on the pods, wait until every ready one answers by it, and say so.

        Raises:
            InvalidExperiment: A pod refuses the file.
            Unavailable: A pod did not follow in time.
        """
        _annotate(self.cluster, revision)
        pods = _wait(self.cluster, revision, seconds, time.sleep)
        return f"all {len(pods)} pods answer by revision {revision}"
