"""The demo's story on a cluster: images, manifests, Jobs and the Ingress, each as a person with kubectl uses them.

A composition root like `stage`: it does the same steps, and so tells the same story with the same record.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import msgspec

from bentos.artifact import Contract
from bentos.errors import Refused, Unavailable
from bentos.folder import Folder
from bentos.packing import Packed, package
from bentos.registry import Version, open_registry
from bentos.roles import ROLES, read_roles
from k8s.experiment_map import change_on
from k8s.live import LiveCluster
from k8s.running import Ran, run_on
from service.demo.installing import Installing
from service.demo.preparing import Prepared, prepare
from service.demo.traffic import Door, experiment_of
from service.scoring.experiment import Experiment, dump_experiment, first_experiment, set_split, start_shadow
from training.train import Trained
from training.use_case import UseCase, load_use_case
from validation.gate.report import GateReport, parse_report
from validation.judge.audit import Change
from validation.judge.policy import OnlinePolicy, load_policy
from validation.judge.verdict import Verdict

T = TypeVar("T")

WHO = "gauntlet demo"
LEAD = timedelta(seconds=15)
"""From a change to its taking effect: the pods are annotated, so their kubelets bring the file at once."""
DATA = "/data/history.parquet"
"""Where the train Job finds the history: the ConfigMap `gauntlet-data` is mounted there."""
_LOOKS = 10
_SETTLE_SECONDS = 120.0
_AHEAD = "GAUNTLET_OBSERVED_AHEAD_SECONDS"


class ClusterStage:
    """One installation in one namespace, and the means to act on it.

    Attributes:
        folder: What stays on this machine: data, Bentos, reports, the overlay that was applied.
        seed: Of data, models and salts.
        contract: What is asked of every model here.
        policy: The online policy in force.
        seconds: How long each step took, in the order in which they were done.
    """

    def __init__(
        self,
        folder: Folder,
        *,
        seed: int,
        use_case: Path,
        gate_policy: Path,
        online_policy: Path,
        cluster: LiveCluster,
        installing: Installing,
        step: Callable[..., None],
        progress: Callable[[str], None],
    ) -> None:
        self.folder, self.seed = folder, seed
        self._use_case: UseCase = load_use_case(use_case)
        self._gate_policy = gate_policy
        self.contract: Contract = self._use_case.contract
        self.policy: OnlinePolicy = load_policy(online_policy)
        self._online_policy = online_policy
        self._cluster, self._installing = cluster, installing
        self._step, self._progress = step, progress
        self.seconds: list[tuple[str, float]] = []

    def install(self) -> None:
        """Build the image of the Jobs, and apply the manifests without scoring pods, of which there is no image yet.

        Raises:
            InvalidSetting: The namespace holds something that no demo left there, or another answers at the host.
            GauntletError: A part failed; the message says which and why.
        """
        installing = self._installing
        installing.check()
        with self._timed("image jobs"):
            image = installing.build("jobs", "demo", self.folder)
        self._step("image", f"{image.reference}: {image.unpacked_mb:,.0f} MB, {self._last}", f"{installing.delivered}")
        settings = {_AHEAD: str(2 * self.policy.maturity_window // 1_000_000 + 172_800)}
        with self._timed("install"):
            installing.install(policy=self._online_policy, scoring=settings)
        self._step(
            "install",
            f"namespace {self._cluster.namespace} of {installing.context}: PostgreSQL and MLflow answer, {self._last}",
            "kubectl apply -k " + str(installing.overlay),
        )

    def prepare(self, source: str | None) -> Prepared:
        """Read the data, keep a part of its customers back, and give the history to the cluster as a ConfigMap."""
        self._progress("reading the data")
        prepared = prepare(self._use_case, source, folder=self.folder, seed=self.seed)
        content = io.BytesIO()
        prepared.history.frame.to_parquet(content, index=False)
        self._installing.hand_over_data(Path(DATA).name, content.getvalue())
        return prepared

    def train(
        self, estimator: str, *, without: tuple[str, ...] = (), parameters: dict[str, int] | None = None
    ) -> Trained:
        """A Job from the CronJob `train`."""
        words = ["train", "--json", f"--data={DATA}", f"--estimator={estimator}", f"--seed={self.seed}"]
        words += [f"--without={name}" for name in without]
        words += [f"--parameter={name}={value}" for name, value in (parameters or {}).items()]
        return msgspec.convert(self._succeeded(self._run("train", words)).result(), type=Trained)

    def gate(self, candidate: Version) -> GateReport:
        """A Job from the CronJob `gate`; its exit code is the verdict."""
        rules = f"validation/policies/{self._gate_policy.name}"
        ran = self._run("gate", ["gate", candidate.uri, "--policy", rules, "--json"])
        content = json.dumps(ran.result()).encode()
        report = parse_report(content, ran.job)
        path = self.folder.reports / f"{ran.job}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return msgspec.structs.replace(report, report_path=str(path))

    def bootstrap(self, version: Version) -> None:
        """Make the first champion."""
        self._succeeded(self._run("promote", ["promote", "--bootstrap", version.uri]))

    def package(self, *, champion: Version, challenger: Version) -> Packed:
        """Pack both into one Bento on this machine, as CI does, from the cluster's registry."""
        self._progress("building the Bento")
        with self._timed("package"), self._installing.registry() as tracking:
            registry = open_registry(self.folder, tracking)
            return package(
                registry,
                champion=registry.resolve(champion.uri),
                challengers=[registry.resolve(challenger.uri)],
                folder=self.folder,
                now=_now(),
            )

    @contextmanager
    def serving(self, *, insight: bool = False) -> Iterator[Door]:
        """Roll the packed Bento out, and give the way in through the Ingress; it goes on serving afterwards.

        Args:
            insight: Read nowhere: what explains on a cluster is the overlay's to say.
        """
        del insight
        installing = self._installing
        roles = read_roles(self.folder.bento / "src" / ROLES)
        tag = self.folder.bento.resolve().name
        for kind in ("scoring", "insight"):
            with self._timed(f"image {kind}"):
                image = installing.build(kind, tag, self.folder)
            self._step("image", f"{image.reference}: {image.unpacked_mb:,.0f} MB, {self._last}")
        with self._timed("roll out"):
            with suppress(Refused):  # there is one, and it is never reset
                self._cluster.create_map(dump_experiment(first_experiment(roles.champion.digest, now=_now())).decode())
            replicas = installing.roll_out(tag)
            door = self._await_door()
        self._step("serve", f"{replicas} replicas are ready behind the Ingress {door}, {self._last}")
        yield door

    def shadow(self, door: Door, challenger: Version, *, salt: str) -> None:
        """Put a challenger in the shadow, and wait until every pod says so."""
        self._switch(door, lambda old, now: start_shadow(old, challenger.digest, now=now, salt=salt, lead=LEAD))

    def split(self, door: Door, share: float) -> None:
        """Give the challenger a share of customers, and wait until every pod says so."""
        self._switch(door, lambda old, now: set_split(old, share, now=now, lead=LEAD))

    def look(self, *, told: int) -> Verdict:
        """Judge as of the day on which everybody asked so far has matured.

        Args:
            told: How many truths were told: shippers bring them to the store within a second or two, and as long as
                not all are there it is looked again.
        """
        for _ in range(_LOOKS):
            ran = self._succeeded(self._run("promote", ["verdict", "--json", "--as-of", self._matured_by()]))
            verdict = msgspec.convert(ran.result(), type=Verdict)
            if told == 0 or (verdict.evidence and verdict.evidence.matured >= told):
                return verdict
        raise Unavailable(f"of {told} truths that were told not all came to the store in {_LOOKS} looks")

    def promote(self, door: Door) -> Change:
        """Carry out a verdict of PROMOTE."""
        return self._carry_out("promote", door)

    def rollback(self, door: Door) -> Change:
        """Carry out a verdict of ROLLBACK."""
        return self._carry_out("rollback", door)

    def close(self) -> None:
        """The installation stays."""

    @property
    def _last(self) -> str:
        return f"{self.seconds[-1][1]:.0f} s"

    def _carry_out(self, command: str, door: Door) -> Change:
        ran = self._succeeded(self._run(command, [command, "--json", "--as-of", self._matured_by()]))
        change = msgspec.convert(ran.result(), type=Change)
        self._await_revision(door, change.revision_after or 0)
        return change

    def _switch(self, door: Door, change: Callable[[Experiment, datetime], Experiment]) -> None:
        self._progress("every replica switches at one instant")
        changed = change_on(self._cluster, change, told=self._progress)
        self._await_revision(door, changed.experiment.revision)

    def _await_door(self) -> Door:
        door = self._installing.door()
        _wait(lambda: _answers(door), f"nobody answers at {door.url} for {door}; --ingress names where the Ingress is")
        return door

    def _await_revision(self, door: Door, revision: int) -> None:
        _wait(lambda: experiment_of(door)["revision"] >= revision, f"the service did not take up revision {revision}")

    def _run(self, cron: str, words: Sequence[str]) -> Ran:
        with self._timed(words[0]):
            return run_on(self._cluster, cron, words, environment={"GAUNTLET_WHO": WHO}, told=self._progress)

    def _succeeded(self, ran: Ran) -> Ran:
        if ran.exit_code:
            raise Unavailable(ran.why)
        return ran

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.seconds.append((name, round(time.monotonic() - began, 1)))

    def _matured_by(self) -> str:
        return (_now() + timedelta(microseconds=self.policy.maturity_window) + timedelta(days=1)).isoformat()


def _answers(door: Door) -> bool:
    try:
        return bool(experiment_of(door))
    except (Unavailable, OSError):
        return False


def _wait(look: Callable[[], bool], otherwise: str) -> None:
    until = time.monotonic() + _SETTLE_SECONDS
    while not look():
        if time.monotonic() > until:
            raise Unavailable(f"{otherwise} within {_SETTLE_SECONDS:g} s")
        time.sleep(0.5)


def _now() -> datetime:
    return datetime.now(UTC)
