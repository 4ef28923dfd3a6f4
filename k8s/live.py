"""The API server: the few calls that are made of it, and its refusals in our own words."""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from bentos.errors import InvalidSetting, NotFound, Refused, Unavailable

CONFIGMAP, KEY = "gauntlet-experiment", "experiment.yaml"
SCORING = "app.kubernetes.io/name=gauntlet,app.kubernetes.io/component=scoring"
ANNOTATION = "gauntlet.dev/experiment-revision"
ADMIN_PORT = 3001

_AS = ("as", "as-groups", "as-uid", "as-user-extra")
_SECONDS = 15
_METRICS_SECONDS = 5
_LOG_SECONDS = 60
_OK, _NOT_FOUND, _CONFLICT = 200, 404, 409
_TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


@dataclass
class LiveCluster:
    """The cluster of the current kubeconfig context, or the one in which this runs.

    Attributes:
        namespace: Of the installation.
        api: Of pods and ConfigMaps.
        batch: Of Jobs.
        is_inside: Whether this runs in a pod of it, from which other pods are reached by their addresses.
    """

    namespace: str
    api: Any
    batch: Any = None
    is_inside: bool = False
    _addresses: dict[str, str] = field(default_factory=dict)

    def read_map(self) -> tuple[str, str]:
        """As the API server has it."""
        with _asking() as answer:
            found = self.api.read_namespaced_config_map(CONFIGMAP, self.namespace, _request_timeout=_SECONDS)
        if answer.status == _NOT_FOUND:
            raise NotFound(
                f"{self.namespace} has no ConfigMap {CONFIGMAP}; make it: gauntlet experiment begin --on-cluster"
            )
        content = (found.data or {}).get(KEY)
        if content is None:
            raise NotFound(f"ConfigMap {CONFIGMAP} in {self.namespace} has no {KEY}")
        return content, found.metadata.resource_version

    def create_map(self, content: str) -> None:
        """Make the experiment's ConfigMap, as `kubectl create -k k8s/experiment` does.

        Raises:
            Refused: There is one.
        """
        labels = {"app.kubernetes.io/name": "gauntlet"}
        body = {"metadata": {"name": CONFIGMAP, "labels": labels}, "data": {KEY: content}}
        with _asking() as answer:
            self.api.create_namespaced_config_map(self.namespace, body, _request_timeout=_SECONDS)
        if answer.status == _CONFLICT:
            raise Refused(f"ConfigMap {CONFIGMAP} is in {self.namespace} already, and is never reset")
        if answer.status == _NOT_FOUND:
            raise NotFound(f"there is no namespace {self.namespace}; apply an overlay first")

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
        self._addresses = {
            pod.metadata.name: pod.status.pod_ip
            for pod in found.items
            if pod.metadata.deletion_timestamp is None
            and any(one.type == "Ready" and one.status == "True" for one in pod.status.conditions or ())
        }
        return sorted(self._addresses)

    def annotate(self, pod: str, value: str) -> None:
        """One that is gone by now needs no file."""
        patch = {"metadata": {"annotations": {ANNOTATION: value}}}
        with _asking():
            self.api.patch_namespaced_pod(pod, self.namespace, patch, _request_timeout=_SECONDS)

    def metrics(self, pod: str) -> str:
        """Nothing where the pod does not answer.

        From outside it goes through the API server, as nothing else leads to the admin port. A pod that asks would need
        the right to reach every port of every pod that way, so it asks the pod itself.
        """
        if self.is_inside:
            return _metrics_at(self._addresses.get(pod))
        try:
            with _asking():
                found = self.api.connect_get_namespaced_pod_proxy_with_path(
                    f"{pod}:{ADMIN_PORT}", self.namespace, "metrics", _request_timeout=_SECONDS
                )
                return str(found)
        except Unavailable:
            return ""
        return ""

    def cron_job(self, name: str) -> dict[str, Any]:
        """A CronJob, as JSON.

        Raises:
            NotFound: There is none.
        """
        with _asking() as answer:
            found = self.batch.read_namespaced_cron_job(name, self.namespace, _request_timeout=_SECONDS)
        if answer.status == _NOT_FOUND:
            raise NotFound(
                f"{self.namespace} has no CronJob {name}; apply an overlay first: kubectl apply -k k8s/overlays/local"
            )
        return self._plain(found)

    def create_job(self, job: dict[str, Any]) -> None:
        """Make a Job."""
        with _asking() as answer:
            self.batch.create_namespaced_job(self.namespace, job, _request_timeout=_SECONDS)
        if answer.status != _OK:
            raise Unavailable(f"Job {job['metadata']['name']} cannot be made: the API server answered {answer.status}")

    def job_status(self, name: str) -> dict[str, Any]:
        """How a Job stands, as JSON.

        Raises:
            NotFound: It is gone.
        """
        with _asking() as answer:
            found = self.batch.read_namespaced_job(name, self.namespace, _request_timeout=_SECONDS)
        if answer.status == _NOT_FOUND:
            raise NotFound(f"Job {name} was deleted meanwhile")
        return dict(self._plain(found).get("status") or {})

    def pods_of_job(self, name: str) -> list[dict[str, Any]]:
        """A Job's pods as JSON, the newest last."""
        with _asking():
            found = self.api.list_namespaced_pod(
                self.namespace, label_selector=f"job-name={name}", _request_timeout=_SECONDS
            )
        pods = [self._plain(pod) for pod in found.items]
        return sorted(pods, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))

    def log_of(self, pod: str) -> str:
        """All that a pod's only container said."""
        with _asking():
            raw = self.api.read_namespaced_pod_log(
                pod, self.namespace, _request_timeout=_LOG_SECONDS, _preload_content=False
            )
            return str(raw.data.decode())
        return ""

    def record_event(self, job: str, message: str, *, is_warning: bool) -> None:
        """Make an event of what a Job said."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        with _asking() as found:
            uid = self.batch.read_namespaced_job(job, self.namespace, _request_timeout=_SECONDS).metadata.uid
        if found.status != _OK:
            return  # it is gone by now, and with it what an event would be about
        about = {"apiVersion": "batch/v1", "kind": "Job", "name": job, "namespace": self.namespace, "uid": uid}
        event = {
            "metadata": {"generateName": f"{job}-", "namespace": self.namespace},
            "involvedObject": about,
            "reason": "Failed" if is_warning else "Passed",
            "type": "Warning" if is_warning else "Normal",
            "message": message,
            "source": {"component": "gauntlet"},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        with _asking() as answer:
            self.api.create_namespaced_event(self.namespace, event, _request_timeout=_SECONDS)
        if answer.status != _OK:
            raise Unavailable(f"the API server answered {answer.status}")

    def _plain(self, found: Any) -> dict[str, Any]:
        plain: dict[str, Any] = self.api.api_client.sanitize_for_serialization(found)
        return plain


def _metrics_at(address: str | None) -> str:
    try:
        # No proxy: pods are reached as they are.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://{address}:{ADMIN_PORT}/metrics", timeout=_METRICS_SECONDS) as answer:
            return str(answer.read().decode())
    except OSError:
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
            raise Unavailable(f"the API server answered {e.status}: {_said(e.body) or e.reason}") from e
    except HTTPError as e:
        raise Unavailable(f"the API server does not answer: {_why(e)}") from e


def _check_user(config: Any) -> None:
    """Refuse a user with `as`: what is done would be done with all of the real user's rights."""
    places = config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION  # KUBECONFIG as it was when the client was imported
    files = [path for place in places.split(os.pathsep) if (path := Path(place).expanduser()).is_file()]
    if not files:
        return  # which is told when it is loaded
    _, context = config.list_kube_config_contexts(places)
    name = context["context"].get("user")
    for file in files:
        for user in yaml.safe_load(file.read_bytes()).get("users") or ():
            if user["name"] == name and set(user.get("user") or {}) & set(_AS):
                raise InvalidSetting(
                    f"the kubeconfig's user {name} acts as somebody else (`as`), which Kubernetes's client for Python "
                    "does not do: use a kubeconfig with that user's own credentials"
                )


def _said(body: object) -> str:
    """What the API server says of a refusal: who may not do what with which object."""
    try:
        told = json.loads(body) if isinstance(body, str | bytes) else {}
    except ValueError:
        return ""
    return str(told.get("message", "")) if isinstance(told, dict) else ""


def _why(error: Exception) -> str:
    """Where was asked and what went wrong, which the client wraps into `max retries exceeded`."""
    reason = getattr(error, "reason", None) or error
    pool = getattr(error, "pool", None)
    where = f"{pool.host}:{pool.port}: " if pool is not None else ""
    return f"{where}{' '.join(str(reason).split())[:300]}"


def current_cluster(namespace: str) -> LiveCluster:
    """The cluster of the current kubeconfig context, or of the pod that this runs in.

    Raises:
        InvalidSetting: The kubeconfig's user acts as somebody else, which Kubernetes's client for Python would ignore.
        Unavailable: There is no kubeconfig, or it names no cluster.
    """
    from kubernetes import client, config

    is_inside = _TOKEN.exists() and "KUBECONFIG" not in os.environ
    try:
        if is_inside:
            config.load_incluster_config()  # type: ignore[no-untyped-call]
        else:
            _check_user(config)
            config.load_config()  # type: ignore[no-untyped-call]
    except (config.ConfigException, yaml.YAMLError, OSError, TypeError, ValueError, AttributeError) as e:
        why = " ".join(str(e).split())
        raise Unavailable(f"no cluster: {why}; KUBECONFIG names the file that leads to one") from e
    return LiveCluster(namespace, client.CoreV1Api(), client.BatchV1Api(), is_inside=is_inside)
