"""Where the demo's planes meet: every step of the story, done by the same functions that the command line calls.

The one module outside `gauntlet.py` that imports all planes: a composition root.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bentos.artifact import Contract
from bentos.errors import InvalidSetting, Unavailable
from bentos.folder import Folder
from bentos.packing import Packed, package
from bentos.registry import Registry, Version, open_registry
from service.demo.preparing import Prepared, prepare
from service.demo.traffic import Door, experiment_of
from service.scoring.experiment import Experiment, read_experiment, set_split, start_shadow, write_experiment
from service.store import Store, open_store
from service.supervisor import serving
from training.data import Data
from training.train import Trained, TrainRequest, train_on
from training.use_case import UseCase, load_use_case
from validation.gate.report import GateReport
from validation.gate.run import run_gate
from validation.judge.audit import Change
from validation.judge.looking import look
from validation.judge.policy import OnlinePolicy, load_policy
from validation.judge.promotion import bootstrap_champion, promote, rollback
from validation.judge.verdict import Verdict

WHO = "gauntlet demo"
_SETTLE_SECONDS = 20.0


class Stage:
    """One installation in one folder, and the means to act on it.

    Attributes:
        folder: The installation.
        seed: Of data, models and salts.
        contract: What is asked of every model here.
        policy: The online policy in force.
    """

    def __init__(
        self,
        folder: Folder,
        *,
        seed: int,
        port: int,
        use_case: Path,
        gate_policy: Path,
        online_policy: Path,
        progress: Callable[[str], None],
    ) -> None:
        self.folder, self.seed = folder, seed
        self._port, self._gate_policy, self._progress = port, gate_policy, progress
        self._use_case: UseCase = load_use_case(use_case)
        self._use_case_file = use_case
        self.contract: Contract = self._use_case.contract
        shutil.copyfile(online_policy, folder.policy)
        self.policy: OnlinePolicy = load_policy(folder.policy)
        self._registry: Registry = open_registry(folder)
        self._store: Store = open_store(folder.store_url)
        self._data: Data | None = None

    def prepare(self, source: str | None) -> Prepared:
        """Read the data, and keep a part of its customers back as live traffic."""
        self._progress("reading the data")
        prepared = prepare(self._use_case, source, folder=self.folder, seed=self.seed)
        self._data = prepared.history
        return prepared

    def train(
        self, estimator: str, *, without: tuple[str, ...] = (), parameters: dict[str, int] | None = None
    ) -> Trained:
        """Train on the history, as `gauntlet train` does."""
        if self._data is None:
            raise InvalidSetting("prepare the data before training")
        request = TrainRequest(
            use_case=self._use_case_file,
            estimator=estimator,
            parameters=parameters or {},
            without=without,
            seed=self.seed,
        )
        return train_on(self._data, self._use_case, request, registry=self._registry, progress=self._progress)

    def gate(self, candidate: Version) -> GateReport:
        """Judge a candidate against the reigning champion, as `gauntlet gate` does."""
        return run_gate(
            candidate.uri,
            against=None,
            policy_path=self._gate_policy,
            registry=self._registry,
            folder=self.folder,
            now=_now(),
            progress=self._progress,
        )

    def bootstrap(self, version: Version) -> Change:
        """Make the first champion."""
        return bootstrap_champion(
            self._registry, self._registry.resolve(version.uri), store=self._store, who=WHO, now=_now()
        )

    def package(self, *, champion: Version, challenger: Version) -> Packed:
        """Pack both into one Bento, as `gauntlet package` does."""
        self._progress("building the Bento")
        return package(
            self._registry,
            champion=self._registry.resolve(champion.uri),
            challengers=[self._registry.resolve(challenger.uri)],
            folder=self.folder,
            now=_now(),
        )

    @contextmanager
    def serving(self, *, insight: bool = False) -> Iterator[Door]:
        """Serve the packed Bento with shipper and judge, as `gauntlet serve` does; gives the URL.

        Args:
            insight: Start insight too, as `gauntlet serve --insight` does.
        """
        self._progress("starting the service")
        told_ahead = {"GAUNTLET_OBSERVED_AHEAD_SECONDS": str(2 * self.policy.maturity_window // 1_000_000 + 172_800)}
        started = {"port": self._port, "policy": self.folder.policy, "scoring": told_ahead, "insight": insight}
        with serving(self.folder, **started) as url:
            yield Door(url)

    def shadow(self, door: Door, challenger: Version, *, salt: str) -> None:
        """Put a challenger in the shadow, and wait until the service says so."""
        self._switch(door, lambda old: start_shadow(old, challenger.digest, now=_now(), salt=salt, lead=timedelta(0)))

    def split(self, door: Door, share: float) -> None:
        """Give the challenger a share of customers, and wait until the service says so."""
        self._switch(door, lambda old: set_split(old, share, now=_now(), lead=timedelta(0)))

    def look(self, *, told: int) -> Verdict:
        """Judge the experiment as of the day on which everybody asked so far has matured.

        Args:
            told: How many truths were told. What lies in the spools is shipped first, so that they are all seen.
        """
        del told
        return look(
            self.folder, store=self._store, policy_path=self.folder.policy, as_of=self._matured_by(), now=_now()
        )

    def promote(self, door: Door) -> Change:
        """Carry out a verdict of PROMOTE."""
        return self._carry_out(promote, door)

    def rollback(self, door: Door) -> Change:
        """Carry out a verdict of ROLLBACK."""
        return self._carry_out(rollback, door)

    def _carry_out(self, act: Callable[..., Change], door: Door) -> Change:
        change = act(
            self.folder,
            store=self._store,
            registry=self._registry,
            model=self.contract.name,
            policy_path=self.folder.policy,
            who=WHO,
            now=_now(),
            lead=timedelta(0),
            as_of=self._matured_by(),
        )
        self._await_revision(door)
        return change

    def close(self) -> None:
        """Let go of the store."""
        self._store.close()

    def _switch(self, door: Door, change: Callable[[Experiment], Experiment]) -> None:
        write_experiment(self.folder.experiment, change(read_experiment(self.folder.experiment)))
        self._await_revision(door)

    def _await_revision(self, door: Door) -> None:
        """Wait until the service says that it answers under the experiment file's revision."""
        wanted = read_experiment(self.folder.experiment).revision
        until = time.monotonic() + _SETTLE_SECONDS
        while experiment_of(door)["revision"] != wanted:
            if time.monotonic() > until:
                raise Unavailable(f"the service did not take up revision {wanted} within {_SETTLE_SECONDS:g} s")
            time.sleep(0.05)

    def _matured_by(self) -> datetime:
        window = timedelta(microseconds=self.policy.maturity_window)
        return _now() + window + timedelta(days=1)


def _now() -> datetime:
    return datetime.now(UTC)
