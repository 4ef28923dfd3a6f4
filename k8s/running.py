"""Commands run on the cluster: a Job made from its suspended CronJob, waited for, and what it said brought home.

What is done here can be done with kubectl alone, and `Ran.commands` says how.
"""

from __future__ import annotations

import copy
import json
import secrets
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from bentos.errors import Unavailable

_LOOK_SECONDS = 1.0
_LONGEST_EVENT = 1024
"""What the API server takes as an event's message."""
_STUCK_SECONDS = 60.0
"""How long a pod may be unable to start for a reason that seldom goes away by itself."""
STUCK = {
    "CreateContainerConfigError",
    "CreateContainerError",
    "ErrImageNeverPull",
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
}
"""Reasons for which a container waits that seldom go away by themselves."""


class JobCluster(Protocol):
    """The few calls that are made, so that a test can stand in for an API server."""

    namespace: str

    def cron_job(self, name: str) -> dict[str, Any]:
        """A CronJob, as JSON."""

    def create_job(self, job: dict[str, Any]) -> None:
        """Make a Job."""

    def job_status(self, name: str) -> dict[str, Any]:
        """How a Job stands."""

    def pods_of_job(self, name: str) -> list[dict[str, Any]]:
        """Its pods, the newest last."""

    def log_of(self, pod: str) -> str:
        """All that a pod said."""

    def record_event(self, job: str, message: str, *, is_warning: bool) -> None:
        """Make an event of what a Job said."""


@dataclass(frozen=True)
class Ran:
    """A Job that ended.

    Attributes:
        job: Its name.
        exit_code: Of its last pod's container.
        output: What that said.
        last_words: Its termination message.
        commands: How to do the same with kubectl alone.
    """

    job: str
    exit_code: int
    output: str
    last_words: str
    commands: tuple[str, ...]

    @property
    def why(self) -> str:
        """How it ended, for an error's message."""
        return f"{self.job} ended with exit code {self.exit_code}: {self.last_words or self.output[-2000:]}"

    def result(self) -> Mapping[str, Any]:
        """The JSON among the lines that it said: its log holds warnings of libraries too.

        Raises:
            Unavailable: There is none.
        """
        start = f"\n{self.output}".find("\n{")
        if start < 0:
            raise Unavailable(self.why)
        found: Mapping[str, Any] = json.JSONDecoder().raw_decode(self.output[start:])[0]
        return found


def run_on(
    cluster: JobCluster,
    cron: str,
    arguments: Sequence[str] | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    told: Callable[[str], object] = lambda _: None,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Ran:
    """Run a command as a Job, and wait for its end.

    Args:
        cluster: The installation.
        cron: The CronJob whose template is taken.
        arguments: In place of the template's own; None: those.
        environment: Added to the template's, or in place of variables of the same names.
        told: Is told what is waited for.
        sleep: Waits.
        clock: Seconds that never go back.

    Raises:
        NotFound: There is no such CronJob, or the Job was deleted meanwhile.
        Unavailable: The API server does not answer, the pod cannot start, or the Job ended without an exit code (its
            deadline); the message says which, and the Job is left as it is.
    """
    template = cluster.cron_job(cron)
    name = _name(arguments[0] if arguments else cron)
    job = job_of(template, name=name, arguments=arguments, environment=environment or {})
    cluster.create_job(job)
    told(f"Job {name} in {cluster.namespace}")
    status = _wait(cluster, name, told, sleep, clock)
    pods = cluster.pods_of_job(name)
    ended = _terminated(pods[-1]) if pods else None
    if ended is None:
        raise Unavailable(f"Job {name} ended without an exit code: {_why(status)}")
    _record(cluster, name, ended, told)
    return Ran(
        job=name,
        exit_code=int(ended["exitCode"]),
        output=cluster.log_of(pods[-1]["metadata"]["name"]),
        last_words=str(ended.get("message") or ""),
        commands=commands_of(cluster.namespace, cron, name, arguments),
    )


def _record(cluster: JobCluster, name: str, ended: Mapping[str, Any], told: Callable[[str], object]) -> None:
    """Let `kubectl get events` tell the verdict: Kubernetes itself says of a failed Job that it failed, and no more."""
    message = str(ended.get("message") or "")
    if not message:
        return
    try:
        cluster.record_event(name, message[:_LONGEST_EVENT], is_warning=int(ended["exitCode"]) != 0)
    except Unavailable as e:  # who may make Jobs need not be one who may make events
        told(f"no event tells this: {e}")


def job_of(
    template: Mapping[str, Any], *, name: str, arguments: Sequence[str] | None, environment: Mapping[str, str]
) -> dict[str, Any]:
    """The Job that `kubectl create job NAME --from=cronjob/CRON` makes, with other arguments and environment."""
    made = copy.deepcopy(template["spec"]["jobTemplate"])
    metadata = template["metadata"]
    owner = {"apiVersion": "batch/v1", "kind": "CronJob", "name": metadata["name"], "uid": metadata["uid"]}
    (container,) = made["spec"]["template"]["spec"]["containers"]
    if arguments is not None:
        container["args"] = list(arguments)
    kept = [variable for variable in container.get("env", []) if variable["name"] not in environment]
    container["env"] = kept + [{"name": key, "value": value} for key, value in environment.items()]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "labels": dict(made.get("metadata", {}).get("labels", {})),
            "annotations": {"cronjob.kubernetes.io/instantiate": "manual"},
            "ownerReferences": [owner],
        },
        "spec": made["spec"],
    }


def commands_of(namespace: str, cron: str, name: str, arguments: Sequence[str] | None) -> tuple[str, ...]:
    """How kubectl does the same; the audit then names the pod and not a person."""
    kubectl = f"kubectl --namespace {namespace}"
    create = f"{kubectl} create job {name} --from=cronjob/{cron}"
    if arguments is not None:
        patch = [{"op": "replace", "path": "/spec/template/spec/containers/0/args", "value": list(arguments)}]
        create = (
            f"{create} --dry-run=client -o json | kubectl patch --local -f - --type=json "
            f"--patch {shlex.quote(json.dumps(patch))} -o json | {kubectl} create -f -"
        )
    return create, f"{kubectl} logs --follow job/{name}"


def _wait(
    cluster: JobCluster,
    name: str,
    told: Callable[[str], object],
    sleep: Callable[[float], None],
    clock: Callable[[], float],
) -> dict[str, Any]:
    stuck_since: float | None = None
    said = ""
    while True:
        status = cluster.job_status(name)
        if _ending(status):
            return status
        why = _waiting(cluster.pods_of_job(name))
        if why != said:
            told(f"Job {name}: {why}")
            said = why
        stuck_since = (stuck_since or clock()) if why.partition(":")[0] in STUCK else None
        if stuck_since is not None and clock() - stuck_since > _STUCK_SECONDS:
            raise Unavailable(f"Job {name} cannot start: {why}; it is left as it is: kubectl delete job {name}")
        sleep(_LOOK_SECONDS)


def _ending(status: Mapping[str, Any]) -> str | None:
    for condition in status.get("conditions") or ():
        if condition["type"] in ("Complete", "Failed") and condition["status"] == "True":
            return str(condition["type"])
    return None


def _why(status: Mapping[str, Any]) -> str:
    failed = [c for c in status.get("conditions") or () if c["type"] == "Failed"]
    return f"{failed[0].get('reason')}: {failed[0].get('message')}" if failed else "its pod is gone"


def _waiting(pods: Sequence[Mapping[str, Any]]) -> str:
    """What the newest pod is doing, or what keeps it from starting."""
    if not pods:
        return "no pod yet"
    status = pods[-1].get("status") or {}
    for container in status.get("containerStatuses") or ():
        waiting = container["state"].get("waiting")
        if waiting:
            message = f": {waiting['message']}" if waiting.get("message") else ""
            return f"{waiting.get('reason', 'waiting')}{message}"
    for condition in status.get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return f"Unschedulable: {condition.get('message', '')}"
    return str(status.get("phase", "pending")).lower()


def _terminated(pod: Mapping[str, Any]) -> Mapping[str, Any] | None:
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    found: Mapping[str, Any] | None = statuses[0]["state"].get("terminated") if statuses else None
    return found


def _name(command: str) -> str:
    """Sorts by time, and no two at the same second are the same."""
    return f"{command}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
