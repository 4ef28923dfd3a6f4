"""What the cluster tests stand on: kubectl in one namespace, images by content, HTTP to a pod or the Ingress."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

from k8s.kubectl import Kubectl

T = TypeVar("T")

Step = Callable[[str], AbstractContextManager[None]]
"""Times what is done inside it, under that name."""

ROOT = Path(__file__).parents[2]
LENT = ("/etc/ssl/certs", "/usr/local/share/ca-certificates", "/etc/pip.conf", "/etc/uv")
"""What tells pip and uv on this machine where their registries are: a build sees it, and the image does not hold it."""

MACHINE, REGISTRY = "GAUNTLET_CLUSTER_MACHINE", "GAUNTLET_CLUSTER_REGISTRY"
"""Where this machine is not the cluster's node, the program says as whom the node knows it: its address, and where an
image registry must listen here (HOST:PORT) to be taken without HTTPS."""

_open = build_opener(ProxyHandler({})).open  # what is asked here is on this machine, whatever proxy it uses


class CommandFailed(AssertionError):
    """A command ended otherwise than it should; the message holds all that it said."""


def run(
    *command: str | Path,
    given: str | None = None,
    env: Mapping[str, str] | None = None,
    may_fail: bool = False,
    errors: list[str] | None = None,
) -> str:
    """Run a command and return what it printed; what it said on stderr is added to `errors`.

    Raises:
        CommandFailed: It failed, and may not.
    """
    done = subprocess.run(
        [str(part) for part in command], input=given, env=env, cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode and not may_fail:
        line = " ".join(str(part) for part in command)
        raise CommandFailed(f"{line}\nexit code {done.returncode}\n{done.stdout[-8000:]}\n{done.stderr[-8000:]}")
    if errors is not None:
        errors.append(done.stderr)
    return done.stdout


class TestCluster:
    """The program that makes this machine a cluster and builds images without a registry: GAUNTLET_CLUSTER names it."""

    __test__ = False

    def __init__(self, program: Path) -> None:
        self.program = program

    def up(self) -> None:
        """Bring it up; at once if it is, and with the base images that the Dockerfiles begin from."""
        run(self.program, "up")
        run(self.program, "base-images")

    def environment(self) -> dict[str, str]:
        """The environment in which kubectl finds it, with whatever else the program says of it."""
        exports = dict(re.findall(r"(\w+)=(\S+)", run(self.program, "env")))
        path = exports["PATH"].replace("$PATH", os.environ["PATH"])
        return {**os.environ, **exports, "PATH": path}

    def build(self, kind: str, content: str, home: Path) -> str:
        """Have an image by `gauntlet image` in the cluster, under a tag made of its content. Returns the tag."""
        name, tag = f"docker.io/library/gauntlet-{kind}", content[:12]
        if f"{name}:{tag}" not in self._images():
            with tempfile.TemporaryDirectory(dir="/var/tmp") as place:
                archive = Path(place) / "image.tar"
                command = [sys.executable, "gauntlet.py", "image", kind, "--tag", f"{name}:{tag}", "--folder", home]
                environment = {**os.environ, "BUILDAH_ISOLATION": "chroot"}
                run(*command, "--engine", "buildah", "--archive", archive, "--", *lent(), env=environment)
                run(self.program, "load", archive)
        return tag

    def build_plain(self, name: str, content: str, dockerfile: Path, context: Path) -> str:
        """Have an image by its Dockerfile alone in the cluster, under a tag made of its content. Returns the tag."""
        tag = content[:12]
        if f"docker.io/library/{name}:{tag}" not in self._images():
            run(self.program, "build-image", context, "-f", dockerfile, "-t", f"{name}:{tag}", "--load")
        return tag

    def tag(self, name: str, also: str) -> None:
        """Give an image of the cluster another tag, if nothing has it yet."""
        library = "docker.io/library"
        if f"{library}/{also}" not in self._images():
            run(self.program, "ctr", "images", "tag", f"{library}/{name}", f"{library}/{also}")

    def kill_container(self, container: str) -> None:
        """SIGKILL for a container's first process, which it cannot send itself."""
        run(self.program, "ctr", "tasks", "kill", "--signal", "SIGKILL", container)

    def remove(self, name: str, tag: str) -> None:
        """Take an image out of the cluster again, by tag and by digest."""
        named = f"docker.io/library/{name}:{tag}"
        digest = run(self.program, "ctr", "images", "list", f"name=={named}").split("sha256:")[-1][:64]
        pinned = f"docker.io/library/{name}@sha256:{digest}"
        run(self.program, "ctr", "images", "remove", named, pinned, may_fail=True)

    def kill(self, container: str) -> None:
        """Send SIGKILL to a container's first process, as the kernel does when memory is short."""
        run(self.program, "ctr", "tasks", "kill", "--signal", "SIGKILL", container)

    def _images(self) -> list[str]:
        return run(self.program, "ctr", "images", "list", "--quiet").split()


def lent() -> Iterator[str]:
    """Options of a build that lend it this machine's settings."""
    for path in map(Path, LENT):
        if path.exists():
            yield f"--volume={path}:{path}:{'O' if path.is_dir() else 'ro'}"


def digest_of(folder: Path, *others: Path) -> str:
    """A digest of every file's place and content."""
    total = hashlib.sha256()
    for path in [*sorted(p for p in folder.rglob("*") if p.is_file()), *others]:
        name = path.relative_to(folder) if path.is_relative_to(folder) else path.name
        total.update(f"{name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()


@dataclass(frozen=True)
class Kube:
    """kubectl in one namespace, which is the test's own."""

    namespace: str
    environment: Mapping[str, str]

    def __call__(
        self,
        *arguments: str | Path,
        given: str | None = None,
        may_fail: bool = False,
        errors: list[str] | None = None,
    ) -> str:
        """Run kubectl and return what it printed; what it said on stderr is added to `errors`."""
        return run(*self._command(*arguments), given=given, env=self.environment, may_fail=may_fail, errors=errors)

    def read(self, *arguments: str) -> Any:
        """What `kubectl get ... -o json` says."""
        return json.loads(self("get", *arguments, "-o", "json"))

    def pods(self, component: str) -> dict[str, str]:
        """Ready pods of a component that are not being deleted: their names and addresses."""
        chosen = f"app.kubernetes.io/name=gauntlet,app.kubernetes.io/component={component}"
        return {
            pod["metadata"]["name"]: pod["status"]["podIP"]
            for pod in self.read("pods", "-l", chosen)["items"]
            if "deletionTimestamp" not in pod["metadata"] and has_condition(pod["status"], "Ready")
        }

    def admit_machine(self) -> None:
        """Let this machine ask pods by address where it is not the node, whose own traffic no policy filters."""
        machine = self.environment.get(MACHINE)
        if machine is None:
            return
        peers = [{"ipBlock": {"cidr": f"{machine}/32"}}]
        policy = {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": "machine-of-the-tests"},
            "spec": {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"from": peers}]},
        }
        self("apply", "-f", "-", given=json.dumps(policy))

    def start_job(self, name: str, cron: str, **environment: str) -> None:
        """Make a Job from a suspended CronJob, with other values of its environment."""
        job = self("create", "job", name, f"--from=cronjob/{cron}", "--dry-run=client", "-o", "yaml")
        if environment:
            pairs = [f"{key}={value}" for key, value in environment.items()]
            job = self("set", "env", "--local", "-f", "-", *pairs, "-o", "yaml", given=job)
        self("create", "-f", "-", given=job)

    def run_job(self, name: str, cron: str, *, seconds: float = 600, **environment: str) -> bool:
        """Make a Job as `start_job` does. Returns whether it completed."""
        self.start_job(name, cron, **environment)
        return self.completes(name, seconds=seconds)

    def completes(self, name: str, *, seconds: float = 600) -> bool:
        """Wait for a Job's end. Returns whether it completed."""
        status = wait_for(
            lambda: self._finished(name), f"job {name} neither completed nor failed in {seconds:g} s", seconds=seconds
        )
        return status == "Complete"

    def exit_code(self, job: str) -> int:
        """The exit code of a Job's only container."""
        (pod,) = self.read("pods", "-l", f"job-name={job}")["items"]
        (container,) = pod["status"]["containerStatuses"]
        return int(container["state"]["terminated"]["exitCode"])

    def forward(self, target: str, port: int) -> AbstractContextManager[str]:
        """Forward a free port of 127.0.0.1 to a Service. Gives its URL."""
        return Kubectl(self.namespace, dict(self.environment)).forward(target, port)

    def describe(self) -> str:
        """What someone needs to see who reads of a failure: objects, events, and every pod's last lines."""
        parts = [
            self("get", "pods,jobs,ingress,pvc", "-o", "wide", may_fail=True),
            self("get", "events", "--sort-by=.lastTimestamp", may_fail=True),
        ]
        for name in self("get", "pods", "-o", "name", may_fail=True).split():
            logs = self("logs", name, "--all-containers", "--tail=60", may_fail=True)
            parts.append(f"--- logs of {name}\n{logs}")
        return "\n".join(parts)

    def _finished(self, job: str) -> str | None:
        status = self.read("job", job)["status"]
        return next((end for end in ("Complete", "Failed") if has_condition(status, end)), None)

    def _command(self, *arguments: str | Path) -> list[str]:
        # Found by hand: Popen would look for it on this process's PATH, not on the one that is handed over.
        kubectl = shutil.which("kubectl", path=self.environment["PATH"]) or "kubectl"
        return [kubectl, "--namespace", self.namespace, *(str(argument) for argument in arguments)]


def has_condition(status: Mapping[str, Any], kind: str) -> bool:
    return any(c["type"] == kind and c["status"] == "True" for c in status.get("conditions", []))


def wait_for(look: Callable[[], T | None], otherwise: str, *, seconds: float = 120) -> T:
    """Look again and again until there is something to see.

    Raises:
        CommandFailed: There was nothing in all that time; it says `otherwise`.
    """
    deadline = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > deadline:
            raise CommandFailed(otherwise)
        time.sleep(0.5)
    return found


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int
    text: str

    def json(self) -> Any:
        """Its body, decoded."""
        return json.loads(self.text)


def ask(url: str, body: Any = None, *, host: str | None = None, key: str | None = None, seconds: float = 10) -> Answer:
    """GET a URL, or POST a body to it as JSON, with an API key where one is given; every status is an answer."""
    headers = {"content-type": "application/json", **({"host": host} if host else {})}
    if key is not None:
        headers["authorization"] = f"Bearer {key}"
    data = None if body is None else json.dumps(body).encode()
    request = Request(url, data=data, headers=headers)
    try:
        with _open(request, timeout=seconds) as response:
            return Answer(response.status, response.read().decode())
    except HTTPError as e:
        return Answer(e.code, e.read().decode())
