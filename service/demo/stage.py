"""Where the demo's planes meet: every step of the story, done by the same functions that the command line calls.

The one module outside `gauntlet.py` that imports all planes: a composition root.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from bentos.artifact import Contract, Numeric, Value
from bentos.errors import InvalidSetting, Unavailable
from bentos.folder import Folder
from bentos.packing import Packed, package
from bentos.registry import Registry, Version, open_registry
from service.demo.traffic import Customer, experiment_of
from service.scoring.experiment import Experiment, read_experiment, set_split, start_shadow, write_experiment
from service.store import Store, open_store
from service.supervisor import serving
from training.data import Data, data_of, read_data
from training.holdout import is_holdout
from training.train import Trained, TrainRequest, train_on
from training.use_case import UseCase, load_use_case
from validation.gate.report import GateReport
from validation.gate.run import run_gate
from validation.judge.audit import Change
from validation.judge.looking import look
from validation.judge.policy import OnlinePolicy, load_policy
from validation.judge.promotion import bootstrap_champion, promote, rollback
from validation.judge.verdict import Verdict

SYNTHETIC_CUSTOMERS = 10_000
LIVE_SHARE = 0.4
"""Share of customers kept back from training and gate alike, to come as live traffic. They are taken from those who
would be trained on, so that the gate has the holdout that every model of this data shares."""
WHO = "gauntlet demo"
_MARK = "demo.json"
_SETTLE_SECONDS = 20.0


@dataclass(frozen=True)
class Prepared:
    """The demo's data.

    Attributes:
        history: What models are trained and judged on.
        live: Who comes later, in the order in which they come.
        source: Where all of it is from, for people.
        is_synthetic: Whether nobody in it is real.
        positive_share: Share of the positive label in all of it.
        history_file: Where the history lies, for further commands.
    """

    history: Data
    live: Sequence[Customer]
    source: str
    is_synthetic: bool
    positive_share: float
    history_file: Path


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
        whole = read_data(self._use_case, source, folder=self.folder, seed=self.seed, rows=SYNTHETIC_CUSTOMERS)
        trainable = np.flatnonzero([not is_holdout(row_id) for row_id in whole.frame[self.contract.id]])
        order = np.random.default_rng(self.seed).permutation(trainable)[: int(len(whole.frame) * LIVE_SHARE)]
        live, history = whole.frame.iloc[order], whole.frame.drop(index=whole.frame.index[order])
        history = history.reset_index(drop=True)
        path = self.folder.data / "history.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        history.to_csv(path, index=False)
        customers = customers_of(self.contract, live)
        body = {"customer_id": customers[0].customer_id, "features": customers[0].features}
        self.folder.customer.write_text(json.dumps(body, indent=2) + "\n")
        self._data = data_of(self.contract, history, source=f"{whole.source}, history", is_synthetic=whole.is_synthetic)
        return Prepared(
            history=self._data,
            live=customers,
            source=whole.source,
            is_synthetic=whole.is_synthetic,
            positive_share=float((whole.frame[self.contract.target] == self.contract.labels.positive).mean()),
            history_file=path,
        )

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
    def serving(self) -> Iterator[str]:
        """Serve the packed Bento with shipper and judge, as `gauntlet serve` does; gives the URL."""
        self._progress("starting the service")
        told_ahead = {"GAUNTLET_OBSERVED_AHEAD_SECONDS": str(2 * self.policy.maturity_window // 1_000_000 + 172_800)}
        with serving(self.folder, port=self._port, policy=self.folder.policy, scoring=told_ahead) as url:
            yield url

    def shadow(self, url: str, challenger: Version, *, salt: str) -> None:
        """Put a challenger in the shadow, and wait until the service says so."""
        self._switch(url, lambda old: start_shadow(old, challenger.digest, now=_now(), salt=salt, lead=timedelta(0)))

    def split(self, url: str, share: float) -> None:
        """Give the challenger a share of customers, and wait until the service says so."""
        self._switch(url, lambda old: set_split(old, share, now=_now(), lead=timedelta(0)))

    def look(self) -> Verdict:
        """Judge the experiment as of the day on which everybody asked so far has matured."""
        return look(
            self.folder, store=self._store, policy_path=self.folder.policy, as_of=self._matured_by(), now=_now()
        )

    def promote(self, url: str) -> Change:
        """Carry out a verdict of PROMOTE."""
        return self._carry_out(promote, url)

    def rollback(self, url: str) -> Change:
        """Carry out a verdict of ROLLBACK."""
        return self._carry_out(rollback, url)

    def _carry_out(self, act: Callable[..., Change], url: str) -> Change:
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
        self._await_revision(url)
        return change

    def close(self) -> None:
        """Let go of the store."""
        self._store.close()

    def _switch(self, url: str, change: Callable[[Experiment], Experiment]) -> None:
        write_experiment(self.folder.experiment, change(read_experiment(self.folder.experiment)))
        self._await_revision(url)

    def _await_revision(self, url: str) -> None:
        """Wait until the service says that it answers under the experiment file's revision."""
        wanted = read_experiment(self.folder.experiment).revision
        until = time.monotonic() + _SETTLE_SECONDS
        while experiment_of(url)["revision"] != wanted:
            if time.monotonic() > until:
                raise Unavailable(f"the service did not take up revision {wanted} within {_SETTLE_SECONDS:g} s")
            time.sleep(0.05)

    def _matured_by(self) -> datetime:
        window = timedelta(microseconds=self.policy.maturity_window)
        return _now() + window + timedelta(days=1)


def customers_of(contract: Contract, frame: pd.DataFrame) -> list[Customer]:
    """The customers in a frame, as the service is sent them."""
    whole = {feature.name for feature in contract.features if isinstance(feature, Numeric) and feature.integer}

    def value(name: str, found: object) -> Value:
        if found is None or found is pd.NA or (isinstance(found, float) and np.isnan(found)):
            return None
        return int(found) if name in whole and isinstance(found, float) else found  # type: ignore[return-value]

    names = [feature.name for feature in contract.features]
    return [
        Customer(
            customer_id=str(row[contract.id]),
            features={name: value(name, row[name]) for name in names},
            outcome=str(row[contract.target]),
        )
        for row in frame.to_dict("records")
    ]


def fresh_folder(folder: Folder) -> Folder:
    """An empty folder for a demo; one that an earlier demo left is emptied.

    Raises:
        InvalidSetting: It holds something that no demo left there.
    """
    path = folder.path
    if path.exists() and (not path.is_dir() or (any(path.iterdir()) and not (path / _MARK).exists())):
        raise InvalidSetting(f"{path} holds something that no demo left there; name another --folder")
    if path.exists():
        shutil.rmtree(path)
    path.mkdir(parents=True)
    (path / _MARK).write_text("{}\n")
    return folder


def _now() -> datetime:
    return datetime.now(UTC)
