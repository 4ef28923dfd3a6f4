"""The experiment on a cluster: its ConfigMap changed as the file is on one machine, and every pod waited for.

What is done here can be done with kubectl alone, and `Changed.commands` says how. The file is written with the version
that was read, so that of two changes at once one is tried again on top of the other.
"""

from __future__ import annotations

import json
import re
import shlex
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import yaml

from bentos.errors import InvalidExperiment, NotFound, Unavailable
from service import metric_names
from service.scoring.experiment import Experiment, dump_experiment, parse_experiment

CONFIGMAP, KEY = "gauntlet-experiment", "experiment.yaml"
SCORING = "app.kubernetes.io/name=gauntlet,app.kubernetes.io/component=scoring"
ANNOTATION = "gauntlet.dev/experiment-revision"
ADMIN_PORT = 3001

LEAD = timedelta(seconds=30)
"""From writing the ConfigMap to its taking effect: every annotated pod has the file by then."""

_TRIES = 5
_SECONDS = 15
_NOT_FOUND, _CONFLICT = 404, 409


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
    seconds: float = 180.0,
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
        InvalidExperiment: The file is bad, or a pod refuses the new one.
        Unavailable: Somebody else changed it again and again, the API server does not answer, or a pod did not follow;
            the message says which. The file is written then: nothing is taken back.
    """
    after = _write(cluster, change)
    for pod in cluster.pods():
        cluster.annotate(pod, str(after.revision))
    told(f"revision {after.revision} is written; waiting until every pod answers by it")
    pods = _wait(cluster, after.revision, seconds, sleep)
    return Changed(after, pods, _commands(cluster.namespace, after, pods))


def _write(cluster: Cluster, change: Callable[[Experiment, datetime], Experiment]) -> Experiment:
    for _ in range(_TRIES):
        content, version = cluster.read_map()
        after = change(parse_experiment(content.encode()), datetime.now(UTC))
        if cluster.write_map(dump_experiment(after).decode(), version):
            return after
    raise Unavailable(f"ConfigMap {CONFIGMAP} was changed by somebody else {_TRIES} times meanwhile; try again")


def _wait(cluster: Cluster, revision: int, seconds: float, sleep: Callable[[float], None]) -> tuple[str, ...]:
    deadline = time.monotonic() + seconds
    while True:
        pods = cluster.pods()
        said = {pod: _numbers(cluster.metrics(pod)) for pod in pods}
        behind = {pod: own for pod, own in said.items() if own.get(metric_names.EXPERIMENT_REVISION, -1) < revision}
        if pods and not behind:
            return tuple(pods)
        if time.monotonic() > deadline:
            raise _not_followed(revision, behind, seconds)
        sleep(1.0)


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


def _commands(namespace: str, after: Experiment, pods: tuple[str, ...]) -> tuple[str, ...]:
    kubectl = f"kubectl --namespace {namespace}"
    patch = json.dumps({"data": {KEY: dump_experiment(after).decode()}})
    proxy = f"/api/v1/namespaces/{namespace}/pods/{pods[0]}:{ADMIN_PORT}/proxy/metrics"
    return (
        f"{kubectl} patch configmap {CONFIGMAP} --type=merge --patch {shlex.quote(patch)}",
        f"{kubectl} annotate pods --selector {SCORING} --overwrite {ANNOTATION}={after.revision}",
        f"kubectl get --raw {proxy} | grep {metric_names.EXPERIMENT_REVISION}    # and so for each pod",
    )


@dataclass
class LiveCluster:
    """The cluster of the current kubeconfig context."""

    namespace: str
    api: Any

    def read_map(self) -> tuple[str, str]:
        """As the API server has it."""
        with _asking() as answer:
            found = self.api.read_namespaced_config_map(CONFIGMAP, self.namespace, _request_timeout=_SECONDS)
        if answer.status == _NOT_FOUND:
            raise NotFound(f"{self.namespace} has no ConfigMap {CONFIGMAP}; make it: kubectl create -k k8s/experiment")
        content = (found.data or {}).get(KEY)
        if content is None:
            raise NotFound(f"ConfigMap {CONFIGMAP} in {self.namespace} has no {KEY}")
        return content, found.metadata.resource_version

    def write_map(self, content: str, version: str) -> bool:
        """A patch that names the version, which the API server refuses where it is another by now."""
        patch = {"metadata": {"resourceVersion": version}, "data": {KEY: content}}
        with _asking() as answer:
            self.api.patch_namespaced_config_map(CONFIGMAP, self.namespace, patch, _request_timeout=_SECONDS)
        if answer.status == _NOT_FOUND:
            raise NotFound(f"ConfigMap {CONFIGMAP} in {self.namespace} was deleted meanwhile")
        return answer.status != _CONFLICT

    def pods(self) -> list[str]:
        """Ready ones that are not being deleted."""
        with _asking():
            found = self.api.list_namespaced_pod(self.namespace, label_selector=SCORING, _request_timeout=_SECONDS)
        return sorted(
            pod.metadata.name
            for pod in found.items
            if pod.metadata.deletion_timestamp is None
            and any(one.type == "Ready" and one.status == "True" for one in pod.status.conditions or ())
        )

    def annotate(self, pod: str, value: str) -> None:
        """One that is gone by now needs no file."""
        patch = {"metadata": {"annotations": {ANNOTATION: value}}}
        with _asking():
            self.api.patch_namespaced_pod(pod, self.namespace, patch, _request_timeout=_SECONDS)

    def metrics(self, pod: str) -> str:
        """Through the API server, as nothing else leads to the admin port; nothing where the pod does not answer."""
        try:
            with _asking():
                found = self.api.connect_get_namespaced_pod_proxy_with_path(
                    f"{pod}:{ADMIN_PORT}", self.namespace, "metrics", _request_timeout=_SECONDS
                )
                return str(found)
        except Unavailable:
            return ""
        return ""


@dataclass
class _Answer:
    """The status of what the API server refused; 200 where it did not."""

    status: int = 200


@contextmanager
def _asking() -> Iterator[_Answer]:
    """Ask the API server; a thing that is not there or was changed meanwhile is an answer, all else is an error.

    Raises:
        Unavailable: It does not answer, or does not allow it.
    """
    from kubernetes.client import ApiException
    from urllib3.exceptions import HTTPError

    answer = _Answer()
    try:
        yield answer
    except ApiException as e:
        answer.status = e.status
        if e.status not in (_NOT_FOUND, _CONFLICT):
            raise Unavailable(f"the API server answered {e.status}: {e.reason}") from e
    except HTTPError as e:
        raise Unavailable(f"the API server does not answer: {type(e).__name__}") from e


def current_cluster(namespace: str) -> LiveCluster:
    """The cluster of the current kubeconfig context, or of the pod that this runs in.

    Raises:
        Unavailable: There is no kubeconfig, or it names no cluster.
    """
    from kubernetes import client, config

    try:
        config.load_config()  # type: ignore[no-untyped-call]
    except (config.ConfigException, yaml.YAMLError, OSError) as e:
        why = " ".join(str(e).split())
        raise Unavailable(f"no cluster: {why}; KUBECONFIG names the file that leads to one") from e
    return LiveCluster(namespace, client.CoreV1Api())
